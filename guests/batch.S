/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One job: says "? ", reads a line from the serial port, says what it comes to, halts. Up to the
 * "? " it is the same for all lines: a snapshot there, output:serial0:? , serves any number of
 * them.
 *
 *   2+3*4     sums and products of decimal numbers, modulo 2^32: 14
 *   fill N    writes N pages, each its number, reads them back, says how many hold it
 *   exit N    ends through debug-exit with N
 *   crash     triple fault
 *   loop      for ever
 *
 * Blanks do not count, empty lines neither; \n or \r ends a line. Anything else: "what?", and
 * debug-exit with 2. A 16550 does not show that its input has ended: the guest waits, polling.
 *
 * 32 bit, flat; memory from 0x1000 on, the stack at its end.
 */
	.code32

	.set	LINE, 0x8000		/* the line, without blanks, ended by 0 */
	.set	LINE_END, 0x8fff
	.set	PAGES, 0x10000		/* what fill writes, up to the stack's page */

	mov	%esp, %ebp		/* where memory ends */
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
	je	1b			/* too long: found below */
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
	command	word_crash, 6, crash	/* with the 0 behind it */
	command	word_loop, 5, loop

	mov	$LINE, %esi
	xor	%ebx, %ebx		/* the sum */
1:	call	number
	mov	%eax, %edi		/* the product */
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
	mov	%ebp, %ebx		/* how many there is room for */
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
loop:	jmp	loop			/* behind an exit: the machine ends soon, not at once */

crash:	lidt	no_idt
	ud2

what:	mov	$not_known, %esi
	call	say
	mov	$2, %eax
	jmp	end

/* eax in decimal; the end. */
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

/* The number at esi, one digit at least, to eax; esi moves on. Changes ecx, edx. */
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

/* The same, and the line must end there. */
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
