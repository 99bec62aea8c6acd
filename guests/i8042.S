/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Probes the keyboard controller as Linux's i8042 driver does: runs the self-test, writes the
 * command byte, and loops a byte through the mouse port. It also stores a byte in the controller's
 * RAM. It prints "8042" if all is correct, then resets the machine. Real mode.
 */
	.code16
	.set	DATA, 0x60
	.set	COMMAND, 0x64

	.macro	command value
	mov	$\value, %al
	out	%al, $COMMAND
	.endm
	.macro	data value
	mov	$\value, %al
	out	%al, $DATA
	.endm
	/* Compares the status, then the byte in the output buffer. */
	.macro	expect status, value
	in	$COMMAND, %al
	cmp	$\status, %al
	jne	bad
	in	$DATA, %al
	cmp	$\value, %al
	jne	bad
	.endm

	mov	$0x5000, %sp
	in	$COMMAND, %al
	cmp	$0x1c, %al
	jne	bad
	command	0xaa		/* self-test */
	expect	0x1d, 0x55
	command	0x60		/* command byte: no interrupts, both ports off */
	data	0x74
	command	0x20
	expect	0x1d, 0x74
	command	0xd3		/* as if the mouse had sent it */
	data	0x5a
	expect	0x35, 0x5a
	command	0xa9		/* test of the mouse port */
	expect	0x1d, 0
	command	0xa8		/* enables the mouse port */
	command	0x20
	expect	0x1d, 0x54
	data	0xf2		/* to the keyboard, which is missing */
	expect	0x55, 0xfe
	in	$DATA, %al	/* the buffer keeps its last byte */
	cmp	$0xfe, %al
	jne	bad
	command	0x71		/* RAM */
	data	0x99
	command	0xd1		/* A20 */
	data	0xdd
	command	0x31
	expect	0x1d, 0x99
	command	0xd0
	expect	0x1d, 0xcd

	mov	$text, %si
	call	say
	command	0xfe
1:	hlt			/* the machine ends soon, not at once */
	jmp	1b
bad:	hlt

	.include "say.inc"

text:	.asciz	"8042\n"
