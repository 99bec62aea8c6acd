#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A branch is reset to its own beginning: its memory, its disk and its state are as they were when
# it was made. A process keeps that memory, once for all branches of a command, and ends with them.
# invisible.t compares whole runs.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Cwd 'getcwd';
use Minivmm;
use Test::More;

my @processes;
END { kill KILL => ours(grep { $_ } @processes) }

# Prints the alphabet forever, and increments a byte of 16 pages from 0x10000 on: mov $0x3f8,%dx;
# mov $'a',%al; 1: out %al,%dx; inc %al; cmp $'{',%al; jne 2f; mov $'a',%al; 2: mov $0x1000,%bx;
# mov %bx,%ds; mov $16,%cx; 3: incb 0; mov %ds,%bx; add $0x100,%bx; mov %bx,%ds; loop 3b; jmp 1b
my $code = join ' ', 'ba f8 03 b0 61 ee fe c0 3c 7b 75 02 b0 61 bb 00 10 8e db b9 10 00',
    'fe 06 00 00 8c db 81 c3 00 01 8e db e2 f2 eb dd';
spew('count.ini', guest($code));
my $here = getcwd();

sub begin {
    my (@more) = @_;
    my $process = start([ $minivmm, '-c', 'count.ini', '--set', 'control.socket=p', '--set', 'vm.memory=1M', @more ]);
    my $control = Control->connect('p');
    until_true { length heard($process) > 30 };
    return ($process, $control);
}

# Branches a machine; returns the reply.
sub branch {
    my ($control, @words) = @_;
    my $reply = $control->request("branch @words");
    ok($reply->{ok}, "branch @words") or diag($reply->{error});
    push @processes, $reply->{keeper}, map { $_->{pid} } @{ $reply->{branches} // [] };
    return $reply;
}

sub gone { my ($pid) = @_; return until_true { !-e "/proc/$pid/stat" || slurp("/proc/$pid/stat") =~ /\) Z/ } }

sub saved {
    my ($control, $file) = @_;
    unlink $file;
    my $reply = $control->request("snapshot $here/$file full paused");
    diag($reply->{error}) if !$reply->{ok};
}

# What differs for the guest between two snapshots.
sub differences {
    my ($status, $out) = run([ $minivmm, 'diff', '--guest', @_ ]);
    return join '', grep { !/^config/ } $out =~ /.*\n/g;
}

