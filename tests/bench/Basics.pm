# SPDX-License-Identifier: BSD-2-Clause
# Starting, accesses to devices, restoring, writing, memory: what every machine pays.
package Basics;

use strict;
use warnings;

use Bench;

# Start, guest says 4, exit.
sub whole_process {
	assemble('bios');
	my @ours = (0, 4, $minivmm, '-c', 'tests/bench/simple.ini');
	progress('whole process');
	for (['same', '-c'], ['fewest']) {
		my ($which, @option) = @$_;
		my ($ours, $bare, $ratio) =
		    stopwatch("whole-$which", 50, \@ours, [0, 4, "$tools/bare", @option, 'guests/simple.bin']);
		# The fewest calls leave the guest without CPUID: shown for what they tell, not a
		# target.
		row("whole process, by the $which KVM calls", ours => ms($ours), limit => ms($bare),
			ratio => times_($ratio), $which eq 'same' ? (value => $ratio, compare => 'at most', target => 1.5) : ());
	}
	return left_out('whole process, by QEMU microvm', 'no QEMU') if !$qemu;
	progress('whole process, QEMU');
	my @microvm = map { split } $qemu, '-M microvm,x-option-roms=off,pit=off,pic=off,rtc=off -accel kvm',
	    '-cpu qemu64,-pni -m 16 -nodefaults -no-user-config -display none -serial stdio',
	    '-device isa-debug-exit,iobase=0xf4,iosize=1';
	my ($qemus, $again, $faster) =
	    stopwatch('whole-qemu', 20, [1, 4, @microvm, '-bios', "$out/bios.bin"], \@ours);
	row('whole process, by QEMU microvm', ours => ms($again), qemu => ms($qemus),
		ratio => times_($faster), value => $faster, compare => 'at least', target => 10);
}

# A machine with as many devices that do nothing, all of them accessed.
sub access_config {
	my ($space, $count) = @_;
	my ($key, $base) = $space eq 'PIO' ? ('port', 0x1000) : ('address', 0xd0000000);
	my $file = "$out/access-$space-$count.ini";
	open my $ini, '>', $file or die "bench: $file: $!\n";
	print $ini "[vm]\nmemory_at = 0x1000\nmemory = 16K\n[boot]\nimage = access.bin\n[cpu]\nmode = protected\n",
	    "rbx = $base\nrcx = 5000\nrsi = $count\nrbp = ", $count > 1 ? 617 : 1, "\nrdi = ",
	    $space eq 'PIO' ? 1 : 0, "\n";
	printf $ini "[device null%d]\nplugin = null\n%s = %d\n", $_, $key, $base + 16 * $_ for 0 .. $count - 1;
	close $ini;
	return $file;
}

