# SPDX-License-Identifier: BSD-2-Clause
# Branches of a running machine, beside the bare calls: fork(2) of a process with the same memory,
# and the KVM calls of a restore in the child (tools/bare-branch.c). The guest is rounds.S: it
# writes 1,000 pages when it is told to, and does not write otherwise.
package Branch;

use strict;
use warnings;

use Basics;
use Bench;
use Guest;
use IPC::Open2;
use JSON::PP qw(decode_json);
use POSIX qw(_exit);
use Time::HiRes qw(sleep);

use constant { PATIENCE => 120, SYS_PRCTL => 157, PR_SET_THP_DISABLE => 41 };    # seconds; x86-64
use constant FIRST => 0x10000;    # of the pages that the guest writes
use constant HUGE => 2 * MIB;

my $count = 0;
my %running;    # processes

sub kill_all {
	kill KILL => keys %running;
	%running = ();
	return;
}
END {
	local $?;    # the exit status
	kill_all();
}

sub size_name { $_[0] < 1024 ? "$_[0] MiB" : $_[0] / 1024 . ' GiB' }

# The command that runs a machine of so many MiB.
sub command {
	my ($mib, @more) = @_;
	my $at = $mib > 3072 ? 4 * GIB : 0;    # below 4 GiB lie the interrupt controllers
	my $bytes = $mib * MIB - HUGE - FIRST;    # without the page tables at the end
	return ($minivmm, '-c', 'tests/bench/rounds.ini', '--log', 'error', map { ('--set', $_) } $plugins,
		"boot.image=$out/rounds.bin", 'vm.memory=' . $mib * MIB, "vm.memory_at=$at", 'boot.at=' . ($at + 0x9000),
		'cpu.rip=' . ($at + 0x9000), 'cpu.rdi=' . ($at + FIRST), 'cpu.rcx=' . $bytes / 8, 'cpu.r12=' . $bytes / 4096, @more);
}

# Starts a machine and waits until it has written its memory. kind: "huge" or "small" pages, or a
# snapshot that it is restored from. plain: without the library that lets it idle.
sub start {
	my ($mib, $kind, $plain) = @_;
	my $name = "$shm/branched-" . ++$count;
	my $self = bless { name => $minivmm, firsts => "$name.firsts", mib => $mib, path => $name }, 'Branch';
	my @sockets = ("control.socket=$name");
	my @command = $kind =~ m{/} ? ($minivmm, '-r', $kind, '--log', 'error', map { ('--set', $_) } $plugins, @sockets,
		'device.serial0.input=stdio', 'device.serial0.output=stdio') : command($mib, @sockets);
	pipe my $in, $self->{in} or die "bench: pipe: $!\n";
	pipe $self->{out}, my $out or die "bench: pipe: $!\n";
	$self->{in}->autoflush(1);
	$self->{pid} = fork // die "bench: fork: $!\n";
	if (!$self->{pid}) {
		open STDIN, '<&', $in or _exit(1);
		open STDOUT, '>&', $out or _exit(1);
		syscall SYS_PRCTL, PR_SET_THP_DISABLE, $kind eq 'small' ? 1 : 0, 0, 0, 0;
		$ENV{FIRSTS_FILE} = $self->{firsts};
		$ENV{FIRSTS_NICE} = $1 if -e '/proc/self/autogroup' && slurp('/proc/self/autogroup') =~ /nice (-?\d+)/;
		$ENV{LD_PRELOAD} = "$build/tests/preload/firsts.so" if !$plain;
		exec { $command[0] } @command or _exit(1);
	}
	$running{ $self->{pid} } = 1;
	Guest::connect_to($self, $name);
	$plain ? $self->write('s') : $self->first_exits($self->{pid});
	return $self;
}

# Waits until the processes have exited for the first time; returns when, in seconds.
sub first_exits {
	my ($self, @pids) = @_;
	my $until = now() + PATIENCE;
	while (now() < $until) {
		my %at = -e $self->{firsts} ? map { split } split /\n/, slurp($self->{firsts}) : ();
		return map { $_ / 1e9 } @at{@pids} if @pids == grep { $at{$_} } @pids;
		sleep 0.002;
	}
	die "bench: a guest does not exit\n";
}

# Lets the guest write 1,000 pages. Returns the TSC ticks that it took.
sub write {
	my ($self, $word) = @_;
	print { $self->{in} } $word;
	read($self->{out}, my $answer, 8) == 8 or die "bench: the guest does not answer\n";
	return unpack 'Q', $answer;
}

