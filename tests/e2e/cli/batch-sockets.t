#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A batch of a machine that listens: only one process can have the socket. The message explains it,
# and each of its remedies works.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

spew('b.ini', <<'END');
[vm]
memory = 64K
irqchip = on

[boot]
code = ba f8 03 ec b2 f8 f4

[device serial0]
plugin = serial
irq = none

[device vsock0]
plugin = virtio-vsock
address = 0xd0000000
irq = none
cid = 3
path = v.sock
END
run([ $minivmm, '-c', 'b.ini', qw(--until access:1 --save b.snap) ]);
my @inputs = map { spew("in$_", $_); "in$_" } 1 .. 6;
my @batch = ($minivmm, qw(batch -r b.snap --trust --input serial0));

# On a busy host, the first process may have run all inputs before the second one starts.
my ($status, $out, $err);
for (1 .. 20) {
    ($status, $out, $err) = run([ @batch, '-j', 2, (@inputs) x 50 ]);
    last if $status;
}
isnt($status, 0, 'two processes: one cannot listen');
like($err, qr/^minivmm: batch: each of the 2 processes is a whole machine, and one could not start: .*; use -j 1, or disconnect it with --set device\.NAME\.KEY=$/m,
    'the message explains why');
for my $remedy ([ '-j', 1 ], [ '-j', 2, '--set', 'device.vsock0.path=' ]) {
    ($status, $out, $err) = run([ @batch, @$remedy, @inputs ]);
    is("$status:" . (() = $out =~ /"cause":"hlt"/g) . ":$err", '0:6:', "@$remedy: all have run");
}

done_testing;
