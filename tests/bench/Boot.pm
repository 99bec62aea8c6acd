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

sub boot {
	my ($rounds) = @_;
	my $snapshot = "$shm/booted.snap";
	my @rest = ('boot', ' rest=300000');
	progress('booting once, for a snapshot, and so that files are in memory');
	lines(Vmm::our_command('boot', ''), '--set', 'device.serial0.input=none', '--until', 'output:serial0:init', '--save', $snapshot);
	once(Vmm::qemu_command(@rest));
	restored($snapshot);
	my (@pairs, @restores);
	for my $round (1 .. $rounds) {
		progress("boot, round $round");
		my @pair;
		my @order = $round % 2 ? (0, 1) : (1, 0);
		$pair[$_] = once($_ ? Vmm::qemu_command(@rest) : Vmm::our_command(@rest)) for @order;
		push @pairs, \@pair;
		push @restores, join "\t", $pair[0]{init}, restored($snapshot);
	}
	keep_counts('linux-boot', '%.0f', @pairs);
	keep('linux-restore', @restores);
	unlink $snapshot;
	my ($ours, $qemus, $ratio) = compare('entry', @pairs);
	row('start to the first instruction', ours => ms($ours), qemu => ms($qemus), value => $ratio, at_most => 0.3);
	($ours, $qemus, $ratio) = compare('exits', @pairs);
	row('exits until init', ours => sprintf('%.0f', $ours), qemu => sprintf('%.0f', $qemus), value => $ratio, at_most => 1.0);
	($ours, $qemus, $ratio) = compare('init', @pairs);
	row("start to init's first line", ours => ms($ours), qemu => ms($qemus), value => $ratio, at_most => 1.0);
	my ($boot, $restore, $faster) = pairs(@restores);
	row('restore to the next line, by boot', ours => ms($restore), limit => ms($boot), value => $faster, at_least => 20);
}

1;
