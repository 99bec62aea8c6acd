/* SPDX-License-Identifier: BSD-2-Clause */
/* Panics as a kernel with a pvpanic driver does: first with a crash kernel loaded, which then
 * panics itself. Real mode. */
	.set	EVENTS, 0x505
	.code16
	mov	$EVENTS, %dx
	in	%dx, %al
	add	$'0', %al	/* 3: supports both events */
	mov	$0x3f8, %dx
	out	%al, %dx
	mov	$'\n', %al
	out	%al, %dx
	mov	$EVENTS, %dx
	mov	$2, %al		/* CRASH_LOADED: the crash kernel runs now */
	out	%al, %dx
	mov	$1, %al		/* PANICKED */
	out	%al, %dx
1:	hlt			/* the machine ends soon, not at once */
	jmp	1b
