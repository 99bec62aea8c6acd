# SPDX-License-Identifier: BSD-2-Clause
# Disk and network of a guest with a stock kernel, minivmm and QEMU in turn, with the same back
# ends: speed, exits for each request, and the memory of the process beyond the guest's.
#
# Both machines keep running; the bench requests each load on the console. The exits of a load are
# those between two lines that the guest prints; it sleeps after each.
package Load;

use strict;
use warnings;

use Basics;
use Bench;
use IO::Socket::INET;
use POSIX qw(_exit);
use Vmm;

use constant { DISK => 64 * MIB, PART => 65536, MS => 1000 };

our @modules = qw(virtio_mmio virtio_blk virtio_net virtio_console virtio_rng);
our $init = <<'END_OF_INIT';
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
load
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
dd if=/dev/hwrng of=/dev/null bs=64 count=1 2>/dev/null
echo hvc0 >/dev/hvc0
echo 'ready'
while read line; do
	echo 'begin'
	usleep 200000
	said=$(stress $line 2>&1)
	echo "end $said"
done
END_OF_INIT

# A load: its name, the guest's command, the bytes of a request.
sub loads {
	my ($ms) = @_;
	my @loads;
	for (['sync', 'vda'], ['threads', 'vdb']) {
		my ($io, $disk) = @$_;
		push @loads, ["4 KiB random read, $io", "read /dev/$disk 4096 random 1 $ms", 4096],
		    ["4 KiB random read, 16 at once, $io", "read /dev/$disk 4096 random 16 $ms", 4096],
		    ["1 MiB sequential read, $io", "read /dev/$disk 1048576 sequential 1 $ms", MIB],
		    ["1 MiB sequential write, $io", "write /dev/$disk 1048576 sequential 1 $ms", MIB];
	}
	return (map({ $_->[0] = "virtio-blk $_->[0]"; $_ } @loads),
		['virtio-net TCP stream, sent', 'send 10.0.2.2', PART], ['virtio-net TCP stream, received', 'receive 10.0.2.2', PART]);
}

# Builds the program that makes the loads in the guest.
sub program {
	lines('cc', '-D_GNU_SOURCE', '-static', '-O2', '-o', "$out/stress", 'tests/bench/load.c');
	return "$out/stress";
}

our @images = map { "$shm/$_.img" } 'sync', 'threads';    # both machines use both

sub our_machine {
	my ($at, $irq) = (0xd0000000, 5);
	my $device = sub {
		my ($name, $plugin, @more) = @_;
		my $section = sprintf "[device %s]\nplugin = %s\naddress = 0x%x\nirq = %d\n", $name, $plugin, $at, $irq++;
		$at += 0x200;
		return $section . join '', map { "$_\n" } @more;
	};
	return Vmm::our_command('load', '', $device->('blk0', 'virtio-blk', "path = $images[0]", 'io = sync'),
		$device->('blk1', 'virtio-blk', "path = $images[1]", 'io = threads'), $device->('net0', 'virtio-net', 'backend = user'),
		$device->('hvc0', 'virtio-console', "output = file:$shm/hvc-ours"), $device->('rng0', 'virtio-rng', 'fresh = yes'));
}

# QEMU gives the last address to the first device, and the guest names devices by address.
sub qemu_machine {
	my $disk = sub { ('-drive', "file=$images[$_[0]],file.locking=off,format=raw,if=none,id=disk$_[0],aio=threads") };
	return Vmm::qemu_command('load', '', $disk->(0), $disk->(1), map { split }
		'-netdev user,id=net -chardev', "file,id=hvc,path=$shm/hvc-qemu", '-object rng-random,id=rng,filename=/dev/urandom',
		'-device virtio-rng-device,rng=rng -device virtio-serial-device -device virtconsole,chardev=hvc',
		'-device virtio-net-device,netdev=net',
		'-device virtio-blk-device,drive=disk1 -device virtio-blk-device,drive=disk0');
}

