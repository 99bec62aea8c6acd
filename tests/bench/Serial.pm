# SPDX-License-Identifier: BSD-2-Clause
# A byte to a serial port now and then, beside a bare loop around KVM_RUN that writes it to stdout.
package Serial;

use strict;
use warnings;

use Bench;
use Guest;

use constant { ROUNDS => $ENV{ROUNDS} // 20, BYTES => 2000, PERIOD => 150 };    # microseconds

# The median microseconds from one KVM_RUN to the next.
sub once {
	my (@command) = @_;
	local $ENV{EXITS_FILE} = "$out/exits";
	local $ENV{LD_PRELOAD} = "$build/tests/preload/exits.so";
	my ($text) = lines(@command);
	length $text >= BYTES - 1 or die "bench: @command: too little output\n";
	my (@whole, $tick);
	for (split /\n/, slurp("$out/exits")) {
		my ($what, $user, $whole) = split /\t/;
		$tick = $user if $what eq 'tick';
		push @whole, $whole if $what eq 'exit';
	}
	return $tick * median_of_steps(@whole[BYTES / 10 .. $#whole]) / 1000;
}

sub bytes {
	assemble('byte');
	open my $ini, '>', "$out/byte.ini" or die "bench: $out/byte.ini: $!\n";
	print $ini "[vm]\nmemory_at = 0x1000\nmemory = 16K\n[boot]\nimage = byte.bin\n[cpu]\nmode = protected\n",
	    'rcx = ', BYTES, "\nrbp = ", int(Guest::pace() / Guest::PERIOD * PERIOD), "\nrbx = 0x3f8\n",
	    "[device serial0]\nplugin = serial\nport = 0x3f8\noutput = stdio\n";
	close $ini;
	lines($minivmm, '-c', "$out/byte.ini", '--set', $plugins, '--log', 'error', '--until', 'access:1', '--save',
		"$shm/byte.snap");
	lines("$tools/clone-speed", "$shm/byte.snap", "$shm/byte.state", 0, $plugins);
	my @sides = ([$minivmm, '-r', "$shm/byte.snap", '--set', $plugins],
		["$tools/bare-access", "$shm/byte.state", "$shm/byte.snap", 'stdout']);
	my @lines;
	for my $round (1 .. ROUNDS) {
		progress("bytes to a serial port, round $round");
		my @times;
		$times[$_] = once(@{ $sides[$_] }) for $round % 2 ? (0, 1) : (1, 0);
		push @lines, sprintf "%.2f\t%.2f", @times;
	}
	unlink "$shm/byte.snap", "$shm/byte.state";
	keep('serial', @lines);
	my ($ours, $bare) = pairs(@lines);
	my $more = median(map { my ($o, $b) = split /\t/; $o - $b } @lines);
	row('serial byte each 150 us, beyond a write(2)', ours => us($ours), limit => us($bare), value => $more, unit => ' us',
		at_most => 2);
}

1;
