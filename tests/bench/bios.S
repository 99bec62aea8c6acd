# SPDX-License-Identifier: BSD-2-Clause
# guests/simple.S as a 64 KiB BIOS for QEMU's microvm: the same instructions, ended through
# isa-debug-exit, which makes QEMU's exit status 1.
	.code16
start:	mov	$2, %ax
	mov	$2, %bx
	mov	$0x3f8, %dx
	add	%bl, %al
	add	$'0', %al
	out	%al, %dx
	mov	$'\n', %al
	out	%al, %dx
	xor	%al, %al
	out	%al, $0xf4
	hlt

	.org	0xfff0		# where a CPU starts: 16 bytes below 4 GiB
	jmp	start
	.org	0x10000
