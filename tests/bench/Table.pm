# SPDX-License-Identifier: BSD-2-Clause
# The results of one run or several: as a table, and as JSON.
#
# A run is { started, seconds, busy, rows }; busy is empty or says what disturbed it. A row is
#
#   figure             its name
#   value, unit        what was measured, usually a ratio (" x")
#   ours, limit, qemu  the sides of the comparison, as texts
#   compare, target    "at most" or "at least", a number; none: the row only informs
#   met                0 or 1
#   left_out           why this host cannot give the figure
#   others             CPU time that other processes took meanwhile, in percent of one CPU
package Table;

use strict;
use warnings;

use Bench;
use Exporter qw(import);
use JSON::PP;
use List::Util qw(max);

our @EXPORT_OK = qw(columns table spread save);

# Others that take this much of one CPU (percent) make a row doubtful.
use constant DOUBTFUL => 10;

# Lines of columns, the first column to the left, the others to the right.
sub columns {
	my @lines = @_;
	my @width;
	for my $line (@lines) {
		$width[$_] = max($width[$_] // 0, length $line->[$_]) for 0 .. $#$line;
	}
	my $format = join '  ', "%-$width[0]s", map { "%${_}s" } @width[1 .. $#width];
	return map { sprintf("$format\n", @$_) } @lines;
}

sub number {
	my ($value, $unit) = @_;
	my $digits = $unit eq ' KiB' || $value >= 100 ? 0 : $value >= 10 ? 1 : $value >= 0.1 ? 2 : 3;
	return sprintf('%.*f', $digits, $value) . $unit;
}

sub target {
	my ($row) = @_;
	return $row->{compare} ? "$row->{compare} $row->{target}$row->{unit}" : '-';
}

sub doubtful { ($_[0]{others} // 0) >= DOUBTFUL }

sub verdict {
	my ($row) = @_;
	return 'not measured' if $row->{left_out};
	return '-' if !defined $row->{met};
	return ($row->{met} ? 'yes' : 'NO') . (doubtful($row) ? ' *' : '');
}

sub summary {
	my ($met, $targets, @runs) = @_;
	my @disturbed = grep { doubtful($_) } map { @{ $_->{rows} } } @runs;
	my $others = @disturbed && max(map { $_->{others} } @disturbed);
	return ("$met of $targets targets met\n",
		map({ $_->{busy} ? "busy at the start of the run of $_->{started}: $_->{busy}\n" : () } @runs),
		map({ "not measured: $_->{figure}: $_->{left_out}\n" } grep { $_->{left_out} } map { @{ $_->{rows} } } @runs),
		@disturbed ? "* other processes took up to $others % of a CPU meanwhile\n" : ());
}

# One run.
sub table {
	my ($run) = @_;
	my @rows = @{ $run->{rows} };
	my @lines = map {
		my $ratio = $_->{ratio} // (defined $_->{value} && $_->{unit} eq ' x' ? number($_->{value}, ' x') : undef);
		[$_->{figure}, (map { $_ // '-' } @{$_}{qw(ours limit qemu)}, $ratio), target($_), verdict($_)]
	} @rows;
	my $targets = grep { defined $_->{met} || $_->{left_out} } @rows;
	return (columns(['figure', 'ours', 'limit', 'QEMU', 'ratio', 'target', 'met'], @lines),
		summary(scalar(grep { $_->{met} } @rows), $targets, $run));
}

# A line of several runs of one row. Returns whether its median meets the target (undef: no target),
# and the columns.
sub spread_line {
	my (@rows) = @_;
	my $one = $rows[0];
	my @values = sort { $a <=> $b } map { $_->{value} } @rows;
	my @three = map { number($_, $one->{unit}) } $values[0], median(@values), $values[-1];
	return (undef, [$one->{figure}, @three, ('-') x 3]) if !$one->{compare};
	my $met = $one->{compare} eq 'at most' ? median(@values) <= $one->{target} : median(@values) >= $one->{target};
	return ($met, [$one->{figure}, @three, target($one), grep({ $_->{met} } @rows) . ' of ' . @rows,
		($met ? 'yes' : 'NO') . (grep({ doubtful($_) } @rows) ? ' *' : '')]);
}

# Several runs: of each row the least, the median and the greatest value. The median must meet the
# target.
sub spread {
	my (@runs) = @_;
	my (%of, @figures);
	for my $row (map { @{ $_->{rows} } } @runs) {
		push @figures, $row->{figure} if !$of{ $row->{figure} };
		push @{ $of{ $row->{figure} } }, $row;
	}
	my ($met, $targets, @lines) = (0, 0);
	for my $figure (@figures) {
		my @rows = grep { defined $_->{value} } @{ $of{$figure} };
		my ($yes, $line) = @rows ? spread_line(@rows) : (0, [$figure, ('-') x 5, 'not measured']);
		next if !@rows && !$of{$figure}[0]{left_out};    # a figure without a number
		$met += $yes // 0;
		$targets++ if defined $yes;
		push @lines, $line;
	}
	return (columns(['figure', 'min', 'median', 'max', 'target', 'runs that meet it', 'met'], @lines),
		summary($met, $targets, @runs));
}

# Writes both forms to BUILD/bench/NAME.json and NAME.txt, and returns the table.
sub save {
	my ($name, $host, @runs) = @_;
	my @table = @runs == 1 ? table(@runs) : spread(@runs);
	my $json = JSON::PP->new->canonical->pretty->encode({ host => $host, runs => \@runs });
	for (["$name.json", $json], ["$name.txt", @table]) {
		my ($file, @text) = @$_;
		open my $handle, '>', "$out/$file" or die "bench: $out/$file: $!\n";
		print $handle @text;
		close $handle or die "bench: $out/$file: $!\n";
	}
	return @table;
}

1;