# Starts a server on loopback, which the guest reaches through its gateway. It receives or sends
# until its peer ends. Returns its pid and port.
sub serve {
	my ($what) = @_;
	my $listen = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "bench: no port on loopback: $!\n";
	my $pid = fork // die "bench: fork: $!\n";
	return ($pid, $listen->sockport) if $pid;
	$SIG{PIPE} = 'IGNORE';
	my $part = "\0" x PART;
	while (my $peer = $listen->accept) {
		1 while $what eq 'send' ? sysread $peer, $part, PART : syswrite $peer, $part;
		close $peer;
	}
	_exit(0);
}

# Requests per second, and exits per request.
sub once {
	my ($guest, $ask, $size) = @_;
	$guest->say($ask);
	$guest->await_time(qr/^begin\r?\n/m);
	my $before = $guest->counts;
	my (undef, $said) = $guest->await_time(qr/^end (.*?)\r?\n/m);
	my $after = $guest->counts;
	my ($bytes, $ns) = $said =~ /^\w+ ([1-9]\d*) (\d+)$/ or die "bench: $guest->{name}: $ask: $said\n";
	my $requests = $bytes / $size;
	return { speed => $requests * 1e9 / $ns, map { $_ => ($after->{$_} - $before->{$_}) / $requests } keys %$after };
}

sub row_of {
	my ($figure, $bytes, @pairs) = @_;
	my $unit = sub { $bytes == 4096 ? sprintf '%.0f/s', $_[0] : sprintf '%.1f MiB/s', $_[0] * $bytes / MIB };
	my ($ours, $qemus, $ratio) = Boot::compare('speed', @pairs);
	row($figure, ours => $unit->($ours), qemu => $unit->($qemus), value => $ratio,
		at_least => 0.95);
	($ours, $qemus, $ratio) = Boot::compare('exits', @pairs);
	my $each = $bytes == PART ? 'exits for 64 KiB' : 'exits a request';
	row("  $each", ours => sprintf('%.2f', $ours), qemu => sprintf('%.2f', $qemus), value => $ratio, at_most => 1.0);
	# The other exits come with time: timer ticks of the host and of the guest.
	my @medians = map { my $side = $_; median(map { $_->[$side]{mmio_exits} } @pairs) } 0, 1;
	row('    of them accesses to registers', ours => sprintf('%.2f', $medians[0]), qemu => sprintf('%.2f', $medians[1]));
}

sub load {
	my ($rounds) = @_;
	my $part = pack 'Q*', 1 .. MIB / 8;
	for my $image (@images) {
		open my $file, '>', $image or die "bench: $image: $!\n";
		print $file $part for 1 .. DISK / MIB;
		close $file;
	}
	progress('booting, with devices');
	my @guests = map { Vmm::start(@$_) } [our_machine()], [qemu_machine()];
	for (@guests) {
		$_->await_time(qr/^ready\r?\n/m);
		$_->entered;
	}
	my (%pairs, @servers);
	my @loads = loads(MS);
	for (grep { $_->[2] == PART } @loads) {
		my ($what) = $_->[1] =~ /^(\w+)/;
		my ($pid, $port) = serve($what);
		push @servers, $pid;
		$_->[1] .= " $port " . MS;
	}
	for my $round (0 .. $rounds) {
		for my $load (@loads) {
			progress("$load->[0], round $round");
			my @pair;
			$pair[$_] = once($guests[$_], @$load[1, 2]) for $round % 2 ? (0, 1) : (1, 0);
			push @{ $pairs{ $load->[0] } }, \@pair if $round;    # the first warms up
		}
	}
	memory(@guests);
	$_->end for @guests;
	kill KILL => @servers;
	for my $load (@loads) {
		Boot::keep_counts('linux-' . $load->[0] =~ s/\W+/-/gr, '%.3f', @{ $pairs{ $load->[0] } });
		row_of($load->[0], $load->[2], @{ $pairs{ $load->[0] } });
	}
	unlink @images;
}

# Measured after the loads, with every device in use.
sub memory {
	my @kib = map { [Basics::beyond_guest($_->{pid}, Vmm::MEMORY * 1024)] } @_;
	keep('linux-memory', map { join "\t", @$_ } @kib);
	row('memory beyond the guest\'s, blk net console rng, Pss', ours => kib($kib[0][0]), qemu => kib($kib[1][0]),
		ratio => times_($kib[0][0] / $kib[1][0]), value => $kib[0][0], at_most => 5120, unit => ' KiB');
}

1;
