#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Snapshots through pipes and sockets: complete streams continue where they were taken, others are
# refused before the guest runs, and a slow reader does not block the machine.
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
is("$status:$out", "0:4\n", '--save fd:1 | -r fd:7') || diag($err);
($status) = run([ @simple, '--save', 'a.snap' ]);
($status, $out, $err) = sh('"$@" --save fd:5 5>stream >/dev/null', 'sh', @simple);
is("$status:$err", '0:', '--save to a file, as a stream');
my $good = slurp('stream');
like($good, qr/\AMINIVMM\x1e/, 'it is in the stream format');
($status, $out) = run([ $minivmm, '-r', '-', @set ], stdin => $good);
is("$status:$out", "0:4\n", '-r - from a file');
($status, $out) = sh('"$0" -r - --save fd:5 --until rip:0x1007 5>&1 >/dev/null <stream | "$0" -r -', $minivmm);
is("$status:$out", "0:4\n", 'a restored stream saved as another stream');

# Each method, of a running machine.
for my $method (qw(precopy fork pause auto)) {
    my $machine = start([ @live, '--set', "snapshot.method=$method" ]);
    until_true { heard($machine) =~ /^tick 00000002/m };
    ($status, $out, $err) = run([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-' ], stdout => "live-$method");
    is($status, 0, "$method: a stream of a running machine") or diag($err);
    run([ $minivmm, 'ctl', 'vm.sock', 'quit' ]);
    finish($machine);
    ($status, $out, $err) = run([ $minivmm, '-r', '-', @set, '--until', 'output:serial0:tick:3' ], stdin => slurp("live-$method"));
    is($status, 0, "$method: restored") or diag($err);
    consecutive($out, "$method: the original continues");
}

# --- Owners of stdin and stdout ---
fails([ @simple, '--save', 'fd:1' ], 110, qr/--save fd:1: the snapshot goes to stdout.*device\.serial0\.output=/, 'refused: a snapshot and a device on stdout');
($status, $out, $err) = run([ @simple, '--set', 'device.serial0.input=stdio', '--save', 'b.snap' ]);
($status, $out, $err) = sh('"$@" --set device.serial0.input=stdio --save fd:5 5>in-stream >/dev/null </dev/null', 'sh', @simple);
is($status, 0, 'a machine that reads stdin') || diag($err);
fails([ $minivmm, '-r', '-' ], 110, qr/-r -: the snapshot comes from stdin.*device\.serial0\.input=/, 'refused: a snapshot and a device on stdin', stdin => slurp('in-stream'));
fails([ $minivmm, '-r', 'fd:0' ], 110, qr/-r fd:0: the snapshot comes from stdin/, 'refused: the same with fd:0', stdin => slurp('in-stream'));
fails([ @simple, '--save', 'fd:77' ], 113, qr/fd:77/, 'refused: a descriptor that is not open');
for my $fd (3 .. 20) {
    ($status, $out, $err) = run([ 'bash', '-c', 'for f in {3..20}; do eval "exec $f>&-"; done; exec "$@"', 'bash',
        $minivmm, '-c', "$configs/simple.ini", @set, '--trace', 'traced', '--until', 'hlt', '--save', "fd:$fd" ]);
    is("$status:$out", '113:', "fd:$fd, not open: the guest does not run") or diag($err);
}
($status, $out, $err) = sh('"$@" --save fd:5 5</dev/null', 'sh', @simple);
is($status, 113, 'refused: a read-only descriptor') || diag($err);
{
    my $terminal = terminal();
    for my $fd (1, 2) {
        my @to = ('sh', '-c', "exec \"\$0\" \"\$@\" $fd>$terminal->{name}");
        my @save = ('--set', 'device.serial0.output=none', '--until', 'hlt', '--save', "fd:$fd");
        is((run([ @to, $minivmm, '-c', "$configs/simple.ini", @save ]))[0], 110, "refused: fd:$fd is a terminal");
    }
    # The message of the second run is all that it shows.
    ok($terminal->shows(qr/--save fd:2: the snapshot cannot go to a terminal; redirect/), 'a terminal: the message');
    unlike($terminal->{seen}, qr/MINIVMM/, 'the terminal gets no snapshot');
}
fails([ $minivmm, '-r', 'fd:77' ], 113, qr/fd:77/, 'refused: -r with a descriptor that is not open');

# --- Incomplete and invalid streams ---
sub refused {
    my ($bytes, $message, $name) = @_;
    return fails([ $minivmm, '-r', '-' ], 112, $message, $name, stdin => $bytes);
}
refused('', qr/is truncated/, 'nothing');

# The bytes of a snapshot file are as good as a stream, through a pipe or as stdin itself.
my @file = run([ $minivmm, '-r', 'a.snap' ]);
for my $how ('"$@" <a.snap', 'cat a.snap | "$@"', '"$@" < <(cat a.snap)') {
    ($status, $out, $err) = run([ 'bash', '-c', $how, 'bash', $minivmm, '-r', '-' ]);
    is_deeply([ $status, $out ], [ @file[ 0, 1 ] ], "a snapshot file: $how") or diag($err);
}
my $plain = slurp('a.snap');
fails([ 'bash', '-c', 'head -c ' . int($_ * length $plain) . ' a.snap | "$@"', 'bash', $minivmm, '-r', '-' ],
    112, qr/is truncated|is cut off|is damaged|ends|not a snapshot/, "a snapshot file, cut at $_") for 0.1, 0.5, 0.99;
# A file that does not end is not read to its end, which it does not have.
for (
    [ substr($plain, 0, 4096), qr/: snapshot - is damaged: more bytes follow its end, at \d+$/, 'a snapshot file' ],
    [ "MINIVMM\x1a", qr/: snapshot - has snapshot format 0, but/, 'zeros after the magic of a file' ],
  ) {
    my ($head, $message, $name) = @$_;
    spew('head', $head);
    fails([ 'bash', '-c', 'cat head /dev/zero | "$@"; exit ${PIPESTATUS[1]}', 'bash', $minivmm, '-r', '-' ], 112, $message, "endless: $name");
}
refused(join('', map { chr(($_ * 37 + 11) & 255) } 1 .. 5000), qr/is not a snapshot/, 'garbage');
refused("MINIVMM\x1e" . 'x' x 5000, qr/is damaged/, 'garbage after the magic');
refused("MINIVMM\x1e" . "\0" x 5000, qr/is damaged/, 'zeros after the magic');
refused(substr($good, 0, $_), qr/is truncated/, "cut at $_") for map { int(length($good) * $_ / 20) } 1 .. 19;
refused(substr($good, 0, -1), qr/is truncated/, 'without its last byte');
for my $at (map { int(length($good) * $_ / 40) + 3 } 0 .. 39) {
    my $bytes = $good;
    substr($bytes, $at, 1) ^= "\x10";
    refused($bytes, qr/is damaged|is not a snapshot|is truncated/, "a wrong bit in byte $at");
}
{
    # A missing frame, and two exchanged frames, each with a valid checksum.
    my @frames;
    for (my $at = 8; $at < length $good;) {
        my ($offset, $length) = unpack 'QL', substr $good, $at;
        push @frames, substr $good, $at, 16 + $length;
        $at += 16 + $length;
    }
    cmp_ok(scalar @frames, '>', 2, 'the stream has frames');
    for my $out (0 .. $#frames) {
        refused(join('', "MINIVMM\x1e", @frames[ grep { $_ != $out } 0 .. $#frames ]), qr/stdin|-|snapshot/, "without frame $out");
    }
    refused(join('', "MINIVMM\x1e", @frames[ 1 .. $#frames ]), qr/does not begin with a size limit/, 'without the frame that has the sizes');
    # An endless stream is not read to its end: it exceeds a machine of 16 KiB.
    my $beyond = pack('Q L L', 1 << 30, 5, 0) . 'bytes';
    substr $beyond, 12, 4, pack 'L', Snapshot::crc32c($beyond);
    my ($reader, $writer);
    pipe $reader, $writer;
    my $endless = start([ $minivmm, '-r', '-' ], stdin => $reader);
    close $reader;
    syswrite $writer, join '', "MINIVMM\x1e", @frames[ 0 .. $#frames - 1 ], $beyond;
    ($status, $out, $err) = finish($endless);
    like("$status $err", qr/\A112 .*it exceeds its size limit of \d+ bytes/, 'refused before its end: more data than the machine has');
    ($status, $out) = run([ $minivmm, '-r', '-' ], stdin => join '', "MINIVMM\x1e", @frames[ 0, reverse 1 .. $#frames - 1 ], $frames[-1]);
    ok($status == 112 || $out eq "4\n", 'exchanged frames: refused, or restored correctly');
}

# --- A running machine, through ctl ---
my $process = start([@live]);
my $control = Control->connect('vm.sock');
until_true { heard($process) =~ /^tick .*\n/m };
for my $round (1 .. 3) {
    my $kind = qw(full live full)[ $round - 1 ];
    my ($status, $out, $err) = sh(
        '"$0" ctl vm.sock snapshot - ' . ($round == 3 ? 'paused' : $kind) . " | \"\$0\" -r - --log warn --until output:serial0:tick:8", $minivmm);
    is($status, 0, "ctl snapshot - | -r -, $round") || diag($err);
    my ($first) = consecutive($out, 'it continues');
    my ($line) = grep { hex((/^tick (\w+)/)[0]) == $first - 1 } heard($process) =~ /^(tick .*)\n/mg;
    ok($line, 'it continues from a tick of the original');
    like($err, qr/^id: [0-9a-f]{32}$/m, 'the reply goes to stderr');
}
# A diff through a pipe needs its parent, an earlier stream, which is not stored; or a file that is
# given.
($status, $out, $err) = sh('"$0" ctl vm.sock snapshot - diff 2>/dev/null | "$0" -r - --log warn', $minivmm);
is($status, 112, 'refused: a diff whose parent is missing') || diag($err);
is($out, '', 'the guest does not run');
like($err, qr/- needs its parent, snapshot [0-9a-f]{32}/, "the message has the parent's id");
is($control->request('snapshot full.snap')->{ok}, 1, 'a full snapshot to a file');
mkdir 'away';
($status, $out, $err) = sh('"$0" ctl vm.sock snapshot - diff 2>/dev/null | (cd away; "$0" -r ../full.snap -r - --log warn --until output:serial0:tick:8)', $minivmm);
is("$status:$err", '0:', 'a diff of it through a pipe');
consecutive($out, 'it continues');
# The first diff of a machine restored from a pipe; its parent has no file.
{
    spew('pipe.snap', '');
    ($status, $out, $err) = sh('"$0" ctl vm.sock snapshot - 2>/dev/null >pipe.snap', $minivmm);
    my $second = start([ $minivmm, '-r', '-', @set, '--set', 'control.socket=second.sock' ], stdin => slurp('pipe.snap'));
    my $there = Control->connect('second.sock');
    is($there->request('snapshot second.snap diff')->{ok}, 1, 'a diff of a machine restored from a pipe');
    fails([ $minivmm, '-r', 'second.snap', @set ], 112, qr/needs its parent, snapshot [0-9a-f]{32}, which is not given: /, 'refused: a restore of it without its parent');
    is($there->request('snapshot third.snap')->{ok}, 1, 'a full snapshot of that machine');
    is((run([ $livehash, 'third.snap' ]))[0], 0, 'the full snapshot is valid');
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
    is($status, 0, 'a snapshot into a TCP connection') || diag($err);
    ($status, $out, $err) = finish($there);
    is("$status:$err", '0:', 'a restore from a TCP connection');
    consecutive($out, 'it continues');
    # ctl passes the socket itself.
    my ($one, $other);
    socketpair $one, $other, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die;
    $there = start([ $minivmm, '-r', '-', @set, '--until', 'output:serial0:tick:8' ], stdin => $other);
    close $other;
    ($status, $out, $err) = run([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-' ], stdout => $one);
    is($status, 0, 'a snapshot into a socket') || diag($err);
    close $one;
    ($status, $out, $err) = finish($there);
    consecutive($out, 'a restore from the socket');
}

# Readers that disappear, and readers that stall.
my $before = () = heard($process) =~ /^tick/mg;
for my $method ('', ' paused') {
    my ($reader, $writer);
    pipe $reader, $writer;
    my $stalled = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-', split ' ', $method ], stdout => $writer);
    close $writer;
    ok(until_true(sub { ($control->request('status')->{snapshot} // {})->{done_bytes} }), "a reader that stalls$method");
    is($control->request('cancel')->{ok}, 1, 'cancel ends the snapshot');
    ($status, $out, $err) = finish($stalled);
    like("$status $err", qr/\A1 .*cancel/i, 'the client reports the cancellation');
    pipe $reader, $writer;
    $stalled = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-', split ' ', $method ], stdout => $writer);
    close $writer;
    until_true { ($control->request('status')->{snapshot} // {})->{done_bytes} };
    sysread $reader, my $some, 10000;
    close $reader;
    ($status, $out, $err) = finish($stalled);
    like("$status $err", qr/\A1 .*Broken pipe/, "a reader that disappears$method: reported");
    is($control->request('snapshot after.snap')->{ok}, 1, 'the next snapshot succeeds');
    is((run([ $livehash, 'after.snap' ]))[0], 0, 'the next snapshot is valid');
}
# The machine shares a received pipe or socket with its sender: the machine does not change its
# O_NONBLOCK flag, and does not block on it.
for my $kind ('pipe', 'socket') {
    my ($reader, $writer);
    $kind eq 'pipe' ? pipe $reader, $writer : socketpair $reader, $writer, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die;
    my $stalled = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-' ], stdout => $writer);
    my $waiting = sub { my $bytes = pack 'i', 0; ioctl($reader, 0x541b, $bytes) // die "FIONREAD: $!"; unpack 'i', $bytes };
    ok(until_true(sub { $waiting->() > 50000 }), "a $kind that is full");
    ok(!(fcntl($writer, F_GETFL, 0) & O_NONBLOCK), 'still blocks for other processes');
    fcntl $writer, F_SETFL, 0;
    sysread $reader, my $some, 100000;
    ok(until_true(sub { $waiting->() > 50000 }), 'is filled again');
    is($control->request('cancel')->{ok}, 1, 'cancel');
    ($status, $out, $err) = finish($stalled, 20);
    like("$status $err", qr/\A1 .*was cancelled/, 'a cancel is handled');
}
ok(until_true(sub { (() = heard($process) =~ /^tick/mg) > $before + 5 }), 'the machine continues');
# The end of the machine ends a stalled stream.
{
    my ($reader, $writer);
    pipe $reader, $writer;
    my $stalled = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-' ], stdout => $writer);
    close $writer;
    until_true { $control->request('status')->{snapshot} };
    is($control->request('quit')->{ok}, 1, 'quit during a stream');
    ($status, $out, $err) = finish($process);
    is($status, 0, 'the machine ends') || diag($err);
    ($status, undef, $err) = finish($stalled);
    like("$status $err", qr/\A1 .*snapshot -: the machine ended before it was complete/, "the stream's client reports the failure");
    my $half = '';
    1 while sysread $reader, $half, 65536, length $half;
    refused($half, qr/is truncated/, 'the incomplete stream');
}
consecutive($out, 'no tick of the original is missing');

# --- A stop condition is hit during a snapshot ---
# The machine waits for the end of the snapshot. The guest fills more memory than a pipe holds and
# prints x; then, after any input, it prints y.
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
    ok(until_true(sub { $there->request('status')->{state} eq 'paused' }), "a snapshot ended by $ends: the machine waits at the stop condition");
    is($there->request('resume')->{state}, 'paused', 'it also waits after resume');
    ok(!-e 'planned.snap', 'the planned snapshot is not written yet');
    my $stream = '';
    $there->request($ends) if $ends ne 'its reader';
    if ($ends eq 'its reader') { 1 while sysread $reader, $stream, 65536, length $stream }
    my ($ended, undef, $said) = finish($stalled);
    like("$ended $said", $ends eq 'cancel' ? qr/\A1 .*it was cancelled/ : $ends eq 'quit' ? qr/\A1 .*the machine ended/ : qr/\A0 id: /, "the first snapshot's client reports its end");
    ($status, $out, $err) = finish($waiting);
    is("$status:$out", '0:xy', 'the machine ends at the stop condition') || diag($err);
    is((run([ $minivmm, 'verify', 'planned.snap' ]))[0], 0, 'the planned snapshot is valid');
    next if $ends ne 'its reader';
    is((run([ $minivmm, '-r', '-', @set, '--set', 'device.serial0.input=none' ], stdin => $stream))[0], 0, 'the first snapshot can be restored');
}

done_testing;
