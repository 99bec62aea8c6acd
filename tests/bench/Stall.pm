# SPDX-License-Identifier: BSD-2-Clause
# A guest that keeps a device busy with the longest requests that it takes, and an operator: how
# long `pause` takes, and what another client waits meanwhile.
package Stall;

use strict;
use warnings;

use Bench;
use Guest;
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use IO::Select;
use List::Util qw(max);
use POSIX ();
use Time::HiRes qw(sleep);

use constant {
	ROUNDS => $ENV{ROUNDS} // 10,
	DISK => 64 * MIB,
	SLOTS => 256,    # descriptors of the queue
	DEVICE => 0xd0000000,
	DESC => 0x10_0000,    # addresses in the guest: the queue, a request's header, its status, its data
	AVAIL => 0x10_1000,
	USED => 0x10_2000,
	HEADER => 0x10_4000,
	STATUS => 0x10_5000,
	TABLE => 0x2000,
	DATA => 0x80_0000,
	SYNC => 10,    # seconds of a host call that cannot be split
};

# A request: the bytes of its header, and the length of its data and who writes it (0: no data).
my %requests = (
	'write-zeroes' => [pack('VVQ<', 13, 0, 0) . pack('Q<VV', 0, 1 << 17, 0) x 16, 0, 0],
	discard => [pack('VVQ<', 11, 0, 0) . pack('Q<VV', 0, 1 << 17, 0) x 16, 0, 0],
	reads => [pack('VVQ<', 0, 0, 0), DISK, 2],
	writes => [pack('VVQ<', 1, 0, 0), DISK, 0],
	flush => [pack('VVQ<', 4, 0, 0), 0, 0],
);

# Writes the image of a guest: its code, the queue with all requests, the table of its registers.
sub image {
	my ($file, $queue, $features, $per, $header, $chain) = @_;
	my $count = int SLOTS / $per;
	open my $image, '>:raw', $file or die "bench: $file: $!\n";
	my $put = sub {
		my ($at, $bytes) = @_;
		seek $image, $at - 0x1000, 0;
		print $image $bytes;
	};
	$put->(0x1000, slurp("$out/worst.bin"));
	$put->(HEADER, $header);
	$put->(DESC, join '', map { $chain->($_) } 0 .. $count - 1);
	$put->(AVAIL, pack 'v2v*', 0, 0, map { $per * ($_ % $count) } 0 .. SLOTS - 1);
	my @registers = (0x70 => 0, 0x70 => 3, 0x24 => 0, 0x20 => $features, 0x24 => 1, 0x20 => 1, 0x70 => 11, 0x30 => $queue,
		0x38 => SLOTS, 0x80 => DESC, 0x84 => 0, 0x90 => AVAIL, 0x94 => 0, 0xa0 => USED, 0xa4 => 0, 0x44 => 1, 0x70 => 15);
	my @table;
	while (my ($register, $value) = splice @registers, 0, 2) { push @table, DEVICE + $register, $value }
	$put->(TABLE, pack 'V*', @table, 0, DEVICE + 0x50, $queue);
	$put->(USED + 0x1000, "\0" x 8);    # the last bytes of the image
	close $image;
	return $count;
}

# A disk whose requests are all of one kind.
sub disk_guest {
	my ($kind) = @_;
	my ($header, $length, $writes) = @{ $requests{$kind} };
	my $per = $length ? 3 : 2;
	return image("$out/worst-guest.bin", 0, 1 << 13 | 1 << 14 | 1 << 9, $per, $header, sub {
		my $at = $per * $_[0];
		return pack('Q<VvvQ<Vvv', HEADER, length $header, 1, $at + 1, STATUS, 1, 2, 0) if !$length;
		return pack 'Q<VvvQ<VvvQ<Vvv', HEADER, length $header, 1, $at + 1, DATA, $length, 1 | $writes, $at + 2, STATUS, 1, 2, 0;
	});
}

