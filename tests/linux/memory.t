#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# inspect of a snapshot of Debian's stock kernel: its page tables lead to its own text, and the map
# names what was loaded.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Stock;
use Test::More;

kernel();
initrd('initrd', <<'END');
echo 0 >/proc/sys/kernel/kptr_restrict
sed -n 's/^\([0-9a-f]*\) . linux_banner$/banner: 0x\1 /p' /proc/kallsyms
echo ready
sleep 100
END
config('linux.ini', { initrd => 'initrd', memory => '192M' });
# The snapshot is not needed outside; linux/run has a disk for "here" only.
my ($out, $err) = inside('a snapshot', 300, <<"END");
$minivmm -c linux.ini --log error --until output:serial0:ready --save linux.snap >console
cat console; echo
banner=\$(sed -n 's/.*banner: \\(0x[0-9a-f]*\\) .*/\\1/p' console)
$minivmm inspect --dump linear:\$banner 64 linux.snap
$minivmm inspect linux.snap | grep -A 9 '^  at rip'
$minivmm inspect --map linux.snap
$minivmm inspect --map linux.snap -o map.svg && echo written
END
shows($out, qr/^[0-9a-f]{16}  .*\|.*Linux version.*\|$/m, 'linear: follows the page tables of the kernel');
shows($out, qr/^  at rip: (?:[0-9a-f]{2} ){15}[0-9a-f]{2}\n/m, 'the bytes at rip');
shows($out, qr/^    0x0000100000 to 0x\w+ +\S+(?: bytes)?  kernel vmlinuz\S*\n/m, 'the map names the kernel');
shows($out, qr/^    0x\w+ to 0x\w+ +\S+(?: bytes)?  initrd initrd\n/m, 'and the initrd');
shows($out, qr/^    0x00000e0000 to 0x\w+ +\S+(?: bytes)?  ACPI tables\n/m, 'and the ACPI tables');
shows($out, qr/^written$/m, 'an image');

done_testing;
