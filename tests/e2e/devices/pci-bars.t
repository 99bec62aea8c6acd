#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# BARs: bound writes follow the BAR that the guest moves, also in a restored machine, and no other
# BAR; lengths that a BAR cannot have are refused; bus masters; slots. See
# tests/plugins/bell.c.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# Config space of slot 3; BAR 0 is the bell, BAR 3 the MSI-X table.
my $ecam = 0xe0000000 + (3 << 15);
my ($command, $bell_bar, $msix_bar) = ($ecam + 0x04, $ecam + 0x10, $ecam + 0x1c);
my ($events, $writes, $ring, $total) = (0, 4, 8, 12);

# The guest, in 32-bit mode. A check that fails ends it with the status $step.
my $step = 0;
sub hex_of { return unpack 'H*', pack 'V', $_[0] }
sub put { return 'c705' . hex_of($_[0]) . hex_of($_[1]) }         # mov $value, address
sub reads { return 'a1' . hex_of($_[0]) . '3d' . hex_of($_[1]) }  # mov address, %eax; cmp
sub check { return reads(@_) . sprintf '7405b0%02xe6f4f4', ++$step }    # je; mov $step, %al; out
sub await { return reads(@_) . '75f4' }                                # jne to the mov

# Rings the bell at this address for the nth time.
sub ring {
    my ($bell, $n) = @_;
    return put($bell + $ring, 0) . await($bell + $total, $n) . check($bell + $events, $n)
      . check($bell + $writes, 0);
}

my $moved = put($bell_bar, 0xd0000000) . put($msix_bar, 0xd0010000) . put($command, 2);
my $rings = join '',
  ring(0xd0000000, 1),
  # Another BAR moves: the bell does not.
  put($msix_bar, 0xd0020000), ring(0xd0000000, 2),
  put(0xd0020000 + $ring, 5), put(0xd0020000 + $ring, 0), check(0xd0020000 + $ring, 0),
  # The bell's BAR moves: there is nothing at its former place.
  put($bell_bar, 0xd0030000), put(0xd0000000 + $ring, 0), check(0xd0000000 + $ring, 0xffffffff),
  ring(0xd0030000, 3),
  # It does not decode for some time.
  put($command, 0), put(0xd0030000 + $ring, 0), put($command, 2), ring(0xd0030000, 4),
  # Both BARs at one place, and the bell alone again.
  put($msix_bar, 0xd0030000), put($msix_bar, 0xd0010000), ring(0xd0030000, 5);

sub config {
    my ($code, $device) = @_;
    spew('x.bin', pack 'H*', $code);
    return <<"END";
[vm]
memory_at = 0x1000
irqchip = on
[cpu]
mode = protected
[plugins]
path = $build/tests/plugins
[boot]
image = x.bin
[device exit0]
plugin = debug-exit
[device serial0]
plugin = serial
[device bell0]
plugin = bell
$device
END
}
my @run = ($minivmm, '--log', 'error');
spew('x.ini', config($moved . 'e680' . $rings . 'b063e6f4', 'slot = 3'));
is(join(':', run([ @run, '-c', 'x.ini' ])), '99::', 'bound writes follow their BAR');
my ($status, undef, $err) = run([ @run, '-c', 'x.ini', '--until', 'pio:0x80', '--save', 'x.snap' ]);
is("$status:$err", '0:', 'a snapshot after the BARs have moved');
is(join(':', run([ @run, '-r', 'x.snap', '--set', "plugins.path=$build/tests/plugins" ])), '99::',
    'also in a restored machine');

# A reset moves the BARs back.
spew($_, '') for qw(a b c);
my $out;
($status, $out, $err) = run([ $minivmm, 'batch', '-r', 'x.snap', '--input', 'serial0', '--check',
    '--set', "plugins.path=$build/tests/plugins", qw(a b c) ]);
is($status, 0, 'resets are complete') or diag($err);
is(join(' ', $out =~ /"guest_status":"(0x\w+)"/g), '0x63 0x63 0x63', 'bound writes follow a reset');

