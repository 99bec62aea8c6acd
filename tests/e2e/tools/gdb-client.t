#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Clients of the tool gdb come and go: the machine stops, runs on and ends as they say. Their
# breakpoints are in no snapshot.
use v5.14;
use warnings;
use lib 'tests/lib';

use Gdb;
use JSON::PP 'decode_json';
use Minivmm;
use Test::More;

sub shows {
    my ($text, $pattern, $name) = @_;
    ok(scalar($text =~ $pattern), $name) or diag($text);
}

# Two vCPUs count at 0x3000 and 0x3004. The second is started from the first, by INIT and SIPI.
build_guest('two', <<'E');
	.code32
_start:	mov	$0xfee00300, %edi
	movl	$0xc4500, (%edi)
	movl	$0xc4602, (%edi)
first:	incl	0x3000
	jmp	first
	.org	0x1000
	.code16
second:	incl	0x3004
	jmp	second
E
spew('two.ini', "[vm]\nmemory_at = 0x1000\nmemory = 64K\ncpus = 2\nirqchip = on\n\n[boot]\nimage = two.bin\n\n[cpu]\nmode = protected\n\n"
      . "[control]\nsocket = two.ctl\n");

sub ctl {
    my ($status, $out, $err) = run([ $minivmm, 'ctl', '--json', 'two.ctl', @_ ]);
    is("$status:$err", '0:', "ctl @_");
    return $status ? {} : numbers(decode_json($out));
}

# The counters, as numbers.
sub counts {
    my ($client) = @_;
    return unpack 'VV', pack 'H*', $client->ask('m3000,8');
}

sub runs {
    my $client = shift;
    my ($a, $b) = map { ctl('memory', '0x3000', '8')->{bytes} } 1, 2;
    return until_true { ctl('memory', '0x3000', '8')->{bytes} ne $a };
}

my $machine = debugged('two.sock', [ '-c', 'two.ini' ]);
my $client = packet_client('two.sock');
like($client->ask('qSupported:swbreak+;hwbreak+'), qr/PacketSize=10000;/, 'qSupported');
is($client->ask('QStartNoAckMode'), 'OK', 'no acknowledgements');
like($client->ask('?'), qr/^T05thread:1;/, 'a client stops the machine');
is(ctl('status')->{state}, 'paused', 'ctl status says so');
my @before = counts($client);
is_deeply([ counts($client) ], \@before, 'nothing runs');

# Ctrl-C, until both vCPUs run.
my @now = (0, 0);
for (1 .. 500) {
    $client->send('c');
    select undef, undef, undef, 0.01;
    $client->bytes("\x03");
    like($client->receive, qr/^T02thread:1;/, 'Ctrl-C') if $_ == 1;
    $client->receive if $_ > 1;
    @now = counts($client);
    last if $now[0] > $before[0] && $now[1];
}
cmp_ok($now[0], '>', $before[0], 'the first vCPU has run');
cmp_ok($now[1], '>', 0, 'and the second');

# A step of one vCPU leaves the other where it is.
my @rip = map { $client->ask("Hg$_"); $client->ask('p10') } 1, 2;
my $step = $client->ask('vCont;s:2;c');
like($step, qr/^T05thread:2;/, 'a step of the second vCPU');
isnt($client->ask('p10'), $rip[1], 'moves it');
$client->ask('Hg1');
is($client->ask('p10'), $rip[0], 'and not the first');

# Both at a breakpoint.
is($client->ask('Z0,2000,1'), 'OK', 'a breakpoint in the second');
like($client->ask('vCont;c'), qr/^T05thread:2;/, 'is hit');

# --- Snapshots ---

my $code = ctl('memory', '0x2000', '8')->{bytes};
ctl('snapshot', 'two.snap');
is(ctl('memory', '0x2000', '8')->{bytes}, $code, 'guest memory has no breakpoint in a pause');
like($client->ask('vCont;c'), qr/^T05thread:2;/, 'after a snapshot the breakpoint is there');
$client->send('c');
ctl('snapshot', 'running.snap');
$client->close;
ok(runs(), 'a client that goes leaves the machine running');

my $restored = debugged('restored.sock', [ '-r', 'two.snap', '--set', 'control.socket=restored.ctl', '-S' ], options => ',architecture=i386');
my $text = gdb('restored.sock', [ 'info threads', 'thread 2', 'p/x $pc', 'x/2xb 0x2000', 'stepi', 'break *0x1011', 'continue', 'monitor status', 'kill' ]);
shows($text, qr/^  1 .*32-bit.*\n\* 2 |\* 1 .*32-bit.*\n  2 .*real mode/m, 'gdb sees the vCPUs of a restored machine');
shows($text, qr/^0x2000:\s+0x66\s+0xff/m, 'its memory has no breakpoint');
shows($text, qr/^state: paused$/m, 'monitor status');
is((finish($restored))[0], 0, 'kill ends it');

$restored = debugged('running.sock', [ '-r', 'running.snap', '--set', 'control.socket=none', '-S' ]);
$client = packet_client('running.sock');
is($client->ask('m2000,8'), $code, 'a snapshot of the running machine has no breakpoint');
$client->send('k');
is((finish($restored))[0], 0, 'k ends it');
$client->close;

# --- Clients ---

# The next one, and gdb that is killed.
$client = packet_client('two.sock');
$client->ask('?');
my $second = packet_client('two.sock');
$second->send('qC');
is($second->receive(0.2), undef, 'a second client waits');
$client->close;
is($second->receive, 'QC1', 'until the first has gone');
$second->ask('D');
ok(runs(), 'D: the machine runs');
$second->close;

my $gdb = gdb_start('two.sock', [ 'break *0x2000', 'continue', 'continue' ]);
ok(until_true(sub { ctl('status')->{state} eq 'running' && runs() }, 60), 'gdb is there');
kill KILL => $gdb->{pid};
finish($gdb);
ok(until_true(sub { runs() }), 'a killed gdb leaves the machine running');

# An operator's pause.
$client = packet_client('two.sock');
$client->ask('?');
$client->send('c');
ctl('pause');
is($client->receive(0.2), undef, "an operator's pause is no stop for the client");
$client->bytes("\x03");
like($client->receive, qr/^T02/, 'which can stop the paused machine');
$client->send('c');
ok(until_true(sub { ctl('status')->{state} eq 'running' }), "and continue it");
$client->bytes("\x03");
$client->receive;
ctl('pause');
$client->close;
ok(until_true(sub { ctl('tool', 'list')->{tools}[0]{holds} ? 0 : 1 }), 'the client goes');
is(ctl('status')->{state}, 'paused', "the operator's pause stays");
ctl('resume');

# Other protocols.
$client = packet_client('two.sock');
$client->bytes("GET / HTTP/1.1\r\n\r\n+\$k#6b");
ok(until_true(sub { said($machine) =~ /is ignored until it disconnects/ }), 'a client of another protocol is ignored');
is(ctl('status')->{state}, 'running', 'and does not stop the machine');
$client->close;

# Tools come and go.
like(ctl('tool', 'add', 'gdb:listen=unix-listen:more.sock')->{tool}, qr/^gdb-2$/, 'tool add');
$client = packet_client('more.sock');
like($client->ask('?'), qr/^T05/, 'its client stops the machine');
ctl('tool', 'remove', 'gdb-2');
ok(runs(), 'without the tool it runs');
is($client->receive, undef, 'and the client is disconnected');
$client->close;

$client = packet_client('two.sock');
is($client->ask('vKill;1'), 'OK', 'vKill');
is((finish($machine))[0], 0, 'ends the machine');

done_testing();
