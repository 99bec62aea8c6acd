#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Snapshots through pipes and sockets: whole ones go on where they were taken, others are refused
# before anything runs; and whoever reads does not hold up the machine.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Fcntl;
use Minivmm;
use Snapshot;
use Socket;
use Test::More;
use Time::HiRes 'sleep';

my $livehash = "$build/tests/tools/livehash";
my @set = ('--log', 'warn');
my @live = ($minivmm, '-c', "$configs/live.ini", @set, map { ('--set', $_) } 'vm.memory=1M', 'cpu.r12=5', 'control.socket=vm.sock');
my @simple = ($minivmm, '-c', "$configs/simple.ini", @set, '--until', 'rip:0x1005');

sub sh { return run([ 'sh', '-c', @_ ]) }

sub consecutive {
    my ($text, $name) = @_;
    my @ticks = map { hex } $text =~ /^tick ([0-9a-f]{8}) /mg;
    my $gaps = grep { $ticks[$_] != $ticks[ $_ - 1 ] + 1 } 1 .. $#ticks;
    ok(@ticks > 1 && !$gaps && $text !~ /corrupt/, $name) || diag($text);
    return @ticks;
}

# --- --save to -r ---
my ($status, $out, $err) = sh('"$@" --save fd:5 5>&1 >/dev/null | "$0" -r - --log warn', $minivmm, @simple);
is("$status:$out:$err", "0:4\n:", '--save fd:5 | -r -');
($status, $out, $err) = sh('"$@" --save fd:1 --set device.serial0.output=none | "$0" -r fd:7 7<&0 </dev/null --set device.serial0.output=stdio',
    $minivmm, @simple);
is("$status:$out", "0:4\n", '--save fd:1 | -r fd:7: as the machine was') || diag($err);
($status) = run([ @simple, '--save', 'a.snap' ]);
($status, $out, $err) = sh('"$@" --save fd:5 5>stream >/dev/null', 'sh', @simple);
is("$status:$err", '0:', '--save to a file, as a stream');
my $good = slurp('stream');
like($good, qr/\AMINIVMM\x1e/, 'it is one');
($status, $out) = run([ $minivmm, '-r', '-', @set ], stdin => $good);
is("$status:$out", "0:4\n", '-r - from a file');
($status, $out) = sh('"$0" -r - --save fd:5 --until rip:0x1007 5>&1 >/dev/null <stream | "$0" -r -', $minivmm);
is("$status:$out", "0:4\n", 'one stream into another');

