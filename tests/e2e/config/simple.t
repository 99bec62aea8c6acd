#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# configs/simple.ini: a snapshot during the run, and a restore, which continues from it.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my %end = (rax => 10, rbx => 2, rdx => 0x3f8, rip => 0x100c, rflags => 2);

# Runs and tests the result. Returns --status.
sub says {
    my ($name, $expected, @arguments) = @_;
    my ($status, $out, $err) = run([ $minivmm, '--registers', '--status', 'status.json', @arguments ]);
    my $registers = registers($err);
    is("$status:$out", "0:$expected", $name) or diag($err);
    is_deeply({ map { $_ => $registers->{$_} } keys %end }, \%end, "$name: registers");
    my $said = status_of('status.json');
    unlink 'status.json';
    return $said;
}

is(says('run', "4\n", '-c', "$configs/simple.ini")->{accesses}, 2, 'the run makes both writes');
is(names(), 'simple.snap', 'the run creates only the snapshot');

my $snapshot = inspect('simple.snap');
my $regs = $snapshot->{vcpus}[0]{regs};
is($regs->{rax} & 0xff, 4, 'the snapshot is after the addition: al is 4');
is_deeply([ @$regs{qw(rax rbx rdx rip rflags)} ], [ 4, 2, 0x3f8, 0x1005, 2 ], 'the snapshot has the registers');
is_deeply([ map { $_->{name} } @{ $snapshot->{devices} } ], ['serial0'], 'the snapshot has the devices');
my ($status, $out) = run([ $minivmm, 'verify', 'simple.snap' ]);
is("$status:$out", "0:simple.snap: all checksums are correct\n", 'verify');

# It can be restored any number of times with the same result; the file is only read.
my $bytes = slurp('simple.snap');
for my $time ('once', 'again') {
    my $said = says("restore $time", "4\n", '-r', 'simple.snap');
    is($said->{accesses}, 2, "restore $time: both writes are made");
    is(slurp('simple.snap'), $bytes, "restore $time: the snapshot is unchanged");
}

# A moved snapshot can be restored, and the restored machine writes no snapshot.
rename 'simple.snap', 'moved';
says('restore a moved snapshot', "4\n", '-r', 'moved');
is(names(), 'moved', 'no second snapshot is written');
says('restore in another run mode', "4\n", '-r', 'moved', '--log', 'error', '--set', 'device.serial0.input=none');

# [snapshot] then = exit, and its file by --set.
($status, $out) = run([ $minivmm, '-c', "$configs/simple.ini", '--set', 'snapshot.then=exit', '--set', 'snapshot.file=x' ]);
is("$status:$out", '0:', 'then = exit ends the run');
is(inspect('x')->{vcpus}[0]{regs}{rip}, 0x1005, 'there');
says('the restored machine continues', "4\n", '-r', 'x');

# --set changes the value and the snapshot.
($status, $out) = run([ $minivmm, '-c', "$configs/simple.ini", '--set', 'cpu.rbx=5' ]);
is("$status:$out", "0:7\n", '--set cpu.rbx=5 changes the sum');
($status, $out) = run([ $minivmm, '-r', 'simple.snap' ]);
is("$status:$out", "0:7\n", 'its snapshot contains the sum');

done_testing;
