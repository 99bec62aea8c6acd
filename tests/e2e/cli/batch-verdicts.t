#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What batch says of an input depends on what the guest did with it: workers that are killed, and
# snapshots whose values a restore does not take as they are. On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use JSON::PP;
use Minivmm;
use Much;
use Snapshot;
use Test::More;

# Reads a byte and writes it: mov dx,0x3fd; 1: in al,dx; test al,1; jz 1b; mov dx,0x3f8; in al,dx;
# cmp al,'l'; 2: je 2b; out dx,al; hlt.
my $code = 'ba fd 03 ec a8 01 74 fb ba f8 03 ec 3c 6c 74 fe ee f4';
spew('x.ini', guest($code) . "input = none\n");
is((run([ $minivmm, qw(-c x.ini --until access:1 --save x.snap) ]))[0], 0, 'a snapshot');
spew($_, $_) for qw(a b c loop);
my @batch = ($minivmm, qw(batch -r x.snap --input serial0 -j 1));

# The lines, as FILE CAUSE EXIT [SIGNAL]. A worker that is killed when it has written its line
# leaves an empty one.
sub lines {
    my ($out) = @_;
    return join ', ', map { join ' ', grep { defined } @{ decode_json($_) }{qw(file cause exit signal)} } grep { length } split /\n/, $out;
}

# The worker of a batch.
sub worker {
    my ($process) = @_;
    my $worker;
    until_true { ($worker) = slurp("/proc/$process->{pid}/task/$process->{pid}/children") =~ /(\d+)/ };
    return $worker;
}

my ($status, $out, $err) = run([ @batch, qw(a b c) ]);
is("$status:$err", '0:', 'no accidents') or diag($err);
is(lines($out), 'a hlt 0, b hlt 0, c hlt 0', 'all inputs have run');

# During an input: by another process, and by a fault.
for ([ KILL => 9, 'killed', 137, 111, qr/a worker was killed with input loop: Killed; .* use fewer workers/ ],
    [ HUP => 1, 'killed', 129, 111, qr/a worker was killed with input loop: Hangup$/ ],
    [ XCPU => 24, 'killed', 152, 111, qr/a worker was killed with input loop: CPU time limit exceeded(?:; raise ulimit -t .*)?$/ ],
    [ SEGV => 11, 'crash', 114, 114, qr/a worker crashed with input loop: Segmentation fault/ ]) {
    my ($name, $signal, $cause, $exit, $expected, $message) = @$_;
    my $process = start([ @batch, qw(a loop b) ]);
    ok(until_true { heard($process) =~ /"file":"a"/ }, 'the first input has run');
    kill $name => worker($process);
    ($status, $out, $err) = finish($process);
    is($status, $expected, "SIG$name: the status");
    is(lines($out), "a hlt 0, loop $cause $exit $signal, b hlt 0", 'the others have run');
    like($err, qr/^minivmm: batch: $message/m, 'the message');
}

# A worker that was stopped, as by Ctrl-Z: the VM's clock went on, and the timeout is no verdict.
# SIGCONT alone shows that the input runs once more; several, as one may come before the run.
{
    my $process = start([ @batch, qw(--timeout 2s a loop b) ]);
    ok(until_true { heard($process) =~ /"file":"a"/ }, 'the first input has run');
    my $worker = worker($process);
    for (1 .. 5) {
        kill CONT => $worker;
        select undef, undef, undef, 0.1;
    }
    ($status, $out, $err) = finish($process);
    is("$status:$err", '0:', 'SIGCONT: no accidents');
    is(lines($out), 'a hlt 0, loop timeout 124, b hlt 0', 'all inputs have run');
    my ($loop) = grep { $_->{file} eq 'loop' } map { numbers(decode_json($_)) } split /\n/, $out;
    cmp_ok($loop->{host_ns} - $loop->{vm_ns}, '>=', 2e9, 'a timeout with a SIGCONT in it: the input ran again');
}

# A worker that the host does not run for a second, without a signal: a frozen container, a busy
# host. A tracer stops its main thread here.
SKIP: {
    my ($PTRACE, $DETACH, $SEIZE, $INTERRUPT, $WALL) = (101, 17, 0x4206, 0x4207, 0x40000000);
    my $process = start([ @batch, qw(--timeout 2s a loop b) ]);
    ok(until_true { heard($process) =~ /"file":"a"/ }, 'the first input has run');
    my $worker = 0 + worker($process);
    my $ticks = sub {
        my ($user, $system) = slurp("/proc/$worker/stat") =~ /\) (?:\S+ ){11}(\d+) (\d+)/;
        return $user + $system;
    };
    my $before = $ticks->();
    ok(until_true { $ticks->() > $before + 2 }, 'the guest loops');
    if (syscall($PTRACE, $SEIZE, $worker, 0, 0)) {
        kill KILL => $process->{pid};
        finish($process);
        skip 'this host allows no tracer', 3;
    }
    syscall $PTRACE, $INTERRUPT, $worker, 0, 0;
    waitpid $worker, $WALL;
    select undef, undef, undef, 1.2;
    syscall $PTRACE, $DETACH, $worker, 0, 0;
    ($status, $out, $err) = finish($process);
    is("$status:$err", '0:', 'a stopped main thread: no accidents');
    is(lines($out), 'a hlt 0, loop timeout 124, b hlt 0', 'all inputs have run');
    my ($loop) = grep { $_->{file} eq 'loop' } map { numbers(decode_json($_)) } split /\n/, $out;
    cmp_ok($loop->{host_ns} - $loop->{vm_ns}, '>=', 2e9, 'a timeout of a worker that did not run: the input ran again');
}

