/* SPDX-License-Identifier: BSD-2-Clause */
/* Echoes the input of the serial port until Ctrl-D, with interrupts for input and output (IRQ 4).
 * Real mode with the PIC; memory at 0. It halts between interrupts. */
	.code16
	.set	STACK, 0x8000
	.set	RING, 0x7000	/* 256 bytes */
	.set	BASE, 0x3f8
	.set	CTRL_D, 4

	mov	$STACK, %sp
	movw	$on_serial, (0x24 * 4)
	movw	$0, (0x24 * 4 + 2)
	mov	$0x13, %al	/* ICW1: edge-triggered, single, ICW4 follows */
	out	%al, $0x20
	mov	$0x20, %al	/* ICW2: vectors 0x20 to 0x27 */
	out	%al, $0x21
	mov	$0x01, %al	/* ICW4: 8086 */
	out	%al, $0x21
	mov	$0xef, %al	/* IRQ 4 */
	out	%al, $0x21

	mov	$greeting, %si
	call	say
	mov	$BASE + 3, %dx
	mov	$0x03, %al	/* 8n1; FIFOs off: enabling them drops waiting input */
	out	%al, %dx
	mov	$BASE + 4, %dx
	mov	$0x0b, %al	/* DTR, RTS, OUT2 */
	out	%al, %dx
	call	want

1:	cli
	mov	tail, %al
	cmp	head, %al	/* nothing more to send */
	jne	2f
	cmpb	$0, ended
	jne	3f
2:	sti
	hlt			/* no interrupt can occur between the two */
	jmp	1b
3:	mov	$BASE + 1, %dx
	xor	%al, %al
	out	%al, %dx
	mov	$farewell, %si
	call	say
	hlt

/* Serves the UART until no interrupt is pending: the PIC detects only edges. */
on_serial:
	push	%ax
	push	%bx
	push	%dx
again:	mov	$BASE + 2, %dx	/* IIR */
	in	%dx, %al
	test	$1, %al
	jnz	served
	and	$0x0e, %al
	cmp	$2, %al
	je	send
	mov	$BASE + 5, %dx	/* LSR */
	in	%dx, %al
	test	$1, %al
	jz	again
	mov	$BASE, %dx
	in	%dx, %al
	call	take
	jmp	again

/* Adds the byte in al to the ring, a return as two bytes; Ctrl-D ends. */
take:	cmp	$CTRL_D, %al
	jne	1f
	movb	$1, ended
	jmp	want
1:	call	put
	cmp	$'\r', %al
	jne	want
	mov	$'\n', %al
	call	put

/* Enables the receive interrupt while the ring has room, and the transmit interrupt while it has
 * data. */
want:	mov	head, %ah
	sub	tail, %ah
	mov	$0x01, %al
	jz	1f
	mov	$0x03, %al
	cmp	$250, %ah
	jb	1f
	mov	$0x02, %al
1:	mov	$BASE + 1, %dx	/* IER */
	out	%al, %dx
	ret

put:	movzbw	head, %bx
	mov	%al, RING(%bx)
	incb	head
	ret

send:	movzbw	tail, %bx
	mov	RING(%bx), %al
	incb	tail
	mov	$BASE, %dx
	out	%al, %dx
	call	want
	jmp	again

served:	mov	$0x20, %al	/* end of interrupt */
	out	%al, $0x20
	pop	%dx
	pop	%bx
	pop	%ax
	iret

#include "say.inc"

greeting:
	.asciz	"What you type comes back; Ctrl-D ends.\r\n"
farewell:
	.asciz	"\r\nbye\r\n"
head:	.byte	0
tail:	.byte	0
ended:	.byte	0
