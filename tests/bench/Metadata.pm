# SPDX-License-Identifier: BSD-2-Clause
# Metadata: what it costs to refuse a hostile snapshot, and how inspect and diff grow.
package Metadata;

use strict;
use warnings;

use Bench;

my @kinds;    # of costly metadata, without a limit of their size

# A snapshot whose first device's state, vCPU or machine has so many MiB of items.
sub costly {
	my ($kind, $mib) = @_;
	my $file = "$shm/$kind-$mib.snap";
	lines("$tools/costly", 'make', $kind, $mib * MIB, "$shm/base.snap", $file) if !-e $file;
	return $file;
}

# CPU times of commands in microseconds, and peaks of their memory in KiB: a line for each round,
# with two columns for each command.
sub costs {
	my ($name, $rounds, @commands) = @_;
	my @lines = lines("$tools/costly", 'run', $rounds, map { ('--', @$_) } @commands);
	keep("metadata-$name", @lines);
	return map { [split /\t/] } @lines;
}

# The row with the greatest value.
sub worst {
	my ($figure, $at_most, @found) = @_;
	my ($most) = sort { $b->{value} <=> $a->{value} } @found;
	return row($figure, ours => "$most->{ours} ($most->{kind})", limit => $most->{limit}, value => $most->{value},
		at_most => $at_most);
}

sub found {
	my ($kind, $format, @pairs) = @_;
	my ($ours, $limit, $ratio) = pairs(map { "$_->[0]\t$_->[1]" } @pairs);
	return { kind => $kind, ours => $format->($ours), limit => $format->($limit), value => $ratio };
}

# A restore that refuses the file, by verify of a valid one of the same size and number of items.
sub refuse {
	my (@times, @peaks);
	for my $kind (@kinds) {
		progress("refusing 16 MiB of $kind");
		my @rounds = costs("refuse-$kind", 10, [112, $minivmm, '-r', costly($kind, 16)],
			[0, $minivmm, 'verify', costly('items', 16)]);
		push @times, found($kind, \&ms, map { [@$_[0, 2]] } @rounds);
		push @peaks, found($kind, \&kib, map { [@$_[1, 3]] } @rounds);
	}
	worst('refusing 16 MiB of metadata, time by reading', 3, @times);
	worst('refusing 16 MiB of metadata, peak memory by reading', 4, @peaks);
	return;
}

# diff compares the file with one whose items are in another order, if they have names.
sub grow {
	my %other = (items => 'reversed', reversed => 'items');
	for my $command ('inspect', 'diff') {
		my @steps = ([], []);
		for my $kind (@kinds) {
			progress("$command of $kind");
			my @rounds = costs("$command-$kind", 6, map {
				$command eq 'inspect' ? [0, $minivmm, 'inspect', costly($kind, $_)]
				    : [0, $minivmm, 'diff', costly($kind, $_), costly($other{$kind} // $kind, $_)]
			} 1, 4, 16);
			push @{ $steps[0] }, found($kind, \&ms, map { [@$_[2, 0]] } @rounds);
			push @{ $steps[1] }, found($kind, \&ms, map { [@$_[4, 2]] } @rounds);
		}
		worst("$command, metadata of 4 MiB by 1 MiB", 4.5, @{ $steps[0] });
		worst("$command, metadata of 16 MiB by 4 MiB", 4.5, @{ $steps[1] });
	}
	return;
}

sub metadata {
	open my $config, '>', "$shm/base.ini" or die "bench: $shm/base.ini: $!\n";
	print $config "[vm]\nmemory_at = 0x1000\nmemory = 16K\n\n[boot]\ncode = ba f8 03 b0 34 ee b0 35 ee f4\n\n"
	    . "[device serial0]\nplugin = serial\noutput = none\n";
	close $config;
	lines($minivmm, '-c', "$shm/base.ini", '--log', 'error', '--until', 'access:1', '--save', "$shm/base.snap");
	@kinds = lines("$tools/costly", 'kinds');
	refuse();
	grow();
	unlink glob "$shm/*.snap";
	return;
}

1;
