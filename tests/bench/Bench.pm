# SPDX-License-Identifier: BSD-2-Clause
# What all measurements share: paths, running commands, medians. The current folder is the top of
# the tree.
package Bench;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

our @EXPORT = qw(MIB GIB $minivmm $build $out $tools $plugins $shm $qemu progress lines keep slurp median percentile
	pairs median_of_steps row left_out ms ns us times_ kib now assemble stopwatch room);

use constant { MIB => 1 << 20, GIB => 1 << 30 };

our $minivmm = abs_path($ENV{MINIVMM} // './minivmm');
our $build = abs_path($ENV{BUILD} // 'build') // die "bench: no folder $ENV{BUILD}: run make\n";
our $out = "$build/bench";
our $tools = "$build/tests/tools";
our $plugins = "plugins.path=$build/tests/plugins:" . dirname($minivmm) . '/plugins';
our $shm = "/dev/shm/minivmm-bench-$$";    # for files that a disk would slow down
our $qemu = (grep { -x } map { "$_/qemu-system-x86_64" } split /:/, $ENV{PATH})[0];
our @rows;    # of this run: Table.pm says what they contain
our $told = 0;    # print progress as lines where there is no terminal
my $owner = $$;

# Forked children leave by exit, too.
END {
	local $?;    # the exit status
	system 'rm', '-rf', $shm if $$ == ($owner // 0);
}
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

sub progress {
	return $told && @_ ? print STDERR sprintf("%.0f s: %s\n", now(), $_[0]) : undef if !-t STDERR;
	printf STDERR "\r\e[K%s", @_ ? "$_[0] ..." : '';
	return;
}

# Runs a command and returns the lines of its output.
sub lines {
	open my $pipe, '-|', @_ or die "bench: $_[0]: $!\n";
	chomp(my @lines = <$pipe>);
	close $pipe or die "bench: @_: failed\n";
	return @lines;
}

# Keeps the rounds of a figure as a file of their own; the plot is made from those.
sub keep {
	my ($name, @lines) = @_;
	open my $file, '>', "$out/$name.tsv" or die "bench: $out/$name.tsv: $!\n";
	print $file map { "$_\n" } @lines;
	close $file;
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

# The smallest value that $part of them (0.99) do not exceed.
sub percentile {
	my ($part, @values) = @_;
	my @sorted = sort { $a <=> $b } @values;
	my $at = $part * @sorted;
	return $sorted[$at == int $at ? $at - 1 : int $at];
}

# The medians of two columns, and the median of their quotients, first by second.
sub pairs {
	my @pairs = map { [split /\t/] } @_;
	return (median(map { $_->[0] } @pairs), median(map { $_->[1] } @pairs),
		median(map { $_->[0] / $_->[1] } @pairs));
}

# Many TSCs count in steps of some 10 ns: the median of numbers in steps is interpolated within its
# step.
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

# A row of the table. ours, limit, qemu: texts. value: a number, in unit (" x" unless given).
# at_most or at_least: the target; without one the row only informs.
sub row {
	my ($figure, %r) = @_;
	my %row = (unit => ' x', %r, figure => $figure);
	for (['at_most', 'at most'], ['at_least', 'at least']) {
		my ($key, $compare) = @$_;
		my $target = delete $row{$key} // next;
		my $met = $key eq 'at_most' ? $r{value} <= $target : $r{value} >= $target;
		%row = (%row, compare => $compare, target => $target, met => $met ? 1 : 0);
	}
	push @rows, \%row;
	return;
}

# A figure that this host cannot give.
sub left_out {
	my ($figure, $why) = @_;
	push @rows, { figure => $figure, left_out => $why };
	return;
}

# Times are in microseconds, except where a name says otherwise.
sub ms { sprintf '%.2f ms', $_[0] / 1000 }
sub us { sprintf '%.2f us', $_[0] }
sub ns { sprintf '%.0f ns', $_[0] }
sub times_ { sprintf '%.2f x', $_[0] }
sub kib { sprintf '%.0f KiB', $_[0] }

sub assemble {
	my ($name) = @_;
	lines('cc', '-c', '-o', "$out/$name.o", "tests/bench/$name.S");
	lines('objcopy', '-O', 'binary', '-j', '.text', "$out/$name.o", "$out/$name.bin");
}

# Are so many bytes of memory available?
sub room {
	my ($bytes) = @_;
	my ($kib) = slurp('/proc/meminfo') =~ /^MemAvailable:\s+(\d+)/m;
	return $kib * 1024 >= $bytes;
}

# Times two commands in turn. Returns as pairs() does.
sub stopwatch {
	my ($name, $rounds, @commands) = @_;
	my @lines = lines("$tools/stopwatch", $rounds, map { ('--', @$_) } @commands);
	keep($name, @lines);
	return pairs(@lines);
}

1;
