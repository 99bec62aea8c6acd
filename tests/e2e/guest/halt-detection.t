#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# With interrupt controllers in the kernel HLT does not exit: that a guest has halted for good is
# found by sending its vCPUs out of KVM_RUN to look. One that computes is let alone.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# Its status, how it ended, and how many KVM_RUNs ended by a signal.
sub go {
    my ($code, @arguments) = @_;
    spew('x.ini', guest($code));
    my ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--log', 'error', '--set', 'vm.irqchip=on', '--status', 'status.json', @arguments ],
        LD_PRELOAD => "$build/tests/preload/kvm.so", KVM_KICKS => 'kicks', timeout => 60);
    diag($err) if $status;
    return ($status, status_of('status.json')->{cause}, slurp('kicks'));
}

# inc %ax, over and over. A busy host may hardly let it run: the best of some runs counts.
my ($status, $cause, $kicks);
for (1 .. 5) {
    ($status, $cause, $kicks) = go('40 eb fd', '--until', 'time:1s');
    last if $kicks < 15;
}
is("$status $cause", '0 point', 'a guest that computes');
cmp_ok($kicks, '<', 15, 'is let alone, where 50 looks fall into a second');

# sti; hlt, and no interrupt ever comes: it is looked at less and less often.
($status, $cause, $kicks) = go('fb f4 eb fd', '--until', 'time:2s');
is("$status $cause", '0 point', 'a guest that is idle');
cmp_ok($kicks, '<', 25, 'is sent out seldom, where 100 looks of the first kind fall into two seconds');

# cli; hlt: at once, after some 100 ms and more of computing, and with the PIT's interrupt a
# thousand times a second. A second vCPU waits to be started.
for my $cpus (1, 2) {
    for (['at once', 'fa f4'], ['later', '66 b9 00 00 02 00 66 49 75 fc fa f4'],
        ['beside a timer', 'b0 34 e6 43 b0 a9 e6 40 b0 04 e6 40 fa f4']) {
        my ($when, $code) = @$_;
        ($status, $cause, $kicks) = go($code, '--set', "vm.cpus=$cpus");
        is("$status $cause", '0 hlt', "halted for good $when, $cpus vCPUs");
        cmp_ok($kicks, '>', 0, 'is seen when it is sent out');
    }
}

done_testing;
