#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# An NVMe disk with Debian's stock kernel: what the driver finds, a snapshot while it reads, with
# messages and with the pin; then live snapshots and clones.
use v5.14;
use warnings;
use lib 'tests/lib';

use Digest::SHA 'sha1_hex';
use Disks;
use Minivmm;
use Stock;
use Test::More;

kernel();
open my $random, '<', '/dev/urandom' or die;
read $random, my $bytes, 16 << 20;
spew('here/disk.img', $bytes);
initrd('initrd', <<'END', modules => [qw(nvme)]);
until [ -e /sys/block/nvme0n1 ]; do sleep 0.1; done
cd /sys/block/nvme0n1
echo "nvme" $(cat device/serial) $(cat device/model) $(cat device/state) $(cat ro size queue/max_hw_sectors_kb queue/write_cache)
dmesg | grep -o 'nvme0: .*queues'
cd /
for i in 1 2 3 4 5 6 7 8; do dd if=/dev/nvme0n1 bs=4k count=256 skip=$((i * 256)) iflag=direct 2>/dev/null | sha1sum | sed "s/^/part $i /"; done
dd if=/dev/zero of=/dev/nvme0n1 count=1 2>/dev/null && echo 'written'
grep nvme /proc/interrupts | sed 's/^/irq /'
dmesg -r | grep -i '^<[0-4]>.*\(pci\|acpi\|nvme\|msi\|irq\)' | sed 's/^/warning /'
END
for my $pin (0, 1) {
    my $how = $pin ? 'pin' : 'messages';
    config('x.ini', { cpus => 2, cmdline => $pin ? 'quiet pci=nomsi' : 'quiet' },
        device('disk0', 'nvme', path => 'here/disk.img', readonly => 'yes', slot => 'next', io => $pin ? 'threads' : 'sync'));
    my ($out, $err) = inside("nvme, $how", 400, <<"END");
$minivmm -c x.ini --log warn --until 'output:serial0:part 3' --save x.snap || exit
$minivmm -r x.snap --log warn --trust
$minivmm inspect x.snap | grep -a '^ *shadow = '
END
    is(join('', $out =~ /^part .*\n/mg), join('', map { "part $_ " . sha1_hex(substr $bytes, $_ << 20, 1 << 20) . "  -\n" } 1 .. 8),
        "$how: the disk, through a snapshot");
    like($out, qr/^nvme disk0 minivmm NVMe live 1 32768 512 write back$/m, "$how: the driver finds it");
    like($out, $pin ? qr/^irq .*IO-APIC.*nvme0q0, nvme0q1$/m : qr/^irq .*PCI-MSI.*nvme0q2$/m, "$how: interrupts");
    like($out, qr/^ +shadow = 0x[1-9a-f]/m, "$how: doorbells in memory");
    unlike($out, qr/^written$/m, "$how: it is read-only");
    is(join('', $out =~ /^warning .*\n/mg), '', "$how: the kernel does not warn about PCI, ACPI, NVMe and interrupts");
    diag($out, $err) if !Test::More->builder->is_passing;
}
clones('nvme', ios => [qw(sync io_uring)], keys => { slot => 'next' }, modules => [qw(virtio_mmio virtio_console nvme)],
    interrupts => 'nvme[0-9]+q[1-9]');
done_testing;
