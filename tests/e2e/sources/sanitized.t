#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# tests/sanitized: a sanitizer's report fails the run; a failure without one gets a second try.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my %bodies = (
    good => 'ok(1)',
    bad => 'ok(0)',
    once => 'ok(-e "flag"); spew("flag")',
    report => 'ok(1); my ($path) = $ENV{ASAN_OPTIONS} =~ /log_path=([^:]*)/; spew("$path.1")',
    late => 'my ($path) = $ENV{TSAN_OPTIONS} =~ /log_path=([^:]*)/; ok(-e "flag"); spew(-e "flag" ? "$path.2" : "flag")',
    remark => 'ok(1); my ($path) = $ENV{ASAN_OPTIONS} =~ /log_path=([^:]*)/; spew("$path.3", "Running thread 7 was not suspended.")',
);
spew("$_.t", "use Test::More; sub spew { open my \$out, '>', \$_[0]; print \$out \$_[1] // '==7==ERROR: AddressSanitizer: bad' } $bodies{$_}; done_testing;\n") for keys %bodies;
mkdir 'build';
for my $case ([ 0, 'good' ], [ 1, 'bad' ], [ 0, 'once' ], [ 1, 'report' ], [ 1, 'late' ], [ 0, 'good', 'once' ], [ 1, 'once', 'bad' ],
    [ 1, 'once', 'report' ], [ 0, 'remark' ]) {
    my ($expected, @names) = @$case;
    unlink 'flag';
    my ($status, $out, $err) = run([ "$top/tests/sanitized", 'build', map { "$_.t" } @names ], PROVE => '-Q');
    is($status ? 1 : 0, $expected, "@names") or diag($out . $err);
    my $second = grep { !/good|report|remark/ } @names;
    $second = 0 if grep { $_ eq 'report' } @names;
    is(($err =~ /AddressSanitizer: bad$/) ? 1 : 0, ($expected && grep { /report|late/ } @names) ? 1 : 0, "@names: the report in short");
    is(($err =~ /once more/) ? 1 : 0, $second ? 1 : 0, "@names: a second try");
}
done_testing;
