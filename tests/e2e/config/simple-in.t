#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# configs/simple-in.ini: one number comes in on the serial port, from the config, a pipe or a
# terminal.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my @run = ($minivmm, '-c', "$configs/simple-in.ini");

sub says {
    my ($name, $expected, $arguments, %with) = @_;
    my ($status, $out, $err) = run([ @run, map { ('--set', "device.serial0.$_") } @$arguments ], %with);
    is("$status:$out:$err", "0:$expected:", $name);
}

says('hex:03', "5\n", []);
says('another byte', "7\n", ['input=hex:05']);
says('text', "4\n", ['input=text:\x02']);
says('a pipe', "6\n", ['input=stdio'], stdin => "\x04");
spew('number', "\x06");
says('a file', "8\n", ['input=file:number']);
says('input that ends at once: an empty 16550 gives 0', "2\n", ['input=stdio'], stdin => '');
says('nobody waits: 0 as well', "2\n", [ 'input=none', 'wait_input=0' ]);

# A snapshot behind the digit's out: PF of the addition is in it, and the digit is not said again.
my ($status, $out, $err) = run([ @run, '--at', 'access:2', '--save', 'digit.snap' ]);
is("$status:$out", "0:5\n", 'run with a snapshot');
my $regs = inspect('digit.snap')->{vcpus}[0]{regs};
is_deeply([ @$regs{qw(rax rflags rip)} ], [ 0x35, 6, 0x1006 ], 'after the out of the digit: rflags 6');
($status, $out) = run([ $minivmm, '-r', 'digit.snap' ]);
is("$status:$out", "0:\n", 'the rest');

# And one before the in: the byte is still to come.
($status, $out) = run([ @run, '--until', 'rip:0x1001', '--save', 'in.snap' ]);
is("$status:$out", '0:', 'up to behind the in');
($status, $out) = run([ $minivmm, '-r', 'in.snap' ]);
is("$status:$out", "0:5\n", 'what came in is in the snapshot');

# A person at a terminal: the vCPU starts when there is a byte.
my $terminal = terminal();
my $cooked = $terminal->settings;
my $process = start([ @run, '--set', 'device.serial0.input=stdio', '--status', 'status.json' ], terminal => $terminal);
ok(until_true { $terminal->raw }, 'the terminal is raw');
ok(!$terminal->shows(qr/./, 0.3), 'nothing happens before there is a byte');
$terminal->type("\x03");    # which is Ctrl-C, where it is not raw
ok($terminal->shows(qr/\A5\r?\n/), 'the byte is added') or diag($terminal->{seen});
is((finish($process))[0], 0, 'ends');
is($terminal->settings, $cooked, 'the terminal is as it was');
is(status_of('status.json')->{accesses}, 3, 'one read, two writes');

done_testing;
