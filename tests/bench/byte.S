# SPDX-License-Identifier: BSD-2-Clause
# Writes a byte to a serial port, then waits; rounds times. Flat 32 bit mode.
#
#   ecx  rounds        ebp  ticks of the TSC to wait after each byte        ebx  port
	.code32
1:	mov	%ebx, %edx
	mov	$'x', %al
	out	%al, %dx
	rdtsc
	mov	%eax, %esi
2:	pause
	rdtsc
	sub	%esi, %eax
	cmp	%ebp, %eax
	jb	2b
	dec	%ecx
	jnz	1b
	hlt
