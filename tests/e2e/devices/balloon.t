#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Targets of the balloon: none is larger than memory. tests/linux has a driver.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

spew('b.ini', <<'END');
[vm]
memory = 1M
irqchip = on

[boot]
code = fa f4

[device balloon0]
plugin = virtio-balloon
address = 0xd0000000
irq = none
control = stdio
control_input = text:2M\n1025K\n1M\n
wait_control_input = yes
END

my @run = ($minivmm, '-c', 'b.ini');
fails([ @run, map { ('--set', "device.balloon0.$_") } 'target=1028K', 'control_input=none', 'wait_control_input=no' ], 113,
    qr/balloon0: target = 1052672 is larger than memory, 1048576 bytes: lower it/,
    'refused: a target above memory');
my ($status, $out, $err) = run([ @run, '--set', 'device.balloon0.target=1M' ]);
is($status, 0, 'all of memory') or diag($err);
is($out, "larger than memory, 1M\n" x 2, 'a line with a target above memory is answered, and changes nothing');

done_testing;
