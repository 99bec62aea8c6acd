/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of a virtio console (virtio 1.2, section 3.1). It negotiates features, sets up both
 * queues, reads two bytes of input and writes six lines of output, with event indices. Flat 32-bit
 * mode without interrupts: it polls the interrupt status. Any error ends in ud2, a triple fault.
 *
 *   edi  0, or the number of bytes to send in one request, starting with the line; it then halts,
 *        whether they are sent or not
 */
#define DEVICE 0xd0000000
#define TX 0x6000	/* each queue: descriptors, then its rings */
#define RX 0x7000
#define AVAIL 0x100
#define USED 0x200
#define SIZE 4
#define BUFFER 0x8000

#include "virtio.inc"
	.macro queue_by_halves number, at
	put	0x030, \number
	expect	0x044, 0
	put	0x038, SIZE
	put	0x080, \at
	put	0x084, 0
	put	0x090, \at + AVAIL
	put	0x094, 0
	put	0x0a0, \at + USED
	put	0x0a4, 0
	put	0x044, 1
	expect	0x044, 1
	.endm

	.code32
	mov	$DEVICE, %ebx
	expect	0x000, 0x74726976
	expect	0x004, 2
	expect	0x008, 3
	put	0x070, 0
	put	0x070, 1
	put	0x070, 3
	put	0x014, 1
	expect	0x010, 1		/* VERSION_1 */
	put	0x024, 1
	put	0x020, 1
	put	0x024, 0
	put	0x020, 0x20000000	/* EVENT_IDX */
	put	0x070, 11
	expect	0x070, 11		/* FEATURES_OK */
	queue_by_halves	0, RX
	queue_by_halves	1, TX
	put	0x070, 15		/* DRIVER_OK */

	movl	$BUFFER, RX		/* one receive buffer of two bytes */
	movl	$2, RX + 8
	movw	$2, RX + 12
	movw	$1, RX + AVAIL + 2
	expect	0x060, 0		/* the buffer stays empty until the notification */
	cmpw	$0, RX + USED + 2
	jne	bad
	put	0x050, 0
	cmpw	$1, RX + USED + 2
	jne	bad
	cmpl	$2, RX + USED + 8
	jne	bad
	expect	0x060, 1
	put	0x064, 1
	mov	BUFFER, %ax
	mov	%ax, text + 5

	movl	$text, TX		/* and a line to send */
	movl	$end - text, TX + 8
	test	%edi, %edi
	jz	1f
	mov	%edi, TX + 8
1:	movw	$1, TX + AVAIL		/* NO_INTERRUPT; ignored with event indices */
	xor	%ecx, %ecx
1:	lea	'0'(%ecx), %eax
	mov	%al, text + 8
	mov	%cx, TX + AVAIL + 4 + 2 * SIZE
	inc	%ecx
	mov	%cx, TX + AVAIL + 2	/* each entry of the avail ring is descriptor 0 */
	put	0x050, 1
	test	%edi, %edi
	jnz	2f
	cmp	TX + USED + 2, %cx
	jne	bad
	expect	0x060, 1
	put	0x064, 1
	expect	0x060, 0
	cmp	$6, %ecx
	jne	1b
	put	0x030, 0
	expect	0x044, 1
	put	0x070, 0
	expect	0x044, 0
2:	hlt
bad:	ud2

text:	.ascii	"line .. .\n"
end:
