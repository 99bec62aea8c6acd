#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# No guest, client or reader of output stalls the main thread: the control socket replies while a
# guest's access does not end, while nobody reads stderr, and when no descriptor is left. A stop
# condition that nobody waits for any more is withdrawn.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use POSIX 'mkfifo';
use Test::More;

$ENV{MINIVMM_PLUGIN_PATH} = "$build/tests/plugins";
my $socket = "[control]\nsocket = vm.sock\n";
mkfifo($_, 0600) or die "$_: $!" for 'pipe', 'err';

# The guest writes to the device, whose write does not end; then it prints what the device's post
# and its watch have counted.
spew('stuck.ini', guest('e6 10 f3 90 e4 10 84 c0 74 f8 04 30 ba f8 03 ee eb fe', "[device stuck0]\nplugin = stuck\npipe = pipe\n$socket"));

sub stuck {
    my $process = start([ $minivmm, '-c', 'stuck.ini' ]);
    my $control = Control->connect('vm.sock');
    ok(until_true(sub { said($process) =~ /stuck0: waits/ }), 'the guest is in the access') or diag(said($process));
    return ($process, $control);
}

sub end_access {
    open my $writer, '>', 'pipe' or die "pipe: $!";    # waits for the device
}

my ($process, $control) = stuck();
my $other = Control->connect('vm.sock');
my $third = Control->connect('vm.sock');
my $refused = qr/cannot pause the machine: a write of device stuck0 has not ended within a second; the machine continues/;
$control->send("pause\n");
is($other->request('status')->{state}, 'running', 'status during a pause that waits for the access');
$third->send("registers\n");
is($other->request('devices')->{devices}[1]{name}, 'stuck0', 'devices, too');
like($control->reply->{error}, $refused, 'the pause is refused, with the name of the device');
like($third->reply->{error}, qr/stuck0/, 'and so is a request that came meanwhile');
for my $request ('snapshot a.snap', 'until hlt', 'memory 0 1') {
    my $reply = $control->request($request);
    ok($request =~ /memory/ ? $reply->{error} || $reply->{bytes} : ($reply->{error} // '') =~ $refused, "a reply to $request") or diag(explain $reply);
}
ok(!-e 'a.snap', 'no snapshot is written');
end_access();
ok(until_true(sub { heard($process) eq '1' }), 'the guest continues; the post and the watch of the device have run') or diag(heard($process));
is($control->request('pause')->{state}, 'paused', 'a pause after the access');
is($control->request('snapshot a.snap')->{ok}, 1, 'a snapshot after the access');
$control->request('quit');
is((finish($process))[0], 0, 'the machine ends');

($process, $control) = stuck();
$other = Control->connect('vm.sock');
$control->send("snapshot b.snap\n");
is($other->request('quit')->{ok}, 1, 'quit during the access');
end_access();
my ($status) = finish($process);
is($status, 0, 'the machine ends with the access');

# A stop condition whose client disconnects, or that another client cancels.
spew('prints.ini', guest('ba f8 03 b9 ff ff e2 fe b0 79 ee eb f6', $socket));
$process = start([ $minivmm, '-c', 'prints.ini' ]);
$other = Control->connect('vm.sock');
for my $how (qw(gone cancelled)) {
    $control = Control->connect('vm.sock');
    $control->send("until output:serial0:never\n");
    ok(until_true(sub { $other->request('status')->{until} }), "$how: the stop condition is pending");
    if ($how eq 'gone') {
        undef $control;
    } else {
        is($other->request('cancel')->{ok}, 1, 'cancel withdraws it');
        is($control->reply->{error}, 'withdrawn by cancel', 'its client gets an error');
    }
    ok(until_true(sub { !$other->request('status')->{until} }), "$how: it is withdrawn");
    my $bytes = length heard($process);
    ok(until_true(sub { length heard($process) > $bytes }), "$how: the machine continues");
    is($other->request('until output:serial0:y')->{state}, 'paused', "$how: there is room for another");
    is($other->request('resume')->{state}, 'running', "$how: resume");
}
like($other->request('cancel')->{error}, qr/no snapshot, core or until is in progress/, 'nothing is left to cancel');

# A snapshot in progress is cancelled first.
$other->request('quit');
is((finish($process))[0], 0, 'the machine ends');

# stderr is a pipe that nobody reads, and it is full. The guest causes a warning with each access.
open my $err, '+<', 'err' or die "err: $!";
fcntl $err, 1031, 4096 or die "F_SETPIPE_SZ: $!";
is(syswrite($err, 'x' x 4096), 4096, 'the pipe is full');
spew('loud.ini', guest('e4 10 eb fc', "[device loud0]\nplugin = loud\n$socket"));
$process = start([ 'sh', '-c', 'exec "$0" "$@" 2>err', $minivmm, '-c', 'loud.ini', '--log', 'warn' ]);
$control = Control->connect('vm.sock');
ok(until_true(sub { $control->accesses('loud0', 'reads') > 100 }), 'the guest continues');
is($control->request('pause')->{state}, 'paused', 'a pause');
is(sysread($err, my $text, 4096), 4096, 'the pipe is read');
is($control->request('resume')->{state}, 'running', 'resume');
$text = '';
until_true { sysread $err, $text, 4096, length $text; $text =~ /loud0: .*\n.*loud0: / };
like($text, qr/^(?:minivmm: warning: \d+ messages were dropped, because nobody read stderr\n)+minivmm: warning: loud0: /, 'the messages that were dropped are counted');
$control->request('quit');
close $err;
is((finish($process))[0], 0, 'the machine ends');

# Nobody reads the trace.
open my $reader, '+<', 'err' or die "err: $!";
fcntl $reader, 1031, 4096 or die "F_SETPIPE_SZ: $!";
$process = start([ $minivmm, '-c', 'loud.ini', '--log', 'error', '--trace', 'err' ]);
$control = Control->connect('vm.sock');
my $reply;
until_true {    # until the pipe is full
    $reply = $control->request('pause');
    $control->request('resume') if $reply->{ok};
    !$reply->{ok};
};
like($reply->{error}, qr/cannot pause the machine: the reader of the trace does not read/, 'a pause is refused while nobody reads the trace');
ok($control->request('status')->{ok}, 'status is answered');
is($control->request('quit')->{ok}, 1, 'quit');
my ($end, undef, $said) = finish($process);
is($end, 113, 'the machine ends');
like($said, qr/the trace in err is not complete: nobody reads it/, 'and the trace is not complete');
close $reader;

# No descriptor is left, but for the one that is kept for the control socket.
$process = start([ 'sh', '-c', 'ulimit -n 32; exec "$0" "$@"', $minivmm, '-c', 'prints.ini' ]);
my @clients = map { Control->connect('vm.sock', 5) } 1 .. 40;
is(scalar(grep { defined } @clients), 40, 'clients beyond the limit of descriptors wait');
is($clients[0]->request('status')->{ok}, 1, 'the first one has a reply');
undef @clients;
ok(Control->connect('vm.sock')->request('status')->{ok}, 'and so has the next one, when they have gone');
Control->connect('vm.sock')->request('quit');
is((finish($process))[0], 0, 'the machine ends');

done_testing;
