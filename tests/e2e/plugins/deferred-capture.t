#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A device that captures its state later: a helper process has it, see tests/plugins/helper.c. Until
# then the machine is paused and the operator is answered. A capture that fails, takes too long or
# is cancelled fails the snapshot, and the machine continues.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;
use Time::HiRes 'time';

$ENV{MINIVMM_PLUGIN_PATH} = "$build/tests/plugins";
my @branches;
END { kill KILL => @branches }

# Adds 1 to 10, prints the sum, 55, as a character, and ends.
# mov $10,%cl; 1: mov %cl,%al; out %al,$0x10; dec %cl; jnz 1b; in $0x10,%al; mov $0x3f8,%dx;
# out %al,%dx; hlt
my $device = "[device h]\nplugin = helper\n\n[device g]\nplugin = helper\nport = 0x20\n";
my $code = 'b1 0a 88 c8 e6 10 fe c9 75 f8 e4 10 ba f8 03 ee f4';
spew('x.ini', guest($code, $device));
# The same, but it does not end: jmp .
spew('loop.ini', guest($code =~ s/f4$/eb fe/r, "$device\n[control]\nsocket = s\n"));

my ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini' ]);
is("$status:$out:$err", '0:7:', 'the helper adds');

# A snapshot after each access, and what it continues with: the sum is that of the helper.
for my $access (1 .. 11) {
    ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--until', "access:$access", '--save', "$access.snap", '--log', 'error' ]);
    is("$status:$out:$err", '0::', "a snapshot at access $access");
    ($status, $out, $err) = run([ $minivmm, '-r', "$access.snap" ]);
    is("$status:$out:$err", '0:7:', 'the helper of the restored machine has its state');
}

sub sum {
    my ($file) = @_;
    my ($h) = grep { $_->{name} eq 'h' } @{ inspect($file)->{devices} };
    return $h->{state}{sum};
}
is(sum('6.snap'), 10 + 9 + 8 + 7 + 6 + 5, 'the state is in the snapshot');

# Starts the machine, waits until the guest has printed its sum, and returns the process and two
# connections.
sub begin {
    my (@arguments) = @_;
    unlink 'go';
    my $process = start([ $minivmm, @arguments, '--log', 'debug' ]);
    my @control = map { Control->connect('s') } 1 .. 2;
    until_true { heard($process) eq '7' };
    return ($process, @control);
}

sub waits {
    my ($control) = @_;
    return until_true(sub { my $s = $control->request('status'); $s->{state} eq 'paused' && $s->{snapshot} });
}

# The machine runs on, and ends when it is told to. Returns the log.
sub ends {
    my ($process, $control, $name) = @_;
    my $before = $control->request('status')->{uptime_ns};
    ok(until_true(sub { my $s = $control->request('status'); $s->{state} eq 'running' && $s->{uptime_ns} > $before }), "$name: the machine continues");
    $control->request('quit');
    my ($status, undef, $err) = finish($process);
    is($status, 0, "$name: it ends");
    return $err;
}

# While a helper takes its time, the operator is answered.
for my $method (qw(live paused)) {
    my ($process, $control, $other) = begin('-c', 'loop.ini', '--set', 'device.h.failure=slow', '--set', 'device.g.failure=slow');
    $control->send("snapshot $method.snap $method\n");
    ok(waits($other), "$method: the machine is paused while the devices capture");
    my $most = 0;
    for (1 .. 20) {
        my $began = time;
        my $state = $other->request('status')->{state};
        my $took = time - $began;
        $most = $took if $took > $most;
        is($state, 'paused', "$method: status $_");
    }
    cmp_ok($most, '<', 1, "$method: it is answered at once");
    ok(!-e "$method.snap", "$method: there is no file yet");
    spew('go', '');
    my $reply = $control->reply;
    ok($reply->{ok}, "$method: the snapshot is complete") or diag($reply->{error});
    is(sum("$method.snap"), 55, "$method: with the state of the helper");
    ends($process, $control, $method);
}

# A capture fails.
my %error = (
    fails => 'the helper process has lost its state',
    dies => 'the helper process has ended',
);
for my $failure (sort keys %error) {
    my ($process, $control) = begin('-c', 'loop.ini', '--set', "device.h.failure=$failure");
    is($control->request('snapshot no.snap')->{error}, "device h (plugin helper): capture failed: $error{$failure}: no snapshot is written",
        "$failure: the operator learns why");
    ok(!-e 'no.snap', "$failure: no file");
    if ($failure eq 'fails') {
        ok($control->request('snapshot next.snap')->{ok}, 'the next snapshot');
        is(sum('next.snap'), 55, 'has the state');
    }
    ends($process, $control, $failure);
}

