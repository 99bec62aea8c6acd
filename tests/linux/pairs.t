#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Two devices of each kind on PCI, all in one machine, with Debian's stock kernel: each does work in
# each round. A live full snapshot and a live diff while they work, restored; and resets in place.
# Linux drives one balloon and one vsock device. Some devices are functions of one slot.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Stock;
use Test::More;

kernel();
my $headers = fetch('linux-headers-cloud-amd64');
mkdir 'driver';
for my $file (qw(edu.c Makefile)) { spew("driver/$file", slurp("$top/guests/linux/$file")) }
my ($status, $out, $err) = run([ 'make', '-C', 'driver', "KERNEL=$headers/build" ], timeout => 200);
is($status, 0, "edu's driver is built") or diag($out, $err);

# A part of the load prints its name when it is right.
initrd('initrd', <<'END', files => ['driver/edu.ko'], modules => [qw(virtio_pci virtio_blk nvme virtio_net virtio_console virtio_rng virtio_balloon vmw_vsock_virtio_transport)]);
until [ -b /dev/nvme0n1 ] && [ -b /dev/nvme1n1 ]; do usleep 10000; done
for i in 0 1; do
	ip link set eth$i up
	ip addr add 10.0.2.1$((i + 5))/24 dev eth$i
done
disk() {
	yes "round $1 of $2" | head -c 131072 >/tmp/part-$2
	dd if=/tmp/part-$2 of=/dev/$2 bs=32k seek=$((4 * ($1 % 16))) oflag=direct 2>/dev/null
	dd if=/dev/$2 bs=32k skip=$((4 * ($1 % 16))) count=4 iflag=direct 2>/dev/null | cmp - /tmp/part-$2 && echo $2
}
card() { ping -c 1 -W 20 -I $1 10.0.2.2 | grep -q '1 packets received' && echo $1; }
random() {
	for i in 0 1; do
		echo virtio_rng.$i >/sys/class/misc/hw_random/rng_current
		[ $(dd if=/dev/hwrng bs=32 count=1 2>/dev/null | wc -c) = 32 ] && echo rng$i
	done
}
edu() { echo $(($1 % 12 + 1)) >$2/factorial && [ $(cat $2/factorial) = $(f=1; i=$(($1 % 12 + 1)); while [ $i -gt 1 ]; do f=$((f * i)); i=$((i - 1)); done; echo $f) ] && echo edu-${2##*:}; }
given() { awk '/^balloon_inflate/ { i = $2 } /^balloon_deflate/ { d = $2 } END { print i - d }' /proc/vmstat; }
until [ $(given) = 4096 ]; do usleep 100000; done
echo "drivers: $(for d in /sys/bus/pci/devices/*/driver; do basename $(readlink $d); done | sort | uniq -c | tr -s ' \n' ' ')"
(read line </dev/ttyS0; : >/tmp/stop) &
round=0 left=2
while [ $left -gt 0 ]; do
	round=$((round + 1))
	rm -f /tmp/done-*
	for d in vda vdb nvme0n1 nvme1n1; do disk $round $d >/tmp/done-$d & done
	for c in eth0 eth1; do card $c >/tmp/done-$c & done
	random >/tmp/done-rng &
	for e in /sys/bus/pci/drivers/edu/0000*; do edu $round $e >/tmp/done-edu-${e##*:} & done
	for i in 0 1; do echo "round $round" >/dev/hvc$i && echo hvc$i >/tmp/done-hvc$i & done
	wait %2 %3 %4 %5 %6 %7 %8 %9 %10 %11 %12 2>/dev/null
	echo "round $round: $(cat /tmp/done-* | sort | tr '\n' ' ')balloon $(given)"
	[ ! -e /tmp/stop ] || left=$((left - 1))
done
dmesg -r | grep '^<[0-4]>'
echo 'that was it'
END
my @devices = map {
    my $i = $_;
    (device("blk$i", 'virtio-blk', path => "blk$i.img", slot => 'next'), device("nvme$i", 'nvme', path => "nvme$i.img", slot => "20.$i"),
        device("net$i", 'virtio-net', backend => 'user', mac => "52:54:00:12:34:5$i", slot => $i ? 'next' : '21.0'),
        device("rng$i", 'virtio-rng', slot => 'next'), device("hvc$i", 'virtio-console', output => "file:hvc$i.out", slot => 'next'),
        device("edu$i", 'edu', slot => "22.@{[ 7 * $i ]}"))
} 0, 1;
config('x.ini', { cpus => 2, serial => "input = stdio\noutput = stdio\n" }, @devices,
    device('balloon0', 'virtio-balloon', target => '16M', slot => 'next'), device('vsock0', 'virtio-vsock', path => 'v', slot => '21.3'));
($out, $err) = inside('two of each kind', 700, <<"END");
truncate -s 4M blk0.img blk1.img nvme0.img nvme1.img
mkfifo go
(
	exec 3>go
	await 'round 2:' out
	$minivmm ctl vm.sock snapshot full.snap live >/dev/null || echo 'no snapshot'
	await 'round 4:' out
	$minivmm ctl vm.sock snapshot diff.snap diff live >/dev/null || echo 'no diff'
	await 'round 6:' out
	echo >&3
	await 'that was it' out
) &
$minivmm -c x.ini --log error --set control.socket=vm.sock <go >out; echo "original: \$?"
wait
cat out
for snap in full diff; do
	echo "-- \$snap"
	(await 'round [0-9]*:' \$snap.out; await 'round [0-9]*:.*' \$snap.out; echo) | $minivmm -r \$snap.snap --trust --log error >\$snap.out; echo "ends: \$?"
	cat \$snap.out
done
echo >line
echo '-- batch'
$minivmm batch -r diff.snap --trust --check -j 1 --input serial0 line line line >batch; echo "batch: \$?, \$(grep -c 'that was it' batch)"
cat batch
END
my $right = 'balloon 4096';
$right = join(' ', sort(map({ ("vd$_", "nvme${\ ($_ eq 'a' ? 0 : 1)}n1") } 'a', 'b'), map({ ("eth$_", "rng$_", "hvc$_") } 0, 1), 'edu-16.0', 'edu-16.7')) . " $right";
my ($original, %then) = split /^-- (\w+)\n/m, $out;
shows($original, qr/^original: 0\n/m, 'the machine ends');
is(($original =~ /^drivers: *(.*?) *$/m)[0] // '', '2 edu 2 nvme 10 virtio-pci', 'each device has a driver');
for my $said ([ original => $original, 8 ], map { [ $_ => $then{$_} // '', 2 ] } qw(full diff)) {
    my ($name, $text, $least) = @$said;
    my @rounds = $text =~ /^round \d+: (.*?) ?$/mg;
    cmp_ok(scalar @rounds, '>=', $least, "$name: rounds") or diag($text, $err);
    is(join("\n", grep { $_ ne $right } @rounds), '', "$name: each device does its work in each round");
    shows($text, qr/^that was it$/m, "$name: to the end");
    unlike($text, qr/soft lockup|rcu.*stall|nobody cared|hung|timeout|timed out|I\/O error/i, "$name: the kernel reports no problem");
}
shows($then{batch} // '', qr/^batch: 0, 3$/m, 'three runs with complete resets');
diag($out, $err) if !Test::More->builder->is_passing;

done_testing;