# One run: the median of nanoseconds in user space between two KVM_RUNs, without what measuring
# takes.
sub access_time {
	my ($config) = @_;
	my (%ticks, $tick);
	local $ENV{EXITS_FILE} = "$out/exits";
	local $ENV{LD_PRELOAD} = "$build/tests/preload/exits.so";
	lines($minivmm, '-c', $config, '--set', $plugins);
	open my $file, '<', "$out/exits" or die "bench: $out/exits: $!\n";
	while (my $line = <$file>) {
		my ($what, $value) = split ' ', $line;
		push @{ $ticks{$what} }, $value;
	}
	@{ $ticks{exit} // [] } >= 10000 or die "bench: $config: too few exits\n";
	return $ticks{tick}[0] * (median_of_steps(@{ $ticks{exit} }) - median_of_steps(@{ $ticks{overhead} }));
}

# From KVM_RUN's return to its next call, with a plugin that does nothing.
sub accesses {
	assemble('access');
	for my $space ('MMIO', 'PIO') {
		my ($one, $thousand) = map { access_config($space, $_) } 1, 1000;
		my @lines;
		for my $round (1 .. 20) {
			progress("access, $space, round $round");
			push @lines, join "\t", map { access_time($_) } $thousand, $one;
		}
		keep("access-$space", @lines);
		my ($of_thousand, $of_one, $ratio) = pairs(@lines);
		row("access, $space, 1 range", ours => ns($of_one), value => $of_one, compare => 'at most',
			target => 50, unit => ' ns');
		row("access, $space, 1,000 ranges", ours => ns($of_thousand), value => $of_thousand,
			compare => 'at most', target => 50, unit => ' ns');
		row("access, $space, 1,000 by 1 range", ours => ns($of_thousand), limit => ns($of_one),
			ratio => times_($ratio), value => $ratio, compare => 'at most', target => 1.3);
	}
}

# Options for the guest that fills all memory but its own page and the 7 of its page tables and GDT.
sub fill {
	my ($size) = @_;
	return ($plugins, "boot.image=$out/fill.bin", "vm.memory=$size", 'cpu.rcx=' . ($size - 8 * 4096) / 8);
}

# To the first exit and the end.
sub restore {
	assemble('fill');
	my @commands;
	for my $mib (1024, 16) {
		progress("snapshot of $mib MiB");
		lines($minivmm, '-c', 'tests/bench/fill.ini', (map { ('--set', $_) } fill($mib * MIB)), '--log', 'error',
			'--until', 'pio:0x80', '--save', "$shm/$mib.snap");
		push @commands, [42, '', $minivmm, '-r', "$shm/$mib.snap", '--set', $plugins];
	}
	progress('restore');
	my ($large, $small, $ratio) = stopwatch('restore', 50, @commands);
	row('restore, 1 GiB by 16 MiB', ours => ms($large), limit => ms($small), ratio => times_($ratio),
		value => $ratio, compare => 'at most', target => 1.3);
	unlink "$shm/1024.snap", "$shm/16.snap";
}

sub write_snapshot {
	assemble('fill');
	my @speed = ("$tools/snapshot-speed", 'tests/bench/fill.ini', 'pio:0x80', $shm);
	progress('writing 1 GiB');
	my @lines = lines(@speed, 20, fill(1024 * MIB));
	pop @lines;
	keep('write', @lines);
	my ($plain, $ours, $ratio) = pairs(@lines);
	row('writing 1 GiB, speed by write(2)', ours => ms($ours), limit => ms($plain), ratio => times_($ratio),
		value => $ratio, compare => 'at least', target => 0.8);
	progress('writing zero pages');
	my ($space) = grep { /^space/ } lines(@speed, 1, $plugins, "boot.image=$out/fill.bin", 'vm.memory=1G');
	my (undef, $allocated, $metadata, $data) = split /\t/, $space;
	my $zero = $allocated - $metadata - $data;
	row('space of zero pages, of 1 GiB', ours => kib($zero / 1024), value => $zero / 1024,
		compare => 'at most', target => 0, unit => ' KiB');
}

# Sums of a process's smaps in KiB without its guest memory, which is known by its size.
sub beyond_guest {
	my ($pid, $guest) = @_;
	my (%sum, $size, $found);
	open my $smaps, '<', "/proc/$pid/smaps" or die "bench: /proc/$pid/smaps: $!\n";
	while (my $line = <$smaps>) {
		my ($key, $kib) = $line =~ /^(\w+):\s+(\d+) kB/ or next;
		$size = $kib if $key eq 'Size';
		$found = 1 if $size == $guest;
		$sum{$key} += $kib if $size != $guest;
	}
	$found or die "bench: process $pid has no guest memory of $guest KiB\n";
	return @sum{ 'Pss', 'Private_Dirty' };
}

# A guest that runs and has said that it does; then the process is looked at.
sub memory_once {
	my $pid = open my $pipe, '-|', $minivmm, @_ or die "bench: $minivmm: $!\n";
	my $ready = <$pipe> // die "bench: the guest did not start\n";
	my @kib = beyond_guest($pid, 96 * 1024);
	kill 'TERM', $pid;
	close $pipe;
	return join "\t", @kib;
}

sub memory {
	my $snapshot = "$shm/wait.snap";
	lines($minivmm, '-c', 'tests/bench/wait.ini', '--log', 'error', '--until', 'access:1', '--save', $snapshot);
	for (['fresh', '-c', 'tests/bench/wait.ini'], ['restored', '-r', $snapshot]) {
		my ($name, @arguments) = @$_;
		progress("memory, $name");
		my @lines = map { memory_once(@arguments) } 1 .. 20;
		keep("memory-$name", @lines);
		my ($pss, $dirty) = pairs(@lines);
		row("memory beyond the guest's, $name, Pss", ours => kib($pss), value => $pss, compare => 'at most',
			target => 4096, unit => ' KiB');
		row("memory beyond the guest's, $name, Private_Dirty", ours => kib($dirty), value => $dirty,
			compare => 'at most', target => 4096, unit => ' KiB');
	}
}

1;
