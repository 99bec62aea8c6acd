#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A machine as a job that a scheduler can preempt: [snapshot] on_term = save writes a snapshot on
# SIGTERM, and --restore-or-start continues from it. On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use POSIX 'SIGINT';
use Test::More;

# In each step the guest writes the step's number to one of 64 pages, checks the number that it
# found there, and prints a letter from a to p; ! if the number is wrong.
my $code = '31db89d883e03fc1e00c050000010083fb4072078d4bc0390875188918baf803000088d8240f0461ee43b9f4010000e2feebcfbaf8030000b021eef4';
my $vm = "[vm]\nmemory = 1M\n[boot]\ncode = $code\nat = 0x1000\n[cpu]\nmode = protected\n"
  . "[device serial0]\nplugin = serial\noutput = file:log\n";
spew('vm.ini', $vm . "[snapshot]\nfile = out/vm.snap\non_term = save\n[control]\nsocket = vm.sock\n");
mkdir 'out';
my @run = ($minivmm, qw(-c vm.ini --restore-or-start --status status));
my $saved = qr/\Aminivmm: (?:the machine continues from \S+\nminivmm: )?SIGTERM: snapshot written to \S+; --restore-or-start continues from it\n\z/;

# Starts a run and waits until the guest has made some steps. Returns it.
sub steps {
    my ($command, %with) = @_;
    my $before = -e 'log' ? -s 'log' : 0;
    my $run = start($command, %with);
    ok(until_true { -e 'log' && -s 'log' >= $before + 20 }, 'the guest runs') or diag(said($run));
    return $run;
}

# Ends a run by SIGTERM, which must save it.
sub term {
    my ($run, $what) = @_;
    kill TERM => $run->{pid};
    my ($status, undef, $err) = finish($run);
    is($status, 120, "$what: the status");
    like($err, $saved, 'the message');
}

sub log_is_whole {
    my $log = slurp('log');
    my $expected = substr join('', 'a' .. 'p') x (1 + length($log) / 16), 0, length $log;
    return is($log, $expected, 'the guest has not noticed');
}

