# SPDX-License-Identifier: BSD-2-Clause
# A virtio driver that keeps a queue full of the same requests, which the image contains. Flat 32
# bit mode.
#
#   esi  table: registers of the device and their values, to be written in turn; 0; the register
#        QueueNotify and the number of the queue
#   ebx  the used ring     ebp  the avail ring     ecx  number of requests in flight
	.code32
1:	lodsl
	test	%eax, %eax
	jz	2f
	mov	%eax, %edi
	lodsl
	mov	%eax, (%edi)
	jmp	1b
2:	mov	(%esi), %edi
	mov	4(%esi), %edx
3:	mov	2(%ebx), %ax
	add	%cx, %ax
	mov	%ax, 2(%ebp)
	mov	%edx, (%edi)
	jmp	3b
