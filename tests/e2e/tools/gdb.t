#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Debian's gdb debugs guests of 16, 32 and 64 bits, with and without symbols.
use v5.14;
use warnings;
use lib 'tests/lib';

use Gdb;
use Minivmm;
use Test::More;

sub shows {
    my ($text, $pattern, $name) = @_;
    ok(scalar($text =~ $pattern), $name) or diag($text);
}

# --- 64 bits, an ELF file with symbols ---

my $machine = debugged('elf.sock', [ '-c', "$configs/elf.ini", '-S' ]);
my $text = gdb('elf.sock', [
    'info threads', 'x/i $pc', 'stepi', 'p/x $pc', 'info registers rdi cs cr0 efer', 'break say', 'continue', 'x/s $rsi',
    'set {char[4]}$rsi = "GDB"', 'set var $rbx = 0x1122334455667788', 'p/x $rbx', 'set var $xmm1.v2_int64[1] = 7', 'p $xmm1.v2_int64',
    'set var $ymm2.v4_int64[3] = 9', 'p $ymm2.v4_int64[3]', 'p $fctrl', 'p $lstar', 'info mem', 'detach'
], "$top/build/guests/elf.elf");
shows($text, qr/\* 1 .*\(vCPU 0: 64-bit, CPL 0\)/, 'info threads');
shows($text, qr/=> 0x1000:\s+mov +\$0x[0-9a-f]+,%edi/, 'x/i');
shows($text, qr/^\$1 = 0x1005$/m, 'stepi');
shows($text, qr/^cr0 .*\[.*\bPE\b.*\bPG\b.*\]$/m, 'the bits of a control register');
shows($text, qr/^efer .*\[.*\bLMA\b.*\]$/m, 'and of EFER');
shows($text, qr/Breakpoint 1, 0x[0-9a-f]+ in say \(\)/, 'a breakpoint at a symbol');
shows($text, qr/"ELF: ok\\n"/, 'x/s');
shows($text, qr/= 0x1122334455667788$/m, 'a register is written');
shows($text, qr/= \{0, 7\}$/m, 'an XMM register is written');
shows($text, qr/^\$\d+ = 9$/m, 'the upper half of a YMM register is written');
shows($text, qr/= 895$/m, 'the x87 control word');
shows($text, qr/^1 .*0x8000000000000000 0x10000000000000000 rw/m, 'the memory map');
my ($status, $out, $err) = finish($machine);
is("$status:$err", '0:', 'after detach the guest runs to its end');
like($out, qr/^GDB/, 'it prints what gdb has written');

# --- Source lines; hardware breakpoints, watchpoints, instructions of one byte; the end ---

my $loop = build_guest('loop', <<'E');
	.code64
	.globl	_start, count, done
_start:	mov	$100, %ecx
again:	incl	count
	nop
	push	%rcx
	pop	%rcx
	dec	%ecx
	jnz	again
done:	mov	$42, %al
	out	%al, $0xf4
	hlt
	.data
	.balign	8
count:	.quad	0
E
spew('loop.ini', "[vm]\nmemory_at = 0x1000\nmemory = 64K\n\n[boot]\nimage = loop.elf\nformat = elf\n\n[cpu]\nmode = long\n\n"
      . "[device serial0]\nplugin = serial\noutput = stdio\n\n[device exit0]\nplugin = debug-exit\n");
$machine = debugged('loop.sock', [ '-c', 'loop.ini', '-S' ]);
$text = gdb('loop.sock', [
    'step', 'step', 'p *(int *)&count',
    'break loop.S:6', 'continue', 'x/i $pc', 'continue', 'delete',
    # By single steps.
    'set can-use-hw-watchpoints 0', 'watch *(int *)&count', 'continue', 'delete',
    'hbreak done', 'continue', 'p *(int *)&count', 'info registers rcx', 'continue', 'p $_exitcode'
], $loop);
shows($text, qr/^again \(\) at loop\.S:4\n.*^\$1 = 1\n/ms, 'step, by source lines');
shows($text, qr/Breakpoint 1, again \(\) at loop\.S:6\n.*=> 0x[0-9a-f]+ <again\+\d+>:\s+push +%rcx\n.*Breakpoint 1/s, 'a breakpoint at an instruction of one byte');
shows($text, qr/^Watchpoint 2: .*Old value = 2\nNew value = 3\n/ms, 'a watchpoint of gdb');
shows($text, qr/Breakpoint 3, done \(\).*\n\$\d+ = 100\nrcx +0x0 /s, 'a hardware breakpoint');
shows($text, qr/exited with code 052\]\n\$\d+ = 42$/m, 'the exit status of the guest');
is((finish($machine))[0], 42, 'is that of minivmm');

