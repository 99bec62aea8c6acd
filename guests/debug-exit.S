/* SPDX-License-Identifier: BSD-2-Clause */
/* Ends the machine with status 42 through debug-exit. Real mode. */
	.code16
	mov	$42, %al
	out	%al, $0xf4
1:	hlt		/* the machine ends soon, not at once */
	jmp	1b
