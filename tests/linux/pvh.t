#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Debian's stock kernel as a vmlinux, unpacked from its bzImage: started by PVH, it finds its command line, its initrd,
# ACPI's tables and memory on both sides of the hole below 4 GiB.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my ($status, $kernel) = run([ "$top/tests/svm/fetch", 'linux-image-cloud-amd64' ]);
plan skip_all => 'no kernel package can be fetched here' if $status;
chomp $kernel;
my ($image) = glob "$kernel/boot/vmlinuz-*";

# The payload: where the setup header says, compressed as its first bytes say.
my $bytes = slurp($image);
my ($offset, $length) = unpack 'L2', substr $bytes, 0x248, 8;
my $packed = substr $bytes, (unpack('C', substr $bytes, 0x1f1, 1) + 1) * 512 + $offset, $length;
my %tools = ("\xfd7zXZ" => 'xz', "\x28\xb5\x2f\xfd" => 'zstd', "\x02\x21\x4c\x18" => 'lz4', "\x1f\x8b" => 'gzip');
my ($magic) = grep { index($packed, $_) == 0 } keys %tools;
ok($magic, 'a known compression') or BAIL_OUT(unpack 'H*', substr $packed, 0, 8);
substr($packed, -4) = '' if $tools{$magic} ne 'gzip'; # its size, which the kernel appends to what has none
spew('packed', $packed);
($status, my $vmlinux, my $err) = run([ $tools{$magic}, '-dc', 'packed' ]);
is($status, 0, "unpacked by $tools{$magic}") or diag($err);
is(substr($vmlinux, 0, 4), "\x7fELF", 'a vmlinux');
mkdir 'here';
spew('here/vmlinux', $vmlinux);

spew('init', <<'END');
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
echo "init: $(cat /proc/cmdline)"
grep -i 'system ram' /proc/iomem
grep MemTotal /proc/meminfo
dmesg -r | grep '^<[0-4]>' | grep -i acpi | sed 's/^/amiss: /'
poweroff -f
END
is((run([ "$top/tests/svm/initrd", $kernel, 'init', 'here/initrd' ]))[0], 0, 'an initramfs');
# More than a line of a config holds. The kernel takes words with a dot for those of modules.
my $long = join ' ', 'console=ttyS0 panic=-1', map { "some.word=$_" } 1 .. 40;
spew('here/words', "$long\n");
my $config = slurp("$configs/linux.ini") =~ s/^cmdline = .*/cmdline_file = words/mr =~ s/^input = .*\n//mr;
spew('here/pvh.ini', $config);
# The machine of tests/svm/run has less memory than this one; little is touched.
my @run = ($minivmm, '-c', 'here/pvh.ini', '--set', 'boot.image=here/vmlinux', '--set', 'boot.initrd=here/initrd',
    '--set', 'vm.memory=3584M', '--set', 'vm.cpus=1', '--set', 'control.socket=vm.sock', '--log', 'error');
($status, my $out, $err) = run([ "$top/tests/svm/run", '-t', 300, '-w', 'here', @run ], timeout => 400);
is($status, 0, 'switched off') or diag($out, $err);
$out =~ s/\r//g;
my %found = (
    'the whole of its command line' => qr/^init: \Q$long\E$/m,
    'memory up to 3 GiB' => qr/^00100000-bfffffff : System RAM$/m,
    'and from 4 GiB on' => qr/^100000000-11fffffff : System RAM$/m,
    'all of it' => qr/^MemTotal: +3[3-6]\d{5} kB$/m,
    'nothing amiss about ACPI' => qr/\A(?!.*^amiss)/ms,
);
my @missing = grep { $out !~ $found{$_} } sort keys %found;
is(join(', ', @missing), '', 'what user space finds') or diag($out);

done_testing;
