#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Debian's Xen with Debian's kernel as its dom0: PCI devices are listed as by a dom0 in QEMU's q35,
# and a disk interrupts by MSI-X. Xen uses ECAM.
use v5.14;
use warnings;
use lib 'tests/lib';

use Digest::SHA 'sha1_hex';
use Minivmm;
use Stock;
use Test::More;

kernel('xen-system-amd64');
my ($status, $xen) = run([ 'gzip', '-dc', $image ]);
is($status, 0, 'unpacked');
spew('xen', $xen);
kernel('linux-image-amd64');    # the cloud kernel cannot be a dom0
my $lspci = fetch('pciutils') . '/usr/bin/lspci';
my $bytes = join '', map { chr($_ % 251) } 1 .. 1 << 20;
spew('disk.img', $bytes);
initrd('initrd', <<'END', modules => [qw(virtio_pci virtio_blk)], programs => [$lspci]);
lspci -n | sed 's/^/list: /'
echo "disk: $(dd if=/dev/vda bs=64k iflag=direct 2>/dev/null | sha1sum)"
sed -n 's/.*xen-pirq .*-msi-x *\(virtio[^ ]*\)$/MSI-X: \1/p' /proc/interrupts
echo 'the end'
END
my $words = 'console=com1 com1=115200,8n1,0x3f8,4 loglvl=all smap=0 smep=0 dom0_mem=300M';
my $modules = "\n[module dom0]\nfile = $image\nargs = console=hvc0 quiet\n\n[module initrd]\nfile = initrd\n";
config('xen.ini', { memory => '600M', boot => "image = xen\ncmdline = xen no-real-mode $words\n", more => "\n[device rtc]\nplugin = rtc\nirq = 8\n$modules" },
    device('rng0', 'virtio-rng', slot => 1), device('blk0', 'virtio-blk', path => 'disk.img', readonly => 'yes', slot => 2), device('edu0', 'edu', slot => 6));
my $theirs = join ' ', 'qemu-system-x86_64 -M q35 -accel kvm -cpu host -m 600 -nodefaults -no-reboot -display none -serial stdio -kernel xen',
  "-append '$words' -initrd '$image console=hvc0 quiet,initrd' -device virtio-rng-pci,disable-legacy=on,addr=1",
  '-device virtio-blk-pci,drive=d,disable-legacy=on,addr=2 -drive if=none,id=d,file=disk.img,format=raw,readonly=on -device edu,addr=6 </dev/null';
my ($out, $err) = inside('Xen and its dom0', 400, <<"END");
echo '-- ours'; $minivmm -c xen.ini --log warn --until 'output:serial0:the end' || exit
echo; echo '-- theirs'; $theirs
END
my (undef, %said) = split /^-- (\w+)\n/m, $out;
for my $machine (qw(ours theirs)) {
    my $said = $said{$machine} // '';
    like($said, qr/^\(XEN\) PCI: MCFG area at [\da-f]+ reserved in E820$/m, "$machine: Xen uses ECAM");
    is(join('', grep { !/ 00:(?:00|1f)\./ } $said =~ /^list: .*\n/mg),
        join('', map { "list: 00:$_\n" } '01.0 00ff: 1af4:1044 (rev 01)', '02.0 0100: 1af4:1042 (rev 01)', '06.0 00ff: 1234:11e8 (rev 10)'), "$machine: dom0 lists the devices");
    like($said, qr/^disk: @{[ sha1_hex($bytes) ]}  -$/m, "$machine: dom0 reads the disk");
    like($said, qr/^MSI-X: virtio\d+-req\.0$/m, "$machine: the disk interrupts by MSI-X");
}
diag($out, $err) if !Test::More->builder->is_passing;
done_testing;
