# SPDX-License-Identifier: BSD-2-Clause
# Loads of a guest with a stock kernel, on two machines in turn: speed, and exits for each request.
# In the guest a disk with a serial number is /dev/disk-SERIAL.
#
# Both machines keep running; the bench requests each load on the console. The exits of a load are
# those between two lines that the guest prints; it sleeps after each.
package Load;

use strict;
use warnings;

use Bench;
use Boot;
use IO::Socket::INET;
use POSIX qw(_exit);
use Vmm;

use constant { DISK => 64 * MIB, PART => 65536 };

our @modules = qw(virtio_mmio virtio_pci virtio_blk virtio_net virtio_console virtio_rng nvme);
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
for controller in /sys/class/nvme/nvme[0-9]*; do
	until set -- $controller/nvme*n* && [ -e "$1" -o ! -e $controller ]; do usleep 100000; done
done
for block in /sys/block/*; do
	serial=$(cat $block/serial $block/device/serial 2>/dev/null)
	[ -z "$serial" ] || ln -s ${block##*/} /dev/disk-$(echo $serial)
done
echo "ready, $(grep -c PCI-MSI /proc/interrupts) messages"
while read line; do
	echo 'begin'
	usleep 200000
	said=$(stress $line 2>&1)
	echo "end $said"
done
END_OF_INIT

# Builds the program that makes the loads in the guest.
sub program {
	lines('cc', '-D_GNU_SOURCE', '-static', '-O2', '-o', "$out/stress", 'tests/bench/load.c');
	return "$out/stress";
}

# An image for a disk, not zeros.
sub image {
	my ($name) = @_;
	my $part = pack 'Q*', 1 .. MIB / 8;
	open my $file, '>', "$shm/$name.img" or die "bench: $shm/$name.img: $!\n";
	print $file $part for 1 .. DISK / MIB;
	close $file or die "bench: $shm/$name.img: $!\n";
	return "$shm/$name.img";
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

# Starts machines, and waits until they are ready. messages: whether devices interrupt by messages,
# of each.
sub machines {
	my ($messages, @commands) = @_;
	my @guests = map { Vmm::start(@$_) } @commands;
	for my $i (0 .. $#guests) {
		my (undef, $number) = $guests[$i]->await_time(qr/^ready, (\d+) messages\r?\n/m);
		$messages->[$i] == ($number > 0) or die "bench: @{ $commands[$i] }: $number interrupts are messages\n";
		$guests[$i]->entered;
	}
	return @guests;
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
	return { speed => $requests * 1e9 / $ns, ns => $ns, map { $_ => ($after->{$_} - $before->{$_}) / $requests } keys %$after };
}

# Puts loads on machines, each with its own request, or all with the same. Returns for each load the
# pairs of results. A load is { figure, ask, bytes, ... }: what it is, the guest's command, the size
# of a request.
sub measure {
	my ($rounds, $guests, @loads) = @_;
	my (@pairs, @servers);
	my %port;
	for my $ask (map { ref $_->{ask} ? @{ $_->{ask} } : $_->{ask} } @loads) {
		my ($what) = $ask =~ /^(send|receive) / or next;
		next if $port{$what};
		(my $pid, $port{$what}) = serve($what);
		push @servers, $pid;
	}
	for my $round (0 .. $rounds) {
		for my $i (0 .. $#loads) {
			my $load = $loads[$i];
			progress("$load->{figure}, round $round");
			my @pair;
			for my $side ($round % 2 ? (0, 1) : (1, 0)) {
				my $ask = ref $load->{ask} ? $load->{ask}[$side] : $load->{ask};
				$pair[$side] = once($guests->[$side], $ask =~ s/PORT/$port{ (split ' ', $ask)[0] }/r, $load->{bytes});
			}
			push @{ $pairs[$i] }, \@pair if $round;    # the first warms up
		}
	}
	kill KILL => @servers;
	Boot::keep_counts('linux-' . $loads[$_]{figure} =~ s/\W+/-/gr, '%.3f', @{ $pairs[$_] }) for 0 .. $#loads;
	return @pairs;
}

# The rows of a load beside QEMU: speed, at least; exits, at most: targets.
sub rows {
	my ($load, @pairs) = @_;
	my $bytes = $load->{bytes};
	my $unit = sub { $bytes == 4096 ? sprintf '%.0f/s', $_[0] : sprintf '%.1f MiB/s', $_[0] * $bytes / MIB };
	my ($ours, $qemus, $ratio) = Boot::compare('speed', @pairs);
	row($load->{figure}, ours => $unit->($ours), qemu => $unit->($qemus), value => $ratio, at_least => $load->{speed});
	($ours, $qemus, $ratio) = Boot::compare('exits', @pairs);
	my $each = $bytes == PART ? 'exits for 64 KiB' : 'exits a request';
	row("  $each", ours => sprintf('%.2f', $ours), qemu => sprintf('%.2f', $qemus), value => $ratio, at_most => $load->{exits});
	# The other exits come with time: timer ticks of the host and of the guest.
	my @medians = map { my $side = $_; median(map { $_->[$side]{mmio_exits} } @pairs) } 0, 1;
	row('    of them accesses to registers', ours => sprintf('%.2f', $medians[0]), qemu => sprintf('%.2f', $medians[1]));
	return;
}

1;
