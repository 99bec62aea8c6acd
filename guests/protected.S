/* SPDX-License-Identifier: BSD-2-Clause */
/* Protected mode: 32-bit registers, memory above 1 MiB, the stack at the end of memory. */
	.code32
	mov	$0x00180000, %ebx
	movl	$0x12345678, (%ebx)
	push	(%ebx)
	pop	%eax
	mov	$right, %esi
	cmp	$0x12345678, %eax
	je	1f
	mov	$wrong, %esi
1:	call	say
	hlt

#include "say.inc"

right:	.asciz	"32 bit: ok\n"
wrong:	.asciz	"32 bit: wrong\n"
