#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Kernels started by PVH and multiboot: the data that they receive, and images that are refused.
# tests/unit/boot_kernels.c tests malicious headers; tests/linux/pvh.t boots a stock kernel.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my $version = (run([ $minivmm, '--version' ]))[1];
my $pvh = slurp("$top/build/guests/pvh.elf");
my $elf = slurp("$top/build/guests/multiboot.elf");

sub boot {
    my ($config, @set) = @_;
    my ($status, $out, $err) = run([ $minivmm, '-c', "$configs/$config.ini", map { ('--set', $_) } @set ]);
    return $status ? "$status: $err" : $out;
}

sub refused {
    my ($message, $name, $config, @set) = @_;
    fails([ $minivmm, '-c', "$configs/$config.ini", map { ('--set', $_) } @set ], 110, $message, $name);
}

spew('one', "first\n");
spew('two', 'second');
spew('none', '');
my $map = "3 rows, 1663 KiB\n";
my @handed = ('boot.initrd=one', 'boot.modules=two:none', 'boot.cmdline=quiet');
is(boot('pvh', @handed), "336ec578 1\nquiet\none: first\n\ntwo: second\nnone: \n$map", 'PVH: modules');
is(boot('pvh', 'vm.irqchip=on'), "336ec578 1\nhello from the loader\nRSD PTR\n$map", 'PVH: ACPI');
my $flags = '2badb002 0000024d ';
is(boot('multiboot', @handed), "$flags${version}quiet\none: first\n\ntwo: second\nnone: \n639 1024\n$map", 'multiboot: modules');
is(boot('multiboot', 'boot.modules=two'), "$flags${version}hello from the loader\ntwo: second\n639 1024\n$map", 'multiboot: no initrd');

# Formats. The guest for PVH has only a PVH note; the one for multiboot is loaded by its header, as
# a flat and as an ELF file.
is(boot('multiboot', 'boot.format=auto'), boot('multiboot'), 'auto: multiboot');
is(boot('pvh', 'boot.format=pvh'), boot('pvh'), 'auto: PVH');
is(boot('multiboot', "boot.image=$top/build/guests/multiboot.elf"), boot('multiboot'), 'an ELF file with addresses');
my $at = index $elf, pack 'L', 0x1badb002;
my $flagged = sub {
    my ($flags) = @_;
    my $copy = $elf;
    substr($copy, $at, 12) = pack 'L3', 0x1badb002, $flags, (-(0x1badb002 + $flags)) & 0xffffffff;
    spew('flagged.elf', $copy);
    return 'boot.image=flagged.elf';
};
is(boot('multiboot', $flagged->(3)), boot('multiboot'), 'an ELF file without addresses');
refused(qr/flagged\.elf: its multiboot header requires a video mode \(bit 2 of its flags\), but the machine has no display/,
    'a video mode', 'multiboot', $flagged->(7));
