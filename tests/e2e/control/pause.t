#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Devices that take their time to come to rest, or never do; and who asks twice.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;

# Says a letter, then counts for ever: mov $0x3f8,%dx; mov $'!',%al; out %al,%dx; 1: inc %ax; jmp 1b
spew('busy.ini', guest('ba f8 03 b0 21 ee 40 eb fd', "[plugins]\npath = $build/tests/plugins\n\n[device a]\nplugin = faulty\n"));
my @run = ($minivmm, '-c', 'busy.ini', '--set');
my $late = qr/^minivmm: device a has not finished its requests within 1 second$/m;

sub printed { return scalar(() = said($_[0]) =~ /vCPU 0 rip 0x/g) }
sub rax { return (said($_[0]) =~ /\brax (0x[0-9a-f]+)/g)[-1] }

# A snapshot waits for it.
my ($status, $out, $err) = run([ @run, 'device.a.in=slow-pause', '--until', 'access:1', '--save', 'x.snap' ]);
is("$status:$out", '0:!', 'a slow device');
my $device = inspect('x.snap')->{devices}[1];
is_deeply($device->{state}, { pauses => 1, resumes => 0 }, 'was paused once');
ok(!$device->{timers}{done}{armed}, 'and what it waited for has come');
($status, $out, $err) = run([ @run, 'device.a.in=pause', '--until', 'access:1', '--save', 'y.snap' ]);
is("$status:$out", '113:!', 'one that does not finish its requests');
like($err, $late, 'is said');
ok(!-e 'y.snap', 'and there is no snapshot');

# A breakpoint that is met again and again, by a machine that is stopped again and again: 1: inc
# %cx; jmp 1b
spew('meets.ini', guest('41 eb fd'));
my $meets = start([ $minivmm, '-c', 'meets.ini', '--set', 'control.socket=meets', '--until', 'rip:0x1000:3000', '--save', 'meets.snap' ]);
until_true { -e 'meets' };
my $stops = 0;
while (!-e 'meets.snap' && $stops < 2000) {
    my $done = eval { my $client = Control->connect('meets'); 1 while $client->request('pause') && $client->request('resume') && ++$stops < 2000 };
    last if !$done;
}
($status, $out, $err) = finish($meets);
is("$status:$out", '0:', "a breakpoint, through $stops stops") or diag($err);
is(inspect('meets.snap')->{vcpus}[0]{regs}{rcx}, 3000, 'is met each time, and once');

# SIGQUIT, and more of them before the first is served.
for my $in ('nowhere', 'slow-pause', 'pause') {
    my $process = start([ @run, "device.a.in=$in", '--status', 'status.json' ]);
    ok(until_true { heard($process) eq '!' }, "$in: runs");
    for (1 .. 5) {
        kill QUIT => $process->{pid};
        select undef, undef, undef, 0.02;
    }
    ok(until_true { printed($process) }, "$in: SIGQUIT prints registers");
    # When all of them have been served: while one waits, the guest has no time to go on.
    my $before = rax($process);
    until_true { my $times = printed($process); !until_true { printed($process) > $times } 1.5 };
    my $works = until_true {
        my $times = printed($process);
        kill QUIT => $process->{pid};
        until_true { printed($process) > $times };
        return rax($process) ne $before;
    };
    ok($works, "$in: and the guest goes on");
    kill TERM => $process->{pid};
    ($status, $out, $err) = finish($process);
    is($status, 1015, "$in: to its end");
    is($err =~ $late ? 'said' : '', $in eq 'pause' ? 'said' : '', "$in: who does not rest is said");
}

done_testing;
