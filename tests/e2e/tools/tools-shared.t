#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Tools beside other users of a machine: stop conditions, branches, other vCPUs, its end.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Puppet;
use Test::More;

$ENV{MINIVMM_PLUGIN_PATH} = "$build/tests/plugins";

# 1000: mov $0,%cx; 1003: inc %ax; 1004: add $2,%bx; 1007: mov %bx,0x2000; 100b: mov 0x2004,%dx;
# 100f: jmp 0x1003
spew('loop.ini', guest('b9 00 00 40 83 c3 02 89 1e 00 20 8b 16 04 20 eb f2', "[control]\nsocket = loop\n"));
my @puppet = qw(--set device.serial0.output=none --tool puppet:listen=unix-listen:p);

# Starts a machine; returns its process, the puppet and a client of its socket.
sub machine {
    my ($config, @more) = @_;
    my $process = start([ $minivmm, '-c', $config, @puppet, @more ]);
    return ($process, Puppet->connect('p'), Control->connect('loop'));
}

sub is_running { return $_[0]->request('status')->{state} eq 'running' }

my ($process, $puppet, $control) = machine('loop.ini');

# A branch begins without the pause of a tool.
is($puppet->event_of('pause'), 'STOPPED pause vcpu 0 address 0x0', 'the tool holds the machine');
SKIP: {
    skip 'ThreadSanitizer does not support branches', 3 if !$branches;
    ok($control->request('branch twig')->{ok}, 'a branch of a machine that a tool holds');
    my $twig = Control->connect('twig');
    is($twig->request('status')->{state}, 'running', 'runs');
    is($control->request('status')->{state}, 'paused', 'the machine is still held');
    $twig->request('quit');
}

# A stop condition at the address of a breakpoint: both stop the machine, in either order.
for my $kind (qw(hard soft)) {
    is($puppet->ask("break $kind 1007"), '0', "a $kind breakpoint");
    my $until = Control->connect('loop');
    $until->send("until rip:0x1007\n");
    until_true { $control->request('status')->{until} };
    $puppet->ask('set rip 0x1003'); # wherever the pause found it
    my $rbx = $puppet->register('rbx');
    is($puppet->ask('resume'), '0', 'the machine runs to both');
    my $reply = $kind eq 'soft' && $until->line;
    $control->request('resume') if $reply;
    is($puppet->event, 'STOPPED breakpoint vcpu 0 address 0x1007', 'the breakpoint is hit');
    is($puppet->register('rbx'), $rbx + 2, 'in the same round');
    is($puppet->ask('step 0'), '0', 'a step');
    if (!$reply) {
        $reply = $until->line;
        is($control->request('status')->{state}, 'paused', 'stops at the condition');
        $control->request('resume');
    }
    like($reply, qr/"ok":true/, 'the stop condition is hit');
    is($puppet->event, 'STOPPED step vcpu 0 address 0x0', 'the step ends');
    is($puppet->register('rip'), 0x100b, 'behind the instruction');
    is($puppet->ask("clear $kind 1007"), '0', 'the breakpoint is cleared');
}

# One tool at a time steps.
is($control->request('tool add puppet:listen=unix-listen:q')->{tool}, 'puppet-2', 'another tool');
my $other = Puppet->connect('q');
is($other->event_of('pause'), 'STOPPED pause vcpu 0 address 0x0', 'holds the machine, too');
is($puppet->ask('step 0'), '-1', 'the first cannot step');
is($other->ask('resume'), '0', 'until the other lets go');
is($puppet->event_of('step 0'), 'STOPPED step vcpu 0 address 0x0', 'now it can');

