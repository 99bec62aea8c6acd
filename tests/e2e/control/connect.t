#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# ctl connect joins stdin and stdout with a port of the guest, or with a serial line. The guest
# echoes what port 7 receives.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Digest::MD5 'md5_hex';
use IO::Select;
use Minivmm;
use POSIX ();
use Socket;
use Test::More;

$SIG{PIPE} = 'IGNORE';
my $text = <<"END";
[vm]
memory_at = 0x1000
memory = 64K

[boot]
image = $top/guests/vsock-echo.bin

[cpu]
mode = protected

[device serial0]
plugin = serial
output = stdio

[device vsock0]
plugin = virtio-vsock
address = 0xd0000000
irq = none
END
spew('x.ini', $text);

# Bytes of all values, of which each part differs.
sub bytes_of {
    my ($length) = @_;
    my $bytes = pack 'N*', map { $_ * 2654435761 & 0xffffffff } 1 .. $length / 4;
    return $bytes;
}

sub machine {
    my ($socket, @command) = @_;
    my $process = start([ $minivmm, @command, '--set', "control.socket=$socket", '--log', 'warn' ]);
    my $control = Control->connect($socket);
    ok($control, "$socket listens");
    return ($process, $control);
}

sub ctl_connect {
    my ($in, @words) = @_;
    return run([ $minivmm, 'ctl', @words ], stdin => $in);
}

# Connects with pipes of the test: returns the process and its stdin and stdout.
sub join_pipes {
    my (@words) = @_;
    pipe my $in, my $to or die;
    pipe my $from, my $out or die;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDIN, '<&', $in or die;
        open STDOUT, '>&', $out or die;
        close $_ for $in, $to, $from, $out;
        exec $minivmm, 'ctl', @words or die;
    }
    close $in;
    close $out;
    binmode $_ for $to, $from;
    return ($pid, $to, $from);
}

# Reads exactly so many bytes, or until the end.
sub take {
    my ($from, $length) = @_;
    my $got = '';
    while (length $got < $length && IO::Select->new($from)->can_read(60)) {
        sysread $from, $got, $length - length $got, length $got or last;
    }
    return $got;
}

sub ended {
    my ($pid) = @_;
    local $SIG{ALRM} = sub { kill KILL => $pid };
    alarm 60;
    waitpid $pid, 0;
    alarm 0;
    return $?;
}

my ($process, $control) = machine('vm.sock', '-c', 'x.ini');
ok(until_true(sub { heard($process) eq "vsock-echo: ready\n" }), 'the guest is ready') or diag(heard($process));

# Both directions, both ends, any bytes.
my ($status, $out, $err) = ctl_connect("hello\n", 'vm.sock', 'connect', 'vsock0', 7);
is("$status:$out:$err", "0:hello\n:", 'a line');
($status, $out, $err) = ctl_connect('', 'vm.sock', 'connect', 'vsock0', 7);
is("$status:$out:$err", '0::', 'nothing');
my $much = bytes_of(1 << 20);
($status, $out, $err) = ctl_connect($much, 'vm.sock', 'connect', 'vsock0', 7);
is("$status:" . md5_hex($out) . ":$err", '0:' . md5_hex($much) . ':', 'a mebibyte');
($status, $out, $err) = run([ 'sh', '-c', "exec $minivmm ctl vm.sock connect vsock0 7 <&-" ]);
is("$status:$out:$err", "0::minivmm: warning: ctl: cannot read stdin: Bad file descriptor; it ends here\n", 'without stdin');

