/* SPDX-License-Identifier: BSD-2-Clause */
/* Two counter devices: one interrupts at the third read (IRQ 5), the other counts periods of its
 * timer and interrupts at the fifth (IRQ 10). Real mode with the PICs; memory at 0. */
	.code16
	.set	READS, 0x9000
	.set	PERIODS, 0xa000
	.set	STACK, 0x8000

	mov	$STACK, %sp
	movw	$on_reads, (0x25 * 4)
	movw	$0, (0x25 * 4 + 2)
	movw	$on_periods, (0x2a * 4)
	movw	$0, (0x2a * 4 + 2)
	movw	$on_spurious, (0x2f * 4)
	movw	$0, (0x2f * 4 + 2)

	mov	$0x11, %al	/* ICW1: edge-triggered, cascade, ICW4 follows */
	out	%al, $0x20
	out	%al, $0xa0
	mov	$0x20, %al	/* ICW2: vectors 0x20 to 0x27, 0x28 to 0x2f */
	out	%al, $0x21
	mov	$0x28, %al
	out	%al, $0xa1
	mov	$0x04, %al	/* ICW3: the slave is on IRQ 2 */
	out	%al, $0x21
	mov	$0x02, %al
	out	%al, $0xa1
	mov	$0x01, %al	/* ICW4: 8086 */
	out	%al, $0x21
	out	%al, $0xa1
	mov	$0x4d0, %dx	/* ELCR: IRQ 5 and 10 are level-triggered */
	mov	$0x20, %al
	out	%al, %dx
	inc	%dx
	mov	$0x04, %al
	out	%al, %dx
	mov	$0xdb, %al	/* IRQ 2 and 5 */
	out	%al, $0x21
	mov	$0xff, %al
	out	%al, $0xa1

	sti
1:	mov	READS, %eax
	add	$'0', %al
	mov	%al, digit
	mov	$digit, %si
	call	say
	cmpb	$0, seen_reads
	je	1b
	mov	$interrupt, %si
	call	say

	cli
	movl	$0, PERIODS
	mov	$0xfb, %al	/* IRQ 10 */
	out	%al, $0xa1
2:	cli
	cmpb	$0, seen_periods
	jne	3f
	sti
	hlt			/* no interrupt can occur between the two */
	jmp	2b
3:	sti			/* a line that is still high would interrupt again */
	in	$0xa1, %al
	nop
	cli
	mov	$timer, %si
	call	say
	cmpw	$0x0101, seen_reads
	je	4f
	mov	$again, %si
	call	say
4:	hlt

on_reads:
	push	%ax
	movl	$0, READS	/* lowers the line */
	incb	seen_reads
	mov	$0x20, %al	/* end of interrupt */
	out	%al, $0x20
	pop	%ax
	iret

on_periods:
	push	%eax
	mov	PERIODS, %eax	/* a read does not lower the line */
	movl	$0, PERIODS
	incb	seen_periods
	mov	$0x20, %al
	out	%al, $0xa0
	out	%al, $0x20
	pop	%eax
	iret

/* A spurious interrupt: its request appears while the slave is set up, and is gone at the
 * acknowledge. */
on_spurious:
	push	%ax
	mov	$0x20, %al
	out	%al, $0x20
	pop	%ax
	iret

#include "say.inc"

digit:	.asciz	"0"
interrupt:
	.asciz	": interrupt\n"
timer:	.asciz	"timer: interrupt\n"
again:	.asciz	"an interrupt came again\n"
seen_reads:
	.byte	0
seen_periods:
	.byte	0
