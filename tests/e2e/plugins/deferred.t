#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Accesses that a device defers: see tests/plugins/later.c. Port 0x10 counts its reads, each of
# which a timer or a thread completes.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;

$ENV{MINIVMM_PLUGIN_PATH} = "$build/tests/plugins";
my $device = "[device l]\nplugin = later\n";
# mov $0x3f8,%dx; mov $'a',%al; out %al,$0x10; 1: in $0x10,%al; out %al,%dx; cmp $'z',%al; jb 1b;
# hlt
spew('x.ini', guest('ba f8 03 b0 61 e6 10 e4 10 ee 3c 7a 72 f9 f4', $device));
my $letters = join '', 'a' .. 'z';

for my $how (qw(timer thread)) {
    my ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--set', "device.l.how=$how" ]);
    is("$status:$out:$err", "0:$letters:", "$how: each access ends with its value");

    # Snapshots of the running machine, and what each continues with.
    my $process = start([ $minivmm, '-c', 'x.ini', '--set', "device.l.how=$how", '--set', 'device.l.delay=100ms', '--set', 'control.socket=s' ]);
    my $control = Control->connect('s');
    my $number = 0;
    while ($number < 8) {
        last if !($control->request("snapshot $number.snap")->{ok});
        $number++;
        select undef, undef, undef, 0.05;
    }
    cmp_ok($number, '>', 0, "$how: snapshots while accesses are deferred");
    ($status, $out, $err) = finish($process);
    is("$status:$out", "0:$letters", "$how: the guest does not see them") or diag($err);
    for (0 .. $number - 1) {
        ($status, $out, $err) = run([ $minivmm, '-r', "$_.snap", '--set', 'device.l.delay=0' ]);
        ok($status == 0 && length $out && $letters =~ /\Q$out\E\z/, "$how: snapshot $_ continues") or diag("$status $out $err");
    }
}

# A trace shows the value of the access.
my ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--trace', 'trace.log', '--until', 'access:3', '--set', 'device.l.how=thread' ]);
is("$status:$err", '0:', 'with a trace');
like(slurp('trace.log'), qr/"read":"0x61","device":"l"/, 'the trace has the value') or diag(slurp('trace.log'));

# One that is never completed.
my $never = start([ $minivmm, '-c', 'x.ini', '--set', 'device.l.how=never', '--set', 'control.socket=n' ]);
my $control = Control->connect('n');
ok(until_true(sub { said($never) =~ /^minivmm: warning: l: callback deferred write of plugin later takes \d\.\d s so far/m }, 20), 'it is reported after a second');
like($control->request('pause')->{error}, qr/cannot pause the machine: a deferred write of device l has not ended within a second; the machine continues/, 'a pause is refused');
like($control->request('snapshot no.snap')->{error}, qr/a deferred write of device l has not ended/, 'and so is a snapshot');
ok(!-e 'no.snap', 'no file is written');
is($control->request('status')->{state}, 'running', 'status works');
is($control->request('quit')->{ok}, 1, 'and quit');
is((finish($never))[0], 0, 'the machine ends');

# A timeout must not leave a snapshot in which the guest has seen absent hardware. A busy host may
# not run the vCPU before a short one.
for my $timeout ('100ms', '10s') {
    unlink 'timeout.snap';
    ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--set', 'device.l.how=never', '--timeout', $timeout, '--save', 'timeout.snap' ]);
    last if !-e 'timeout.snap';
}
isnt($status, 0, 'a timeout during the access');
like($err, qr/cannot save the machine: the access that device l deferred was cancelled, so the guest sees absent hardware/, 'no snapshot of it');
ok(!-e 'timeout.snap', 'no file');

# Nor must Ctrl-C while a stop condition waits for the access. A busy host may not run the vCPU
# before the time of the stop: then a later one.
for my $how ('--until', '--at') {
    my $waits;
    for my $seconds (1, 10) {
        $waits = start([ $minivmm, '-c', 'x.ini', '--set', 'device.l.how=never', '--set', 'control.socket=w', $how, "time:${seconds}s", '--save', 'ctrl-c.snap', '--status', 'status.json' ]);
        my $control = Control->connect('w');
        until_true(sub {
            my $now = eval { $control->request('status') } // {};
            return -e 'ctrl-c.snap' || @{ $now->{slow_callbacks} // [] } && $now->{uptime_ns} > 1e9 * $seconds;
        }, 60);
        last if !-e 'ctrl-c.snap';
        kill KILL => $waits->{pid};
        finish($waits);
        unlink 'ctrl-c.snap';
    }
    kill INT => $waits->{pid};
    ($status, undef, $err) = finish($waits);
    is($status, 1002, "$how: Ctrl-C ends the wait");
    is_deeply([ @{ status_of('status.json') }{qw(cause exit)} ], [ 'signal', 130 ], "$how: that is the cause");
    like($err, qr/cannot save the machine: the access that device l deferred was cancelled/, "$how: no snapshot is written") or diag($err);
    ok(!-e 'ctrl-c.snap', "$how: no file");
}

# A reset cancels it; a completion that comes afterwards is refused and counted.
spew('wait.ini', guest('ba f8 03 b0 61 ee e4 10 ee f4', $device));
is((run([ $minivmm, '-c', 'wait.ini', '--until', 'access:1', '--save', 'wait.snap' ]))[0], 0, 'a snapshot before the access');
for my $wake (0, 50) {    # ms; on one CPU, the vCPU may run as soon as its access is cancelled
    my $reset = start([ $minivmm, '-r', 'wait.snap', '--log', 'debug', '--set', 'control.socket=r', '--set', 'device.l.how=late', '--set', 'device.l.delay=8s' ],
        LD_PRELOAD => "$build/tests/preload/slowwake.so", SLOW_WAKE => $wake);
    $control = Control->connect('r');
    ok(until_true(sub { said($reset) =~ /l: access 1 is deferred$/m }), 'it runs') or diag(said($reset));
    sleep 1;    # so much later does the next access end, and with it the machine
    is($control->request('reset')->{ok}, 1, "a reset during the access, wake-ups take $wake ms");
    ($status, $out, $err) = finish($reset);
    is("$status:$out", "0:\0", 'the next access gets its own value') or diag($err);
    like($err, qr/^minivmm: l: a deferred access is completed after it was cancelled$/m, 'the first one is too late') or diag($err);
}

# Mistakes.
($status, $out, $err) = run([ $minivmm, '-c', 'wait.ini', '--set', 'device.l.how=twice' ]);
is("$status:$out", "0:a\0", 'completed twice');
like($err, qr/^minivmm: l: minivmm_complete\(\) is refused: access 1 is not deferred, or was completed before; plugin later is at fault$/m, 'the second is refused');
($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--set', 'device.l.how=forget', '--until', 'access:4' ]);
like($err, qr/^minivmm: l: minivmm_defer\(\) is refused: a handler has deferred its access, and has not returned MINIVMM_PENDING; plugin later is at fault$/m, 'deferred, and not pending');

# A feature that this minivmm lacks.
spew('needs.ini', guest('f4', "[device n]\nplugin = needs\n"));
fails([ $minivmm, '-c', 'needs.ini' ], 110, qr/plugin needs \(.*\): it needs the feature teleport, which this minivmm lacks; update minivmm/, 'a feature of a future minivmm');
done_testing;
