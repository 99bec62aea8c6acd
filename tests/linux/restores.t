#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# One live snapshot of a stock kernel under load on two vCPUs (a load like a compiler's, on a virtio
# and an NVMe disk, with timers), restored 50 times. Each time the guest's clock continues, every
# part of the load gets its interrupts and computes the right result, and the kernel reports no
# lock-up, stall or unstable clock. Then it is reset in place and compared.
use v5.14;
use warnings;
use lib 'tests/lib';

use Digest::SHA 'sha1_hex';
use Minivmm;
use Stock;
use Test::More;

my $times = 50;
kernel();

# Runs all parts at once, in rounds; prints the results, the clocks and the interrupt counts.
initrd('initrd', <<'END', modules => [qw(virtio_mmio virtio_blk nvme)]);
cpu() { seq $1 $(($1 + 299)) | sort -r | gzip | gunzip | sort -n | sha1sum | cut -c 1-40 >/tmp/cpu$1; }
disk() {
	yes "round $1 of $2" | head -c 262144 >/tmp/part-$2
	dd if=/tmp/part-$2 of=/dev/$2 bs=32k seek=$((8 * ($1 % 16))) oflag=direct 2>/dev/null
	dd if=/dev/$2 bs=32k skip=$((8 * ($1 % 16))) count=8 iflag=direct 2>/dev/null | cmp - /tmp/part-$2 && echo written >/tmp/disk-$2
}
timers() {
	n=0
	while [ $n -lt 40 ]; do usleep 4000; n=$((n + 1)); done
	echo $n >/tmp/timers
}
until [ -e /dev/nvme0n1 ]; do sleep 0.1; done
round=0
while :; do
	round=$((round + 1))
	rm -f /tmp/cpu* /tmp/disk-* /tmp/timers
	cpu 1000 & cpu 2000 & disk $round vda & disk $round nvme0n1 & timers &
	wait
	echo "round $round: $(cat /tmp/cpu1000 /tmp/cpu2000 /tmp/disk-vda /tmp/disk-nvme0n1 /tmp/timers | tr '\n' ' ')"
	echo "clocks: $(cut -d ' ' -f 1 /proc/uptime) $(date +%s)"
	echo "interrupts: $(awk '/LOC:/ { print $2, $3 } /virtio0/ { print $2 + $3 } /nvme0q[1-9]/ { n += $2 + $3 } END { print n }' /proc/interrupts | tr '\n' ' ')"
	dmesg -r | grep '^<[0-4]>' | grep -v 'hrtimer: interrupt took\|clocksource: Long readout' >/tmp/now
	[ -e /tmp/before ] && cmp /tmp/before /tmp/now >/dev/null || { [ ! -e /tmp/before ] || sed 's/^/amiss: /' /tmp/now; mv /tmp/now /tmp/before; }
	echo 'that was it'
done
END
config('x.ini', { cpus => 2 }, device('blk0', 'virtio-blk', path => 'disk.img', io => 'threads'),
    device('nvme0', 'nvme', path => 'nvme.img', slot => 'next'));
my ($out, $err) = inside("$times restores", 1500, <<"END");
truncate -s 4M disk.img nvme.img
(
	await 'round 3' out
	$minivmm ctl vm.sock snapshot x.snap >reply || echo 'no snapshot'
	taken=\$(grep -ac 'that was it' out)
	until [ \$(grep -ac 'that was it' out) -gt \$((taken + 2)) ]; do sleep 0.5; done
	$minivmm ctl vm.sock quit >reply
) &
$minivmm -c x.ini --log error --set control.socket=vm.sock >out; echo "original: \$?"
wait
cat out
n=0
while [ \$n -lt $times ]; do
	n=\$((n + 1))
	echo; echo "-- \$n"
	timeout 60 $minivmm -r x.snap --trust --log error --until 'output:serial0:that was it:2' && echo && echo 'ends well'
done
echo >line
$minivmm batch -r x.snap --trust --check -j 1 --timeout 3s --input serial0 line line line >batch
echo; echo "-- batch \$? \$(grep -c '"timeout"' batch)"
END

my @right = ((map { sha1_hex(join '', map { "$_\n" } $_ .. $_ + 299) } 1000, 2000), 'written', 'written', 40);

# The rounds in the guest's output: { number, results, uptime, date, interrupts => [] }
sub rounds {
    my ($text) = @_;
    my @rounds;
    while ($text =~ /^round (\d+): (.*?) ?\nclocks: (\S+) (\d+)\ninterrupts: (.*?) ?\n(?:amiss: .*\n)*that was it/mg) {
        push @rounds, { number => $1, results => $2, uptime => $3, date => $4, interrupts => [ split ' ', $5 ] };
    }
    return @rounds;
}

# The errors in a round, compared with an earlier round of the same machine or of the original.
sub amiss {
    my ($was, $is) = @_;
    my @amiss;
    push @amiss, "results $is->{results}" if $is->{results} ne "@right";
    my $passed = $is->{uptime} - $was->{uptime};
    push @amiss, "$passed s between rounds" if $passed <= 0 || $passed > 30 * ($is->{number} - $was->{number});
    push @amiss, 'a date that is not the clock' if abs($is->{date} - $was->{date} - $passed) > 2;
    my @more = map { $is->{interrupts}[$_] - $was->{interrupts}[$_] } 0 .. $#{ $is->{interrupts} };
    push @amiss, "interrupts, more by @more" if @more != 4 || grep { $_ <= 0 } @more;
    return @amiss;
}

my ($original, %restored) = split /^-- (\d+)\n/m, $out;
like($original, qr/^original: 0$/m, 'a live snapshot');
my @rounds = rounds($original);
cmp_ok(scalar @rounds, '>', 4, 'the original continues') or diag($out, $err);
is(join('; ', map { amiss(@rounds[ $_ - 1, $_ ]) } 1 .. $#rounds), '', "the original's rounds are right");
unlike($original, qr/^amiss:/m, "the original's kernel reports no problem");

# The original's last round before the first complete round of a restored machine.
my ($number) = sort { $a <=> $b } map { (rounds($restored{$_}))[0]{number} // () } keys %restored;
my ($last) = grep { $_->{number} == ($number // 0) - 1 } @rounds;
ok($last, 'the snapshot is in the middle of a round') or diag($out, $err);
my $bad = 0;
for my $n (1 .. $times) {
    my $said = $restored{$n} // '';
    my @now = rounds($said);
    # Two rounds; or the rest of a round and the next one.
    my $wanted = $said =~ /^round .*?that was it/ms && $` !~ /that was it/ ? 2 : 1;
    my @amiss = @now == $wanted && $last ? map({ amiss(@$_) } [ $last, $now[0] ], $wanted == 2 ? [ @now ] : ()) : scalar(@now) . ' rounds';
    push @amiss, "round $now[0]{number} first" if @now && $now[0]{number} != $number;
    push @amiss, 'its end' if $said !~ /^ends well$/m;
    push @amiss, 'complaints' if $said =~ /^amiss:|soft lockup|rcu.*stall|unstable|nobody cared|hung/mi;
    is(join('; ', @amiss), '', "restore $n") or $bad++ or diag($said);
}
like($out, qr/^-- batch 0 3$/m, 'three runs with complete resets') or diag($err);

done_testing;
