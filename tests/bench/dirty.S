# SPDX-License-Identifier: BSD-2-Clause
# Writes one word in each of some pages, and ends with status 42. The snapshot is taken after the
# write to port 0x80. Long mode, CPL 3, in the machine of fill.ini.
#
#   rdi  address of the first page      rcx  pages, not 0      rax  the word
	.code64
	out	%al, $0x80
1:	mov	%rax, (%rdi)
	add	$4096, %rdi
	dec	%rcx
	jnz	1b
	mov	$42, %al
	out	%al, $0xf4
2:	pause		# the machine ends soon, not at once
	jmp	2b
