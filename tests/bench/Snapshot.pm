# SPDX-License-Identifier: BSD-2-Clause
# What a snapshot costs an idle machine, beside a bare copy and a bare write: the stop by the size
# of the state of devices, and the whole snapshot of a filled memory.
package Snapshot;

use strict;
use warnings;

use Bench;
use Guest;
use IPC::Open2;
use Time::HiRes qw(sleep);

use constant { ROUNDS => $ENV{ROUNDS} // 20, STATE => 16 * MIB, PAGE => 4096, IDLE => 'tests/bench/idle.ini' };

# An idle machine with that much memory, all of it touched. set: more settings.
sub idle {
	my ($name, $size, $config, @set) = @_;
	my $socket = "$shm/$name.sock";
	my $guest = Guest::spawn($minivmm, '-c', $config, '--log', 'error', map { ('--set', $_) } $plugins,
		"control.socket=$socket", "boot.image=$out/idle.bin", "vm.memory=$size", 'cpu.rcx=' . ($size / PAGE - 2), @set);
	$guest->connect_to($socket);
	sleep 0.01 until $guest->ctl('status')->{exits}{pio};
	return $guest;
}

# A function that returns the microseconds of a bare copy or write of that many bytes.
sub raw {
	my ($size) = @_;
	my $pid = open2(my $from, my $to, "$tools/raw-speed", $size, "$shm/raw");
	return sub { print $to "$_[0]\n"; return readline($from) // die "bench: raw-speed ended\n" };
}

# The stop that the reply says, with much state less the stop without, by one memcpy of the state.
sub state {
	assemble('idle');
	my @machines = map { idle("state-$_", 16 * MIB, IDLE, "device.bulk0.size=$_") } 0, STATE;
	my $raw = raw(STATE);
	my @lines;
	for my $round (1 .. ROUNDS) {
		progress("state in a stop, round $round");
		my ($little, $much) = map { $_->ctl("snapshot $shm/state.snap full")->{stopped_us} } @machines;
		my $copy = median(map { $raw->('copy') } 1 .. 3);
		push @lines, sprintf "%.1f\t%.1f\t%.1f\t%.1f", $much - $little, $copy, $little, $much;
	}
	$_->end for @machines;
	unlink "$shm/state.snap";
	keep('state', @lines);
	my ($stop, $copy, $ratio) = pairs(@lines);
	row('more stop with 16 MiB of device state, by memcpy', ours => ms($stop), limit => ms($copy), value => $ratio,
		at_most => 1.5);
}

# From the request to the reply, of a machine of 1 GiB.
sub whole {
	assemble('idle');
	my $machine = idle('whole', GIB, IDLE);
	my $raw = raw(GIB);
	my %lines;
	for my $round (0 .. ROUNDS) {
		progress("snapshots in all, 1 GiB, round $round");
		my %taken = map {
			my $start = now();
			my $write = $_ eq 'write' ? $raw->('write') : $machine->ctl("snapshot $shm/whole.snap full $_") && 0;
			my $taken = $write || (now() - $start) * 1e6;
			unlink "$shm/whole.snap";
			($_ => $taken);
		} $round % 2 ? qw(live write paused) : qw(paused write live);
		next if !$round;    # the host allocates its memory
		push @{ $lines{$_} }, sprintf "%.1f\t%.1f", $taken{$_}, $taken{write} for qw(live paused);
	}
	$machine->end;
	for (['live', 1.15], ['paused', 1.05]) {
		my ($how, $target) = @$_;
		keep("whole-$how", @{ $lines{$how} });
		my ($ours, $write, $ratio) = pairs(@{ $lines{$how} });
		row("$how snapshot of 1 GiB in all, by write(2)", ours => ms($ours), limit => ms($write), value => $ratio,
			at_most => $target);
	}
}

# A core file of a snapshot of a filled memory, beside a copy of the snapshot. Both are new files.
sub core {
	assemble('idle');
	my $machine = idle('core', GIB, IDLE);
	$machine->ctl("snapshot $shm/core.snap full");
	$machine->end;
	my %commands = (core => [$minivmm, 'core', "$shm/core.snap", '-o', "$shm/core"], cp => ['cp', "$shm/core.snap", "$shm/core"]);
	my @lines;
	for my $round (0 .. ROUNDS) {
		progress("core, round $round");
		my %taken = map {
			my $start = now();
			system("@{ $commands{$_} } 2>/dev/null") == 0 or die "bench: @{ $commands{$_} }: failed\n";
			my $taken = (now() - $start) * 1e6;
			unlink "$shm/core";
			($_ => $taken);
		} $round % 2 ? qw(core cp) : qw(cp core);
		push @lines, sprintf "%.1f\t%.1f", @taken{qw(cp core)} if $round;    # the host allocates its memory
	}
	unlink "$shm/core.snap";
	keep('core', @lines);
	my ($copy, $ours, $ratio) = pairs(@lines);
	row('speed of core, snapshot of 1 GiB, by cp', ours => ms($ours), limit => ms($copy), value => $ratio, at_least => 0.7);
}

1;
