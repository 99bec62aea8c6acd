# SPDX-License-Identifier: BSD-2-Clause
# PCI devices of a guest without a kernel: an access to a BAR beside one to an MMIO range, a message
# beside a bare KVM_SIGNAL_MSI, a snapshot's stop with 20 devices beside none.
package Slots;

use strict;
use warnings;

use Access;
use Bench;
use Guest;
use JSON::PP qw(decode_json);
use Snapshot;

use constant {
	ROUNDS => $ENV{ROUNDS} // 20,
	MESSAGES => 10000,
	THREAD_MESSAGES => 500,    # of another thread: each takes a sleep
	DEVICES => 20,
	CARD => 0x80000800,    # config address of slot 1
	RANGE => 0xe0200000,
};

sub config {
	my ($name, $text) = @_;
	open my $ini, '>', "$out/$name.ini" or die "bench: $out/$name.ini: $!\n";
	print $ini $text;
	close $ini or die "bench: $out/$name.ini: $!\n";
	return "$out/$name.ini";
}

# Runs machines in turn. what: the word after the round. Returns a list of results for each.
sub in_turn {
	my ($what, @once) = @_;
	my @all = map { [] } @once;
	for my $round (1 .. ROUNDS) {
		progress("$what, round $round");
		push @{ $all[$_] }, $once[$_]->() for $round % 2 ? 0 .. $#once : reverse 0 .. $#once;
	}
	return @all;
}

# Where the core has put BAR 0 of the device in slot 1.
sub bar0 {
	my ($snapshot) = @_;
	my $config = decode_json(join '', lines($minivmm, 'inspect', '--json', $snapshot))->{pci}{'1.0'}{config};
	return unpack('x16 L<', pack 'H*', $config) & ~15;
}

# One machine has both devices, near each other, so that the bus finds them in as many steps; its
# guest accesses the one or the other.
sub access {
	assemble('access');
	my $ini = config('bar', "[vm]\nmemory_at = 0x1000\nmemory = 16K\nirqchip = on\n[boot]\nimage = access.bin\n[cpu]\n"
		    . "mode = protected\nrcx = @{[Access::PAIRS]}\nrsi = 1\nrbp = 1\n[device null0]\nplugin = null\n"
		    . "address = @{[RANGE]}\n[device null1]\nplugin = null\nslot = 1\n");
	my $machine = sub { ($minivmm, '-c', $ini, '--set', $plugins, '--log', 'error', '--set', "cpu.rbx=$_[0]") };
	lines($machine->(RANGE), '--until', 'access:1', '--save', "$shm/bar.snap");
	my @at = (bar0("$shm/bar.snap"), RANGE);
	unlink "$shm/bar.snap";
	my ($bar, $range) = in_turn('access to a BAR', map { my $at = $_; sub { Access::once($machine->($at)) } } @at);
	my ($ours, $limit, $ratio) = Access::compare('bar', 'user', $bar, $range);
	row("access, BAR by MMIO range, dispatch", ours => ns($ours), limit => ns($limit), value => $ratio, at_most => 1.05);
	return;
}

# The median nanoseconds from the exit by which the guest rings to that of its handler: the device
# sends the message in between. They are the last exits, in turn.
sub ring {
	my (@command) = @_;
	local $ENV{EXITS_FILE} = "$out/exits";
	local $ENV{LD_PRELOAD} = "$build/tests/preload/exits.so";
	lines(@command);
	my (@user, @whole, $tick);
	for (split /\n/, slurp("$out/exits")) {
		my ($what, $user, $whole) = split /\t/;
		$tick = $user if $what eq 'tick';
		next if $what ne 'exit';
		push @user, $user;
		push @whole, $whole;
	}
	@user >= 2 * MESSAGES or die "bench: @command: too few exits\n";
	my @handlers = map { $#user - 2 * $_ } 0 .. MESSAGES - MESSAGES / 10;    # the first fill the caches
	return $tick * median_of_steps(map { $user[ $_ - 1 ] + $whole[$_] - $user[$_] } @handlers);
}

sub message {
	my $image = Guest::link_flat('message', '0x1000', '-Iguests', 'tests/bench/message.S');
	my $ini = config('message', "[vm]\nmemory_at = 0x1000\nmemory = 64K\nirqchip = on\n[boot]\nimage = message.bin\n"
		    . "[cpu]\nmode = protected\nrbp = @{[CARD]}\nrcx = @{[MESSAGES]}\n[device card0]\nplugin = card\nslot = 1\n");
	my @ours = ($minivmm, '-c', $ini, '--set', $plugins, '--log', 'error', '--timeout', '60s');
	my $bare = sub { ("$tools/bare-message", $image, @_) };
	my @sides = in_turn('a message',
		map { my @command = @$_; sub { ring(@command) } } \@ours, [$bare->(MESSAGES, 'msi')], [$bare->(MESSAGES, 'irqfd')]);
	my @threads = in_turn('a message of another thread',
		map { my $how = $_; sub { median(lines($bare->(THREAD_MESSAGES, $how, 'thread'))) } } 'msi', 'irqfd');
	my $compare = sub {
		my ($name, $first, $second) = @_;
		my @lines = map { sprintf "%.1f\t%.1f", $first->[$_], $second->[$_] } 0 .. $#$first;
		keep("message-$name", @lines);
		return pairs(@lines);
	};
	my ($ours, $limit, $ratio) = $compare->('ours', @sides[0, 1]);
	row('message to the handler, by KVM_SIGNAL_MSI', ours => us($ours / 1000), limit => us($limit / 1000), value => $ratio,
		at_most => 1.1);
	for (['of a vCPU', @sides[2, 1]], ['of another thread', @threads[1, 0]]) {
		my ($who, @pair) = @$_;
		my ($irqfd, $msi, $ratio) = $compare->("irqfd-$who" =~ s/ /-/gr, @pair);
		row("  bare, $who: irqfd by KVM_SIGNAL_MSI", ours => us($irqfd / 1000), limit => us($msi / 1000), value => $ratio);
	}
	return;
}

sub stop {
	assemble('idle');
	my $none = "[vm]\nmemory_at = 0x1000\nmemory = 16M\nirqchip = on\n[boot]\nimage = idle.bin\n[cpu]\nmode = protected\n"
	    . "rdi = 0x2000\nrcx = 1\n[device port0]\nplugin = null\nport = 0x80\n";
	my $many = $none . join '', map { "[device card$_]\nplugin = card\nslot = $_\n" } 1 .. DEVICES;
	my @machines = map {
		my ($name, $text) = @$_;
		Snapshot::idle($name, 16 * MIB, config($name, $text));
	} ['slots-none', $none], ['slots-many', $many];
	my ($without, $with) = in_turn("a stop with @{[DEVICES]} PCI devices",
		map { my $machine = $_; sub { $machine->ctl("snapshot $shm/slots.snap full")->{stopped_us} } } @machines);
	$_->end for @machines;
	unlink "$shm/slots.snap";
	my @lines = map { "$with->[$_]\t$without->[$_]" } 0 .. $#$with;
	keep('slots-stop', @lines);
	my ($ours, $limit, $ratio) = pairs(@lines);
	row("stop with @{[DEVICES]} PCI devices, by none", ours => ms($ours), limit => ms($limit), value => $ratio, at_most => 1.2);
	return;
}

sub slots {
	access();
	message();
	stop();
	return;
}

1;
