#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The control socket of a running machine: every command, in JSON and through minivmm ctl; and
# hostile clients, which do not disturb the guest.
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

# A fresh machine of configs/live.ini.
my $process = start([@live]);
my $control = Control->connect('vm.sock');
ok($control, 'the machine listens on its socket');
is((stat 'vm.sock')[2] & 07777, 0600, 'only the owner can access the socket');

# help lists the commands. Each one is tested below, but branch in branch/branch.t, connect in
# connect.t, core in cli/core.t, and tool in tools/tools.t.
my $help = $control->request('help');
my @commands = map { $_->{name} } @{ $help->{commands} };
is(join(' ', sort @commands),
    'branch cancel connect core device devices help log memory pause quit registers reset resume snapshot status tool until',
    'help lists the commands that are tested below');
my ($status, $out, $err) = ctl('vm.sock', 'help');
is($status, 0, 'ctl help');
like($out, qr/^  \Q$_\E.* \w+/m, "help: $_") for @commands;

# status
my $s = $control->request('status');
is($s->{state}, 'running', 'status: state');
is($s->{memory_bytes}, 1 << 20, 'status: memory');
is(scalar @{ $s->{vcpus} }, 1, 'status: vCPUs');
is_deeply([ sort keys %{ $s->{vcpus}[0] } ], [qw(cpu_ns exits halted id)], 'status: members of a vCPU');
is_deeply([ sort keys %{ $s->{exits} } ], [qw(debug hlt intr mmio other pio)], 'status: exits');
is_deeply([ map { "$_->{name} $_->{plugin}" } @{ $s->{devices} } ], [ 'serial0 serial', 'exit0 debug-exit' ], 'status: devices');
ok(exists $s->{dirty_pages_per_second} && !defined $s->{dirty_pages_per_second}, 'status: no dirty rate before a snapshot');
ok(until_true(sub { $control->request('status')->{devices}[0]{writes} > $s->{devices}[0]{writes} }), 'status: accesses are counted');
ok(until_true(sub { $control->request('status')->{exits}{pio} > $s->{exits}{pio} }), 'status: exits are counted');
($status, $out) = ctl('vm.sock', 'status');
is($status, 0, 'ctl status');
like($out, qr/^state: running$/m, 'ctl status: state');
($status, $out) = ctl('--json', 'vm.sock', 'status');
is("$status " . decode_json($out)->{state}, '0 running', 'ctl --json status');

# devices and device
is_deeply($control->request('devices')->{devices}[1], { name => 'exit0', plugin => 'debug-exit', reads => 0, writes => 0, failures => 0, refused => 0, slow => 0 },
    'devices');
