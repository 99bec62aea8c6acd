/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes memory forever at a chosen rate, and keeps a hash of it. By the hash, an observer of the
 * machine can check at any time whether its memory is consistent. Long mode. The writer runs at CPL
 * 3. The PIT's interrupt handler runs at CPL 0; on each tick it prints a line,
 *
 *   tick N W H	in hex: number of the tick, writes so far, hash after these writes
 *
 * and grants the writer the number of writes of one tick. A writer without granted writes sleeps.
 *
 * Registers at the start (configs/live.ini sets them):
 *
 *   r8   writes granted per tick
 *   r9   pages to write, from FIRST on; 0, or more than exist: all up to the page tables
 *   r10  0: pages in order; 1: random pages
 *   r11  ticks per second, 19 or more
 *   r12  ticks between two recomputations of the hash from memory by the writer; 0: only at the
 *        end. On a mismatch, prints "corrupt" and writes 1 to debug-exit
 *   r13  ticks after which it recomputes the hash and ends with "live: ok"; 0: never
 *   r14  seed of the random values, not 0
 *   r15  1: a tick that finds writes still granted does not count, so that the output depends only
 *        on these registers
 *
 * BLOCK contains 8-byte little-endian numbers:
 *
 *   0x00 "minilive"
 *   0x08 N     ticks
 *   0x10 W     writes completed
 *   0x18 H     hash: the sum over all pages of the first 8 bytes times
 *              ((address >> 11) + 1) * ODD
 *   0x20       journal: address of the page
 *   0x28       value before the write
 *   0x30       value after the write
 *   0x38       number of the write
 *   0x40       FIRST
 *   0x48       pages
 *   0x50       r14
 *   0x58       r10
 *   0x60       r8
 *
 * A write has five steps. Between any two instructions, the machine is in one of these states,
 * named by the last step:
 *
 *   1 the journal's first three words         number = W      H matches memory
 *   2 the journal's number                    number = W + 1  H matches memory; the page
 *                                             contains "before"
 *   3 the page                                number = W + 1  the page contains "after"; H plus
 *                                             (after - before) * its factor matches memory
 *   4 W and H, both in one instruction        number = W      H matches memory
 *
 * Value n is number n of xorshift64 (Marsaglia 2003: 13, 7, 17) seeded with r14. Its page is n - 1
 * modulo pages, or the upper 64 bits of (value * STAR modulo 2^64) * pages. The rest of each page
 * stays 0, as do pages that are not written yet. tests/tools/livehash.c checks all of this.
 */
	.code64

	.set	BLOCK, 0x8000
	.set	TICKS, BLOCK + 0x08
	.set	WRITES, BLOCK + 0x10	/* 16-byte aligned, with HASH */
	.set	HASH, BLOCK + 0x18
	.set	JOURNAL, BLOCK + 0x20
	.set	FIRST, 0x10000
	.set	PAGES, BLOCK + 0x48
	.set	STACK, 0x8000		/* of CPL 0; CPL 3 uses no stack */
	.set	ODD, 0x9e3779b97f4a7c15
	.set	STAR, 0x2545f4914f6cdd1d

	.set	KERNEL_CODE, 0x08
	.set	USER_DATA, 0x1b
	.set	USER_CODE, 0x23
	.set	TSS, 0x28

/* Calls from CPL 3 to CPL 0, number in eax, by INT3. A KVM that runs CPL 3 natively and emulates
 * CPL 0 may not support INT n. */
	.set	WAIT, 0
	.set	CORRUPT, 1
	.set	DONE, 2

	mov	%rsp, %rax		/* start of the page tables */
	mov	$STACK, %esp
	sub	$FIRST, %rax
	jbe	no_room
	shr	$12, %rax
	cmp	%rax, %r9
	jae	1f
	test	%r9, %r9
	cmovnz	%r9, %rax
