#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The MP table that kernels find in memory: its entries, its checksums, and machines without one.
# tests/linux/boot.t boots a stock kernel with it.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# Memory is a file, in which the table is searched as kernels search it: each 16 bytes of the last
# KiB below 640 KiB. Returns the bytes of the configuration table, or undef.
sub table {
    my ($name, $config, @set) = @_;
    unlink 'ram.img';
    my ($status, $out, $err) =
      run([ $minivmm, '-c', "$configs/$config.ini", '--log', 'error', map { ('--set', $_) } 'vm.memory_file=ram.img', @set ]);
    is($status, 0, "$name: the run") or diag($err);
    my $memory = slurp('ram.img');
    my ($at) = grep { substr($memory, $_, 4) eq '_MP_' } map { 0x9fc00 + 16 * $_ } 0 .. 63;
    return if !$at;
    my (undef, $table, $length, $version, undef, @features) = unpack 'a4 L< C C C C5', substr $memory, $at, 16;
    is(unpack('%8C*', substr $memory, $at, 16), 0, "$name: the pointer's checksum");
    is("$length $version @features", '1 4 0 0 0 0 0', "$name: the pointer");
    return substr $memory, $table, unpack 'S<', substr $memory, $table + 4, 2;
}

# The entries as texts, in their order.
sub entries {
    my ($name, $bytes) = @_;
    is(unpack('%8C*', $bytes), 0, "$name: the checksum");
    my ($signature, undef, $version, undef, $maker, undef, undef, $count, $lapic, $more) = unpack 'a4 S< C C a20 L< S< S< L< S<', $bytes;
    is(sprintf('%s %d %s %x %d', $signature, $version, $maker, $lapic, $more), 'PCMP 4 MINIVMM minivmm      fee00000 0', "$name: the header");
    my @size = (20, 8, 8, 8, 8);
    my @entries;
    for (my $at = 44; $at < length $bytes; $at += $size[ord substr $bytes, $at, 1]) {
        my $type = ord substr $bytes, $at, 1;
        my $entry = substr $bytes, $at, $size[$type];
        push @entries, sprintf 'cpu %d %x %d', (unpack 'C4', $entry)[ 1 .. 3 ] if $type == 0;
        push @entries, 'bus ' . join ' ', (unpack 'C C A6', $entry)[ 1, 2 ] if $type == 1;
        push @entries, sprintf 'ioapic %d %x %d %x', (unpack 'C4 L<', $entry)[ 1 .. 4 ] if $type == 2;
        push @entries, join ' ', ($type == 3 ? 'line' : 'local'), (unpack 'C2 S< C4', $entry)[ 1 .. 6 ] if $type > 2;
    }
    is(scalar @entries, $count, "$name: the number of entries");
    return @entries;
}

# Flags of a line: 0, as the bus, if no device has it; 5, high and edge; 13, high and level.
for my $cpus (1, 3) {
    my $name = "$cpus vCPUs";
    my @lines = map { "line 0 0 0 $_ $cpus $_" } 0 .. 15;
    is_deeply(
        [ entries($name, table($name, 'pvh', 'vm.irqchip=on', "vm.cpus=$cpus")) ],
        [
            map({ "cpu $_ 14 " . ($_ ? 1 : 3) } 0 .. $cpus - 1), 'bus 0 ISA', "ioapic $cpus 11 1 fec00000",
            @lines, 'local 3 0 0 0 255 0', 'local 1 0 0 0 255 1'
        ],
        "$name: the entries"
    );
}

# Lines of devices: an edge of the clock, a level of another, also above the ISA bus's 16.
spew('devices.ini', slurp("$configs/pvh.ini") . <<'END');

[device edge]
plugin = rtc
irq = 8

[device level]
plugin = virtio-rng
address = 0xd0000000
irq = 20

[device card]
plugin = edu
slot = 5
END
{
    local $configs = '.';
    my @entries = entries('devices', table('devices', 'devices', 'vm.irqchip=on', "boot.image=$top/build/guests/pvh.elf"));
    is((grep { /^line 0 \d+ 0 8 1 8$/ } @entries)[0], 'line 0 5 0 8 1 8', 'an edge');
    is((grep { /^line 0 \d+ 0 20 1 20$/ } @entries)[0], 'line 0 13 0 20 1 20', 'a level, on line 20');
    # A PCI device: its slot and pin, level-triggered and active low; not on line 20.
    is_deeply([ grep { /^bus/ } @entries ], [ 'bus 0 ISA', 'bus 1 PCI' ], 'PCI: the bus');
    is_deeply([ grep { /^line 0 \d+ 1/ } @entries ], [ map { "line 0 15 1 $_->[0] 1 $_->[1]" } [ 20, 22 ], [ 21, 23 ], [ 22, 16 ], [ 23, 17 ] ],
        'PCI: the pins');
    is(scalar(grep { /^line 0 \d+ 0/ } @entries), 17, 'the lines of the bus and of devices, and no other');
}

is(table('no', 'pvh', 'vm.irqchip=on', 'boot.mp_table=no'), undef, 'mp_table = no: no table');
is(table('no irqchip', 'pvh'), undef, 'no irqchip: no table');
done_testing();
