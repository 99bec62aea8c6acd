#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A restored machine notifies Debian's stock kernel that it is a copy, and the kernel reseeds its
# random numbers.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Stock;
use Test::More;

kernel('linux-image-amd64');
initrd('initrd', <<'END', modules => ['vmgenid']);
echo "driver: $(ls /sys/bus/acpi/drivers/vmgenid | grep -c ':')"
for i in 1 2 3; do echo "count $i"; usleep 200000; done
dmesg | grep -o 'virtual machine fork'
grep -q ACPI:Ged /proc/interrupts && echo 'an event device'
dmesg -r | grep '^<[0-4]>' | grep -i acpi | sed 's/^/amiss: /'
END
config('x.ini', {}, "\n[device generation]\nplugin = vmgenid\nirq = 12\n");
my ($out, $err) = inside('snapshot and restore', 300, <<"END");
$minivmm -c x.ini --log error --at 'output:serial0:count 1' --save linux.snap
for generation in new keep; do
	echo; echo "-- \$generation"
	$minivmm -r linux.snap --set snapshot.generation=\$generation
done
END
my ($first, %restored) = split /^-- (\w+)\n/m, $out;
sub spoken { return join '', $_[0] =~ /^(?:driver|count|virtual|an event|amiss).*\n/mg }
is(spoken($first // ''), "driver: 1\ncount 1\ncount 2\ncount 3\nan event device\n", 'the first machine') or diag($out);
is(spoken($restored{new} // ''), "count 2\ncount 3\nvirtual machine fork\nan event device\n", 'a copy is notified');
is(spoken($restored{keep} // ''), "count 2\ncount 3\nan event device\n", 'without the notification');

done_testing;
