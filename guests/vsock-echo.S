/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server on port 7 of a virtio socket device (virtio 1.2, section 5.10): it sends back what it
 * receives, and resets connections to other ports. It keeps nothing of a connection. The room that
 * it grants follows what the host's reader has taken: its fwd_cnt is that of the host, so the host
 * never has more on the way than it has room for. Flat 32-bit mode; it polls. Any error ends in
 * ud2, a triple fault.
 */
#define DEVICE 0xd0000000
#define RX 0x4000	/* each queue: descriptors, then its rings */
#define TX 0x5000
#define EVENT 0x6000
#define AVAIL 0x100
#define USED 0x200
#define SIZE 4
#define BUFFERS 0x8000	/* four of 4096 bytes */
#define HEADER 44
#define PORT 7
#define ROOM 0xc000	/* buf_alloc; less than the host's */

#define REQUEST 1	/* ops */
#define RESPONSE 2
#define RST 3
#define SHUTDOWN 4
#define RW 5
#define CREDIT_UPDATE 6

#include "virtio.inc"
	/* Provides a receive buffer. */
	.macro provide number
	movl	$BUFFERS + 4096 * \number, RX + 16 * \number
	movl	$4096, RX + 16 * \number + 8
	movw	$2, RX + 16 * \number + 12
	movw	$\number, RX + AVAIL + 4 + 2 * \number
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
	provide	0
	provide	1
	provide	2
	provide	3
	movw	$SIZE, RX + AVAIL + 2
	put	0x070, 15		/* DRIVER_OK */
	put	0x050, 0
	mov	$text, %esi
	call	say

	xor	%edi, %edi		/* packets received */
	xor	%ecx, %ecx		/* packets sent */
wait:	pause
	cmpw	%di, RX + USED + 2
	je	wait
	mov	%edi, %esi
	and	$SIZE - 1, %esi
	mov	RX + USED + 4(, %esi, 8), %eax
	push	%eax
	shl	$12, %eax
	lea	BUFFERS(%eax), %ebp
	call	reply
	pop	%eax			/* provide the buffer again */
	mov	%ax, RX + AVAIL + 4(, %esi, 2)
	inc	%edi
	lea	SIZE(%edi), %eax
	mov	%ax, RX + AVAIL + 2
	put	0x050, 0
	jmp	wait

	/* Answers the packet at %ebp, in its place. */
reply:	xor	%edx, %edx		/* flags */
	movzwl	30(%ebp), %eax
	cmp	$RST, %eax
	je	2f
	cmp	$RW, %eax
	je	send
	movl	$0, 24(%ebp)		/* no data */
	cmp	$REQUEST, %eax
	jne	1f
	mov	$RESPONSE, %eax
	cmpl	$PORT, 20(%ebp)
	je	send
	mov	$RST, %eax
	jmp	send
1:	mov	$3, %edx		/* neither receives nor sends */
	cmp	$SHUTDOWN, %eax
	je	send
	mov	$CREDIT_UPDATE, %eax
	xor	%edx, %edx
send:	mov	%ax, 30(%ebp)
	mov	%edx, 32(%ebp)
	movl	$ROOM, 36(%ebp)
	movl	$3, (%ebp)
	movl	$2, 8(%ebp)
	mov	16(%ebp), %eax
	xchg	%eax, 20(%ebp)
	mov	%eax, 16(%ebp)
	mov	%ebp, TX
	mov	24(%ebp), %eax
	add	$HEADER, %eax
	mov	%eax, TX + 8
	mov	%ecx, %eax
	and	$SIZE - 1, %eax
	movw	$0, TX + AVAIL + 4(, %eax, 2)
	inc	%ecx
	mov	%cx, TX + AVAIL + 2
	put	0x050, 1
1:	pause
	cmpw	%cx, TX + USED + 2
	jne	1b
2:	ret
bad:	ud2

	.include "say.inc"

text:	.asciz	"vsock-echo: ready\n"