# A tool is removed while its command runs; the command ends.
is($other->ask('command until rip:0x9000'), '1', 'a command that never ends');
until_true { $control->request('status')->{until} };
is($puppet->ask('break soft 1007'), '0', 'a breakpoint');
ok($control->request('tool remove puppet-2')->{ok}, 'its tool is removed');
until_true { !$control->request('status')->{until} };
is($puppet->event_of('resume'), 'STOPPED breakpoint vcpu 0 address 0x1007', 'the breakpoint of the first is hit');
is($puppet->ask('resume'), '0', 'the machine runs');
is($puppet->event, 'STOPPED breakpoint vcpu 0 address 0x1007', 'and hits it at once');
ok($control->request('tool remove puppet')->{ok}, 'the tool is removed');
until_true { is_running($control) };

# One that cannot start.
like($control->request('tool add puppet:listen=unix-listen:no/such/folder')->{error}, qr/tool puppet: listen = unix-listen:no\/such\/folder: cannot /, 'a tool that cannot start');
is_deeply($control->request('tool list')->{tools}, [], 'is not there');
ok(is_running($control), 'and the machine runs on');
$control->request('quit');
finish($process);
my ($status, $out, $err) = run([ $minivmm, '-c', 'loop.ini', '--tool', 'puppet:listen=unix-listen:no/such/folder' ]);
is($status, 113, 'it ends a machine that starts');
like($err, qr/tool puppet: listen = unix-listen:no\/such\/folder: cannot /, 'with the reason');

# A machine ends during a step.
spew('hlt.ini', guest('f4', "[control]\nsocket = loop\n"));
($process, $puppet) = machine('hlt.ini', '-S');
is($puppet->event_of('pause'), 'STOPPED pause vcpu 0 address 0x0', 'a tool holds a machine before HLT');
is($puppet->ask('command resume'), '1', 'the operator does not');
is($puppet->event, 'ANSWERED 1 {"state":"paused"}', 'any more');
is($puppet->event_of('step 0'), 'ENDED hlt 0', 'a step ends the machine');
is((finish($process))[0], 0, 'which has halted');

# Two vCPUs. 1000: write the other's code to 0x2000; INIT and SIPI for 0x2000;
# 1028: add $1,%ebx; jmp 1028. 2000: add $1,%bx; jmp 2000.
spew('two.ini', "[vm]\nmemory = 64K\ncpus = 2\nirqchip = on\nmemory_at = 0x1000\n\n[cpu]\nmode = protected\n\n[control]\nsocket = loop\n\n[boot]\ncode = "
      . "c7050020000083c301eb c70504200000fb909090 c7050003e0fe00450c00 c7050003e0fe02460c00 83c301 ebfb\n");
$process = start([ $minivmm, qw(-c two.ini --tool puppet:listen=unix-listen:p) ]);
$puppet = Puppet->connect('p');
my @rbx;
my $rbx = sub { return hex(($puppet->ask("general $_[0]") =~ /rbx 0x([0-9a-f]+)/)[0] // 0) };
until_true {
    $puppet->event_of('pause');
    @rbx = map { $rbx->($_) } 0, 1;
    $puppet->ask('resume') if !$rbx[0] || !$rbx[1];
    $rbx[0] && $rbx[1];
};
is($puppet->ask("break soft $_"), '0', "a breakpoint at 0x$_") for 1028, 2000;
my (%hits, @wrong);
for my $hit (1 .. 20) {
    my $event = $puppet->event_of('resume');
    my ($vcpu) = $event =~ /\ASTOPPED breakpoint vcpu (\d) address 0x(?:1028|2000)\z/ or push @wrong, $event;
    last if @wrong;
    my $now = $rbx->($vcpu);
    # The other vCPU's register has 16 bits.
    push @wrong, "vCPU $vcpu: $now after $rbx[$vcpu]" if $hits{$vcpu}++ && ($now - $rbx[$vcpu] & 0xffff) != 1;
    $rbx[$vcpu] = $now;
    $event = $puppet->event_of("step $vcpu");
    push @wrong, $event if $event !~ /\ASTOPPED step vcpu $vcpu /;
}
is("@wrong", '', 'each round of each vCPU hits its breakpoint once');
is(join(' ', sort keys %hits), '0 1', 'both vCPUs get there, in turn');
Control->connect('loop')->request('quit');
finish($process);

done_testing;
