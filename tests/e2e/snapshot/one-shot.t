#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A one-shot timer fires once, however often the machine is paused. If it is pending in a snapshot,
# it fires after the restore.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;
use Time::HiRes 'sleep';

# Both guests print "!" at each interrupt of the timer, whose count is a parameter, and halt.
my %guests = (
    pit => {    # real mode: PICs from vector 8, only interrupt 0; channel 0 in mode 0
        machine => "memory = 64K\nirqchip = on\n[cpu]\nmode = real\ncs.base = 0\ncs.selector = 0",
        code => join('',
            'fa31c08ed88ed0bc0070',    # stack at 0x7000
            'c70620003a10c70622000000',    # its vector: 0x103a
            'b011e620b008e621b004e621b001e621b0fee621',
            'b030e643b0%se640b0%se640fbf4ebfd',
            '5052baf803b021eeb020e6205a58cf'),
        hlt => '0x1037',
        counts => [ [ '00', '20' ], [ 'ff', 'ff' ] ],        # 7 ms, 55 ms
    },
    lapic => {    # long mode: the handler of vector 0x40 is at 0x1068; the bus clock divided by 1
        machine => "memory = 4M\nirqchip = on\n[cpu]\nmode = long",
        code => join('',
            'fabc009000000f01142598100000',    # a stack at 0x9000; lgdt 0x1098
            'b8681000006689042500a4000066c7042502a40000080066c7042504a40000008e',    # IDT at 0xa000
            '0f011c25a2100000',    # lidt 0x10a2
            'bb0000e0fec783f0000000ff010000c7832003000040000000c783e00300000b000000',
            'c78380030000%sfbf4ebfd',    # TMICT
            '505266baf803b021eec783b0000000000000005a5848cf900000000000000000ffff0000009baf00ffff00000093cf00',
            '17008010000000000000' . '0f0400a0000000000000'),
        hlt => '0x1065',
        counts => [ ['c0c62d00'], ['00e1f505'] ],            # 3 ms, 100 ms at 1 GHz
    },
);

for my $name (sort keys %guests) {
    my ($machine, $code, $hlt, $counts) = @{ $guests{$name} }{qw(machine code hlt counts)};
    spew('a.ini', "[vm]\n$machine\nrip = 0x1000\n[boot]\nat = 0x1000\n[control]\nsocket = vm.sock\n"
          . "[device serial0]\nplugin = serial\noutput = stdio\n");
    my @run = map { [ $minivmm, '-c', 'a.ini', '--log', 'warn', '--set', 'boot.code=' . sprintf $code, @$_ ] } @$counts;

    my $process = start($run[0]);
    my $control = Control->connect('vm.sock');
    ok(until_true { heard($process) eq '!' }, "$name: the timer fires");
    sleep 0.01;
    for my $round (1 .. 3) {
        ok($control->request($_)->{ok}, "$name: $_") for 'pause', 'resume', 'snapshot a.snap', 'snapshot b.snap diff';
        sleep 0.03;
        is(heard($process), '!', "$name: the timer does not fire again, $round");
    }
    $control->request('quit');
    is((finish($process))[0], 0, "$name: the machine ends with status 0");

    # On a busy host the timer may fire before the snapshot: try again.
    my ($status, $out);
    until_true {
        ($status, $out) = run([ @{ $run[1] }, '--until', "rip:$hlt", '--save', 'c.snap' ]);
        my $machine = inspect('c.snap')->{machine};
        return $out eq '' && !($machine->{pic_master}{irr} & 1);
    };
    is("$status:$out", '0:', "$name: a snapshot before the timer fires");
    ($status, $out) = run([ $minivmm, '-r', 'c.snap', '--until', 'time:500ms', '--log', 'warn' ]);
    is("$status:$out", '0:!', "$name: the restored timer fires once");
}

done_testing;