# Branches. Returns the microseconds of the stop, those from the request to the last first exit, and
# the processes.
sub branch {
	my ($self, $number, @more) = @_;
	my $began = now();
	my $reply = Guest::ctl($self, join ' ', 'branch', (map { "$shm/child-" . ++$count } 1 .. $number), @more);
	my @pids = map { $_->{pid} } @{ $reply->{branches} };
	$running{$_} = 1 for @pids;
	return ($reply->{stopped_us}, 0, @pids) if @more;
	my ($last) = sort { $b <=> $a } $self->first_exits(@pids);
	return ($reply->{stopped_us}, ($last - $began) * 1e6, @pids);
}

# Ends branches and waits until their memory is free.
sub end_branches {
	my (@pids) = @_;
	kill KILL => @pids;
	delete @running{@pids};
	for my $pid (@pids) {
		my $until = now() + PATIENCE;
		sleep 0.001 while -e "/proc/$pid" && now() < $until;
	}
	return;
}

# Branches and ends them. Returns as branch does, without the processes.
sub branch_and_end {
	my ($self, @arguments) = @_;
	my ($stop, $exit, @pids) = $self->branch(@arguments);
	end_branches(@pids);
	return ($stop, $exit);
}

# Microseconds of the stop of a live snapshot on tmpfs, and of all of it. A large one goes nowhere,
# and only its stop counts.
sub snapshot {
	my ($self, $file) = @_;
	my $reply;
	if ($self->{mib} > 1024) {
		my ($line) = lines('sh', '-c', 'exec "$0" ctl --json "$1" snapshot - full 2>&1 >/dev/null', $minivmm, $self->{path});
		$reply = decode_json($line);
	} else {
		$reply = Guest::ctl($self, "snapshot $file full");
	}
	return ($reply->{stopped_us}, $reply->{duration_ms} * 1000);
}

sub end {
	my ($self) = @_;
	kill KILL => $self->{pid};
	waitpid $self->{pid}, 0;
	delete $running{ $self->{pid} };
	unlink $self->{firsts};
	return;
}

# A snapshot of a machine in which all memory is written, and the state for bare-branch.
sub save {
	my ($mib) = @_;
	my $snapshot = "$shm/rounds-$mib.snap";
	lines(command($mib), '--until', 'pio:0x80', '--save', $snapshot);
	lines("$tools/clone-speed", $snapshot, "$shm/rounds-$mib.state", 0, $plugins);
	return ($snapshot, "$shm/rounds-$mib.state");
}

# The bare machine: its handles. ask sends a command and returns its numbers.
sub bare {
	my ($mib, $kind) = @_;
	my @more = $mib > 1024 ? $mib - 16 : ();
	my ($snapshot, $state) = save(@more ? 16 : $mib);
	my $self = bless {}, 'Branch';
	$self->{pid} = open2($self->{out}, $self->{in}, "$tools/bare-branch", $state, $snapshot, $kind, @more);
	$running{ $self->{pid} } = 1;
	$self->ask('fork');
	unlink $snapshot, $state if $kind ne 'file';
	@$self{qw(snapshot state firsts)} = ($snapshot, $state, '');
	return $self;
}

sub ask {
	my ($self, $command) = @_;
	print { $self->{in} } "$command\n";
	my $line = readline($self->{out}) // die "bench: bare-branch has ended\n";
	return split ' ', $line;
}

