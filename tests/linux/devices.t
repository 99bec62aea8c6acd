#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A PC's keyboard controller and clock, pvpanic, and a virtio balloon and vsock, with Debian's stock
# kernel.
use v5.14;
use warnings;
use lib 'tests/lib';

use MIME::Base64;
use Minivmm;
use Stock;
use Test::More;

kernel();

# The PC's devices are found and work; the keyboard controller resets the machine. Then a panic.
initrd('pc.img', <<'END', modules => ['pvpanic-mmio']);
echo "clock: $(date -u +%Y-%m-%d) $(cat /sys/class/rtc/rtc0/name)"
hwclock -u -w && date -u -s '1999-12-31 23:59:58' >/dev/null && hwclock -u -w && sleep 3
echo "set: $(cat /sys/class/rtc/rtc0/date)"
before=$(awk '/rtc0/ { print $2 }' /proc/interrupts)
echo +2 >/sys/class/rtc/rtc0/wakealarm
sleep 4
echo "alarm: $(($(awk '/rtc0/ { print $2 }' /proc/interrupts) - before)), then '$(cat /sys/class/rtc/rtc0/wakealarm)'"
ls -d /sys/bus/serio/devices/serio* | sed 's/.*\//port: /'
for port in /sys/bus/serio/devices/serio*; do echo "is: $(cat $port/description)"; done
echo "events: $(cat /sys/bus/platform/drivers/pvpanic-mmio/*/capability)"
dmesg -r | grep '^<[0-4]>' | grep -i 'acpi\|8042\|rtc\|panic\|serio' | sed 's/^<.>\[ *[0-9.]*\]/amiss:/'
grep -q crash /proc/cmdline && echo c >/proc/sysrq-trigger
echo b >/proc/sysrq-trigger
END
my @pc = ("\n[device keyboard0]\nplugin = i8042\nirq = 1\naux_irq = 12\nreset = 3\n\n",
    "[device rtc0]\nplugin = rtc\nirq = 8\nepoch = 4102444800\n\n", "[device panic0]\nplugin = pvpanic\n");
