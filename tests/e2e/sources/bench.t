#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# tests/bench/run: its table, the spread of several runs, its JSON. The speed itself is not tested.
use v5.14;
use warnings;
use Cwd 'abs_path';
use lib 'tests/lib', abs_path('tests/bench');
use JSON::PP 'decode_json';
use Minivmm;
use Table;
use Test::More;

# Runs with made-up rows.

sub run_of {
	my ($busy, @rows) = @_;
	@Bench::rows = ();
	Bench::row(@$_) for @rows;
	return { started => 'once', busy => $busy, rows => [@Bench::rows] };
}

my @runs = map {
	run_of($_ > 1.4 ? 'load 3' : '', ['quick', ours => '1 ms', limit => '2 ms', value => $_, at_most => 1.3],
		['large', ours => '5 KiB', value => 5, unit => ' KiB', at_most => 4],
		['many', qemu => '9 ms', value => 20 * $_, at_least => 10], ['shown', value => $_])
} 1.1, 1.2, 1.5;
push @{ $runs[0]{rows} }, { figure => 'none', left_out => 'no QEMU' };
is(join('', Table::table($runs[0])), <<'END', 'one run: each row with its target');
figure   ours  limit  QEMU   ratio         target           met
quick    1 ms   2 ms     -  1.10 x  at most 1.3 x           yes
large   5 KiB      -     -       -  at most 4 KiB            NO
many        -      -  9 ms  22.0 x  at least 10 x           yes
shown       -      -     -  1.10 x              -             -
none        -      -     -       -              -  not measured
2 of 4 targets met
not measured: none: no QEMU
END
$runs[2]{rows}[2]{others} = 40;
is(join('', Table::spread(@runs)), <<'END', 'several runs: minimum, median, maximum; the median is compared');
figure     min  median     max         target  runs that meet it           met
quick   1.10 x  1.20 x  1.50 x  at most 1.3 x             2 of 3           yes
large    5 KiB   5 KiB   5 KiB  at most 4 KiB             0 of 3            NO
many    22.0 x  24.0 x  30.0 x  at least 10 x             3 of 3         yes *
shown   1.10 x  1.20 x  1.50 x              -                  -             -
none         -       -       -              -                  -  not measured
2 of 4 targets met
busy at the start of the run of once: load 3
not measured: none: no QEMU
* other processes took up to 40 % of a CPU meanwhile
END

# Real rows, with few rounds. The results go to this test's folder.
symlink "$build/tests", 'tests' or die "tests: $!";
my $bench = "$top/tests/bench/run";
my $table = `MINIVMM=$minivmm BUILD=\$PWD ROUNDS=1 $bench -p -n 2 access clone-memory 2>err`;
is($?, 0, 'two runs of two groups') or diag(slurp('err'));
like($table, qr/^\Q$_\E +\d/m, "the table has: $_")
    for 'access, MMIO, whole exit', 'access, PIO, dispatch', 'memory of a further clone, Private_Dirty';
like($table, qr/^\d of 7 targets met$/m, 'the table has the number of met targets');
my $results = decode_json(slurp('bench/results.json'));
is(scalar @{ $results->{runs} }, 2, 'results.json has both runs');
is(scalar @{ $results->{runs}[1]{rows} }, 7, 'it has each row');
ok($results->{runs}[0]{rows}[0]{value} > 0, 'the rows have numbers');
ok($results->{host}{cpus} > 0, 'it describes the host');
like(`BUILD=\$PWD $bench nonsense 2>&1`, qr/^bench: no group nonsense: there are process access /, 'refused: an unknown group');
done_testing;
