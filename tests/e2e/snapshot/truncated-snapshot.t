#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A snapshot that another process truncates while it is mapped: each command names it, with the
# status of a file, and not as a bug.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;

spew('guest.ini', guest('90 90 f4'));
is((run([ $minivmm, '-c', 'guest.ini', '--until', 'step:1', '--save', 'whole.snap' ]))[0], 0, 'a snapshot');
spew('in1', 'x');

# A snapshot that is truncated while it is in use. The guest finds it first; with --check, the host.
for my $more ([], ['--check']) {
    spew('eats.ini', "[vm]\nmemory = 1M\n[boot]\ncode = ba f8 03 ec ee f4\n[device serial0]\nplugin = serial\noutput = stdio\ninput = stdio\n");
    is((run([ $minivmm, '-c', 'eats.ini', '--until', 'step:1', '--save', 'eats.snap' ]))[0], 0, 'a snapshot for batch');
    my $process = start([ $minivmm, 'batch', '-r', 'eats.snap', '--input', 'serial0', '-j', '1', @$more, ('in1') x 20000 ]);
    ok(until_true { heard($process) =~ /"cause"/ }, "batch @$more runs");
    truncate 'eats.snap', 4096;
    my ($status, $out, $err) = finish($process);
    is($status, 113, "batch @$more: the snapshot is truncated: status 113") or diag($err);
    like($err, qr{/eats\.snap was truncated while it was}, "batch @$more: the message names the file");
    unlike($err, qr/killed a worker|bug/, "batch @$more: it is no bug");
}

# The host reads a page that the guest has not: no error of a call, but SIGBUS.
SKIP: {
    skip 'a sanitizer handles the signal itself', 4 if $build =~ /[at]san/;
    spew('idle.ini', "[vm]\nmemory = 1M\n[boot]\ncode = eb fe\n");
    is((run([ $minivmm, '-c', 'idle.ini', '--until', 'step:1', '--save', 'idle.snap' ]))[0], 0, 'a snapshot of 1 MiB');
    my $process = start([ $minivmm, '-r', 'idle.snap', '--set', 'control.socket=vm.sock' ]);
    my $control = Control->connect('vm.sock');
    is($control->request('pause')->{ok}, 1, 'a pause');
    truncate 'idle.snap', 4096;
    $control->send("memory 0x80000 16\n");
    my ($status, undef, $err) = finish($process);
    is($status, 113, 'the host reads what is truncated: status 113');
    like($err, qr{\Aminivmm: SIGBUS at 0x\w+: \S*/idle\.snap was truncated while it was in use, or its disk fails; .*\n\z}, 'the message names the file');
}

# Each command, with a snapshot that is truncated when it is mapped.
{
    my %cut = (LD_PRELOAD => "$build/tests/preload/faultfs.so", FAULT_PATH => 'cut', FAULT => 'mmap:1:CUT');
    for my $command (
        [ '-r', 'cut.snap', '--trust' ],
        [ 'verify', 'cut.snap' ],
        [ 'diff', 'cut.snap', 'whole.snap' ],
        [ 'diff', 'whole.snap', 'cut.snap' ],
        [ 'flatten', 'cut.snap', '-o', 'x' ],
        [ 'inspect', '--map', 'cut.snap' ],
        [ 'inspect', '--dump', '0x1000', '64', 'cut.snap' ],
        [ 'batch', '-r', 'cut.snap', '--trust', '--input', 'serial0', '-j', '1', '--check', 'in1' ],
      ) {
        spew('cut.snap', slurp('whole.snap'));
        my ($status, $out, $err) = run([ $minivmm, @$command ], %cut);
        next if -s 'cut.snap' > 4096 && ok($status < 2, "@$command does not map the snapshot");
        ok($status == 113 || $command->[0] eq 'diff' && $status == 2, "@$command, truncated: status $status");
        like($err, qr{\bcut\.snap\b.*truncated}, "@$command, truncated: the message names the file") or diag($err);
    }
    unlink 'x', 'cut.snap';
}
done_testing;