# It takes too long.
spew('caller.ini', guest('eb fe', "[device c]\nplugin = caller\nin = capture\nact = defer\n\n[control]\nsocket = s\n"));
{
    my $process = start([ $minivmm, '-c', 'caller.ini' ]);
    my $control = Control->connect('s');
    is($control->request('snapshot no.snap')->{error}, 'device c (plugin caller): its capture has not ended within 1s: no snapshot is written; try again later',
        'the deadline of the descriptor');
    ok(!-e 'no.snap', 'no file');
    ok($control->request('snapshot yes.snap')->{ok}, 'the next snapshot');
    like(ends($process, $control, 'deadline'), qr/^minivmm: c: minivmm_captured\(\) is refused: capture 12345 is not deferred, or was completed before; plugin caller is at fault$/m,
        'an id that does not exist is refused');
}

# It is cancelled. The helper's answer is too late then: refused, counted, and never taken for that
# of the next snapshot.
is((run([ $minivmm, '-c', 'loop.ini', '--until', 'access:3', '--save', 'base.snap', '--log', 'error' ]))[0], 0, 'a snapshot for resets');
for my $by (qw(cancel reset)) {
    my ($process, $control, $other) = begin('-r', 'base.snap', '--set', 'device.h.failure=slow', '--set', 'control.socket=s');
    $control->send("snapshot cancelled.snap\n");
    ok(waits($other), "$by: a device captures");
    my $reply = $other->request($by);
    ok($reply->{ok}, "$by during the capture") or diag($reply->{error});
    is($control->reply->{error}, 'cannot write snapshot cancelled.snap: it was cancelled', "$by: the snapshot is cancelled");
    ok(!-e 'cancelled.snap', "$by: no file");
    if ($by eq 'reset') { # the accesses of the guest wait for the helper
        spew('go', '');
        ok(until_true(sub { heard($process) eq '77' }), 'reset: the guest has begun again');
    }
    $control->send("snapshot $by.snap\n");
    if ($by eq 'cancel') {
        ok(waits($other), 'cancel: the next snapshot waits, too');
        spew('go', '');
    }
    $reply = $control->reply;
    ok($reply->{ok}, "$by: the next snapshot is complete") or diag($reply->{error});
    is(sum("$by.snap"), 55, "$by: with the state of the helper");
    my ($h) = grep { $_->{name} eq 'h' } @{ $other->request('status')->{devices} };
    is($h->{refused}, 1, "$by: the late answer is counted");
    like(ends($process, $control, $by), qr/^minivmm: h: a deferred capture is completed after it was cancelled$/m, "$by: it is logged");
}
for my $by (qw(quit TERM INT)) {
    my ($process, $control, $other) = begin('-c', 'loop.ini', '--set', 'device.h.failure=silent');
    $control->send("snapshot ended.snap\n");
    ok(waits($other), "$by: a device captures");
    if ($by eq 'quit') { $other->request('quit') }
    else { kill $by, $process->{pid} }
    is($control->reply->{error}, 'cannot write snapshot ended.snap: the machine ended before it was complete', "$by: the snapshot fails");
    my ($status) = finish($process);
    is($status, { quit => 0, TERM => 1015, INT => 1002 }->{$by}, "$by: the machine ends");
    ok(!-e 'ended.snap', "$by: no file");
}

# A branch has a helper of its own, with the state that was captured.
if ($branches) {
    my ($process, $control) = begin('-c', 'loop.ini');
    my $reply = $control->request('branch branch.sock');
    ok($reply->{ok}, 'a branch') or diag($reply->{error});
    @branches = map { $_->{pid} } @{ $reply->{branches} };
    my $branch = Control->connect('branch.sock');
    is($branch->request('device h')->{state}{sum}, 55, 'it has the state of the helper');
    ok($branch->request('snapshot branch.snap')->{ok}, 'its helper captures');
    is(sum('branch.snap'), 55, 'the state that it got');
    $branch->request('quit');
    ok(until_true(sub { !-e 'branch.sock' }), 'it ends');
    @branches = ();
    ends($process, $control, 'branch');
}

# The snapshot of a stop condition, and of a timeout.
for my $how ([ '--until', 'access:2' ], [ '--timeout', '200ms' ]) {
    my $process = start([ $minivmm, '-c', 'loop.ini', @$how, '--save', 'stop.snap', '--set', 'device.h.failure=silent' ]);
    my $control = Control->connect('s');
    ok(waits($control), "@$how: a device captures");
    kill INT => $process->{pid};
    my ($status, undef, $err) = finish($process);
    is($status, 1002, "@$how: Ctrl-C ends the wait") or diag($err);
    ok(!-e 'stop.snap', "@$how: no file");
}

done_testing;
