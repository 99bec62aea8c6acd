#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Cases in which a snapshot could be lost or not be taken: a diff over a snapshot that it needs, a
# chain that is too long, damage that flatten would hide, a pipe that is full from the beginning, an
# ignored SIGCHLD, a stop condition that is hit during another request.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;

my @live = ($minivmm, '-c', "$configs/live.ini", '--log', 'error', '--set', 'vm.memory=4M');
my $process = start(\@live);
my $control = Control->connect('vm.sock');

# A diff over its parent, or over an ancestor.
is($control->request("snapshot $_->[0] $_->[1]")->{ok}, 1, "$_->[0]") for ['a.snap', 'full'], ['b.snap', 'diff'], ['c.snap', 'diff'];
for my $name (qw(a b c)) {
    like($control->request("snapshot $name.snap diff")->{error}, qr/the diff needs the snapshot that is in this file now/, "refused: a diff over $name.snap");
}
is($control->request('snapshot c.snap full')->{ok}, 1, 'a full snapshot over a snapshot of the chain succeeds');
is($control->request('snapshot a.snap diff')->{ok}, 1, 'then a diff over the other snapshots succeeds');
is((run([ $minivmm, 'verify', 'a.snap' ]))[0], 0, 'the diff is valid');

# A chain that would be too long to restore is not written. The longest chain can be restored and
# flattened.
{
    my $short = start([ @live, '--set', 'control.socket=short.sock', '--set', 'cpu.r8=1' ]);
    my $to = Control->connect('short.sock');
    mkdir 'long';
    my $taken = $to->request('snapshot long/0')->{ok};
    $taken++ while $taken < 500 && $to->request("snapshot long/$taken diff")->{ok};
    is($taken, 400, 'a chain has at most 400 snapshots');
    like($to->request("snapshot long/$taken diff")->{error}, qr/the chain of 400 snapshots cannot grow; take a full snapshot, or restore/, 'refused: a diff of the longest chain');
    ok(!-e "long/$taken", 'the refused diff leaves no file');
    is($to->request('snapshot full')->{ok}, 1, 'a full snapshot succeeds');
    is($to->request('snapshot next diff')->{ok}, 1, 'a diff of the full snapshot succeeds');
    $to->request('quit');
    finish($short);
    is((run([ $minivmm, '-r', 'long/399', '--log', 'error', '--until', 'output:serial0:tick', '--set', 'device.serial0.output=none' ]))[0], 0, 'the longest chain can be restored');
    is((run([ $minivmm, 'diff', 'long/399', 'long/398' ]))[0], 1, 'two of its snapshots can be compared');
    is((run([ $minivmm, 'flatten', 'long/399', '-o', 'flat' ]))[0], 0, 'the longest chain can be flattened');
    is((run([ $minivmm, 'verify', 'flat' ]))[0], 0, 'the flattened snapshot is valid');
}

sub full_pipe {
    pipe my $in, my $out or die;
    $out->blocking(0);
    1 while syswrite $out, 'x' x 4096;
    1 while syswrite $out, 'x';
    $out->blocking(1);
    return ($in, $out);
}

# A pipe that is full from the beginning does not block the machine.
{
    my ($in, $out) = full_pipe();
    my $sender = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-' ], stdout => $out);
    ok((until_true { $control->request('status')->{snapshot} }), 'a snapshot into a full pipe is in progress');
    is($control->request('cancel')->{ok}, 1, 'it can be cancelled');
    is((finish($sender))[0], 1, 'its client exits with 1');
}
is($control->request('quit')->{ok}, 1, 'the machine still replies');
finish($process);

# flatten does not give damaged memory a valid checksum.
is((run([ @live, '--until', 'time:100ms', '--save', 'd.snap' ]))[0], 0, 'a snapshot');
{
    my $bytes = slurp('d.snap');
    substr($bytes, 4096 + 0x20008, 4) ^= "\x55\xaa\x55\xaa";
    spew('d.snap', $bytes);
}
my ($status, $out, $err) = run([ $minivmm, 'flatten', 'd.snap', '-o', 'e.snap' ]);
is($status, 112, 'refused: flatten of a damaged snapshot');
like($err, qr/memory from 0x\S+ to 0x\S+ does not match its checksum/, 'the message names the damaged memory');
ok(!-e 'e.snap', 'no file is written');

