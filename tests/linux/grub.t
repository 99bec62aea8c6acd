#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# GRUB's commands for PCI, with no kernel: lspci lists the devices as in QEMU's q35, pcidump shows
# the same IDs, and setpci moves a BAR, where the device answers.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Stock;
use Test::More;

my $grub = fetch('grub-common');
spew('commands', <<'END');
serial --unit=0
terminal_input serial
terminal_output serial
lspci
pcidump -s 0:3.0
setpci -s 0:3.0 BASE_ADDRESS_0=d0000000
setpci -s 0:3.0 BASE_ADDRESS_0
read_dword 0xd0000000
echo the end
halt
END

sub image {
    my ($platform, $file) = @_;
    my ($status, $out, $err) = run([ "$grub/usr/bin/grub-mkimage", '-O', $platform, '-d', "$grub/usr/lib/grub/$platform", '-p', '/',
        '-c', 'commands', '-o', $file, qw(serial terminal lspci pcidump setpci memrw echo halt) ]);
    is("$status:$err", '0:', "GRUB for $platform");
    return slurp($file);
}

# GRUB's multiboot image is one for coreboot: it looks for coreboot's table below 4 KiB, for the
# memory in it. The table takes the place of the program header that tells the stack's rights.
my $elf = image('i386-coreboot', 'grub.elf');
my $memory = pack 'L<2 (Q<2 L<)2', 1, 48, 0x1000, 0x9e000, 1, 0x100000, 15 << 20, 1;
my $table = pack('a4 L<5', 'LBIO', 24, 0, length $memory, 0, 1) . $memory;
my ($headers, $count) = unpack 'x28 L< x12 S<', $elf;
my ($stack) = grep { unpack('L<', substr $elf, $_, 4) == 0x6474e551 } map { $headers + 32 * $_ } 0 .. $count - 1;
substr($elf, $stack, 32) = pack 'L<8', 1, length $elf, (0x500) x 2, (length $table) x 2, 6, 16;
spew('grub', $elf . $table);
config('x.ini', { memory => '16M', boot => "image = grub\n" }, map { device(@$_) } [ 'edu0', 'edu', slot => 3 ], [ 'rng0', 'virtio-rng', slot => 5 ],
    [ 'hvc0', 'virtio-console', slot => 6 ]);
my ($status, $ours, $err) = run([ "$top/tests/svm/kvm", '-t', 200, $minivmm, '-c', 'x.ini', '--log', 'warn', '--until', 'output:serial0:the end' ], timeout => 230);
is($status, 0, 'GRUB runs') or diag($err);

# QEMU boots GRUB's image for a BIOS from a disk.
my $core = image('i386-pc', 'core.img');
spew('disk.img', slurp("$grub/usr/lib/grub/i386-pc/boot.img") . $core);
truncate 'disk.img', 1 << 20;
my @devices = map { ('-device', $_) } 'edu,addr=3', 'virtio-rng-pci,disable-legacy=on,addr=5', 'virtio-serial-pci,disable-legacy=on,addr=6';
my @qemu = (qw(timeout 200 qemu-system-x86_64 -M q35 -m 16 -accel tcg -nodefaults -no-reboot -display none -serial stdio), @devices);
($status, my $theirs, $err) = run([ @qemu, '-drive', 'file=disk.img,format=raw' ], timeout => 230);
is($status, 0, 'GRUB runs in QEMU') or diag($err);

s/\r//g, s/.*?(?=00:00)//s for $ours, $theirs;
my ($devices) = $theirs =~ /^00:00.*\n((?:00:0.*\n)+)/m;
like($devices, qr/\A00:03\.0 1234:11e8 \[00ff\] \n00:05.*\n00:06.*\n\z/, 'QEMU lists its devices');
is($ours =~ /^00:00\.0 1b36:0008 \[0600\] Host Bridge\n((?:\d\d:.*\n)+)/m ? $1 : '', $devices, 'lspci: the same');
my ($mine, $dump) = map { [ split ' ', join '', /^((?:[\da-f]{8} ){4}\n)/mg ] } $ours, $theirs;
is("@$mine[0, 2, 11]", "@$dump[0, 2, 11]", 'pcidump: IDs and class');
is("$mine->[4]", 'e0100000', 'pcidump: the BAR');
like($ours, qr/^Register 10 of 0:03\.0 is d0000000\n0x10000ed\nthe end/m, 'setpci moves the BAR; the device answers there');
diag($ours, $theirs) if !Test::More->builder->is_passing;
done_testing;