# Watchpoints, where KVM reports them.
$machine = debugged('watch.sock', [ '-c', 'loop.ini', '-S' ]);
my $client = packet_client('watch.sock');
my ($count) = (run([ 'nm', $loop ]))[1] =~ /^(\w+) . count$/m;
$client->ask('?');
my $watches = $client->ask("Z2,$count,4") eq 'OK';
$client->ask('D') if !$watches;
$client->close;
SKIP: {
    skip 'this KVM does not report watchpoints', 2 if !$watches;
    $text = gdb('watch.sock', [
        'watch *(int *)&count', 'continue', 'continue', 'delete',
        'awatch *(int *)&count if *(int *)&count == 50', 'continue', 'p *(int *)&count', 'delete', 'continue'
    ], $loop);
    shows($text, qr/Hardware watchpoint 1: \*\(int \*\)&count\n\nOld value = \d+\nNew value = \d+\n/, 'a watchpoint');
    shows($text, qr/Hardware access \(read\/write\) watchpoint 2.*\n\$\d+ = 50\n/s, 'a watchpoint with a condition');
}
is((finish($machine))[0], 42, 'the guest ends');

# A triple fault.
$machine = debugged('fault.sock', [ '-c', 'loop.ini', '-S' ]);
$text = gdb('fault.sock', [ 'set var $idt_limit = 0', 'set {short}$pc = 0x0b0f', 'continue' ], $loop);
shows($text, qr/terminated with signal SIGSEGV.*^the machine has ended: shutdown$/ms, 'a triple fault');
is((finish($machine))[0], 100, 'ends minivmm');

# --- 16 and 32 bits ---

$machine = debugged('real.sock', [ '-c', "$configs/simple.ini", '-S' ], options => ',architecture=i8086');
$text = gdb('real.sock', [
    'x/2i $pc', 'break *0x1005', 'continue', 'info registers eax cs_base cr0', 'x/i $pc', 'set var $eax = 7', 'info threads',
    'continue'
]);
shows($text, qr/=> 0x1000:\s+mov +\$0x3f8,%dx\n\s+0x1003:\s+add +%bl,%al/, '16 bits: x/i');
shows($text, qr/^eax +0x4 /m, 'info registers');
shows($text, qr/=> 0x1005:\s+add +\$0x30,%al/, 'a breakpoint');
shows($text, qr/vCPU 0: real mode/, 'info threads names the mode');
shows($text, qr/exited normally/, 'the guest halts');
($status, $out, $err) = finish($machine);
is("$status:$out", "0:7\n", 'with the register that gdb has written');

spew('base.ini', "[vm]\nmemory_at = 0x1000\nmemory = 64K\n\n[boot]\ncode = 90 90 90 b8 05 00 e6 f4 f4\n\n[cpu]\nmode = real\n"
      . "cs.selector = 0x100\ncs.base = 0x1000\nrip = 0\n\n[device exit0]\nplugin = debug-exit\n");
$machine = debugged('base.sock', [ '-c', 'base.ini', '-S' ], options => ',architecture=i8086');
$text = gdb('base.sock', [ 'p/x $pc', 'x/i $cs_base + $pc', 'break *0x1003', 'continue', 'p/x $pc', 'delete', 'continue' ]);
shows($text, qr/^\$1 = 0x0\n\s+0x1000:\s+nop/m, 'a segment with a base: pc is the offset');
shows($text, qr/SIGTRAP.*\n\$2 = 0x3\n/s, 'a breakpoint is set by the linear address');
is((finish($machine))[0], 5, 'the guest ends');

$machine = debugged('protected.sock', [ '-c', "$configs/protected.ini", '-S' ], options => ',architecture=i386');
$text = gdb('protected.sock', [ 'x/2i $pc', 'stepi', 'info registers eip', 'info threads', 'detach' ]);
shows($text, qr/vCPU 0: 32-bit, CPL 0/, '32 bits');
like((finish($machine))[1], qr/ok/, 'the guest ends');

done_testing();
