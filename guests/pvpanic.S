/* SPDX-License-Identifier: BSD-2-Clause */
/* Panics as a kernel with a pvpanic driver does: first with a crash kernel, which then panics
 * itself. Real mode. */
	.set	EVENTS, 0x505
	.code16
	mov	$EVENTS, %dx
	in	%dx, %al
	add	$'0', %al	/* 3: both events */
	mov	$0x3f8, %dx
	out	%al, %dx
	mov	$'\n', %al
	out	%al, %dx
	mov	$EVENTS, %dx
	mov	$2, %al		/* a crash kernel is loaded, and goes on */
	out	%al, %dx
	mov	$1, %al		/* panicked */
	out	%al, %dx
1:	hlt			/* the machine ends soon, not at once */
	jmp	1b
