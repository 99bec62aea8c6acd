#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Debian's stock kernel as a vmlinux, unpacked from its bzImage and started by PVH: it finds its
# command line, its initrd, ACPI's tables and memory on both sides of the hole below 4 GiB.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Stock;
use Test::More;

kernel();

# The payload: its offset is in the setup header, its compression in its first bytes.
my $bytes = slurp($image);
my ($offset, $length) = unpack 'L2', substr $bytes, 0x248, 8;
my $packed = substr $bytes, (unpack('C', substr $bytes, 0x1f1, 1) + 1) * 512 + $offset, $length;
my %tools = ("\xfd7zXZ" => 'xz', "\x28\xb5\x2f\xfd" => 'zstd', "\x02\x21\x4c\x18" => 'lz4', "\x1f\x8b" => 'gzip');
my ($magic) = grep { index($packed, $_) == 0 } keys %tools;
ok($magic, 'a known compression') or BAIL_OUT(unpack 'H*', substr $packed, 0, 8);
substr($packed, -4) = '' if $tools{$magic} ne 'gzip'; # the size, which the kernel's build appends if the format has none
spew('packed', $packed);
my ($status, $vmlinux, $err) = run([ $tools{$magic}, '-dc', 'packed' ]);
is($status, 0, "unpacked by $tools{$magic}") or diag($err);
is(substr($vmlinux, 0, 4), "\x7fELF", 'a vmlinux');
spew('vmlinux', $vmlinux);

initrd('initrd', <<'END');
echo "init: $(cat /proc/cmdline)"
grep -i 'system ram' /proc/iomem
grep MemTotal /proc/meminfo
dmesg -r | grep '^<[0-4]>' | grep -i acpi | sed 's/^/amiss: /'
END
# Longer than a line of a config. The kernel takes words with a dot as parameters of modules.
my $long = join ' ', 'console=ttyS0 panic=-1', map { "some.word=$_" } 1 .. 40;
spew('words', "$long\n");
# The machine of tests/svm/run has less memory than this one; only a small part is used.
config('pvh.ini', { memory => '3584M', boot => "image = vmlinux\ninitrd = initrd\ncmdline_file = words\n" });
(my $out, $err) = inside('vmlinux', 300, "exec $minivmm -c pvh.ini --log error");
my %found = (
    'the whole of its command line' => qr/^init: \Q$long\E$/m,
    'memory up to 3 GiB' => qr/^00100000-bfffffff : System RAM$/m,
    'memory from 4 GiB' => qr/^100000000-11fffffff : System RAM$/m,
    'the whole memory' => qr/^MemTotal: +3[3-6]\d{5} kB$/m,
    'no ACPI warning' => qr/\A(?!.*^amiss)/ms,
);
my @missing = grep { $out !~ $found{$_} } sort keys %found;
is(join(', ', @missing), '', 'user space has the command line, the initrd and the CPUs') or diag($out);

done_testing;
