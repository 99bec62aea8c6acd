#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# --timeout, alone and with --save; and snapshots at a triple fault.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# A loop: mov $3,%al; jmp .
spew('loop.ini', guest('b0 03 eb fe'));
spew('halts.ini', guest('f4'));
my @status = ('--status', 'status.json');

my ($status, $out, $err) = run([ $minivmm, '-c', 'loop.ini', '--timeout', '20ms', @status ]);
is("$status:$out:$err", '124::', 'a run that lasts too long');
is_deeply([ @{ status_of('status.json') }{qw(cause exit)} ], [ 'timeout', 124 ], '--status has the cause');
($status, $out, $err) = run([ $minivmm, '-c', 'halts.ini', '--timeout', '100s', @status ]);
is("$status:$out:$err", '0::', 'a run that ends before');
is(status_of('status.json')->{cause}, 'hlt', '--status has its cause');

# With --save: a snapshot of the loop, which can be restored, and has its own time. A busy host may
# need some until the guest executes anything.
($status, $out, $err) = run([ $minivmm, '-c', 'loop.ini', '--timeout', '20ms', '--save', 'loop.snap' ]);
is("$status:$out:$err", "124::minivmm: snapshot written to loop.snap\n", 'a snapshot at the timeout');
is(inspect('loop.snap')->{machine}{end}, 0, 'it is of a machine that runs');
($status, $out, $err) = run([ $minivmm, '-r', 'loop.snap', '--timeout', '500ms', '--registers' ]);
is("$status:$out", '124:', 'a restored machine');
is(registers($err)->{rip}, 0x1002, 'it continues the loop');
($status, $out, $err) = run([ $minivmm, '-c', 'halts.ini', '--timeout', '100s', '--save', 'none.snap' ]);
is("$status:$out:$err", "0::minivmm: warning: the machine ended before the timeout: no snapshot written\n", 'an end before the timeout');
ok(!-e 'none.snap', 'no file is written');

# The time can be up before the guest has executed anything, which is then still to come.
spew('prints.ini', guest('ba f8 03 b0 41 ee eb fe'));
($status, $out, $err) = run([ $minivmm, '-c', 'prints.ini', '--timeout', '1ns', '--save', 'short.snap' ]);
my $begun = $out;
is("$status:$err", "124:minivmm: snapshot written to short.snap\n", 'the shortest time');
($status, $out, $err) = run([ $minivmm, '-r', 'short.snap', '--until', 'output:serial0:A' ]) if $begun eq '';
is($begun || "$status:$out:$err", $begun ? 'A' : '0:A:', 'its snapshot continues');

# With a stop condition: what comes first.
($status, $out, $err) = run([ $minivmm, '-c', 'loop.ini', '--timeout', '100s', '--until', 'rip:0x1002', '--save', 'at.snap' ]);
is("$status:$err", "0:minivmm: snapshot written to at.snap\n", 'the stop condition comes first');
($status, $out, $err) = run([ $minivmm, '-c', 'loop.ini', '--timeout', '20ms', '--until', 'rip:0x2000', '--save', 'never.snap' ]);
is("$status:$err", "124:minivmm: warning: stop condition rip:0x2000 was not hit: no snapshot written\n", 'the timeout comes first');
ok(!-e 'never.snap', 'no file is written then');
($status, $out, $err) = run([ $minivmm, '-c', 'loop.ini', '--timeout', '2s', '--at', 'rip:0x1002', '--save', 'at2.snap' ]);
is("$status:$err", "124:minivmm: snapshot written to at2.snap\n", '--at, then the timeout');

($status, $out, $err) = run([ $minivmm, '-c', 'loop.ini', '--timeout', '20ms', '--save', 'no/x' ]);
is($status, 113, 'a snapshot that cannot be written') or diag($err);

($status, $out, $err) = run([ $minivmm, '-c', 'halts.ini', '--timeout', '18446744073709551615ns' ]);
is("$status:$out:$err", '0::', 'the longest time');
for my $case (
    [ '5', qr/--timeout 5 has no unit; write 5s, 5ms, 5us or 5ns/ ],
    [ '0s', qr/--timeout needs a time above 0, not 0s/ ],
    [ 'x', qr/--timeout x / ],
    [ '5m', qr/--timeout 5m / ],
  ) {
    fails([ $minivmm, '-c', 'loop.ini', '--timeout', $case->[0] ], 110, $case->[1], "refused: --timeout $case->[0]");
}

