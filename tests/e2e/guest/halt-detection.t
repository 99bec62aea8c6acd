#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# With in-kernel interrupt controllers HLT does not exit to user space. minivmm detects a final halt
# by a signal that ends KVM_RUN, and polls a busy guest less often.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# The status and cause of the end, and the number of KVM_RUNs that a signal ended.
sub go {
    my ($code, @arguments) = @_;
    spew('x.ini', guest($code));
    my ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--log', 'error', '--set', 'vm.irqchip=on', '--status', 'status.json', @arguments ],
        LD_PRELOAD => "$build/tests/preload/kvm.so", KVM_KICKS => 'kicks', timeout => 60);
    diag($err) if $status;
    return ($status, status_of('status.json')->{cause}, slurp('kicks'));
}

# inc %ax, in a loop. A busy host may run the guest for a short time only: the best of several runs
# counts.
my ($status, $cause, $kicks);
for (1 .. 5) {
    ($status, $cause, $kicks) = go('40 eb fd', '--until', 'time:1s');
    last if $kicks < 15;
}
is("$status $cause", '0 point', 'a busy guest');
cmp_ok($kicks, '<', 15, 'a busy guest is polled less than 15 times in a second, where 50 polls would fit');

# sti; hlt, without interrupts: it is polled less and less often.
($status, $cause, $kicks) = go('fb f4 eb fd', '--until', 'time:2s');
is("$status $cause", '0 point', 'an idle guest');
cmp_ok($kicks, '<', 25, 'an idle guest is polled less than 25 times in two seconds, where 100 polls would fit');

# cli; hlt: at once, after more than 100 ms of computing, and with 1,000 interrupts of the PIT per
# second. A second vCPU waits for its start.
for my $cpus (1, 2) {
    for (['at once', 'fa f4'], ['later', '66 b9 00 00 02 00 66 49 75 fc fa f4'],
        ['beside a timer', 'b0 34 e6 43 b0 a9 e6 40 b0 04 e6 40 fa f4']) {
        my ($when, $code) = @$_;
        ($status, $cause, $kicks) = go($code, '--set', "vm.cpus=$cpus");
        is("$status $cause", '0 hlt', "a final halt $when, $cpus vCPUs");
        cmp_ok($kicks, '>', 0, 'the halt is detected by a poll');
    }
}

done_testing;
