#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Machines with names: minivmm list and tree, and ctl by name.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Cwd 'getcwd';
use JSON::PP 'decode_json';
use Minivmm;
use Test::More;

my $runtime = $ENV{XDG_RUNTIME_DIR} = getcwd() . '/runtime';
mkdir $runtime or die "$runtime: $!";
my $folder = "$runtime/minivmm";
my @processes;
END { kill KILL => @processes if @processes }

# Loops forever: 1: jmp 1b
spew('loop.ini', guest('eb fe'));

sub command {
    my ($status, $out, $err) = run([ $minivmm, @_ ]);
    is($status, 0, "@_") or diag($err);
    return $out;
}

# Lists the machines by name.
sub machines {
    my $list = decode_json(command('list', '--json', @_));
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

# Names that cannot be.
fails([ $minivmm, '-c', 'loop.ini', '--set', "control.name=$_" ], 110, qr/name = \Q$_\E: a name has 1 to 64 characters/, "name '$_'")
  for '.x', 'a/b', 'x' x 65;
fails([ $minivmm, '-c', 'loop.ini', '--set', 'control.name=x', '--set', 'control.socket=y' ], 110, qr/one control socket; remove one/, 'a name and a socket');
done_testing;
