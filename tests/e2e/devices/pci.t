#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# PCI devices: slots, config space, BARs that move, bus mastering, resets of a function; in
# snapshots, too. tests/plugins/card.c is the device.
use v5.14;
use warnings;
use lib 'tests/lib';

use JSON::PP;
use Minivmm;
use Test::More;

my $card = 'card';
$ENV{MINIVMM_PLUGIN_PATH} = "$build/tests/plugins";

# A machine with these devices: [ name, plugin, lines ].
sub machine {
    my ($code, @devices) = @_;
    spew('guest.bin', pack 'H*', $code);
    my $text = guest('', join "\n", "[cpu]\nrsp = 0x5000\n", map { "[device $_->[0]]\nplugin = $_->[1]\n" . ($_->[2] // '') } @devices);
    return $text =~ s/(memory = 16K\n)/$1irqchip = on\n/r =~ s/code = /image = guest.bin/r;
}

# The guest prints, of the card in slot 1: a number that it has written through the BAR of ports; a
# byte of memory by DMA, before and after it makes the card a bus master; the number at the place to
# which it moves the BAR, and what is at the old place; what is there without decoding; BAR 1 after
# a reset of the function (Device Control of PCI Express); the number, and how many resets the card
# has seen.
my $code = join '', qw(
    baf80c66b81408008066efbafc0c66ed83e0fc89c589eab04eeeecbaf803ee89ea83c203b001eee8a700baf80c66b804
    08008066efbafc0cb80700efe89200baf80c66b81408008066efbafc0c66b80020000066efba0020ecbaf803ee89eaec
    baf803eebaf80c66b80408008066efbafc0c31c0efba0020ecbaf803eebaf80c66b85408008066efbafc0cb80080efba
    f80c66b81408008066efbafc0c66edbaf803eebafc0c66b80020000066efbaf80c66b80408008066efbafc0cb80100ef
    ba0020ecbaf803eeba0420ecbaf803eef489ea42b001ee42ecbaf803eec3
);
my $printed = unpack 'H*', "N\xee\xbaN\xff\xff\x01\x00\x01";
spew('card.ini', machine($code, [ 'card0', $card ]));
my ($status, $out, $err) = run([ $minivmm, '-c', 'card.ini', '--log', 'error' ]);
is("$status:" . unpack('H*', $out), "0:$printed", 'ports, DMA, a move, a reset of the function') or diag($err);

# The access to memory without bus mastering is counted.
is((run([ $minivmm, '-c', 'card.ini', '--log', 'error', '--status', 'status.json' ]))[0], 0, 'a status line');
is(decode_json(slurp('status.json'))->{devices}{card0}{not_master}, 1, 'not_master');

# A snapshot at each access: the restored machine continues in the same way.
for my $access (1 .. 60) {
    unlink 'a.snap';
    ($status, $out) = run([ $minivmm, '-c', 'card.ini', '--log', 'error', '--until', "access:$access", '--save', 'a.snap' ]);
    last if !-e 'a.snap';
    my ($rest, $more) = run([ $minivmm, '-r', 'a.snap', '--log', 'error' ]);
    is("$status:$rest:" . unpack('H*', $out . $more), "0:0:$printed", "a snapshot at access $access") or last;
}

# The slots.
sub slots {
    my ($snapshot) = @_;
    return join ' ', grep { /\./ } sort keys %{ inspect($snapshot)->{pci} };
}
spew('slots.ini', machine('f4', [ 'a', $card ], [ 'b', $card, "slot = 2\n" ], [ 'c', $card ], [ 'd', 'virtio-rng', "address = 0xd0000000\nirq = 5\n" ], [ 'e', 'edu', "slot = 31\n" ], [ 'f', $card, "slot = 31.7\n" ]));
($status, $out, $err) = run([ $minivmm, '-c', 'slots.ini', '--until', 'hlt', '--save', 's.snap' ]);
is($status, 0, 'slots: a snapshot') or diag($err);
is(slots('s.snap'), '0.0 1.0 2.0 3.0 31.0 31.7', 'next takes the slots that no device names');

my @errors = (
    (map { [ $_, 'slot = none leaves the device without an address, because all its ranges are BARs: set slot = next, or remove the device' ] }
          "slot = none\n", "slot = none\n\n[device b]\nplugin = $card\n"),
    (map { [ "slot = $_\n", "slot = $_: use a slot from 1 to 31, such as 3 or 3.1, next or none" ] }
          qw(0 32 3. 3.8 3.-1 .1 3.1.1 0.1 32.0 3.next last)),
    [ "slot = 2\n\n[device b]\nplugin = $card\nslot = 2\n", 'device b: slot 2.0 is taken; use another one, or next' ],
    [ "slot = 2\n\n[device b]\nplugin = $card\nslot = 2.0\n", 'device b: slot 2.0 is taken; use another one, or next' ],
    [ "slot = 4\n\n[device b]\nplugin = $card\nslot = 2.1\n", 'device b: guests find slot 2.1 only if the slot has a function 0: put a device into slot 2' ],
);
for my $case (@errors) {
    my ($lines, $message) = @$case;
    spew('x.ini', machine('f4', [ 'a', $card, $lines ]));
    ($status, undef, $err) = run([ $minivmm, '-c', 'x.ini' ]);
    is($status, 110, "$message: status");
    like($err, qr/\Q$message\E\n/, $message);
}
spew('x.ini', machine('f4', [ 'a', $card ]) =~ s/irqchip = on\n//r);
fails([ $minivmm, '-c', 'x.ini' ], 110, qr/slot = next needs an interrupt controller: set irqchip = on in \[vm\], or remove the device\n/, 'without irqchip');
spew('x.ini', machine('f4', map { [ "d$_", $card ] } 1 .. 32));
fails([ $minivmm, '-c', 'x.ini' ], 110, qr/device d32: all 31 slots are taken; remove a device\n/, '32 devices');

# A message has no level. The guest reads the address of the card's ports from BAR 1 (0xcf8:
# 0x80000814), and writes the commands 4 and 5 to the port behind it.
my $mistakes = 'baf80c66b81408008066efbafc0c66ed24fc4089c2b004eeb005eef4';
spew('m.ini', machine($mistakes, [ 'card0', $card ]));
($status, undef, $err) = run([ $minivmm, '-c', 'm.ini', '--log', 'error', '--status', 'status.json' ]);
is("$status:$err", '0:' . join('', map { "minivmm: card0: minivmm_irq_*() is refused: vector 1 in slot 1.0 is a message, which has no level to $_; use minivmm_irq_pulse(); plugin card is at fault\n" } qw(raise lower)),
    'a message has no level');
is(decode_json(slurp('status.json'))->{devices}{card0}{refused}, 2, 'such calls are counted');

# A restore into another slot is refused.
fails([ $minivmm, '-r', 's.snap', '--set', 'device.b.slot=5' ], 110, qr/slot cannot be changed at a restore/, 'another slot');
done_testing;
