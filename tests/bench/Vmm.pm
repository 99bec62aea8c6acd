# SPDX-License-Identifier: BSD-2-Clause
# A machine that boots Debian's stock cloud kernel, ours or QEMU's: one vCPU, 256 MiB, its console
# on pipes.
#
# Both have the same kernel, initramfs and command line, ACPI, in-kernel interrupt controllers, the
# host's CPU, and virtio 1 devices, and no other devices. With devices by MMIO, QEMU's is microvm
# with the firmware and the options with which it boots fastest; with devices in PCI slots, it is
# q35.
package Vmm;

use strict;
use warnings;

use Bench;
use IO::Select;
use POSIX qw(_exit);

use constant PATIENCE => 300;    # seconds that anything may take
use constant { SYS_PREAD64 => 17, SYS_PIDFD_OPEN => 434, SYS_PIDFD_GETFD => 438 };    # x86-64
use constant MEMORY => 256;    # MiB

our $words = 'console=ttyS0 quiet panic=-1';    # the kernel's command line
my ($count, $configs) = (0, 0);
my %running;

# A measurement that fails leaves no guest behind.
END { kill KILL => keys %running }

my %options = (
	microvm => '-M microvm,acpi=on,x-option-roms=off,pit=off,pic=off,rtc=on,kernel-irqchip=on,ioapic2=off '
	    . '-global virtio-mmio.force-legacy=off',
	q35 => '-M q35,kernel-irqchip=on',
);

# machine: microvm or q35. name: of the initramfs. append: more words for the kernel.
sub qemu_command {
	my ($machine, $name, $append, @more) = @_;
	return ($qemu, (map { split } $options{$machine},
			'-accel kvm -cpu host -smp 1 -nodefaults -no-user-config -no-reboot -display none -serial stdio -m ' . MEMORY),
		'-kernel', "$shm/vmlinuz", '-initrd', "$shm/$name.initrd", '-append', $words . $append, @more);
}

# more: sections of devices.
sub our_command {
	my ($name, $append, @more) = @_;
	my $file = "$shm/$name-" . ++$configs . '.ini';
	open my $ini, '>', $file or die "bench: $file: $!\n";
	print $ini "[vm]\nmemory = @{[MEMORY]}M\nirqchip = on\n",
	    "[boot]\nimage = $shm/vmlinuz\ninitrd = $shm/$name.initrd\ncmdline = $words$append\n",
	    "[device serial0]\nplugin = serial\nirq = 4\ninput = stdio\noutput = stdio\n[device power]\nplugin = power\n", @more;
	close $ini;
	return ($minivmm, '-c', $file, '--log', 'error');
}

# Starts a command; the time just before its exec is $self->{start}.
sub start {
	my (@command) = @_;
	my $self = bless { name => $command[0], entry => "$shm/entry-" . ++$count, said => '' };
	pipe my $in, $self->{in} or die "bench: pipe: $!\n";
	pipe $self->{out}, my $out or die "bench: pipe: $!\n";
	$self->{in}->autoflush(1);
	$self->{pid} = fork // die "bench: fork: $!\n";
	if (!$self->{pid}) {
		open STDIN, '<&', $in or _exit(1);
		open STDOUT, '>&', $out or _exit(1);
		$ENV{ENTRY_FILE} = $self->{entry};
		$ENV{LD_PRELOAD} = "$build/tests/preload/entry.so";
		syswrite STDOUT, sprintf "%.6f\n", now() or _exit(1);
		exec { $command[0] } @command or _exit(1);
	}
	$running{ $self->{pid} } = 1;
	close $in;
	close $out;
	$self->{start} = ($self->await_time(qr/^(\d+\.\d+)\n/))[1];
	return $self;
}

# Waits until the machine prints a match. Returns the time and the pattern's groups. Drops the
# output up to the end of the match.
sub await_time {
	my ($self, $pattern) = @_;
	my $until = now() + PATIENCE;
	my $select = IO::Select->new($self->{out});
	my $time = now();
	until ($self->{said} =~ $pattern) {
		$select->can_read($until - now()) or die "bench: $self->{name} does not say $pattern, but: $self->{said}\n";
		sysread $self->{out}, $self->{said}, 65536, length $self->{said}
		    or die "bench: $self->{name} has ended before $pattern: $self->{said}\n";
		$time = now();
	}
	my @groups = $self->{said} =~ $pattern;
	$self->{said} = substr $self->{said}, $+[0];
	return ($time, @groups);
}

sub say {
	my ($self, $line) = @_;
	print { $self->{in} } "$line\n";
}

# Opens KVM's statistics of the vCPU through the descriptor that the preloaded library left in the
# process. Returns the time of the first KVM_RUN, in seconds.
sub entered {
	my ($self) = @_;
	my ($time, $number) = split ' ', slurp($self->{entry});
	die "bench: this kernel's KVM gives no statistics: it takes Linux 5.14\n" if $number < 0;
	my $pidfd = syscall SYS_PIDFD_OPEN, $self->{pid}, 0;
	my $fd = $pidfd < 0 ? -1 : syscall SYS_PIDFD_GETFD, $pidfd, $number, 0;
	die "bench: descriptor $number of $self->{name}: $!\n" if $fd < 0;
	POSIX::close($pidfd);
	$self->{stats} = $fd;
	return $time / 1e9;
}

sub pread {
	my ($fd, $length, $offset) = @_;
	my $bytes = "\0" x $length;
	syscall(SYS_PREAD64, $fd, $bytes, $length, $offset) == $length or die "bench: KVM's statistics: $!\n";
	return $bytes;
}

# KVM's counters of the vCPU (Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD): exits, io_exits,
# ...
sub counts {
	my ($self) = @_;
	my (undef, $name_size, $number, undef, $descriptors, $data) = unpack 'L6', pread($self->{stats}, 24, 0);
	my %count;
	for (0 .. $number - 1) {
		my (undef, undef, $size, $offset, undef, $name) =
		    unpack 'L s S L L Z*', pread($self->{stats}, 16 + $name_size, $descriptors + $_ * (16 + $name_size));
		$count{$name} = unpack 'Q', pread($self->{stats}, 8, $data + $offset) if $size == 1;
	}
	return \%count;
}

sub end {
	my ($self) = @_;
	kill KILL => $self->{pid};
	waitpid $self->{pid}, 0;
	delete $running{ $self->{pid} };
	POSIX::close($self->{stats}) if defined $self->{stats};
	unlink $self->{entry};
	return;
}

1;
