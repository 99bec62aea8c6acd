/* SPDX-License-Identifier: BSD-2-Clause */
/* Long mode at CPL 3: 64-bit registers, SSE, and port access through the TSS's bitmap. It adds 1 to
 * 10,000,000 and writes the result to debug-exit: 0 if the sum is correct, else 1. */
	.code64
	xor	%eax, %eax
	mov	$10000000, %ecx
1:	add	%rcx, %rax
	dec	%ecx
	jnz	1b
	movabs	$50000005000000, %rbx
	movq	%rax, %xmm0
	movq	%xmm0, %rcx
	mov	$right, %esi
	xor	%edi, %edi
	cmp	%rbx, %rcx
	je	2f
	mov	$wrong, %esi
	inc	%edi
2:	call	say
	mov	%edi, %eax
	out	%al, $0xf4
3:	pause		/* the machine ends soon, not at once */
	jmp	3b

#include "say.inc"

right:	.asciz	"64 bit: ok\n"
wrong:	.asciz	"64 bit: wrong\n"
