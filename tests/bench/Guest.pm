# SPDX-License-Identifier: BSD-2-Clause
# A machine that runs guests/live.S while it is measured, ours or QEMU's: starting it, its ticks,
# its snapshots.
#
# All pages have been written before the first tick (touch.S); 10,000 a second are from then on.
package Guest;

use strict;
use warnings;

use Bench;
use IO::Socket::UNIX;
use JSON::PP qw(decode_json encode_json);
use POSIX qw(_exit);
use Socket qw(SOL_SOCKET);
use Time::HiRes qw(sleep);

use constant PATIENCE => 120;    # seconds that anything may take
use constant { SYS_SENDMSG => 46, SCM_RIGHTS => 1 };    # x86-64

my $count = 0;
my %running;

# A measurement that fails leaves no guest behind.
END { kill KILL => keys %running }

sub link_flat {
	my ($name, $at, @options) = @_;
	lines('cc', '-c', '-o', "$out/$name.o", @options);
	lines('ld', '-m', 'elf_x86_64', '-N', '--no-warn-rwx-segments', '-e', $at, '-Ttext', $at, '-o', "$out/$name.elf",
		"$out/$name.o");
	lines('objcopy', '-O', 'binary', '-j', '.text', "$out/$name.elf", "$out/$name.bin");
	return "$out/$name.bin";
}

# The image to be loaded at 0x1000 of the machine's memory. idle: it touches memory, then asks port
# idle for ever.
sub image {
	my ($idle) = @_;
	my $name = $idle ? 'idle' : 'live';
	my $touch = link_flat("touch-$name", '0x9000', 'tests/bench/touch.S', $idle ? "-DIDLE=$idle" : ());
	open my $file, '>:raw', "$out/$name-image.bin" or die "bench: $out/$name-image.bin: $!\n";
	print $file pack('a32768', slurp('guests/live.bin')), slurp($touch);
	close $file;
	return "$out/$name-image.bin";
}

# Starts a command whose output goes, each line behind the time at which it came, to a file.
sub spawn {
	my (@command) = @_;
	my $self = bless { ticks => "$shm/ticks-" . ++$count, name => $command[0] };
	pipe my $read, my $write or die "bench: pipe: $!\n";
	$self->{reader} = fork // die "bench: fork: $!\n";
	if (!$self->{reader}) {
		close $write;
		my $rest = '';
		open my $file, '>', $self->{ticks} or _exit(1);
		while (sysread $read, $rest, 65536, length $rest) {
			my $time = now();
			syswrite $file, sprintf "%.6f\t%s\n", $time, $1 while $rest =~ s/^(.*)\n//;
		}
		_exit(0);
	}
	$self->{pid} = fork // die "bench: fork: $!\n";
	if (!$self->{pid}) {
		open STDOUT, '>&', $write or _exit(1);
		open STDIN, '<', '/dev/null' or _exit(1);
		exec { $command[0] } @command or _exit(1);
	}
	$running{ $self->{pid} } = 1;
	return $self;
}

sub connect_to {
	my ($self, $path) = @_;
	my $until = now() + PATIENCE;
	while (now() < $until) {
		$self->{socket} = IO::Socket::UNIX->new(Peer => $path) and return;
		sleep 0.01;
	}
	die "bench: $self->{name} does not listen on $path\n";
}

# Pages written a second are rate * hz. more: keys of --set.
sub ours {
	my ($size, $hz, @more) = @_;
	my $at = $size > 3 * GIB ? 4 * GIB : 0;    # below 4 GiB lie the interrupt controllers
	my $socket = "$shm/ours-" . ($count + 1);
	my $self = spawn($minivmm, '-c', 'configs/live.ini', '--log', 'error', map { ('--set', $_) }
		"control.socket=$socket", 'boot.image=' . image(), "vm.memory=$size", "vm.memory_at=$at",
		'boot.at=' . ($at + 0x1000), 'cpu.rip=' . ($at + 0x9000), "cpu.rdi=$at", "cpu.rsi=$size", 'cpu.rbp=0',
		'cpu.r8=' . 10000 / $hz, "cpu.r11=$hz", 'cpu.r12=0', @more);
	connect_to($self, $socket);
	return $self;
}

sub restored {
	my ($snapshot) = @_;
	my $socket = "$shm/ours-" . ($count + 1);
	my $self = spawn($minivmm, '-r', $snapshot, '--log', 'error', '--set', "control.socket=$socket");
	connect_to($self, $socket);
	return $self;
}

