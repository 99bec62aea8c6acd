# SPDX-License-Identifier: BSD-2-Clause
# Writes a word to each page, then to port 0x80, and halts with interrupts enabled. Flat 32 bit
# mode.
#
#   edi  first page        ecx  pages
	.code32
1:	mov	%ecx, (%edi)
	add	$4096, %edi
	dec	%ecx
	jnz	1b
	out	%al, $0x80
	sti
2:	hlt
	jmp	2b
