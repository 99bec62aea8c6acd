/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Probes the UART at 0x3f8 as Linux's 8250 driver does (autoconfig() in
 * drivers/tty/serial/8250/8250_port.c). It prints the result: nothing, 8250, 16450, 16550, 16550A,
 * or a later type, for which a 16550A must not be mistaken. Real mode.
 */
	.code16
	.set	BASE, 0x3f8
	.set	IER, BASE + 1
	.set	FCR, BASE + 2	/* write; read: IIR; EFR on some later chips with LCR set */
	.set	LCR, BASE + 3
	.set	MCR, BASE + 4
	.set	MSR, BASE + 6
	.set	SCR, BASE + 7

	.macro	write	register, value
	mov	$\register, %dx
	mov	$\value, %al
	out	%al, %dx
	.endm

	.macro	read	register
	mov	$\register, %dx
	in	%dx, %al
	.endm

	mov	$0x5000, %sp

	/* IER: exactly four bits can be set and cleared. */
	mov	$nothing, %si
	write	IER, 0
	read	IER
	test	$0x0f, %al
	jnz	found
	write	IER, 0x0f
	read	IER
	and	$0x0f, %al
	cmp	$0x0f, %al
	jne	found
	write	IER, 0

	/* Loopback: OUT2 and RTS come back as DCD and CTS. */
	write	MCR, 0x1a
	read	MSR
	and	$0xf0, %al
	cmp	$0x90, %al
	jne	found
	write	MCR, 0

	/* FIFOs: the top bits of IIR after enabling them. */
	write	LCR, 0xbf
	write	FCR, 0
	write	LCR, 0
	write	FCR, 0x01
	read	FCR
	shr	$6, %al
	mov	$unknown, %si
	cmp	$1, %al
	je	found
	mov	$uart_16550, %si
	cmp	$2, %al
	je	found
	cmp	$3, %al
	je	has_fifo

	/* Scratch register: missing on the first 8250s. */
	mov	$uart_8250, %si
	write	SCR, 0xa5
	read	SCR
	cmp	$0xa5, %al
	jne	found
	write	SCR, 0x5a
	read	SCR
	cmp	$0x5a, %al
	jne	found
	mov	$uart_16450, %si
	jmp	found

has_fifo:
	/* An EFR, with DLAB or with LCR = 0xbf, means a 16650 or later. */
	mov	$later, %si
	write	LCR, 0x80
	read	FCR
	test	%al, %al
	jz	found
	write	LCR, 0xbf
	read	FCR
	test	%al, %al
	jz	found
	/* National's super I/O chips show MCR in bank 2: loopback in both at once. */
	write	LCR, 0
	write	MCR, 0
	write	LCR, 0xe0
	read	FCR
	test	$0x10, %al
	jnz	other
	write	LCR, 0
	write	MCR, 0x10
	write	LCR, 0xe0
	read	FCR
	test	$0x10, %al
	jnz	found
other:	write	LCR, 0
	write	MCR, 0
	/* 64-byte FIFO of a 16750. */
	write	FCR, 0x01
	write	LCR, 0x80
	write	FCR, 0x21
	read	FCR
	shr	$5, %al
	cmp	$7, %al
	je	found
	write	FCR, 0x01
	write	LCR, 0
	/* The enable bit of an XScale's UART, in IER. */
	write	IER, 0x40
	read	IER
	test	$0x40, %al
	jnz	found
	/* Scratch register: Linux tests it only on 8250s, but a 16550A must have it. */
	write	SCR, 0xa5
	read	SCR
	cmp	$0xa5, %al
	jne	found
	write	SCR, 0x5a
	read	SCR
	cmp	$0x5a, %al
	jne	found
	mov	$uart_16550a, %si

found:	write	FCR, 0x07	/* enables and clears both FIFOs, then restores FCR */
	write	FCR, 0
	write	LCR, 0x03
	write	IER, 0
	call	say
	hlt

#include "say.inc"

nothing:
	.asciz	"no UART\n"
unknown:
	.asciz	"unknown\n"
uart_8250:
	.asciz	"8250\n"
uart_16450:
	.asciz	"16450\n"
uart_16550:
	.asciz	"16550\n"
uart_16550a:
	.asciz	"16550A\n"
later:	.asciz	"later than 16550A\n"
