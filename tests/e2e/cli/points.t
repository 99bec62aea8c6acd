#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Stop conditions: where each kind stops, repetition counts, --until, --at and --save, and a restore
# at each one.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;

# Three times: writes a letter to the serial port, then to the unclaimed address 0x8000; then hlt.
#   1000 mov $0x3f8,%dx   1003 mov $'a',%al
#   1005 out %al,%dx      1006 mov %al,0x8000   1009 inc %al   100b cmp $'d',%al   100d jne 1005
#   100f hlt
spew('abc.ini', guest('ba f8 03 b0 61 ee a2 00 80 fe c0 3c 64 75 f6 f4'));
my @run = ($minivmm, '-c', 'abc.ini', '--log', 'error');

# The status, stdout and registers of a run, and those of a restore of its snapshot.
sub go {
    my (@arguments) = @_;
    my ($status, $out, $err) = run([ @arguments, '--registers', '--status', 'status.json' ]);
    my $said = status_of('status.json');
    return { status => $status, out => $out, err => $err, cause => $said->{cause}, %{ registers($err) } };
}
is(go(@run)->{out}, 'abc', 'uninterrupted');

# Stop condition, output so far, rip. A write is complete: rip is at the next instruction.
my @cases = (
    [ 'rip:0x1005', '', 0x1005 ],
    [ 'rip:0x1005:2', 'a', 0x1005 ],
    [ 'rip:0x1005:3', 'ab', 0x1005 ],
    [ 'rip:0x100f', 'abc', 0x100f ],
    [ 'pio:0x3f8', 'a', 0x1006 ],
    [ 'pio:0x3f8:3', 'abc', 0x1006 ],
    [ 'mmio:0x8000', 'a', 0x1009 ],
    [ 'mmio:0x8000:2', 'ab', 0x1009 ],
    [ 'access:1', 'a', 0x1006 ],
    [ 'access:2', 'a', 0x1009 ],
    [ 'access:5', 'abc', 0x1006 ],
    [ 'step:1', '', 0x1003 ],
    [ 'step:2', '', 0x1005 ],
    [ 'hlt', 'abc', 0x1010 ],
    [ 'output:serial0:b', 'ab', 0x1006 ],
    [ 'output:serial0:bc', 'abc', 0x1006 ],
);
for (@cases) {
    my ($point, $out, $rip) = @$_;
    my $until = go(@run, '--until', $point, '--save', 'x.snap');
    is_deeply([ @$until{qw(status out cause rip)} ], [ 0, $out, 'point', $rip ], "--until $point");
    is(inspect('x.snap')->{vcpus}[0]{regs}{rip}, $rip, "$point: the snapshot contains the state at this point");
    my $rest = go($minivmm, '-r', 'x.snap');
    is_deeply([ @$rest{qw(status out cause rip)} ], [ 0, substr('abc', length $out), 'hlt', 0x1010 ], "$point: a restore prints the rest");
    my $at = go(@run, '--at', $point, '--save', 'y.snap');
    is_deeply([ @$at{qw(status out cause rip)} ], [ 0, 'abc', 'hlt', 0x1010 ], "--at $point continues to the end");
    is(inspect('y.snap')->{vcpus}[0]{regs}{rip}, $rip, "$point: the snapshot contains the same state");
    unlink 'x.snap', 'y.snap';
}

# Without --save no snapshot is written.
my $before = names();
is(go(@run, '--until', 'access:2')->{out}, 'a', '--until without --save');
is(names(), $before, '--until without --save writes no file');

# A condition that holds at the start is not hit, in a fresh machine and in a restored one.
is(go(@run, '--until', 'rip:0x1000')->{out}, 'abc', 'rip of the first instruction is not hit at the start');
is(go(@run, '--until', 'time:0')->{cause}, 'hlt', 'time:0 is not hit at the start');
go(@run, '--until', 'rip:0x1005', '--save', 'x.snap');
my $again = go($minivmm, '-r', 'x.snap', '--until', 'rip:0x1005');
is_deeply([ @$again{qw(out cause rip)} ], [ 'a', 'point', 0x1005 ], 'a restored machine hits its condition the next time');
$again = go($minivmm, '-r', 'x.snap', '--until', 'rip:0x1005:2', '--save', 'x.snap');
is_deeply([ @$again{qw(out rip)} ], [ 'ab', 0x1005 ], 'a second restore, saved over its own file');
is(go($minivmm, '-r', 'x.snap')->{out}, 'c', 'the saved file can be restored');
go(@run, '--until', 'hlt', '--save', 'x.snap');
is_deeply([ @{ go($minivmm, '-r', 'x.snap', '--until', 'hlt') }{qw(out cause)} ], [ '', 'hlt' ], 'a restored machine that has halted is halted');

