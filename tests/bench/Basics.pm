# SPDX-License-Identifier: BSD-2-Clause
# Start, restore, write, memory: the costs of every machine.
package Basics;

use strict;
use warnings;

use Bench;

# From the start of the process to its end; the guest prints 4.
sub whole_process {
	assemble('bios');
	my @ours = (0, 4, $minivmm, '-c', 'tests/bench/simple.ini');
	progress('whole process');
	for (['same', '-c'], ['fewest']) {
		my ($which, @option) = @$_;
		my ($ours, $bare, $ratio) =
		    stopwatch("whole-$which", 50, \@ours, [0, 4, "$tools/bare", @option, 'guests/simple.bin']);
		# The fewest calls leave the guest without CPUID: the row informs, without a target.
		row("whole process, by the $which KVM calls", ours => ms($ours), limit => ms($bare),
			value => $ratio, $which eq 'same' ? (at_most => 1.5) : ());
	}
	return left_out('whole process, by QEMU microvm', 'no QEMU') if !$qemu;
	progress('whole process, QEMU');
	my @microvm = map { split } $qemu, '-M microvm,x-option-roms=off,pit=off,pic=off,rtc=off -accel kvm',
	    '-cpu qemu64,-pni -m 16 -nodefaults -no-user-config -display none -serial stdio',
	    '-device isa-debug-exit,iobase=0xf4,iosize=1';
	my ($qemus, $again, $faster) =
	    stopwatch('whole-qemu', 20, [1, 4, @microvm, '-bios', "$out/bios.bin"], \@ours);
	row('whole process, by QEMU microvm', ours => ms($again), qemu => ms($qemus),
		value => $faster, at_least => 10);
}

# Options for the guest that fills all memory but its own page and the 7 of its page tables and GDT.
sub fill {
	my ($size) = @_;
	return ($plugins, "boot.image=$out/fill.bin", "vm.memory=$size", 'cpu.rcx=' . ($size - 8 * 4096) / 8);
}

# The command that runs it, up to its snapshot.
sub fill_and_save {
	my ($size, $snapshot) = @_;
	return ($minivmm, '-c', 'tests/bench/fill.ini', (map { ('--set', $_) } fill($size)), '--log', 'error', '--until', 'pio:0x80',
		'--save', $snapshot);
}

# Whole processes: restore, the first exit, the end.
sub restore {
	assemble('fill');
	my @commands;
	for my $mib (1024, 16) {
		progress("snapshot of $mib MiB");
		lines(fill_and_save($mib * MIB, "$shm/$mib.snap"));
		push @commands, [42, '', $minivmm, '-r', "$shm/$mib.snap", '--set', $plugins];
	}
	progress('restore');
	my ($large, $small, $ratio) = stopwatch('restore', 50, @commands);
	row('restore, 1 GiB by 16 MiB', ours => ms($large), limit => ms($small), value => $ratio, at_most => 1.3);
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
	row('writing 1 GiB, speed by write(2)', ours => ms($ours), limit => ms($plain), value => $ratio, at_least => 0.8);
	progress('writing zero pages');
	my ($space) = grep { /^space/ } lines(@speed, 1, $plugins, "boot.image=$out/fill.bin", 'vm.memory=1G');
	my (undef, $allocated, $metadata, $data) = split /\t/, $space;
	my $zero = $allocated - $metadata - $data;
	row('space of zero pages, of 1 GiB', ours => kib($zero / 1024), value => $zero / 1024,
		at_most => 0, unit => ' KiB');
}

# Pss and Private_Dirty of a process in KiB, without the mapping that has the size of guest memory.
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

# Starts a guest, waits for its first output, and measures the process.
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
		row("memory beyond the guest's, $name, Pss", ours => kib($pss), value => $pss, at_most => 4096, unit => ' KiB');
		row("memory beyond the guest's, $name, Private_Dirty", ours => kib($dirty), value => $dirty,
			at_most => 4096, unit => ' KiB');
	}
}

1;
