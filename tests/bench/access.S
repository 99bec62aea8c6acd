# SPDX-License-Identifier: BSD-2-Clause
# Writes and reads devices in turn, MMIO or ports, spread over all of them. Flat 32 bit mode.
#
#   esi  how many devices, 16 bytes apart
#   ebp  how far to go for the next device: shares no factor with esi
#   ebx  where the first is                    ecx  how often: each time one write and one read
#   edi  0 for MMIO, 1 for ports
	.code32
	xor	%eax, %eax	# number of the device
1:	mov	%eax, %edx
	shl	$4, %edx
	add	%ebx, %edx
	test	%edi, %edi
	jnz	2f
	mov	%eax, (%edx)
	mov	(%edx), %edx
	jmp	3f
2:	out	%al, %dx
	push	%eax
	in	%dx, %al
	pop	%eax
3:	add	%ebp, %eax
	cmp	%esi, %eax
	jb	4f
	sub	%esi, %eax
4:	dec	%ecx
	jnz	1b
	hlt
