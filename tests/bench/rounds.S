# SPDX-License-Identifier: BSD-2-Clause
# A machine that is branched: writes all of its memory, then waits for words on its serial port. For
# each it writes 1,000 pages and answers with the TSC ticks that this took, 8 bytes. Long mode,
# CPL 3, which runs at full speed also where KVM emulates the rest.
#
#   rdi  first page that it may write           r12  pages that it may write
#   rcx  words of 8 bytes to fill               rax  the word
#
# "s": the pages are within 16 MiB; another word: all over memory. It does not write a page twice
# within a round.
	.set	FEW, 4096	/* pages: 16 MiB */
	.set	STEP, 12289	/* a prime, so that it does not divide the pages */
	.set	DATA, 0x3f8
	.set	STATUS, 0x3fd

	.code64
	mov	%rdi, %rbx
	rep stosq
	out	%al, $0x80
	xor	%esi, %esi		/* the last page written */
wait:	mov	$STATUS, %edx
	in	%dx, %al
	test	$1, %al
	jz	wait
	mov	$DATA, %edx
	in	%dx, %al
	mov	$FEW, %r8d
	cmp	$'s', %al
	cmovne	%r12, %r8
	cmp	%r12, %r8
	cmova	%r12, %r8
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, %r9
	mov	$1000, %ecx
1:	lea	STEP(%rsi), %rax
	xor	%edx, %edx
	div	%r8
	mov	%rdx, %rsi		/* the remainder */
	shl	$12, %rdx
	mov	%rcx, (%rbx,%rdx)
	dec	%ecx
	jnz	1b
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	sub	%r9, %rax
	mov	$8, %ecx
	mov	$DATA, %edx
2:	out	%al, %dx
	shr	$8, %rax
	dec	%ecx
	jnz	2b
	jmp	wait
