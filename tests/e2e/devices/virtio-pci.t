#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Virtio devices in PCI slots, without Linux: what a config can say, and their snapshots. The guest
# of configs/virtio-pci.ini is the driver.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Plugins;
use Test::More;

# A config with a virtio-rng that has these lines.
sub rng {
    my ($irqchip, @lines) = @_;
    my $text = guest('f4', join "\n", '[device rng0]', 'plugin = virtio-rng', @lines, '');
    return $irqchip ? $text =~ s/(memory = 16K\n)/$1irqchip = on\n/r : $text;
}

sub no_effect {
    return "$_[0] has no effect: the device is in a slot; remove this line, or set slot = none";
}

sub missing {
    return "$_[0] is missing: it has no initial value ($_[1]; not in a slot); "
      . 'a PCI device does not need it: set slot = next';
}
my @missing = (
    missing('irq', 'interrupt line, which devices may share'),
    missing('address', 'address of the registers')
);
my $irqchip = 'slot = next needs an interrupt controller: set irqchip = on in [vm], or slot = none';
my $range = 'slot = 32: use a slot from 1 to 31, such as 3 or 3.1, next or none';
my ($slot, $address, $irq) = ('slot = next', 'address = 0xd0000000', 'irq = 5');

# The error of one line does not lead to others: each remedy works.
my @errors = (
    [ 'an address', 1, [ $slot, $address ], no_effect($address) ],
    [ 'an interrupt', 1, [ $slot, $irq ], no_effect($irq) ],
    [ 'both', 1, [ $slot, $address, $irq ], no_effect($irq), no_effect($address) ],
    [ 'neither a slot nor an address', 1, [], @missing ],
    [ 'no slot, and no address', 1, ['slot = none'], @missing ],
    [ 'no irqchip', 0, [$slot], $irqchip ],
    [ 'no irqchip, an interrupt', 0, [ $slot, $irq ], $irqchip, no_effect($irq) ],
    [ 'slot 32', 1, ['slot = 32'], $range ],
    [ 'slot 32, an address', 0, [ 'slot = 32', $address ], $range, no_effect($address) ],
);
for my $case (@errors) {
    my ($name, $has_irqchip, $lines, @messages) = @$case;
    spew('x.ini', rng($has_irqchip, @$lines));
    my ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini' ]);
    is("$status:$out", '110:', "$name: status");
    $err =~ s/^minivmm: x\.ini:\d+: device rng0: //mg;
    is($err, join('', map { "$_\n" } @messages), "$name: messages");
}
my @good = (
    [ 1, '1.0', $slot ],
    [ 1, '31.0', 'slot = 31' ],
    [ 1, '', $address, $irq ],
    [ 1, '', 'slot = none', $address, $irq ],
    [ 0, '', $address, 'irq = none' ],
);
for my $case (@good) {
    my ($has_irqchip, $place, @lines) = @$case;
    spew('x.ini', rng($has_irqchip, @lines));
    my @save = ('--until', 'hlt', '--save', 'x.snap');
    my ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--log', 'warn', @save ]);
    is("$status:$out:$err", '0::', "good: @lines");
    my @places = grep { $_ ne '0.0' && /\./ } keys %{ inspect('x.snap')->{pci} // {} };
    is("@places", $place, "good: @lines: the function");
}

# The tables: both transports, and the device IDs of section 5.
my %id = (net => 1, blk => 2, console => 3, rng => 4, balloon => 5, vsock => 19);
for my $type (sort keys %id) {
    my ($status, $out, $err) = run([ $minivmm, 'plugins', "virtio-$type" ]);
    my $id = sprintf '%04x', 0x1040 + $id{$type};
    is("$status:$err", '0:', "virtio-$type: its tables");
    my $ranges = qr/^ranges\n  address +mmio  length 0x200\n.*^  bar0 +mmio  length 0x4000\n/ms;
    like($out, qr/$ranges.*^PCI functions\n  slot +1af4:$id /ms, "virtio-$type: both transports");
}

# All of them in one machine: random accesses, then a save and a load. tests/tools/hostile compares.
my %more = (
    blk => "path = $top/guests/bzimage.bin\nreadonly = yes\n",
    console => "output = file:/dev/null\n",
    net => "backend = user\n",
);
my @sections = map { "[device $_]\nplugin = virtio-$_\nslot = next\n" . ($more{$_} // '') }
  sort keys %id;
my $all = guest('f4', join "\n", @sections) =~ s/(memory = 16K\n)/$1irqchip = on\n/r;
spew('all.ini', $all =~ s/output = stdio/output = none/r);
my ($status, $out, $err) = run([ "$build/tests/tools/hostile", 'all.ini', 2000 ]);
like("$status:$out", qr/\A0:# SEED=\d+\nPASS 15 ranges/, 'random accesses to all of them')
  or diag($out, $err);

# A run with a snapshot in the middle is the same machine as one without.
my $config = "$top/configs/virtio-pci.ini";

sub save {
    my ($name, $until, @from) = @_;
    my @save = ('--until', "access:$until", '--save', "$name.snap");
    my ($status, $out, $err) = run([ $minivmm, @from, @save ]);
    like("$status:$err", qr/\A0:minivmm: snapshot written to $name\.snap\n\z/, "$name: a snapshot");
    return $out;
}
my $printed = save('a', 95, '-c', $config);
$printed .= save('b', 11, '-r', 'a.snap');
save('c', 106, '-c', $config);
($status, $out, $err) = run([ $minivmm, 'diff', '--guest', 'b.snap', 'c.snap' ]);
is("$status:$out:$err", '0::', 'diff --guest: no difference');
($status, $out) = run([ $minivmm, 'diff', '--guest', 'a.snap', 'b.snap' ]);
is($status, 1, 'diff --guest: a difference');
like($out, qr/^device hvc0 state\.used\[1\]: /m, 'diff --guest: of the device');
like($out, qr/^pci 1\.0/m, 'diff --guest: of its function');
($status, $out, $err) = run([ $minivmm, '-r', 'b.snap' ]);
my $lines = "by MSI-X\nby MSI-X, after it was masked\nby the pin\n";
is("$status:$printed$out:$err", "0:$lines:", 'the restored machine continues');

# What inspect shows of the device and its function: the message of the masked vector is pending.
my $a = inspect('a.snap');
my ($hvc) = grep { $_->{name} eq 'hvc0' } @{ $a->{devices} };
my @vectors = ($hvc->{state}{config_vector}, @{ $hvc->{state}{vectors} }[ 0, 1 ]);
is("@vectors", '65535 65535 1', 'inspect: the vectors of the device');
my $function = $a->{pci}{'1.0'};
like($function->{config}, qr/\Af41a4310/, 'inspect: the function');
my @entry = map { sprintf '%x', $_ } @{ $function->{vectors} }[ 4 .. 7 ];
is("@entry", 'fee00000 0 30 3', 'inspect: entry 1 of its MSI-X table');

# A restore keeps the transport. One message: nothing is checked with the refused value.
for my $set ('slot=none', 'slot=2', 'address=0xd0000000', 'irq=none') {
    my ($option) = $set =~ /(\w+)/;
    my $why = 'cannot be changed at a restore: it is part of the machine\'s state';
    my $message = qr/: device hvc0: $option $why\n\z/;
    my @restore = ('-r', 'a.snap', '--set', "device.hvc0.$set");
    fails([ $minivmm, @restore ], 110, $message, "a restore with $set");
}

# A device at an address is as before: no bus, the same registers.
my @mmio = ('-c', "$top/configs/virtio.ini");
my $before = join '', (run([ $minivmm, @mmio ]))[ 0, 1 ];
my $half = save('d', 60, @mmio);
ok(!inspect('d.snap')->{pci}, 'an address: no PCI');
($status, $out) = run([ $minivmm, '-r', 'd.snap' ]);
is("$status$half$out", $before, 'an address: restored');
done_testing;
