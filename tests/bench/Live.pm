# SPDX-License-Identifier: BSD-2-Clause
# Snapshots of a machine that keeps running, ours and QEMU's in turn: how long its guest stops, and
# how long they take.
package Live;

use strict;
use warnings;

use Bench;
use Guest;
use Time::HiRes qw(sleep);

use constant {
	MACHINES => $ENV{MACHINES} // 10,    # rounds: one machine of each kind; the environment may say fewer
	SNAPSHOTS => 10,    # of one machine
};

my $snap = "$shm/live.snap";

sub nth { (qw(0th 1st 2nd 3rd))[$_[0]] // "$_[0]th" }

# Snapshots of a machine of ours. Of each: the longest gap between two exits meanwhile, and the
# reply. The first element is the longest gap in half a second before.
sub snapshots {
	my ($guest, $number) = @_;
	$guest->ready(0.5);
	my ($idle) = $guest->gap_during(sub { sleep 0.5 });
	my @all = ({ gap => $idle });
	for (1 .. $number) {
		my ($gap, $ran, $reply) = $guest->gap_during(sub { $guest->ctl("snapshot $snap full") });
		push @all, { gap => $gap, ran => $ran, stopped => $reply->{stopped_us}, taken => $reply->{duration_ms} * 1000,
			rounds => $reply->{rounds}, on_demand => $reply->{pages_on_demand} };
		sleep 0.1;
	}
	return @all;
}

# The same of QEMU. how: background-snapshot; '' for migrate.
sub migrated {
	my ($size, $how) = @_;
	my $guest = Guest::qemu($size);
	$guest->ready(0.5);
	my ($idle) = $guest->gap_during(sub { sleep 0.5 });
	my ($gap, $ran, $stopped, $taken) = $guest->gap_during(sub { $guest->migrate("$shm/qemu.snap", $how) });
	$guest->end;
	unlink "$shm/qemu.snap";
	return ({ gap => $idle }, { gap => $gap, ran => $ran, stopped => $stopped, taken => $taken });
}

# Lines for keep(): who, machine, number of the snapshot; microseconds of the gap, of the stop that
# the reply says, in all, and of the longest gap without the wait for a CPU; rounds, pages on
# demand.
sub rounds_of {
	my ($who, $machine, @all) = @_;
	my @keys = qw(gap stopped taken ran rounds on_demand);
	return map { join "\t", $who, $machine, $_, map { $_ // '-' } @{ $all[$_] }{@keys} } 0 .. $#all;
}

# Rows: the medians of the rounds; of gaps also the 99th percentiles, and the medians without the
# wait for a CPU, which inform. Each side is a list with an element for each round.
sub stopped {
	my ($figure, $key, $ours, $qemus) = @_;
	return left_out($figure, $qemu ? 'too little memory here' : 'no QEMU') if !@$qemus;
	my $medians = sub {
		my ($figure, $key, %target) = @_;
		my @lines = map { "$ours->[$_]{$key}\t$qemus->[$_]{$key}" } 0 .. $#$qemus;
		my ($our, $their, $ratio) = pairs(@lines);
		row($figure, ours => ms($our), qemu => ms($their), value => $ratio, %target);
	};
	$medians->($figure, $key, at_most => 0.5);
	return if $key ne 'gap';
	my ($our, $their) = map { percentile(0.99, map { $_->{gap} } @$_) } $ours, $qemus;
	row("$figure, p99", ours => ms($our), qemu => ms($their), value => $our / $their, at_most => 0.5);
	$medians->("$figure, on a CPU", 'ran');
	return;
}

# 1 GiB: the 1st, 2nd and 10th snapshot of a machine, and two of a machine restored from the 10th,
# whose memory is a private mapping of a file; beside QEMU's background-snapshot.
sub live {
	my (@lines, @ours, @qemus, @restored);
	for my $machine (1 .. MACHINES) {
		progress("live snapshots, 1 GiB, machine $machine");
		my $guest = Guest::ours(GIB);
		push @ours, [snapshots($guest, SNAPSHOTS)];
		$guest->end;
		rename $snap, "$shm/origin.snap" or die "bench: $snap: $!\n";
		push @lines, rounds_of('ours', $machine, @{ $ours[-1] });
		if ($qemu) {
			progress("background-snapshot, 1 GiB, machine $machine");
			push @qemus, [migrated(GIB, 'background-snapshot')];
			push @lines, rounds_of('background-snapshot', $machine, @{ $qemus[-1] });
		}
		progress("live snapshots of a restored machine, $machine");
		$guest = Guest::restored("$shm/origin.snap");
		push @restored, [snapshots($guest, 2)];
		$guest->end;
		push @lines, rounds_of('restored', $machine, @{ $restored[-1] });
		unlink $snap, "$shm/origin.snap";
	}
	keep('live-1024', @lines);
	my $of = sub { my ($number, $from) = @_; [map { $_->[$number] } @$from] };
	my @idle = map { median(map { $_->[0]{gap} } @$_) } \@ours, $qemu ? \@qemus : ();
	row('gap without a snapshot, 1 GiB', ours => ms($idle[0]), $qemu ? (qemu => ms($idle[1])) : (),
		value => $idle[0] / 1000, unit => ' ms');
	my $theirs = $of->(1, \@qemus);
	stopped('gap in the ' . nth($_) . ' live snapshot, 1 GiB', 'gap', $of->($_, \@ours), $theirs) for 1, 2, SNAPSHOTS;
	stopped('gap in the ' . nth($_) . ' of a restored machine, 1 GiB', 'gap', $of->($_, \@restored), $theirs) for 1, 2;
	stopped('stop that the reply says, ' . nth($_) . ' live snapshot, 1 GiB', 'stopped', $of->($_, \@ours), $theirs)
	    for 1, 2, SNAPSHOTS;
	return left_out('live snapshot in all, 1 GiB', 'no QEMU') if !$qemu;
	my ($total, $ours, $faster) =
	    pairs(map { "$theirs->[$_]{taken}\t$ours[$_][1]{taken}" } 0 .. $#ours);
	row('live snapshot in all, 1 GiB', ours => ms($ours), qemu => ms($total), value => $faster, at_least => 2);
}

# Other sizes, a machine's first snapshot each time.
sub sizes {
	for my $mib (16, 256, 8192) {
		my $rounds = $mib > 1024 && MACHINES > 3 ? 3 : MACHINES;
		my $figure = 'gap in the 1st live snapshot, ' . ($mib < 1024 ? "$mib MiB" : $mib / 1024 . ' GiB');
		my (@lines, @ours, @qemus);
		if (!room(2 * $mib * MIB + GIB)) {
			left_out($figure, 'too little memory here');
			next;
		}
		for my $machine (1 .. $rounds) {
			progress("live snapshot, $mib MiB, machine $machine");
			my $guest = Guest::ours($mib * MIB);
			my @all = snapshots($guest, 1);
			$guest->end;
			unlink $snap;
			push @ours, $all[1];
			push @lines, rounds_of('ours', $machine, @all);
			next if !$qemu;
			progress("background-snapshot, $mib MiB, machine $machine");
			@all = migrated($mib * MIB, 'background-snapshot');
			push @qemus, $all[1];
			push @lines, rounds_of('background-snapshot', $machine, @all);
		}
		keep("live-$mib", @lines);
		stopped($figure, 'gap', \@ours, \@qemus);
	}
}

# The other way in which QEMU writes memory to a file.
sub migrate {
	return left_out('gap in QEMU migrate to a file, 1 GiB', 'no QEMU') if !$qemu;
	my (@lines, @all);
	for my $machine (1 .. 3) {
		progress("migrate, 1 GiB, machine $machine");
		my @one = migrated(GIB, '');
		push @all, $one[1];
		push @lines, rounds_of('migrate', $machine, @one);
	}
	keep('live-migrate', @lines);
	for (['gap in QEMU migrate to a file, 1 GiB', 'gap'], ['QEMU migrate to a file in all, 1 GiB', 'taken']) {
		my ($figure, $key) = @$_;
		my $median = median(map { $_->{$key} } @all);
		row($figure, qemu => ms($median), value => $median / 1000, unit => ' ms');
	}
}

1;
