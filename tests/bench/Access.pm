# SPDX-License-Identifier: BSD-2-Clause
# Accesses of a guest to a device that does nothing, beside a bare loop around KVM_RUN with one
# indirect call.
package Access;

use strict;
use warnings;

use Bench;

use constant {
	ROUNDS => $ENV{ROUNDS} // 20,
	PAIRS => 20000,    # of a write and a read
	RANGES => 1000,
	STRIDE => 617,    # from one device to the next, in devices
};

# A machine with that many devices, all of them accessed in turn. Both sides restore this snapshot,
# so that their guests are the same. Returns the commands of ours and of the bare loop.
sub machine {
	my ($space, $count) = @_;
	my ($key, $base) = $space eq 'PIO' ? ('port', 0x1000) : ('address', 0xd0000000);
	my $name = "access-$space-$count";
	open my $ini, '>', "$out/$name.ini" or die "bench: $out/$name.ini: $!\n";
	print $ini "[vm]\nmemory_at = 0x1000\nmemory = 16K\n[boot]\nimage = access.bin\n[cpu]\nmode = protected\n",
	    "rbx = $base\nrcx = @{[PAIRS]}\nrsi = $count\nrbp = ", $count > 1 ? STRIDE : 1, "\nrdi = ",
	    $space eq 'PIO' ? 1 : 0, "\n";
	printf $ini "[device null%d]\nplugin = null\n%s = %d\n", $_, $key, $base + 16 * $_ for 0 .. $count - 1;
	close $ini;
	lines($minivmm, '-c', "$out/$name.ini", '--set', $plugins, '--log', 'error', '--until', 'access:1', '--save',
		"$shm/$name.snap");
	lines("$tools/clone-speed", "$shm/$name.snap", "$shm/$name.state", 0, $plugins);
	return ([$minivmm, '-r', "$shm/$name.snap", '--set', $plugins],
		["$tools/bare-access", "$shm/$name.state", "$shm/$name.snap"]);
}

# Runs a machine once. Returns nanoseconds, medians: in user space between two KVM_RUNs (user), less
# what measuring takes, and of a whole exit, from one KVM_RUN's call to the next (whole). The guest
# writes and reads in turn. A read follows its write with one instruction between at most, so that
# its exit contains little of the guest. Each range's first accesses, in cold caches, do not count.
sub once {
	my (@command) = @_;
	local $ENV{EXITS_FILE} = "$out/exits";
	local $ENV{LD_PRELOAD} = "$build/tests/preload/exits.so";
	my (%user, %whole, $tick);
	lines(@command);
	for (split /\n/, slurp("$out/exits")) {
		my ($what, $user, $whole) = split /\t/;
		$tick = $user if $what eq 'tick';
		push @{ $user{$what} }, $user;
		push @{ $whole{$what} }, $whole;
	}
	my $exits = @{ $user{exit} // [] };
	$exits >= 2 * PAIRS - 10 or die "bench: @command: too few exits\n";
	my @reads = grep { $_ % 2 == 0 } 2 * RANGES .. $exits - 1;
	my @writes = grep { $_ % 2 } 2 * RANGES .. $exits - 1;
	my $both = (median_of_steps(@{ $user{exit} }[@reads]) + median_of_steps(@{ $user{exit} }[@writes])) / 2;
	return { user => $tick * ($both - median_of_steps(@{ $user{overhead} })),
		whole => $tick * median_of_steps(@{ $whole{exit} }[@reads]) };
}

sub compare {
	my ($name, $what, $first, $second) = @_;
	my @lines = map { sprintf "%.2f\t%.2f", $first->[$_]{$what}, $second->[$_]{$what} } 0 .. $#$first;
	keep("access-$name", @lines);
	return pairs(@lines);
}

sub accesses {
	assemble('access');
	for my $space ('MMIO', 'PIO') {
		my @machines = (machine($space, 1), (machine($space, RANGES))[0]);
		my @times = ([], [], []);    # ours, bare, ours with 1,000 ranges
		for my $round (1 .. ROUNDS) {
			progress("access, $space, round $round");
			push @{ $times[$_] }, once(@{ $machines[$_] }) for $round % 2 ? (0, 1, 2) : (2, 1, 0);
		}
		my ($one, $bare, $thousand) = @times;
		my ($ours, $limit, $ratio) = compare("$space-whole", 'whole', $one, $bare);
		row("access, $space, whole exit", ours => us($ours / 1000), limit => us($limit / 1000), value => $ratio,
			at_most => 1.02);
		($ours, $limit, $ratio) = compare("$space-dispatch", 'user', $one, $bare);
		row("access, $space, dispatch", ours => ns($ours), limit => ns($limit), value => $ratio, at_most => 2.5);
		($ours, $limit, $ratio) = compare("$space-1000", 'user', $thousand, $one);
		row("access, $space, dispatch, 1,000 ranges by 1", ours => ns($ours), limit => ns($limit), value => $ratio,
			at_most => 1.3);
	}
	unlink glob "$shm/access-*";
	return;
}

1;
