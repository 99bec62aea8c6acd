/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes to a device at 0x8000, with widths of one, two and four bytes. It then reads all of it at
 * once and prints it. Real mode. */
	.code16
	mov	$0x5000, %sp
	mov	$text, %si
	mov	$0x8000, %di
	mov	$4, %cx
	rep	movsb
	movw	$0x1234, (0x8010)
	movl	$0x89abcdef, (0x8020)
	mov	(0x8020), %ebx
	mov	(0x8000), %eax
	mov	%eax, back
	mov	$back, %si
	call	say
	hlt

#include "say.inc"

text:	.ascii	"RAM\n"
back:	.long	0, 0
