/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A batch job. Prints "? ", reads a line from the serial port, prints its result and halts.
 * Everything before the "? " is the same for all lines. So one snapshot at output:serial0:? serves
 * any number of lines.
 *
 *   2+3*4     sums and products of decimal numbers, modulo 2^32: 14
 *   fill N    writes its number to each of N pages, and prints how many read back correctly
 *   exit N    writes N to debug-exit
 *   crash     triple fault
 *   loop      loops forever
 *
 * Blanks and empty lines are ignored; \n or \r ends a line. For any other line it prints "what?"
 * and writes 2 to debug-exit. A 16550 does not report the end of its input: the guest then polls
 * forever.
 *
 * Flat 32-bit mode. Memory starts at 0x1000, and the stack is at its end.
 */
	.code32

	.set	LINE, 0x8000		/* the line without blanks, NUL-terminated */
	.set	LINE_END, 0x8fff
	.set	PAGES, 0x10000		/* pages for fill, up to the stack's page */

	mov	%esp, %ebp		/* end of memory */
	cld
	mov	$prompt, %esi
	call	say

read:	mov	$LINE, %edi
1:	mov	$0x3fd, %dx		/* LSR: data ready */
	in	%dx, %al
	test	$0x01, %al
	jz	1b
	mov	$0x3f8, %dx
	in	%dx, %al
	cmp	$'\n', %al
	je	2f
	cmp	$'\r', %al
	je	2f
	cmp	$' ', %al
	je	1b
	cmp	$LINE_END, %edi
	je	1b			/* too long: an error below */
	stosb
	jmp	1b
2:	cmp	$LINE, %edi
	je	read
	cmp	$LINE_END, %edi
	je	what
	movb	$0, (%edi)

	.macro	command name, length, action
	mov	$LINE, %esi
	mov	$\name, %edi
	mov	$\length, %ecx
	repe cmpsb
	je	\action
	.endm
	command	word_fill, 4, fill
	command	word_exit, 4, exit
	command	word_crash, 6, crash	/* including the NUL */
	command	word_loop, 5, loop

	mov	$LINE, %esi
	xor	%ebx, %ebx		/* sum */
1:	call	number
	mov	%eax, %edi		/* product */
2:	cmpb	$'*', (%esi)
	jne	3f
	inc	%esi
	call	number
	imul	%eax, %edi
	jmp	2b
3:	add	%edi, %ebx
	lodsb
	cmp	$'+', %al
	je	1b
	test	%al, %al
	jnz	what
	mov	%ebx, %eax
	jmp	answer

fill:	call	last_number
	mov	%ebp, %ebx		/* number of pages that fit */
	sub	$PAGES + 0x1000, %ebx
	jae	1f
	xor	%ebx, %ebx
1:	shr	$12, %ebx
	cmp	%ebx, %eax
	ja	what
	mov	%eax, %ebx
	mov	$PAGES, %edi
	xor	%ecx, %ecx
2:	cmp	%ebx, %ecx
	je	3f
	inc	%ecx
	mov	%ecx, (%edi)
	add	$0x1000, %edi
	jmp	2b
3:	xor	%eax, %eax
4:	jecxz	answer
	sub	$0x1000, %edi
	cmp	%ecx, (%edi)
	jne	5f
	inc	%eax
5:	dec	%ecx
	jmp	4b

exit:	call	last_number
end:	out	%eax, $0xf4
loop:	jmp	loop			/* also after an exit, until the machine ends */

crash:	lidt	no_idt
	ud2

what:	mov	$not_known, %esi
	call	say
	mov	$2, %eax
	jmp	end

/* Prints eax in decimal, then halts. */
answer:	mov	$digits_end, %esi
	mov	$10, %ecx
1:	xor	%edx, %edx
	div	%ecx
	add	$'0', %dl
	dec	%esi
	mov	%dl, (%esi)
	test	%eax, %eax
	jnz	1b
	call	say
	hlt

/*
 * Parses a number of at least one digit at esi into eax, and moves esi past it. Clobbers ecx, edx.
 */
number:	xor	%edx, %edx
	movzbl	(%esi), %eax
	sub	$'0', %eax
	cmp	$9, %eax
	ja	what
1:	imul	$10, %edx
	add	%eax, %edx
	inc	%esi
	movzbl	(%esi), %eax
	sub	$'0', %eax
	cmp	$9, %eax
	jbe	1b
	mov	%edx, %eax
	ret

/* As number, and the line must end after it. */
last_number:
	call	number
	cmpb	$0, (%esi)
	jne	what
	ret

#include "say.inc"

prompt:	.asciz	"? "
not_known:
	.asciz	"what?\n"
word_fill:
	.asciz	"fill"
word_exit:
	.asciz	"exit"
word_crash:
	.asciz	"crash"
word_loop:
	.asciz	"loop"
	.fill	10, 1, 0
digits_end:
	.asciz	"\n"
no_idt:	.fill	6, 1, 0
