# SPDX-License-Identifier: BSD-2-Clause
# A machine whose guest exits every 20 us and writes 10,000 pages a second (beat.S), ours or QEMU's:
# starting it, the gaps between its exits, its snapshots.
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
use constant { PERIOD => 20, EVERY => 5 };    # microseconds from exit to exit; exits for a page written
use constant { KVM_CREATE_VM => 0xae01, KVM_CREATE_VCPU => 0xae41, KVM_GET_TSC_KHZ => 0xaea3 };
use constant { SYS_SENDMSG => 46, SCM_RIGHTS => 1 };    # x86-64

my $count = 0;
my %running;

# A measurement that fails leaves no guest behind.
sub kill_all {
	kill KILL => keys %running;
	waitpid $_, 0 for keys %running;
	%running = ();
	return;
}
END {
	local $?;    # the exit status
	kill_all();
}

# TSC ticks of a period. KVM tells the frequency of a vCPU's TSC.
sub pace {
	open my $kvm, '+<', '/dev/kvm' or die "bench: /dev/kvm: $!\n";
	my @fds = $kvm;
	for my $call (KVM_CREATE_VM, KVM_CREATE_VCPU) {
		my $fd = ioctl $fds[-1], $call, 0 or die "bench: /dev/kvm: $!\n";
		open my $handle, '+<&=', int $fd or die "bench: /dev/kvm: $!\n";
		push @fds, $handle;
	}
	my $khz = ioctl $fds[-1], KVM_GET_TSC_KHZ, 0 or die "bench: KVM_GET_TSC_KHZ: $!\n";
	return int $khz * PERIOD / 1000;
}

sub link_flat {
	my ($name, $at, @options) = @_;
	lines('cc', '-c', '-o', "$out/$name.o", @options);
	lines('ld', '-m', 'elf_x86_64', '-N', '--no-warn-rwx-segments', '-e', $at, '-Ttext', $at, '-o', "$out/$name.elf",
		"$out/$name.o");
	lines('objcopy', '-O', 'binary', '-j', '.text', "$out/$name.elf", "$out/$name.bin");
	return "$out/$name.bin";
}

# The image, at 0x9000 of the machine's memory. idle: it writes memory, then to port idle without
# end.
sub image {
	my ($idle) = @_;
	return link_flat($idle ? 'idle' : 'beat', '0x9000', 'tests/bench/beat.S', $idle ? "-DIDLE=$idle" : ());
}

# Starts a command.
sub spawn {
	my (@command) = @_;
	my $self = bless { gaps => "$shm/gaps-" . ++$count, name => $command[0] };
	$self->{pid} = fork // die "bench: fork: $!\n";
	if (!$self->{pid}) {
		open STDOUT, '>', '/dev/null' or _exit(1);
		open STDIN, '<', '/dev/null' or _exit(1);
		$ENV{GAPS_FILE} = $self->{gaps};
		$ENV{LD_PRELOAD} = "$build/tests/preload/gaps.so";
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

sub ours {
	my ($size) = @_;
	my $at = $size > 3 * GIB ? 4 * GIB : 0;    # below 4 GiB lie the interrupt controllers
	my $socket = "$shm/ours-" . ($count + 1);
	my $self = spawn($minivmm, '-c', 'tests/bench/beat.ini', '--log', 'error', map { ('--set', $_) } $plugins,
		"control.socket=$socket", 'boot.image=' . image(), "vm.memory=$size", "vm.memory_at=$at",
		'boot.at=' . ($at + 0x9000), 'cpu.rip=' . ($at + 0x9000), "cpu.rdi=$at", "cpu.rsi=$size",
		'cpu.r8=' . pace(), 'cpu.r9=' . EVERY);
	connect_to($self, $socket);
	return $self;
}

sub restored {
	my ($snapshot) = @_;
	my $socket = "$shm/ours-" . ($count + 1);
	my $self = spawn($minivmm, '-r', $snapshot, '--log', 'error', '--set', $plugins, '--set', "control.socket=$socket");
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
	my ($size, $idle) = @_;
	my $low = $size > 3 * GIB ? 3 * GIB : $size;    # where microvm makes its hole
	return link_flat('bios-beat', '0', 'tests/bench/bios-beat.S', "-DIMAGE=\"${\image($idle)}\"", "-DLOW=$low",
		'-DHIGH=' . ($size - $low), '-DPACE=' . pace(), '-DEVERY=' . EVERY);
}

sub qemu {
	my ($size, $idle) = @_;
	my $socket = "$shm/qemu-" . ($count + 1);
	my $self = spawn(microvm($size, bios($size, $idle)), '-qmp', "unix:$socket,server,nowait");
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

# Waits until the guest exits, which it does when it has written its memory; after that, some
# seconds more.
sub ready {
	my ($self, $seconds) = @_;
	my $until = now() + PATIENCE;
	sleep 0.01 until ($self->gaps)[0] > 10 || now() > $until;
	now() <= $until or die "bench: the guest of $self->{name} does not exit\n";
	sleep $seconds;
}

# The exits so far, and the gaps: a list of start, length, wait for a CPU, start, ... in
# nanoseconds.
sub gaps {
	my ($self) = @_;
	open my $file, '<:raw', $self->{gaps} or return 0;    # it has not begun
	(sysread($file, my $head, 16) // 0) == 16 or return 0;
	my ($exits, $count) = unpack 'Q2', $head;
	(sysread($file, my $gaps, 24 * $count) // 0) == 24 * $count
	    or die "bench: the guest of $self->{name} has more gaps than $self->{gaps} holds\n";
	return ($exits, unpack 'Q*', $gaps);
}

# The longest gap between two exits that overlaps a span of time, in microseconds, and the longest
# without the wait for a CPU. The span has ended a while ago.
sub gap {
	my ($self, $from, $to) = @_;
	my (undef, @gaps) = $self->gaps;
	my ($longest, $ran) = (PERIOD * 1000) x 2;
	while (my ($start, $length, $queued) = splice @gaps, 0, 3) {
		next if $start > $to * 1e9 || $start + $length < $from * 1e9;
		$longest = $length if $length > $longest;
		$ran = $length - $queued if $length - $queued > $ran;
	}
	return ($longest / 1000, $ran / 1000);
}

# Runs code. Returns the gaps meanwhile, as gap() does, and what the code returns.
sub gap_during {
	my ($self, $code) = @_;
	my $from = now();
	my @result = $code->();
	my $to = now();
	sleep 0.1;    # a gap is recorded at its end
	return ($self->gap($from, $to), @result);
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
		return (($state->{downtime} || 0.5) * 1000, $state->{'total-time'} * 1000) if $state->{status} eq 'completed';
		die "bench: QEMU: migration $state->{status}\n" if $state->{status} =~ /^(failed|cancelled)$/;
		sleep 0.02;
	}
	die "bench: QEMU's migration does not end\n";
}

sub end {
	my ($self) = @_;
	kill KILL => $self->{pid};
	waitpid $self->{pid}, 0;
	delete $running{ $self->{pid} };
	unlink $self->{gaps};
	return;
}

1;
