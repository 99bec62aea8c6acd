/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The FIFOs of a 16550A: seventeen bytes through the loop-back overrun the sixteenth's place; two
 * bytes from outside stay below the trigger level, until the time-out asks for them.
 */
	.code16
	.set	PORT, 0x3f8
	.macro	put register, value
	mov	$PORT + \register, %dx
	mov	$\value, %al
	out	%al, %dx
	.endm

	mov	$0x5000, %sp
	put	3, 0x83			/* LCR: divisor */
	put	0, 0x06			/* 19200 baud: four characters take 2 ms */
	put	1, 0x00
	put	3, 0x03			/* 8 bits, no parity, 1 stop */
	put	4, 0x10			/* MCR: loop-back; input waits outside */
	put	2, 0xc7			/* FCR: FIFOs on and empty, trigger at 14 */
	mov	$17, %cx
	mov	$PORT, %dx
1:	mov	%cl, %al
	out	%al, %dx
	loop	1b

	mov	$PORT + 5, %dx
	in	%dx, %al
	test	$0x02, %al		/* LSR: overrun */
	jz	wrong
	in	%dx, %al
	test	$0x02, %al		/* the read took it back */
	jnz	wrong
	mov	$17, %cl
2:	mov	$PORT, %dx
	in	%dx, %al
	cmp	%cl, %al
	jne	wrong
	dec	%cl
	cmp	$1, %cl			/* the last was lost */
	jne	2b

	put	4, 0x03			/* MCR: out of the loop-back, DTR and RTS */
	mov	$overrun, %si
	call	say
	put	1, 0x01			/* IER: received data */
	mov	$PORT + 2, %dx
3:	in	%dx, %al
	cmp	$0xcc, %al		/* IIR: time-out, FIFOs on */
	jne	3b
	mov	$timeout, %si
	call	say
	mov	$PORT + 2, %dx
	in	%dx, %al
	cmp	$0xcc, %al		/* until a byte is taken */
	jne	wrong
	mov	$PORT, %dx
	in	%dx, %al
	out	%al, %dx
	in	%dx, %al
	out	%al, %dx
	mov	$newline, %si
	call	say
	hlt

wrong:	put	4, 0x03
	mov	$failed, %si
	call	say
	hlt

#include "say.inc"

overrun:
	.asciz	"overrun, "
timeout:
	.asciz	"time-out: "
failed:	.asciz	"wrong"
newline:
	.asciz	"\n"
