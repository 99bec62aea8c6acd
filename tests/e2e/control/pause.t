#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Devices that finish their requests late or never; and several pause requests at the same time.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;

# Prints a letter, then counts forever: mov $0x3f8,%dx; mov $'!',%al; out %al,%dx; 1: inc %ax; jmp
# 1b
spew('busy.ini', guest('ba f8 03 b0 21 ee 40 eb fd', "[plugins]\npath = $build/tests/plugins\n\n[device a]\nplugin = faulty\n"));
my @run = ($minivmm, '-c', 'busy.ini', '--set');
my $late = qr/^minivmm: device a has not finished its requests within 1 second$/m;

sub printed { return scalar(() = said($_[0]) =~ /vCPU 0 rip 0x/g) }
sub rax { return (said($_[0]) =~ /\brax (0x[0-9a-f]+)/g)[-1] }

# A snapshot waits for the device.
my ($status, $out, $err) = run([ @run, 'device.a.in=slow-pause', '--until', 'access:1', '--save', 'x.snap' ]);
is("$status:$out", '0:!', 'a snapshot with a slow device');
my $device = inspect('x.snap')->{devices}[1];
is_deeply($device->{state}, { pauses => 1, resumes => 0 }, 'the device is paused once');
ok(!$device->{timers}{done}{armed}, 'the device has finished its requests');
($status, $out, $err) = run([ @run, 'device.a.in=pause', '--until', 'access:1', '--save', 'y.snap' ]);
is("$status:$out", '113:!', 'a snapshot fails if a device does not finish its requests');
like($err, $late, 'the message names the device');
ok(!-e 'y.snap', 'no snapshot is written');

# A breakpoint that is hit repeatedly while the machine is paused repeatedly: 1: inc %cx; jmp 1b
spew('meets.ini', guest('41 eb fd'));
my $meets = start([ $minivmm, '-c', 'meets.ini', '--set', 'control.socket=meets', '--until', 'rip:0x1000:3000', '--save', 'meets.snap' ]);
until_true { -e 'meets' };
my $stops = 0;
while (!-e 'meets.snap' && $stops < 2000) {
    my $done = eval { my $client = Control->connect('meets'); 1 while $client->request('pause') && $client->request('resume') && ++$stops < 2000 };
    last if !$done;
}
($status, $out, $err) = finish($meets);
is("$status:$out", '0:', "a breakpoint during $stops pauses") or diag($err);
is(inspect('meets.snap')->{vcpus}[0]{regs}{rcx}, 3000, 'each pass counts once');

# SIGQUIT, and further ones before the first has been served.
for my $in ('nowhere', 'slow-pause', 'pause') {
    my $process = start([ @run, "device.a.in=$in", '--status', 'status.json' ]);
    ok(until_true { heard($process) eq '!' }, "$in: the guest runs");
    for (1 .. 5) {
        kill QUIT => $process->{pid};
        select undef, undef, undef, 0.02;
    }
    ok(until_true { printed($process) }, "$in: SIGQUIT prints registers");
    # All signals have been served when no more registers are printed: the guest does not run while
    # one is pending.
    my $before = rax($process);
    until_true { my $times = printed($process); !until_true { printed($process) > $times } 1.5 };
    my $works = until_true {
        my $times = printed($process);
        kill QUIT => $process->{pid};
        until_true { printed($process) > $times };
        return rax($process) ne $before;
    };
    ok($works, "$in: the guest continues");
    kill TERM => $process->{pid};
    ($status, $out, $err) = finish($process);
    is($status, 1015, "$in: SIGTERM ends the run");
    is($err =~ $late ? 'said' : '', $in eq 'pause' ? 'said' : '', "$in: reports a device that does not finish its requests");
}

done_testing;
