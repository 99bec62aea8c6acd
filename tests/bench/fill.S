# SPDX-License-Identifier: BSD-2-Clause
# Fills memory and ends with status 42. The snapshots are taken after the write to port 0x80. Long
# mode, CPL 3, which runs at full speed also where KVM emulates the rest.
#
#   rdi  start       rcx  words of 8 bytes; 0: fill nothing       rax  the word
	.code64
	rep stosq
	out	%al, $0x80
	mov	$42, %al
	out	%al, $0xf4
1:	pause		# the machine ends soon, not at once
	jmp	1b