1:	mov	%rax, %r9

	movabs	$0x6576696c696e696d, %rax	/* "minilive" */
	mov	%rax, BLOCK
	movq	$FIRST, BLOCK + 0x40
	mov	%r9, PAGES
	mov	%r14, BLOCK + 0x50
	mov	%r10, BLOCK + 0x58
	mov	%r8, BLOCK + 0x60
	mov	%r8, rate
	mov	%r12, check_every
	mov	%r12, check_in
	mov	%r13, last
	mov	%r15, in_step

	lgdt	gdt_pointer
	lidt	idt_pointer
	mov	$TSS, %eax
	ltr	%ax
	mov	$USER_DATA, %eax
	mov	%eax, %ds		/* IRETQ would set it to null otherwise */
	mov	%eax, %es
	cld

	mov	$0x3fa, %dx		/* FCR: FIFOs on: a line is three writes of 16 bytes */
	mov	$0x01, %al
	out	%al, %dx
	mov	$0x13, %al		/* ICW1: edge-triggered, single, ICW4 follows */
	out	%al, $0x20
	mov	$0x20, %al		/* ICW2: vectors 0x20 to 0x27 */
	out	%al, $0x21
	mov	$0x01, %al		/* ICW4: 8086 */
	out	%al, $0x21
	mov	$0xfe, %al		/* IRQ 0 */
	out	%al, $0x21

	mov	$0xffff, %ecx		/* the PIT's second longest period: 55 ms */
	test	%r11d, %r11d
	jz	2f
	mov	$1193182, %eax
	xor	%edx, %edx
	div	%r11d
	cmp	%ecx, %eax
	cmova	%ecx, %eax
	mov	%eax, %ecx
2:	mov	$0x34, %al		/* channel 0: mode 2, both bytes */
	out	%al, $0x43
	mov	%cl, %al
	out	%al, $0x40
	mov	%ch, %al
	out	%al, $0x40

	mov	%r14, %r8
	xor	%r11, %r11
	movabs	$ODD, %r12
	movabs	$STAR, %r13
	pushq	$USER_DATA
	pushq	$0
	pushq	$0x202			/* IF */
	pushq	$USER_CODE
	pushq	$writer
	iretq

no_room:
	mov	$too_small, %esi
	call	say
	mov	$2, %eax
	jmp	end

/* ---- CPL 3. r8: the last value; r9: pages; r10: random pages; r11: the next page in order; r12,
 * r13: the two factors ---- */

writer:	cmpb	$0, due
	jne	check
	cmpq	$0, granted
	je	sleep

	mov	%r8, %rax
	shl	$13, %rax
	xor	%rax, %r8
	mov	%r8, %rax
	shr	$7, %rax
	xor	%rax, %r8
	mov	%r8, %rax
	shl	$17, %rax
	xor	%rax, %r8
	test	%r10, %r10
	jz	1f
	mov	%r13, %rax
	imul	%r8, %rax
	mul	%r9
	jmp	2f
1:	mov	%r11, %rdx
	xor	%eax, %eax
	inc	%r11
	cmp	%r9, %r11
	cmove	%rax, %r11
2:	shl	$12, %rdx
	add	$FIRST, %rdx

write:	mov	(%rdx), %rax
	mov	%rdx, JOURNAL
	mov	%rax, JOURNAL + 8
	mov	%r8, JOURNAL + 16
	mov	WRITES, %rcx
	inc	%rcx
	mov	%rcx, JOURNAL + 24
	mov	%r8, (%rdx)
	mov	%r8, %rsi
	sub	%rax, %rsi
	shr	$11, %rdx
	inc	%rdx
	imul	%r12, %rdx
	imul	%rdx, %rsi
	add	HASH, %rsi
	movq	%rcx, %xmm0
	movq	%rsi, %xmm1
	punpcklqdq %xmm1, %xmm0
	movaps	%xmm0, WRITES
written:
	decq	granted
	jmp	writer

sleep:	mov	$WAIT, %eax
	int3
	jmp	writer

check:	movb	$0, due
	mov	$FIRST, %edx
	mov	%r9, %rcx
	xor	%esi, %esi
3:	mov	%rdx, %rax
	shr	$11, %rax
	inc	%rax
	imul	%r12, %rax
	imul	(%rdx), %rax
	add	%rax, %rsi
	add	$4096, %rdx
	dec	%rcx
	jnz	3b
	mov	$CORRUPT, %eax
	cmp	HASH, %rsi
	jne	4f
	cmpb	$0, ended
	je	writer
	mov	$DONE, %eax
4:	int3

/* ---- CPL 0: interrupts are enabled only in its HLT ---- */

on_call:
	cmp	$CORRUPT, %eax
	je	corrupt
	ja	done
1:	cmpq	$0, granted		/* the tick may have occurred before the call */
	jne	2f
	cmpb	$0, due
	jne	2f
	sti
	hlt				/* no interrupt can occur between the two */
	cli
	jmp	1b