# By each way of taking it, of a machine that runs.
for my $method (qw(precopy fork pause auto)) {
    my $machine = start([ @live, '--set', "snapshot.method=$method" ]);
    until_true { heard($machine) =~ /^tick 00000002/m };
    ($status, $out, $err) = run([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-' ], stdout => "live-$method");
    is($status, 0, "$method: a stream of a machine that runs") or diag($err);
    run([ $minivmm, 'ctl', 'vm.sock', 'quit' ]);
    finish($machine);
    ($status, $out, $err) = run([ $minivmm, '-r', '-', @set, '--until', 'output:serial0:tick:3' ], stdin => slurp("live-$method"));
    is($status, 0, "$method: restored") or diag($err);
    consecutive($out, "$method: goes on");
}

# --- Who has stdin and stdout ---
fails([ @simple, '--save', 'fd:1' ], 110, qr/--save fd:1: the snapshot goes to stdout.*device\.serial0\.output=/, 'stdout has one owner');
($status, $out, $err) = run([ @simple, '--set', 'device.serial0.input=stdio', '--save', 'b.snap' ]);
($status, $out, $err) = sh('"$@" --set device.serial0.input=stdio --save fd:5 5>in-stream >/dev/null </dev/null', 'sh', @simple);
is($status, 0, 'a machine that reads stdin') || diag($err);
fails([ $minivmm, '-r', '-' ], 110, qr/-r -: the snapshot comes from stdin.*device\.serial0\.input=/, 'stdin has one owner', stdin => slurp('in-stream'));
fails([ $minivmm, '-r', 'fd:0' ], 110, qr/-r fd:0: the snapshot comes from stdin/, 'by its number too', stdin => slurp('in-stream'));
fails([ @simple, '--save', 'fd:77' ], 113, qr/fd:77/, 'a descriptor that is none');
for my $fd (3 .. 20) {
    ($status, $out, $err) = run([ 'bash', '-c', 'for f in {3..20}; do eval "exec $f>&-"; done; exec "$@"', 'bash',
        $minivmm, '-c', "$configs/simple.ini", @set, '--trace', 'traced', '--until', 'hlt', '--save', "fd:$fd" ]);
    is("$status:$out", '113:', "fd:$fd, which is none yet: the guest does not run") or diag($err);
}
($status, $out, $err) = sh('"$@" --save fd:5 5</dev/null', 'sh', @simple);
is($status, 113, 'a descriptor that can only be read') || diag($err);
fails([ $minivmm, '-r', 'fd:77' ], 113, qr/fd:77/, 'nothing to read from');

# --- What is no whole stream ---
sub refused {
    my ($bytes, $message, $name) = @_;
    return fails([ $minivmm, '-r', '-' ], 112, $message, $name, stdin => $bytes);
}
refused('', qr/is truncated/, 'nothing');
refused(slurp('a.snap'), qr/is not a snapshot stream: send the output/, 'the file instead of the stream');
refused(join('', map { chr(($_ * 37 + 11) & 255) } 1 .. 5000), qr/is not a snapshot/, 'garbage');
refused("MINIVMM\x1e" . 'x' x 5000, qr/is damaged/, 'garbage behind the magic');
refused("MINIVMM\x1e" . "\0" x 5000, qr/is damaged/, 'zeros behind the magic');
refused(substr($good, 0, $_), qr/is truncated/, "cut at $_") for map { int(length($good) * $_ / 20) } 1 .. 19;
refused(substr($good, 0, -1), qr/is truncated/, 'without its last byte');
for my $at (map { int(length($good) * $_ / 40) + 3 } 0 .. 39) {
    my $bytes = $good;
    substr($bytes, $at, 1) ^= "\x10";
    refused($bytes, qr/is damaged|is not a snapshot|is truncated/, "a wrong bit in byte $at");
}
{
    # A frame left out, and two in the other order, each with a right checksum.
    my @frames;
    for (my $at = 8; $at < length $good;) {
        my ($offset, $length) = unpack 'QL', substr $good, $at;
        push @frames, substr $good, $at, 16 + $length;
        $at += 16 + $length;
    }
    cmp_ok(scalar @frames, '>', 2, 'there are frames');
    for my $out (0 .. $#frames) {
        refused(join('', "MINIVMM\x1e", @frames[ grep { $_ != $out } 0 .. $#frames ]), qr/stdin|-|snapshot/, "without frame $out");
    }
    refused(join('', "MINIVMM\x1e", @frames[ 1 .. $#frames ]), qr/does not begin with a size limit/, 'without what bounds it');
    # What never ends is not taken in: no machine of 16 KiB is that large.
    my $beyond = pack('Q L L', 1 << 30, 5, 0) . 'bytes';
    substr $beyond, 12, 4, pack 'L', Snapshot::crc32c($beyond);
    my ($reader, $writer);
    pipe $reader, $writer;
    my $endless = start([ $minivmm, '-r', '-' ], stdin => $reader);
    close $reader;
    syswrite $writer, join '', "MINIVMM\x1e", @frames[ 0 .. $#frames - 1 ], $beyond;
    ($status, $out, $err) = finish($endless);
    like("$status $err", qr/\A112 .*it exceeds its size limit of \d+ bytes/, 'beyond what bounds it: refused before its end');
    ($status, $out) = run([ $minivmm, '-r', '-' ], stdin => join '', "MINIVMM\x1e", @frames[ 0, reverse 1 .. $#frames - 1 ], $frames[-1]);
    ok($status == 112 || $out eq "4\n", 'in another order: refused or right');
}

# --- A machine that runs, through ctl ---
my $process = start([@live]);
my $control = Control->connect('vm.sock');
until_true { heard($process) =~ /^tick .*\n/m };
for my $round (1 .. 3) {
    my $kind = qw(full live full)[ $round - 1 ];
    my ($status, $out, $err) = sh(
        '"$0" ctl vm.sock snapshot - ' . ($round == 3 ? 'paused' : $kind) . " | \"\$0\" -r - --log warn --until output:serial0:tick:8", $minivmm);
    is($status, 0, "ctl snapshot - | -r -, $round") || diag($err);
    my ($first) = consecutive($out, 'it ticks on');
    my ($line) = grep { hex((/^tick (\w+)/)[0]) == $first - 1 } heard($process) =~ /^(tick .*)\n/mg;
    ok($line, 'from a tick of the original');
    like($err, qr/^id: [0-9a-f]{32}$/m, 'the reply is on stderr');
}
# A diff through a pipe is of the stream before it, which nobody has; or of a file that is given.
($status, $out, $err) = sh('"$0" ctl vm.sock snapshot - diff 2>/dev/null | "$0" -r - --log warn', $minivmm);
is($status, 112, 'a diff through a pipe has no parent there') || diag($err);
is($out, '', 'and nothing runs');
like($err, qr/- needs its parent, snapshot [0-9a-f]{32}/, 'its id is told');
is($control->request('snapshot full.snap')->{ok}, 1, 'a file');
mkdir 'away';
($status, $out, $err) = sh('"$0" ctl vm.sock snapshot - diff 2>/dev/null | (cd away; "$0" -r ../full.snap -r - --log warn --until output:serial0:tick:8)', $minivmm);
is("$status:$err", '0:', 'and what differs from it through a pipe');
consecutive($out, 'it ticks on');
# The first diff of what came through a pipe, whose parent has no file.
{
    spew('pipe.snap', '');
    ($status, $out, $err) = sh('"$0" ctl vm.sock snapshot - 2>/dev/null >pipe.snap', $minivmm);
    my $second = start([ $minivmm, '-r', '-', @set, '--set', 'control.socket=second.sock' ], stdin => slurp('pipe.snap'));
    my $there = Control->connect('second.sock');
    is($there->request('snapshot second.snap diff')->{ok}, 1, 'a diff of what came through a pipe');
    fails([ $minivmm, '-r', 'second.snap', @set ], 112, qr/needs its parent, snapshot [0-9a-f]{32}, which is not given: /, 'names a parent that has no file');
    is($there->request('snapshot third.snap')->{ok}, 1, 'a full one of it');
    is((run([ $livehash, 'third.snap' ]))[0], 0, 'is right');
    $there->request('quit');
    finish($second);
}

# Through socat and TCP.
SKIP: {
    skip 'needs socat', 4 if system('socat -V >/dev/null 2>&1');
    socket my $probe, PF_INET, SOCK_STREAM, 0 or die;
    bind $probe, sockaddr_in(0, INADDR_LOOPBACK) or die;
    my ($port) = sockaddr_in(getsockname $probe);
    close $probe;
    my $there = start([ 'sh', '-c', "socat -u TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr - | " . '"$0" -r - --log warn --until output:serial0:tick:8', $minivmm ]);
    ($status, $out, $err) = sh("\"\$0\" ctl vm.sock snapshot - | socat -u - TCP:127.0.0.1:$port,retry=50,interval=0.1", $minivmm);
    is($status, 0, 'into a TCP connection') || diag($err);
    ($status, $out, $err) = finish($there);
    is("$status:$err", '0:', 'out of one');
    consecutive($out, 'it ticks on');
    # The socket itself is what ctl hands over.
    my ($one, $other);
    socketpair $one, $other, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die;
    $there = start([ $minivmm, '-r', '-', @set, '--until', 'output:serial0:tick:8' ], stdin => $other);
    close $other;
    ($status, $out, $err) = run([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-' ], stdout => $one);
    is($status, 0, 'into a socket') || diag($err);
    close $one;
    ($status, $out, $err) = finish($there);
    consecutive($out, 'out of it');
}

# Readers that vanish, and that stall.
my $before = () = heard($process) =~ /^tick/mg;
for my $method ('', ' paused') {
    my ($reader, $writer);
    pipe $reader, $writer;
    my $stalled = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-', split ' ', $method ], stdout => $writer);
    close $writer;
    ok(until_true(sub { ($control->request('status')->{snapshot} // {})->{done_bytes} }), "a reader that stalls$method");
    is($control->request('cancel')->{ok}, 1, 'is left by cancel');
    ($status, $out, $err) = finish($stalled);
    like("$status $err", qr/\A1 .*cancel/i, 'which is said');
    pipe $reader, $writer;
    $stalled = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-', split ' ', $method ], stdout => $writer);
    close $writer;
    until_true { ($control->request('status')->{snapshot} // {})->{done_bytes} };
    sysread $reader, my $some, 10000;
    close $reader;
    ($status, $out, $err) = finish($stalled);
    like("$status $err", qr/\A1 .*Broken pipe/, "a reader that vanishes$method: said");
    is($control->request('snapshot after.snap')->{ok}, 1, 'the next one is taken');
    is((run([ $livehash, 'after.snap' ]))[0], 0, 'and right');
}
# Who hands over a pipe or a socket shares it with us: he finds it as it was, and cannot hold us up
# by it.
for my $kind ('pipe', 'socket') {
    my ($reader, $writer);
    $kind eq 'pipe' ? pipe $reader, $writer : socketpair $reader, $writer, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die;
    my $stalled = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-' ], stdout => $writer);
    my $waiting = sub { my $bytes = pack 'i', 0; ioctl($reader, 0x541b, $bytes) // die "FIONREAD: $!"; unpack 'i', $bytes };
    ok(until_true(sub { $waiting->() > 50000 }), "a $kind that is full");
    ok(!(fcntl($writer, F_GETFL, 0) & O_NONBLOCK), 'blocks for others as it did');
    fcntl $writer, F_SETFL, 0;
    sysread $reader, my $some, 100000;
    ok(until_true(sub { $waiting->() > 50000 }), 'is filled again');
    is($control->request('cancel')->{ok}, 1, 'cancel');
    ($status, $out, $err) = finish($stalled, 20);
    like("$status $err", qr/\A1 .*was cancelled/, 'is heard');
}
ok(until_true(sub { (() = heard($process) =~ /^tick/mg) > $before + 5 }), 'the machine runs on');
# The end of the machine is the end of a stream that stalls.
{
    my ($reader, $writer);
    pipe $reader, $writer;
    my $stalled = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-' ], stdout => $writer);
    close $writer;
    until_true { $control->request('status')->{snapshot} };
    is($control->request('quit')->{ok}, 1, 'quit in the middle of a stream');
    ($status, $out, $err) = finish($process);
    is($status, 0, 'ends the machine') || diag($err);
    ($status, undef, $err) = finish($stalled);
    like("$status $err", qr/\A1 .*snapshot -: the machine ended before it was complete/, 'and the stream, as failed');
    my $half = '';
    1 while sysread $reader, $half, 65536, length $half;
    refused($half, qr/is truncated/, 'what came of it is refused');
}
consecutive($out, 'no tick of the original is missing');

# --- A stop condition with a snapshot is hit while another snapshot is in progress: the machine
# waits for its end. --- More memory than a pipe takes is filled; then x is put out; then, after any
# input, y.
spew('wait.ini', <<'END');
[vm]
memory_at = 0x1000
memory = 512K

[boot]
code = b8 01 20 8e c0 b9 ff ff 31 ff f3 aa b8 01 30 8e c0 b9 ff ff 31 ff f3 aa ba f8 03 b0 78 ee ba fd 03 ec a8 01 74 fb ba f8 03 b0 79 ee f4

[device serial0]
plugin = serial
output = stdio
input = stdio

[control]
socket = wait.sock
END
for my $ends ('its reader', 'cancel', 'quit') {
    unlink 'planned.snap';
    pipe my $keys, my $typist;
    pipe my $reader, my $writer;
    my $waiting = start([ $minivmm, '-c', 'wait.ini', @set, '--until', 'output:serial0:y', '--save', 'planned.snap' ], stdin => $keys);
    my $there = Control->connect('wait.sock');
    until_true { heard($waiting) eq 'x' };
    my $stalled = start([ $minivmm, 'ctl', 'wait.sock', 'snapshot', '-' ], stdout => $writer);
    close $writer;
    until_true { ($there->request('status')->{snapshot} // {})->{done_bytes} };
    syswrite $typist, 'k';
    ok(until_true(sub { $there->request('status')->{state} eq 'paused' }), "a snapshot that $ends ends: the machine waits at the point");
    is($there->request('resume')->{state}, 'paused', 'also when it is told to go on');
    ok(!-e 'planned.snap', 'the planned one is not there yet');
    my $stream = '';
    $there->request($ends) if $ends ne 'its reader';
    if ($ends eq 'its reader') { 1 while sysread $reader, $stream, 65536, length $stream }
    my ($ended, undef, $said) = finish($stalled);
    like("$ended $said", $ends eq 'cancel' ? qr/\A1 .*it was cancelled/ : $ends eq 'quit' ? qr/\A1 .*the machine ended/ : qr/\A0 id: /, 'which its client is told');
    ($status, $out, $err) = finish($waiting);
    is("$status:$out", '0:xy', 'the machine ends at the point') || diag($err);
    is((run([ $minivmm, 'verify', 'planned.snap' ]))[0], 0, 'and its snapshot is written');
    next if $ends ne 'its reader';
    is((run([ $minivmm, '-r', '-', @set, '--set', 'device.serial0.input=none' ], stdin => $stream))[0], 0, 'so is the other');
}

done_testing;
