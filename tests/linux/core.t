#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A stock kernel panics, which leaves a snapshot ([snapshot] at = panic). minivmm core makes a core
# file of it, in which crash and drgn show the panic with the kernel's debug symbols, in spite of
# KASLR. A core file of the running kernel shows its processes.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Stock;
use Test::More;

# Skips the test if a debugger is missing, but not in CI.
for (['crash', 'crash'], ['drgn', 'python3-drgn'], ['gdb', 'gdb']) {
    my ($program, $package) = @$_;
    next if grep { -x "$_/$program" } split /:/, $ENV{PATH};
    die "no $program: apt-get install $package" if $ENV{CI};
    plan skip_all => "no $program is installed here: apt-get install $package";
}
kernel();
my $debug = fetch('linux-image-cloud-amd64-dbg');
my ($vmlinux) = glob "$debug/boot/vmlinux-*";
my @modules = glob "$debug/lib/modules/*/kernel/drivers/misc/pvpanic/*.ko";
my ($release) = $vmlinux =~ /vmlinux-(.*)/;
is(scalar @modules, 3, 'debug symbols of pvpanic, pvpanic-mmio and pvpanic-pci');

initrd('initrd', <<'END', modules => ['pvpanic-mmio']);
sleep 1000 &
echo "address of panic: $(grep ' T panic$' /proc/kallsyms)"
echo 1 >/proc/sys/kernel/sysrq
echo 'ready'
read line
echo c >/proc/sysrq-trigger
END
config('x.ini', { serial => "input = stdio\noutput = stdio\n", more => "\n[device panic0]\nplugin = pvpanic\n\n[snapshot]\nat = panic\nfile = here/panic.snap\n" });
my ($out, $err) = inside('a panic', 300, <<"END");
rm -f vm.sock; : >out
(await ready out && $minivmm ctl vm.sock core here/live.core >live 2>&1; echo "core: \$?" >when; echo go) |
	$minivmm -c x.ini --set control.socket=vm.sock >out
echo "exit status \$?"
cat out live when
END
shows($out, qr/^exit status 102$/m, 'the panic ends the machine');
shows($out, qr/Kernel panic - not syncing: sysrq triggered crash/, 'the kernel panics');
shows($out, qr/^core: 0$/m, 'a core of the running machine');
shows($out, qr/^linux: \Q$release\E$/m, 'which names its kernel');
my ($panic) = $out =~ /^address of panic: ([0-9a-f]{16}) /m;
isnt($panic // 'none', 'none', 'the kernel says where KASLR has put it');

my ($status, undef, $said) = run([ $minivmm, 'core', 'here/panic.snap', '-o', 'vmcore' ]);
is("$status:$said", "0:minivmm: core written to vmcore: Linux $release; open it with crash VMLINUX vmcore or drgn -c vmcore -s VMLINUX\n", 'minivmm core');

# inspect finds KASLR's offset in the snapshot.
($status, $out) = run([ $minivmm, 'inspect', '--symbols', $vmlinux, 'here/panic.snap' ], timeout => 100);
shows($out, qr/^  in iowrite8\+0x/m, 'inspect --symbols: the function at rip');
shows($out, qr/^    0x[0-9a-f]+: panic\+0x.*^    0x[0-9a-f]+: write_sysrq_trigger\+0x/ms, 'inspect --symbols: the stack');

# crash.
sub in_crash {
    my ($core, @commands) = @_;
    spew('commands', join '', map { "$_\n" } @commands, 'quit');
    my ($status, $out, $err) = run([ 'crash', '-s', '-i', 'commands', $vmlinux, $core ], stdin => '/dev/null', timeout => 300);
    is($status, 0, "crash opens $core") or diag($out, $err);
    return $out;
}
my $crash = in_crash('vmcore', 'bt', 'sys', 'sym panic', 'log | tail -200');
shows($crash, qr/^ *#\d+ \[[0-9a-f]+\] panic at [0-9a-f]+\n *#\d+ \[[0-9a-f]+\] sysrq_handle_crash at [0-9a-f]+$/m, 'crash: the backtrace of the panic');
shows($crash, qr/^PID: 1 .* COMMAND: "init"$/m, 'crash: in the process that has panicked');
shows($crash, qr/^ +PANIC: .*?"Kernel panic - not syncing: sysrq triggered crash"$/ms, 'crash: the reason');
shows($crash, qr/^ +RELEASE: \Q$release\E$/m, 'crash: the release');
shows($crash, qr/^\Q$panic\E \(T\) panic/m, 'crash: KASLR');
shows($crash, qr/Kernel panic - not syncing/, 'crash: the log');
shows(in_crash('here/live.core', 'sym panic', 'sys'), qr/^\Q$panic\E \(T\) panic.*^ +RELEASE: \Q$release\E$/ms, 'crash: the running machine');

# drgn.
spew('show.py', <<'END');
from drgn.helpers.linux.pid import find_task, for_each_task
print("release", prog["init_uts_ns"].name.release.string_().decode())
print("panic at %016x" % prog.symbol("panic").address)
print("processes", *sorted(t.comm.string_().decode() for t in for_each_task(prog)))
for frame in prog.stack_trace(find_task(prog, 1)):
    print("frame", frame.name)
END

sub in_drgn {
    my ($core) = @_;
    my ($status, $out, $err) = run([ 'drgn', '-q', '-c', $core, map({ ('-s', $_) } $vmlinux, @modules), 'show.py' ], timeout => 300);
    is($status, 0, "drgn opens $core") or diag($out, $err);
    return $out;
}
my $drgn = in_drgn('vmcore');
shows($drgn, qr/^frame panic\nframe sysrq_handle_crash\nframe __handle_sysrq\nframe write_sysrq_trigger$/m, 'drgn: the backtrace of the panic');
for my $text ($drgn, in_drgn('here/live.core')) {
    shows($text, qr/^release \Q$release\E$/m, 'drgn: the release');
    shows($text, qr/^panic at \Q$panic\E$/m, 'drgn: KASLR');
    shows($text, qr/^processes .*\binit .*\bkthreadd\b.*\bsleep\b/m, 'drgn: processes');
}

# gdb, which is told where KASLR has put the kernel.
($status, my $table) = run([ 'readelf', '-sW', $vmlinux ], timeout => 100);
my ($linked) = $table =~ /: ([0-9a-f]{16}) .* panic$/m;
no warnings 'portable';
($status, $out, $err) = run([ qw(gdb -q -nx -batch), '-ex', sprintf('symbol-file -o 0x%x %s', hex($panic) - hex($linked), $vmlinux),
    '-ex', 'core-file vmcore', '-ex', 'bt', '-ex', 'print init_uts_ns.name.release' ], timeout => 300);
shows($out, qr/^#\d+ +(?:0x\w+ in )?iowrite8 \(/m, 'gdb: where the panic ended the machine');
shows($out, qr/^\$1 = "\Q$release\E"/m, 'gdb: a variable');

done_testing;