config('reset.ini', { initrd => 'pc.img', cmdline => 'quiet reboot=k' }, @pc);
config('panic.ini', { initrd => 'pc.img', cmdline => 'quiet crash' }, @pc);
my ($out, $err) = inside("a PC's devices", 300, <<"END");
$minivmm -c reset.ini --log error; echo "reset: \$?"
$minivmm -c panic.ini --log error; echo "panic: \$?"
END
my ($reset, $panic) = $out =~ /(.*)^reset: (?=\d)(.*)/ms;
shows($reset // $out, qr/^clock: 2100-01-01 rtc_cmos/m, 'the clock: the century, and the initial time of Linux');
shows($reset // $out, qr/^set: 2000-01-01$/m, 'the clock can be set');
shows($reset // $out, qr/^alarm: 1, then ''$/m, "the clock's alarm");
shows($reset // $out, qr/^is: i8042 KBD port$/m, 'the keyboard port');
shows($reset // $out, qr/^is: i8042 AUX port$/m, 'the mouse port');
shows($reset // $out, qr/^events: 3$/m, 'pvpanic');
unlike($reset // $out, qr/^amiss:/m, 'there is no warning') or diag($reset);
shows($panic // $out, qr/\A3$/m, 'a reset by the keyboard controller');
shows($panic // $out, qr/^panic: 102$/m, 'a panic');

# The balloon: pages that the guest releases are released on the host and take no room in a
# snapshot; a live snapshot while the guest inflates; the guest's data stays the same.
initrd('balloon.img', <<'END', modules => [qw(virtio_mmio virtio_balloon)]);
given() { awk '/^balloon_inflate/ { i = $2 } /^balloon_deflate/ { d = $2 } END { print i - d }' /proc/vmstat; }
mkdir /t
mount -t tmpfs none /t
dd if=/dev/urandom of=/t/a bs=1M count=20 2>/dev/null
sum=$(sha1sum </t/a)
dd if=/dev/urandom of=/t/b bs=1M count=100 2>/dev/null
echo 'guest: full'
read go
rm /t/b
sleep 6
echo 'guest: freed'
until [ $(given) = 30720 ]; do sleep 0.1; done
echo 'guest: shrunk'
until [ $(given) = 0 ]; do sleep 0.1; done
[ "$sum" = "$(sha1sum </t/a)" ] && echo 'guest: the same'
END
config('balloon.ini', { initrd => 'balloon.img', serial => "input = stdio\noutput = stdio\n", more => "\n[control]\nsocket = vm.sock\n" },
    device('balloon0', 'virtio-balloon', period => '1s', control => 'unix-listen:balloon.sock'));
($out, $err) = inside('a balloon', 300, <<"END");
used() { awk '/RssAnon/ { print int(\$2 / 1024) }' /proc/\$pid/status; }
target() { (echo "\$1"; sleep 2) | socat - UNIX-CONNECT:balloon.sock >>told; }
mkfifo go
$minivmm -c balloon.ini --log error --at 'output:serial0:guest: full' --save full.snap <go >out 2>&1 & pid=\$!
exec 3>go
await 'guest: full' out; echo "full: \$(used)"; echo go >&3
await 'guest: freed' out; echo "freed: \$(used)"; $minivmm ctl vm.sock snapshot freed.snap >/dev/null
echo "snapshots: \$(du -m full.snap | cut -f1) \$(du -m freed.snap | cut -f1)"
target 120M & asks=\$!
sleep 0.2; $minivmm ctl vm.sock snapshot live.snap diff >/dev/null || echo 'no live snapshot'
await 'guest: shrunk' out
wait \$asks; target 0; wait \$pid; echo "first: \$?, \$(grep -c 'guest: the same' out)"
$minivmm -r live.snap --trust --log error >out 2>&1 & pid=\$!
target 120M; await 'guest: shrunk' out
target 0; wait \$pid; echo "live.snap: \$?, \$(grep -c 'guest: the same' out)"
sed 's/^/told: /' told
END
my ($full, $freed, $snapshot, $smaller) = $out =~ /^full: (\d+)\nfreed: (\d+)\nsnapshots: (\d+) (\d+)$/m;
cmp_ok($freed // 999, '<', ($full // 0) - 60, 'the host has the memory that the guest has released') or diag($out, $err);
cmp_ok($smaller // 999, '<', ($snapshot // 0) - 60, 'released memory takes no room in a snapshot');
shows($out, qr/^$_: 0, 1$/m, "$_: all memory is released and taken back, and the data is the same") for qw(first live.snap);
shows($out, qr/^told: balloon 122880K$/m, 'the control stream prints the size');
shows($out, qr/^told: statistics .* total=2\d{8} /m, 'the control stream prints statistics');
unlike($out, qr/stall|lockup|BUG/i, 'the kernel reports no problem');

# Sockets. The guest's program connects to the host or accepts a connection, and ends with its peer.
spew('vs.c', <<'END');
#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* vs call PORT TEXT: calls the host, sends a line, prints all that comes. vs serve PORT: sends back
 * what comes, once. */
int main(int argc, char **argv)
{
	int serves = !strcmp(argv[1], "serve"), fd = socket(AF_VSOCK, SOCK_STREAM, 0);
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_port = atoi(argv[2]) };
	char bytes[65536];
	ssize_t n;

	address.svm_cid = serves ? VMADDR_CID_ANY : VMADDR_CID_HOST;
	if (serves) {
		int server = fd;

		if (bind(server, (void *)&address, sizeof(address)) || listen(server, 1))
			return 1;
		fd = accept(server, NULL, NULL);
	} else if (connect(fd, (void *)&address, sizeof(address)) || dprintf(fd, "%s\n", argv[3]) < 0) {
		printf("no: %s\n", strerror(errno));
		return 1;
	}
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		for (ssize_t done = 0, part; done < n; done += part)
			if ((part = write(serves ? fd : 1, bytes + done, n - done)) < 0)
				return 2;
	if (n < 0)
		printf("%s\n", strerror(errno));
	return 0;
}
END
is((run([ qw(cc -Os -static -s -o vs vs.c) ]))[0], 0, "the guest's program compiles");
my $program = encode_base64(slurp('vs'));
initrd('vsock.img', "base64 -d >/bin/vs <<'PROGRAM'\n${program}PROGRAM\nchmod +x /bin/vs\n" . <<'END', modules => [qw(virtio_mmio vmw_vsock_virtio_transport)]);
echo "nobody: $(vs call 79 hello)"
echo "one: $(vs call 80 hello)"
echo "much: $(vs call 82 more | sha1sum)"
echo 'guest: serves'
vs serve 22
echo 'guest: holds'
echo "held: $(vs call 81 hello)"
echo "again: $(vs call 80 'hello again')"
END
config('vsock.ini', { initrd => 'vsock.img' }, device('vsock0', 'virtio-vsock', path => 'v'));
spew('reply', "read line\necho \"to \$line\"\n");
spew('hold', "read line\necho >>held\nsleep 1000\n");
spew('much.sh', "read line\ncat much\n");
($out, $err) = inside('sockets', 300, <<"END");
head -c 4000000 /dev/urandom >much
socat UNIX-LISTEN:v_80,fork EXEC:'sh reply' 2>/dev/null &
socat UNIX-LISTEN:v_81,fork EXEC:'sh hold' 2>/dev/null &
socat UNIX-LISTEN:v_82,fork EXEC:'sh much.sh' 2>/dev/null &
(await 'guest: serves' out; (printf 'CONNECT 22\\n'; cat much; sleep 3) | socat -t 20 - UNIX-CONNECT:v >back) & caller=\$!
(until [ -e held ]; do sleep 0.2; done; sleep 1; $minivmm ctl vm.sock snapshot x.snap >/dev/null; $minivmm ctl vm.sock quit) &
$minivmm -c vsock.ini --log error --set control.socket=vm.sock >out; echo "first: \$?"
cat out
wait \$caller; head -n 1 back; echo "sent: \$(sha1sum <much)"; echo "back: \$(tail -n +2 back | sha1sum)"
$minivmm -r x.snap --trust --log error; echo "second: \$?"
[ -e v ] && echo 'the socket is left behind'
exit 0
END
my ($sent) = $out =~ /^sent: (\w+)/m;
shows($out, qr/^nobody: no: Connection reset by peer$/m, 'a call without a listener') or diag($err);
shows($out, qr/^one: to hello$/m, 'a call with a listener');
shows($out, qr/^much: $sent /m, 'much data from the host') if $sent;
shows($out, qr/^OK \d+$/m, 'a call from the host');
shows($out, qr/^back: $sent /m, 'much data in both directions') if $sent;
shows($out, qr/^held: Connection reset by peer$/m, 'a restore resets a connection');
shows($out, qr/^again: to hello again$/m, 'a new connection works after the restore');
shows($out, qr/^first: 0\n.*^second: 0$/ms, 'both machines end with status 0');
unlike($out, qr/left behind/, 'the socket files are removed');

done_testing;