# Runs a branch until the guest has changed its memory and printed.
sub run_on {
    my ($control, $out) = @_;
    my $length = -s $out // 0;
    $control->request('resume');
    ok(until_true { (-s $out // 0) > $length + 30 }, 'it runs');
    $control->request('pause');
}

my ($parent, $control) = begin();
my $reply = branch($control, '--paused', map { ("b$_", '--set', "device.serial0.output=file:out$_") } 0, 1);
my $keeper = $reply->{keeper};
my @b = map { Control->connect("b$_") } 0, 1;
saved($b[0], 'first.snap');
for my $turn (1 .. 3) {
    run_on($b[0], 'out0');
    saved($b[0], 'later.snap');
    isnt(differences('first.snap', 'later.snap'), '', 'it differs from its beginning');
    ok($b[0]->request('reset')->{ok}, "reset $turn") or diag($reply->{error});
    saved($b[0], 'again.snap');
    is(differences('first.snap', 'again.snap'), '', 'it is at its beginning again');
}
is($b[0]->request('status')->{state}, 'paused', 'a reset does not resume it');

# The machine and its sibling have run, and the first may have ended.
$control->request('quit');
finish($parent);
run_on($b[1], 'out1');
run_on($b[0], 'out0');
ok($b[1]->request('reset')->{ok}, 'a reset of its sibling, after the end of the machine');
saved($b[1], 'sibling.snap');
is(differences('first.snap', 'sibling.snap'), '', 'both have the same beginning');

# A diff after a reset holds what the reset has changed.
$b[1]->request("snapshot $here/base.snap full");
run_on($b[1], 'out1');
ok($b[1]->request('reset')->{ok}, 'a reset after a snapshot');
$reply = $b[1]->request("snapshot $here/diff.snap diff paused");
is($reply->{kind}, 'diff', 'a diff') or diag($reply->{error});
saved($b[1], 'full.snap');
is(differences('full.snap', 'diff.snap'), '', 'the diff is the machine');

# A branch of a branch has its own beginning, which is that branch's at that time.
run_on($b[1], 'out1');
saved($b[1], 'middle.snap');
$reply = branch($b[1], 'c', '--set', 'device.serial0.output=file:out-c', '--paused');
my $second = $reply->{keeper};
my $c = Control->connect('c');
run_on($c, 'out-c');
ok($c->request('reset')->{ok}, 'a reset of a branch of a branch');
saved($c, 'c.snap');
is(differences('middle.snap', 'c.snap'), '', 'it is at its own beginning');
ok($b[1]->request('reset')->{ok}, 'a reset of the branch that it is a copy of');
saved($b[1], 'again.snap');
is(differences('first.snap', 'again.snap'), '', 'that one is at its beginning');

# The keeper ends with the last branch.
$b[0]->request('quit');
$c->request('quit');
ok(gone($second), 'the keeper of an only branch ends with it');
ok(-e "/proc/$keeper", 'the first keeper has a branch left');

# Without the keeper a reset is refused, before it has changed anything.
run_on($b[1], 'out1');
saved($b[1], 'middle.snap');
kill KILL => $keeper;
ok(gone($keeper), 'the keeper is killed');
like($b[1]->request('reset')->{error}, qr/^cannot reset the machine to its beginning: the process that kept its memory was killed$/, 'a reset is refused');
saved($b[1], 'again.snap');
is(differences('middle.snap', 'again.snap'), '', 'nothing has changed');
run_on($b[1], 'out1');
$reply = branch($b[1], 'd', '--set', 'device.serial0.output=file:out-d');
ok(Control->connect('d')->request('reset')->{ok}, 'a branch of it can be reset');
Control->connect('d')->request('quit');
$b[1]->request('quit');
ok(gone($_), "process $_ is gone") for @processes;

# A branch that has never been reset, and has lost its keeper.
($parent, $control) = begin();
$reply = branch($control, 'b0');
kill KILL => $reply->{keeper};
ok(gone($reply->{keeper}), 'the keeper is killed');
like(Control->connect('b0')->request('reset')->{error}, qr/was killed$/, 'a first reset is refused');
is(Control->connect('b0')->request('status')->{state}, 'running', 'and it runs on');
Control->connect('b0')->request('quit');
ok(gone($reply->{branches}[0]{pid}), 'it ends');

# A branch of a restored machine: to the beginning of the branch, not to the snapshot.
saved($control, 'root.snap');
$control->request('quit');
finish($parent);
$parent = start([ $minivmm, '-r', 'root.snap', '--set', 'control.socket=p', '--set', 'device.serial0.output=file:out-r' ]);
$control = Control->connect('p');
ok(until_true { (-s 'out-r' // 0) > 30 }, 'a restored machine runs');
$control->request('pause');
saved($control, 'middle.snap');
branch($control, 'b0', '--set', 'device.serial0.output=file:out0', '--paused');
my $b = Control->connect('b0');
run_on($b, 'out0');
ok($b->request('reset')->{ok}, 'a reset of a branch of it');
saved($b, 'again.snap');
is(differences('middle.snap', 'again.snap'), '', 'to the beginning of the branch');
ok($control->request('reset')->{ok}, 'a reset of the restored machine');
saved($control, 'again.snap');
is(differences('root.snap', 'again.snap'), '', 'to its snapshot');
$_->request('quit') for $b, $control;
finish($parent);
ok(gone($_), "process $_ is gone") for @processes;
done_testing;
