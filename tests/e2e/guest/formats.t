#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Images as other projects build them: files in formats that no loader reads, ELF files with unusual
# headers, truncated kernels, and boot sectors. tests/unit/magic.c has every magic number. On an
# emulated KVM, too.
use v5.14;
use warnings;
no warnings 'portable';
use lib 'tests/lib';

use Minivmm;
use Test::More;

my $says_p = pack 'H*', '66baf803b050eef4';    # mov $0x3f8,%dx; mov $'P',%al; out %al,%dx; hlt: 32 and 64 bit
my $machine = "[vm]\nmemory = 4M\nirqchip = on\n[device serial0]\nplugin = serial\noutput = stdio\n";

sub boot {
    my ($image, @set) = @_;
    spew('kernel', $image);
    spew('m.ini', "$machine\[boot]\nimage = kernel\n");
    return run([ $minivmm, '-c', 'm.ini', map { ('--set', $_) } @set ]);
}

sub boots {
    my ($image, $name, @set) = @_;
    my ($status, $out, $err) = boot($image, @set);
    return is("$status:$out", '0:P', "boots: $name") || diag($err);
}

sub refused {
    my ($image, $message, $name, @set) = @_;
    my ($status, $out, $err) = boot($image, @set);
    return is("$status:$out:$err", "110::minivmm: $message\n", "refused: $name");
}

# --- Files of other programs ---
for (
    [ "\x1f\x8b\x08\0" . 'x' x 60, 'compressed with gzip: decompress it with gzip -dc FILE >NEW' ],
    [ "\xfd7zXZ\0" . 'x' x 60, 'compressed with xz: decompress it with xz -dc FILE >NEW' ],
    [ "\x28\xb5\x2f\xfd" . 'x' x 60, 'compressed with zstd: decompress it with zstd -dc FILE >NEW' ],
    [ "QFI\xfb\0\0\0\3", 'a qcow2 disk image: convert it with qemu-img convert -O raw' ],
    [ "MZ\x90\0" . 'x' x 600,
        'an EFI application or a program for DOS or Windows: minivmm has no firmware that could start it; use an ELF file or a bzImage' ],
    [ "\0" x 32769 . 'CD001',
        'an ISO 9660 image: name it as path of a virtio-blk device with readonly = yes, and boot the kernel that is on it' ],
  ) {
    my ($image, $message) = @$_;
    my $what = $message =~ s/:.*//r;
    for my $format (qw(auto linux elf pvh multiboot)) {
        refused($image, "m.ini:8: image kernel is $message; to run its bytes as code, set [boot] format = flat",
            "format = $format: $what", "boot.format=$format");
    }
}
boots(substr("\x1f\x8b\x08\0", 0, 0) . $says_p, 'flat code', 'boot.at=0x100000', 'cpu.mode=protected');

# --- ELF files ---
# Segments: [ type, address, bytes, size in memory, alignment, offset ].
sub elf {
    my ($bits, @segments) = @_;
    my ($rows, $body) = ('', '');
    for (@segments) {
        my ($type, $at, $bytes, $size, $align, $offset) = @$_;
        $offset //= 0x1000 + length $body;
        $rows .= $bits == 64
          ? pack('L2 Q6', $type, 7, $offset, $at, $at, length $bytes, $size, $align)
          : pack('L8', $type, $offset, $at, $at, length $bytes, $size, 7, $align);
        $body .= $bytes . "\0" x (-length($bytes) % 16);
    }
    my ($class, $cpu, $header, $row) = $bits == 64 ? (2, 62, 64, 56) : (1, 3, 52, 32);
    my $head = "\x7fELF" . pack('C3 x9 S2 L', $class, 1, 1, 2, $cpu, 1)
      . pack($bits == 64 ? 'Q3' : 'L3', 0x100000, $header, 0) . pack('L S6', 0, $header, $row, scalar @segments, 0, 0, 0);
    return pack('a4096', $head . $rows) . $body;
}

