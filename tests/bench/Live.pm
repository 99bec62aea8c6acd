# SPDX-License-Identifier: BSD-2-Clause
# Snapshots of a machine that runs on, ours and QEMU's by turns.
package Live;

use strict;
use warnings;

use Bench;
use Guest;
use Time::HiRes qw(sleep);

use constant {
	MACHINES => $ENV{MACHINES} // 10,    # a figure's rounds, where a machine gives one of each; the environment may say fewer
	SNAPSHOTS => 10,    # of one machine
};

sub nth { (qw(0th 1st 2nd 3rd))[$_[0]] // "$_[0]th" }

# Two rows: the median and the 99th percentile.
sub stopped {
	my ($what, $target, @us) = @_;
	for (['median', median(@us)], ['p99', percentile(0.99, @us)]) {
		my ($which, $value) = @$_;
		row("stopped, $what, $which", ours => ms($value), value => $value / 1000, compare => 'at most',
			target => $target, unit => ' ms');
	}
}

# A machine from its start to its end: what its snapshots said, and QEMU's.
sub ours_once {
	my ($size, $snapshots) = @_;
	my $guest = Guest::ours($size, 100);
	my @replies;
	$guest->ready(1);
	for my $number (1 .. $snapshots) {
		push @replies, $guest->ctl("snapshot $shm/live.snap full");
		unlink "$shm/live.snap";
		sleep 0.2;
	}
	$guest->end;
	return @replies;
}

sub qemu_once {
	my ($size, $how) = @_;
	my $guest = Guest::qemu($size, 100);
	$guest->ready(1);
	my @us = $guest->migrate("$shm/qemu.snap", $how);
	unlink "$shm/qemu.snap";
	$guest->end;
	return @us;
}

# 1 GiB: stopped and in all, beside background-snapshot.
sub live {
	my (@lines, %stopped, @in_all, @qemu);
	for my $machine (1 .. MACHINES) {
		progress("live snapshots, 1 GiB, machine $machine");
		my @replies = ours_once(GIB, SNAPSHOTS);
		for my $number (1 .. SNAPSHOTS) {
			my $reply = $replies[$number - 1];
			push @{ $stopped{$number} }, $reply->{stopped_us};
			push @lines, join "\t", 'ours', $machine, $number, $reply->{stopped_us}, $reply->{duration_ms} * 1000,
				$reply->{rounds}, $reply->{pages_on_demand};
		}
		next if !$qemu;
		progress("background-snapshot, 1 GiB, machine $machine");
		my ($down, $total) = qemu_once(GIB, 'background-snapshot');
		push @lines, join "\t", 'background-snapshot', $machine, 1, $down, $total;
		push @qemu, $down;
		push @in_all, join "\t", $total, $replies[0]{duration_ms} * 1000;
	}
	keep('live-1024', @lines);
	stopped("1 GiB, " . nth($_) . ' live snapshot', $_ == 1 ? 0.5 : 1.5, @{ $stopped{$_} }) for 1, 2, 10;
	return left_out('stopped, 1 GiB, by QEMU background-snapshot', 'no QEMU') if !$qemu;
	for my $number (1, 2, 10) {
		my ($ours, $theirs) = (median(@{ $stopped{$number} }), median(@qemu));
		row('stopped, 1 GiB, ' . nth($number) . ' by QEMU background-snapshot', ours => ms($ours), qemu => ms($theirs),
			ratio => times_($ours / $theirs), value => $ours / $theirs, compare => 'at most', target => 1);
	}
	my ($total, $ours, $faster) = pairs(@in_all);
	row('live snapshot in all, 1 GiB', ours => ms($ours), qemu => ms($total), ratio => times_($faster),
		value => $faster, compare => 'at least', target => 2);
}

# Other sizes, a machine's first snapshot each time: for the plot, and 8 GiB has a target.
sub sizes {
	for my $mib (16, 256, 8192) {
		my $rounds = $mib > 1024 ? 3 : MACHINES;
		my (@lines, @us);
		if (!room(2 * $mib * MIB + GIB)) {
			left_out("stopped, $mib MiB, 1st live snapshot", 'too little memory here');
			next;
		}
		for my $machine (1 .. $rounds) {
			progress("live snapshot, $mib MiB, machine $machine");
			my ($reply) = ours_once($mib * MIB, 1);
			push @us, $reply->{stopped_us};
			push @lines, join "\t", 'ours', $machine, 1, $reply->{stopped_us}, $reply->{duration_ms} * 1000,
				$reply->{rounds}, $reply->{pages_on_demand};
			next if !$qemu;
			progress("background-snapshot, $mib MiB, machine $machine");
			push @lines, join "\t", 'background-snapshot', $machine, 1, qemu_once($mib * MIB, 'background-snapshot');
		}
		keep("live-$mib", @lines);
		stopped('8 GiB, 1st live snapshot', 2, @us) if $mib == 8192;
	}
}

# The other way in which QEMU gets memory to a file.
sub migrate {
	return left_out('stopped, 1 GiB, QEMU migrate', 'no QEMU') if !$qemu;
	my @lines;
	for my $machine (1 .. 3) {
		progress("migrate, 1 GiB, machine $machine");
		push @lines, join "\t", qemu_once(GIB, '');
	}
	keep('live-migrate', @lines);
	my ($down, $total) = pairs(@lines);
	row('stopped, 1 GiB, QEMU migrate to a file', ours => '-', qemu => ms($down));
	row('migrate to a file in all, 1 GiB', ours => '-', qemu => ms($total));
}

# Of a machine whose memory is a private mapping of a file.
sub restored {
	my (@lines, %stopped);
	my $guest = Guest::ours(GIB, 100);
	$guest->ready(1);
	$guest->ctl("snapshot $shm/origin.snap full");
	$guest->end;
	for my $machine (1 .. MACHINES) {
		progress("live snapshots of a restored machine, $machine");
		$guest = Guest::restored("$shm/origin.snap");
		$guest->ready(1);
		for my $number (1, 2) {
			my $reply = $guest->ctl("snapshot $shm/live.snap full");
			push @{ $stopped{$number} }, $reply->{stopped_us};
			push @lines, join "\t", 'ours', $machine, $number, $reply->{stopped_us}, $reply->{duration_ms} * 1000,
				$reply->{rounds}, $reply->{pages_on_demand};
			unlink "$shm/live.snap";
			sleep 0.2;
		}
		$guest->end;
	}
	unlink "$shm/origin.snap";
	keep('live-restored', @lines);
	stopped('1 GiB, ' . nth($_) . ' of a restored machine', 3, @{ $stopped{$_} }) for 1, 2;
}

# The longest time, in microseconds, between two ticks of which the first came in a span.
sub gap {
	my ($from, $to, @ticks) = @_;
	my $longest = 0;
	for my $i (0 .. $#ticks - 1) {
		my $gap = $ticks[$i + 1] - $ticks[$i];
		$longest = $gap if $ticks[$i + 1] >= $from && $ticks[$i] <= $to && $gap > $longest;
	}
	return $longest * 1e6;
}

# What the guest itself sees, at 500 ticks a second, 2 ms apart.
sub ticks {
	my %way = (
		ours => sub { my $guest = Guest::ours(GIB, 500); ($guest, sub { $guest->ctl("snapshot $shm/live.snap full") }) },
		QEMU => sub {
			my $guest = Guest::qemu(GIB, 500);
			($guest, sub { $guest->migrate("$shm/live.snap", 'background-snapshot') });
		});
	my (@lines, %with, %without);
	for my $round (1 .. 5) {
		for my $who ('ours', $qemu ? 'QEMU' : ()) {
			progress("ticks, $who, round $round");
			my ($guest, $snapshot) = $way{$who}->();
			$guest->ready(0.5);
			my $start = now();
			sleep 2;
			my $before = now();
			$snapshot->();
			my $after = now();
			sleep 0.1;
			unlink "$shm/live.snap";
			my @ticks = $guest->end;
			push @{ $without{$who} }, gap($start, $before, @ticks);
			push @{ $with{$who} }, gap($before, $after, @ticks);
			push @lines, sprintf "%s\t%.0f\t%.0f", $who, $without{$who}[-1], $with{$who}[-1];
		}
	}
	keep('ticks', @lines);
	for (['without a snapshot', \%without], ['during a live snapshot', \%with]) {
		my ($what, $gaps) = @$_;
		row("longest gap between ticks 2 ms apart, $what", ours => ms(median(@{ $gaps->{ours} })),
			$qemu ? (qemu => ms(median(@{ $gaps->{QEMU} }))) : ());
	}
}

1;
