#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Debian's stock kernel without ACPI finds its vCPUs and the serial port's line in the MP table.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Stock;
use Test::More;

kernel('linux-image-amd64');    # the cloud kernel cannot read MP tables

initrd('initrd', <<'END');
echo "init: $(nproc) vCPUs"
sed -n 's/^ *\([0-9]*\):.*IO-APIC.* ttyS0$/line \1: ttyS0/p' /proc/interrupts
reboot -f
END
config('bare.ini', { cpus => 2, cmdline => 'quiet acpi=off reboot=triple' });
my ($out) = inside('without ACPI', 300, "$minivmm -c bare.ini --log error; echo \"ends: \$?\"\n");
is($out =~ s/^\[.*\n//mgr, "init: 2 vCPUs\nline 4: ttyS0\nends: 100\n", 'acpi=off: vCPUs and the line');

done_testing;
