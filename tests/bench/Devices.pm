# SPDX-License-Identifier: BSD-2-Clause
# Disks and network of a guest with a stock kernel, minivmm and QEMU in turn, with the same back
# ends: by MMIO beside microvm, in PCI slots beside q35, and our disk in a slot beside ours by MMIO.
package Devices;

use strict;
use warnings;

use Basics;
use Bench;
use Boot;
use Load;
use Vmm;

use constant MS => 1000;    # of a load

# The TCP streams of a network device. targets: speed, exits.
sub streams {
	my ($name, %targets) = @_;
	return map { { figure => "$name TCP stream, $_->[1]", ask => "$_->[0] 10.0.2.2 PORT @{[MS]}", bytes => Load::PART, %targets } }
	    ['send', 'sent'], ['receive', 'received'];
}

sub drive {
	my ($id, $image) = @_;
	return ('-drive', "file=$image,file.locking=off,format=raw,if=none,id=$id,aio=threads");
}

# Measures loads on ours and QEMU's, and prints their rows. Calls with_machines before they end.
sub beside_qemu {
	my ($rounds, $messages, $ours, $qemus, $with_machines, @loads) = @_;
	progress('booting, with devices');
	my @guests = Load::machines([($messages) x 2], $ours, $qemus);
	my @pairs = Load::measure($rounds, \@guests, @loads);
	$with_machines->(@guests) if $with_machines;
	$_->end for @guests;
	Load::rows($loads[$_], @{ $pairs[$_] }) for 0 .. $#loads;
	return;
}

# Measured after the loads, with every device in use.
sub memory {
	my @kib = map { [Basics::beyond_guest($_->{pid}, Vmm::MEMORY * 1024)] } @_;
	keep('linux-memory', map { join "\t", @$_ } @kib);
	row('memory beyond the guest\'s, blk net console rng, Pss', ours => kib($kib[0][0]), qemu => kib($kib[1][0]),
		ratio => times_($kib[0][0] / $kib[1][0]), value => $kib[0][0], at_most => 5120, unit => ' KiB');
	return;
}

# By MMIO. QEMU gives the last address to the first device, and the guest names devices by address.
sub mmio {
	my ($rounds) = @_;
	my @images = map { Load::image($_) } 'sync', 'threads';    # both machines use both
	my ($at, $irq) = (0xd0000000, 5);
	my $device = sub {
		my ($name, $plugin, @more) = @_;
		my $section = sprintf "[device %s]\nplugin = %s\naddress = 0x%x\nirq = %d\n", $name, $plugin, $at, $irq++;
		$at += 0x200;
		return $section . join '', map { "$_\n" } @more;
	};
	my @ours = Vmm::our_command('load', '', $device->('blk0', 'virtio-blk', "path = $images[0]", 'io = sync'),
		$device->('blk1', 'virtio-blk', "path = $images[1]", 'io = threads'), $device->('net0', 'virtio-net', 'backend = user'),
		$device->('hvc0', 'virtio-console', "output = file:$shm/hvc-ours"), $device->('rng0', 'virtio-rng', 'fresh = yes'));
	my @qemus = Vmm::qemu_command('microvm', 'load', '', drive('disk0', $images[0]), drive('disk1', $images[1]), map { split }
		'-netdev user,id=net -chardev', "file,id=hvc,path=$shm/hvc-qemu", '-object rng-random,id=rng,filename=/dev/urandom',
		'-device virtio-rng-device,rng=rng -device virtio-serial-device -device virtconsole,chardev=hvc',
		'-device virtio-net-device,netdev=net',
		'-device virtio-blk-device,drive=disk1 -device virtio-blk-device,drive=disk0');
	my %targets = (speed => 0.95, exits => 1.0);
	my @loads;
	for (['sync', 'vda'], ['threads', 'vdb']) {
		my ($io, $disk) = @$_;
		push @loads, map {
			my ($figure, $ask, $bytes) = @$_;
			{ figure => "virtio-blk $figure, $io", ask => $ask, bytes => $bytes, %targets }
		} ['4 KiB random read', "read /dev/$disk 4096 random 1 @{[MS]}", 4096],
		    ['4 KiB random read, 16 at once', "read /dev/$disk 4096 random 16 @{[MS]}", 4096],
		    ['1 MiB sequential read', "read /dev/$disk 1048576 sequential 1 @{[MS]}", MIB],
		    ['1 MiB sequential write', "write /dev/$disk 1048576 sequential 1 @{[MS]}", MIB];
	}
	beside_qemu($rounds, 0, \@ours, \@qemus, \&memory, @loads, streams('virtio-net', %targets));
	unlink @images;
	return;
}

# Disks in slots: plugin and QEMU's device.
my @disks = (['virtio-blk', 'virtio-blk-pci'], ['nvme', 'nvme']);

sub slots {
	my ($rounds) = @_;
	my (@sections, @options, @images, @loads);
	for (@disks) {
		my ($plugin, $device) = @$_;
		push @images, my $image = Load::image($plugin);
		push @sections, "[device $plugin]\nplugin = $plugin\npath = $image\nserial = $plugin\nslot = next\n";
		push @options, drive($plugin, $image), '-device', "$device,drive=$plugin,serial=$plugin";
		push @loads, map {
			my ($figure, $ask, $bytes, $speed) = @$_;
			{ figure => "$plugin in a slot, $figure", ask => "read /dev/disk-$plugin $ask @{[MS]}", bytes => $bytes, speed => $speed,
				exits => 1.0 }
		} ['4 KiB random read', '4096 random 1', 4096, 1.2], ['4 KiB random read, 32 at once', '4096 random 32', 4096, 1.2],
		    ['1 MiB sequential read', '1048576 sequential 1', MIB, 1.0];
	}
	my @ours = Vmm::our_command('load', '', @sections, "[device net0]\nplugin = virtio-net\nbackend = user\nslot = next\n");
	my @qemus = Vmm::qemu_command('q35', 'load', '', @options, '-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net');
	beside_qemu($rounds, 1, \@ours, \@qemus, undef, @loads, streams('virtio-net in a slot', speed => 1.0, exits => 1.0));
	unlink @images;
	return;
}

# 2,000 reads, one at a time, of our disk in a slot with its default io, beside ours by MMIO.
sub reads {
	my ($rounds) = @_;
	my @images = map { Load::image($_) } 'slot', 'mmio';
	my @guests = Load::machines([1, 0],
		[Vmm::our_command('load', '', "[device blk0]\nplugin = virtio-blk\npath = $images[0]\nslot = next\n")],
		[Vmm::our_command('load', '', "[device blk0]\nplugin = virtio-blk\npath = $images[1]\naddress = 0xd0000000\nirq = 5\nio = sync\n")]);
	my ($pairs) = Load::measure($rounds, \@guests,
		{ figure => '2,000 direct reads of 4 KiB', ask => 'read /dev/vda 4096 random 1 2000x', bytes => 4096 });
	$_->end for @guests;
	unlink @images;
	my ($slot, $mmio, $ratio) = Boot::compare('ns', @$pairs);
	row('2,000 direct reads of 4 KiB, in a slot by MMIO and sync', ours => ms($slot / 1000), limit => ms($mmio / 1000),
		value => $ratio, at_most => 0.65);
	for (['exits a request', 'exits'], ['  of them accesses to registers', 'mmio_exits']) {
		my ($figure, $column) = @$_;
		my @medians = map { my $side = $_; median(map { $_->[$side]{$column} } @$pairs) } 0, 1;
		row("  $figure", ours => sprintf('%.2f', $medians[0]), limit => sprintf('%.2f', $medians[1]));
	}
	return;
}

1;
