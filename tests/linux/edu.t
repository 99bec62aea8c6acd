#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The example driver for edu, guests/linux, is built against Debian's kernel headers. In the stock
# kernel it drives two devices: factorials and DMA, by MSI and by the pin, through a live snapshot.
# It drives QEMU's device, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Stock;
use Test::More;

kernel();
my $headers = fetch('linux-headers-cloud-amd64');
my $pciutils = fetch('pciutils');
mkdir 'driver';
for my $file (qw(edu.c Makefile)) { spew("driver/$file", slurp("$top/guests/linux/$file")) }
my ($status, $out, $err) = run([ 'make', '-C', 'driver', "KERNEL=$headers/build" ], timeout => 200);
is($status, 0, 'the driver is built') or diag($out, $err);
unlike($out . $err, qr/warning:/, 'without a warning');

# Each round reads the buffer, which the round before has written, and writes it; and it computes a
# factorial. The rounds end three after the input of a line. QEMU 7.2 refuses DMA up to the end of
# the buffer.
initrd('initrd', <<'END', files => ['driver/edu.ko'], programs => ["$pciutils/usr/bin/lspci"]);
cd /sys/bus/pci/drivers/edu
fill() { head -c 4000 /dev/urandom >/tmp/$1; cat /tmp/$1 >$1/buffer; }
for d in 0000*; do fill $d; done
if grep -q once /proc/cmdline; then : >/tmp/stop; else (read line </dev/ttyS0; : >/tmp/stop) & fi
i=0 left=3
while [ $left -gt 0 ]; do
	i=$((i + 1)) numbers=
	for d in 0000*; do
		dd if=$d/buffer bs=4000 count=1 2>/dev/null | cmp - /tmp/$d || echo "wrong: buffer of $d"
		fill $d
		dd if=$d/buffer bs=100 skip=7 count=1 2>/dev/null >/tmp/part
		dd if=/tmp/$d bs=100 skip=7 count=1 2>/dev/null | cmp - /tmp/part || echo "wrong: part of $d"
		echo $((i % 13)) >$d/factorial
		numbers="$numbers $(cat $d/factorial)"
	done
	echo "round $i:$numbers"
	[ ! -e /tmp/stop ] || left=$((left - 1))
done
awk '/ edu/ { n += $2 } END { print "jobs that interrupted: " (n >= 8 * i + 2) }' i=$i /proc/interrupts
for d in 0000*; do
	echo $d >unbind
	echo $d >bind
	echo 12 >$d/factorial
	echo "bound again: $(cat $d/factorial)"
done
cd 0000:00:03.0 2>/dev/null && echo hello >buffer && echo "minivmm-edu(4): $(head -c 6 buffer)"
lspci -nvv -d 1234:11e8 2>/dev/null | grep 'MSI: \|driver'
dmesg | sed -n 's/.*\(edu 0000.*\)/driver: \1/p'
dmesg -r | grep '^<[0-4]>'
END
my $edu = "\n[device edu0]\nplugin = edu\nslot = 3\n\n[device edu1]\nplugin = edu\nslot = 5\n";
config('msi.ini', { memory => '512M', serial => "input = stdio\noutput = stdio\n" }, $edu);
config('pin.ini', { cmdline => 'quiet once pci=nomsi' }, $edu);
my $theirs = q35('initrd', 1, "-device edu -device edu -append 'console=ttyS0 panic=-1 quiet once'");
($out, $err) = inside('the driver', 400, <<"END");
: >out
$minivmm -c msi.ini --check || exit
(await 'round 5' out && $minivmm ctl vm.sock snapshot x.snap >reply; echo "snapshot: \$?" >when; echo go) |
	$minivmm -c msi.ini --log warn --set control.socket=vm.sock >out
echo '-- msi'; cat out when
echo '-- restored'; $minivmm -r x.snap --trust --log warn --set 'device.serial0.input=text:go\\n'
echo '-- pin'; $minivmm -c pin.ini --log warn
echo '-- theirs'; $theirs
END
is(() = $out =~ /^minivmm-edu\(4\): hello$/mg, 3, "the manual page's example");
my (undef, %said) = split /^-- (\w+)\n/m, $out;
like($said{msi}, qr/^snapshot: 0$/m, 'a live snapshot');
for my $machine (qw(msi restored pin theirs)) {
    my $said = $said{$machine} // '';
    my @rounds = $said =~ /^round (.*)$/mg;
    my ($begin) = ($rounds[0] // '') =~ /^(\d+)/;
    ok($machine eq 'restored' ? ($begin // 0) > 4 : ($begin // 0) == 1, "$machine: begins with round " . ($begin // 'none'));
    is_deeply(\@rounds, [ map { join ' ', "$_:", (factorial($_ % 13)) x 2 } ($begin // 0) .. ($begin // 0) + $#rounds ], "$machine: factorials");
    my @missing = grep { $said !~ /^\Q$_\E$/m } 'jobs that interrupted: 1', 'bound again: 479001600';
    is(join(', ', @missing), '', "$machine: interrupts and a second binding");
    unlike($said, qr/^wrong/m, "$machine: DMA");
    my $sign = $machine eq 'pin' ? '-' : '+';
    is(scalar(() = $said =~ /^\tCapabilities: \[40\] MSI: Enable\Q$sign\E Count=1\/1 .*\n\tKernel driver in use: edu$/mg), 2, "$machine: lspci");
    my $how = $machine eq 'pin' ? 'INTx' : 'MSI';
    my @slots = $machine eq 'theirs' ? qw(01.0 02.0) : qw(03.0 05.0);
    is(join('', $said =~ /^driver: (.*\n)/mg), join('', map { "edu 0000:00:$_: identification 0x010000ed, $how\n" } @slots, @slots), "$machine: messages")
      or diag($said);
    is(news($said, $said{theirs} // ''), '', "$machine: no warning that QEMU does not have");
}
diag($err) if !Test::More->builder->is_passing;
done_testing;

sub factorial { my ($n) = @_; return $n < 2 ? 1 : $n * factorial($n - 1) }
