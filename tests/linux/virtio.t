#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Virtio devices with Debian's stock kernel: a disk that is written and read, hvc0 in both
# directions, random bytes, and a snapshot during reads of a read-only disk.
use v5.14;
use warnings;
use lib 'tests/lib';

use Digest::SHA 'sha1_hex';
use Minivmm;
use Stock;
use Test::More;

kernel();
my @modules = (modules => [qw(virtio_mmio virtio_blk virtio_console virtio_rng ext4)]);

# Not in here/, which is on a file system without holes: a discard may keep the old data there
# (section 5.2.6.1).
spew('disk.img', '');
truncate 'disk.img', 64 << 20;
initrd('initrd', <<'END', @modules);
exec 3<>/dev/hvc0
echo 'to hvc0' >&3
read line <&3
echo "from hvc0: $line"
echo "serial: $(cat /sys/block/vda/serial), sectors: $(cat /sys/block/vda/size)"
echo "random: $(dd if=/dev/hwrng bs=32 count=1 2>/dev/null | wc -c)"
mke2fs /dev/vda >/dev/null && mount -t ext4 /dev/vda /mnt
dd if=/dev/urandom of=/mnt/file bs=1M count=16 2>/dev/null
before=$(sha1sum </mnt/file)
umount /mnt
mount -t ext4 /dev/vda /mnt
[ "$before" = "$(sha1sum </mnt/file)" ] && echo 'file: the same'
umount /mnt
blkdiscard -o 0 -l 1048576 /dev/vda && echo 'discarded'
dd if=/dev/vda bs=1M count=1 2>/dev/null | tr -d '\0' | wc -c
echo "whole: $(sha1sum </dev/vda)"
END
config('x.ini', {}, device('rng0', 'virtio-rng'), device('blk0', 'virtio-blk', path => 'disk.img', serial => 'number-1'),
    device('hvc0', 'virtio-console', input => 'stdio', output => 'file:hvc.out'));
# Input comes after the guest has opened the console: the driver drops earlier input.
my ($out, $err) = inside('disk, console, random bytes', 400, <<"END");
(await 'hvc0' hvc.out; echo hello; until [ -e done ]; do sleep 0.2; done) |
	{ $minivmm -c x.ini --log error; echo \$? >done; }
echo; cat hvc.out; cp disk.img here; exit \$(cat done)
END
like($out, qr/^from hvc0: hello$/m, 'input by hvc0');
like($out, qr/^to hvc0$/m, 'output by hvc0');
like($out, qr/^serial: number-1, sectors: 131072$/m, 'the disk, its serial number');
like($out, qr/^random: 32$/m, 'random bytes');
like($out, qr/^file: the same$/m, 'a file system');
like($out, qr/^discarded\n0$/m, 'a discard, and zeroes after it');
my ($sum) = $out =~ /^whole: (\w+)/m;
is($sum // '', sha1_hex(slurp('here/disk.img')), 'the file is what the guest saw');

# A read-only disk, and a snapshot while it is read.
initrd('initrd', <<'END', @modules);
for i in 1 2 3 4 5 6 7 8; do dd if=/dev/vda bs=4k count=256 skip=$((i * 256)) iflag=direct 2>/dev/null | sha1sum | sed "s/^/part $i /"; done
dd if=/dev/zero of=/dev/vda count=1 2>/dev/null || echo 'not written'
END
open my $random, '<', '/dev/urandom' or die;
read $random, my $bytes, 16 << 20;
spew('here/disk.img', $bytes);
config('x.ini', {}, device('blk0', 'virtio-blk', path => 'here/disk.img', readonly => 'yes'));
($out, $err) = inside('a read-only disk, a snapshot', 400, <<"END");
$minivmm -c x.ini --log error --until 'output:serial0:part 3' --save x.snap || exit
$minivmm -r x.snap --log error --trust
END
is(join('', $out =~ /^part .*\n/mg), join('', map { "part $_ " . sha1_hex(substr $bytes, $_ << 20, 1 << 20) . "  -\n" } 1 .. 8),
    'the disk, through a snapshot');
like($out, qr/^not written$/m, 'the disk cannot be written');
is(slurp('here/disk.img'), $bytes, "the disk's file is unchanged");

done_testing;