# A triple fault leaves a snapshot: long mode, an empty IDT (lidt at 0x2000), a load from an
# unmapped address.
my $lidt = '0f 01 1c 25 00 20 00 00';
my $fault = guest("$lidt 48 a1 00 00 00 00 ff 7f 00 00 f4", "[cpu]\nmode = long\n") =~ s/16K/64K/r;
spew('fault.ini', $fault);
spew('leaves.ini', "$fault\n[snapshot]\nat = shutdown\nfile = leaves.snap\n");
for my $case ([ 'leaves.snap', 'leaves.ini' ], [ 'until.snap', 'fault.ini', '--until', 'shutdown' ], [ 'kept.snap', 'fault.ini', '--at', 'shutdown' ]) {
    my ($file, $config, @arguments) = @$case;
    ($status, $out, $err) = run([ $minivmm, '-c', $config, @arguments, @arguments ? ('--save', $file) : (), @status ]);
    is("$status:$out", '100:', "$file: the status is that of the fault");
    like($err, qr/\Aminivmm: snapshot written to \Q$file\E\nminivmm: vCPU 0: triple fault at rip 0x\w+, cr2 0x/, "$file: the messages");
    is(status_of('status.json')->{cause}, 'shutdown', "$file: the cause");
    ($status, $out, $err) = run([ $minivmm, '-r', $file ]);
    is("$status:$out", '100:', "$file: a restore ends at once, in the same way");
    like($err, qr/\Aminivmm: vCPU 0: triple fault at rip /, "$file: and says why");
}
my $rip = registers((run([ $minivmm, '-c', 'fault.ini', '--registers' ]))[2])->{rip};
my $saved = inspect('leaves.snap')->{vcpus}[0]{regs}{rip};
is($saved =~ /^0x/ ? hex $saved : $saved, $rip, 'the snapshot has the registers');
SKIP: {
    skip 'KVM has reset the registers', 2 if $rip == 0xfff0;
    is($rip, 0x1008, 'rip is that of the fault');
    like((run([ $minivmm, 'inspect', 'leaves.snap' ]))[1], qr/^  at rip: 48 a1 00 00 00 00 ff 7f 00 00 f4 /m, 'inspect shows the instruction');
}
# On AMD, KVM has reset the registers.
($status, $out, $err) = run([ $minivmm, '-c', 'fault.ini' ], LD_PRELOAD => "$build/tests/preload/kvm.so", KVM_RESETS => 1);
is("$status:$out:$err", <<'END', 'the message says that the registers are those of a reset');
100::minivmm: vCPU 0: triple fault at rip 0xfff0, cr2 0x0; at rip: not in memory
minivmm: on AMD, KVM resets the registers before it reports a triple fault: they are those of a reset, not of the fault; the last lines of --trace FILE lead to it
END
($status, $out, $err) = run([ $minivmm, '-c', 'halts.ini', '--until', 'shutdown', '--save', 'none.snap' ]);
is("$status:$err", "0:minivmm: warning: stop condition shutdown was not hit: no snapshot written\n", 'no triple fault, no snapshot');
fails([ $minivmm, '-c', 'halts.ini', '--until', 'shutdown:1' ], 110, qr/shutdown takes no value/, 'refused: a value');

# A panic that the guest reports to a device leaves a snapshot, once.
spew('panics.ini', slurp("$configs/pvpanic.ini") =~ s{\.\./}{$configs/../}r . "\n[snapshot]\nat = panic\nfile = panics.snap\n");
for my $case ([ 'panics.snap', 'panics.ini' ], [ 'until.snap', "$configs/pvpanic.ini", '--until', 'panic' ], [ 'kept.snap', "$configs/pvpanic.ini", '--at', 'panic' ]) {
    my ($file, $config, @arguments) = @$case;
    unlink $file;
    ($status, $out, $err) = run([ $minivmm, '-c', $config, @arguments, @arguments ? ('--save', $file) : (), @status ]);
    is("$status:$out", "102:3\n", "$file: the status is that of the panic");
    like($err, qr/panic0: the guest has panicked\nminivmm: snapshot written to \Q$file\E\n\z/, "$file: the messages");
    is(status_of('status.json')->{cause}, 'panic', "$file: the cause");
    is(join(':', run([ $minivmm, '-r', $file ])), '102::', "$file: a restore ends at once, in the same way");
}
is(inspect('panics.snap')->{vcpus}[0]{regs}{rip} & 0xff00, 0x1000, 'the snapshot has the registers');
($status, $out, $err) = run([ $minivmm, '-c', 'halts.ini', '--until', 'panic', '--save', 'none.snap' ]);
is("$status:$err", "0:minivmm: warning: stop condition panic was not hit: no snapshot written\n", 'no panic, no snapshot');

# A KVM error prints the registers of the vCPU once, also with --registers. With several vCPUs the
# others follow.
spew('internal.ini', guest('db 2c 25 00 00 01 00', "[cpu]\nmode = long\n") =~ s/16K/64K/r);
for my $arguments ([], ['--registers']) {
    ($status, $out, $err) = run([ $minivmm, '-c', 'internal.ini', @$arguments ]);
    is("$status:" . (() = $err =~ / rip 0x/g), '101:1', "the registers of status 101 @$arguments");
}
($status, $out, $err) = run([ $minivmm, '-c', 'internal.ini', '--registers', '--set', 'vm.cpus=2', '--set', 'vm.irqchip=yes' ]);
is(join(' ', $err =~ /vCPU (\d) rip/g), '0 1', 'two vCPUs');

done_testing;
