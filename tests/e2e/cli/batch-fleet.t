#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A batch as a task of a scheduler: --shard divides the inputs, --resume continues after any end,
# SIGTERM ends it after the current runs. On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use JSON::PP;
use Minivmm;
use Sys::Hostname;
use Test::More;

my ($status, $out, $err) = run([
    $minivmm, '-c', "$configs/batch.ini", '--set', 'device.serial0.input=none',
    '--until', 'output:serial0:? ', '--save', 'warm.snap', '--log', 'warn'
]);
is($status, 0, 'a snapshot at the prompt');
my @batch = ($minivmm, qw(batch -r warm.snap --input serial0 -j 2));
mkdir 'in';
my @inputs = map { sprintf 'in/%02d', $_ } 1 .. 20;
spew($_, "1+" . substr($_, 3) . "\n") for @inputs;

sub results { return map { decode_json($_) } grep { length } split /\n/, shift }
sub files { return join ' ', sort map { $_->{file} } results(shift) }
my $all = "@inputs";

# Shards are disjoint and complete, and each takes inputs of all parts of the list.
my $in_all = '';
for my $i (1 .. 3) {
    ($status, $out, $err) = run([ @batch, '--shard', "$i/3", 'in' ]);
    is("$status:$err", '0:', "shard $i/3");
    is(files($out), join(' ', @inputs[grep { $_ % 3 == $i - 1 } 0 .. 19]), 'each third input');
    is(join(' ', sort map { "$_->{shard} $_->{host}" } results($out)), join(' ', ("$i/3 " . hostname) x results($out)), 'lines name shard and host');
    $in_all .= $out;
}
is(files($in_all), $all, 'the shards have all inputs, each once');
($status, $out, $err) = run([ @batch, qw(--shard 2/3 --list -) ], stdin => join "\n", @inputs);
is(files($out), join(' ', @inputs[grep { $_ % 3 == 1 } 0 .. 19]), 'a list from stdin is divided like names');
($status, $out, $err) = run([ @batch, qw(--shard 8/8), @inputs[0 .. 2] ]);
is("$status:$out:$err", '0::', 'a shard without inputs');
($status, $out) = run([ @batch, 'in/01' ]);
is(join(' ', sort keys %{ (results($out))[0] }), 'cause exit file host_ns output vm_ns', 'lines of a batch for itself are as before');
my $usage = qr/is not I\/N; write 2\/8 for the second of eight shards/;
for my $case ([ '0/8', qr/numbered from 1; with Slurm, use sbatch -a 1-8/ ], [ '9/8', qr/there are only 8 shards/ ], [ '3', $usage ], [ '/8', $usage ],
    [ '1/', $usage ], [ '1/0', $usage ], [ '-1/8', $usage ], [ '1/8/2', $usage ], [ '99999999999999999999/8', $usage ]) {
    fails([ @batch, '--shard', $case->[0], 'in' ], 110, $case->[1], "--shard $case->[0] is refused");
}

