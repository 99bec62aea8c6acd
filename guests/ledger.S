/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes a virtio disk of 256 sectors for ever, and checks it: write n fills sector 13 n mod 256
 * with n, which must have been filled with n - 256, or with zeros, so that 256 writes check all of
 * the disk. After each 16 writes it prints a dot; after an error, X and ud2.
 * Flat 32-bit mode without interrupts. tests/e2e/branch/layers.t runs it.
 */
#define DEVICE 0xd0000000
#define QUEUE 0x6000 /* descriptors, then its rings */
#define AVAIL 0x100
#define USED 0x200
#define SIZE 4
#define HEADER 0x7000
#define STATUS 0x7100
#define BUFFER 0x7200
#define SECTORS 256

#include "virtio.inc"

	.code32
	mov	$0x5000, %esp
	mov	$DEVICE, %ebx
	put	0x070, 0
	put	0x070, 3
	put	0x024, 1
	put	0x020, 1		/* VERSION_1 */
	put	0x024, 0
	put	0x020, 0
	put	0x070, 11
	expect	0x070, 11
	expect	0x100, SECTORS
	queue	0, QUEUE
	put	0x070, 15
	movw	$1, QUEUE + AVAIL	/* no interrupts */
	movl	$HEADER, QUEUE
	movl	$16, QUEUE + 8
	movl	$0x10001, QUEUE + 12	/* NEXT, 1 */
	movl	$BUFFER, QUEUE + 16
	movl	$512, QUEUE + 24
	movw	$2, QUEUE + 30
	movl	$STATUS, QUEUE + 32
	movl	$1, QUEUE + 40
	movw	$2, QUEUE + 44		/* WRITE */

	xor	%esi, %esi		/* n */
	cld
1:	inc	%esi
	xor	%eax, %eax		/* read: NEXT, WRITE */
	mov	$3, %cl
	call	request
	xor	%eax, %eax
	cmp	$SECTORS, %esi
	jbe	2f
	lea	-SECTORS(%esi), %eax
2:	mov	$BUFFER, %edi
	mov	$128, %ecx
	repe scasl
	jne	bad
	mov	%esi, %eax
	mov	$BUFFER, %edi
	mov	$128, %ecx
	rep stosl
	mov	$1, %eax		/* write: NEXT */
	mov	$1, %cl
	call	request
	test	$15, %esi
	jnz	1b
	mov	$'.', %al
	mov	$0x3f8, %dx
	out	%al, %dx
	jmp	1b

bad:	mov	$'X', %al
	mov	$0x3f8, %dx
	out	%al, %dx
	ud2

/* Makes a request of type eax; cl: flags of the buffer's descriptor. */
request:
	mov	%eax, HEADER
	imul	$13, %esi, %eax
	and	$SECTORS - 1, %eax
	mov	%eax, HEADER + 8
	movb	$0xff, STATUS
	mov	%cl, QUEUE + 28
	incw	QUEUE + AVAIL + 2	/* each entry of the avail ring is descriptor 0 */
	mov	QUEUE + AVAIL + 2, %ax
	put	0x050, 0
3:	pause				/* the device may complete later */
	cmp	%ax, QUEUE + USED + 2
	jne	3b
	put	0x064, 1
	cmpb	$0, STATUS
	jne	bad
	ret