sub elf_note { my ($owner, $type, $content) = @_; return pack 'L3 a4 a*', 4, length $content, $type, $owner, $content }
my $xen = elf_note('Xen', 18, pack 'Q', 0x100000);
my $other = pack('L3', 6, 4, 0x100) . pack('a8', 'Linux') . pack 'L', 0;
my @load = (1, 0x100000, $says_p, 0x1000, 8);
my $pvh_only = 'boot.format=pvh';    # else its ELF entry prints the same
for my $align (1, 4, 8) {
    boots(elf(64, [@load], [ 4, 0x101000, $other . $xen, 44, $align ]), "PVH notes packed to 4, aligned to $align", $pvh_only);
}
my $padded = pack('a24', $other) . elf_note('Xen', 18, pack 'Q', 0x100000);
boots(elf(64, [@load], [ 4, 0x101000, $padded, length $padded, 8 ]), 'PVH notes padded to 8', $pvh_only);
boots(elf(64, [ 3, 0x102000, "/red/herring\0", 13, 1 ], [@load], [ 4, 0x101000, $xen, length $xen, 4 ]), 'PVH with PT_INTERP');
refused(elf(64, [ 3, 0x102000, "/lib/ld.so\0", 11, 1 ], [@load]), 'image kernel: it needs a dynamic linker; link it with -static',
    'PT_INTERP without PVH');
for my $offset (0, 0x4000, 2**40, 0xffffffffffffffff) {
    boots(elf(64, [@load], [ 4, 0x101000, $xen, length $xen, 4 ], [ 1, 0x110000, '', 0x1000, 0x1000, $offset ]),
        "a segment without bytes in the file, at offset $offset");
}
like((boot(elf(64, [@load], [ 1, 0x110000, 'x', 0x1000, 0x1000, 0x40000 ])))[2], qr/segment 1 .* extend past the end of the file/,
    'refused: a segment with bytes behind the end');

# The class decides the mode: mov $1,%eax; inc %eax in 32 bits, a REX prefix in 64; add $'0',%al;
# out.
my $bits = pack 'H*', 'b801000000400430' . '66baf803eef4';
for my $case ([ 32, '2', 'protected', 'long' ], [ 64, '1', 'long', 'protected' ]) {
    my ($class, $says, $mode, $wrong) = @$case;
    my $image = elf($class, [ 1, 0x100000, $bits, 0x1000, 8 ]);
    for my $set ([], ["cpu.mode=$mode"]) {
        my ($status, $out, $err) = boot($image, @$set);
        is("$status:$out", "0:$says", "ELF$class @$set") or diag($err);
    }
    my $right = 96 - $class;
    refused($image, "image kernel: it is ELF$class, so its code runs in $mode mode, but --set cpu.mode sets [cpu] mode = $wrong; "
          . "remove that key, or build an ELF$right file", "ELF$class with mode = $wrong", "cpu.mode=$wrong");
    boots(elf($class, [ 1, 0x100000, $says_p, 0x1000, 8 ], [ 4, 0x101000, $xen, length $xen, 4 ]),
        "ELF$class with mode = $wrong, entered by PVH", "cpu.mode=$wrong");
}

# A multiboot2 header alone: its 32-bit entry would run in the mode of the class, without the data
# that it expects.
my $header = pack 'L4', 0xe85250d6, 0, 16, -(0xe85250d6 + 16) & 0xffffffff;
my $multiboot2 = elf(64, [ 1, 0x100000, $says_p . $header, 0x1000, 8 ]);
refused($multiboot2, 'image kernel: it has only a multiboot2 header, which minivmm does not read: add one of multiboot 1 or a PVH '
      . "note, or set [boot] format = elf to start it at its ELF entry without the loader's data", 'multiboot2');
