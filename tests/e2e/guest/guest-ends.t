#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# How guests end: by themselves with a status, by a triple fault, and where KVM can't go on.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my @status = ('--status', 'status.json');

# debug-exit: mov $N,%ax; out %ax,$0xf4; hlt. 100 and more show as 99, and in full in --status.
sub ends {
    my ($value, $exit, $guest, @arguments) = @_;
    my $code = sprintf 'b8 %02x %02x e7 f4 eb fe', $value & 255, $value >> 8;
    spew('exit.ini', guest($code, "[device exit0]\nplugin = debug-exit\n"));
    my ($status, $out, $err) = run([ $minivmm, '-c', 'exit.ini', @status, @arguments ]);
    is("$status:$out:$err", "$exit\::", "a guest that ends with $value @arguments");
    my $said = status_of('status.json');
    is_deeply([ @$said{qw(cause exit guest_status)} ], [ 'exit', $exit, $guest ], 'the same in --status');
}
ends(@$_) for [ 0, 0, 0 ], [ 1, 1, 1 ], [ 99, 99, 99 ], [ 100, 99, 100 ], [ 110, 99, 110 ], [ 256, 99, 256 ],
  [ 65535, 99, 65535 ];
my @isa = ('--set', 'device.exit0.convention=isa');
ends(@$_, @isa) for [ 0, 1, 1 ], [ 42, 85, 85 ], [ 50, 99, 101 ];

# A halt for good, in any width of code: 0.
spew('hlt.ini', guest('f4'));
my ($status, $out, $err) = run([ $minivmm, '-c', 'hlt.ini', @status ]);
is("$status:$out:$err", '0::', 'hlt');
is(status_of('status.json')->{cause}, 'hlt', 'hlt in --status');
($status, $out, $err) = run([ $minivmm, '-c', 'hlt.ini', @status, '--set', 'vm.irqchip=on' ]);
is("$status:$out:$err", '0::', 'hlt with interrupt controllers: IF is 0, so nothing will come');

# Several vCPUs are halted for good when all are: those that nobody has started wait for the first,
# and for nobody else.
($status, $out, $err) = run([ $minivmm, '-c', "$configs/code.ini", map { ('--set', $_) } 'vm.irqchip=on', 'vm.cpus=3' ]);
is("$status:$out:$err", "0:Hi\n:", 'three vCPUs, two of which were never started');
my @point = ('--until', 'hlt', '--save', 'three.snap');
is((run([ $minivmm, '-c', "$configs/code.ini", @point, map { ('--set', $_) } 'vm.irqchip=on', 'vm.cpus=3' ]))[0], 0, 'the point hlt of three');
is_deeply([ map { $_->{halted} ? 1 : 0 } @{ inspect('three.snap')->{vcpus} } ], [ (1) x 3 ], 'all of them are');
is(join(':', run([ $minivmm, '-r', 'three.snap' ])), '0::', 'and are so when restored');

# One that was put to INIT and not started: protected mode, movl $1 << 24,0xfee00310; movl
# $0x4500,0xfee00300; cli; hlt
spew('init.ini', guest('c7 05 10 03 e0 fe 00 00 00 01 c7 05 00 03 e0 fe 00 45 00 00 fa f4'));
is(join(':', run([ $minivmm, '-c', 'init.ini', map { ('--set', $_) } 'vm.irqchip=on', 'vm.cpus=2', 'cpu.mode=protected' ], timeout => 20)),
    '0::', 'two vCPUs, one of which was put to INIT');

# Long mode, the IDT empty (lidt at 0x2000), then a load from where nothing is mapped: a page fault,
# a double, a triple.
my @long = ('--set', 'vm.memory=64K', '--set', 'cpu.mode=long');
my $lidt = '0f 01 1c 25 00 20 00 00';
spew('triple.ini', guest("$lidt 48 a1 00 00 00 00 ff 7f 00 00 f4"));
($status, $out, $err) = run([ $minivmm, '-c', 'triple.ini', @long, @status, '--registers' ]);
is("$status:$out", '100:', 'triple fault');
like($err, qr/\Aminivmm: vCPU 0: triple fault\n/, 'it says so');
is(registers($err)->{rip}, 0x1008, '--registers shows where');
is_deeply([ @{ status_of('status.json') }{qw(cause exit)} ], [ 'shutdown', 100 ], 'the same in --status');
like($err, qr/ cr2 0x7fff00000000 .* at rip: 48 a1 00 00 00 00 ff 7f 00 00 f4 /, 'and what');

# A load of 80 bits from where no memory is: KVM can't emulate it, and the machine can't go on.
my $fld = 'db 2c 25 00 00 01 00';
spew('internal.ini', guest("b0 07 $fld f4"));
($status, $out, $err) = run([ $minivmm, '-c', 'internal.ini', @long, @status ]);
is("$status:$out", '101:', 'KVM internal error');
like($err, qr/\Aminivmm: vCPU 0: KVM internal error 1: it cannot emulate the instruction at rip\n/, 'it says so');
is_deeply([ @{ registers($err) }{qw(rip rax)} ], [ 0x1002, 7 ], 'with the registers');
like($err, qr/; at rip: $fld f4 /, 'and the bytes at rip');
is_deeply([ @{ status_of('status.json') }{qw(cause exit)} ], [ 'internal', 101 ], 'the same in --status');
spew('nowhere.ini', guest('ea 00 00 00 f0'));    # ljmp to where there is nothing
($status, $out, $err) = run([ $minivmm, '-c', 'nowhere.ini' ]);
is("$status:$out", '101:', 'a jump to where no memory is');
like($err, qr/; at rip: not in memory\n/, 'has no bytes at rip');

# A snapshot that was asked for and did not come to be: the machine goes on, the process ends with
# it.
mkdir 'a-folder';
($status, $out, $err) = run([ $minivmm, '-c', "$configs/simple.ini", '--at', 'access:1', '--save', 'a-folder' ]);
is("$status:$out", "113:4\n", 'a snapshot that can\'t be written');
like($err, qr/\Aminivmm: cannot write snapshot a-folder: it is a directory; .*\n\z/, 'is said, once');

# Traces and status lines that can't be written.
for my $option ('--trace', '--status') {
    ($status, $out, $err) = run([ $minivmm, '-c', "$configs/simple-in.ini", $option, 'no/x' ]);
    is($status, 113, "$option: status");
    like($err, qr/\Aminivmm: cannot write the \w+ to no\/x: No such file or directory\n\z/, "$option says why");
    ($status, $out, $err) = run([ $minivmm, '-c', "$configs/simple-in.ini", $option, '/dev/full' ]);
    is("$status:$out", "113:5\n", "$option /dev/full: status, and the guest is not disturbed");
    like($err, qr/the \w+ in \/dev\/full is not complete: No space left on device\n\z/, "$option /dev/full says why");
}

done_testing;
