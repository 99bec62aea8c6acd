#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Debian's cloud and standard kernels with their root file system on a PCI disk, which an initramfs
# mounts as Debian's does. The guest writes files, through a live snapshot; the original and the
# restored machine read them back. The second kernel finds the files of the first.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Stock;
use Test::More;

# Each kind of disk: the modules in the initramfs, and the name of the disk.
my %disks = ('virtio-blk' => { modules => [qw(virtio_pci virtio_blk)], name => 'vda' }, nvme => { modules => ['nvme'], name => 'nvme0n1' });
my @kernels = qw(linux-image-cloud-amd64 linux-image-amd64);
$ENV{PATH} .= ':/usr/sbin:/sbin';

# The root file system: busybox, and this init.
spew('init.root', <<'END');
#!/bin/sh
export PATH=/bin:/sbin
mount -o remount,rw / || echo 'wrong: read-only'
disk=$(sed 's,.*root=/dev/\([^ ]*\).*,\1,' /proc/cmdline)
echo "root: $(awk '$2 == "/" { print $1, $3, substr($4, 1, 2) }' /proc/mounts), at $(readlink -f /sys/block/$disk)"
check() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	cat /var/sums/* | sha1sum -c >/run/check 2>&1 || echo "wrong: $(cat /run/check)"
	echo "$1: $(grep -c ': OK$' /run/check) files"
}
mount -t tmpfs run /run
[ ! -e /var/sums/0 ] || check 'of the kernel before'
(read line </dev/ttyS0; : >/run/stop) &
i=0 left=5
while [ $left -gt 0 ]; do
	file=/srv/$((i % 50))
	dd if=/dev/urandom of=$file bs=32k count=$((i % 7 + 1)) 2>/dev/null
	sha1sum $file >/var/sums/${file#/srv/}
	[ $((i % 4)) != 0 ] || sync
	i=$((i + 1))
	echo "wrote $i"
	[ ! -e /run/stop ] || left=$((left - 1))
done
check "of $i writes"
mount -o remount,ro / || echo 'wrong: in use'
dmesg -r | grep '^<[0-3]>' | sed 's/^/wrong: /'
poweroff -f
END
kernel($kernels[0]);
my ($status, $out, $err) = run([ 'sh', '-ec', <<"END" ], timeout => 100);
mkdir -p root/bin root/sbin root/dev root/proc root/sys root/run root/srv root/var/sums
cp $kernel/bin/busybox root/bin
for command in \$(root/bin/busybox --list); do [ \$command = busybox ] || ln -s busybox root/bin/\$command; done
install -m 755 init.root root/sbin/init
truncate -s 64M disk.img
mke2fs -q -t ext4 -d root disk.img
END
is("$status:$out$err", '0:', 'a root file system');

for my $plugin (sort keys %disks) {
    my ($modules, $name) = @{ $disks{$plugin} }{qw(modules name)};
    my $script = "cp disk.img $plugin.img\n";
    for my $package (@kernels) {
        kernel($package);
        initrd("$package.initrd", <<'END', modules => [ @$modules, 'ext4' ]);
root=$(sed 's/.*root=\([^ ]*\).*/\1/' /proc/cmdline)
until [ -b $root ]; do usleep 10000; done
mount -t ext4 -o ro $root /mnt
for folder in dev proc sys; do mount --move /$folder /mnt/$folder; done
exec switch_root /mnt /sbin/init
END
        config("$package.ini", { initrd => "$package.initrd", cmdline => "quiet ro root=/dev/$name", serial => "input = stdio\noutput = stdio\n" },
            device('disk0', $plugin, path => "$plugin.img", slot => 3));
        $script .= <<"END";
echo '-- $package original'; rm -f vm.sock; : >out
(await 'wrote 5' out && $minivmm ctl vm.sock snapshot x.snap >reply; echo "snapshot: \$?" >when; echo go) |
	$minivmm -c $package.ini --log warn --set control.socket=vm.sock >out
cat out when
cp $plugin.img original.img
echo '-- $package restored'
$minivmm -r x.snap --trust --log warn --set 'device.serial0.input=text:go\\n' --set device.disk0.overlay=x.ovl
rm x.ovl
cmp $plugin.img original.img && e2fsck -fn $plugin.img >fsck 2>&1 || { echo 'wrong: the base'; cat fsck; }
END
    }
    ($out, $err) = inside("$plugin as root", 500, $script);
    my (undef, %said) = split /^-- (.*)\n/m, $out;
    for my $package (@kernels) {
        for my $machine ("$package original", "$package restored") {
            my $said = $said{$machine} // '';
            my ($first, @more) = $said =~ /^wrote (\d+)$/mg;
            my $last = $more[-1] // 0;
            ok($machine =~ /restored/ ? ($first // 0) > 4 : ($first // 0) == 1, "$plugin, $machine: begins with write " . ($first // 'none'));
            # The kernel before has left its files.
            my ($files) = ($said{"$package original"} // '') =~ /^of the kernel before: (\d+) files$/m;
            $files = $last < 50 ? $last : 50 if ($files // 0) < $last && ($files // 0) < 50;
            like($said, qr/^of $last writes: $files files$/m, "$plugin, $machine: reads what it has written");
            unlike($said, qr/wrong/, "$plugin, $machine: nothing is wrong") or diag($said);
        }
        my $said = $said{"$package original"} // '';
        like($said, qr{^root: /dev/\Q$name\E ext4 rw, at /sys/devices/pci0000:00/0000:00:03.0/\S+$}m, "$plugin, $package: root file system");
        like($said, qr/^snapshot: 0$/m, "$plugin, $package: a live snapshot");
    }
    like($said{"$kernels[1] original"} // '', qr/^of the kernel before: [1-9]\d* files$/m, "$plugin: the files of the kernel before");
    diag($out, $err) if !Test::More->builder->is_passing;
}
done_testing;
