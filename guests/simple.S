/* SPDX-License-Identifier: BSD-2-Clause */
/* Adds al and bl and prints the sum, one decimal digit, on the serial port. Real mode. */
	.code16
	mov	$0x3f8, %dx
	add	%bl, %al
	add	$'0', %al	/* at 0x1005: al is the sum, not yet a digit */
	out	%al, %dx
	mov	$'\n', %al
	out	%al, %dx
	hlt
