#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# CPUID in the guest: the same on every CPU of the host, and no feature that the host lacks.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Snapshot;
use Test::More;

# A snapshot of a machine with all features of a word set: no host has them.
run([ $minivmm, '-c', "$configs/code.ini", '--log', 'error', '--until', 'access:1', '--save', 'all.snap' ]);
my @registers = qw(eax ebx ecx edx);
my @words = qw(1.0.ecx 1.0.edx 6.0.eax 7.0.ebx 7.0.ecx 7.0.edx 7.1.eax 7.1.ebx 7.1.ecx 7.1.edx 7.2.edx
  d.0.eax d.1.eax 14.0.ebx 14.0.ecx 40000001.0.eax 80000001.0.ecx 80000001.0.edx 80000007.0.edx 80000008.0.ebx
  80000021.0.eax);
my $leaves = 0;
for my $word (@words) {
    my ($function, $index, $register) = split /\./, $word;
    my $snapshot = Snapshot->load('all.snap');
    my $found = 0;
    my $show = sub {
        my @all = unpack 'L*', $_[0]{value};    # each has ten words: function, index, flags, the registers, padding
        for (my $at = 0; $at < @all; $at += 10) {
            next if $all[$at] != hex $function || $all[ $at + 1 ] != $index;
            my ($r) = grep { $registers[$_] eq $register } 0 .. 3;
            $all[ $at + 3 + $r ] = 0xffffffff;
            $found = 1;
        }
        $_[0]{value} = pack 'L*', @all;
    };
    $snapshot->change('VCPU', 0, [qw(cpuid entries)], $show);
    next if !$found;    # the host has no such leaf
    $leaves++;
    $snapshot->save('word.snap');
    my ($name) = "$function.$index.$register" =~ s/\.0\././r;
    fails([ $minivmm, '-r', 'word.snap' ], 112,
        qr/cpuid: this host lacks CPU features that the guest uses: \Q$name\E is 0xffffffff, on this host/,
        "refused: missing features of leaf $name");
}
cmp_ok($leaves, '>=', 8, 'enough leaves are tested');

my ($mask) = slurp('/proc/self/status') =~ /^Cpus_allowed_list:\s*(\S+)$/m;
my @cpus = map { /(\d+)-(\d+)/ ? $1 .. $2 : $_ } split /,/, $mask;

SKIP: {
    skip 'only one CPU is available here', 4 if @cpus < 2;
    skip 'taskset is not installed', 4 if (run([ 'taskset', '--version' ]))[0];

    # Each CPU has its APIC id; the first and the last differ.
    my @end = ('-c', "$configs/code.ini", '--log', 'error', '--until', 'access:1', '--save');
    my %made = (a => $cpus[0], b => $cpus[-1]);
    is((run([ 'taskset', '-c', $made{$_}, $minivmm, @end, "$_.snap" ]))[0], 0, "a machine made on CPU $made{$_}") for sort keys %made;
    is_deeply(inspect('a.snap')->{vcpus}[0]{cpuid}, inspect('b.snap')->{vcpus}[0]{cpuid}, 'the CPUID is the same on both CPUs');
    my ($status, $out) = run([ $minivmm, 'diff', 'a.snap', 'b.snap' ]);
    unlike($out, qr/cpuid/, 'diff finds no difference in CPUID');
}

done_testing;
