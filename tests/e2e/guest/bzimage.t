#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The loader of Linux's bzImage: the boot parameters that a kernel receives, and images that are
# refused. tests/linux/ boots a stock kernel. On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

no warnings 'portable';

use Minivmm;
use Test::More;

my $image = slurp("$top/guests/bzimage.bin");
my $config = "$configs/bzimage.ini";

# The image with bytes changed at some offsets.
sub changed {
    my (%bytes) = @_;
    my $copy = $image;
    substr($copy, $_, length $bytes{$_}) = $bytes{$_} for keys %bytes;
    spew('changed.bin', $copy);
    return ('--set', "boot.image=changed.bin");
}

sub boot { return run([ $minivmm, '-c', $config, @_ ]) }

spew('initrd', "what is in it\n");
is((boot('--set', 'boot.initrd=initrd'))[1], "hello from the loader\nwhat is in it\nRSD PTR\n3\n", 'a kernel receives its initrd');
is((boot('--set', 'vm.irqchip=off', '--set', 'device.serial0.irq=none'))[1], "hello from the loader\n\n3\n",
    'a kernel receives no ACPI tables without interrupt controllers');
is((boot(changed(0x236 => "\0")))[1], "32hello from the loader\n", 'a kernel without a 64-bit entry is started at the 32-bit entry');
is((boot(changed(0x238 => pack 'V', 21)))[1], "hello from the loader\nRSD PTR\n3\n", 'the longest command line that the kernel accepts');

sub refused {
    my ($message, $name, @set) = @_;
    fails([ $minivmm, '-c', $config, @set ], 110, $message, $name);
}

refused(qr/changed\.bin: the command line has 21 bytes, the limit of this kernel is 20; shorten it$/, 'a command line that is too long', changed(0x238 => pack 'V', 20));
refused(qr/changed\.bin: its boot protocol 2\.05 is older than 2\.06; use a newer kernel$/, 'an old protocol', changed(0x206 => "\x05\x02"));
refused(qr/changed\.bin: it is a zImage, which loads below 1 MiB; build a bzImage$/, 'a zImage', changed(0x211 => "\0"));
refused(qr/changed\.bin: the file is truncated: it ends with its setup code$/, 'nothing after the setup code',
    changed(0x1f1 => "\xff"));
refused(qr/changed\.bin: it is not a Linux bzImage: it has no setup header$/, 'no setup header',
    changed(0x202 => 'Hdr_'), '--set', 'boot.format=linux');
refused(qr/the kernel needs memory at 0 and 0x1000000 bytes at 0x100000, but memory is 0x0-0x3fffff; set \[vm\] memory to \d+M/,
    'too little memory', changed(0x260 => pack 'V', 16 << 20));
refused(qr/the kernel needs memory at 0 and 0x2000 bytes at 0xffffffff00000000/, 'a load address outside of memory',
    changed(0x258 => pack 'Q<', 0xffffffff00000000));
refused(qr/the kernel needs memory/, 'memory that does not begin at 0', '--set', 'vm.memory_at=0x1000000');
spew('large', "\0" x (4 << 20));
refused(qr/the initrd large has 4194304 bytes and does not fit between the end of the kernel, 0x102000, and 0x/,
    'an initrd larger than memory', '--set', 'boot.initrd=large');
refused(qr/opening the initrd nowhere: No such file or directory/, 'a missing initrd', '--set', 'boot.initrd=nowhere');
refused(qr/accepts no modules but its initrd; remove \[boot\] modules$/, 'modules', '--set', 'boot.modules=large:large');

# A command line from a file, which can be longer than a line of a config.
my $long = join ' ', map { "word$_" } 1 .. 100;
spew('words', "$long\n");
spew('file.ini', slurp($config) =~ s/^cmdline = .*/cmdline_file = words/mr =~ s{\.\./}{$top/}r);
is((run([ $minivmm, '-c', 'file.ini', changed(0x238 => pack 'V', 1000) ]))[1], "$long\nRSD PTR\n3\n", 'cmdline_file');
fails([ $minivmm, '-c', 'file.ini' ], 110, qr/the command line in \.?\/?words has 691 bytes, the limit of this kernel is 255; shorten it$/,
    'cmdline_file: too long');
spew('words', "one\0two\n");
fails([ $minivmm, '-c', 'file.ini' ], 110, qr/cmdline_file \.?\/?words: byte 3 is NUL/, 'cmdline_file: a NUL');
unlink 'words';
fails([ $minivmm, '-c', 'file.ini' ], 110, qr/file\.ini:\d+: opening the cmdline_file \.?\/?words: No such file/, 'cmdline_file: missing');
fails([ $minivmm, '-c', $config, '--set', 'boot.cmdline_file=initrd' ], 110, qr/cmdline_file and cmdline are both given; remove one$/,
    'cmdline_file and cmdline');

fails([ $minivmm, '-c', "$configs/simple.ini", '--set', 'boot.cmdline=quiet' ], 110,
    qr/does not accept cmdline, because it is not a Linux, PVH or multiboot kernel; remove the key$/, 'a command line for an image that takes none');
# A truncated image is refused or is a shorter kernel. The loader never crashes.
my %seen;
for (my $length = 0; $length < length $image; $length += 37) {
    spew('cut.bin', substr $image, 0, $length);
    $seen{ (boot('--set', 'boot.image=cut.bin', '--check'))[0] }++;
}
is(join(' ', grep { $_ != 0 && $_ != 110 } keys %seen), '', 'truncated at any size: refused, or runs');

done_testing;
