/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints the time of the clock. It stops the clock, sets it to the end of a century and prints the
 * new time. Meanwhile it keeps a byte in the CMOS memory. It then waits for eight periodic flags,
 * 122 us apart. Real mode.
 */
	.code16
	.set	INDEX, 0x70
	.set	DATA, 0x71

	.macro	put index, value
	mov	$\index, %al
	out	%al, $INDEX
	mov	$\value, %al
	out	%al, $DATA
	.endm

	mov	$0x5000, %sp
	call	time
	put	0x40, 0xa5
	put	0x0b, 0x82		/* SET, 24 hours */
	put	0x32, 0x19
	put	0x09, 0x99
	put	0x08, 0x12
	put	0x07, 0x31
	put	0x06, 0x06
	put	0x04, 0x23
	put	0x02, 0x59
	put	0x00, 0x59
	call	time
	put	0x0b, 0x02
	call	time

	put	0x0a, 0x23		/* rate of 8192 Hz */
	mov	$8, %cx
	mov	$0x0c, %al
	out	%al, $INDEX
1:	in	$DATA, %al
	test	$0x40, %al
	jz	1b
	loop	1b
	mov	$0x40, %al
	out	%al, $INDEX
	in	$DATA, %al
	cmp	$0xa5, %al
	jne	bad
	mov	$text, %si
	call	say
bad:	hlt

/* Prints the registers of list, each followed by its character. */
time:	mov	$list, %bx
1:	mov	(%bx), %al
	cmp	$0xff, %al
	je	3f
	out	%al, $INDEX
	in	$DATA, %al
	mov	%al, %ah
	shr	$4, %al
	and	$0x0f, %ah
	add	$0x3030, %ax
	mov	%ax, digits
	mov	1(%bx), %al
	mov	%al, digits + 2
	mov	$digits, %si
	call	say
	add	$2, %bx
	jmp	1b
3:	ret

	.include "say.inc"

	/* Pairs of register and character; 0: no character. */
list:	.byte	0x32, 0, 0x09, '-', 0x08, '-', 0x07, ' '
	.byte	0x04, ':', 0x02, ':', 0x00, ' ', 0x06, '\n', 0xff
text:	.asciz	"eight periods\n"
digits:	.byte	0, 0, 0, 0
