#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A batch as an array of 8 tasks on two Slurm nodes: one node dies in the middle, and a task is
# requeued. Together the tasks have the results of a single run.
use v5.14;
use warnings;
use lib 'tests/lib';

use Slurm;
use Test::More;

BEGIN {
    if (my $why = !$ENV{MINIVMM_SLURM} && Slurm::missing()) { plan skip_all => "no Slurm cluster: $why" }
    Slurm::enter();
}
use Cwd 'getcwd';
use JSON::PP;
use Minivmm;

my ($status) = run([
    $minivmm, '-c', "$configs/batch.ini", '--set', 'device.serial0.input=none',
    '--until', 'output:serial0:? ', '--save', 'warm.snap', '--log', 'warn'
]);
is($status, 0, 'a snapshot at the prompt');

# 1,000 inputs; one in each shard runs until its timeout, so that the tasks can be met at work.
mkdir $_ for qw(in out slurm);
spew(sprintf('in/%04d', $_), $_ > 80 && $_ <= 88 ? "loop\n" : "$_*$_+1\n") for 1 .. 1000;
my @batch = ($minivmm, qw(batch -r warm.snap --input serial0 --timeout 2s));
spew('task', "#!/bin/sh\nexec @batch -j 1 --shard \$SLURM_ARRAY_TASK_ID/8 --resume out/\$SLURM_ARRAY_TASK_ID in\n");

# The results, without times and hosts.
sub results {
    my ($out) = @_;
    return sort map { my $line = decode_json($_); join ' ', @{$line}{qw(file cause exit)}, $line->{output} =~ s/\n/ /gr } split /\n/, $out;
}

my $slurm = Slurm->new(getcwd . '/slurm');
my $job = $slurm->submit(qw(-a 1-8 --requeue --open-mode=append -o out/%a.err task));

# A task that is in its loop has ten results.
sub at_work {
    my ($node) = @_;
    my $task;
    $slurm->wait_for("a task on $node", 60, sub {
        ($task) = map { /_(\d+)$/ } $slurm->running($node);
        return $task && -e "out/$task" && slurp("out/$task") =~ /\A(?:.*\n){10}\z/;
    });
    return $task;
}

my $task = at_work('n2');
my $before = slurp("out/$task");
$slurm->kill_node('n2');
pass("node n2 dies while it runs task $task");
# As slurmctld does by itself after SlurmdTimeout; its jobs are requeued.
$slurm->ask(qw(scontrol update nodename=n2 state=down reason=dead));
$slurm->node('n2');
$slurm->ask(qw(scontrol update nodename=n2 state=resume));

my $other = at_work('n1');
$slurm->ask('scontrol', 'requeue', "${job}_$other");
pass("task $other is requeued: it gets SIGTERM");
$slurm->drain(100);

my @tasks = map { slurp("out/$_") } 1 .. 8;
is(substr($tasks[ $task - 1 ], 0, length $before), $before, 'the results of the task that was killed are kept');
like(slurp("out/$_.err"), qr/batch: out\/$_ has the results of \d+ inputs; \d+ are left/, "task $_ has continued") for $task, $other;
is(scalar(grep { $_->{shard} ne "$task/8" } map { decode_json($_) } split /\n/, $tasks[ $task - 1 ]), 0, 'lines name their shard');
($status, my $single, my $err) = run([ @batch, qw(-j 2 in) ]);
is("$status:$err", '0:', 'a single run');
my @got = results(join '', @tasks);
is(scalar @got, 1000, '1,000 results');
is_deeply(\@got, [ results($single) ], 'are those of the single run');
$slurm->stop;

done_testing;
