#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What would lose a snapshot, or get in the way of taking one: a diff over what it differs from, one
# too many, damage made valid, a pipe that is full from the beginning, a process whose children are
# not to be waited for, a point that comes while somebody looks.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;

my @live = ($minivmm, '-c', "$configs/live.ini", '--log', 'error', '--set', 'vm.memory=4M');
my $process = start(\@live);
my $control = Control->connect('vm.sock');

# A diff over its parent, or over one of that's.
is($control->request("snapshot $_->[0] $_->[1]")->{ok}, 1, "$_->[0]") for ['a.snap', 'full'], ['b.snap', 'diff'], ['c.snap', 'diff'];
for my $name (qw(a b c)) {
    like($control->request("snapshot $name.snap diff")->{error}, qr/the diff needs the snapshot that is in this file now/, "a diff over $name.snap is refused");
}
is($control->request('snapshot c.snap full')->{ok}, 1, 'a full one is not');
is($control->request('snapshot a.snap diff')->{ok}, 1, 'and then the others are free');
is((run([ $minivmm, 'verify', 'a.snap' ]))[0], 0, 'a diff of the full one');

# A chain that would be too long to restore is not written: the one before it can be, and flattened.
{
    my $short = start([ @live, '--set', 'control.socket=short.sock', '--set', 'cpu.r8=1' ]);
    my $to = Control->connect('short.sock');
    mkdir 'long';
    my $taken = $to->request('snapshot long/0')->{ok};
    $taken++ while $taken < 500 && $to->request("snapshot long/$taken diff")->{ok};
    is($taken, 400, 'a chain comes to its end');
    like($to->request("snapshot long/$taken diff")->{error}, qr/the chain of 400 snapshots cannot grow; take a full snapshot, or restore/, 'which is said');
    ok(!-e "long/$taken", 'nothing is written');
    is($to->request('snapshot full')->{ok}, 1, 'a full one is taken');
    is($to->request('snapshot next diff')->{ok}, 1, 'and a diff of that');
    $to->request('quit');
    finish($short);
    is((run([ $minivmm, '-r', 'long/399', '--log', 'error', '--until', 'output:serial0:tick', '--set', 'device.serial0.output=none' ]))[0], 0, 'the longest is restored');
    is((run([ $minivmm, 'diff', 'long/399', 'long/398' ]))[0], 1, 'two of them are compared');
    is((run([ $minivmm, 'flatten', 'long/399', '-o', 'flat' ]))[0], 0, 'and it is flattened');
    is((run([ $minivmm, 'verify', 'flat' ]))[0], 0, 'into one');
}

sub full_pipe {
    pipe my $in, my $out or die;
    $out->blocking(0);
    1 while syswrite $out, 'x' x 4096;
    1 while syswrite $out, 'x';
    $out->blocking(1);
    return ($in, $out);
}

# A pipe without any room must not keep the machine from its other work.
{
    my ($in, $out) = full_pipe();
    my $sender = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-' ], stdout => $out);
    ok((until_true { $control->request('status')->{snapshot} }), 'a snapshot into a full pipe is under way');
    is($control->request('cancel')->{ok}, 1, 'and can be cancelled');
    is((finish($sender))[0], 1, 'which its client is told');
}
is($control->request('quit')->{ok}, 1, 'the machine is well');
finish($process);

# Damage gets no valid checksum by flatten.
is((run([ @live, '--until', 'time:100ms', '--save', 'd.snap' ]))[0], 0, 'a snapshot');
{
    my $bytes = slurp('d.snap');
    substr($bytes, 4096 + 0x20008, 4) ^= "\x55\xaa\x55\xaa";
    spew('d.snap', $bytes);
}
my ($status, $out, $err) = run([ $minivmm, 'flatten', 'd.snap', '-o', 'e.snap' ]);
is($status, 112, 'what is damaged is not flattened');
like($err, qr/memory from 0x\S+ to 0x\S+ does not match its checksum/, 'and said');
ok(!-e 'e.snap', 'nothing is written');

