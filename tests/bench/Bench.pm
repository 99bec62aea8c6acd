# SPDX-License-Identifier: BSD-2-Clause
# What all measurements share: where things are, running commands, medians, and the table. The
# folder is the tree's top.
package Bench;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

our @EXPORT = qw(MIB GIB $minivmm $build $out $tools $plugins $shm $qemu progress lines keep kept slurp median percentile
	pairs median_of_steps row left_out ms ns times_ kib now assemble stopwatch room print_table);

use constant { MIB => 1 << 20, GIB => 1 << 30 };

our $minivmm = abs_path($ENV{MINIVMM} // './minivmm');
our $build = abs_path($ENV{BUILD} // 'build');
our $out = "$build/bench";
our $tools = "$build/tests/tools";
our $plugins = "plugins.path=$build/tests/plugins:" . dirname($minivmm) . '/plugins';
our $shm = "/dev/shm/minivmm-bench-$$";    # for files that a disk would slow down
our $qemu = (grep { -x } map { "$_/qemu-system-x86_64" } split /:/, $ENV{PATH})[0];
my $owner = $$;
my @rows;

# Children of ours leave by exit, too.
END { system 'rm', '-rf', $shm if $$ == $owner }
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

our $told = 0;    # where there is no terminal: a line each

sub progress {
	return $told && @_ ? print STDERR sprintf("%.0f s: %s\n", now(), $_[0]) : undef if !-t STDERR;
	printf STDERR "\r\e[K%s", @_ ? "$_[0] ..." : '';
	return;
}


# Runs a command and returns its lines.
sub lines {
	open my $pipe, '-|', @_ or die "bench: $_[0]: $!\n";
	chomp(my @lines = <$pipe>);
	close $pipe or die "bench: @_: failed\n";
	return @lines;
}

sub keep {
	my ($name, @lines) = @_;
	open my $file, '>', "$out/$name.tsv" or die "bench: $out/$name.tsv: $!\n";
	print $file map { "$_\n" } @lines;
	close $file;
}

# The columns of what keep() wrote, in this run or an earlier one; none: there is no such file.
sub kept {
	my ($name) = @_;
	open my $file, '<', "$out/$name.tsv" or return;
	chomp(my @lines = <$file>);
	return map { [split /\t/] } @lines;
}

sub slurp {
	my ($name) = @_;
	open my $file, '<:raw', $name or die "bench: $name: $!\n";
	local $/;
	return scalar <$file>;
}

# In seconds.
sub now { clock_gettime(CLOCK_MONOTONIC) }

sub median {
	my @sorted = sort { $a <=> $b } @_;
	return ($sorted[$#sorted / 2] + $sorted[@sorted / 2]) / 2;
}

# The smallest that $part of them (0.99) do not exceed.
sub percentile {
	my ($part, @values) = @_;
	my @sorted = sort { $a <=> $b } @values;
	my $at = $part * @sorted;
	return $sorted[$at == int $at ? $at - 1 : int $at];
}

# The medians of two columns, and that of their quotients, first by second.
sub pairs {
	my @pairs = map { [split /\t/] } @_;
	return (median(map { $_->[0] } @pairs), median(map { $_->[1] } @pairs),
		median(map { $_->[0] / $_->[1] } @pairs));
}

# Many TSCs count in steps of some 10 ns: the median of such numbers is found between them.
sub median_of_steps {
	my @sorted = sort { $a <=> $b } @_;
	my $middle = $sorted[@sorted / 2];
	my ($below, $equal, $above) = (0, 0, 0);
	my $step = 0;
	for (@sorted) {
		$_ < $middle ? $below++ : $_ == $middle ? $equal++ : $above++;
		$step = abs($_ - $middle) if $_ != $middle && (!$step || abs($_ - $middle) < $step);
	}
	return $middle - $step / 2 + $step * (@sorted / 2 - $below) / $equal;
}

# compare: 'at most' or 'at least' the target, a number.
sub row {
	my ($figure, %r) = @_;
	return push @rows, [$figure, $r{ours}, $r{limit} // '-', $r{qemu} // '-', $r{ratio} // '-', '-', '-']
	    if !$r{compare};
	my $met = $r{compare} eq 'at most' ? $r{value} <= $r{target} : $r{value} >= $r{target};
	push @rows, [$figure, $r{ours}, $r{limit} // '-', $r{qemu} // '-', $r{ratio} // '-',
		"$r{compare} $r{target}" . ($r{unit} // ' x'), $met ? 'yes' : 'NO'];
}

# A figure that this host can't give.
sub left_out {
	my ($figure, $why) = @_;
	push @rows, [$figure, '-', '-', '-', '-', '-', "not measured: $why"];
}

# Times are in microseconds here, unless they are said to be others.
sub ms { sprintf '%.2f ms', $_[0] / 1000 }
sub ns { sprintf '%.0f ns', $_[0] }
sub times_ { sprintf '%.2f x', $_[0] }
sub kib { sprintf '%.0f KiB', $_[0] }

sub assemble {
	my ($name) = @_;
	lines('cc', '-c', '-o', "$out/$name.o", "tests/bench/$name.S");
	lines('objcopy', '-O', 'binary', '-j', '.text', "$out/$name.o", "$out/$name.bin");
}

# Is there so much memory that nobody uses?
sub room {
	my ($bytes) = @_;
	my ($kib) = slurp('/proc/meminfo') =~ /^MemAvailable:\s+(\d+)/m;
	return $kib * 1024 >= $bytes;
}

sub stopwatch {
	my ($name, $rounds, @commands) = @_;
	my @lines = lines("$tools/stopwatch", $rounds, map { ('--', @$_) } @commands);
	keep($name, @lines);
	return pairs(@lines);
}

sub print_table {
	my @table = (['figure', 'ours', 'limit', 'QEMU', 'ratio', 'target', 'met'], @rows);
	my @width;
	for my $row (@table) {
		for (0 .. $#$row) {
			$width[$_] = length $row->[$_] if length $row->[$_] > ($width[$_] // 0);
		}
	}
	for my $row (@table) {
		printf "%-*s  %*s  %*s  %*s  %*s  %*s  %*s\n", map { ($width[$_], $row->[$_]) } 0 .. $#$row;
	}
	printf "%d of %d targets met\n", scalar(grep { $_->[-1] eq 'yes' } @rows),
		scalar grep { $_->[-1] =~ /^(yes|NO|not)/ } @rows;
}

1;