2:	iretq

corrupt:
	mov	$wrong, %esi
	call	say
	mov	$1, %eax
	jmp	end
done:	mov	$right, %esi
	call	say
	cli
	hlt

unexpected:
	mov	$exception, %esi
	call	say
	mov	$2, %eax
end:	out	%al, $0xf4
1:	pause				/* the machine ends soon, not at once */
	jmp	1b

on_tick:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	cmpb	$0, ended
	jne	5f
	cmpq	$0, in_step
	je	1f
	cmpq	$0, granted
	jne	5f

1:	incq	TICKS
	mov	$line + 5, %edi
	mov	TICKS, %eax
	call	hex
	inc	%edi
	mov	WRITES + 4, %eax
	call	hex
	mov	WRITES, %eax
	call	hex
	inc	%edi
	mov	HASH + 4, %eax
	call	hex
	mov	HASH, %eax
	call	hex
	mov	$line, %esi
	mov	$3, %edi
2:	mov	$0x3fd, %dx		/* LSR: the THR or FIFO is empty */
3:	in	%dx, %al
	test	$0x20, %al
	jz	3b
	mov	$0x3f8, %dx
	mov	$16, %ecx
	rep outsb
	dec	%edi
	jnz	2b

	mov	TICKS, %rax
	cmp	last, %rax		/* never equal if last is 0 */
	jne	4f
	movb	$1, ended
	movb	$1, due
	jmp	5f
4:	mov	rate, %rax
	add	%rax, granted
	cmpq	$0, check_every
	je	5f
	decq	check_in
	jnz	5f
	mov	check_every, %rax
	mov	%rax, check_in
	movb	$1, due
5:	mov	$0x20, %al		/* end of interrupt */
	out	%al, $0x20
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rax
on_spurious:
	iretq

/* Stores eax at rdi as eight hex digits and moves rdi past them. Computes all digits at once, one
 * per byte. Clobbers rax, rcx. */
hex:	.irp	shift, 16, 8, 4
	mov	%rax, %rcx
	shl	$\shift, %rcx
	or	%rcx, %rax
	and	spread_\shift, %rax
	.endr
	bswap	%rax
	mov	sixes, %rcx
	add	%rax, %rcx
	shr	$4, %rcx
	and	ones, %rcx		/* digits above 9 */
	imul	$'a' - '0' - 10, %rcx, %rcx
	add	%rcx, %rax
	add	zeros, %rax
	mov	%rax, (%rdi)
	add	$8, %edi
	ret

#include "say.inc"

	.balign	8
spread_16:
	.quad	0x0000ffff0000ffff
spread_8:
	.quad	0x00ff00ff00ff00ff
spread_4:
	.quad	0x0f0f0f0f0f0f0f0f
sixes:	.quad	0x0606060606060606
ones:	.quad	0x0101010101010101
zeros:	.quad	0x3030303030303030
line:	.ascii	"tick ........ ................ ................\n"
right:	.asciz	"live: ok\n"
wrong:	.asciz	"corrupt\n"
exception:
	.asciz	"live: an exception that should not be\n"
too_small:
	.asciz	"live: memory ends before 0x11000\n"

	.balign	8
gdt:	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
	.quad	0x00cff3000000ffff
	.quad	0x00affb000000ffff
	.word	0x67, tss, 0x8900, 0	/* TSS, available; no bitmap: no ports at CPL 3 */
	.quad	0
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt
idt_pointer:
	.word	idt_end - idt - 1
	.quad	idt
	.balign	8
tss:	.long	0
	.quad	STACK			/* RSP0 */
	.fill	90, 1, 0
	.word	0x68			/* offset of the bitmap */

	.macro	gate handler, attributes=0x8e00
	.word	\handler, KERNEL_CODE, \attributes, 0
	.quad	0
	.endm
	.balign	16
idt:	.rept	3
	gate	unexpected
	.endr
	gate	on_call, 0xee00		/* callable from CPL 3 */
	.rept	32 - 4
	gate	unexpected
	.endr
	gate	on_tick
	.rept	7
	gate	on_spurious
	.endr
idt_end:

	.balign	8
rate:	.quad	0
granted:
	.quad	0
in_step:
	.quad	0
check_every:
	.quad	0
check_in:
	.quad	0
last:	.quad	0
due:	.byte	0
ended:	.byte	0
