#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A virtio network card with Debian's stock kernel. User mode: ping, a file over TCP from a server
# on the host's loopback, and a host port that is forwarded to the guest, all of them also after a
# restore: an open connection ends, and new ones work. A tap: ping and TCP with the offloads of both
# sides.
use v5.14;
use warnings;
use lib 'tests/lib';

use Digest::SHA 'sha1_hex';
use Minivmm;
use Stock;
use Test::More;

kernel();
my @modules = (modules => [qw(virtio_mmio virtio_net)]);
sub card { return device('net0', 'virtio-net', mac => '52:54:00:12:34:56', @_) }

open my $random, '<', '/dev/urandom' or die;
read $random, my $bytes, 4 << 20;
spew('here/file', $bytes);
my $sum = sha1_hex($bytes);

# The server runs busybox's commands.
my $tools = "b=$kernel/bin/busybox\n\$b ip link set lo up\n";
my $up = <<'END';
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
END

initrd('initrd', <<"END" . <<'END', @modules);
$up
END
echo "mac: $(cat /sys/class/net/eth0/address), link: $(cat /sys/class/net/eth0/carrier)"
ping -c 3 -W 5 10.0.2.2 | grep received
echo "fetched: $(wget -q -O - http://10.0.2.2:8080/file | sha1sum)"
udhcpc -i eth0 -n -q -f -s /bin/true 2>&1 | grep obtained
echo 'ready'
echo 'from the guest' | nc -l -p 80
END
config('x.ini', {}, card(backend => 'user', forward => 'tcp:127.0.0.1:2280:80'));
my ($out) = inside('user', 150, <<"END");
$tools
\$b httpd -p 127.0.0.1:8080 -h here
$minivmm -c x.ini --log error >here/out &
pid=\$!
until grep -q ready here/out || ! kill -0 \$pid; do sleep 0.5; done
until grep -q guest here/page || ! kill -0 \$pid; do \$b nc 127.0.0.1 2280 </dev/null >here/page; done
cat here/page
wait \$pid
status=\$?
cat here/out
exit \$status
END
like($out, qr/^mac: 52:54:00:12:34:56, link: 1$/m, 'user: the card');
like($out, qr/^3 packets transmitted, 3 packets received/m, 'user: ping');
like($out, qr/^fetched: $sum  -$/m, 'user: a file');
like($out, qr/obtained/m, 'user: an address by DHCP');
like($out, qr/^from the guest$/m, 'user: a forwarded port');

