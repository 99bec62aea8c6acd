/* SPDX-License-Identifier: BSD-2-Clause */
/* The simple guest, then memory: one write to RAM, one write and one read where a device is. Real
 * mode. */
	.code16
	mov	$0x3f8, %dx
	add	%bl, %al
	add	$'0', %al
	out	%al, %dx
	mov	$'\n', %al
	out	%al, %dx
	mov	%al, (0x2000)	/* the one page that the guest dirties */
	movb	$0, (0x8000)	/* no memory there: a device answers */
	mov	(0x8000), %dl
	hlt