# From the config, several times. Another run cannot have the file, nor can it be lost.
for my $number (1 .. 6) {
    my $run = steps(\@run);
    if ($number == 2) {
        my ($status, undef, $err) = run([ $minivmm, '-c', 'vm.ini' ]);
        is($status, 113, 'a second run with this file is refused');
        is($err, "minivmm: [snapshot] file = out/vm.snap: process $run->{pid} has it in use; stop it or name another file\n", 'the message');
    }
    if ($number == 3) {
        my $control = Control->connect('vm.sock');
        ok($control->request('pause')->{ok}, 'it is paused');
    }
    if ($number == 4) {
        my $control = Control->connect('vm.sock');
        ok($control->request('snapshot out/vm.snap')->{ok}, 'a snapshot of a running machine in the same file');
    }
    if ($number == 5) {
        my $control = Control->connect('vm.sock');
        ok($control->request('snapshot out/other.snap')->{ok}, 'a snapshot in another file becomes the parent');
    }
    kill TERM => $run->{pid} if $number == 6;    # timeout(1) sends two
    term($run, "run $number");
    is(status_of('status')->{exit}, 120, '--status has it, too');
    is(names('out'), $number < 5 ? 'vm.snap' : 'other.snap vm.snap', 'the snapshot, and no lock');
    is(inspect('out/vm.snap')->{parent} // '', $number < 5 ? '' : inspect('out/other.snap')->{id}, 'full, or a diff where there is a parent');
    log_is_whole();
}
is((run([ $minivmm, 'verify', 'out/vm.snap' ]))[0], 0, 'it is valid');

# Without the snapshot, and with an empty file: a start.
for my $file (0, 1) {
    unlink 'out/vm.snap', 'log';
    spew('out/vm.snap', '') if $file;
    term(steps(\@run), $file ? 'an empty file' : 'no file');
    log_is_whole();
}
# The options of the start are those of the restore; they do not concern the saved machine.
my @set = ('--set', 'vm.memory=2M', '--set', "device.serial0.output=file:log", '--set', 'device.serial0.port=0x3f8');
unlink 'out/vm.snap', 'log';
term(steps([ @run, @set ]), 'with --set: a start') for 1 .. 2;
log_is_whole();
fails([ @run, qw(--log error --set device.serial0.port=0x2f8) ], 110, qr/port.*cannot be changed at a restore/, 'another option of the machine is refused');

# An interrupted save, one that fails, one that is killed: the file is as before, and continues.
my %fault = (LD_PRELOAD => "$build/tests/preload/faultfs.so", FAULT_PATH => 'out/');
for my $case ([ 'write:1:ENOSPC', 113, qr/No space left/ ], [ 'fsync:0:EIO', 113, qr/Input\/output error/ ], [ 'write:2:KILL', 1009, qr/\A.*\z/s ], [ 'rename:0:KILL', 1009, qr/\A.*\z/s ]) {
    my ($plan, $expected, $message) = @$case;
    my ($before, $log) = (slurp('out/vm.snap'), slurp('log'));
    my $run = steps(\@run, %fault, FAULT => $plan);
    kill TERM => $run->{pid};
    my ($status, undef, $err) = finish($run);
    is($status, $expected, "$plan: the status");
    like($err, $message, 'the message');
    ok(slurp('out/vm.snap') eq $before, 'the previous file is unchanged');
    spew('log', $log);    # what the lost part of the run printed
    unlink grep { !/vm\.snap$/ } glob 'out/*';
    term(steps(\@run), 'and continues');
    log_is_whole();
}
# A large save is cancelled by SIGINT. The guest writes to each page of 127 MiB, prints a and loops.
{
    spew('large.ini', $vm =~ s/memory = 1M/memory = 128M/r =~ s/code = .*/code = bf00001000893f81c70010000081ff0000000872f0baf8030000b061eeebfe/r
        . "[snapshot]\nfile = out/large.snap\non_term = save\n");
    spew('out/large.snap', "MINIVMM\x1athe previous file");
    my $run = start([ $minivmm, qw(-c large.ini --set device.serial0.output=stdio --set device.serial0.input=none) ], %fault, FAULT => 'write:1:SLOW');
    ok(until_true { heard($run) eq 'a' }, 'the guest has written its memory');
    kill TERM => $run->{pid};
    ok(until_true { slurp("/proc/$run->{pid}/io") =~ /^wchar: (\d+)/m && $1 > 4 << 20 }, 'the snapshot is being written');
    kill INT => $run->{pid};
    my ($status, undef, $err) = finish($run);
    is($status, 1000 + SIGINT, 'SIGINT cancels it');
    like($err, qr/\Aminivmm: cannot write snapshot out\/large.snap: it was cancelled\n\z/, 'the message');
    is(slurp('out/large.snap'), "MINIVMM\x1athe previous file", 'the previous file is unchanged');
}

# From a snapshot that many jobs share: the file is one diff against it, however often it is saved.
spew('base.ini', $vm);
unlink 'log';
is((run([ $minivmm, qw(-c base.ini --until access:10 --save base.snap) ]))[0], 0, 'a snapshot');
my @job = ($minivmm, qw(-r base.snap --restore-or-start --trust --set snapshot.file=out/job.snap --set snapshot.on_term=save));
my $base = inspect('base.snap')->{id};
for my $number (1 .. 6) {
    term(steps(\@job), "from a base, run $number");
    is(inspect('out/job.snap')->{parent}, $base, 'a diff against the base');
    log_is_whole();
}

# A damaged file is no reason to start from the beginning.
spew('out/vm.snap', substr slurp('out/vm.snap'), 0, 5000);
is((run(\@run))[0], 112, 'a damaged snapshot is refused');
SKIP: {
    skip 'only root can give a file away', 1 if $>;
    chown 1, 1, 'out/vm.snap' or die;
    fails(\@run, 112, qr/snapshot out\/vm\.snap belongs to another user; restore it with -r, and --trust if you trust it/, 'that of another user');
}
unlink 'out/vm.snap';
spew('bad.ini', $vm . "[snapshot]\non_term = save\n");
fails([ $minivmm, qw(-c bad.ini) ], 110, qr/on_term = save needs a file; add file = PATH/, 'on_term without file');
fails([ $minivmm, qw(-c base.ini --restore-or-start) ], 110, qr/--restore-or-start needs \[snapshot\] file/, '--restore-or-start without file');
fails([ $minivmm, qw(-r base.snap --restore-or-start) ], 110, qr/--restore-or-start needs \[snapshot\] file/, 'at a restore');
fails([ $minivmm, qw(-r base.snap --trust --set snapshot.on_term=save) ], 110, qr/on_term = save needs a file/, 'on_term alone at a restore');
spew('text', "text\n");
fails([ $minivmm, qw(-c base.ini --set snapshot.on_term=save --set snapshot.file=text) ], 113, qr/cannot write snapshot text: /, 'a file that is none of ours');
fails([ $minivmm, qw(-c base.ini --set snapshot.on_term=maybe) ], 110, qr/on_term = maybe is not end or save/, 'a wrong value');

# A guest that ends before: no snapshot.
spew('hlt.ini', guest('b0 41 e6 80 f4', "[snapshot]\nfile = hlt.snap\non_term = save\n"));
is((run([ $minivmm, qw(-c hlt.ini --restore-or-start) ]))[0], 0, 'a guest that ends');
is(join(' ', glob 'hlt.snap*'), '', 'leaves no snapshot and no lock');

done_testing;
