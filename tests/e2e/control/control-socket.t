#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The control socket of a running machine: every command, as a program and as a person gives it; and
# clients that mean no good, which the guest does not feel.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Errno;
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP;
use Minivmm;
use Socket;
use Test::More;
use Time::HiRes 'sleep';

$SIG{PIPE} = 'IGNORE';
sub set { return map { ('--set', $_) } @_ }
my @live = ($minivmm, '-c', "$configs/live.ini", '--log', 'warn', set('vm.memory=1M', 'cpu.r12=5', 'cpu.r15=1', 'control.socket=vm.sock'));

sub ctl { return run([ $minivmm, 'ctl', @_ ]) }

sub consecutive {
    my ($text, $name) = @_;
    my @ticks = map { hex } $text =~ /^tick ([0-9a-f]{8}) /mg;
    is(scalar(grep { $ticks[$_] != $ticks[ $_ - 1 ] + 1 } 1 .. $#ticks), 0, $name) || diag($text);
    return $ticks[-1];
}

# A fresh live machine.
my $process = start([@live]);
my $control = Control->connect('vm.sock');
ok($control, 'it listens');
is((stat 'vm.sock')[2] & 07777, 0600, 'its socket is for its user alone');

# help, and nothing in it goes untested.
my $help = $control->request('help');
my @commands = map { $_->{name} } @{ $help->{commands} };
is(join(' ', sort @commands),
    'cancel device devices help log memory pause quit registers reset resume snapshot status until',
    'the commands: each is tested below');
my ($status, $out, $err) = ctl('vm.sock', 'help');
is($status, 0, 'help, for people');
like($out, qr/^  \Q$_\E.* \w+/m, "help: $_") for @commands;

# status
my $s = $control->request('status');
is($s->{state}, 'running', 'status: state');
is($s->{memory_bytes}, 1 << 20, 'status: memory');
is(scalar @{ $s->{vcpus} }, 1, 'status: vCPUs');
is_deeply([ sort keys %{ $s->{vcpus}[0] } ], [qw(exits halted id)], 'status: of a vCPU');
is_deeply([ sort keys %{ $s->{exits} } ], [qw(debug hlt intr mmio other pio)], 'status: exits');
is_deeply([ map { "$_->{name} $_->{plugin}" } @{ $s->{devices} } ], [ 'serial0 serial', 'exit0 debug-exit' ], 'status: devices');
ok(exists $s->{dirty_pages_per_second} && !defined $s->{dirty_pages_per_second}, 'status: no dirty rate before a snapshot');
ok(until_true(sub { $control->request('status')->{devices}[0]{writes} > $s->{devices}[0]{writes} }), 'status: accesses are counted');
ok(until_true(sub { $control->request('status')->{exits}{pio} > $s->{exits}{pio} }), 'status: exits are counted');
($status, $out) = ctl('vm.sock', 'status');
is($status, 0, 'status, for people');
like($out, qr/^state: running$/m, 'status: state, for people');
($status, $out) = ctl('--json', 'vm.sock', 'status');
is("$status " . decode_json($out)->{state}, '0 running', 'status, --json');

# devices and device
is_deeply($control->request('devices')->{devices}[1], { name => 'exit0', plugin => 'debug-exit', reads => 0, writes => 0, failures => 0 },
    'devices');
my $serial = $control->request('device serial0');
is("$serial->{name} $serial->{plugin}", 'serial0 serial', 'device');
is($serial->{state}{fcr} // $serial->{state}{FCR} // 1, 1, 'device: what the guest has set');
like($control->request('device serial9')->{error}, qr/there is no device serial9; did you mean serial0\?$/, 'device: none of that name');
like($control->request('device x')->{error}, qr/there is no device x; the command devices lists them$/, 'nor one like that');
my ($registers_status, $registers) = ctl('vm.sock', 'registers');
like("$registers_status:$registers", qr/\A0:vcpu: 0\n.*^  rip: 0x([0-9a-f]+) \(\d+\)\n.*^  cs\.base: 0x0 \(0\)\n/ms, 'registers in hex, for people');
my ($rip) = $registers =~ /^  rip: (.*)/m;
is($rip, sprintf('0x%x (%d)', ($rip =~ /\((\d+)\)/) x 2), 'of the same number');
($status, $out) = ctl('vm.sock', 'device', 'serial0');
is($status, 0, 'device, for people');
like($out, qr/^plugin: serial$/m, 'device: its plugin');

# pause and resume
for my $round (1, 2) {
    is($control->request('pause')->{state}, 'paused', "pause, $round");
}
$s = $control->request('status');
is($s->{state}, 'paused', 'it is');
my $said = heard($process);
sleep 0.1;
my $t = $control->request('status');
is($t->{uptime_ns}, $s->{uptime_ns}, 'its clock stands still');
is($t->{exits}{pio}, $s->{exits}{pio}, 'so does its vCPU');
is(heard($process), $said, 'and what it says');
is_deeply($control->request('registers')->{regs}, $control->request('registers 0')->{regs}, 'its registers are its registers');
my $block = $control->request('memory 0x8000 16');
is(pack('H*', $block->{bytes} // ''), 'minilive' . pack('Q<', unpack 'Q<', pack 'H*', substr $block->{bytes}, 16), 'its memory can be read');
is((ctl('vm.sock', 'resume'))[0], 0, 'resume, for people') for 1, 2;
is($control->request('resume')->{state}, 'running', 'resume again');
ok(until_true(sub { heard($process) ne $said }), 'it goes on');
is($control->request('status')->{state}, 'running', 'it runs');

# What can't be.
my %errors = (
    'registers 1' => qr/there is no vCPU 1/,
    'registers x' => qr/^x /,
    'memory 0 0' => qr/limits are 1 and 65536/,
    'memory 0 65537' => qr/limits are 1 and 65536/,
    'memory 0xfffff 2' => qr/is not all guest memory/,
    'memory 0xffffffffffffffff 2' => qr/is not all guest memory/,
    'memory 1' => qr/./,
    'until' => qr/./,
    'until nonsense' => qr/nonsense/,
    'until time:1us' => qr/is in the past/,
    'until output:none:x' => qr/device/,
    'snapshot' => qr/./,
    'snapshot x.snap fast' => qr/fast is none of full, diff, live and paused/,
    'snapshot x.snap diff' => qr/take a full snapshot first/,
    'snapshot no/where' => qr/No such file or directory/,
    'snapshot -' => qr/needs a descriptor/,
    'cancel' => qr/no snapshot is under way/,
    'reset' => qr/needs a snapshot/,
    'log loud' => qr/loud is none of/,
    'frobnicate' => qr/frobnicate/,
    'status now' => qr/./,
    '"' => qr/./,
);
for my $request (sort keys %errors) {
    my $reply = $control->request($request);
    ok(exists $reply->{ok} && !$reply->{ok} && $reply->{error} =~ $errors{$request}, "refused: $request") || diag(explain $reply);
    next if $request eq '"';
    ($status, $out, $err) = ctl('vm.sock', split ' ', $request) if $request ne 'snapshot -';
    is("$status:$out", '1:', "refused, for people: $request") || diag($err);
}
unlike(names(), qr/snap/, 'nothing is left of the snapshots that could not be');

# log
is($control->request('log debug')->{ok}, 1, 'log');
is($control->request("log $_")->{ok}, 1, "log $_") for qw(info error warn);

# snapshot
my $reply = $control->request('snapshot a.snap');
is($reply->{ok}, 1, 'snapshot') || diag(explain $reply);
like($reply->{id}, qr/^[0-9a-f]{32}$/, 'snapshot: id');
is($reply->{kind}, 'full', 'snapshot: kind');
cmp_ok($reply->{$_}, '>', 0, "snapshot: $_") for qw(stopped_us duration_ms bytes pages rounds);
ok(exists $reply->{pages_on_demand}, 'snapshot: pages_on_demand');
is($control->request('status')->{base}, $reply->{id}, 'status: the base of the next diff');
is(inspect('a.snap')->{id} // $reply->{id}, $reply->{id}, 'snapshot: the id in the file');
$control->request('status');
ok(until_true(sub { ($control->request('status')->{dirty_pages_per_second} // 0) > 0 }), 'status: a dirty rate after it');
$reply = $control->request('snapshot b.snap paused diff');
is($reply->{ $_->[0] }, $_->[1], "snapshot paused diff: $_->[0]") for [ kind => 'diff' ], [ method => 'pause' ];
($status, $out, $err) = ctl('vm.sock', 'snapshot', 'c.snap', 'diff', 'live');
is("$status:$err", '0:', 'snapshot, for people') || diag($out);
like($out, qr/^kind: diff$/m, 'snapshot: kind, for people');
is((run([ $minivmm, 'verify', 'c.snap' ]))[0], 0, 'snapshot: it is right');

# A second one, and cancel, while one is under way: its pipe has no reader yet.
{
    # Two machines on one socket.
    fails([@live], 113, qr/vm\.sock/, 'a second machine on the socket is refused');
    ok(-S 'vm.sock', 'which stays');
    my ($reader, $writer);
    pipe $reader, $writer;
    my $stalled = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-' ], stdout => $writer);
    close $writer;
    ok(until_true(sub { $control->request('status')->{snapshot} }), 'status: the snapshot under way');
    $s = $control->request('status')->{snapshot};
    is($s->{file}, '-', 'status: its file');
    ok($s->{total_bytes} >= $s->{done_bytes}, 'status: how far it is');
    like($control->request('snapshot d.snap')->{error}, qr/another snapshot is in progress/, 'a second one is refused');
    ok(!-e 'd.snap', 'and leaves nothing');
    like($control->request('reset')->{error}, qr/needs a snapshot|under way/, 'so is a reset');
    is($control->request('cancel')->{ok}, 1, 'cancel');
    ($status, $out, $err) = finish($stalled);
    is($status, 1, 'which the one under way is told');
    like($err, qr/cancel/i, 'and says');
    ok(!$control->request('status')->{snapshot}, 'none is under way');
    is($control->request('snapshot e.snap diff')->{ok}, 1, 'the next one is a diff again');
}
unlike(names(), qr/\.snap\..*|d\.snap/, 'nothing is left');

# until
my $at = $control->request('status')->{uptime_ns} + 500_000_000;    # a busy host is late
$reply = $control->request("until time:${at}ns");
is($reply->{state}, 'paused', 'until time: paused there') || diag(explain $reply);
cmp_ok($reply->{time_ns} // 0, '>=', $at, 'until time: then');
$reply = $control->request('until output:serial0:tick');
is($reply->{state}, 'paused', 'until output');
$reply = $control->request('until pio:0x3fd:2');
is("$reply->{state} $reply->{point}", 'paused pio:0x3fd:2', 'until pio');
$reply = $control->request('until access:1');
ok($reply->{ok} || $reply->{error}, 'until access: answered');
$control->request('resume');
$control->send("until output:serial0:never-said\n");
my $second = Control->connect('vm.sock');
ok(until_true(sub { $second->request('status')->{until} }), 'status: the point waited for');
like($second->request('until hlt')->{error}, qr/has a stop condition already: output:serial0:never-said/, 'a second point is refused');

# Hostile clients.
my $before = consecutive(heard($process), 'until here no tick is missing');
{
    my @many = map { IO::Socket::UNIX->new(Peer => 'vm.sock') } 1 .. 300;
    $many[0] && syswrite $many[0], 'x' x 1000;    # and never a newline
    my $junk = IO::Socket::UNIX->new(Peer => 'vm.sock');
    $junk->blocking(0) if $junk;
    for (1 .. 64) {
        defined syswrite $junk, join('', map { chr rand 256 } 1 .. 65536) or last if $junk;
    }
    for (1 .. 50) {
        my $brief = IO::Socket::UNIX->new(Peer => 'vm.sock') or next;
        syswrite $brief, "memory 0 65536\n" x 20;
        close $brief;
    }
    # One that asks and never reads.
    my $deaf = IO::Socket::UNIX->new(Peer => 'vm.sock');
    $deaf->blocking(0);
    for (1 .. 2000) { defined syswrite $deaf, "memory 0 65536\n" or last }
    my $good = Control->connect('vm.sock');
    is($good->request('status')->{state}, 'running', 'hostile clients: it still answers');
    ok(until_true(sub { (() = heard($process) =~ /^tick/mg) > $before + 10 }), 'hostile clients: the guest ticks on');
    # Who was silent longest had to make room.
    $second = $good;
}
$second = Control->connect('vm.sock');
is($second->request('quit')->{ok}, 1, 'quit');
($status, $out, $err) = finish($process);
is($status, 0, 'it ends well');
unlike($err, qr/^(?!minivmm: cannot write snapshot )/m, 'having said only what could not be');
consecutive($out, 'no tick is missing');
ok(!-e 'vm.sock', 'the socket file is gone');

# One that waits for a point is told of the end.
spew('jmp.ini', guest('b8 34 12 bb 78 56 b0 61 ba f8 03 ee eb fe', "[control]\nsocket = vm.sock\n"));
$process = start([ $minivmm, '-c', 'jmp.ini' ]);
$control = Control->connect('vm.sock');
ok(until_true(sub { heard($process) eq 'a' }), 'a guest that says a letter');
my $regs = $control->request('registers');
is_deeply([ $regs->{vcpu}, map { $regs->{regs}{$_} } qw(rax rbx rdx rip) ], [ 0, 0x1261, 0x5678, 0x3f8, 0x100c ], 'registers: as they must be');
is($control->request('memory 0x1000 14')->{bytes}, 'b83412bb7856b061baf803eeebfe', 'memory: as it must be');
($status, $out) = ctl('vm.sock', 'memory', '0x1000', '2');
like($out, qr/^bytes: b834$/m, 'memory, for people');
($status, $out) = ctl('vm.sock', 'registers');
like($out, qr/rbx.*0x5678|rbx: 22136/, 'registers, for people');
$reply = $control->request('until rip:0x100c');
ok($reply->{ok} || $reply->{error}, 'until rip: answered') || diag(explain $reply);
$control->request('resume');
$control->send("until hlt\n");
$second = Control->connect('vm.sock');
ok(until_true(sub { $second->request('status')->{until} }), 'a point is waited for');
$second->request('quit');
like($control->reply->{error} // '', qr/the machine ended before stop condition hlt was hit: /, 'who waits is told of the end');
is((finish($process))[0], 0, 'it ends well');

# What a point waits for has come out by then: a letter, again and again, some ms apart.
spew('y.ini', guest('ba f8 03 b9 ff ff e2 fe b0 79 ee eb f6', "[control]\nsocket = vm.sock\n"));
$process = start([ $minivmm, '-c', 'y.ini' ]);
$control = Control->connect('vm.sock');
my $late = 0;
for my $round (1 .. 12) {
    $control->request('until output:serial0:y');
    my ($puts) = map { $_->{writes} } grep { $_->{name} eq 'serial0' } @{ $control->request('devices')->{devices} };
    $late += length heard($process) != $puts;
}
is($late, 0, 'until output: nothing is still on its way');
$control->request('quit');
is((finish($process))[0], 0, 'it ends well');

# A restored machine: --set control.socket with -r; reset; a socket that a dead one left.
{
    my $dead = IO::Socket::UNIX->new(Local => 'vm.sock', Listen => 1);
    close $dead;
}
ok(-S 'vm.sock', 'a socket that nobody listens on');
$process = start([ $minivmm, '-r', 'a.snap', '--log', 'warn', set('control.socket=vm.sock') ]);
$control = Control->connect('vm.sock');
ok($control && $control->request('status')->{ok}, 'is replaced');
my @first;
$before = 0;    # bytes said before the last reset
for my $round (1 .. 3) {
    until_true { (my @seen = substr(heard($process), $before) =~ /^tick .*\n/mg) >= 4 };
    # Who asks how the machine is doing looks at the pages that were written: a reset must know of
    # these as well.
    $control->request('status');
    $control->request('pause');
    is($control->request('reset')->{ok}, 1, "reset, $round");
    is($control->request('snapshot after.snap full')->{ok}, 1, 'a snapshot of what it is then');
    my (undef, $differs) = run([ $minivmm, 'diff', 'a.snap', 'after.snap' ]);
    unlike($differs, qr/^memory/m, "reset, $round: all of memory is as it was");
    is($control->request('status')->{state}, 'paused', 'it stays paused');
    push @first, $control->request('memory 0x8000 0x68')->{bytes};
    $before = length heard($process);
    $control->request('resume');
}
until_true { my ($first) = heard($process) =~ /^(tick .*\n)/m; (() = heard($process) =~ /\Q$first\E/g) >= 4 }
    or diag(explain($control->request('status'), $control->request('registers'), $control->request('device serial0')));
is($first[$_], $first[0], "reset $_: its memory is the snapshot's") for 1, 2;
is($control->request('quit')->{ok}, 1, 'quit');
($status, $out, $err) = finish($process);
my ($line) = $out =~ /^(tick .*)\n/m;
is(scalar(() = $out =~ /\Q$line\E/g), 4, 'after each reset the same ticks come again') || diag($out);
unlike($out, qr/corrupt/, 'and memory is whole');

# A child that writes a snapshot, to somebody who does not read it, keeps none of the machine's
# connections: who is hung up on knows that at once.
{
    $process = start([ @live, set('snapshot.method=fork') ]);
    $control = Control->connect('vm.sock');
    until_true { 5 < (() = heard($process) =~ /^tick/mg) };    # more memory is in use than a pipe holds
    pipe my $unread, my $into or die "pipe: $!";
    my $taker = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-' ], stdout => $into);
    close $into;
    ok(until_true(sub { slurp("/proc/$process->{pid}/task/$process->{pid}/children") }), 'a child writes');
    my $wordy = Control->connect('vm.sock');
    my $child = slurp("/proc/$process->{pid}/task/$process->{pid}/children");
    $control->send('y' x 5000);
    like($control->line(10), qr/"ok":false/, 'too long a line');
    # What it has not read of ours makes that a reset.
    my $read = IO::Select->new($control->{socket})->can_read(10) ? sysread $control->{socket}, my $more, 1 : 'late';
    ok(defined $read ? $read eq 0 : $!{ECONNRESET}, 'and that was all') or diag("$read $!");
    is(slurp("/proc/$process->{pid}/task/$process->{pid}/children"), $child, 'while the child writes on');
    my $file = '';
    1 while sysread $unread, $file, 65536, length $file;
    is((finish($taker))[0], 0, 'what it writes is whole');
    is($wordy->request('quit')->{ok}, 1, 'quit');
    is((finish($process))[0], 0, 'the machine ends');
    is((run([ $minivmm, '-r', '-', '--until', 'output:serial0:tick' ], stdin => $file))[0], 0, 'and is restored');
}

# Input that is given to a restored machine is there again after a reset.
run([ $minivmm, '-c', "$configs/echo.ini", '--until', 'output:serial0:ends.', '--save', 'echo.snap', '--log', 'error', set('device.serial0.input=none') ]);
spew('typed', 'xyz');
for my $input (qw(text:xyz hex:78797a file:typed)) {
    $process = start([ $minivmm, '-r', 'echo.snap', '--log', 'error', set("device.serial0.input=$input", 'control.socket=vm.sock') ]);
    $control = Control->connect('vm.sock');
    for my $round (1 .. 3) {
        my $said = sub { heard($process) =~ s/\s//gr };    # the end of a line was still to come
        until_true { $said->() eq 'xyz' x $round };
        is($said->(), 'xyz' x $round, "$input, reset " . ($round - 1));
        $control->request('reset');
    }
    $control->request('quit');
    finish($process);
}

# How long a guest stands still is taken from it, not from who has stopped it and is late himself.
# Of one that a person has stopped, it is how long the snapshot had need of that.
{
    $process = start([@live], LD_PRELOAD => "$build/tests/preload/behind.so");
    $control = Control->connect('vm.sock');
    $reply = $control->request('snapshot e.snap');
    cmp_ok($reply->{duration_ms}, '>', 1000, 'a main thread that is a second behind');
    cmp_ok($reply->{stopped_us}, '<', 1e6, 'is not what the guest waits for');
    cmp_ok($reply->{stopped_us}, '>', 0, 'which stops, though');
    $control->request('pause');
    $reply = $control->request('snapshot e.snap');
    cmp_ok($reply->{stopped_us}, '>', 0, 'one that stands already');
    cmp_ok($reply->{stopped_us}, '<', $reply->{duration_ms} * 1000, 'for a part of the time');
    is($control->request('quit')->{ok}, 1, 'quit');
    is((finish($process))[0], 0, 'the machine ends');
}

# What is no socket is not replaced.
spew('vm.sock', 'mine');
fails([@live], 113, qr/vm\.sock/, 'a file that is no socket');
is(slurp('vm.sock'), 'mine', 'is left alone');

done_testing;
