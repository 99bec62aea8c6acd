#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Tools: how a machine gets them, and what a tool can do with it.
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
my $code = 'b9 00 00 40 83 c3 02 89 1e 00 20 8b 16 04 20 eb f2';
spew('loop.ini', guest($code, "[control]\nsocket = loop\n"));
my @loop = ($minivmm, '-c', 'loop.ini', '--set', 'device.serial0.output=none');

sub machine { return start([ @loop, @_ ]) }
sub stop {
    my ($process) = @_;
    Control->connect('loop')->request('quit');
    is((finish($process))[0], 0, 'the machine ends');
}

# From the command line. It starts paused.
my $process = machine(qw(--tool puppet:listen=unix-listen:p -S));
my $puppet = Puppet->connect('p');
is($puppet->ask('state'), '0 vcpus 1 paused 1 held 0 others 1 ended 0 memory 0x1000+0x4000', 'the state of the machine');
is($puppet->ask('resume'), '-1', 'a machine that the tool does not hold cannot be resumed');
is($puppet->ask('step 0'), '-1', 'nor stepped');
is($puppet->event_of('pause'), 'STOPPED pause vcpu 0 address 0x0', 'the tool holds it');
is($puppet->ask('pause'), '-1', 'only once');
is($puppet->ask('general 0'), '0 rax 0x0 rbx 0x0 rip 0x1000 rflags 0x2', 'registers');
is($puppet->ask('general 1'), '-1', 'of a vCPU that does not exist');
is($puppet->ask('set rax 0x77'), '0 rax 0x77 rbx 0x0 rip 0x1000 rflags 0x2', 'a register is set');
like($puppet->ask('system 0'), qr/\A0 cs 0x0 base 0x0 attributes 0x9[0-9a-f] cr0 0x[0-9a-f]+ efer 0x0\z/, 'system registers, SSE and MSRs');
is($puppet->ask('peek 0x1000 17'), '0 ' . $code =~ s/ //gr, 'memory');
is($puppet->ask('peek 0x4fff 2'), '-1', 'memory that ends');
is($puppet->ask('poke 0x2004 0x5a'), '0', 'memory is written');
is($puppet->ask('poke 0x5000 1'), '-1', 'what is no memory is not');

# Another holds it, too: -S.
is($puppet->ask('resume'), '0', 'the tool no longer holds it');
like($puppet->ask('state'), qr/paused 1 held 0 others 1/, 'the machine stays paused for the operator');
is($puppet->event_of('pause'), 'STOPPED pause vcpu 0 address 0x0', 'the tool holds it again');
is($puppet->ask('command resume'), '1', 'a command has an id');
is($puppet->event, 'ANSWERED 1 {"state":"paused"}', 'its reply');
is($puppet->ask('command until'), '2', 'a command without its argument');
like($puppet->event, qr/\AANSWERED 2 until takes more arguments; usage: until CONDITION/, 'its error');

# Steps.
for my $rip (0x1003, 0x1004, 0x1007, 0x100b, 0x100f, 0x1003) {
    is($puppet->event_of('step 0'), 'STOPPED step vcpu 0 address 0x0', 'a step');
    is($puppet->register('rip'), $rip, sprintf 'to 0x%x', $rip);
}
is($puppet->register('rax'), 0x78, 'as far as it should');

# Breakpoints of both kinds. A step passes them.
for my $kind (qw(soft hard)) {
    is($puppet->ask("break $kind 1007"), '0', "a $kind breakpoint");
    is($puppet->ask("break $kind 1007"), '0', 'set twice');
    for my $round (1, 2) {
        my $rbx = $puppet->register('rbx');
        is($puppet->event_of('resume'), 'STOPPED breakpoint vcpu 0 address 0x1007', 'it is hit');
        is($puppet->register('rip'), 0x1007, 'before its instruction');
        is($puppet->register('rbx'), $rbx + 2, 'once in each round');
        is($puppet->ask('peek 0x1007 2'), '0 891e', 'the code is unchanged');
        is($puppet->event_of('step 0'), 'STOPPED step vcpu 0 address 0x0', 'a step passes it');
        is($puppet->register('rip'), 0x100b, 'by one instruction');
    }
    is($puppet->ask("clear $kind 1007"), '0',  'it is cleared');
    is($puppet->ask("clear $kind 1007"), '-1', 'once');
}
is($puppet->ask('break soft 9000'), '-1', 'no breakpoint where no memory is');
is($puppet->ask("break hard 300$_"), '0', "debug register $_") for 0 .. 3;
is($puppet->ask('break hard 3004'), '-1', 'there are four debug registers');
is($puppet->ask("clear hard 300$_"), '0', 'they are free again') for 0 .. 3;

# Watchpoints.
# A KVM in software may not report accesses: then they are refused.
my $watches = $puppet->ask('break write 2000 2') eq '0';
$puppet->ask('clear write 2000 2');
for my $watch ($watches ? ([ 'write 2000 2', 0x100b ], [ 'any 2004 2', 0x100f ]) : ()) {
    my ($what, $rip) = @$watch;
    my ($address) = $what =~ /(20\d\d)/;
    is($puppet->ask("break $what"), '0', "a watchpoint: $what");
    is($puppet->event_of('resume'), "STOPPED watchpoint vcpu 0 address 0x$address", 'it is hit');
    is($puppet->register('rip'), $rip, 'after the access');
    is($puppet->ask("clear $what"), '0', 'it is cleared');
}
is($puppet->ask("break $_"), '-1', "no watchpoint: $_") for 'write 2001 2', 'write 2000 3', 'any 2000 0', 'odd 2000 1';

# The machine runs; a pause stops it; what needs a pause is refused.
is($puppet->ask('resume'), '0', 'the machine runs');
my $control = Control->connect('loop');
until_true { $control->request('status')->{state} eq 'running' };
is($puppet->ask($_), '-1', "$_ is refused while it runs") for 'general 0', 'peek 0x1000 1', 'poke 0x2004 1', 'break soft 1007', 'step 0';
is($puppet->event_of('pause'), 'STOPPED pause vcpu 0 address 0x0', 'it is stopped');
is($control->request('status')->{state}, 'paused', 'for others, too');
is($control->request('resume')->{state}, 'paused', 'which cannot resume it');

# A snapshot does not contain a breakpoint, neither paused nor running.
is($puppet->ask('break soft 3000'), '0', 'a breakpoint that is never hit');
ok($control->request('snapshot paused.snap')->{ok}, 'a snapshot while the tool holds the machine');
is($puppet->ask('resume'), '0', 'the machine runs');
ok($control->request('snapshot running.snap live')->{ok}, 'a snapshot of the running machine');
ok($control->request('snapshot stands.snap paused')->{ok}, 'one that pauses it');
for my $snap (qw(paused.snap running.snap stands.snap)) {
    my ($status, $out) = run([ $minivmm, qw(inspect --dump 0x3000 4), $snap ]);
    like($out, qr/00 00 00 00/, "$snap: the bytes are those of the guest");
    is(scalar(grep { /puppet/ } map { $_->{plugin} } @{ inspect($snap)->{devices} }), 0, 'and the tool is not in it');
}

# It ends, and the tool learns of it.
ok($control->request('quit')->{ok}, 'the operator ends the machine');
is($puppet->event, 'ENDED quit 0', 'the tool is told');
finish($process);

# From the config; and what is wrong is named.
spew('tool.ini', guest($code, "[control]\nsocket = loop\n\n[tool puppet0]\nplugin = puppet\nlisten = unix-listen:p\n"));
$process = start([ $minivmm, qw(-c tool.ini --set device.serial0.output=none) ]);
$puppet = Puppet->connect('p');
$control = Control->connect('loop');
is_deeply($control->request('tool list')->{tools}, [ { name => 'puppet0', plugin => 'puppet', holds => JSON::PP::false } ], 'a tool of the config');

# More of them, at run time. Each has its own breakpoints.
is($control->request('tool add puppet:listen=unix-listen:q,,1')->{tool}, 'puppet', 'a tool is added; ",," is a comma');
is($control->request('tool add puppet')->{tool}, 'puppet-2', 'a second one gets another name');
my $other = Puppet->connect('q,1');
ok($other, 'its socket') or BAIL_OUT('no tool');
is($_->event_of('pause'), 'STOPPED pause vcpu 0 address 0x0', 'both hold the machine') for $puppet, $other;
is($_->ask('break soft 1007'), '0', 'both have a breakpoint at one address') for $puppet, $other;
is($puppet->ask('resume'), '0', 'one lets it run');
is($puppet->ask('step 0'), '-1', 'and cannot step then');
like($puppet->ask('state'), qr/paused 1 held 0 others 1/, 'the other holds it still');
is($other->ask('resume'), '0', 'now both let it run');
like($puppet->event, qr/\ASTOPPED breakpoint vcpu 0 address 0x1007\z/, 'the first that has it stops the machine');
is($puppet->ask('clear soft 1007'), '0', 'it clears its own');
is($puppet->event_of('step 0'), 'STOPPED step vcpu 0 address 0x0', 'and steps over the other');
is($puppet->ask('resume'), '0', 'it lets the machine run');
is($other->event, 'STOPPED breakpoint vcpu 0 address 0x1007', 'which the other stops');
ok($control->request('tool remove puppet')->{ok}, 'a tool that holds the machine is removed');
until_true { $control->request('status')->{state} eq 'running' };
is($control->request('status')->{state}, 'running', 'the machine runs on, without its breakpoint');
like($control->request('tool remove puppet')->{error}, qr/\Athere is no tool puppet/, 'it is gone');
like($control->request("tool $_")->{error}, qr/\S/, "tool $_ is refused") for 'show', 'add', 'list x', 'add serial', 'add puppet:x', 'add puppet:x=y', 'add :x=y', 'add nothing';
is($puppet->ask('command tool remove puppet0'), '1', 'a tool removes itself');
like($puppet->event, qr/\AANSWERED 1 tool puppet0 cannot remove itself/, 'and cannot');
stop($process);

fails([ $minivmm, '-c', 'loop.ini', '--tool', 'serial' ], 110, qr/--tool: plugin serial is a device, not a tool: name it in a section \[device serial\]/, 'a device as a tool');
fails([ $minivmm, '-c', 'loop.ini', '--tool', 'puppet:lisen=x' ], 110, qr/--tool: tool puppet: plugin puppet has no option lisen; did you mean listen\?/, 'an unknown option');
fails([ @loop, '--tool', 'puppet', '--set', 'vm.memory_file=nowhere/x' ], 113, qr/cannot open memory_file nowhere\/x/, 'a tool of a machine that cannot be built');
spew('device.ini', guest($code, "[device p]\nplugin = puppet\n"));
fails([ $minivmm, '-c', 'device.ini' ], 110, qr/device.ini:\d+: plugin puppet is a tool, not a device: name it in a section \[tool p\]/, 'a tool as a device');
fails([ $minivmm, '-c', 'tool.ini', '--set', 'tool.puppet1.listen=none' ], 110, qr/no tool puppet1; did you mean puppet0\?/, '--set of a tool that does not exist');
is((run([ $minivmm, '-c', 'tool.ini', '--check' ]))[0], 0, '--check loads the tools, too');
fails([ $minivmm, '-c', 'tool.ini', '--check', '--set', 'tool.puppet0.listen=nowhere:1' ], 110, qr/tool.puppet0/, 'and finds their mistakes');

# A restored machine, a reset and a branch.
$process = start([ $minivmm, qw(-r running.snap --set control.socket=loop --set device.serial0.output=none --tool puppet:listen=unix-listen:p) ]);
$puppet = Puppet->connect('p');
$control = Control->connect('loop');
is($puppet->event_of('pause'), 'STOPPED pause vcpu 0 address 0x0', 'a tool of a restored machine');
my ($saved) = map { $_->{regs}{rbx} } inspect('running.snap')->{vcpus}[0];
is($puppet->ask('break soft 1007'), '0', 'a breakpoint');
is($puppet->event_of('resume'), 'STOPPED breakpoint vcpu 0 address 0x1007', 'it is hit');
ok($control->request('reset')->{ok}, 'a reset');
is($puppet->event, 'REPLACED', 'the tool is told');
is($puppet->register('rbx'), $saved, 'the registers are those of the snapshot');
is($puppet->event_of('resume'), 'STOPPED breakpoint vcpu 0 address 0x1007', 'the breakpoint is still there');
SKIP: {
    skip 'ThreadSanitizer does not support branches', 3 if !$branches;
    ok($control->request('branch twig')->{ok}, 'a branch');
    my $twig = Control->connect('twig');
    is_deeply($twig->request('tool list')->{tools}, [], 'it has no tools');
    ok($twig->request('snapshot twig.snap')->{ok} && (run([ $minivmm, qw(inspect --dump 0x1007 2 twig.snap) ]))[1] =~ /89 1e/, 'nor a breakpoint');
    $twig->request('quit');
}
stop($process);

done_testing;
