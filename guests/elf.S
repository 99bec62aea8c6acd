/* SPDX-License-Identifier: BSD-2-Clause */
/* An ELF file. Code, data and bss are where the linker placed them, and bss must be zero. Long
 * mode. */
	.code64
	mov	$bss, %edi
	mov	$bss_end - bss, %ecx
	xor	%eax, %eax
	cld
	repe	scasb
	mov	$right, %esi
	je	1f
	mov	$wrong, %esi
1:	call	say
	hlt

#include "say.inc"

	.data
right:	.asciz	"ELF: ok\n"
wrong:	.asciz	"ELF: bss is not zero\n"

	.bss
bss:	.fill	200
bss_end:
