/* SPDX-License-Identifier: BSD-2-Clause */
/* The FIFOs of a 16550A. Seventeen bytes in loopback mode overrun the receive FIFO of sixteen. Two
 * bytes from outside stay below the trigger level until the receive timeout. */
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
	put	4, 0x10			/* MCR: loopback; input waits in the stream */
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
	test	$0x02, %al		/* the read has cleared it */
	jnz	wrong
	mov	$17, %cl
2:	mov	$PORT, %dx
	in	%dx, %al
	cmp	%cl, %al
	jne	wrong
	dec	%cl
	cmp	$1, %cl			/* the last byte was lost */
	jne	2b

	put	4, 0x03			/* MCR: loopback off, DTR and RTS */
	mov	$overrun, %si
	call	say
	put	1, 0x01			/* IER: received data */
	mov	$PORT + 2, %dx
3:	in	%dx, %al
	cmp	$0xcc, %al		/* IIR: timeout, FIFOs on */
	jne	3b
	mov	$timeout, %si
	call	say
	mov	$PORT + 2, %dx
	in	%dx, %al
	cmp	$0xcc, %al		/* until a byte is read */
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