# The services of guest memory need a bus master.
my $memory = 0xd0000010;
my $tries = join '', map { put($command, $_->[0]) . put($memory, 0x3000) . check($memory, $_->[1]) }
  [ 2, 0 ], [ 6, 15 ], [ 2, 0 ];
spew('x.ini', config($moved . $tries . 'b063e6f4', 'slot = 3'));
is(join(':', run([ @run, '-c', 'x.ini' ])), '99::', 'a device reaches memory as a bus master only');

# Lengths of a range behind a BAR.
spew('x.ini', config('b063e6f4', ''));
my $most = '0x4000000000000000';
for ([ '0', qr/device bell0: 0x0 addresses do not fit/ ],
    (map { [ $_, qr/device bell0: BAR 1 cannot have $_ bytes; the most is $most/ ] }
          '0x8000000000000000', '0x4000000000000001', '0xffffffffffffffff'),
    [ $most, qr/no room for region 1 of slot 1\.0, $most bytes/ ]) {
    my ($length, $words) = @$_;
    fails([ $minivmm, '-c', 'x.ini', '--set', "device.bell0.length=$length" ], 110, $words,
        "a BAR of $length bytes");
}
for my $length (1, 3, 4095, '3M', '5G') {
    is(join(':', run([ @run, '-c', 'x.ini', '--set', "device.bell0.length=$length" ])), '99::',
        "a BAR of $length bytes");
}

# BARs get addresses beside memory; config space has one.
sub in_memory { return map { ('--set', $_) } "vm.memory_at=$_[0]", "vm.memory=$_[1]" }
spew('x.ini', config(check($ecam + 0x10, 0xe0200000) . 'b063e6f4', 'slot = 3'));
is(join(':', run([ @run, '-c', 'x.ini', in_memory('0xe0100000', '1M') ])), '99::',
    'a BAR is not hidden by memory');
for ([ '0xdff00000', '2M' ], [ '0xe0000000', '1M' ], [ '0xe00ff000', '1M' ]) {
    fails([ $minivmm, '-c', 'x.ini', in_memory(@$_) ], 110,
        qr/guest memory overlaps the config space of PCI devices, 0xe0000000 to 0xe00fffff/,
        "memory at $_->[0]");
}

# The slots that a device can have.
spew('x.ini', config('b063e6f4', ''));
for my $slot (0, 32, -1, 'first') {
    fails([ $minivmm, '-c', 'x.ini', '--set', "device.bell0.slot=$slot" ], 110,
        qr/= \Q$slot\E: use a slot from 1 to 31, such as 3 or 3.1, next or none/, "the slot $slot");
}
fails([ $minivmm, '-c', 'x.ini', '--set', 'vm.irqchip=off' ], 110,
    qr/= next needs an interrupt controller/, 'no irqchip');
spew('y.ini', slurp('x.ini') . "slot = 31\n[device bell1]\nplugin = bell\nslot = 31\n");
fails([ $minivmm, '-c', 'y.ini' ], 110,
    qr/device bell1: slot 31\.0 is taken; use another one, or next/, 'one slot for two devices');

# Two devices are functions of slot 3. The header of function 0 says that there are more.
my ($id, $second) = (0xbe111234, $ecam + 0x1000);
my $functions = check($ecam, $id) . check($ecam + 0x0c, 0x800000) . check($second, $id)
  . check($second + 0x0c, 0) . check($ecam + 0x2000, 0xffffffff)
  . put($second + 0x10, 0xd0040000) . put($second + 0x04, 2) . put($command, 0);
spew('two.ini', config($functions . 'e680' . ring(0xd0040000, 1) . 'b063e6f4', 'slot = 3.0')
      . "[device bell1]\nplugin = bell\nslot = 3.1\n");
is(join(':', run([ @run, '-c', 'two.ini' ])), '99::', 'two devices in one slot');
is(join(':', run([ @run, '-c', 'two.ini', '--until', 'pio:0x80', '--save', 'two.snap' ])), '0::', 'a snapshot of both');
is(join(':', run([ @run, '-r', 'two.snap', '--set', "plugins.path=$build/tests/plugins" ])), '99::', 'also in a restored machine');

done_testing;
