#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Bugs that other virtual machine monitors have shipped, by name. Bugs that have their own test are
# listed with it, and the test must exist. State that torture.ini checks is restored from random
# points.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;
use Time::HiRes 'sleep';

my $seed = $ENV{SEED} // time;
srand $seed;
diag("SEED=$seed");

my %elsewhere = (
    'a serial port stuck when saved in mid-transmit' => 'mid-transmit.t',
    'a first diff that holds all pages' => 'diff-chain.t',
    'diffs corrupted above 3 GiB' => 'diff-chain.t',
    'diffs corrupted with several memory slots' => 'diff-chain.t',
    'writes of devices missed by the dirty log' => 'diff-chain.t',
    'dirty pages lost when the disk filled during a diff' => 'failing-calls.t',
    'a half-written snapshot under the final name' => 'killed-writer.t',
    'a snapshot written over the file that its memory is mapped from' => 'snapshot-file.t',
    'a checksum compared only after decoding' => 'snapshot-file.t',
);
ok(-e "$top/tests/e2e/snapshot/$elsewhere{$_}", "$_: $elsewhere{$_}") for sort keys %elsewhere;

# A TSC deadline restored before the TSC, or lost when it is 0; an incomplete list of MSRs; lost
# upper SIMD bits; a kvm-clock that jumps at a restore. torture.ini checks each of them after the
# snapshot.
for (1 .. 6) {
    my $at = 'access:' . (1 + int rand 100);
    my ($status, $before, $err) = run([ $minivmm, '-c', "$configs/torture.ini", '--until', $at, '--save', 't.snap', '--log', 'error' ]);
    is($status, 0, "runs to $at") or diag($err);
    ($status, my $out, $err) = run([ $minivmm, '-r', 't.snap', '--log', 'error' ]);
    is("$status:$before$out", "0:torture: ok\n", "TSC deadline, MSRs, SIMD, kvm-clock, from $at") or diag($err);
}

# An incomplete list of MSRs on AMD: OSVW_ID_LENGTH and OSVW_STATUS, which KVM does not list. The
# guest writes both and prints w, then k if they keep the values; n if CPUID has no OSVW.
SKIP: {
    my $code = '66 b8 01 00 00 80 0f a2 0f ba e1 09 ba f8 03 b0 6e 73 36 66 b9 41 01 01 c0 66 b8 34 12 00 00 66 31 d2 0f '
      . '30 fe c9 80 f9 3f 75 ee ba f8 03 b0 77 ee fe c1 0f 32 50 fe c1 0f 32 5b 21 d8 3d 34 12 b0 6b 74 02 b0 78 ba f8 03 ee f4';
    spew('osvw.ini', guest($code =~ s/ //gr));
    my @run = ($minivmm, '-c', 'osvw.ini', '--log', 'error');
    my $all = (run([@run]))[1];
    skip 'this CPU has no OSVW', 3 if $all eq 'n';
    is($all, 'wk', 'OSVW: without a snapshot');
    is((run([ @run, '--until', 'access:1', '--save', 'o.snap' ]))[0], 0, 'OSVW: a snapshot after the writes');
    is((run([ $minivmm, '-r', 'o.snap', '--log', 'error' ]))[1], 'k', 'OSVW: restored');
}

# Starts a guest with a control socket. Returns the process and the client.
sub driven {
    my ($name, $code, @more) = @_;
    spew("$name.ini", guest($code, "[control]\nsocket = $name.sock\n"));
    my $process = start([ $minivmm, '-c', "$name.ini", '--log', 'error', @more ]);
    return ($process, Control->connect("$name.sock"));
}

sub number {
    my ($control, $address) = @_;
    return unpack 'Q<', pack 'H*', $control->request("memory $address 8")->{bytes};
}

# The TSC runs during a pause (some KVMs always show the host's TSC): 1: rdtsc; mov %eax,0x2000; mov
# %edx,0x2004; jmp 1b
{
    my ($process, $control) = driven('tsc', '0f 31 66 a3 00 20 66 89 16 04 20 eb f3');
    until_true { number($control, 0x2000) };
    my $first = number($control, 0x2000);
    sleep 0.2;
    my $rate = (number($control, 0x2000) - $first) / 0.2;
    $control->request('pause');
    my $before = number($control, 0x2000);
    sleep 1;
    is(number($control, 0x2000), $before, 'a paused guest does not run');
    $control->request('resume');
    until_true { number($control, 0x2000) != $before };
    my $passed = (number($control, 0x2000) - $before) / $rate;
    my $can = (run([ "$build/tests/tools/tsc" ]))[0];
    isnt($can, 1, 'KVM sets the TSC');
  SKIP: {
        skip "this KVM shows the guest the host's TSC", 1 if $can == 77;
        cmp_ok($passed, '<', 0.7, 'the TSC does not advance during a pause');
    }
    $control->request('quit');
    is((finish($process))[0], 0, 'the guest ends with status 0');
}

# A guest that is not notified of a pause (KVM_KVMCLOCK_CTRL) takes it for a lock-up: the flag in
# its pvclock. mov $0x4b564d01,%ecx; mov $0x2001,%eax; xor %edx,%edx; wrmsr; 1: jmp 1b
SKIP: {
    my ($process, $control) = driven('clock', '66 b9 01 4d 56 4b 66 b8 01 20 00 00 66 31 d2 0f 30 eb fe');
    my $flags = sub { (unpack 'C*', pack 'H*', $control->request('memory 0x2000 32')->{bytes})[29] };
    my $there = until_true { number($control, 0x2010) } 5;
    if ($there) {
        ok(!($flags->() & 2), 'the flag is clear before a pause');
        $control->request('pause');
        $control->request('resume');
        ok((until_true { $flags->() & 2 }), 'KVMCLOCK_CTRL: the guest is notified of the pause');
    }
    $control->request('quit');
    finish($process);
    skip 'this KVM has no kvm-clock', 1 if !$there;
}

# Reception that blocks after a pause and resume. Bytes arrive before, during and after the pause.
# The guest echoes: 1: mov $0x3fd,%dx; in %dx,%al; test $1,%al; jz 1b; mov $0x3f8,%dx; in %dx,%al;
# out %al,%dx; jmp 1b
{
    pipe my $in, my $type or die;
    spew('echo.ini', guest('ba fd 03 ec a8 01 74 f8 ba f8 03 ec ee eb f1', "[control]\nsocket = echo.sock\n"));
    my $process = start([ $minivmm, '-c', 'echo.ini', '--log', 'error', '--set', 'device.serial0.input=stdio' ], stdin => $in);
    my $control = Control->connect('echo.sock');
    my $said = '';
    for my $letter ('a' .. 'e') {
        syswrite $type, $letter;
        ok((until_true { heard($process) eq "$said$letter" }), "receive blocked after a pause: $letter is echoed");
        $control->request('pause');
        syswrite $type, uc $letter;
        $control->request('resume');
        $said .= $letter . uc $letter;
        ok((until_true { heard($process) eq $said }), "receive blocked after a pause: input during the pause is echoed");
    }
    $control->request('quit');
    is((finish($process))[0], 0, 'the guest ends with status 0');
}

done_testing;