# The stop, and the first exit, by size and kind of pages: the machine and the bare one in turn,
# unless there is no memory for both.
sub sizes {
	my @all = ([16, 'huge', 40], [256, 'huge', 10], [1024, 'huge', 20], [8192, 'huge', 5], [16, 'small', 20], [1024, 'small', 10],
		[16, 'file', 20], [1024, 'file', 10]);
	for (@all) {
		my ($mib, $kind, $rounds) = @$_;
		my $what = size_name($mib) . ({ huge => '', small => ' in small pages', file => ', restored' }->{$kind});
		my $both = $mib <= 1024;
		if (!room(($both ? 2 : 1) * $mib * MIB + 2 * GIB)) {
			left_out("stop by a branch, $what", 'too little memory here');
			next;
		}
		progress("branches, $what");
		my $bare = bare($mib, $kind);
		my @limits = $both ? () : map { [$bare->ask('fork')] } 1 .. $rounds;
		$bare->end if !$both;
		my $guest = start($mib, $kind eq 'file' ? $bare->{snapshot} : $kind);
		$guest->branch_and_end(1);    # the bare machine has forked, too
		my @lines = map { [$guest->branch_and_end(1), $both ? $bare->ask('fork') : @{ $limits[$_ - 1] }] } 1 .. $rounds;
		# Last: they turn the dirty log on, which makes branches slower.
		my @snapshots = map { [$guest->snapshot("$shm/branched.snap")] } 1 .. 5;
		@lines = map { join "\t", @{ $lines[$_] }, @{ $snapshots[$_ % @snapshots] } } 0 .. $#lines;
		$_->end for $guest, $both ? $bare : ();
		unlink @$bare{qw(snapshot state)}, "$shm/branched.snap";
		keep("branch-$kind-$mib", @lines);
		report_sizes($what, $kind eq 'huge' && $mib >= 1024, $kind eq 'huge' && $mib != 256, map { [split /\t/] } @lines);
	}
	return;
}

sub report_sizes {
	my ($what, $stop_counts, $exit_counts, @rounds) = @_;
	my ($ours, $bare, $ratio) = pairs(map { "$_->[0]\t" . ($_->[2] + $_->[4]) } @rounds);
	row("stop by a branch, $what", ours => ms($ours), limit => ms($bare), value => $ratio, $stop_counts ? (at_most => 1.5) : ());
	($ours, $bare, $ratio) = pairs(map { "$_->[1]\t$_->[3]" } @rounds);
	row("first exit of a branch, $what", ours => ms($ours), limit => ms($bare), value => $ratio,
		$exit_counts ? (at_most => 1.5) : ());
	return;
}

# The stop for ten branches against that for one, in turn.
sub ten {
	progress('branches, ten and one');
	my $guest = start(1024, 'huge');
	my @lines;
	for (1 .. 15) {
		my ($ten) = $guest->branch_and_end(10);
		my ($one) = $guest->branch_and_end(1);
		push @lines, "$ten\t$one";
	}
	$guest->end;
	keep('branch-ten', @lines);
	my ($ten, $one, $ratio) = pairs(@lines);
	row('stop by ten branches, 1 GiB, by one', ours => ms($ten), limit => ms($one), value => $ratio, at_most => 1.1);
	return;
}

# Branches in a row; the guest writes 1,000 pages while each of them lives. Returns the stops.
# lives: the branches stay, paused, until the end; otherwise each ends before the next one.
sub row_of {
	my ($guest, $word, $number, $lives) = @_;
	my (@stops, @alive);
	for (1 .. $number) {
		my ($stop, undef, @pids) = $guest->branch(1, '--paused');
		push @stops, $stop;
		push @alive, @pids;
		$guest->write($word);
		next if $lives;
		end_branches(splice @alive);
		sleep($word eq 'a' ? 0.15 : 0.02);    # the machine makes huge pages again
	}
	end_branches(@alive);
	return @stops;
}

# The 10th and the 1,000th branch in a row against the first of a machine.
sub in_a_row {
	my @kinds = (['within 16 MiB', 's', 1, 1.5], ['within 16 MiB, earlier ones ended', 's', 0, 1.5],
		['all over', 'a', 1, undef], ['all over, earlier ones ended', 'a', 0, 1.5]);
	for (@kinds) {
		my ($where, $word, $lives, $target) = @$_;
		my (@lines, @thousand, @firsts);
		for my $machine (1 .. 5) {
			progress("branches in a row, 1 GiB, writes $where, machine $machine");
			my $guest = start(1024, 'huge');
			my @stops = row_of($guest, $word, $machine == 5 && !$lives ? 1000 : 10, $lives);
			$guest->end;
			push @lines, "$stops[9]\t$stops[0]";
			push @firsts, $stops[0];
			@thousand = @stops[990 .. 999] if @stops == 1000;
		}
		keep("branch-row-$word-" . ($lives ? 'alive' : 'ended'), @lines, @thousand);
		my ($tenth, $first, $ratio) = pairs(@lines);
		my @target = $target ? (at_most => $target) : ();
		row("stop by the 10th branch in a row, writes $where", ours => ms($tenth), limit => ms($first), value => $ratio, @target);
		row("stop by the 1,000th, writes $where", ours => ms(median(@thousand)), limit => ms($first),
			value => median(@thousand) / median(@firsts), @target) if @thousand;
	}
	return;
}