# flatten fails if its input is truncated meanwhile.
is((run([ @live, '--set', 'vm.memory=8M', '--set', 'cpu.r10=0', '--until', 'output:serial0:tick:15', '--save', 'f.snap' ], stdout => '/dev/null'))[0], 0, 'a snapshot to flatten');
mkdir 'out';
{
    my $process = start([ $minivmm, 'flatten', 'f.snap', '-o', 'out/g.snap' ],
        LD_PRELOAD => "$build/tests/preload/faultfs.so", FAULT_PATH => 'out', FAULT => 'write:1:SLOW');
    # The process is stopped while its files are examined: on a busy host it may end in between.
    my $writes = until_true {
        kill STOP => $process->{pid};
        return 1 if grep { (readlink $_ // '') =~ m{/out/} } glob "/proc/$process->{pid}/fd/*";
        kill CONT => $process->{pid};
        return 0;
    };
    ok($writes, 'flatten has opened its output');
    truncate 'f.snap', 65536;
    kill CONT => $process->{pid};
    my ($status, undef, $err) = finish($process);
    is("$status:$err", "113:minivmm: cannot read snapshot f.snap: the file was truncated during the read\n", 'the truncation is reported');
    is(names('out'), '', 'no file is left');
}

# The parent process ignores SIGCHLD.
$process = start([ 'perl', '-e', '$SIG{CHLD} = "IGNORE"; exec @ARGV', @live, '--set', 'snapshot.method=fork' ]);
$control = Control->connect('vm.sock');
is($control->request('snapshot f.snap')->{method}, 'fork', 'a snapshot with fork if SIGCHLD is ignored');
$control->request('quit');
finish($process);

# A stop condition that is hit during another request acts at that point. The device finishes its
# requests late, and a second request arrives meanwhile.
spew('g.ini', guest('e4 50 90 90 90 eb fe', "[plugins]\npath = $build/tests/plugins\n\n[device a]\nplugin = faulty\nin = slow-pause\n\n[control]\nsocket = vm.sock\n"));
for my $request ('registers', 'pause', 'snapshot h.snap') {
    $process = start([ $minivmm, '-c', 'g.ini', '--log', 'error' ]);
    my ($first, $second) = map { Control->connect('vm.sock') } 1 .. 2;
    $first->send("$request\n");
    $second->send("status\n");
    ok($first->reply->{ok}, "$request: a reply");
    is($second->reply->{ok}, 1, "status during $request: a reply");
    is($first->request('quit')->{ok}, 1, "$request: the machine still replies");
    is((finish($process))[0], 0, "$request: the machine ends with status 0");
}

# A stop condition that is hit while a snapshot of the paused machine is being written does not
# resume the machine. The pipe is not read yet.
{
    spew('p.ini', guest('e4 50 66 ff 06 00 20 66 ff 06 00 80 eb f4', "[plugins]\npath = $build/tests/plugins\n\n[device a]\nplugin = faulty\nin = slow-pause\n\n[control]\nsocket = vm.sock\n"));
    $process = start([ $minivmm, '-c', 'p.ini', '--log', 'error', '--at', 'time:300ms', '--save', 'q.snap', '--set', 'snapshot.method=pause' ]);
    $control = Control->connect('vm.sock');
    my ($in, $out) = full_pipe();
    my $sender = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-', 'paused' ], stdout => $out);
    close $out;
    my $number = sub { $control->request('memory 0x2000 4')->{bytes} };
    ok((until_true { my $status = $control->request('status'); $status->{snapshot} && $status->{state} eq 'paused' }), 'the machine is paused for the snapshot');
    my $before = $number->();
    select undef, undef, undef, 0.5;
    is($number->(), $before, 'the machine stays paused when its stop condition is hit');
    1 while sysread $in, my $bytes, 65536;
    is((finish($sender))[0], 0, 'the snapshot is written');
    ok((until_true { $number->() ne $before }), 'then the machine continues');
    $control->request('quit');
    finish($process);
}

done_testing;