# A card that sends datagrams of 1,400 bytes to a port of the host, from 256 ports.
sub net_guest {
	my ($port) = @_;
	my $ip = pack 'C2n3C2n', 0x45, 0, 20 + 8 + 1400, 0, 0, 64, 17, 0;
	$ip .= pack 'C4C4', 10, 0, 2, 15, 10, 0, 2, 2;
	my $sum = 0;
	$sum += $_ for unpack 'n*', $ip;
	$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
	substr $ip, 10, 2, pack 'n', ~$sum & 0xffff;
	my $frame = sub { "\0" x 12 . pack('H12H12n', '52550a000202', '525400123456', 0x800) . $ip . pack('n4', 1024 + $_[0], $port, 8 + 1400, 0) . 'x' x 1400 };
	my $length = length $frame->(0);
	my $count = image("$out/worst-guest.bin", 1, 0, 1, '', sub { pack 'Q<Vvv', DATA + 2048 * $_[0], $length, 0, 0 });
	open my $file, '+<:raw', "$out/worst-guest.bin" or die "bench: worst-guest.bin: $!\n";
	for (0 .. SLOTS - 1) {
		seek $file, DATA + 2048 * $_ - 0x1000, 0;
		print $file $frame->($_);
	}
	return $count;
}

# Starts a machine with a device; more: further environment.
sub machine {
	my ($count, $device, %more) = @_;
	my $ini = "$shm/worst.ini";
	open my $file, '>', $ini or die "bench: $ini: $!\n";
	print $file "[vm]\nmemory = 128M\n[boot]\nimage = $out/worst-guest.bin\nat = 0x1000\n[cpu]\nmode = protected\n",
	    "rsi = @{[TABLE]}\nrbx = @{[USED]}\nrbp = @{[AVAIL]}\nrcx = $count\n[control]\nsocket = $shm/worst.sock\n",
	    sprintf("[device worst0]\naddress = 0x%x\nirq = none\n%s", DEVICE, $device);
	close $file;
	unlink "$shm/worst.sock";
	my $pid = fork // die "bench: fork: $!\n";
	if (!$pid) {
		open STDERR, '>', "$out/worst.err";
		@ENV{ keys %more } = values %more;
		exec { $minivmm } $minivmm, "-c", $ini, "--log", "error" or POSIX::_exit(127);
	}
	my $self = bless { pid => $pid }, __PACKAGE__;
	$self->{$_} = client() for qw(operator other);
	# Until the driver has set up the device; an eventfd may take its notifications.
	sleep 0.02 until (grep { $_->{name} eq 'worst0' } @{ $self->ask('other', 'devices')->{devices} })[0]{writes} >= 17;
	sleep 0.2;
	return $self;
}

sub client {
	my $until = now() + Guest::PATIENCE;
	while (now() < $until) {
		my $socket = IO::Socket::UNIX->new(Peer => "$shm/worst.sock");
		return $socket if $socket;
		sleep 0.01;
	}
	die "bench: no machine listens on $shm/worst.sock\n";
}

