#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# PCI with Debian's stock kernel: virtio devices and edu in slots, their BARs and messages, a
# snapshot while a disk is read, and no warning of the kernel.
use v5.14;
use warnings;
use lib 'tests/lib';

use Digest::SHA 'sha1_hex';
use Minivmm;
use Stock;
use Test::More;

kernel();
open my $random, '<', '/dev/urandom' or die;
read $random, my $bytes, 16 << 20;
spew('here/disk.img', $bytes);
initrd('initrd', <<'END', modules => [qw(virtio_pci virtio_blk virtio_console virtio_rng)]);
for d in /sys/bus/pci/devices/*; do echo "pci ${d##*/} $(cat $d/vendor $d/device $d/class | tr '\n' ' ')"; done
exec 3<>/dev/hvc0
echo 'to hvc0' >&3
echo "random: $(dd if=/dev/hwrng bs=32 count=1 2>/dev/null | wc -c)"
for i in 1 2 3 4 5 6 7 8; do dd if=/dev/vda bs=4k count=256 skip=$((i * 256)) iflag=direct 2>/dev/null | sha1sum | sed "s/^/part $i /"; done
grep virtio /proc/interrupts | sed 's/^/irq /'
dmesg -r | grep -i '^<[0-4]>.*\(pci\|acpi\|virtio\|msi\|irq\)' | sed 's/^/warning /'
END
config('x.ini', { cpus => 2 }, device('blk0', 'virtio-blk', path => 'here/disk.img', readonly => 'yes', slot => 3),
    device('rng0', 'virtio-rng', slot => 'next'), device('hvc0', 'virtio-console', output => 'file:hvc.out', slot => 'next'),
    "\n[device edu0]\nplugin = edu\n");
my ($out, $err) = inside('virtio-pci, a snapshot', 400, <<"END");
$minivmm -c x.ini --log warn --until 'output:serial0:part 3' --save x.snap || exit
$minivmm -r x.snap --log warn --trust
cat hvc.out
END
is(join('', $out =~ /^part .*\n/mg), join('', map { "part $_ " . sha1_hex(substr $bytes, $_ << 20, 1 << 20) . "  -\n" } 1 .. 8),
    'the disk, through a snapshot');
is(
    join('', $out =~ /^pci (.*) \n/mg),
    join('', '0000:00:00.0 0x1b36 0x0008 0x060000', '0000:00:01.0 0x1af4 0x1044 0x00ff00', '0000:00:02.0 0x1af4 0x1043 0x078000',
        '0000:00:03.0 0x1af4 0x1042 0x010000', '0000:00:04.0 0x1234 0x11e8 0x00ff00'),
    'the devices'
);
like($out, qr/^random: 32$/m, 'random bytes');
like($out, qr/^to hvc0$/m, 'output by hvc0');
like($out, qr/^irq .*PCI-MSI.*virtio\d+-req\.0$/m, 'the disk interrupts by messages');
is(join('', $out =~ /^warning .*\n/mg), '', 'the kernel does not warn about PCI, ACPI and interrupts');
diag($out, $err) if !Test::More->builder->is_passing;
done_testing;
