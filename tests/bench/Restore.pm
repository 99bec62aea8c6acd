# SPDX-License-Identifier: BSD-2-Clause
# Machines from snapshots, beside the bare KVM calls and QEMU: one for each process, many in one
# process, one that is reset.
package Restore;

use strict;
use warnings;

use Basics;
use Bench;
use Guest;

use constant { ENDS => 42, QEMU_ENDS => 21 };    # exit statuses of the guests

# The snapshot of a machine of so many MiB, all written, just before it ends.
sub filled {
	my ($mib) = @_;
	my $snapshot = "$shm/filled.snap";
	my $at = $mib > 3072 ? 4 * GIB : 0x1000;    # below 4 GiB lie the interrupt controllers
	my $pages = $mib * 256 - 1 - ($mib > 3072 ? 3 + 4 + $mib / 1024 : 7);    # without the guest's and its tables
	assemble('fill');
	lines($minivmm, '-c', 'tests/bench/fill.ini', (map { ('--set', $_) } $plugins, "boot.image=$out/fill.bin",
			'vm.memory=' . $mib * MIB, "vm.memory_at=$at", "boot.at=$at", "cpu.rip=$at", 'cpu.rdi=' . ($at + 0x1000),
			'cpu.rcx=' . $pages * 512), '--log', 'error',
		'--until', 'pio:0x80', '--save', $snapshot);
	return $snapshot;
}

# Whole processes: start, restore, the first exit, which ends the guest. bare-restore needs the
# state that clone-speed extracts.
sub first_exit {
	for my $mib (16, 256, 1024, 8192) {
		my $figure = $mib < 1024 ? "restore to the first exit, $mib MiB" : 'restore to the first exit, ' . $mib / 1024 . ' GiB';
		if (!room(2 * $mib * MIB + GIB)) {
			left_out($figure, 'too little memory here');
			next;
		}
		progress("snapshot of $mib MiB");
		my $snapshot = filled($mib);
		lines("$tools/clone-speed", $snapshot, "$shm/state", 0, $plugins);
		progress($figure);
		my ($ours, $bare, $ratio) = stopwatch("restore-$mib", 50, [ENDS, '', $minivmm, '-r', $snapshot, '--set', $plugins],
			[ENDS, '', "$tools/bare-restore", "$shm/state", $snapshot, ENDS]);
		row($figure, ours => ms($ours), limit => ms($bare), value => $ratio, $mib == 256 ? () : (at_most => 1.5));
		restored_by_qemu($mib, $snapshot) if $mib <= 1024;
		unlink $snapshot;
	}
}

# QEMU's guest writes to port 0xf4 all the time; only the restored machine has the device that ends
# it.
sub restored_by_qemu {
	my ($mib, $snapshot) = @_;
	my $figure = $mib < 1024 ? "restore by QEMU, $mib MiB" : 'restore by QEMU, 1 GiB';
	return left_out($figure, 'no QEMU') if !$qemu;
	progress("$figure: its snapshot");
	my $guest = Guest::qemu($mib * MIB, 0xf4);
	$guest->ready(0.2);
	$guest->migrate("$shm/qemu.snap");
	$guest->end;
	progress($figure);
	my ($qemus, $ours, $faster) = stopwatch("restore-qemu-$mib", 5,
		[QEMU_ENDS, '', 'sh', '-c', "exec \"\$@\" -incoming fd:3 3<$shm/qemu.snap", 'sh',
			Guest::microvm($mib * MIB, Guest::bios($mib * MIB, 0xf4)), '-device',
			'isa-debug-exit,iobase=0xf4,iosize=1'],
		[ENDS, '', $minivmm, '-r', $snapshot, '--set', $plugins]);
	row($figure, ours => ms($ours), qemu => ms($qemus), value => $faster, $mib == 1024 ? (at_least => 100) : ());
	unlink "$shm/qemu.snap";
}

sub clones {
	progress('clones in one process');
	my @lines = lines("$tools/clone-speed", filled(16), "$shm/state", 200, $plugins);
	keep('clones', @lines);
	my ($ours, $bare, $ratio) = pairs(@lines);
	row('new machine in a process, to the first exit', ours => ms($ours), limit => ms($bare), value => $ratio, at_most => 1.2);
	unlink "$shm/filled.snap";
}

