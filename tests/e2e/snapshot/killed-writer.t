#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# 1,000 processes are killed at random moments while they overwrite a snapshot: the file is always
# the old or the complete new snapshot. Under a sanitizer, which finds nothing in a killed process,
# there are 200.
use v5.14;
use warnings;
use lib 'tests/lib';
BEGIN { $ENV{TMPDIR} //= '/dev/shm' if -w '/dev/shm' }    # memory: no waiting for a disk

use Control;
use Minivmm;
use Test::More;
use Time::HiRes qw(sleep time);

my $kills = $build =~ /[at]san/ ? 200 : 1000;
my $seed = $ENV{KILL_SEED} // int time;
srand $seed;
diag("KILL_SEED=$seed");

# A machine with memory to write: jmp $, then 256 KiB.
spew('a.bin', "\xeb\xfe" . pack 'N*', map { rand 0xffffffff } 1 .. 65536);
spew('a.ini', "[vm]\nmemory_at = 0x1000\nmemory = 400K\n\n[boot]\nimage = a.bin\n");
mkdir 'box';
my $number = 0;

sub machine {
    my $socket = 's' . ++$number;
    return [ start([ $minivmm, '-c', 'a.ini', '--log', 'warn', '--set', "control.socket=$socket" ]), $socket ];
}

my ($process, $socket) = @{ machine() };
my $control = Control->connect($socket);
my $begin = time;
ok($control->request('snapshot box/x.snap')->{ok}, 'the first snapshot is written');
my $longest = 2 * (time - $begin);
$control->request('quit');
finish($process);
my $old = slurp('box/x.snap');
my %found = map { $_ => 0 } qw(old new other);
my $left = 0;

for my $kill (1 .. $kills) {
    ($process, $socket) = @{ machine() };
    $control = Control->connect($socket);
    $control->request('status');
    my $moment = rand $longest;
    $control->send('snapshot box/x.snap ' . (rand() < 0.5 ? 'live' : 'paused') . "\n");
    sleep $moment;
    kill KILL => $process->{pid};
    is((finish($process))[0], 1009, 'killed') if $kill == 1;
    finish($process) if $kill > 1;
    unlink $socket;
    $left += unlink glob 'box/.x.snap.*';
    my $now = slurp('box/x.snap');
    my ($status, $out, $err) = (0);
    ($status, $out, $err) = run([ $minivmm, 'verify', 'box/x.snap' ]) if $now ne $old;
    my $is = $now eq $old ? 'old' : !$status && substr($now, 64, 16) ne substr($old, 64, 16) ? 'new' : 'other';
    diag("kill $kill: $status $err") if $is eq 'other';
    $found{$is}++;
    $old = $now;
    # The delay adapts, so that half of the kills come too early and half too late.
    $longest *= $is eq 'new' ? 0.98 : 1.02 if $longest < 1 || $is eq 'new';
    last if names('box') ne 'x.snap';
}
is(names('box'), 'x.snap', 'there are no other files');
is($found{other}, 0, 'the file is always the old or the complete new snapshot');
cmp_ok($found{$_}, '>', $kills / 10, "the $_ snapshot is found often") for qw(old new);
diag("$found{old} times the old one, $found{new} times the new one; $left times the temporary name was left");

done_testing;