# A file that becomes shorter while it is flattened, slowly, is an error.
is((run([ @live, '--set', 'vm.memory=8M', '--set', 'cpu.r10=0', '--until', 'output:serial0:tick:15', '--save', 'f.snap' ], stdout => '/dev/null'))[0], 0, 'another one');
mkdir 'out';
{
    my $process = start([ $minivmm, 'flatten', 'f.snap', '-o', 'out/g.snap' ],
        LD_PRELOAD => "$build/tests/preload/faultfs.so", FAULT_PATH => 'out', FAULT => 'write:1:SLOW');
    # Stopped while this test looks: a busy host may let it end in between.
    my $writes = until_true {
        kill STOP => $process->{pid};
        return 1 if grep { (readlink $_ // '') =~ m{/out/} } glob "/proc/$process->{pid}/fd/*";
        kill CONT => $process->{pid};
        return 0;
    };
    ok($writes, 'it writes');
    truncate 'f.snap', 65536;
    kill CONT => $process->{pid};
    my ($status, undef, $err) = finish($process);
    is("$status:$err", "113:minivmm: cannot read snapshot f.snap: the file was truncated during the read\n", 'which is said');
    is(names('out'), '', 'nothing is left');
}

# Started by somebody who ignores SIGCHLD.
$process = start([ 'perl', '-e', '$SIG{CHLD} = "IGNORE"; exec @ARGV', @live, '--set', 'snapshot.method=fork' ]);
$control = Control->connect('vm.sock');
is($control->request('snapshot f.snap')->{method}, 'fork', 'a fork whose end is waited for');
$control->request('quit');
finish($process);

# A point that is reached while somebody looks at the registers: what is to happen there happens
# there. The device takes its time to come to rest, and more is asked meanwhile.
spew('g.ini', guest('e4 50 90 90 90 eb fe', "[plugins]\npath = $build/tests/plugins\n\n[device a]\nplugin = faulty\nin = slow-pause\n\n[control]\nsocket = vm.sock\n"));
for my $request ('registers', 'pause', 'snapshot h.snap') {
    $process = start([ $minivmm, '-c', 'g.ini', '--log', 'error' ]);
    my ($first, $second) = map { Control->connect('vm.sock') } 1 .. 2;
    $first->send("$request\n");
    $second->send("status\n");
    ok($first->reply->{ok}, "$request: answered");
    is($second->reply->{ok}, 1, "status during $request: answered");
    is($first->request('quit')->{ok}, 1, "$request: the machine is well");
    is((finish($process))[0], 0, "$request: to its end");
}

# A point that comes while a snapshot is written of the stopped machine does not let it go on. The
# pipe has no reader yet.
{
    spew('p.ini', guest('e4 50 66 ff 06 00 20 66 ff 06 00 80 eb f4', "[plugins]\npath = $build/tests/plugins\n\n[device a]\nplugin = faulty\nin = slow-pause\n\n[control]\nsocket = vm.sock\n"));
    $process = start([ $minivmm, '-c', 'p.ini', '--log', 'error', '--at', 'time:300ms', '--save', 'q.snap', '--set', 'snapshot.method=pause' ]);
    $control = Control->connect('vm.sock');
    my ($in, $out) = full_pipe();
    my $sender = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-', 'paused' ], stdout => $out);
    close $out;
    my $number = sub { $control->request('memory 0x2000 4')->{bytes} };
    ok((until_true { my $status = $control->request('status'); $status->{snapshot} && $status->{state} eq 'paused' }), 'it stands');
    my $before = $number->();
    select undef, undef, undef, 0.5;
    is($number->(), $before, 'a machine that stands for a snapshot does not go on at its point');
    1 while sysread $in, my $bytes, 65536;
    is((finish($sender))[0], 0, 'the snapshot is written');
    ok((until_true { $number->() ne $before }), 'then it goes on');
    $control->request('quit');
    finish($process);
}

done_testing;