boots($multiboot2, 'multiboot2 with format = elf', 'boot.format=elf');
boots(elf(64, [ 1, 0x100000, $says_p . $header, 0x1000, 8 ], [ 4, 0x101000, $xen, length $xen, 4 ]), 'multiboot2 and PVH');

# --- bzImages: the header says how long the file is ---
my $bzimage = slurp("$top/guests/bzimage.bin");
substr($bzimage, 0x1f4, 4) = pack 'L', int((length($bzimage) - 1024) / 16);
spew('kernel', $bzimage);
my ($status, $out, $err) = run([ $minivmm, '-c', 'm.ini', '--check' ]);
is("$status:$out:$err", '0::', '--check: a bzImage with its length');
for my $missing (32, 100, length($bzimage) - 1100) {
    my $cut = substr $bzimage, 0, -$missing;
    spew('kernel', $cut);
    fails([ $minivmm, '-c', 'm.ini', '--check' ], 110, qr/image kernel: the file is truncated: it has @{[ length $cut ]} bytes, its header says \d+; copy it again$/,
        "--check: a bzImage without its last $missing bytes");
}
substr($bzimage, 0x230, 4) = "\0\0\0\0";
substr($bzimage, 0x260, 4) = "\0\0\0\0";
refused($bzimage, 'image kernel: it has only a 16-bit entry, which calls a BIOS, and minivmm has none; '
      . 'use a kernel with a 32-bit entry, PVH or multiboot', 'a bzImage with only a 16-bit entry');

# --- Boot sectors ---
my $halts = pack 'H*', 'b80e41faf4';
my $calls = pack 'H*', 'b80e41cd10faf4';
sub sector { return pack('a510', $_[0]) . "\x55\xaa" }
my $warning = 'minivmm: warning: image kernel is a boot sector: minivmm has no BIOS';
my $at = 'such code expects [boot] at = 0x7c00';
for (
    [ sector($calls), 0, "$warning, but it calls one: int 0x10 at offset 0x3; $at\n" ],
    [ sector($calls), '0x7c00', "$warning, but it calls one: int 0x10 at offset 0x3; boot the system's kernel with [boot] image instead\n" ],
    [ sector($halts), 0, "$warning; $at\n" ],
    [ sector($halts), '0x7c00', '' ],
    [ pack('a512', $calls), '0x7c00', '' ],
  ) {
    my ($image, $where, $expected) = @$_;
    spew('kernel', $image);
    ($status, $out, $err) = run([ $minivmm, '-c', 'm.ini', '--set', "boot.at=$where", '--check' ]);
    is("$status:$out:$err", "0::$expected", 'a boot sector at ' . $where . ($image eq sector($halts) ? ' without calls' : ''));
}

# --- Modules and command lines ---
my $pvh = elf(64, [@load], [ 4, 0x101000, $xen, length $xen, 4 ]);
spew('initrd', "\x27\x05\x19\x56" . 'x' x 60);
($status, $out, $err) = boot($pvh, 'boot.initrd=initrd');
is("$status:$out:$err", "0:P:minivmm: warning: the initrd initrd is a uImage of U-Boot, which the kernel cannot use: "
      . "remove its header of 64 bytes with dd bs=64 skip=1\n", 'an initrd with a header of U-Boot');
spew('initrd', "\x1f\x8b\x08\0");
is(join(':', boot($pvh, 'boot.initrd=initrd')), '0:P:', 'a compressed initrd is for the kernel to unpack');
spew('words', 'x' x 2048);
($status, $out, $err) = boot($pvh, 'boot.cmdline_file=words');
is("$status:$out:$err", '0:P:minivmm: warning: image kernel: the command line has 2048 bytes; a Linux kernel that starts by PVH '
      . "keeps only 2047: shorten it, or use the bzImage\n", 'a command line that Linux truncates');
spew('words', 'x' x 2047);
is(join(':', boot($pvh, 'boot.cmdline_file=words')), '0:P:', 'a command line that Linux keeps');

done_testing;
