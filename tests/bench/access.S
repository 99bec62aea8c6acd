# SPDX-License-Identifier: BSD-2-Clause
# Writes and reads devices in turn, MMIO or ports, spread over all of them. Flat 32 bit mode.
#
#   esi  number of devices, 16 bytes apart
#   ebp  distance to the next device, in devices: prime to esi
#   ebx  address of the first                  ecx  rounds: each is one write and one read
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
