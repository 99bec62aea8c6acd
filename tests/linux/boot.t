#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Debian's stock kernel: boots to user space with one vCPU and several, is snapshotted and restored, powers off.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my $svm = "$top/tests/svm/run";
my ($status, $kernel) = run([ "$top/tests/svm/fetch", 'linux-image-cloud-amd64' ]);
plan skip_all => 'no kernel package can be fetched here' if $status;
chomp $kernel;
my ($image) = glob "$kernel/boot/vmlinuz-*";

# What init does: says where it is, counts, says what the kernel found amiss, and switches the machine off.
spew('init', <<'END');
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
load
echo "init: $(nproc) vCPUs, $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
for i in 1 2 3 4 5 6 7 8 9; do echo "count $i"; usleep 100000; done
dmesg -r | grep '^<[0-4]>' | grep -i acpi | sed 's/^/amiss: /'
grep -q ttyS0 /proc/interrupts && echo 'ttyS0 has an interrupt'
poweroff -f
END
is((run([ "$top/tests/svm/initrd", $kernel, 'init', 'initrd' ]))[0], 0, 'an initramfs');
my @boot = ('-c', "$configs/linux.ini", '--set', "boot.image=$image", '--set', 'boot.initrd=initrd', '--set', 'vm.memory=256M',
    '--set', 'device.serial0.input=none', '--set', 'boot.cmdline=console=ttyS0 panic=-1', '--log', 'error');
my $counts = join '', map { "count $_\n" } 1 .. 9;

# What user space said, without what the kernel says in between.
sub spoken { return join '', map { s/\r//r } grep { !/^\[ *\d+\.\d+\]/ } $_[0] =~ /^(?:init|count|amiss|ttyS0 has).*\n/mg }

mkdir 'here';
for my $cpus (1, 2) {
    my ($status, $out, $err) = run([ $svm, '-t', 300, $minivmm, @boot, '--set', "vm.cpus=$cpus" ]);
    is($status, 0, "$cpus vCPUs: switched off") or diag($out, $err);
    like(spoken($out), qr/\Ainit: $cpus vCPUs, (?:kvm-clock|tsc)\n${counts}ttyS0 has an interrupt\n\z/, "$cpus vCPUs: boots, nothing amiss")
        or diag($out);
}

# In the midst of counting; then restored in another process.
spew('snapshot.sh', <<"END");
$minivmm @{[map "'$_'", @boot]} --until 'output:serial0:count 4' --save here/linux.snap || exit
echo; echo '--'
$minivmm -r here/linux.snap
END
my ($end, $out, $err) = run([ $svm, '-t', 500, '-w', 'here', 'sh', 'snapshot.sh' ]);
is($end, 0, 'snapshot and restore') or diag($err);
my ($before, $after) = split /^--\n/m, $out;
like($before // '', qr/count 4\Z/, 'up to the point');
is(join('', map { s/\r//r } ($after // '') =~ /^(?:count|ttyS0 has).*\n/mg), join('', map { "count $_\n" } 5 .. 9) . "ttyS0 has an interrupt\n",
    'goes on with the next line');
unlike($after // '', qr/soft lockup|rcu.*stall|clocksource.*unstable/i, 'without trouble');

done_testing;