# Conditions that are never hit.
is_deeply([ @{ go(@run, '--until', 'rip:0x1000:2') }{qw(status out cause)} ], [ 0, 'abc', 'hlt' ], 'the guest ends before the condition');
is_deeply([ @{ go(@run, '--at', 'pio:0x80', '--save', 'z.snap') }{qw(status out)} ], [ 0, 'abc' ], 'the guest ends before another condition');
ok(!-e 'z.snap', 'no snapshot is written');

# A condition that was not hit is reported.
sub said_of { return (run([ @_ ]))[2] =~ s/^minivmm: warning: unclaimed .*\n//gmr }
my @warn = ($minivmm, '-c', 'abc.ini', '--log', 'warn');
is(said_of(@warn, '--at', 'pio:0x81', '--save', 'z.snap'),
    "minivmm: warning: stop condition pio:0x81 was not hit: no snapshot written\n", '--at: reports that no snapshot was written');
is(said_of(@warn, '--until', 'pio:0x81', '--save', 'z.snap'),
    "minivmm: warning: stop condition pio:0x81 was not hit: no snapshot written\n", '--until: reports that no snapshot was written');
is(said_of(@warn, '--until', 'rip:0x1000:2'), "minivmm: warning: stop condition rip:0x1000:2 was not hit: the guest ended first\n",
    '--until without --save: reports that the guest ended first');
go(@run, '--until', 'access:3', '--save', 'x.snap');
like(said_of($minivmm, '-r', 'x.snap', '--log', 'warn', '--until', 'time:1ns'),
    qr/\Aminivmm: warning: stop condition time:1ns is in the past: the VM's clock shows \d+ ns\n\z/, 'a time in the past is reported');

# A device without output.
spew('mute.ini', slurp('abc.ini') . "[device c]\nplugin = counter\naddress = 0x9000\n"
      . "[snapshot]\nat = output:c:a\nfile = x.snap\n");
fails([ $minivmm, '-c', 'mute.ini' ], 110,
    qr/mute\.ini:15: output:c:a: device c \(plugin counter\) has no output stream/, 'refused: output: of a device without output');

# Accesses to memory do not leave the guest.
fails([ @run, '--until', 'mmio:0x1fff' ], 110, qr/--until: mmio:0x1fff: this address is guest memory/,
    'refused: mio: at an address in memory');

# Each step is one instruction, here inc %ax, of one byte.
spew('steps.ini', guest('40 ' x 10 . 'f4'));
for my $steps (1, 5, 10) {
    my $until = go($minivmm, '-c', 'steps.ini', '--until', "step:$steps", '--save', 'x.snap');
    is_deeply([ @$until{qw(rax rip)} ], [ $steps, 0x1000 + $steps ], "step:$steps");
    is(go($minivmm, '-r', 'x.snap')->{rax}, 10, "step:$steps: a restore executes the rest");
}
my $until = go($minivmm, '-c', 'steps.ini', '--until', 'step:3', '--save', 'x.snap');
$until = go($minivmm, '-r', 'x.snap', '--until', 'step:4');
is($until->{rax}, 7, 'steps count from the restore');

# Interrupts are not delivered during a step: KVM would push flags with the trap flag set, and IRET
# would load them. Interrupt 8 of the PIT, each millisecond, writes "!" at 0x103a; sti; 1: inc %bx;
# jmp 1b. All in real mode: some software KVMs do not single-step through CPL 3. Vector 1 has no
# handler.
spew('ticks.ini', <<'END');
[vm]
memory = 64K
irqchip = on
[cpu]
mode = real
rip = 0x1000
cs.base = 0
cs.selector = 0
[boot]
at = 0x1000
code = fa31c08ed88ed0bc0070 c70620003a10c70622000000 b011e620b008e621b004e621b001e621b0fee621 b034e643b0a9e640b004e640 fb43ebfd 5052baf803b021eeb020e6205a58cf
[device serial0]
plugin = serial
output = stdio
END
is((run([ $minivmm, '-c', 'ticks.ini', '--until', 'output:serial0:!!!', '--save', 'x.snap' ]))[0], 0, 'a guest with a timer interrupt');
for my $steps (50, 100, 150, 200) {
    is((run([ $minivmm, '-r', 'x.snap', '--log', 'error', '--until', "step:$steps", '--save', 'y.snap' ]))[0], 0, "step:$steps between interrupts");
    my ($status, $out, $err) = run([ $minivmm, '-r', 'y.snap', '--log', 'error', '--until', 'output:serial0:!!!' ]);
    is("$status:$out", '0:!!!', 'the guest continues after it') or diag($err);
}

# A KVM that cannot block interrupts in single-stepping: only a machine without interrupts can be
# stepped there.
my @live = ($minivmm, '-c', "$configs/live.ini", '--log', 'error', map { ('--set', $_) } qw(vm.memory=4M cpu.r8=5000 cpu.r13=30));
my @old = (LD_PRELOAD => "$build/tests/preload/kvm.so", KVM_LACKS => 195);
fails([ @live, '--until', 'step:5' ], 111, qr/step: needs a KVM that blocks interrupts during single-stepping/, 'refused: step: in a machine with interrupts', @old);
is((run([ $minivmm, '-c', 'steps.ini', '--until', 'step:5', '--registers' ], @old))[2] =~ /\brax 0x5\b/, 1, 'step: in a machine without interrupts');
{
    my $process = start([ @live, '--set', 'cpu.r13=0' ], @old, stdout => '/dev/null');
    my $control = Control->connect('vm.sock');
    like($control->request('until step:5')->{error}, qr/\Astep:5 needs a KVM that blocks interrupts during single-stepping/, 'refused: step: over the control socket');
    is($control->request('status')->{state}, 'running', 'the machine continues');
    $control->request('quit');
    finish($process);
}

# time: is the VM's time; a restored machine continues from it.
spew('busy.ini', guest('40 eb fd'));
my $busy = go($minivmm, '-c', 'busy.ini', '--until', 'time:20ms', '--save', 'x.snap');
is_deeply([ @$busy{qw(status cause)} ], [ 0, 'point' ], 'time');
my $time = inspect('x.snap')->{machine}{time};
cmp_ok($time, '>=', 20_000_000, 'time: is hit');
$busy = go($minivmm, '-r', 'x.snap', '--until', 'time:' . ($time + 10_000_000) . 'ns');
my $ended = status_of('status.json')->{time_ns};
ok($ended >= $time + 10_000_000 && $busy->{cause} eq 'point', 'a restored machine continues from the same time');

# The command line overrides [snapshot].
my @simple = ($minivmm, '-c', "$configs/simple.ini", '--log', 'error');
unlink 'x.snap';
is(go(@simple, '--until', 'access:1')->{out}, '4', '--until instead of [snapshot]');
is(go(@simple, '--at', 'access:1', '--save', 'x.snap')->{out}, "4\n", '--at instead of [snapshot]');
ok(!-e 'simple.snap' && -e 'x.snap', '--at writes only its own file');

# The help and an error message list the same stop conditions as the table that the completion uses.
my @forms = map { (split /\t/)[1] } split /\n/, (run([ $minivmm, 'completion', '--', '--until', '' ]))[1];
cmp_ok(scalar @forms, '>=', 8, 'all stop conditions');
my ($conditions) = (run([ $minivmm, '--help' ]))[1] =~ /^CONDITION:(.*?)\(:N: the Nth/ms;
is(join(' ', split ' ', $conditions =~ s/\[:N\]//gr), "@forms", 'are in --help');
is((run([ @run, '--until', 'lunch' ]))[2] =~ s/.* use //sr, join(', ', @forms) =~ s/(.*), /$1 or /r . "\n", 'are in the error message');

# Combinations that are refused, and texts that are not stop conditions.
for (
    [ [ '--save', 'x' ], qr/--save needs --until, --at or --timeout: use --until CONDITION, --until CONDITION --save FILE, --at CONDITION --save FILE, or --timeout TIME --save FILE/ ],
    [ [ '--at', 'hlt' ], qr/--at needs --save: use --until CONDITION, / ],
    [ [ '--at', 'hlt', '--until', 'hlt', '--save', 'x' ], qr/give either --until or --at: use --until CONDITION, / ],
    [ [ '--until', 'rip' ], qr/--until: rip has no number after its kind, as in rip:0x1005/ ],
    [ [ '--at', 'pio:0x10000', '--save', 'x' ], qr/--at: pio:0x10000 names a port above 0xffff/ ],
    [ [ '--until', 'access:0' ], qr/--until: access:0 counts from 1/ ],
    [ [ '--until', 'output:serial0' ], qr/--until: output:serial0 must look like output:DEVICE:TEXT/ ],
    [ [ '--until', 'output:serail0:a' ], qr/--until: output:serail0:a: there is no device serail0; did you mean serial0\?/ ],
    [ [ '--until', 'output:x:a', '--check' ], qr/--until: output:x:a: there is no device x$/ ],
    [ [ '--until', 'lunch' ], qr/--until: lunch is not a stop condition; use rip:ADDR, / ],
  ) {
    my ($arguments, $message) = @$_;
    fails([ @run, @$arguments ], 110, $message, "@$arguments");
}
ok(!-e 'x', 'no file is written');

done_testing;