refused(qr/its multiboot header requires the unsupported flags 0x8/, 'an unknown flag', 'multiboot', $flagged->(0x1000b));
refused(qr/flagged\.elf: it has no note \(Xen, type 18\)/, 'format = pvh without a PVH note', 'multiboot', $flagged->(3), 'boot.format=pvh');
refused(qr/pvh\.elf: it has no multiboot header in its first 8192 bytes/, 'format = multiboot without a multiboot header', 'pvh', 'boot.format=multiboot');
# Modules with arguments: [module NAME], behind the others, in the order of the file.
for my $case ([ 'pvh', '', "336ec578 1\nhello from the loader\n" ], [ 'multiboot', 'two ', "$flags${version}hello from the loader\n" ]) {
    my ($config, $name, $begin) = @$case;
    my $text = slurp("$configs/$config.ini") =~ s{image = \.\./}{image = $top/}r;
    my $end = $config eq 'pvh' ? $map : "639 1024\n$map";
    my $boots = sub {
        my ($more, @arguments) = @_;
        spew('modules.ini', "$text\n$more");
        return join ':', run([ $minivmm, '-c', 'modules.ini', @arguments ]);
    };
    my $one = "[module b]\nfile = two\nargs = root=/dev/nfs nfsroot=1.2.3.4:/x quiet\n\n";
    is($boots->($one), "0:$begin${name}root=/dev/nfs nfsroot=1.2.3.4:/x quiet: second\n$end:", "$config: a module with arguments");
    is($boots->("$one\[module a]\nfile = one\n", '--set', 'boot.modules=none:one'),
        "0:${begin}none: \none: first\n\n${name}root=/dev/nfs nfsroot=1.2.3.4:/x quiet: second\none: first\n\n$end:", "$config: several");
    is($boots->($one, '--set', 'module.b.args=x', '--set', 'module.b.file=one'),
        "0:$begin" . ($name && 'one ') . "x: first\n\n$end:", "$config: --set");
    my $many = join '', map { "[module m$_]\nfile = none\nargs = " . 'y' x 180 . "\n\n" } 1 .. 32;
    is($boots->($many), "0:$begin" . (($name && 'none ') . 'y' x 180 . ": \n") x 32 . "$end:", "$config: 32 modules with arguments");
    my ($status, $out, $err) = run([ $minivmm, '-c', 'modules.ini', '--set', 'module.m1.args=' . 'z' x 5000 ]);
    is("$status:$err:" . length(($out =~ /(z+): \n/)[0] // ''), '0::5000', "$config: long arguments") or diag(substr $out, 0, 200);
    # They are in the snapshot, with the guest's memory.
    $boots->($one, '--until', 'access:5', '--save', 'modules.snap');
    my ($r, $rest) = run([ $minivmm, '-r', 'modules.snap', '--trust' ]);
    like("$r:$rest", qr/\A0:.*nfsroot=1\.2\.3\.4:\/x quiet: second\n/s, "$config: a restored machine has them");
    like((run([ $minivmm, 'inspect', '--map', 'modules.snap' ]))[1], qr/  module two\n/, "$config: the map names the module");
}
for my $case (
    [ "[module a]\nargs = x\n", qr/modules\.ini:\d+: \[module a\] has no file; add file = PATH/ ],
    [ "[module a]\nfile = one\narg = x\n", qr/modules\.ini:\d+: \[module\] has no key arg; did you mean args\?/ ],
    [ "[module a]\nfile =\n", qr/modules\.ini:\d+: \[module a\] file is empty/ ],
    [ "[module]\nfile = one\n", qr/modules\.ini:\d+: \[module \]: the name must be a letter/ ],
    [ "[module A]\nfile = one\n", qr/\[module A\]: the name must be a letter a to z/ ],
    [ "[module a]\nfile = nowhere\n", qr/modules\.ini:\d+: opening the module .*nowhere: No such file/ ],
    [ join('', map { "[module m$_]\nfile = one\n\n" } 1 .. 33), qr/at most 32 modules/ ],
  ) {
    my ($more, $message) = @$case;
    spew('modules.ini', slurp("$configs/pvh.ini") =~ s{image = \.\./}{image = $top/}r . "\n$more");
    my ($status, $out, $err) = run([ $minivmm, '-c', 'modules.ini' ]);
    is($status, 110, 'refused: ' . $more =~ s/\n/; /gr =~ s/.{60}\K.*//r);
    like($err, $message, 'the message');
}
spew('modules.ini', guest('f4', "[module a]\nfile = one\n"));
fails([ $minivmm, '-c', 'modules.ini' ], 110, qr/modules\.ini:\d+: image code does not accept \[module a\], because it is not a PVH or multiboot kernel; remove the section/,
    'refused: a module for code');
fails([ $minivmm, '-c', 'modules.ini', '--set', 'module.b.args=x' ], 110, qr/--set module\.b: the config has no module b\n/, 'refused: --set of another module');

refused(qr/multiboot\.bin: it is not an ELF file/, 'PVH of a flat file', 'multiboot', 'boot.format=pvh');
refused(qr/multiboot\.bin does not accept cmdline, because it is not a Linux, PVH or multiboot kernel/, 'a command line for a flat file',
    'multiboot', 'boot.format=flat');
fails([ $minivmm, '-c', "$configs/elf.ini", '--set', 'boot.modules=one' ], 110, qr/elf\.elf does not accept modules, because it is not/,
    'modules for an ELF file');
fails([ $minivmm, '-c', "$configs/code.ini", '--set', 'boot.cmdline_file=one' ], 110, qr/code does not accept cmdline_file, because it is not/,
    'a command line for code');
refused(qr/opening the module nowhere: No such file/, 'a missing module', 'pvh', 'boot.modules=one:nowhere');
refused(qr/at most 32 modules/, 'too many modules', 'pvh', 'boot.modules=' . join ':', ('one') x 33);
like(boot('pvh', 'boot.modules=' . join ':', ('one') x 32), qr/\A336ec578 1\n.*\n(?:one: first\n\n){32}$map\z/, 'the largest number of modules');
spew('large', '');
truncate 'large', 2 << 20;
refused(qr/the module large has 2097152 bytes and does not fit between the end of the kernel, 0x\w+, and 0x200000; enlarge \[vm\] memory/,
    'a module larger than memory', 'multiboot', 'boot.modules=large');
refused(qr/is not inside memory/, 'too little memory', 'pvh', 'vm.memory_at=0x10000');
refused(qr/no memory for them at 0x\w+, behind it; enlarge \[vm\] memory/, 'no room for the start info', 'pvh', 'vm.memory=20K');
like(boot('pvh', 'vm.memory=64K'), qr/^1 rows, 64 KiB$/m, 'in 64K');

# Truncated images are refused or are shorter kernels. The loader never crashes.
my %seen;
for my $image ($pvh, $elf, slurp("$top/guests/multiboot.bin")) {
    for (my $length = 0; $length < length $image; $length += 61) {
        spew('cut', substr $image, 0, $length);
        $seen{ (run([ $minivmm, '-c', "$configs/pvh.ini", '--set', 'boot.image=cut', '--check', '--set', "boot.format=$_" ]))[0] }++
          for qw(auto pvh multiboot);
    }
}
is(join(' ', grep { $_ != 0 && $_ != 110 } keys %seen), '', 'truncated at any size: refused, or runs');

done_testing;
