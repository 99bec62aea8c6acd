#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Branches of a running machine: what they continue with, what they own, how they end.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Cwd 'getcwd';
use Minivmm;
use Test::More;

# Prints the alphabet forever: mov $0x3f8,%dx; mov $'a',%al; 1: out %al,%dx; inc %al; cmp $'{',%al;
# jne 2f; mov $'a',%al; 2: mov $0x400,%cx; loop .; jmp 1b
my $letters = 'ba f8 03 b0 61 ee fe c0 3c 7b 75 02 b0 61 b9 00 04 e2 fe eb f0';
my $alphabet = join '', 'a' .. 'z';
spew('letters.ini', guest($letters));
my @run = ($minivmm, '-c', 'letters.ini', '--set');
my @processes;
END { kill KILL => ours(grep { $_ } @processes) }

# Starts the machine with a control socket.
sub begin {
    my ($socket, @more) = @_;
    my $process = start([ @run, "control.socket=$socket", @more ]);
    my $control = Control->connect($socket);
    until_true { length heard($process) > 3 };
    return ($process, $control);
}

# Branches it; returns the reply.
sub branch {
    my ($control, @words) = @_;
    my $reply = $control->request("branch @words");
    push @processes, map { $_->{pid} } @{ $reply->{branches} // [] };
    return $reply;
}

sub output { return -e $_[0] ? slurp($_[0]) : '' }

# Whether a text is a part of the endless alphabet.
sub in_order { return index($alphabet x (2 + length($_[0]) / 26), $_[0]) >= 0 }

# The state of a process in /proc; '' if there is none.
sub process_state { return -e "/proc/$_[0]/stat" && slurp("/proc/$_[0]/stat") =~ /\) (\w)/ ? $1 : '' }
sub gone { my ($pid) = @_; return until_true { process_state($pid) eq '' } }

my ($parent, $control) = begin('p');
my $reply = branch($control, map { ("b$_", '--set', 'device.serial0.output=file:out%n') } 0 .. 2);
ok($reply->{ok}, 'three branches') or diag($reply->{error});
is_deeply([ map { $_->{socket} } @{ $reply->{branches} } ], [qw(b0 b1 b2)], 'the reply has their sockets');
my @pids = map { $_->{pid} } @{ $reply->{branches} };
my %different = map { ($_ => 1) } @pids, $parent->{pid};
is(scalar keys %different, 4, 'each has its own process');
my $keeper = $reply->{keeper};
is(slurp("/proc/$keeper/comm"), "minivmm keeper\n", 'one more keeps their beginning');
cmp_ok($reply->{stopped_us}, '>', 0, 'the reply has the length of the stop');
ok(until_true { length output("out$_") > 30 }, "branch $_ runs") for 0 .. 2;
my $seen = length heard($parent);
ok(until_true { length heard($parent) > $seen + 5 }, 'the machine runs on');
ok(in_order(heard($parent)), 'nothing is lost or printed twice in the machine');
ok(in_order(output("out$_")), "branch $_ continues as the machine would have") for 0 .. 2;
my %first = map { (substr(output("out$_"), 0, 1) => 1) } 0 .. 2;
is(scalar keys %first, 1, 'all branches begin with the same letter');
like(said($parent), qr/^$/, 'what is connected again is not reported');

# A branch is a complete machine.
my @branches = map { Control->connect("b$_") } 0 .. 2;
is($branches[0]->request('status')->{state}, 'running', 'a branch has a control socket');
$reply = $branches[0]->request('snapshot ' . getcwd() . '/b0.snap');
ok($reply->{ok}, 'a snapshot of a branch') or diag($reply->{error});
is($reply->{kind}, 'full', 'the first one is full');
my ($status, $out, $err) = run([ $minivmm, '-r', 'b0.snap', '--set', 'device.serial0.output=stdio', '--until', 'access:60' ]);
is($status, 0, 'it is restored') or diag($err);
ok(in_order($out) && length $out, 'and continues');
$reply = branch($branches[1], 'c', '--set', 'device.serial0.output=file:out-c', '--paused');
ok($reply->{ok}, 'a branch of a branch, paused') or diag($reply->{error});
my $c = Control->connect('c');
is($c->request('status')->{state}, 'paused', 'it is paused');
is(output('out-c'), '', 'and has printed nothing');
$c->request('resume');
ok(until_true { length output('out-c') > 30 }, 'it runs after resume');
ok(in_order(output('out-c')), 'in order');

# A branch that ends leaves no zombie; branches outlive their machine.
$branches[2]->request('quit');
ok(gone($pids[2]), 'a branch that ends leaves no zombie');
ok(!-e 'b2', 'nor its socket');
$control->request('quit');
is((finish($parent))[0], 0, 'the machine ends');
$seen = length output('out0');
ok(until_true { length output('out0') > $seen + 5 }, 'its branches run on');
is(Control->connect("b$_")->request('quit')->{ok}, 1, "branch $_ ends") for 0, 1;
$c->request('quit');
ok(gone($_), "process $_ is gone") for grep { $_ } @processes, $keeper;

# What is refused leaves the machine as it was, and no branch.
($parent, $control) = begin('p');
sub refused {
    my ($what, $why, @words) = @_;
    my $reply = branch($control, @words);
    like($reply->{error}, $why, $what);
}
refused('no socket', qr/takes more arguments/, '');
refused('an option alone', qr/name the control socket/, '--paused');
refused('--set before a socket', qr/--set stands behind the socket/, '--set', 'device.serial0.output=none', 'x');
refused('another option', qr/an option is unknown/, 'x', '--pause');
refused('a socket without a path', qr/the path of a control socket is empty: .*; name a file/, 'x', '""');
refused('a device that does not exist', qr/has no device serial1/, 'x', '--set', 'device.serial1.output=none');
refused('a key of the guest', qr/a restore keeps the machine/, 'x', '--set', 'cpu.rax=1');
refused('a socket that is in use', qr/cannot listen on the control socket p:/, 'x', 'y', 'p', 'z');
ok(!-e $_, "no machine listens on $_") for qw(x y z);
$seen = length heard($parent);
ok(until_true { length heard($parent) > $seen + 5 }, 'the machine runs on');
ok(branch($control, 'x')->{ok}, 'it can be branched afterwards');
kill KILL => $parent->{pid};
finish($parent);
is(Control->connect('x')->request('quit')->{ok}, 1, 'a branch survives a kill of its machine');

# A diff of a branch needs the snapshots of its machine.
($parent, $control) = begin('p', '--set', 'vm.memory=1M');
my $here = getcwd();
ok($control->request("snapshot $here/first.snap")->{ok}, 'a snapshot before the branch');
$reply = branch($control, 'w');
ok($reply->{ok}, 'a branch') or diag($reply->{error});
my $x = Control->connect('w');
$reply = $x->request("snapshot $here/diff.snap diff");
is($reply->{kind}, 'diff', 'a diff of the branch') or diag($reply->{error});
cmp_ok($reply->{pages}, '<', 10, 'it has few pages');
$x->request('pause');
$x->request("snapshot $here/second-$_.snap $_") for 'diff', 'full';
is((run([ $minivmm, 'diff', '--guest', 'second-full.snap', 'second-diff.snap' ]))[0], 0, 'it is the branch');
$_->request('quit') for $x, $control;
finish($parent);

# A memory_file would be shared, not copied.
($parent, $control) = begin('p', '--set', 'vm.memory_file=memory');
refused('a memory_file', qr/memory_file/, 'x');
$control->request('quit');
finish($parent);

done_testing;