# The first exit of the last of many branches of one stop.
sub many {
	my @lines;
	my $guest = start(16, 'huge');
	for (1 .. 7) {
		progress("first exits of many branches, round $_");
		push @lines, join "\t", map { ($guest->branch_and_end($_))[1] } 1, 10, 100;
	}
	$guest->end;
	keep('branch-many', @lines);
	my @rounds = map { [split /\t/] } @lines;
	for ([10, 1, 8], [100, 2, 70]) {
		my ($number, $column, $target) = @$_;
		my ($last, $one, $ratio) = pairs(map { "$_->[$column]\t$_->[0]" } @rounds);
		row("first exit of the last of $number branches, by one", ours => ms($last), limit => ms($one), value => $ratio,
			at_most => $target);
	}
	return;
}

# A branch, beside a live snapshot on tmpfs and its restore: from the request to the first exit of
# the copy.
sub copies {
	my @lines;
	my $guest = start(1024, 'huge');
	for (1 .. 5) {
		progress("a branch, and a snapshot and its restore, round $_");
		my $file = "$shm/copy.snap";
		my $began = now();
		$guest->snapshot($file);
		my $copy = start(1024, $file);
		my ($exit) = $copy->first_exits($copy->{pid});
		$copy->end;
		unlink $file;
		push @lines, join "\t", ($exit - $began) * 1e6, ($guest->branch_and_end(1))[1];
	}
	$guest->end;
	keep('branch-copies', @lines);
	my ($snapshot, $branch, $ratio) = pairs(@lines);
	row('live snapshot and restore, 1 GiB, by a branch', ours => ms($branch), limit => ms($snapshot), value => $ratio,
		at_least => 50);
	return;
}

# Private_Dirty of branches at rest, without the pages of the guest; each with its keeper.
sub rest {
	progress('memory of a branch');
	my $socket = "$shm/rest";
	my $pid = open my $pipe, '-|', $minivmm, '-c', 'tests/bench/wait.ini', '--log', 'error', '--set', "control.socket=$socket"
	    or die "bench: $minivmm: $!\n";
	readline $pipe // die "bench: the guest did not start\n";
	my $self = bless { pid => $pid, name => $minivmm }, 'Branch';
	Guest::connect_to($self, $socket);
	my (@lines, @pids);
	for my $number (1 .. 8) {
		my $reply = Guest::ctl($self, "branch $shm/rest-$number --paused");
		my ($branch, $keeper) = ($reply->{branches}[0]{pid}, $reply->{keeper});
		$running{$branch} = 1;
		push @pids, $branch;
		my @all = map { [Basics::beyond_guest($_, 96 * 1024)] } $branch, $keeper;
		push @lines, join "\t", map { my $column = $_; $all[0][$column] + $all[1][$column] } 0, 1;
	}
	kill KILL => $pid;
	close $pipe;
	end_branches(@pids);
	keep('branch-memory', @lines);
	my ($pss, $dirty) = pairs(@lines[1 .. $#lines]);
	row('memory of a further branch, Private_Dirty', ours => kib($dirty), value => $dirty, at_most => 400, unit => ' KiB');
	return;
}

# The first writes of the machine after a branch, 1,000 pages all over memory.
sub first_writes {
	my @lines;
	progress('first writes after a branch');
	my ($bare, $guest) = (bare(1024, 'huge'), start(1024, 'huge'));
	my $us = 1 / (Guest::pace() / Guest::PERIOD);    # a tick of the TSC
	for (1 .. 10) {
		my (undef, undef, @pids) = $guest->branch(1, '--paused');
		my $ours = $guest->write('a');
		end_branches(@pids);
		$bare->ask('hold');
		my ($limit) = $bare->ask('write a');
		$bare->ask('release');
		push @lines, sprintf "%.3f\t%.3f", map { $_ * $us / 1000 } $ours, $limit;    # a page
	}
	$_->end for $guest, $bare;
	keep('branch-writes', @lines);
	my ($ours, $limit, $ratio) = pairs(@lines);
	row('first write to a page after a branch', ours => us($ours), limit => us($limit), value => $ratio, at_most => 1.2);
	return;
}

sub branches {
	assemble('rounds');
	$_->() for \&sizes, \&ten, \&in_a_row, \&many, \&copies, \&rest, \&first_writes;
	return;
}

1;
