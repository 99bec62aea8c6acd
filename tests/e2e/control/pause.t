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

# A reset of a paused machine starts the devices, and so does a branch that begins paused: they
# pause again, since their threads must not work.
is((run([ @run, 'device.a.in=nowhere', '--until', 'access:1', '--save', 'once.snap' ]))[0], 0, 'a snapshot');
is(inspect('once.snap')->{devices}[1]{state}{pauses}, 1, 'the device is paused in it');
{
    my $process = start([ $minivmm, qw(-r once.snap --set control.socket=once --set device.serial0.output=none --set), "plugins.path=$build/tests/plugins" ]);
    my $control = Control->connect('once');
    $control->request('pause');
    is($control->request('reset')->{ok}, 1, 'a reset of a paused machine');
    is($control->request('device a')->{state}{pauses}, 2, 'the device is started, and pauses');
    if ($branches) {
        my $branch = $control->request('branch twice --paused');
        ok($branch->{ok}, 'a branch that begins paused') or diag($branch->{error});
        my $twice = Control->connect('twice');
        is($twice->request('device a')->{state}{pauses}, 3, 'its device is started, and pauses');
        is($twice->request('resume')->{state}, 'running', 'it continues');
        $twice->request('quit');
    }
    $control->request('quit');
    finish($process);
}

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

# The device takes 200 ms to pause. Meanwhile the stop condition is hit, or a signal comes.
sub uptime { return $_[0]->request('status')->{uptime_ns} }
sub until_at {
    my ($process, $name) = @_;
    ok(until_true { -S $name }, "$name: the machine listens");
    my ($waits, $control) = map { Control->connect($name) } 1, 2;
    my $at = uptime($control) + 900_000_000;
    $waits->send("until time:${at}ns\n");
    until_true { uptime($control) > $at - 100_000_000 };
    return ($waits, $control, $at);
}
my $slow = 'device.a.in=slow-pause';
my $process = start([ @run, $slow, '--set', 'control.socket=twice' ]);
my ($waits, $control, $at) = until_at($process, 'twice');
$control->request('pause');
is($waits->reply->{state}, 'paused', 'a condition that is hit during a pause');
is($control->request('resume')->{state}, 'running', 'one resume ends the pause');
kill TERM => $process->{pid};
finish($process);

run([ @run, 'device.a.in=nowhere', '--until', 'access:1', '--save', 'early.snap' ]);
my @restore = ($minivmm, '-r', 'early.snap', '--set', "plugins.path=$build/tests/plugins", '--set', $slow, '--status', 'status.json', '--set');
$process = start([ @restore, 'control.socket=stale' ]);
($waits, $control, $at) = until_at($process, 'stale');
is($control->request('reset')->{ok}, 1, 'a reset while a condition waits');
my $reply = $waits->reply;
cmp_ok($reply->{time_ns} // 0, '>=', $at, 'the condition is hit at its time, not by the time before the reset');
is($control->request('resume')->{state}, 'running', 'the machine continues after it');
is($control->request('quit')->{ok}, 1, 'and still replies');
($status, $out, $err) = finish($process);
is("$status:$err", '0:', 'it ends with status 0');

$process = start([ @restore, 'control.socket=ends' ]);
ok(until_true { -S 'ends' }, 'a machine to reset');
Control->connect('ends')->send("reset\n");
select undef, undef, undef, 0.08;
kill TERM => $process->{pid};
($status, $out, $err) = finish($process);
is($status, 1015, 'a signal during a reset ends the machine');
like(slurp('status.json'), qr/"cause":"signal"/, 'with its cause');

# A pause that failed is not complete: no snapshot is written in it.
$process = start([ @run, 'device.a.in=pause', '--set', 'control.socket=fails', '--until', 'time:900ms', '--save', 'z.snap' ]);
ok(until_true { -S 'fails' }, 'a machine whose device does not pause');
like(Control->connect('fails')->request('pause')->{error} // '', qr/has not finished its requests/, 'the pause fails');
($status, $out, $err) = finish($process);
is($status, 113, 'and so does the snapshot of a condition that is hit in it');
ok(!-e 'z.snap', 'which leaves no file');

done_testing;
