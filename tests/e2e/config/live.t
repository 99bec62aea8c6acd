#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# configs/live.ini: at any stop, memory agrees with its journal; a restored machine continues; the
# guest detects damage.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my $livehash = "$build/tests/tools/livehash";
my @live = ($minivmm, '-c', "$configs/live.ini", '--log', 'warn', '--set', 'cpu.r12=5');

# Without pauses, so that most stops are in the middle of a write.
my %rates = (paced => [ '--set', 'vm.memory=16M' ], 'at full speed' => [ '--set', 'vm.memory=16M', '--set', 'cpu.r8=1000000' ]);
my $time = 150_000;    # us
for my $rate (sort keys %rates) {
    for my $round (1 .. 4) {
        my $lines = '';
        my @from = (@live, @{ $rates{$rate} });
        my $at = $time += 7_919;
        for my $snap ('a.snap', 'b.snap') {
            my ($status, $out, $err) = run([ @from, '--until', "time:${at}us", '--save', $snap ]);
            is("$status:$err", '0:', "$rate: runs to $at us");
            spew('lines', $lines .= $out);
            ($status, $out, $err) = run([ $livehash, $snap, $lines =~ /^tick .*\n/m ? 'lines' : () ]);
            is($status, 0, "memory and output are right") || diag($out, $err, $lines);
            @from = ($minivmm, '-r', $snap, '--log', 'warn');
            $at = int(inspect($snap)->{machine}{time} / 1000) + 103_307;    # a busy host is late
        }
    }
}

# Damage that a restore does not check is detected by the guest and by livehash: a changed page, a
# write missing from the hash. A busy host does not keep the guest from its writes (cpu.r15).
my ($status, $out, $err) = run([ @live, '--set', 'vm.memory=1M', '--set', 'cpu.r10=0', '--set', 'cpu.r15=1', '--until', 'output:serial0:tick:20', '--save', 'c.snap' ]);
my ($offset) = unpack 'x24 Q', slurp('c.snap');
for my $at (0x10000 + 5 * 4096, 0x8018) {
    my $snap = slurp('c.snap');
    substr($snap, $offset + $at, 1) ^= "\1";
    spew('d.snap', $snap);
    ($status, $out, $err) = run([ $livehash, 'd.snap' ]);
    is($status, 1, sprintf('a wrong byte at 0x%x', $at));
    ($status, $out, $err) = run([ $minivmm, '-r', 'd.snap' ], timeout => 10);
    is($status, 1, 'the guest ends with status 1');
    like($out, qr/^corrupt\n\z/m, 'the guest reports the corruption');
}

done_testing;