# Who reads slowly gets all, and keeps no other from it.
my ($slow, $to, $from) = join_pipes('vm.sock', 'connect', 'vsock0', 7);
my $pid = fork // die "fork: $!";
if (!$pid) {
    for (my $at = 0; $at < length $much;) { $at += syswrite($to, $much, 65536, $at) // last }
    POSIX::_exit(0);
}
close $to;
is(take($from, 4), substr($much, 0, 4), 'a slow reader gets the first bytes');
is((ctl_connect("other\n", 'vm.sock', 'connect', 'vsock0', 7))[1], "other\n", 'another connection beside it');
is(md5_hex(take($from, length $much)), md5_hex(substr $much, 4), 'and then the rest');
is(take($from, 1), '', 'and the end');
waitpid $pid, 0;
is(ended($slow), 0, 'the status');

# Refusals.
my @refused = (
    [ [ 'vsock0', 8 ] => 'cannot connect to port 8 of vsock0: the guest refuses it: no program listens on that port' ],
    [ [ 'vsock0', 4294967296 ] => 'cannot connect to port 4294967296 of vsock0: the largest port is 4294967295' ],
    [ [ 'vsock0', '7x' ] => qr/port 7x / ],
    [ ['vsock0'] => 'vsock0 has ports: use connect vsock0 PORT' ],
    [ [ 'serial0', 7 ] => 'serial0 has no ports: use connect serial0' ],
    [ ['serial0'] => 'cannot connect to serial0: its output is stdio; use output = none, or a socket that listens, to connect' ],
    [ [ 'vsock9', 7 ] => 'there is no device vsock9; did you mean vsock0?' ],
    [ [] => 'connect takes more arguments; usage: connect DEVICE [PORT]' ],
);
for my $case (@refused) {
    my ($words, $message) = @$case;
    ($status, $out, $err) = ctl_connect("lost\n", 'vm.sock', 'connect', @$words);
    is("$status:$out", '1:', "connect @$words: the status");
    like($err, ref $message ? $message : qr/\Aminivmm: \Q$message\E\n\z/, "connect @$words");
}
($status, $out, $err) = ctl_connect('', '--json', 'vm.sock', 'connect', 'vsock0', 7);
is("$status:$out:$err", "110::minivmm: ctl: connect does not support --json: stdout is the connection\n", '--json');

# A request without a socket, or with another kind of descriptor.
sub send_with {
    my ($socket, $line, $fd) = @_;
    my $client = Control->connect($socket);
    # struct iovec, cmsghdr and msghdr of x86-64
    my $part = pack 'P Q', $line, length $line;
    my $passed = pack 'Q i i i x4', 20, SOL_SOCKET, 1, $fd;
    my $message = pack 'Q L x4 P Q P Q i x4', 0, 0, $part, 1, $passed, length $passed, 0;
    my $sent = syscall(46, fileno $client->{socket}, $message, 0); # sendmsg
    die "sendmsg: $!" if $sent != length $line;
    return $client;
}

sub request_with { return send_with('vm.sock', "connect vsock0 7\n", fileno $_[0])->reply }

# A socket pair; one end goes to the machine. Returns the other one, when it is connected.
sub join_socket {
    my ($socket, $line) = @_;
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0 or die;
    my $reply = send_with($socket, "$line\n", fileno $theirs)->reply;
    ok($reply->{ok}, "$socket: $line") or diag($reply->{error});
    return $ours;
}
is($control->request('connect vsock0 7')->{error}, 'connect needs a connected unix stream socket, passed with the request; minivmm ctl does that', 'no descriptor');
pipe my $read, my $write or die;
my $other = 'cannot connect to vsock0: the descriptor is not a connected unix stream socket';
is(request_with($write)->{error}, $other, 'a pipe');
socket my $alone, AF_UNIX, SOCK_STREAM, 0 or die;
is(request_with($alone)->{error}, $other, 'a socket without a peer');
socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0 or die;
syswrite $ours, 'early';
is(request_with($theirs)->{error}, 'cannot connect to vsock0: the socket has unread bytes: send them after the reply', 'bytes before the reply');
$ours = join_socket('vm.sock', 'connect vsock0 7');
syswrite $ours, 'late';
is(take($ours, 4), 'late', 'a socket pair is connected');
close $ours;

# A pause: bytes wait, and so do those who connect.
($pid, $to, $from) = join_pipes('vm.sock', 'connect', 'vsock0', 7);
syswrite $to, 'before';
is(take($from, 6), 'before', 'before a pause');
is($control->request('pause')->{ok}, 1, 'a pause');
syswrite $to, 'meanwhile';
my $waiting = start([ $minivmm, 'ctl', 'vm.sock', 'connect', 'vsock0', 7 ], stdin => "waits\n");
socketpair $ours, $theirs, AF_UNIX, SOCK_STREAM, 0 or die;
my $gone = send_with('vm.sock', "connect vsock0 7\n", fileno $theirs);
close $theirs;
is($control->request('snapshot paused.snap')->{ok}, 1, 'a snapshot in the pause');
ok(!IO::Select->new($from)->can_read(0.1), 'nothing comes in a pause');
undef $gone;
is(take($ours, 1), '', 'who does not wait for the answer is not connected');
$control->request('resume');
is(take($from, 9), 'meanwhile', 'it comes afterwards');
is(join(':', (finish($waiting))[0, 1]), "0:waits\n", 'who has waited is connected');

# A snapshot: the machine keeps its connections, the restored one has none, and takes new ones.
is($control->request('snapshot one.snap')->{ok}, 1, 'a snapshot');
syswrite $to, 'after';
is(take($from, 5), 'after', 'the connection goes on');
my ($restored, $second) = machine('r.sock', '-r', 'one.snap', '--set', 'device.serial0.output=none');
is((ctl_connect("new\n", 'r.sock', 'connect', 'vsock0', 7))[1], "new\n", 'a restored machine is connected');

# A reset ends its connections.
my ($reset, $to_reset, $from_reset) = join_pipes('r.sock', 'connect', 'vsock0', 7);
syswrite $to_reset, 'x';
is(take($from_reset, 1), 'x', 'a connection');
is($second->request('reset')->{ok}, 1, 'a reset');
is(take($from_reset, 1), '', 'ends it');
is(ended($reset), 0, 'with status 0, though stdin has not ended');
is((ctl_connect("again\n", 'r.sock', 'connect', 'vsock0', 7))[1], "again\n", 'the next connection');

# A serial line: the machine that is restored has no client, and one at a time can connect.
my $line = join_socket('r.sock', 'connect serial0');
($status, $out, $err) = ctl_connect('', 'r.sock', 'connect', 'serial0');
is("$status:$err", "1:minivmm: cannot connect to serial0: another program is connected to it; end that first\n", 'a serial line has one client');

# The end of the machine ends the connections.
$ours = join_socket('r.sock', 'connect vsock0 7');
$second->request('quit');
is((finish($restored))[0], 0, 'the restored machine ends');
is(take($_, 1), '', 'and so do its connections') for $line, $ours;

# Branches have none of the machine's connections, and their own.
SKIP: {
    skip 'ThreadSanitizer does not support the threads of branches', 6 if $build =~ /tsan$/;
    is($control->request('branch b0.sock b1.sock')->{ok}, 1, 'two branches');
    syswrite $to, 'still';
    is(take($from, 5), 'still', q{the machine's connection goes on});
    for my $branch (0, 1) {
        is((ctl_connect("branch $branch\n", "b$branch.sock", 'connect', 'vsock0', 7))[1], "branch $branch\n", "branch $branch is connected");
        is((run([ $minivmm, 'ctl', "b$branch.sock", 'quit' ]))[0], 0, 'and ends');
    }
}
close $to;
is(take($from, 1), '', 'the first connection ends');
is(ended($pid), 0, 'with status 0');
like(join(',', map { "$_->{failures} $_->{refused}" } @{ $control->request('devices')->{devices} }), qr/\A0 0,0 0\z/, 'no device has failed');
$control->request('quit');
($status, $out, $err) = finish($process);
is("$status:$out:$err", "0:vsock-echo: ready\n:", 'the machine ends');

# A serial line, both ways: what the guest echoes.
($process, $control) = machine('s.sock', '-c', "$configs/echo.ini", '--set', 'device.serial0.input=none', '--set', 'device.serial0.output=none');
($pid, $to, $from) = join_pipes('s.sock', 'connect', 'serial0');
syswrite $to, "typed\r";
my ($said, $byte) = ('', '');
$said .= $byte while $said !~ /typed\r\n/ && ($byte = take($from, 1)) ne '';
like($said, qr/typed\r\n\z/, 'the guest echoes a line');
syswrite $to, "\x04";
is(ended($pid), 0, 'the guest ends, and so does the connection');
is((finish($process))[0], 0, 'the status of the guest');

done_testing;
