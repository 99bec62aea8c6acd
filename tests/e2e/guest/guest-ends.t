#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The ends of a guest: by its own status, by a triple fault, and by an error of KVM.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my @status = ('--status', 'status.json');

# debug-exit: mov $N,%ax; out %ax,$0xf4; hlt. A status of 100 or more becomes 99; --status has the
# value.
sub ends {
    my ($value, $exit, $guest, @arguments) = @_;
    my $code = sprintf 'b8 %02x %02x e7 f4 eb fe', $value & 255, $value >> 8;
    spew('exit.ini', guest($code, "[device exit0]\nplugin = debug-exit\n"));
    my ($status, $out, $err) = run([ $minivmm, '-c', 'exit.ini', @status, @arguments ]);
    is("$status:$out:$err", "$exit\::", "the guest ends with $value @arguments");
    my $said = status_of('status.json');
    is_deeply([ @$said{qw(cause exit guest_status)} ], [ 'exit', $exit, $guest ], '--status has the value');
}
ends(@$_) for [ 0, 0, 0 ], [ 1, 1, 1 ], [ 99, 99, 99 ], [ 100, 99, 100 ], [ 110, 99, 110 ], [ 256, 99, 256 ],
  [ 65535, 99, 65535 ];
my @isa = ('--set', 'device.exit0.convention=isa');
ends(@$_, @isa) for [ 0, 1, 1 ], [ 42, 85, 85 ], [ 50, 99, 101 ];

# A final halt, in code of any width: status 0.
spew('hlt.ini', guest('f4'));
my ($status, $out, $err) = run([ $minivmm, '-c', 'hlt.ini', @status ]);
is("$status:$out:$err", '0::', 'hlt');
is(status_of('status.json')->{cause}, 'hlt', '--status has hlt');
($status, $out, $err) = run([ $minivmm, '-c', 'hlt.ini', @status, '--set', 'vm.irqchip=on' ]);
is("$status:$out:$err", '0::', 'hlt with IF 0 and interrupt controllers ends the run');

# A machine has halted when each of its vCPUs is halted or not started.
($status, $out, $err) = run([ $minivmm, '-c', "$configs/code.ini", map { ('--set', $_) } 'vm.irqchip=on', 'vm.cpus=3' ]);
is("$status:$out:$err", "0:Hi\n:", 'hlt on one of three vCPUs, two of them not started, ends the run');
my @point = ('--until', 'hlt', '--save', 'three.snap');
is((run([ $minivmm, '-c', "$configs/code.ini", @point, map { ('--set', $_) } 'vm.irqchip=on', 'vm.cpus=3' ]))[0], 0, 'stop condition hlt with three vCPUs');
is_deeply([ map { $_->{halted} ? 1 : 0 } @{ inspect('three.snap')->{vcpus} } ], [ (1) x 3 ], 'all three vCPUs are halted');
is(join(':', run([ $minivmm, '-r', 'three.snap' ])), '0::', 'the restored machine is halted');

# A vCPU that received INIT and no SIPI: protected mode, movl $1 << 24,0xfee00310; movl
# $0x4500,0xfee00300; cli; hlt
spew('init.ini', guest('c7 05 10 03 e0 fe 00 00 00 01 c7 05 00 03 e0 fe 00 45 00 00 fa f4'));
is(join(':', run([ $minivmm, '-c', 'init.ini', map { ('--set', $_) } 'vm.irqchip=on', 'vm.cpus=2', 'cpu.mode=protected' ], timeout => 20)),
    '0::', 'hlt with a second vCPU in INIT ends the run');

# Long mode with an empty IDT (lidt at 0x2000), then a load from an unmapped address: a page fault,
# a double fault, a triple fault.
my @long = ('--set', 'vm.memory=64K', '--set', 'cpu.mode=long');
my $lidt = '0f 01 1c 25 00 20 00 00';
spew('triple.ini', guest("$lidt 48 a1 00 00 00 00 ff 7f 00 00 f4"));
($status, $out, $err) = run([ $minivmm, '-c', 'triple.ini', @long, @status, '--registers' ]);
is("$status:$out", '100:', 'a triple fault');
like($err, qr/\Aminivmm: vCPU 0: triple fault at rip 0x1008, cr2 0x7fff00000000; at rip: 48 a1 00 00 00 00 ff 7f 00 00 f4 /,
    'the message has rip, cr2 and the bytes at rip');
