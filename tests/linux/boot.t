#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Debian's stock kernel boots to a shell on its serial port and on hvc0 with 1, 2 and 4 vCPUs,
# prints no warning that it does not print in QEMU's microvm, is saved and restored, switches itself
# off, and resets itself in several ways.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Stock;
use Test::More;

kernel();

# Prints the warnings; then runs a shell on each console, until one of them asks for the end.
initrd('initrd', <<'END', modules => [qw(virtio_mmio virtio_console)]);
dmesg -r | grep '^<[0-4]>'
echo "init: $(nproc) vCPUs, $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
if [ -c /dev/hvc0 ] && grep -q shells /proc/cmdline; then
	shell() { setsid sh -c "cd /tmp; PS1='$1# ' exec sh -i </dev/$1 >/dev/$1 2>&1"; }
	shell hvc0 &
	shell ttyS0
fi
END

# Types into both shells when they prompt, and asks for their terminal, a sum and the number of
# CPUs.
my $ask = q(echo "shell: $(tty), $((6 * 7)), $(nproc)");
my @shells;
for my $cpus (1, 2, 4) {
    config("shell$cpus.ini", { cpus => $cpus, cmdline => 'quiet shells', serial => "input = stdio\noutput = stdio\n" },
        device('hvc0', 'virtio-console', output => "unix-listen:hvc$cpus.sock"));
    push @shells, <<"END", microvm('initrd', $cpus, '-device virtio-serial-device -device virtconsole') . "\n";
echo; echo '-- ours'
(await 'hvc0# ' hvc$cpus; echo '$ask'; await 'shell: /' hvc$cpus) | socat -t 60 - UNIX-CONNECT:hvc$cpus.sock,retry=500,interval=0.1 >hvc$cpus &
(await 'ttyS0# ' tty$cpus; echo '$ask'; await 'shell: /' tty$cpus; await 'shell: /' hvc$cpus; echo 'poweroff -f') |
	{ $minivmm -c shell$cpus.ini --log error >tty$cpus; echo "ends: \$?" >>tty$cpus; }
wait
cat tty$cpus; echo; cat hvc$cpus; echo; echo '-- theirs'
END
}
my ($out) = inside('shells', 500, join '', @shells);
my (undef, @said) = split /^-- \w+\n/m, $out;
for my $cpus (1, 2, 4) {
    my ($ours, $theirs) = splice @said, 0, 2;
    my @missing = grep { ($ours // '') !~ /^\Q$_\E$/m } "init: $cpus vCPUs, kvm-clock", map({ "shell: /dev/$_, 42, $cpus" } qw(ttyS0 hvc0)), 'ends: 0';
    is(join(', ', @missing), '', "$cpus vCPUs: shells on both consoles; the guest switches off") or diag($ours);
    shows($theirs // '', qr/^init: $cpus vCPUs/m, "$cpus vCPUs: the same kernel boots in QEMU's microvm");
    is(news($ours // '', $theirs // ''), '', "$cpus vCPUs: no warning that microvm does not have");
}

# The user's config, saved while the guest counts, then restored in another process.
initrd('counts', <<'END', modules => [qw(virtio_mmio virtio_blk virtio_net)]);
for i in 1 2 3 4 5 6 7 8 9; do echo "count $i"; usleep 100000; done
grep -q ttyS0 /proc/interrupts && echo 'ttyS0 has an interrupt'
echo "devices: $(ls -d /sys/block/vda /sys/class/net/eth0 | wc -l)"
END
my $boot = "-c $configs/linux.ini --set boot.image=$image --set boot.initrd=counts --set vm.memory=256M --set device.serial0.input=none "
  . "--set 'boot.cmdline=console=ttyS0 quiet panic=-1' --log error";
my ($err);
($out, $err) = inside('a snapshot', 300, <<"END");
$minivmm $boot --until 'output:serial0:count 4' --save linux.snap || exit
echo; echo '--'
$minivmm -r linux.snap --trust
END
my ($before, $after) = split /^--\n/m, $out;
shows($before // '', qr/count 4\n\Z/, 'the run ends at the stop condition');
is(($after // '') =~ s/^\[.*reboot: Power down\n//mr, join('', "\n", map({ "count $_\n" } 5 .. 9), "ttyS0 has an interrupt\ndevices: 2\n"), 'the restored machine continues with the next line')
  or diag($err);

# The ways to end, each with its documented status.
initrd('ends', <<'END');
for word in $(cat /proc/cmdline); do
	case $word in
	off) poweroff -f ;;
	halt) halt -f ;;
	reset) echo b >/proc/sysrq-trigger ;;
	panic) echo c >/proc/sysrq-trigger ;;
	esac
done
sleep 100
END
my %ends = (
    'switches itself off' => [ 'off', '', 0 ],
    'halts, having stopped its vCPUs' => [ 'halt', '', 0 ],
    'resets itself by the reset register' => [ 'reset reboot=acpi', '', 0 ],
    'resets itself, with a status of its own' => [ 'reset reboot=acpi', "reset = 7\n", 7 ],
    'resets itself by a triple fault' => [ 'reset reboot=triple', '', 100 ],
    'panics, and resets itself' => [ 'panic', "reset = 8\n", 8 ],
);
my $script = '';
for my $end (sort keys %ends) {
    my ($words, $power) = @{ $ends{$end} };
    my $file = $end =~ tr/a-z//cdr . '.ini';
    config($file, { initrd => 'ends', cpus => 2, cmdline => "quiet $words", power => $power });
    $script .= "$minivmm -c $file --log error >$file.out; echo \"\$?: $end\"\n";
}
($out) = inside('ends', 300, $script);
is($out, join('', map { "$ends{$_}[2]: $_\n" } sort keys %ends), 'each end has its documented status');

done_testing;