# Rates: more is better. minivmm hands the machine from thread to thread. With as many workers as
# CPUs the two threads share one, as they do when they are bound to it.
sub reset {
	my ($cpu) = slurp('/proc/self/status') =~ /^Cpus_allowed_list:\s+(\d+)/m;
	assemble('dirty');
	for my $pages (10, 1000) {
		my $snapshot = "$shm/dirty.snap";
		lines($minivmm, '-c', 'tests/bench/fill.ini', (map { ('--set', $_) } $plugins, "boot.image=$out/dirty.bin",
			'vm.memory=16M', "cpu.rcx=$pages"), '--log', 'error', '--until', 'pio:0x80', '--save', $snapshot);
		for (['', ''], [', on one CPU', '-bound', 'taskset', '-c', $cpu]) {
			my ($where, $suffix, @bound) = @$_;
			progress("resets, $pages pages$where");
			my @lines = lines(@bound, "$tools/reset-speed", $snapshot, 500, $plugins);
			my @columns = map { [split /\t/] } @lines;
			keep("reset-$pages$suffix", @lines);
			my ($bare, $ours, $ratio) = pairs(map { "$_->[1]\t$_->[0]" } @columns);
			row("reset and rerun, $pages pages$where", ours => ms($ours), limit => ms($bare), value => $ratio, at_least => 0.7);
			next if @bound;
			my ($ring, $log, $slower) = pairs(map { "$_->[2]\t$_->[1]" } @columns);
			row("bare reset, $pages pages, dirty ring by dirty log", ours => '-', limit => ms($ring) . ' / ' . ms($log),
				value => $slower);
		}
		unlink $snapshot;
	}
}

# Runs per second with two workers, divided by those with one. The results go to a file, so that no
# reader takes a CPU meanwhile.
sub scaling {
	my $snapshot = "$shm/batch.snap";
	my $results = "$shm/results";
	my @files = map { "$shm/input-$_" } 1 .. 1000;
	for my $file (@files) {
		open my $out, '>', $file or die "bench: $file: $!\n";
		print $out "fill 10\n";
		close $out;
	}
	lines($minivmm, '-c', 'configs/batch.ini', '--log', 'error', '--until', 'output:serial0:? ', '--save', $snapshot);
	my @lines;
	for my $round (1 .. 10) {
		my @taken;
		for my $workers (1, 2) {
			progress("batch, $workers workers, round $round");
			my $start = now();
			lines('sh', '-c', 'exec "$@" >"$0"', $results, $minivmm, 'batch', '-r', $snapshot, '--input', 'serial0',
				'-j', $workers, @files);
			push @taken, (now() - $start) * 1e6 / @files;
			slurp($results) =~ tr/\n// == @files or die "bench: batch: not all have run\n";
		}
		push @lines, sprintf "%.1f\t%.1f", @taken;
	}
	keep('batch', @lines);
	my ($one, $two, $ratio) = pairs(@lines);
	row('batch, 2 workers by 1, a run', ours => ms($two), limit => ms($one), value => $ratio, at_least => 1.8);
	unlink $snapshot, $results, @files;
}

# The memory of each further process of one snapshot, without the guest's pages.
sub clone_memory {
	my $snapshot = "$shm/wait.snap";
	my (@pids, @pipes, @lines);
	lines($minivmm, '-c', 'tests/bench/wait.ini', '--log', 'error', '--until', 'access:1', '--save', $snapshot);
	for my $number (1 .. 8) {
		progress("memory, clone $number");
		push @pids, open my $pipe, '-|', $minivmm, '-r', $snapshot or die "bench: $minivmm: $!\n";
		defined readline $pipe or die "bench: the guest did not go on\n";
		push @pipes, $pipe;
	}
	@lines = map { join "\t", Basics::beyond_guest($_, 96 * 1024) } @pids;
	kill KILL => @pids;
	close $_ for @pipes;
	unlink $snapshot;
	keep('memory-clones', @lines);
	my ($pss, $dirty) = pairs(@lines[1 .. $#lines]);
	row("memory of a further clone, Private_Dirty", ours => kib($dirty), value => $dirty, at_most => 300, unit => ' KiB');
}

1;
