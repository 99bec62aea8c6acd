#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Debian's stock kernel in various machines: with each device alone, with all of them, and with two
# of a kind, which share an interrupt line. Each device is found and works, and there is no warning
# that QEMU's microvm does not have.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Stock;
use Test::More;

kernel();

# Lists the devices and uses them.
initrd('initrd', <<'END', modules => [qw(virtio_mmio virtio_blk virtio_net virtio_console virtio_rng virtio_balloon vmw_vsock_virtio_transport pvpanic-mmio)]);
for d in /sys/bus/virtio/devices/*; do [ -e $d ] && echo "virtio: $(basename $(readlink $d/driver)), $(cat $d/status)"; done
for d in /sys/block/vd*; do
	[ -e $d ] || continue
	d=${d##*/}
	echo "written to $d" | dd of=/dev/$d bs=512 conv=sync,fsync seek=100 2>/dev/null
	echo 1 >/proc/sys/vm/drop_caches
	dd if=/dev/$d bs=512 skip=100 count=1 2>/dev/null | head -n 1
done
for d in /sys/class/net/eth*; do
	[ -e $d ] || continue
	d=${d##*/}
	ip link set $d up
	ip addr add 10.0.2.15/24 dev $d
	ping -c 1 -W 5 -I $d 10.0.2.2 | sed -n "s/^1 packets.*, 1 packets received.*/$d: an answer/p"
	ip addr flush dev $d
done
for d in /dev/hvc? /dev/ttyS?; do [ -c $d ] && echo "out of ${d##*/}" >$d; done 2>/dev/null
[ -c /dev/hwrng ] && for d in $(cat /sys/class/misc/hw_random/rng_available); do
	echo $d >/sys/class/misc/hw_random/rng_current
	echo "$d: $(dd if=/dev/hwrng bs=32 count=1 2>/dev/null | wc -c) bytes"
done
for d in /sys/class/rtc/*/name /sys/bus/serio/devices/*/description; do [ -e $d ] && echo "is: $(sed 's/ 00:.*//' $d)"; done
for d in /sys/bus/platform/drivers/pvpanic-mmio/*/capability; do [ -e $d ] && echo "panics: $(cat $d)"; done
dmesg -r | grep '^<[0-4]>'
END

# The number-th device of each kind: its section, and the expected output. Each console has its own
# output file, since two CPUs may write to two consoles at the same time.
sub kind {
    my ($kind, $n, @more) = @_;
    my $up = ', 0x0000000f';
    my %kinds = (
        blk => sub { device("blk$n", 'virtio-blk', path => 'disk.img', temporary => 'yes', @more), "virtio: virtio_blk$up", 'written to vd' . qw(a b)[$n] },
        net => sub { device("net$n", 'virtio-net', backend => 'user', restrict => 'yes', @more), "virtio: virtio_net$up", "eth$n: an answer" },
        console => sub { device("hvc$n", 'virtio-console', output => "file:hvc$n.said", @more), "virtio: virtio_console$up", "out of hvc$n" },
        rng => sub { device("rng$n", 'virtio-rng', @more), "virtio: virtio_rng$up", "virtio_rng.$n: 32 bytes" },
        balloon => sub { device("balloon$n", 'virtio-balloon', @more), "virtio: virtio_balloon$up" },
        vsock => sub { device("vsock$n", 'virtio-vsock', path => 'v', @more), "virtio: vmw_vsock_virtio_transport$up" },
        serial => sub { "\n[device second$n]\nplugin = serial\nport = 0x2f8\nirq = 3\noutput = file:ttyS1.said\n", 'out of ttyS1' },
        rtc => sub { "\n[device rtc$n]\nplugin = rtc\nirq = 8\n", 'is: rtc_cmos' },
        keyboard => sub { "\n[device keyboard$n]\nplugin = i8042\nirq = 1\naux_irq = 12\n", 'is: i8042 KBD port', 'is: i8042 AUX port' },
        panic => sub { "\n[device panic$n]\nplugin = pvpanic\nport = 0x50" . (5 + $n) . "\n", 'panics: 3' },
        generation => sub { "\n[device generation$n]\nplugin = vmgenid\nirq = 15\n" },
    );
    return $kinds{$kind}->();
}

my @kinds = qw(balloon blk console generation keyboard net panic rng rtc serial vsock);
my %machines = map { ("$_ alone" => { devices => [ [ $_, 0 ] ] }) } @kinds;
$machines{'all together'} = { cpus => 2, devices => [ map { [ $_, 0 ] } @kinds ] };
# Two of a kind share a line. Linux does not use a second balloon, clock, keyboard controller or
# vsock.
$machines{'two of a kind'} = { cpus => 2, devices => [ map { ([ $_, 0, irq => 16 ], [ $_, 1, irq => 16 ]) } qw(blk console net panic rng) ] };
my @machines = sort keys %machines;

my $script = "truncate -s 1M disk.img\n";
for my $m (0 .. $#machines) {
    my $is = $machines{ $machines[$m] };
    my @devices = map { [ kind(@$_) ] } @{ $is->{devices} };
    config("$m.ini", { cpus => $is->{cpus} // 1 }, map { $_->[0] } @devices);
    $is->{seen} = [ map { @$_[1 .. $#$_] } @devices ];
    $script .= "echo; echo '-- $m'; rm -f *.said\n"
      . "$minivmm -c $m.ini --log error 2>errors.said; echo \"ends: \$?\"; cat *.said\n";
}
$script .= "echo; echo '-- theirs'\n" . microvm('initrd', 1, '-device virtio-blk-device,drive=d -drive if=none,id=d,file=disk.img,format=raw',
    '-device virtio-net-device,netdev=n -netdev user,id=n -device virtio-serial-device -device virtconsole',
    '-device virtio-rng-device -device virtio-balloon-device');
my ($out) = inside('machines', 900, $script);
my (undef, %said) = split /^-- (\w+)\n/m, $out;
shows($said{theirs} // '', qr/^virtio: virtio_blk/m, "QEMU's microvm boots the same kernel");
for my $m (0 .. $#machines) {
    my $said = $said{$m} // '';
    my %count;
    $count{$_}++ for @{ $machines{ $machines[$m] }{seen} };
    $count{'ends: 0'} = 1;
    my @missing = grep { my $line = $_; (() = $said =~ /^\Q$line\E$/mg) != $count{$_} } sort keys %count;
    is(join(', ', @missing), '', "$machines[$m]: found and works") or diag($said);
    is(news($said, $said{theirs} // ''), '', "$machines[$m]: no warning that a microvm does not have");
}

done_testing;
