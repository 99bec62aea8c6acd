#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Signals while --save writes a large snapshot: Ctrl-C cancels it and leaves the previous file as it
# is, Ctrl-Z stops it; and its progress at a terminal.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use POSIX qw(SIGINT SIGTERM);
use Test::More;

# The guest writes to each page of 127 MiB and halts: mov edi,0x100000; 1: mov [edi],edi;
# add edi,0x1000; cmp edi,0x8000000; jb 1b; hlt. Each write of the snapshot takes 1 ms longer.
spew('large.ini', <<'END');
[vm]
memory = 128M
[boot]
code = bf 00 00 10 00 89 3f 81 c7 00 10 00 00 81 ff 00 00 00 08 72 f0 f4
at = 0x1000
[cpu]
mode = protected
END
mkdir 'out';
my %slow = (LD_PRELOAD => "$build/tests/preload/faultfs.so", FAULT => 'write:1:SLOW', FAULT_PATH => 'out/');
my @save = ($minivmm, qw(-c large.ini --save out/a.snap --status status.json));

# Waits until the process has written some of the snapshot.
sub writes {
    my ($process) = @_;
    return until_true { slurp("/proc/$process->{pid}/io") =~ /^wchar: (\d+)/m && $1 > 4 << 20 };
}

for my $case ([ '--until', 'hlt' ], [ '--at', 'hlt' ]) {
    for my $signal (SIGINT, SIGTERM) {
        spew('out/a.snap', "MINIVMM\x1athe previous file");
        my $process = start([ @save, @$case ], %slow);
        ok(writes($process), "@$case: the snapshot is being written");
        kill $signal, $process->{pid};
        my ($status, undef, $err) = finish($process);
        is($status, 1000 + $signal, "ends by signal $signal");
        is($err, "minivmm: cannot write snapshot out/a.snap: it was cancelled\n", 'the message');
        is(slurp('out/a.snap'), "MINIVMM\x1athe previous file", 'the previous file is unchanged');
        is(names('out'), 'a.snap', 'no other file is left');
        is(status_of('status.json')->{exit}, 128 + $signal, '--status has the exit status');
    }
}

# SIGTSTP stops the process at once, and SIGCONT continues the snapshot. The kernel does not stop an
# orphaned process group, which that of the tests may be.
{
    my $process = start([ $^X, '-e', 'setpgrp; exec @ARGV', @save, qw(--until hlt) ], %slow);
    ok(writes($process), 'the snapshot is being written');
    kill TSTP => $process->{pid};
    ok(until_true { slurp("/proc/$process->{pid}/stat") =~ /\) T / }, 'SIGTSTP stops it') or diag(slurp("/proc/$process->{pid}/stat"), slurp("/proc/$process->{pid}/io"));
    isnt(slurp('out/a.snap'), '', 'the file is not complete');
    kill CONT => $process->{pid};
    is((finish($process))[0], 0, 'after SIGCONT it is completed');
    is((run([ $minivmm, 'verify', 'out/a.snap' ]))[0], 0, 'the snapshot is valid');
}

# At a terminal.
{
    my $terminal = terminal();
    my $process = start([ 'sh', '-c', 'exec 2>"$0"; exec "$@"', $terminal->{name}, @save, qw(--until hlt) ], %slow);
    ok($terminal->shows(qr/snapshot: \d+ %, \d+ MB\/s, \d+ s left *\r/), 'progress');
    is((finish($process))[0], 0, 'it ends');
    ok($terminal->shows(qr/\r *\rminivmm: snapshot written to out\/a\.snap/), 'the line is removed in the end');
}

# At a terminal that takes no output, as after Ctrl-S.
{
    my $terminal = terminal();
    POSIX::tcflow(fileno $terminal->{slave}, POSIX::TCOOFF()) // die "tcflow: $!";
    my $process = start([ 'sh', '-c', 'exec 2>"$0"; exec "$@"', $terminal->{name}, @save, qw(--until hlt --log error) ], %slow);
    is((finish($process))[0], 0, 'progress does not wait for the terminal');
    POSIX::tcflow(fileno $terminal->{slave}, POSIX::TCOON());
}

done_testing;