sub ask {
	my ($self, $who, $request) = @_;
	print { $self->{$who} } "$request\n";
	return decode_json(readline($self->{$who}) // die "bench: minivmm hung up\n");
}

# Seconds until the reply to a pause; the longest of those of another client meanwhile; the reply.
sub pause {
	my ($self) = @_;
	my ($began, $longest) = (now(), 0);
	my $ready = IO::Select->new($self->{operator});
	print { $self->{operator} } "pause\n";
	do {
		my $asked = now();
		$self->ask('other', 'status');
		$longest = max($longest, now() - $asked);
	} until $ready->can_read(0.005);
	my $reply = decode_json(readline($self->{operator}) // die "bench: minivmm hung up\n");
	return (now() - $began, $longest, $reply);
}

sub end {
	my ($self) = @_;
	kill KILL => $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

sub device {
	my ($io, $path) = @_;
	return "plugin = virtio-blk\nio = $io\npath = " . ($path // "$shm/worst.img") . "\n";
}

# The longest pause of some rounds, in ms, and the longest status meanwhile.
sub worst {
	my ($machine, $rounds, $refused) = @_;
	my ($longest, $status) = (0, 0);
	for (1 .. $rounds) {
		sleep 0.02 + rand 0.1;
		my ($took, $waits, $reply) = $machine->pause;
		die "bench: pause: $reply->{error}\n" if !$reply->{ok} && !($refused && $reply->{error} =~ /\bworst0\b/);
		($longest, $status) = (max($longest, $took), max($status, $waits));
		$machine->ask('operator', 'resume') if $reply->{ok};
	}
	$machine->end;
	return (1000 * $longest, 1000 * $status);
}

sub split_rows {
	open my $disk, '>', "$shm/worst.img" or die "bench: $shm/worst.img: $!\n";
	truncate $disk, DISK;
	for my $kind ('write-zeroes', 'discard', 'reads', 'writes') {
		my ($longest, %by) = (0);
		for my $io (qw(sync threads io_uring)) {
			progress("stall: $kind, $io");
			($by{$io}) = worst(machine(disk_guest($kind), device($io)), ROUNDS);
			$longest = max($longest, $by{$io});
		}
		row("pause during a guest's $kind", ours => join(', ', map { sprintf '%s %.0f ms', $_, $by{$_} } sort keys %by), value => $longest,
			unit => ' ms', at_most => 100);
	}
	progress('stall: packets');
	my $peer = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1') or die "bench: udp: $!\n";
	my $count = net_guest($peer->sockport);
	my ($longest) = worst(machine($count, "plugin = virtio-net\nbackend = user\nmac = 52:54:00:12:34:56\n"), ROUNDS);
	row("pause during a guest's packets", ours => sprintf('%.0f ms', $longest), value => $longest, unit => ' ms', at_most => 100);
	return;
}

# One call of the host that takes seconds.
sub call_row {
	my ($what, @machines) = @_;
	my ($pause, $status) = (0, 0);
	for my $start (@machines) {
		my ($took, $waits) = worst($start->(), 2, 1);
		($pause, $status) = (max($pause, $took), max($status, $waits));
	}
	row("pause during $what: answered, or refused", ours => sprintf('%.0f ms', $pause), value => $pause, unit => ' ms', at_most => 2000);
	row("status during $what", ours => sprintf('%.0f ms', $status), value => $status, unit => ' ms', at_most => 100);
	return;
}

sub call_rows {
	progress('stall: a long fdatasync');
	my %slow = (LD_PRELOAD => "$build/tests/preload/slowsync.so", SLOW_SYNC => SYNC);
	call_row('an fdatasync of ' . SYNC . ' s', map { my $io = $_; sub { machine(disk_guest('flush'), device($io), %slow) } } qw(sync threads));
	progress('stall: an NBD server that does not answer');
	if (system('nbdkit --version >/dev/null 2>&1')) {
		left_out('pause with an NBD server that does not answer', 'nbdkit is not installed');
		return;
	}
	my $server;
	call_row(
		'an NBD server that does not answer',
		map {
			my $io = $_;
			sub {
				unlink "$shm/nbd";
				if ($server) { kill KILL => $server; waitpid $server, 0 }
				$server = fork // die "bench: fork: $!\n";
				exec qw(nbdkit -f -U), "$shm/nbd", 'file', "$shm/worst.img" or POSIX::_exit(127) if !$server;
				sleep 0.01 until -S "$shm/nbd";
				my $machine = machine(disk_guest('reads'), device($io, "nbd+unix:///?socket=$shm/nbd"));
				kill STOP => $server;
				sleep 0.5;
				return $machine;
			}
		} qw(sync threads)
	);
	kill KILL => $server;
	waitpid $server, 0;
	return;
}

sub stalls {
	assemble('worst');
	split_rows();
	call_rows();
	unlink glob "$shm/worst*";
	return;
}

1;
