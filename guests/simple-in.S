/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads a number (one byte) from the port in dx, adds bl and prints the sum as one decimal digit.
 * Real mode. */
	.code16
	in	%dx, %al
	add	%bl, %al
	add	$'0', %al
	out	%al, %dx
	mov	$'\n', %al
	out	%al, %dx
	hlt
