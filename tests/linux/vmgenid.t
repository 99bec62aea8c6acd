#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A restored machine tells Debian's stock kernel that it is another one, and the kernel's random numbers begin anew.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my $svm = "$top/tests/svm/run";
my ($status, $kernel) = run([ "$top/tests/svm/fetch", 'linux-image-amd64' ]);
plan skip_all => 'no kernel package can be fetched here' if $status;
chomp $kernel;
my ($image) = glob "$kernel/boot/vmlinuz-*";

spew('init', <<'END');
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
load
echo "driver: $(ls /sys/bus/acpi/drivers/vmgenid | grep -c ':')"
for i in 1 2 3; do echo "count $i"; usleep 200000; done
dmesg | grep -o 'virtual machine fork'
grep -q ACPI:Ged /proc/interrupts && echo 'an event device'
dmesg -r | grep '^<[0-4]>' | grep -i acpi | sed 's/^/amiss: /'
poweroff -f
END
is((run([ "$top/tests/svm/initrd", $kernel, 'init', 'initrd', 'vmgenid' ]))[0], 0, 'an initramfs');
spew('linux.ini', slurp("$configs/linux.ini") . <<"END");

[device generation]
plugin = vmgenid
irq = 12
END
my @boot = ('-c', 'linux.ini', '--set', "boot.image=$image", '--set', 'boot.initrd=initrd', '--set', 'vm.memory=256M',
    '--set', 'vm.cpus=1', '--set', 'device.serial0.input=none', '--set', 'boot.cmdline=console=ttyS0 panic=-1', '--log', 'error');
mkdir 'here';
spew('snapshot.sh', <<"END");
$minivmm @{[map "'$_'", @boot]} --at 'output:serial0:count 1' --save here/linux.snap
for generation in new keep; do
	echo; echo "-- \$generation"
	$minivmm -r here/linux.snap --set snapshot.generation=\$generation
done
END
my ($end, $out, $err) = run([ $svm, '-t', 500, '-w', 'here', 'sh', 'snapshot.sh' ]);
is($end, 0, 'snapshot and restore') or diag($err);
my ($first, %restored) = split /^-- (\w+)\n/m, $out =~ s/\r//gr;
sub spoken { return join '', map { s/\r//r } $_[0] =~ /^(?:driver|count|virtual|an event|amiss).*\n/mg }
is(spoken($first // ''), "driver: 1\ncount 1\ncount 2\ncount 3\nan event device\n", 'the first machine') or diag($out);
is(spoken($restored{new} // ''), "count 2\ncount 3\nvirtual machine fork\nan event device\n", 'another one');
is(spoken($restored{keep} // ''), "count 2\ncount 3\nan event device\n", 'one that is not to know');

done_testing;
