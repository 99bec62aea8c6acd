# SPDX-License-Identifier: BSD-2-Clause
# Booting a stock kernel, minivmm and QEMU in turn: the time to the guest's first instruction and to
# init, the exits until then; and restoring our machine at that point.
package Boot;

use strict;
use warnings;

use Bench;
use Vmm;

# The kernel passes words of its command line that it does not know to init, in the environment:
# here, how long to sleep after the first line, while the exits up to it are read.
our $init = <<'END_OF_INIT';
echo "init"
[ -z "$rest" ] || usleep $rest
echo "next"
mount -t sysfs sys /sys
echo "pci $(ls /sys/bus/pci/devices | wc -l)"
read line
END_OF_INIT

# Microseconds to the first instruction and to init, and KVM's counters.
sub once {
	my (@command) = @_;
	my $guest = Vmm::start(@command);
	my ($init) = $guest->await_time(qr/^init\r?\n/m);
	my $entered = $guest->entered;
	my $counts = $guest->counts;
	$guest->end;
	return { entry => 1e6 * ($entered - $guest->{start}), init => 1e6 * ($init - $guest->{start}), %$counts };
}

# Microseconds to the next line and to the first instruction, and the exits until the line.
sub restored {
	my ($snapshot) = @_;
	my $guest = Vmm::start($minivmm, '-r', $snapshot, '--log', 'error');
	my ($next) = $guest->await_time(qr/^next\r?\n/m);
	my $entered = $guest->entered;
	my $exits = $guest->counts->{exits};
	$guest->end;
	return (1e6 * ($next - $guest->{start}), 1e6 * ($entered - $guest->{start}), $exits);
}

# Keeps the counters that are not 0, by name: they explain a figure that misses its target.
sub keep_counts {
	my ($name, $format, @pairs) = @_;
	my @names = grep { my $n = $_; grep { $_->[0]{$n} || $_->[1]{$n} } @pairs } sort keys %{ $pairs[0][0] };
	keep($name, join("\t", map { ("ours $_", "QEMU $_") } @names),
		map { my $p = $_; join "\t", map { map { sprintf $format, $_ // 0 } $p->[0]{$_}, $p->[1]{$_} } @names } @pairs);
}

sub compare {
	my ($column, @pairs) = @_;
	return pairs(map { "$_->[0]{$column}\t$_->[1]{$column}" } @pairs);
}

# Boots both in turn. Returns the pairs; after: called with ours of each round.
sub in_turn {
	my ($rounds, $name, $ours, $qemus, $after) = @_;
	my @pairs;
	for my $round (1 .. $rounds) {
		progress("$name, round $round");
		my @pair;
		my @order = $round % 2 ? (0, 1) : (1, 0);
		$pair[$_] = once(@{ $_ ? $qemus : $ours }) for @order;
		push @pairs, \@pair;
		$after->($pair[0]) if $after;
	}
	keep_counts("linux-$name", '%.0f', @pairs);
	return @pairs;
}

# Rows of the time to the first instruction and to init, and of the exits until init. entry, init,
# exits: targets.
sub rows {
	my ($where, $target, @pairs) = @_;
	my $at_most = sub { defined $target->{ $_[0] } ? (at_most => $target->{ $_[0] }) : () };
	my ($ours, $qemus, $ratio) = compare('entry', @pairs);
	row("${where}start to the first instruction", ours => ms($ours), qemu => ms($qemus), value => $ratio, $at_most->('entry'));
	($ours, $qemus, $ratio) = compare('exits', @pairs);
	row("${where}exits until init", ours => sprintf('%.0f', $ours), qemu => sprintf('%.0f', $qemus), value => $ratio,
		$at_most->('exits'));
	($ours, $qemus, $ratio) = compare('init', @pairs);
	row("${where}start to init's first line", ours => ms($ours), qemu => ms($qemus), value => $ratio, $at_most->('init'));
	return;
}

my @rest = ('boot', ' rest=300000');

sub boot {
	my ($rounds) = @_;
	my $snapshot = "$shm/booted.snap";
	progress('booting once, for a snapshot, and so that files are in memory');
	lines(Vmm::our_command('boot', ''), '--set', 'device.serial0.input=none', '--until', 'output:serial0:init', '--save', $snapshot);
	my @qemus = Vmm::qemu_command('microvm', @rest);
	once(@qemus);
	restored($snapshot);
	my @restores;
	my @pairs = in_turn($rounds, 'boot', [Vmm::our_command(@rest)], \@qemus,
		sub { push @restores, join "\t", $_[0]{init}, restored($snapshot) });
	keep('linux-restore', @restores);
	unlink $snapshot;
	rows('', { entry => 0.3, exits => 1.0, init => 1.0 }, @pairs);
	my ($boot, $restore, $faster) = pairs(@restores);
	row('restore to the next line, by boot', ours => ms($restore), limit => ms($boot), value => $faster, at_least => 20);
	return;
}

# The number of PCI devices that the guest of a command finds.
sub pci_devices {
	my (@command) = @_;
	my $guest = Vmm::start(@command);
	my (undef, $devices) = $guest->await_time(qr/^pci (\d+)\r?\n/m);
	$guest->end;
	return $devices;
}

# With PCI, and one device in a slot.
sub boot_pci {
	my ($rounds) = @_;
	my @sides = ([Vmm::our_command(@rest, "[device rng0]\nplugin = virtio-rng\nfresh = yes\nslot = next\n")],
		[Vmm::qemu_command('q35', @rest, '-device', 'virtio-rng-pci')]);
	progress('booting once with PCI, so that files are in memory');
	for (@sides) {
		pci_devices(@$_) >= 2 or die "bench: $_->[0]: the guest finds no PCI devices\n";
	}
	rows('PCI: ', { entry => 0.2, init => 0.5 }, in_turn($rounds, 'boot-pci', @sides));
	return;
}

1;
