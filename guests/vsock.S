/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of a virtio socket device (virtio 1.2, section 5.10). It connects to two ports of the
 * host that have no listener, and sends data on a connection that does not exist, before it
 * provides receive buffers. The device must reset each, in order. Flat 32-bit mode without
 * interrupts. Any error ends in ud2, a triple fault.
 */
#define DEVICE 0xd0000000
#define RX 0x4000	/* each queue: descriptors, then its rings */
#define TX 0x5000
#define EVENT 0x6000
#define AVAIL 0x100
#define USED 0x200
#define SIZE 4
#define BUFFERS 0x8000	/* four of 64 bytes */
#define HEADER 44

#include "virtio.inc"
	/* Sends a packet, and checks that the device has used its descriptor. */
	.macro send number, packet, length
	movl	$\packet, TX + 16 * \number
	movl	$\length, TX + 16 * \number + 8
	movw	$\number, TX + AVAIL + 4 + 2 * \number
	movw	$\number + 1, TX + AVAIL + 2
	put	0x050, 1
	cmpw	$\number + 1, TX + USED + 2
	jne	bad
	.endm
	/* Provides a receive buffer, and expects a RST in it from port hosts to port ours. */
	.macro reset number, ours, hosts
	movl	$BUFFERS + 64 * \number, RX + 16 * \number
	movl	$64, RX + 16 * \number + 8
	movw	$2, RX + 16 * \number + 12
	movw	$\number, RX + AVAIL + 4 + 2 * \number
	movw	$\number + 1, RX + AVAIL + 2
	put	0x050, 0
	cmpw	$\number + 1, RX + USED + 2
	jne	bad
	cmpl	$HEADER, RX + USED + 8 + 8 * \number
	jne	bad
	mov	$BUFFERS + 64 * \number, %ebp
	cmpl	$2, (%ebp)		/* from the host */
	jne	bad
	cmpl	$3, 8(%ebp)
	jne	bad
	cmpl	$\hosts, 16(%ebp)
	jne	bad
	cmpl	$\ours, 20(%ebp)
	jne	bad
	cmpl	$0x00030001, 28(%ebp)	/* type STREAM, op RST */
	jne	bad
	.endm

	.code32
	mov	$0x7000, %esp
	mov	$DEVICE, %ebx
	expect	0x008, 19
	put	0x070, 3
	put	0x024, 1
	put	0x020, 1
	put	0x070, 11
	expect	0x070, 11		/* FEATURES_OK */
	queue	0, RX
	queue	1, TX
	queue	2, EVENT
	expect	0x100, 3		/* guest_cid */
	expect	0x104, 0
	put	0x070, 15		/* DRIVER_OK */

	send	0, call, HEADER
	incl	call + 16		/* the next port of each side */
	incl	call + 20
	send	1, call, HEADER
	send	2, data, HEADER + 5
	reset	0, 1000, 80
	reset	1, 1001, 81
	reset	2, 2000, 90
	mov	$text, %esi
	call	say
	hlt
bad:	ud2

	.include "say.inc"

call:	.quad	3, 2
	.long	1000, 80, 0
	.word	1, 1			/* type STREAM, op REQUEST */
	.long	0, 0x1000, 0
data:	.quad	3, 2
	.long	2000, 90, 5
	.word	1, 5			/* type STREAM, op RW */
	.long	0, 0x1000, 0
	.ascii	"hello"
text:	.asciz	"vsock: ok\n"
