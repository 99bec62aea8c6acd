#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# minivmm batch --from: the runs begin in the current state of a running machine, which goes on.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Cwd 'getcwd';
use IO::Socket::UNIX;
use JSON::PP;
use Minivmm;
use POSIX ();
use Test::More;

# Counts the bytes that it gets, and answers each with their number and "!":
#   xor %bx,%bx; 1: mov $0x3fd,%dx; in %dx,%al; test $1,%al; jz 1b; mov $0x3f8,%dx; in %dx,%al;
#   inc %bx; mov %bl,%al; add $'0',%al; out %al,%dx; mov $'!',%al; out %al,%dx; jmp 1b
spew('count.ini', guest('31 db ba fd 03 ec a8 01 74 f8 ba f8 03 ec 43 88 d8 04 30 ee b0 21 ee eb e9', "input = stdio\n"));
pipe my $input, my $words or die "pipe: $!";
$words->autoflush(1);
my $machine = start([ $minivmm, '-c', 'count.ini', '--set', 'control.socket=vm.sock' ], stdin => $input);
my $control = Control->connect('vm.sock');

sub feed {
    my ($bytes, $expected) = @_;
    print $words $bytes;
    return ok(until_true { heard($machine) eq $expected }, "the machine answers: $expected");
}

# Runs a batch; returns its status, its lines by file, and stderr.
sub batch {
    my ($status, $out, $err) = run([ $minivmm, 'batch', @_ ]);
    return ($status, { map { my $line = decode_json($_); ($line->{file} => $line) } split /\n/, $out }, $err);
}

spew('one', 'x');
spew('two', 'yy');
my @inputs = qw(--input serial0 --timeout 60s one two);
feed('abc', '1!2!3!');
my ($status, $lines, $err) = batch('--from', 'vm.sock', '-j', 2, '--check', '--until', 'output:serial0:4!', @inputs);
is($status, 0, 'a batch') or diag($err);
is($err, '', 'no message');
is($lines->{one}{output}, '4!', 'a run continues where the machine is');
is($lines->{two}{output}, '4!', 'and so does another one');
is($lines->{one}{cause}, 'point', 'it ends at the stop condition');
feed('d', '1!2!3!4!');
($status, $lines, $err) = batch('--from', 'vm.sock', '-j', 1, '--until', 'output:serial0:6!', @inputs[ 0 .. 3 ], 'two');
is($lines->{two}{output}, '5!6!', 'a later batch begins in a later state') or diag($err);

# The snapshot is no base of a diff: nobody has it.
my $here = getcwd();
like($control->request("snapshot $here/a.snap diff")->{error}, qr/a diff needs an earlier snapshot/, 'a diff still needs a snapshot');
ok($control->request("snapshot $here/a.snap full")->{ok}, 'a full snapshot');
($status) = batch('--from', 'vm.sock', '--until', 'output:serial0:5!', @inputs[ 0 .. 3 ], 'one');
is($status, 0, 'a batch after it');
feed('e', '1!2!3!4!5!');
ok($control->request("snapshot $here/b.snap diff")->{ok}, 'a diff of the snapshot before');
(undef, $lines, $err) = batch(qw(-r a.snap -r b.snap --until output:serial0:6!), @inputs[ 0 .. 3 ], 'one');
is($lines->{one}{output}, '6!', 'which has all pages that were written since') or diag($err);

# By name, and what is refused.
$control->request('quit');
finish($machine);
mkdir 'run' or die "run: $!";
$machine = start([ $minivmm, '-c', 'count.ini', '--set', 'control.name=counter' ], stdin => $input, XDG_RUNTIME_DIR => "$here/run");
until_true { -S 'run/minivmm/counter' };
my $out;
($status, $out, $err) = run([ $minivmm, qw(batch --from counter --until output:serial0:1!), @inputs[ 0 .. 3 ], 'one' ], XDG_RUNTIME_DIR => "$here/run");
like($out, qr/"output":"1!"/, 'a machine by its name') or diag($err);
kill TERM => $machine->{pid};
finish($machine);

my @batch = ($minivmm, 'batch');
fails([ @batch, '--from', 'vm.sock', @inputs ], 113, qr/cannot connect to vm\.sock: .*; check that the machine is running/, 'no machine');
fails([ @batch, '--from', 'vm.sock', '-r', 'a.snap', @inputs ], 110, qr/batch: use -r or --from, not both/, 'a snapshot and a machine');
fails([ @batch, @inputs ], 110, qr/batch: no machine; add -r SNAPSHOT or --from SOCKET/, 'neither');

# A machine that refuses: the descriptor for the snapshot is closed, too.
my $server = IO::Socket::UNIX->new(Local => 'no.sock', Listen => 1) or die "no.sock: $!";
my $pid = fork // die "fork: $!";
if (!$pid) {
    my $client = $server->accept;
    readline $client;
    print $client qq({"ok":false,"error":"another snapshot is in progress"}\n);
    POSIX::_exit(0);
}
fails([ @batch, '--from', 'no.sock', @inputs ], 113, qr/^minivmm: .*another snapshot is in progress$/, 'a machine that refuses');
waitpid $pid, 0;

# A machine with a memory_file has the same memory for its runs.
$machine = start([ $minivmm, '-c', 'count.ini', '--set', 'control.socket=vm.sock', '--set', 'vm.memory_file=memory' ], stdin => 'ab');
$control = Control->connect('vm.sock');
until_true { heard($machine) eq '1!2!' };
($status, $lines, $err) = batch('--from', 'vm.sock', '--until', 'output:serial0:3!', @inputs[ 0 .. 3 ], 'one');
is($lines->{one}{output}, '3!', 'a machine with a memory_file') or diag($err);
fails([ @batch, '--from', 'vm.sock', '--input', 'nobody', 'one' ], 110, qr/--input nobody: unknown device/, 'an unknown device');
$control->request('pause');
($status, $lines, $err) = batch('--from', 'vm.sock', '--until', 'output:serial0:3!', @inputs[ 0 .. 3 ], 'one');
is($lines->{one}{output}, '3!', 'a paused machine');
is($control->request('status')->{state}, 'paused', 'which stays paused');
$control->request('quit');
finish($machine);
done_testing;
