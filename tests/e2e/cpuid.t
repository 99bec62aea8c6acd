#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# CPUID as a guest sees it: the same whichever CPU of the host it was made on.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my ($mask) = slurp('/proc/self/status') =~ /^Cpus_allowed_list:\s*(\S+)$/m;
my @cpus = map { /(\d+)-(\d+)/ ? $1 .. $2 : $_ } split /,/, $mask;
plan skip_all => 'this host lends one CPU only' if @cpus < 2;
plan skip_all => 'there is no taskset' if (run([ 'taskset', '--version' ]))[0];

# Each CPU's APIC id is its own: the first and the last differ in it.
my @end = ('-c', "$configs/code.ini", '--log', 'error', '--until', 'access:1', '--save');
my %made = (a => $cpus[0], b => $cpus[-1]);
is((run([ 'taskset', '-c', $made{$_}, $minivmm, @end, "$_.snap" ]))[0], 0, "on CPU $made{$_}") for sort keys %made;
is_deeply(inspect('a.snap')->{vcpus}[0]{cpuid}, inspect('b.snap')->{vcpus}[0]{cpuid}, 'the same CPUID');
my ($status, $out) = run([ $minivmm, 'diff', 'a.snap', 'b.snap' ]);
unlike($out, qr/cpuid/, 'no difference in it');

done_testing;
