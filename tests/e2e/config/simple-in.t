#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# configs/simple-in.ini: one digit is read from the serial port; it comes from the config, a pipe or
# a terminal.
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
says('a byte of --set', "7\n", ['input=hex:05']);
says('text', "4\n", ['input=text:\x02']);
says('a byte from a pipe', "6\n", ['input=stdio'], stdin => "\x04");
spew('number', "\x06");
says('a byte from a file', "8\n", ['input=file:number']);
says('empty input: an empty 16550 reads as 0', "2\n", ['input=stdio'], stdin => '');
says('no input: reads as 0', "2\n", [ 'input=none', 'wait_input=0' ]);

# A snapshot after the out of the digit: it contains PF of the addition, and the restored machine
# does not print the digit again.
my ($status, $out, $err) = run([ @run, '--at', 'access:2', '--save', 'digit.snap' ]);
is("$status:$out", "0:5\n", 'a run with --at');
my $regs = inspect('digit.snap')->{vcpus}[0]{regs};
is_deeply([ @$regs{qw(rax rflags rip)} ], [ 0x35, 6, 0x1006 ], 'the snapshot is after the out of the digit: rflags 6');
($status, $out) = run([ $minivmm, '-r', 'digit.snap' ]);
is("$status:$out", "0:\n", 'the restored machine prints the rest');

# A snapshot before the in: the byte has not been read.
($status, $out) = run([ @run, '--until', 'rip:0x1001', '--save', 'in.snap' ]);
is("$status:$out", '0:', 'the run stops after the in');
($status, $out) = run([ $minivmm, '-r', 'in.snap' ]);
is("$status:$out", "0:5\n", 'the snapshot contains the byte');

# Input at a terminal: the vCPU starts when a byte is available.
my $terminal = terminal();
my $cooked = $terminal->settings;
my $process = start([ @run, '--set', 'device.serial0.input=stdio', '--status', 'status.json' ], terminal => $terminal);
ok(until_true { $terminal->raw }, 'the terminal is raw');
ok(!$terminal->shows(qr/./, 0.3), 'the guest waits for a byte');
$terminal->type("\x03");    # Ctrl-C in a terminal that is not raw
ok($terminal->shows(qr/\A5\r?\n/), 'the byte reaches the guest') or diag($terminal->{seen});
is((finish($process))[0], 0, 'ends');
is($terminal->settings, $cooked, "the terminal's settings are restored");
is(status_of('status.json')->{accesses}, 3, 'the guest makes one read and two writes');

done_testing;
