#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The carrier of a serial port follows the client of its socket, through snapshots and resets. The
# guest prints MSR of the port whenever a line has changed.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Minivmm;
use Test::More;

# 1: mov $0x2fe,%dx; 2: in %dx,%al; test $0x0f,%al; jz 2b; mov $0x3f8,%dx; out %al,%dx; jmp 1b
my $guest = guest('ba fe 02 ec a8 0f 74 fb ba f8 03 ee eb f2', "[device line]\nplugin = serial\nport = 0x2f8\n");
spew('x.ini', $guest . "carrier = connected\noutput = unix-listen:line.sock\n");
my ($came, $gone) = ("\xba", "\x1a");    # CTS; DCD and DSR; their deltas

sub client {
    my ($path) = @_;
    return IO::Socket::UNIX->new(Peer => $path) || die "$path: $!";
}

sub hears {
    my ($process, $bytes, $name) = @_;
    ok(until_true(sub { heard($process) eq $bytes }), $name) or diag(unpack 'H*', heard($process));
}

my $process = start([ $minivmm, '-c', 'x.ini', '--set', 'control.socket=s' ]);
my $control = Control->connect('s');
is($control->request('snapshot none.snap')->{ok}, 1, 'a snapshot without a client');
my $client = client('line.sock');
hears($process, $came, 'a client connects');
close $client;
hears($process, "$came$gone", 'it disconnects');
$client = client('line.sock');
hears($process, "$came$gone$came", 'the next client');

# In a pause the guest hears nothing; afterwards it does not miss that there were two clients.
is($control->request('pause')->{ok}, 1, 'a pause');
close $client;
$client = client('line.sock');
$control->request('resume');
hears($process, "$came$gone$came$gone$came", 'two clients in a pause');
is($control->request('snapshot one.snap')->{ok}, 1, 'a snapshot with a client');
is($control->request('device line')->{state}{dcd}, 1, 'the state has the carrier');
hears($process, "$came$gone$came$gone$came", 'the machine that was saved goes on with its client');
$control->request('quit');
is((finish($process))[0], 0, 'it ends');
close $client;

# A restored machine has not the client of the saved one: the line was cut.
$process = start([ $minivmm, '-r', 'one.snap', '--trust', '--set', 'control.socket=s' ]);
$control = Control->connect('s');
hears($process, $gone, 'a restored machine loses the client');
$client = client('line.sock');
hears($process, "$gone$came", 'and gets the next one');
is($control->request('reset')->{ok}, 1, 'a reset');
hears($process, "$gone$came", 'keeps the client, and the snapshot had one: no change');
close $client;
hears($process, "$gone$came$gone", 'until it goes');
is($control->request('reset')->{ok}, 1, 'a reset without a client');
hears($process, "$gone$came$gone$gone", 'the line is cut again');
$control->request('quit');
finish($process);

# An output that is always there.
$process = start([ $minivmm, '-r', 'one.snap', '--set', 'device.line.output=file:out', '--set', 'control.socket=s' ]);
$control = Control->connect('s');
until_true { $control->accesses('line', 'reads') > 1000 };
hears($process, '', 'restored with a file: the line has not changed');
$control->request('quit');
finish($process);
$process = start([ $minivmm, '-r', 'none.snap', '--set', 'device.line.output=file:out', '--set', 'control.socket=s' ]);
hears($process, $came, 'a snapshot without a client, restored with a file');
Control->connect('s')->request('quit');
finish($process);

# TCP.
$process = start([ $minivmm, '-c', 'x.ini', '--set', 'device.line.output=tcp-listen:127.0.0.1:0', '--set', 'control.socket=s' ]);
until_true { said($process) =~ /listens on 127\.0\.0\.1 port (\d+)/ };
my ($port) = said($process) =~ /port (\d+)/;
$client = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
hears($process, $came, 'a client by TCP');
close $client;
hears($process, "$came$gone", 'is gone');
Control->connect('s')->request('quit');
finish($process);

# By default the line does not change.
spew('always.ini', "${guest}output = unix-listen:always.sock\n");
$process = start([ $minivmm, '-c', 'always.ini', '--set', 'control.socket=s' ]);
$control = Control->connect('s');
close client('always.sock');
my $reads = $control->accesses('line', 'reads');
until_true { $control->accesses('line', 'reads') > $reads + 1000 };
is(heard($process), '', 'carrier = always');
$control->request('quit');
finish($process);

done_testing;