# --resume: a new file, a complete one, one whose last line is cut at any byte.
sub resumed { return (run([ @batch, '--resume', @_ ]))[2] }
@batch = ($minivmm, qw(batch -r warm.snap --input serial0 -j 1));
my $umask = umask 022;
is((run([ @batch, qw(--resume out in) ]))[0], 0, 'a new file');
is((stat 'out')[2] & 0777, 0644, 'its mode is as the umask says');
umask $umask;
is(files(slurp('out')), $all, 'has all results');
my $complete = slurp('out');
is(resumed('out', 'in'), "minivmm: batch: out has the results of 20 inputs; 0 are left\n", 'once more: all are done');
is(slurp('out'), $complete, 'the file is unchanged');
my @lines = $complete =~ /(.*\n)/g;
my $kept = join '', @lines[0 .. 9];
for my $cut (1, 8, 9, 20, length($lines[10]) - 2) {
    spew('cut', $kept . substr $lines[10], 0, $cut);
    is(resumed('cut', 'in'), "minivmm: batch: cut has the results of 10 inputs; 10 are left\n", "a last line of $cut bytes is removed");
    is(substr(slurp('cut'), 0, length $kept), $kept, 'complete lines stay');
    is(files(slurp('cut')), $all, 'all results, each once');
}
spew('cut', $kept . $lines[10] =~ s/\n//r);
is(resumed('cut', 'in'), "minivmm: batch: cut has the results of 11 inputs; 9 are left\n", 'a last line that lacks only its newline is complete');
is(files(slurp('cut')), $all, 'all results, each once');
spew('some', $lines[3] . "\n" . $lines[5]);
is((run([ @batch, qw(--resume some --shard 2/3 in) ]))[0], 0, 'results of other shards, and an empty line');
is(files(slurp('some')), join(' ', sort @inputs[3, 5], grep({ $_ ne $inputs[3] } @inputs[grep { $_ % 3 == 1 } 0 .. 19])), 'stay');
unlink 'twice';
is((run([ @batch, qw(--resume twice), ('in/01') x 3 ]))[0], 0, 'an input that is given three times');
is(resumed('twice', ('in/01') x 5), "minivmm: batch: twice has the results of 3 inputs; 2 are left\n", 'is done three times');

# Names of any bytes.
my @odd = ("in/\xe9", "in/\xc3\xa8", "in/a\nb", 'in/"\\', "in/\e[1m");
spew($_, "1\n") for @odd;
is((run([ @batch, qw(--resume odd), @odd ]))[0], 0, 'odd names');
is(resumed('odd', @odd), "minivmm: batch: odd has the results of 5 inputs; 0 are left\n", 'are found again');
fails([ @batch, qw(--resume odd), "in/\xe9", "in/\xc3\xa9" ], 110, qr/cannot tell two inputs apart/, 'names that JSON shows alike');
unlink @odd;

# A file that is not ours stays as it is.
my $line = $lines[0];
for my $case (
    [ "hello\n", 1 ], ['hello'], ["$line\{\"file\":1,\"cause\":\"hlt\",\"exit\":0}\n", 2 ], ["$line${line}{}\n", 3 ], ["$line\0", 2 ],
    [ "{\"file\":\"a\",\"cause\":\"hlt\"}\n", 1 ], ["{\"file\":\"a\n", 1 ], ["[1]\n"], [ slurp('warm.snap') ], [ '{"file":"' . 'a' x (9 << 20), 1 ],
    [ '{"file":"a","cause":"hlt","exit":0} x' . "\n", 1 ]) {
    my ($bytes, $at) = @$case;
    $at //= 1;
    spew('foreign', $bytes);
    fails([ @batch, qw(--resume foreign in) ], 110, qr/batch: --resume foreign: line $at is not a result of batch; name another file/,
        'a foreign file is refused: ' . substr($bytes, -20) =~ s/[^ -~]/./gr);
    ok(slurp('foreign') eq $bytes, 'and unchanged');
}
symlink 'out', 'link';
fails([ @batch, qw(--resume link in) ], 113, qr/cannot write the results to link: it is a symbolic link/, 'a link');
fails([ @batch, qw(--resume /dev/null in) ], 110, qr/is not a regular file; leave out --resume/, 'a device');
fails([ @batch, qw(--resume - in) ], 110, qr/leave it out to write to stdout/, '-');
fails([ @batch, qw(--resume in/99), 'in' ], 110, qr/is an input, too/, 'an input') if spew('in/99', '') || 1;
unlink 'in/99';

# A line does not fit: its beginning is removed, and the batch ends.
{
    unlink 'small';
    my ($status, $out, $err) = run([ 'bash', '-c', 'ulimit -f 1; exec "$@"', 'bash', @batch, qw(--resume small in) ]);
    is($status, 113, 'a file that cannot grow: the status') or diag($err);
    is(slurp('small'), join('', map { "$_\n" } split /\n/, slurp('small')), 'has complete lines only');
    cmp_ok(length slurp('small'), '>', 0, 'has some');
}

# Two at once on one file; SIGTERM. The guest of loop runs until the timeout.
spew('loop', "loop\n");
my $loop = start([ @batch, qw(--timeout 2s --resume two in/01 loop in/02) ]);
ok(until_true { -e 'two' && slurp('two') =~ /in\/01/ }, 'one batch runs');
fails([ @batch, qw(--resume two in) ], 113, qr/cannot write the results to two: process \d+ uses it/, 'a second one is refused');
my ($worker) = slurp("/proc/$loop->{pid}/task/$loop->{pid}/children") =~ /(\d+)/;
kill TERM => $loop->{pid}, $worker;    # a scheduler signals all processes of a job
($status, $out, $err) = finish($loop);
is($status, 120, 'SIGTERM: the status');
is($err, "minivmm: batch: SIGTERM: 1 inputs have not run; the same command runs them\n", 'the message');
is(files(slurp('two')), 'in/01 loop', 'the current run has ended, and is no failure');
is((results(slurp('two')))[1]{cause}, 'timeout', 'by its timeout');
($status) = run([ @batch, qw(--timeout 2s --resume two in/01 loop in/02) ]);
is("$status:" . files(slurp('two')), '0:in/01 in/02 loop', 'the same command runs the rest');

# SIGTERM in the last run, when nothing is left.
$loop = start([ @batch, qw(--timeout 2s in/01 loop) ]);
ok(until_true { heard($loop) =~ /in\/01/ }, 'the last input runs');
kill TERM => $loop->{pid};
is((finish($loop))[0], 0, 'SIGTERM when no input is left: the status is as without');

# kill -9 at random moments.
my $seed = $ENV{SEED} // time;
diag("SEED=$seed");
srand $seed;
my @many = (@inputs) x 50;
my ($kills, $before) = (0, '');
while ($kills < 30) {
    my $process = start([ $minivmm, qw(batch -r warm.snap --input serial0 -j 3 --resume killed), @many ]);
    select undef, undef, undef, rand 0.05;
    kill KILL => $process->{pid};
    last if (finish($process))[0] == 0;
    # Its workers end at once, too, and unlock the file.
    until_true { system('flock', '-n', 'killed', 'true') == 0 } if -e 'killed';
    my $now = -e 'killed' ? slurp('killed') : '';
    my ($whole) = $before =~ /\A((?:.*\n)*)/;
    ok(0, 'complete lines are lost'), last if substr($now, 0, length $whole) ne $whole;
    ($before, $kills) = ($now, $kills + 1);
}
my $had = $before =~ tr/\n//;
is((run([ @batch, qw(--resume killed), @many ]))[0], 0, "after $kills kills and $had results: the rest");
is(files(slurp('killed')), join(' ', sort @many), 'all results, each once');

done_testing;