# A connection is open when the snapshot is taken. The restored guest learns that it has ended,
# although it only listens; new connections work.
initrd('initrd', <<"END" . <<'END', @modules);
$up
END
echo "begun: $(wget -q -O - http://10.0.2.2:8080/file | sha1sum)"
nc 10.0.2.2 8081
echo 'the connection has ended'
ping -c 1 -W 5 10.0.2.2 | grep received
echo "fetched: $(wget -q -O - http://10.0.2.2:8080/file | sha1sum)"
END
config('x.ini', {}, card(backend => 'user'));
($out) = inside('user, restored', 150, <<"END");
$tools
\$b httpd -p 127.0.0.1:8080 -h here
(while :; do echo tick; sleep 0.3; done) | \$b nc -l -p 8081 &
$minivmm -c x.ini --log error --until output:serial0:tick:3 --save here/x.snap || exit
echo; echo '--'
$minivmm -r here/x.snap --log error && exit 99
$minivmm -r here/x.snap --log error --trust
END
my ($before, $after) = split /^--\n/m, $out;
like($before // '', qr/^begun: $sum  -\n(?:tick\n){3}\Z/m, 'user: up to the snapshot');
like($after // '', qr/\A\n?(?:tick\n)*the connection has ended$/m, 'user, restored: the old connection ends');
like($after // '', qr/^1 packets transmitted, 1 packets received/m, 'user, restored: ping');
like($after // '', qr/^fetched: $sum  -$/m, 'user, restored: a file');

# A tap: large packets pass unsplit in both directions, and the kernel completes their checksums.
initrd('initrd', <<'END', @modules);
ip link set eth0 up
ip addr add 10.9.0.2/24 dev eth0
echo "features: $(cat /sys/bus/virtio/devices/virtio0/features)"
ping -c 3 -W 5 10.9.0.1 | grep received
wget -q -O /tmp/file http://10.9.0.1:8080/file
echo "fetched: $(sha1sum </tmp/file)"
echo "packets: $(($(cat /sys/class/net/eth0/statistics/rx_packets) < 2000))"
nc 10.9.0.1 8082 </tmp/file
until wget -q -O /dev/null http://10.9.0.1:8080/done; do usleep 200000; done
END
config('x.ini', {}, card(backend => 'tap:tap9'));
($out) = inside('tap', 150, <<"END");
$tools
\$b httpd -p 8080 -h here
# busybox's nc ends when its peer shuts down: this one sends nothing and stays.
mkfifo silence && sleep 300 >silence &
(until [ -p silence ]; do sleep 0.1; done; \$b nc -l -p 8082 <silence >here/back; : >here/done) &
(until \$b ip addr add 10.9.0.1/24 dev tap9 2>here/ip; do sleep 0.2; done; \$b ip link set tap9 up) &
exec $minivmm -c x.ini --log error
END
my ($features) = $out =~ /^features: ([01]+)$/m;
is(join(' ', grep { substr($features // '', $_, 1) } 0 .. 31), '0 1 5 7 8 11 12 15 16 28 29', 'tap: features');
like($out, qr/^3 packets transmitted, 3 packets received/m, 'tap: ping');
like($out, qr/^fetched: $sum  -$/m, 'tap: a file to the guest');
like($out, qr/^packets: 1$/m, 'tap: in large packets');
is(sha1_hex(slurp('here/back')), $sum, 'tap: a file from the guest');

# Several pairs of queues: the driver uses one for each vCPU, also after a restore.
spew('here/part', substr $bytes, 0, 1 << 18);
my $part = sha1_hex(slurp('here/part'));
initrd('initrd', <<'END', modules => [ 'virtio_mmio', 'virtio_net' ]);
ip link set eth0 up
ip addr add 10.9.0.2/24 dev eth0
echo "features: $(cat /sys/bus/virtio/devices/virtio0/features)"
for round in 1 2; do
	echo "queues: $(ls /sys/class/net/eth0/queues | tr '\n' ' ')"
	for i in 1 2 3 4; do (wget -q -O - http://10.9.0.1:8080/part | sha1sum >/tmp/$i) & done
	wait
	echo "fetched: $(cat /tmp/[1-4] | sort -u)"
	grep virtio0 /proc/interrupts | wc -l
	echo "round $round"
done
END
config('x.ini', { cpus => 2 }, card(backend => 'tap:tap9', queues => 3));
($out) = inside('several queues', 240, <<"END");
$tools
\$b httpd -p 8080 -h here
up() {
	# The guest has the address of the earlier card in its neighbour table.
	until \$b ip link set tap9 address 52:54:00:00:00:09 2>here/ip; do sleep 0.2; done
	\$b ip addr add 10.9.0.1/24 dev tap9 && \$b ip link set tap9 up
}
up &
$minivmm -c x.ini --log error --until 'output:serial0:round 1' --save here/q.snap || exit
echo; echo '--'
up &
exec $minivmm -r here/q.snap --log error --trust
END
($before, $after) = split /^--\n/m, $out;
($features) = $before =~ /^features: ([01]+)$/m;
is(join(' ', grep { substr($features // '', $_, 1) } 0 .. 31), '0 1 5 7 8 11 12 15 16 17 22 28 29', 'several queues: features');
shows($before // '', qr/^queues: rx-0 rx-1 tx-0 tx-1 $/m, 'several queues: one for each vCPU');
shows($before // '', qr/^fetched: $part  -$/m, 'several queues: four files at once');
shows($after // '', qr/^queues: rx-0 rx-1 tx-0 tx-1 \nfetched: $part  -$/m, 'several queues: four files at once after a restore');

done_testing;
