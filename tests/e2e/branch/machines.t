#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Machines with names: minivmm list and tree, and ctl by name.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Cwd 'getcwd';
use IO::Socket::UNIX;
use JSON::PP 'decode_json';
use Minivmm;
use POSIX ();
use Test::More;

my $runtime = $ENV{XDG_RUNTIME_DIR} = getcwd() . '/runtime';
mkdir $runtime or die "$runtime: $!";
my $folder = "$runtime/minivmm";
my @processes;
END { kill KILL => ours(@processes) }

# Loops forever: 1: jmp 1b
spew('loop.ini', guest('eb fe'));

sub command {
    my ($status, $out, $err) = run([ $minivmm, @_ ]);
    is($status, 0, "@_") or diag($err);
    return $out;
}

# Lists the machines by name.
sub machines {
    my $list = numbers(decode_json(command('list', '--json', @_)));
    return { map { ($_->{name} => $_) } @$list };
}

is_deeply(machines(), {}, 'no directory, no machine');
my $web = start([ $minivmm, '-c', 'loop.ini', '--set', 'control.name=web' ]);
ok(Control->connect("$folder/web"), 'the socket is in the directory of the user');
is((stat $folder)[2] & 0777, 0700, 'which nobody else can read');
my $found = machines()->{web};
is($found->{pid}, $web->{pid}, 'the list has its process');
is($found->{state}, 'running', 'its state');
is($found->{parent}, 0, 'it is no branch');
cmp_ok($found->{private_bytes}, '>', 0, 'its memory');

command('ctl', 'web', 'branch', 'one', 'two', '--paused');
my $one = machines()->{one};
push @processes, map { $_->{pid} } values %{ machines() };
is($one->{parent}, $web->{pid}, 'a branch has its parent');
is($one->{state}, 'paused', 'and its state');
command('ctl', 'two', 'branch', 'deep');
my $deep = machines()->{deep};
push @processes, $deep->{pid};
my $two = machines()->{two}{pid};
is(command('tree'), <<"", 'the tree');
web ($web->{pid}, running)
|- one ($one->{pid}, paused)
`- two ($two, paused)
   `- deep ($deep->{pid}, running)

like(command('list'), qr/^NAME .*\n(?:.*\n)*two +$two +$web->{pid} +paused /, 'the table');
is_deeply([ sort keys %{ machines("$folder/one", "$folder/web") } ], [qw(one web)], 'machines of given sockets');

# A machine that does not answer is listed, and delays nobody for long.
kill STOP => $deep->{pid};
is(machines()->{deep}{state}, 'no answer', 'a stopped process');
kill CONT => $deep->{pid};

kill STOP => $two;
is(command('tree'), <<"", 'the tree has it, and each machine once');
two ($two, no answer)
`- deep ($deep->{pid}, running)
web ($web->{pid}, running)
`- one ($one->{pid}, paused)

kill CONT => $two;

# A killed machine leaves a socket on which nobody listens.
kill KILL => $one->{pid};
until_true { !-e "/proc/$one->{pid}" };
ok(-e "$folder/one" && !machines()->{one}, 'a killed machine is not listed');
like((run([ $minivmm, 'list', "$folder/one" ]))[2], qr/cannot connect to .*one: .*the machine has ended/, 'a given socket without a machine');

# In the current directory, a socket has precedence.
my $here = start([ $minivmm, '-c', 'loop.ini', '--set', 'control.socket=web' ]);
ok(Control->connect('web'), 'a socket with the same name');
like(command('ctl', 'web', 'status'), qr/pid: $here->{pid}$/m, 'is meant by its path');
command('ctl', $_, 'quit') for 'web', 'two', 'deep', "$folder/web";
is((finish($_))[0], 0, 'the machine ends') for $here, $web;
is_deeply(machines(), {}, 'no machine is left');
@processes = ();

# Sockets of other programs: one that never accepts, whose queue is full; one that sends a byte at a
# time; one that hangs up; one whose machine is its own branch.
sub stranger {
    my ($name, $serve) = @_;
    unlink "$folder/$name";
    my $socket = IO::Socket::UNIX->new(Local => "$folder/$name", Listen => 1) or die "$name: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        while (my $client = $socket->accept) { $serve->($client) }
        POSIX::_exit(0);
    }
    push @processes, $pid;
}
$SIG{PIPE} = 'IGNORE';
my $deaf = IO::Socket::UNIX->new(Local => "$folder/deaf", Listen => 1) or die "deaf: $!";
my @queue = map { IO::Socket::UNIX->new(Peer => "$folder/deaf") } 1 .. 2;
stranger('slow', sub { 1 while select(undef, undef, undef, 0.05) >= 0 && syswrite $_[0], ' ' });
stranger('gone', sub { });
stranger('self', sub { syswrite $_[0], qq({"ok":true,"pid":7,"parent":7,"state":"\\u001b[2J"}\n) });
symlink 'self', "$folder/link";
my $list = machines();
is_deeply([ sort keys %$list ], [qw(deaf self slow)], 'who hangs up, and a link, are no machines');
is($list->{deaf}{state}, 'no answer', 'a full queue');
is($list->{slow}{state}, 'no answer', 'a reply that takes too long');
is($list->{slow}{pid}, $$, 'the process that listens is known');
is(command('tree'), <<"", 'nothing is printed twice, nor controls the terminal');
deaf (0, no answer)
slow ($$, no answer)
self (7, \\x1b[2J)

kill KILL => ours(@processes);
@processes = ();
unlink glob "$folder/*";

chmod 0777, $folder;
fails([ $minivmm, 'list' ], 110, qr/others can write to .*: use chmod 700/, 'a directory in which anybody can pass for a machine');
fails([ $minivmm, '-c', 'loop.ini', '--set', 'control.name=x' ], 110, qr/others can write to/, 'for a machine, too');
chmod 0700, $folder;

# Names that cannot be.
fails([ $minivmm, '-c', 'loop.ini', '--set', "control.name=$_" ], 110, qr/name = \Q$_\E: a name has 1 to 64 characters/, "name '$_'")
  for '.x', 'a/b', 'x' x 65;
fails([ $minivmm, '-c', 'loop.ini', '--set', 'control.name=x', '--set', 'control.socket=y' ], 110, qr/one control socket; remove one/, 'a name and a socket');
done_testing;
