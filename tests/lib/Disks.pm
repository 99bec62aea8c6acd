# SPDX-License-Identifier: BSD-2-Clause
# A disk under Debian's stock kernel, for tests/linux: a live snapshot while a file system is
# written, and clones of it.
package Disks;

use v5.14;
use warnings;

use Digest::SHA 'sha1_hex';
use Exporter 'import';
use Minivmm;
use Stock;
use Test::More;

our @EXPORT = qw(clones);

# The machine continues after the snapshot, and clones start from it at the same time, each with its
# own overlay. All have the files that they wrote, and a clean file system. Once for each value of
# the option io: with two clones if it is sync. The plugin has the options of virtio-blk. ios: those
# values; keys: more options; modules: kernel modules; interrupts: a pattern for those of the disk
# in /proc/interrupts.
sub clones {
    my ($plugin, %with) = @_;
    my @disks = map { "blk$_" } 0 .. 2;
    initrd('initrd', "interrupts='$with{interrupts}'\n" . <<'END', modules => [ @{ $with{modules} }, 'ext4' ], programs => [qw(mke2fs e2fsck)]);
# The name of a disk, by its serial number; a driver may find disks later than it is loaded.
disk() { until grep -lx "$1 *" /sys/block/*/serial /sys/block/*/device/serial 2>/dev/null | cut -d / -f 4 | grep .; do sleep 0.1; done; }
clean() { e2fsck -fn $1 >/tmp/fsck 2>&1; echo "guest: fsck of $2: $?"; grep -v '^Pass\|^e2fsck' /tmp/fsck; }
if grep -q look /proc/cmdline; then
	for name in blk0 blk1 blk2; do
		disk=$(disk $name)
		# The snapshot's own disk has a journal to replay.
		mount -t ext4 /dev/$disk /mnt && echo "guest: $name has $(cat /mnt/own /mnt/big | sha1sum)"
		umount /mnt
		clean /dev/$disk $name
	done
	poweroff -f
fi
disk=$(disk blk0)
exec 3<>/dev/hvc0
echo "guest: queues $(ls /sys/block/$disk/mq | wc -l)"
/programs/mke2fs -q -t ext4 /dev/$disk || echo 'guest: no file system'
mount -t ext4 /dev/$disk /mnt
dd if=/dev/urandom of=/mnt/big bs=64k count=64 2>/dev/null
sha1sum /mnt/big | tee /tmp/sums | sed 's/^/guest: big /'
sync
(read name <&3; echo "$name" >/tmp/new; mv /tmp/new /tmp/name) &
i=0 left=5
while [ $left -gt 0 ]; do
	i=$((i + 1))
	dd if=/dev/urandom of=/tmp/part bs=32k count=$((i % 7 + 1)) 2>/dev/null
	echo "$(sha1sum </tmp/part | cut -c 1-40)  /mnt/$i" >>/tmp/sums
	cp /tmp/part /mnt/$i
	[ $((i % 4)) != 0 ] || sync
	echo "guest: wrote $i"
	[ ! -e /tmp/name ] || left=$((left - 1))
done
name=$(cat /tmp/name)
yes "$name" | head -c 100000 >/mnt/own
sync
umount /mnt
clean /dev/$disk blk0
mount -t ext4 /dev/$disk /mnt
sha1sum -c /tmp/sums >/tmp/check 2>&1 && [ $(grep -c OK /tmp/check) = $((i + 1)) ] && echo 'guest: all files are right'
echo "guest: own $(sha1sum </mnt/own)"
umount /mnt
echo "guest: requests $(awk "/$interrupts/"' { n += $2 + $3 } END { print (n > 100) }' /proc/interrupts)"
END

    for my $io (@{ $with{ios} }) {
        my %keys = (path => 'disk.img', io => $io, queues => 2, %{ $with{keys} // {} });
        my @clones = $io eq 'sync' ? qw(one two) : 'one';
        my $console = device('hvc0', 'virtio-console', input => 'stdio');
        config("$io.ini", { cpus => 2 }, device('blk0', $plugin, %keys, serial => 'blk0'), $console);
        config("look-$io.ini", { cmdline => 'quiet look' }, map { device($_, $plugin, %keys, serial => $_, temporary => 'yes') } @disks);
        my ($out, $err) = inside("$plugin-$io", 400, <<"END");
rm -f *.ovl* disk.img* out; truncate -s 96M disk.img
: >out
(await 'guest: wrote 5' out
	$minivmm ctl vm.sock snapshot x.snap >reply
	# The last line may be incomplete: it counts.
	echo "snapshot: \$?, \$(perl -0777 -ne '(\$says, \$n) = /.*(guest: wrote )(\\d+)\\r?\\n/s; print \$says, \$n + !/\\n\\z/' out)" >when
	echo original) |
	{ $minivmm -c $io.ini --log error --set control.socket=vm.sock >out; echo "original: \$?"; }
cat when out
base=\$(sha1sum <disk.img)
for clone in @clones; do
	{ $minivmm -r x.snap --trust --log error --set "device.hvc0.input=text:\$clone\\\\n" --set device.blk0.overlay=\$clone.ovl >\$clone
		echo "ends: \$?" >>\$clone; } &
done
wait
for clone in @clones; do
	sed "s/^/\$clone: /" \$clone
	echo "\$clone: takes \$(du -k \$clone.ovl | cut -f 1)"
done
[ "\$base" = "\$(sha1sum <disk.img)" ] && echo 'the base is as it was'
[ ! -e two.ovl ] || ! cmp -s one.ovl two.ovl || echo 'clones are the same'
$minivmm -c look-$io.ini --log error --set device.blk1.layers=one.ovl --set device.blk2.layers=$clones[-1].ovl | sed 's/^/look: /'
END
        my ($when) = $out =~ /^snapshot: 0, guest: wrote (\d+)$/m;
        ok($when, "$io: a live snapshot");
        my %own = map { ($_ => sha1_hex(substr "$_\n" x 50_000, 0, 100_000)) } qw(original one two);
        for my $machine ('original', @clones) {
            my ($says) = $machine eq 'original' ? $out : join '', map { s/^$machine: //r } $out =~ /^$machine: .*\n/mg;
            my @missing = grep { $says !~ /^\Q$_\E$/m } 'guest: fsck of blk0: 0', 'guest: all files are right', "guest: own $own{$machine}  -",
                'guest: requests 1', $machine eq 'original' ? ('original: 0', 'guest: queues 2') : 'ends: 0';
            is(join(', ', @missing), '', "$io: $machine has all files that it wrote");
            next if $machine eq 'original';
            my @wrote = $says =~ /^guest: wrote (\d+)$/mg;
            cmp_ok($wrote[0] // 0, '>', 5, "$io: $machine continues during its writes");
            cmp_ok($wrote[0] // 1e9, '<=', ($when // 0) + 1, "$io: $machine continues from the snapshot");
            my ($size) = $says =~ /^takes (\d+)$/m;
            cmp_ok($size // 1e9, '<', 4096, "$io: $machine has only its own writes in its overlay");
        }
        like($out, qr/^the base is as it was\nlook/m, "$io: clones differ over one base");
        my @of = ([ blk0 => 'the snapshot' ], [ blk1 => 'one' ], [ blk2 => $clones[-1] ]);
        like($out, qr{^look: guest: $$_[0] has \w+  -\nlook: guest: fsck of $$_[0]: 0$}m, "$io: the disk of $$_[1], clean without the machine's memory") for @of;
        Test::More->builder->is_passing or diag($out, $err);
    }
    return;
}

1;
