/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As simple.S, then one write to RAM, and one write and one read at a device's address. Real mode.
 */
	.code16
	mov	$0x3f8, %dx
	add	%bl, %al
	add	$'0', %al
	out	%al, %dx
	mov	$'\n', %al
	out	%al, %dx
	mov	%al, (0x2000)	/* the only page that the guest dirties */
	movb	$0, (0x8000)	/* not memory: a device answers */
	mov	(0x8000), %dl
	hlt
