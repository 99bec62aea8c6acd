#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# An NVMe disk with Debian's stock kernel.
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
initrd('initrd', <<'END', modules => [qw(nvme)]);
sleep 1
for d in /sys/class/nvme/*; do echo "nvme ${d##*/} $(cat $d/serial) $(cat $d/model) $(cat $d/firmware_rev) $(cat $d/state) $(cat $d/subsysnqn)"; done
cat /sys/block/nvme0n1/queue/discard_max_bytes /sys/block/nvme0n1/queue/write_zeroes_max_bytes /sys/block/nvme0n1/queue/max_hw_sectors_kb /sys/block/nvme0n1/queue/write_cache
for i in 1 2 3 4 5 6 7 8; do dd if=/dev/nvme0n1 bs=4k count=256 skip=$((i * 256)) iflag=direct 2>/dev/null | sha1sum | sed "s/^/part $i /"; done
grep nvme /proc/interrupts | sed 's/^/irq /'
dmesg -r | grep -i nvme
dmesg -r | grep -i '^<[0-4]>.*\(pci\|acpi\|nvme\|msi\|irq\)' | sed 's/^/warning /'
END
config('x.ini', { cpus => 2 }, "\n[device disk0]\nplugin = nvme\npath = here/disk.img\nreadonly = yes\n");
my ($out, $err) = inside('nvme, a snapshot', 400, <<"END");
$minivmm -c x.ini --log warn --until 'output:serial0:part 3' --save x.snap || exit
$minivmm -r x.snap --log warn --trust
END
is(join('', $out =~ /^part .*\n/mg), join('', map { "part $_ " . sha1_hex(substr $bytes, $_ << 20, 1 << 20) . "  -\n" } 1 .. 8),
    'the disk, through a snapshot');
is(join('', $out =~ /^warning .*\n/mg), '', 'the kernel does not warn about PCI, ACPI and interrupts');
diag($out, $err);
done_testing;
