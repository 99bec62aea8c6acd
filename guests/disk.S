/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of a virtio disk (virtio 1.2, sections 3.1 and 5.2). It writes six sectors and reads
 * each back with its neighbours. It zeroes some sectors, flushes, and prints its steps and a sum of
 * the disk. The disk has 32 sectors; the last 16 initially contain a known byte. Flat 32-bit mode
 * without interrupts. Any error ends in ud2, a triple fault.
 */
#define DEVICE 0xd0000000
#define QUEUE 0x6000	/* descriptors, then its rings */
#define AVAIL 0x100
#define USED 0x200
#define SIZE 4
#define HEADER 0x7000
#define STATUS 0x7020
#define BUFFER 0x7100
#define SECTORS 32
#define FILL 0x5a	/* initial content of the second half of the disk */

#include "virtio.inc"

	.code32
	mov	$DEVICE, %ebx
	mov	$0x5000, %esp
	expect	0x008, 2
	put	0x070, 0
	put	0x070, 3
	put	0x024, 1
	put	0x020, 1		/* VERSION_1 */
	put	0x024, 0
	put	0x020, 0x4200		/* FLUSH, WRITE_ZEROES */
	put	0x070, 11
	expect	0x070, 11
	expect	0x100, SECTORS
	put	0x030, 0
	put	0x038, SIZE
	put	0x080, QUEUE
	put	0x090, QUEUE + AVAIL
	put	0x0a0, QUEUE + USED
	put	0x044, 1
	put	0x070, 15
	movw	$1, QUEUE + AVAIL	/* no interrupts */

	xor	%esi, %esi		/* six sectors, five apart: write, read with neighbours */
1:	lea	'A'(%esi), %eax
	call	fill
	lea	(%esi, %esi, 4), %ecx
	inc	%ecx
	mov	$1, %eax
	mov	$512, %edx
	call	request
	mov	$0, %al
	call	fill
	lea	(%esi, %esi, 4), %ecx
	xor	%eax, %eax
	mov	$1536, %edx
	call	request
	lea	'A'(%esi), %eax
	cmp	%al, BUFFER + 512
	jne	bad
	cmp	%al, BUFFER + 1023
	jne	bad
	cmp	$3, %esi		/* sectors 15 to 17: the last is in the second half */
	jne	2f
	cmpb	$FILL, BUFFER + 1024
	jne	bad
2:	lea	'A'(%esi), %eax
	mov	$0x3f8, %dx
	out	%al, %dx
	inc	%esi
	cmp	$6, %esi
	jne	1b

	movl	$21, BUFFER		/* zeroes sectors 21 to 31: one and a half clusters */
	movl	$0, BUFFER + 4
	movl	$11, BUFFER + 8
	movl	$0, BUFFER + 12
	mov	$13, %eax
	xor	%ecx, %ecx
	mov	$16, %edx
	call	request
	mov	$4, %eax		/* flush */
	xor	%edx, %edx
	call	request

	xor	%esi, %esi		/* the sum of the disk: a 32-bit word in each 64 bytes */
	xor	%edi, %edi
3:	xor	%eax, %eax
	mov	%esi, %ecx
	mov	$512, %edx
	call	request
	xor	%ecx, %ecx
4:	add	BUFFER(%ecx), %edi
	add	$64, %ecx
	cmp	$512, %ecx
	jne	4b
	inc	%esi
	cmp	$SECTORS, %esi
	jne	3b
	mov	$0x3f8, %dx
	mov	$' ', %al
	out	%al, %dx
	mov	$8, %ecx
5:	rol	$4, %edi
	mov	%edi, %eax
	and	$15, %eax
	movb	digits(%eax), %al
	out	%al, %dx
	loop	5b
	mov	$'\n', %al
	out	%al, %dx
	hlt

bad:	ud2

/* Fills the first 1536 bytes of the buffer with al. */
fill:	push	%edi
	mov	$BUFFER, %edi
	movzbl	%al, %eax
	imul	$0x01010101, %eax
	mov	$384, %ecx
	cld
	rep stosl
	pop	%edi
	ret

/* Makes a request: type eax, sector ecx, edx bytes at BUFFER. The device writes them if the type is
 * 0. */
request:
	mov	%eax, HEADER
	movl	$0, HEADER + 4
	mov	%ecx, HEADER + 8
	movl	$0, HEADER + 12
	movb	$0xff, STATUS
	movl	$HEADER, QUEUE
	movl	$0, QUEUE + 4
	movl	$16, QUEUE + 8
	movw	$1, QUEUE + 12		/* NEXT */
	movw	$1, QUEUE + 14
	test	%edx, %edx
	jnz	1f
	movw	$2, QUEUE + 14
1:	movl	$BUFFER, QUEUE + 16
	movl	$0, QUEUE + 20
	mov	%edx, QUEUE + 24
	cmp	$1, %eax		/* NEXT, and WRITE for a read */
	mov	$1, %ax
	jae	2f
	mov	$3, %ax
2:	mov	%ax, QUEUE + 28
	movw	$2, QUEUE + 30
	movl	$STATUS, QUEUE + 32
	movl	$0, QUEUE + 36
	movl	$1, QUEUE + 40
	movw	$2, QUEUE + 44
	incw	QUEUE + AVAIL + 2	/* each entry of the avail ring is descriptor 0 */
	put	0x050, 0
	mov	QUEUE + AVAIL + 2, %ax
3:	pause				/* the device may complete later */
	cmp	%ax, QUEUE + USED + 2
	jne	3b
	put	0x064, 1
	cmpb	$0, STATUS
	jne	bad
	ret

digits:	.ascii	"0123456789abcdef"
	.org	0x2000
	.fill	0x2000, 1, FILL
