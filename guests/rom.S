/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the expansion ROM of the card in tests/plugins/card.c as a firmware does: sizes its BAR,
 * places and enables it, reads the signature 0x55, 0xaa and a text, and moves it. Then it reads the
 * signature until a byte comes from the serial port, disables the ROM, and prints what is there.
 * Protected mode; memory from 0x1000 on.
 */
	.set	CONFIG, 0xcf8
	.set	PLACE, 0xd0000000	/* where it puts the ROM, first and then */
	.set	MOVED, 0xd0100000

	/* Offsets in config space. */
	.set	COMMAND, 0x04
	.set	ROM, 0x30
	.set	ENABLE, 1

	.code32
	lgdt	gdt_pointer
	ljmp	$0x08, $1f
1:	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$stack, %esp

	/* Find the card: ebx becomes the address of its config space, as for ports. */
	mov	$0x80000000, %ebx
2:	add	$0x800, %ebx
	cmp	$0x80010000, %ebx
	je	fail
	mov	%ebx, %eax
	call	config_read
	cmp	$0x56781234, %eax
	jne	2b

	/* The host has placed the ROM, but not enabled it. Its size, with decoding off. */
	lea	ROM(%ebx), %eax
	call	config_read
	call	hex
	xor	%ecx, %ecx
	call	command
	mov	$-1, %ecx
	call	rom
	call	config_read
	call	hex
	call	newline

	/* It answers only with ENABLE and while the function decodes memory. */
	mov	$PLACE, %ecx
	call	rom
	mov	$2, %ecx
	call	command
	mov	PLACE, %eax
	call	hex
	mov	$PLACE | ENABLE, %ecx
	call	rom
	mov	PLACE, %eax
	call	hex
	xor	%ecx, %ecx
	call	command
	mov	PLACE, %eax
	call	hex
	mov	$2, %ecx
	call	command
	call	newline

	/* The text begins at the fifth byte. Writes are dropped. */
	movl	$0, PLACE + 4
	mov	$PLACE + 4, %esi
	call	say

	/* Move it. */
	mov	$MOVED | ENABLE, %ecx
	call	rom
	mov	PLACE, %eax
	call	hex
	mov	MOVED, %eax
	call	hex
	call	newline

3:	cmpw	$0xaa55, MOVED
	jne	fail
	mov	$0x3fd, %dx
	in	%dx, %al
	test	$1, %al		/* LSR: a byte has come */
	jz	3b
	mov	$0x3f8, %dx
	in	%dx, %al
	call	put

	mov	$MOVED, %ecx
	call	rom
	mov	MOVED, %eax
	call	hex
	call	newline
	cli
	hlt

command:			/* the command register = ecx */
	lea	COMMAND(%ebx), %eax
	jmp	config_write

rom:				/* the ROM's register = ecx; eax: its address */
	lea	ROM(%ebx), %eax
	jmp	config_write

#include "pci.inc"

	.data
	.balign	8
gdt:	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt
idt:	.quad	0		/* for gate, which this guest does not use */

	.text
#include "kernel.inc"
