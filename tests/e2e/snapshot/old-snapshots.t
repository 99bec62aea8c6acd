#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Snapshots of earlier versions. Each commit in tests/old-snapshots is built from the git history in
# build/old, where later runs find it. The old program writes snapshots of its configs; the new
# program continues each of them as the old one does without an interruption.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use File::Path 'remove_tree';
use Minivmm;
use Test::More;

my @commits = map { /^(\w+)  (.+)/ ? [ $1, $2 ] : () } split /^/, slurp("$top/tests/old-snapshots");

# Input for guests that wait for some, an end for guests without one, and an image that exists.
my %set = (
    batch => ['device.serial0.input=text:2 + 3*4\n'],
    echo => ['device.serial0.input=text:hi\r\x04'],
    linux => [ 'vm.memory=4M', 'device.serial0.input=none' ],
    live => [qw(vm.memory=1M cpu.r8=20 cpu.r12=2 cpu.r13=5 cpu.r15=1)],
);

my @git = ('git', '-c', "safe.directory=$top", '-C', $top);

# Builds a commit without the options of this build. Returns undef if the commit is missing.
sub old {
    my ($commit) = @_;
    my $old = "$top/build/old/$commit";
    return $old if -e "$old/minivmm";
    return if (run([ @git, 'cat-file', '-e', "$commit^{commit}" ]))[0];
    my $new = "$old.$$";
    my ($status, $out, $err) = run(
        [ 'sh', '-c', 'to=$1; shift; mkdir -p "$to" && "$@" | tar -x -C "$to" && '
              . 'env -i PATH="$PATH" HOME="$HOME" make -s -j2 -C "$to" all CFLAGS=-O1', 'sh', $new, @git, 'archive', $commit ],
        timeout => 900);
    $status ||= !rename $new, $old if !-e "$old/minivmm";
    remove_tree($new);
    BAIL_OUT("$commit cannot be built: $out$err") if $status;
    return $old;
}

# The status, the output and the --status of a run.
sub ends {
    my ($command) = @_;
    unlink 'status.json';
    my ($status, $out, $err) = run([ @$command, '--log', 'error', '--status', 'status.json' ]);
    return { status => $status, out => $out, err => $err, -s 'status.json' ? %{ status_of('status.json') } : () };
}

sub continues {
    my ($name, $before, $whole, @restore) = @_;
    my $rest = ends([ $minivmm, @restore, '--trust' ]);
    return is("$rest->{status}:$before$rest->{out}", "$whole->{status}:$whole->{out}", $name) || diag($rest->{err});
}

for my $row (@commits) {
    my ($commit, $reason) = @$row;
    my $old = old($commit);
  SKIP: {
        skip "$commit ($reason): the git history does not have it", 1 if !$old;
        note("$commit: $reason");
        my $count = 0;
        for my $config (sort glob "$old/configs/*.ini") {
            my ($name) = $config =~ m{([^/]+)\.ini$};
            my @image = $name eq 'linux' ? "boot.image=$old/guests/bzimage.bin" : ();
            my @run = ("$old/minivmm", '-c', $config, map { ('--set', $_) } @{ $set{$name} // [] }, @image);
            my $whole = ends(\@run);
            my $accesses = $whole->{accesses} // 0;
            # The number of polls differs between runs, so a point may not be hit.
            my %points = map { $_ => 1 } 'step:1', map { 'access:' . (1 + int $accesses * $_ / 8) } 2, 5;
            for my $point (sort keys %points) {
                unlink 'x.snap';
                my $before = ends([ @run, '--until', $point, '--save', 'x.snap' ]);
                next if !-e 'x.snap';
                $count++;
                continues("$name, $point", $before->{out}, $whole, '-r', 'x.snap');
            }
        }
        cmp_ok($count, '>', 50, "$commit: more than 50 snapshots are restored");

        # A stream, and a diff of a running machine.
        my @run = ("$old/minivmm", '-c', "$old/configs/live.ini", map { ('--set', $_) } @{ $set{live} });
        my $whole = ends(\@run);
        my (undef, $stream) = run([ @run, '--until', 'output:serial0:tick 00000003', '--save', 'fd:1', '--set', 'device.serial0.output=file:said' ]);
        spew('stream', $stream);
        my $process = start([ 'sh', '-c', 'exec "$0" "$@" <stream', $minivmm, '-r', '-', '--trust', '--set', 'device.serial0.output=stdio' ]);
        my ($status, $out) = finish($process);
        is("$status:" . slurp('said') . $out, "0:$whole->{out}", 'a stream can be restored');
        $process = start([ @run, qw(--log error --set control.socket=vm.sock --set cpu.r13=0) ]);
        my $control = Control->connect('vm.sock');
        for my $snapshot ('full.snap full', 'diff.snap diff') {
            ok($control->request('until output:serial0:tick')->{ok}, "the machine runs to a tick");
            my $reply = $control->request("snapshot $snapshot");
            ok($reply->{ok}, $snapshot) or diag($reply->{error});
        }
        my $said = heard($process);
        $control->request('quit');
        finish($process);
        ($status, $out) = run([ $minivmm, '-r', 'diff.snap', '--trust', '--until', 'output:serial0:tick:3' ]);
        my @ticks = map { hex } "$said$out" =~ /^tick ([0-9a-f]{8}) /mg;
        is("$status:@ticks", "0:@{[1 .. $ticks[-1] // 0]}", 'a diff and its parent: no tick is missing or repeated');
        unlike("$said$out", qr/corrupt/, 'the guest detects no corruption');
    }
}

done_testing;