# QEMU's smallest machine, the BIOS instead of its own.
sub microvm {
	my ($size, $bios) = @_;
	return (map { split } $qemu, '-M microvm,x-option-roms=off,pit=on,pic=on,rtc=off -accel kvm',
		'-cpu qemu64,-pni -nodefaults -no-user-config -display none -serial stdio', '-m ' . $size / MIB), '-bios', $bios;
}

sub bios {
	my ($size, $hz, $idle) = @_;
	my $low = $size > 3 * GIB ? 3 * GIB : $size;    # where microvm makes its hole
	return link_flat('bios-live', '0', 'tests/bench/bios-live.S', "-DIMAGE=\"${\image($idle)}\"", "-DLOW=$low",
		'-DHIGH=' . ($size - $low), '-DRATE=' . 10000 / $hz, "-DHZ=$hz");
}

sub qemu {
	my ($size, $hz, $idle) = @_;
	my $socket = "$shm/qemu-" . ($count + 1);
	my $self = spawn(microvm($size, bios($size, $hz, $idle)), '-qmp', "unix:$socket,server,nowait");
	connect_to($self, $socket);
	readline $self->{socket};
	$self->qmp('qmp_capabilities');
	return $self;
}

# sendmsg(2) of a line with a descriptor (unix(7), cmsg(3)), which Perl has no function for.
sub send_with {
	my ($socket, $line, $handle) = @_;
	my $control = pack 'Q l l l x4', 20, SOL_SOCKET, SCM_RIGHTS, fileno $handle;
	my $part = pack 'P Q', $line, length $line;
	my $message = pack 'Q L x4 P Q P Q l x4', 0, 0, $part, 1, $control, length $control, 0;
	syscall(SYS_SENDMSG, fileno $socket, $message, 0) == length $line or die "bench: sendmsg: $!\n";
}

# file: a handle to go with it.
sub qmp {
	my ($self, $command, %arguments) = @_;
	my $file = delete $arguments{file};
	my $line = encode_json({ execute => $command, arguments => \%arguments }) . "\n";
	$file ? send_with($self->{socket}, $line, $file) : print { $self->{socket} } $line;
	while (my $line = readline $self->{socket}) {
		my $reply = decode_json($line);
		die "bench: QEMU: $command: $reply->{error}{desc}\n" if $reply->{error};
		return $reply->{return} if exists $reply->{return};
	}
	die "bench: QEMU hung up\n";
}

# A request to ours; its reply.
sub ctl {
	my ($self, $request) = @_;
	print { $self->{socket} } "$request\n";
	my $reply = decode_json(readline($self->{socket}) // die "bench: minivmm hung up\n");
	$reply->{ok} or die "bench: $request: $reply->{error}\n";
	return $reply;
}

# The guest has said its first line; after that, some seconds more.
sub ready {
	my ($self, $seconds) = @_;
	my $until = now() + PATIENCE;
	sleep 0.01 until -s $self->{ticks} || now() > $until;
	-s $self->{ticks} or die "bench: the guest of $self->{name} does not start\n";
	sleep $seconds;
}

# Microseconds that a snapshot of QEMU's stopped the guest, and that it took. how:
# background-snapshot, or nothing.
sub migrate {
	my ($self, $file, $how) = @_;
	$self->qmp('migrate-set-capabilities', capabilities => [{ capability => $how, state => JSON::PP::true }]) if $how;
	$self->qmp('migrate-set-parameters', 'max-bandwidth' => 0);    # no limit
	open my $out, '+>', $file or die "bench: $file: $!\n";
	$self->qmp('getfd', fdname => 'file', file => $out);
	$self->qmp('migrate', uri => 'fd:file');
	my $until = now() + PATIENCE;
	while (now() < $until) {
		my $state = $self->qmp('query-migrate');
		return ($state->{downtime} * 1000, $state->{'total-time'} * 1000) if $state->{status} eq 'completed';
		die "bench: QEMU: migration $state->{status}\n" if $state->{status} =~ /^(failed|cancelled)$/;
		sleep 0.02;
	}
	die "bench: QEMU's migration does not end\n";
}

# Ends the machine; the times at which its lines came, in seconds.
sub end {
	my ($self) = @_;
	kill KILL => $self->{pid};
	waitpid $self->{pid}, 0;
	waitpid $self->{reader}, 0;
	delete $running{ $self->{pid} };
	my @times = map { (split /\t/)[0] } split /\n/, slurp($self->{ticks});
	unlink $self->{ticks};
	return @times;
}

1;
