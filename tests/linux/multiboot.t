#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Debian's Xen, a multiboot kernel: it finds its command line, its module, memory on both sides of
# the hole below 4 GiB, ACPI's tables and interrupt controllers.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Stock;
use Test::More;

kernel('xen-system-amd64');
my ($status, $xen) = run([ 'gzip', '-dc', $image ]);
is($status, 0, 'unpacked');
spew('xen', $xen);
spew('dom0', 'Xen stops when it has no module, and before it looks into this one.');

# Without a BIOS Xen must not call one. It takes the first word as its name.
my $words = 'xen console=com1 com1=115200,8n1,0x3f8,4 sync_console noreboot loglvl=all no-real-mode';
config('xen.ini', { memory => '3500M', boot => "image = xen\nmodules = dom0\ncmdline = $words\n" });
my ($out, $err) = inside('Xen', 200, "exec $minivmm -c xen.ini --log error --until 'output:serial0:ENABLING IO-APIC IRQs'");
my ($version) = (run([ $minivmm, '--version' ]))[1] =~ /(.*)/;
my %found = (
    "the loader's name" => qr/Bootloader: \Q$version\E$/m,
    'its command line' => qr/Command line: console=com1 .*no-real-mode/,
    'memory below 1 MiB' => qr/\[0000000000000000, 000000000009fbff\] \(usable\)\n.*\[000000000009fc00, 00000000000fffff\] \(reserved\)$/m,
    'memory up to 3 GiB' => qr/\[0000000000100000, 00000000bfffffff\] \(usable\)$/m,
    'memory from 4 GiB' => qr/\[0000000100000000, 000000011abfffff\] \(usable\)$/m,
    'the RSDP' => qr/ACPI: RSDP 000E0000/,
    'vCPUs' => qr/SMP: Allowing 1 CPUs/,
    'the registers for switching off' => qr/ACPI: v5 SLEEP INFO: control\[1:600\], status\[1:601\]/,
);
is(join(', ', grep { $out !~ $found{$_} } sort keys %found), '', 'the hardware') or diag($out);

done_testing;
