#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# minivmm -r SNAPSHOT --branch SOCKET...: machines from one snapshot, which share its mapping.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Cwd ();
use Minivmm;
use Test::More;

# Prints the alphabet forever: mov $0x3f8,%dx; mov $'a',%al; 1: out %al,%dx; inc %al; cmp $'{',%al;
# jne 2f; mov $'a',%al; 2: mov $0x400,%cx; loop .; jmp 1b
spew('letters.ini', guest('ba f8 03 b0 61 ee fe c0 3c 7b 75 02 b0 61 b9 00 04 e2 fe eb f0'));
my $alphabet = join '', 'a' .. 'z';
my @processes;
END { kill KILL => @processes }

# Makes machines. Returns status, stdout and stderr; notes the processes.
sub copies {
    my ($words, @with) = @_;
    my @result = run([ $minivmm, @$words ], @with);
    push @processes, $result[1] =~ /pid: (\d+)/g;
    return @result;
}

sub output { return -e $_[0] ? slurp($_[0]) : '' }
sub gone { my ($pid) = @_; return until_true { !-e "/proc/$pid" } }

sub quit {
    my @sockets = @_;
    ok(Control->connect($_)->request('quit')->{ok}, "$_ ends") for @sockets;
    ok(gone(pop @processes), 'its process is gone') for @sockets;
    return;
}

my ($status, $out, $err) = run([ $minivmm, qw(-c letters.ini --until access:30 --save letters.snap) ]);
is($status, 0, 'a snapshot') or diag($err);
my @restore = ('-r', 'letters.snap', '--branch');
my $output = 'device.serial0.output=file:out';

# The shell waits until nobody has the pipe open any more.
($status, $out, $err) = run([ 'sh', '-c', 'echo "$("$@")"', 'sh', $minivmm, @restore,
        'a', '--set', "$output%n", 'b', 'c', '--set', "$output%n" ]);
push @processes, $out =~ /pid: (\d+)/g;
is($status, 0, 'three machines') or diag($err);
like($out, qr/^  socket: a, pid: \d+\n  socket: b, pid: \d+\n  socket: c, pid: \d+\n/m, 'their sockets and PIDs are printed');
is(scalar keys %{ { map { ($_ => 1) } @processes } }, 3, 'each is a process');
ok(until_true { length output($_) > 30 }, "the machine of $_ runs") for qw(out0 out2);
is(index($alphabet x 99, output($_)), 4, "$_ continues where the snapshot was") for qw(out0 out2);
like($err, qr/^minivmm: serial0: output = stdio is not connected in this branch; give it --set device\.serial0\.output=\.\.\.\n\z/,
    'what is not connected is reported, once for the machine without --set');
like(slurp("/proc/$_/maps"), qr/rw-p .*letters\.snap$/m, "process $_ maps the snapshot") for @processes;
my $control = Control->connect('a');
is($control->request('status')->{state}, 'running', 'a control socket');
ok($control->request("branch d --paused")->{ok}, 'a machine can be branched');
ok(Control->connect('d')->request('quit')->{ok}, 'its branch ends');
quit(qw(a b c));

($status, $out, $err) = copies([ @restore, 'a', '--paused' ]);
is(Control->connect('a')->request('status')->{state}, 'paused', 'a machine that begins paused');
quit('a');

# From a pipe, and from a diff.
($status, $out, $err) = copies([ '-r', '-', '--branch', 'a', '--set', "$output-pipe" ], stdin => slurp('letters.snap'));
is($status, 0, 'a snapshot from standard input') or diag($err);
ok(until_true { output('out-pipe') =~ /^efgh/ }, 'its machine continues');
my $reply = Control->connect('a')->request('snapshot ' . Cwd::getcwd() . '/base.snap');
ok($reply->{ok}, 'a snapshot of it') or diag($reply->{error});
$reply = Control->connect('a')->request('snapshot ' . Cwd::getcwd() . '/diff.snap diff');
ok($reply->{ok}, 'and a diff') or diag($reply->{error});
quit('a');
($status, $out, $err) = copies([ qw(-r base.snap -r diff.snap --branch a b --set), "$output-diff" ]);
is($status, 0, 'two machines from a diff') or diag($err);
ok(until_true { length output('out-diff') > 30 }, 'they continue');
ok(index($alphabet x 99, output('out-diff')) >= 0, 'in order');
quit(qw(a b));

# What fails leaves no machine.
sub refused {
    my ($what, $expected, $why, @words) = @_;
    my ($status, $out, $err) = copies([@words]);
    is($status, $expected, "$what: status");
    like($err, $why, "$what: message");
    is($out, '', "$what: no output");
    ok(!-S 'x', "$what: no machine");
    return;
}
refused('a socket without a directory', 113, qr/cannot listen on the control socket no\/y: /, @restore, 'x', 'no/y');
refused('a socket twice', 113, qr/cannot listen on the control socket x: /, @restore, 'x', 'x');
refused('an unknown device', 110, qr/the snapshot has no device serial1/, @restore, 'x', '--set', 'device.serial1.output=none');
refused('an unknown option', 110, qr/branch: an option is unknown; use --set and --paused/, @restore, 'x', '--log', 'debug');
refused('no socket', 110, qr/--branch needs a value/, @restore);
refused('a config', 110, qr/--branch needs -r SNAPSHOT; to branch a machine that runs, use minivmm ctl/, '-c', 'letters.ini', '--branch', 'x');
refused('a stop condition', 110, qr/give it only -r, --set, --trust and --log/, '-r', 'letters.snap', '--until', 'hlt', '--branch', 'x');
refused('no snapshot', 112, qr/no\.snap/, '-r', 'no.snap', '--branch', 'x');
done_testing;