is(registers($err)->{rip}, 0x1008, '--registers has the rip');
is_deeply([ @{ status_of('status.json') }{qw(cause exit)} ], [ 'shutdown', 100 ], '--status has the cause');
like($err, qr/ cr2 0x7fff00000000 .* at rip: 48 a1 00 00 00 00 ff 7f 00 00 f4 /, 'the message has cr2 and the bytes at rip');

# An 80-bit load from an address without memory: KVM cannot emulate it, and the machine ends.
my $fld = 'db 2c 25 00 00 01 00';
spew('internal.ini', guest("b0 07 $fld f4"));
($status, $out, $err) = run([ $minivmm, '-c', 'internal.ini', @long, @status ]);
is("$status:$out", '101:', 'a KVM internal error');
like($err, qr/\Aminivmm: vCPU 0: KVM internal error 1: it cannot emulate the instruction at rip\n/, 'the message names the internal error');
is_deeply([ @{ registers($err) }{qw(rip rax)} ], [ 0x1002, 7 ], 'the message has the registers');
like($err, qr/; at rip: $fld f4 /, 'the message has the bytes at rip');
is_deeply([ @{ status_of('status.json') }{qw(cause exit)} ], [ 'internal', 101 ], '--status has the cause');
spew('nowhere.ini', guest('ea 00 00 00 f0'));    # ljmp to an address without memory
($status, $out, $err) = run([ $minivmm, '-c', 'nowhere.ini' ]);
is("$status:$out", '101:', 'a jump to an address without memory');
like($err, qr/; at rip: not in memory\n/, 'the message has no bytes at rip');

# A snapshot that fails: the guest runs to its end, and the run ends with an error.
mkdir 'a-folder';
($status, $out, $err) = run([ $minivmm, '-c', "$configs/simple.ini", '--at', 'access:1', '--save', 'a-folder' ]);
is("$status:$out", "113:", 'a snapshot that cannot be written');
like($err, qr/\Aminivmm: cannot write snapshot a-folder: it is a directory; .*\n\z/, 'the error is reported once');

# Traces and status files that cannot be written.
for my $option ('--trace', '--status') {
    ($status, $out, $err) = run([ $minivmm, '-c', "$configs/simple-in.ini", $option, 'no/x' ]);
    is($status, 113, "$option: the status");
    like($err, qr/\Aminivmm: cannot write the \w+ to no\/x: No such file or directory\n\z/, "$option: the message has the reason");
    ($status, $out, $err) = run([ $minivmm, '-c', "$configs/simple-in.ini", $option, '/dev/full' ]);
    is("$status:$out", "113:5\n", "$option /dev/full: the status; the guest runs to its end");
    like($err, qr/the \w+ in \/dev\/full is not complete: No space left on device\n\z/, "$option /dev/full: the message has the reason");
}

# A guest that runs away through the empty interrupt table, which a BIOS would fill: int $0x10.
my $away = qr/\Aminivmm: warning: vCPU 0 runs in real mode at 0x[0-9a-f]+, where there is no code, only zeros: .* minivmm has no BIOS\n\z/;
spew('away.ini', "[vm]\nmemory = 1M\n[boot]\ncode = b8 0e 41 cd 10 fa f4\nat = 0x1000\n");
($status, $out, $err) = run([ $minivmm, '-c', 'away.ini', '--timeout', '200ms' ]);
is("$status:$out", '124:', 'a guest that runs away');
like($err, $away, 'is explained');
for my $code ('eb fe', '0f 01 16 00 00 eb fe') {
    is((run([ $minivmm, '-c', 'away.ini', '--timeout', '100ms', map { ('--set', $_) } "boot.code=$code", 'vm.cpus=2', 'vm.irqchip=on' ]))[2], '',
        "$code: a loop is not a runaway, nor a vCPU that is not started");
}

done_testing;