my $serial = $control->request('device serial0');
is("$serial->{name} $serial->{plugin}", 'serial0 serial', 'device');
is($serial->{state}{fcr} // $serial->{state}{FCR} // 1, 1, 'device: state that the guest has set');
like($control->request('device serial9')->{error}, qr/there is no device serial9; did you mean serial0\?$/, 'refused: device with a misspelt name');
like($control->request('device x')->{error}, qr/there is no device x; the command devices lists them$/, 'refused: device with an unknown name');
my ($registers_status, $registers) = ctl('vm.sock', 'registers');
like("$registers_status:$registers", qr/\A0:vcpu: 0\n.*^  rip: 0x([0-9a-f]+) \(\d+\)\n.*^  cs\.base: 0x0 \(0\)\n/ms, 'ctl registers: in hex');
my ($rip) = $registers =~ /^  rip: (.*)/m;
is($rip, sprintf('0x%x (%d)', ($rip =~ /\((\d+)\)/) x 2), 'ctl registers: hex and decimal agree');
($status, $out) = ctl('vm.sock', 'device', 'serial0');
is($status, 0, 'ctl device');
like($out, qr/^plugin: serial$/m, 'ctl device: the plugin');

# pause and resume
for my $round (1, 2) {
    is($control->request('pause')->{state}, 'paused', "pause, $round");
}
$s = $control->request('status');
is($s->{state}, 'paused', 'status: paused');
my $said = heard($process);
sleep 0.1;
my $t = $control->request('status');
is($t->{uptime_ns}, $s->{uptime_ns}, "paused: the VM's clock is stopped");
is($t->{exits}{pio}, $s->{exits}{pio}, 'paused: the vCPU makes no exits');
is(heard($process), $said, 'paused: there is no output');
is_deeply($control->request('registers')->{regs}, $control->request('registers 0')->{regs}, 'paused: registers equals registers 0');
my $block = $control->request('memory 0x8000 16');
is(pack('H*', $block->{bytes} // ''), 'minilive' . pack('Q<', unpack 'Q<', pack 'H*', substr $block->{bytes}, 16), "paused: memory reads the guest's memory");
is((ctl('vm.sock', 'resume'))[0], 0, 'ctl resume') for 1, 2;
is($control->request('resume')->{state}, 'running', 'resume of a running machine succeeds');
ok(until_true(sub { heard($process) ne $said }), 'resumed: the guest continues');
is($control->request('status')->{state}, 'running', 'resumed: status is running');

# Refused requests.
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
    'snapshot x.snap fast' => qr/fast is not full, diff, live, paused or apart/,
    'snapshot x.snap diff full' => qr/give one of full and diff/,
    'snapshot x.snap paused live' => qr/give one of live and paused/,
    'snapshot x.snap diff' => qr/take a full snapshot first/,
    'snapshot no/where' => qr/No such file or directory/,
    'snapshot -' => qr/needs a descriptor/,
    'core' => qr/./,
    'core no/where' => qr/No such file or directory/,
    'cancel' => qr/no snapshot, core or until is in progress/,
    'reset' => qr/needs a snapshot/,
    'log loud' => qr/loud is not error/,
    'frobnicate' => qr/frobnicate/,
    'status now' => qr/./,
    '"' => qr/./,
);
for my $request (sort keys %errors) {
    my $reply = $control->request($request);
    ok(exists $reply->{ok} && !$reply->{ok} && $reply->{error} =~ $errors{$request}, "refused: $request") || diag(explain $reply);
    next if $request eq '"';
    ($status, $out, $err) = ctl('vm.sock', split ' ', $request) if $request ne 'snapshot -';
    is("$status:$out", '1:', "ctl exits with 1: $request") || diag($err);
}
unlike(names(), qr/snap/, 'refused snapshots leave no file');

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
ok(until_true(sub { ($control->request('status')->{dirty_pages_per_second} // 0) > 0 }), 'status: a dirty rate after a snapshot');
$reply = $control->request('snapshot b.snap paused diff');
is($reply->{ $_->[0] }, $_->[1], "snapshot paused diff: $_->[0]") for [ kind => 'diff' ], [ method => 'pause' ];
($status, $out, $err) = ctl('vm.sock', 'snapshot', 'c.snap', 'diff', 'live');
is("$status:$err", '0:', 'ctl snapshot') || diag($out);
like($out, qr/^kind: diff$/m, 'ctl snapshot: kind');
is((run([ $minivmm, 'verify', 'c.snap' ]))[0], 0, 'ctl snapshot: the file is valid');

# A second snapshot, and cancel, while a snapshot is in progress: its pipe is not read.
{
    # Two machines on one socket.
    fails([@live], 113, qr/vm\.sock/, 'refused: a second machine on the same socket');
    ok(-S 'vm.sock', "the first machine's socket still exists");
    my ($reader, $writer);
    pipe $reader, $writer;
    my $stalled = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-' ], stdout => $writer);
    close $writer;
    ok(until_true(sub { $control->request('status')->{snapshot} }), 'status: the snapshot in progress');
    $s = $control->request('status')->{snapshot};
    is($s->{file}, '-', 'status: the file of the snapshot');
    ok($s->{total_bytes} >= $s->{done_bytes}, 'status: the progress of the snapshot');
    like($control->request('snapshot d.snap')->{error}, qr/another snapshot is in progress/, 'refused: a second snapshot');
    ok(!-e 'd.snap', 'the second snapshot leaves no file');
    like($control->request('reset')->{error}, qr/needs a snapshot|in progress/, 'refused: a reset during a snapshot');
    is($control->request('cancel')->{ok}, 1, 'cancel');
    ($status, $out, $err) = finish($stalled);
    is($status, 1, 'the client of the cancelled snapshot exits with 1');
    like($err, qr/cancel/i, 'it reports the cancellation');
    ok(!$control->request('status')->{snapshot}, 'status: no snapshot in progress');
    is($control->request('snapshot e.snap diff')->{ok}, 1, 'a diff after the cancelled snapshot');
}
unlike(names(), qr/\.snap\..*|d\.snap/, 'the cancelled snapshot leaves no file');

# until
my $at = $control->request('status')->{uptime_ns} + 500_000_000;    # a busy host is late
$reply = $control->request("until time:${at}ns");
is($reply->{state}, 'paused', 'until time: pauses the machine') || diag(explain $reply);
cmp_ok($reply->{time_ns} // 0, '>=', $at, 'until time: at the time or later');
$reply = $control->request('until output:serial0:tick');
is($reply->{state}, 'paused', 'until output: pauses the machine');
$reply = $control->request('until pio:0x3fd:2');
is("$reply->{state} $reply->{point}", 'paused pio:0x3fd:2', 'until pio: pauses the machine');
$reply = $control->request('until access:1');
ok($reply->{ok} || $reply->{error}, 'until access: replies');
$control->request('resume');
$control->send("until output:serial0:never-said\n");
my $second = Control->connect('vm.sock');
ok(until_true(sub { $second->request('status')->{until} }), 'status: the pending stop condition');
like($second->request('until hlt')->{error}, qr/has a stop condition already: output:serial0:never-said/, 'refused: a second stop condition');

# Hostile clients.
my $before = consecutive(heard($process), 'no tick is missing so far');
{
    my @many = map { IO::Socket::UNIX->new(Peer => 'vm.sock') } 1 .. 300;
    $many[0] && syswrite $many[0], 'x' x 1000;    # without a newline
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
    # A client that sends requests and never reads.
    my $deaf = IO::Socket::UNIX->new(Peer => 'vm.sock');
    $deaf->blocking(0);
    for (1 .. 2000) { defined syswrite $deaf, "memory 0 65536\n" or last }
    my $good = Control->connect('vm.sock');
    is($good->request('status')->{state}, 'running', 'hostile clients: the machine still replies');
    ok(until_true(sub { (() = heard($process) =~ /^tick/mg) > $before + 10 }), 'hostile clients: the guest continues');
    # The connection that was silent longest has been closed.
    $second = $good;
}
$second = Control->connect('vm.sock');
is($second->request('quit')->{ok}, 1, 'quit');
($status, $out, $err) = finish($process);
is($status, 0, 'the machine ends with status 0');
unlike($err, qr/^(?!minivmm: cannot write (?:snapshot|core) )/m, 'stderr has only the failed snapshots');
consecutive($out, 'no tick is missing');
ok(!-e 'vm.sock', 'the socket file is removed');

# A client that waits for a stop condition receives an error when the machine ends.
spew('jmp.ini', guest('b8 34 12 bb 78 56 b0 61 ba f8 03 ee eb fe', "[control]\nsocket = vm.sock\n"));
$process = start([ $minivmm, '-c', 'jmp.ini' ]);
$control = Control->connect('vm.sock');
ok(until_true(sub { heard($process) eq 'a' }), 'the guest prints a letter');
my $regs = $control->request('registers');
is_deeply([ $regs->{vcpu}, map { $regs->{regs}{$_} } qw(rax rbx rdx rip) ], [ 0, 0x1261, 0x5678, 0x3f8, 0x100c ], "registers: the guest's values");
is($control->request('memory 0x1000 14')->{bytes}, 'b83412bb7856b061baf803eeebfe', "memory: the guest's code");
($status, $out) = ctl('vm.sock', 'memory', '0x1000', '2');
like($out, qr/^bytes: b834$/m, 'ctl memory');
($status, $out) = ctl('vm.sock', 'registers');
like($out, qr/rbx.*0x5678|rbx: 22136/, 'ctl registers');
$reply = $control->request('until rip:0x100c');
ok($reply->{ok} || $reply->{error}, 'until rip: replies') || diag(explain $reply);
$control->request('resume');
$control->send("until hlt\n");
$second = Control->connect('vm.sock');
ok(until_true(sub { $second->request('status')->{until} }), 'a stop condition is pending');
$second->request('quit');
like($control->reply->{error} // '', qr/the machine ended before stop condition hlt was hit: /, 'the waiting client receives an error at the end');
is((finish($process))[0], 0, 'the machine ends with status 0');

# When a stop condition is hit, the output before it has been delivered. The guest prints a letter
# every few ms.
spew('y.ini', guest('ba f8 03 b9 ff ff e2 fe b0 79 ee eb f6', "[control]\nsocket = vm.sock\n"));
$process = start([ $minivmm, '-c', 'y.ini' ]);
$control = Control->connect('vm.sock');
my $late = 0;
for my $round (1 .. 12) {
    $control->request('until output:serial0:y');
    my ($puts) = map { $_->{writes} } grep { $_->{name} eq 'serial0' } @{ $control->request('devices')->{devices} };
    $late += length heard($process) != $puts;
}
is($late, 0, 'until output: all output has been delivered');
$control->request('quit');
is((finish($process))[0], 0, 'the machine ends with status 0');

# A restored machine: --set control.socket with -r; reset; a socket file without a listener.
{
    my $dead = IO::Socket::UNIX->new(Local => 'vm.sock', Listen => 1);
    close $dead;
}
ok(-S 'vm.sock', 'a socket file without a listener exists');
$process = start([ $minivmm, '-r', 'a.snap', '--log', 'warn', set('control.socket=vm.sock') ]);
$control = Control->connect('vm.sock');
ok($control && $control->request('status')->{ok}, 'the socket file is replaced');
my @first;
$before = 0;    # bytes printed before the last reset
for my $round (1 .. 3) {
    until_true { (my @seen = substr(heard($process), $before) =~ /^tick .*\n/mg) >= 4 };
    # status reads the dirty log; a reset must include the pages that this removes from the log.
    $control->request('status');
    $control->request('pause');
    is($control->request('reset')->{ok}, 1, "reset, $round");
    is($control->request('snapshot after.snap full')->{ok}, 1, 'a snapshot of the reset machine');
    my (undef, $differs) = run([ $minivmm, 'diff', 'a.snap', 'after.snap' ]);
    unlike($differs, qr/^memory/m, "reset, $round: all of memory equals the snapshot");
    is($control->request('status')->{state}, 'paused', 'the machine stays paused');
    push @first, $control->request('memory 0x8000 0x68')->{bytes};
    $before = length heard($process);
    $control->request('resume');
}
until_true { my ($first) = heard($process) =~ /^(tick .*\n)/m; (() = heard($process) =~ /\Q$first\E/g) >= 4 }
    or diag(explain($control->request('status'), $control->request('registers'), $control->request('device serial0')));
is($first[$_], $first[0], "reset $_: the memory is the same") for 1, 2;
is($control->request('quit')->{ok}, 1, 'quit');
($status, $out, $err) = finish($process);
my ($line) = $out =~ /^(tick .*)\n/m;
is(scalar(() = $out =~ /\Q$line\E/g), 4, 'the same ticks are printed after each reset') || diag($out);
unlike($out, qr/corrupt/, 'the guest detects no corruption');

# A child that writes a snapshot to a pipe that is not read inherits no connection: when the machine
# closes a connection, its client sees the end at once.
{
    $process = start([ @live, set('snapshot.method=fork') ]);
    $control = Control->connect('vm.sock');
    until_true { 5 < (() = heard($process) =~ /^tick/mg) };    # the snapshot is larger than the pipe
    pipe my $unread, my $into or die "pipe: $!";
    my $taker = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-' ], stdout => $into);
    close $into;
    ok(until_true(sub { slurp("/proc/$process->{pid}/task/$process->{pid}/children") }), 'a child writes the snapshot');
    my $wordy = Control->connect('vm.sock');
    my $child = slurp("/proc/$process->{pid}/task/$process->{pid}/children");
    $control->send('y' x 20_000);
    like($control->line(10), qr/"ok":false/, 'refused: a line that is too long');
    # Unread bytes make the close a reset.
    my $read = IO::Select->new($control->{socket})->can_read(10) ? sysread $control->{socket}, my $more, 1 : 'late';
    ok(defined $read ? $read eq 0 : $!{ECONNRESET}, 'the connection is closed at once') or diag("$read $!");
    is(slurp("/proc/$process->{pid}/task/$process->{pid}/children"), $child, 'the child still runs');
    my $file = '';
    1 while sysread $unread, $file, 65536, length $file;
    is((finish($taker))[0], 0, 'the snapshot is written');
    is($wordy->request('quit')->{ok}, 1, 'quit');
    is((finish($process))[0], 0, 'the machine ends');
    is((run([ $minivmm, '-r', '-', '--until', 'output:serial0:tick' ], stdin => $file))[0], 0, 'the snapshot can be restored');
}

# A restored machine's input is given again after each reset.
run([ $minivmm, '-c', "$configs/echo.ini", '--until', 'output:serial0:ends.', '--save', 'echo.snap', '--log', 'error', set('device.serial0.input=none') ]);
spew('typed', 'xyz');
for my $input (qw(text:xyz hex:78797a file:typed)) {
    $process = start([ $minivmm, '-r', 'echo.snap', '--log', 'error', set("device.serial0.input=$input", 'control.socket=vm.sock') ]);
    $control = Control->connect('vm.sock');
    for my $round (1 .. 3) {
        my $said = sub { heard($process) =~ s/\s//gr };    # the line break may be missing at the stop
        until_true { $said->() eq 'xyz' x $round };
        is($said->(), 'xyz' x $round, "$input, reset " . ($round - 1));
        $control->request('reset');
    }
    $control->request('quit');
    finish($process);
}

# stopped_us is measured on the vCPU, so a late main thread does not add to it. In a machine that is
# paused already, it is the time that the snapshot needs.
{
    $process = start([@live], LD_PRELOAD => "$build/tests/preload/behind.so");
    $control = Control->connect('vm.sock');
    $reply = $control->request('snapshot e.snap');
    cmp_ok($reply->{duration_ms}, '>', 1000, 'the main thread is a second late');
    cmp_ok($reply->{stopped_us}, '<', 1e6, 'the guest does not wait for the main thread');
    cmp_ok($reply->{stopped_us}, '>', 0, 'the guest is stopped');
    $control->request('pause');
    $reply = $control->request('snapshot e.snap');
    cmp_ok($reply->{stopped_us}, '>', 0, 'a paused machine: stopped_us is above 0');
    cmp_ok($reply->{stopped_us}, '<', $reply->{duration_ms} * 1000, 'a paused machine: stopped_us is below the duration');
    is($control->request('quit')->{ok}, 1, 'quit');
    is((finish($process))[0], 0, 'the machine ends');
}

# A file that is not a socket is not replaced.
spew('vm.sock', 'mine');
fails([@live], 113, qr/vm\.sock/, 'refused: a file that is not a socket');
is(slurp('vm.sock'), 'mine', 'the file is unchanged');

done_testing;