# A stop condition that no run can hit is reported, once.
{
    ($status, $out, $err) = run([ @batch, qw(--until time:1ns a b) ]);
    is($status, 0, 'a time in the past');
    like($err, qr/\Aminivmm: warning: stop condition time:1ns is in the past: the VM's clock shows \d+ ns\n\z/, 'one warning');
    is(lines($out), 'a hlt 0, b hlt 0', 'all inputs have run');
}

# While it writes a line that the pipe does not hold, of a name that JSON escapes.
{
    mkdir "\x01" x 200;
    my $long = ("\x01" x 200 . '/../') x 5 . 'a';
    my ($reader, $writer) = small_pipe();
    my $process = start([ @batch, $long, 'b' ], stdout => $writer);
    close $writer;
    my $worker = worker($process);
    ok(until_true { slurp("/proc/$worker/syscall") =~ /^1 0x1 / }, 'a worker waits for the reader of stdout');
    kill KILL => $worker;
    my ($begun, $rest) = split /\n/, drain($reader), 2;
    is((finish($process))[0], 111, 'it is killed there');
    is(lines($rest), "$long killed 137 9, b hlt 0", 'the line of what has happened is whole');
}

# A plugin whose mistake shows at the reset before the second input: that input has not run.
spew('map.ini', guest($code =~ s/f4$/e6 10 f4/r) . "input = none\n[plugins]\npath = $build/tests/plugins\n[device a]\nplugin = faulty\n");
is((run([ $minivmm, qw(-c map.ini --until access:1 --save map.snap) ]))[0], 0, 'a snapshot with a faulty device');
($status, $out, $err) =
  run([ $minivmm, qw(batch -r map.snap --input serial0 -j 1 --set device.a.in=map --set), "plugins.path=$build/tests/plugins", qw(a b c) ]);
is($status, 115, 'a plugin that keeps a mapping: the status');
is(lines($out), 'a hlt 0', 'no line for an input that has not run');
is($err, "minivmm: device a (plugin faulty) has guest memory mapped while it is paused: the plugin is at fault\n", 'the message');

# A plugin that ends the process: the input is reported, and the others run.
my @path = ('--set', "plugins.path=$build/tests/plugins");
my $where = 'in device a, callback write at offset 0x0 of its range: plugin faulty is at fault';
for ([ exit => qr/^minivmm: exit\(\) is called $where\n/ ], [ leave => qr/^minivmm: batch: / ]) {
    my ($in, $message) = @$_;
    my @set = (@path, '--set', "device.a.in=$in");
    ($status, $out, $err) =
      run([ $minivmm, qw(batch -r map.snap --input serial0 -j 1), @set, qw(a b) ]);
    is($status, 115, "a plugin that ends the worker: $in: the status");
    is(lines($out), 'a crash 115, b crash 115', 'a line for each input');
    like($err, $message, 'the message');
    for my $input (qw(a b)) {
        my $line = "minivmm: batch: a worker crashed with input $input: a plugin is at fault";
        like($err, qr/^$line$/m, "the message for $input");
    }
}

# Before an input: once, and each worker.
my %preload = (LD_PRELOAD => "$build/tests/preload/faultfs.so", FAULT_PATH => 'x.snap');
spew('plan', 'open:1:KILL');
($status, $out, $err) = run([ @batch, qw(a b) ], %preload, FAULT => '@plan');
is($status, 0, 'a worker is killed before it takes an input');
is(lines($out), 'a hlt 0, b hlt 0', 'another one runs them');
like($err, qr/\Aminivmm: warning: batch: a worker was killed before it took an input: Killed; another one takes its place\n\z/, 'the warning');
($status, $out, $err) = run([ @batch, qw(a b) ], %preload, FAULT => 'open:1:KILL');
is("$status:$out", '111:', 'every worker is killed: the batch ends');
like($err, qr/^minivmm: batch: \d+ workers in a row were killed before they took an input: Killed; .*\n\z/m, 'the message');

# A snapshot with values that a restore does not take: the reset does not take them either.
for my $field (qw(host_tsc realtime flags)) {
    my $copy = Snapshot->load('x.snap');
    eval { $copy->change('VMVM', 0, [ 'clock', $field ], sub { substr($_[0]{value}, 0, 1) = "\x01" }); 1 } or diag($@);
    $copy->save("$field.snap");
    ($status, $out, $err) = run([ $minivmm, 'batch', '-r', "$field.snap", qw(--input serial0 -j 1 --check a b) ]);
    is("$status:$err", '0:', "--check, with another $field in the snapshot");
}

done_testing;
