/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of a virtio network card (virtio 1.2, section 5.1) and a client of the network behind
 * it. It sends an ARP request and a ping to the gateway, gets two addresses by DHCP, and is refused
 * a connection. Replies wait for a buffer or find one, and fill one buffer or two. Flat 32-bit mode
 * without interrupts. Any error ends in ud2, a triple fault.
 *
 *   edi  0, or a TCP port of the gateway to connect to, with the checksum of that segment in the
 *        upper half. It then prints the flags of the first two segments that arrive; between them,
 *        it sends a FIN with a wrong checksum, which is dropped
 */
#define DEVICE 0xd0000000
#define RX 0x6000	/* each queue: descriptors, then its rings */
#define TX 0x7000
#define AVAIL 0x100
#define USED 0x200
#define SIZE 8
#define HEADER 12
#define BUFFER 0x8000
#define STACK 0xc000

#include "virtio.inc"

	/* Provides a receive buffer. Numbers count from 0, and none is used twice. */
	.macro give number, at, length
	movl	$\at, RX + 16 * \number
	movl	$\length, RX + 16 * \number + 8
	movw	$2, RX + 16 * \number + 12
	movw	$\number, RX + AVAIL + 4 + 2 * \number
	movw	$\number + 1, RX + AVAIL + 2
	put	0x050, 0
	.endm

	/* Expects this many used buffers, the last of them with this length. */
	.macro filled count, length
	cmpw	$\count, RX + USED + 2
	jne	bad
	cmpl	$\length, RX + USED + 8 * \count
	jne	bad
	.endm

	.macro send packet, length
	movl	$\packet, TX
	movl	$\length, TX + 8
	call	transmit
	.endm

	.macro print text
	mov	$\text, %esi
	call	say
	.endm

	.code32
	mov	$STACK, %esp
	mov	$DEVICE, %ebx
	expect	0x000, 0x74726976
	expect	0x008, 1
	put	0x070, 0
	put	0x070, 3
	put	0x024, 1
	put	0x020, 1		/* VERSION_1 */
	put	0x024, 0
	put	0x020, 0x20018020	/* EVENT_IDX, STATUS, MRG_RXBUF, MAC */
	put	0x070, 11
	expect	0x070, 11		/* FEATURES_OK */
	expect	0x100, 0x12005452	/* the MAC address */
	expect	0x104, 0x00015634	/* and VIRTIO_NET_S_LINK_UP */
	queue	0, RX
	queue	1, TX
	put	0x070, 15		/* DRIVER_OK */

	send	arp, arp_end-arp
	cmpw	$0, RX + USED + 2
	jne	bad
	test	%edi, %edi
	jnz	connect
	send	echo, echo_end-echo
	give	0, BUFFER, 128		/* the first reply has waited; the second still waits */
	filled	1, HEADER+64
	expect	0x060, 1
	put	0x064, 1
	expect	0x060, 0
	mov	$BUFFER + HEADER + 22, %esi
	mov	$place, %edi
	mov	$6, %ecx
1:	lodsb
	call	hex
	inc	%edi			/* skips the colon */
	loop	1b
	print	is_at

	give	1, BUFFER+0x100, 64	/* the second reply needs two buffers */
	cmpw	$1, RX + USED + 2
	jne	bad
	give	2, BUFFER+0x200, 64
	filled	3, HEADER+58-64
	cmpl	$64, RX + USED + 4 + 8 + 4
	jne	bad
	cmpw	$2, BUFFER + 0x100 + HEADER - 2
	jne	bad
	cmpb	$0, BUFFER + 0x100 + HEADER + 34	/* ICMP echo reply */
	jne	bad
	print	reply

	send	arp, HEADER+5		/* too short for a frame: dropped */

	give	3, BUFFER+0x400, 1024
	send	dhcp, dhcp_end-dhcp
	mov	BUFFER + 0x400 + HEADER + 61, %al
	call	offered
	incb	dhcp + HEADER + 11
	incb	dhcp + HEADER + 14 + 20 + 8 + 33
	give	4, BUFFER+0x800, 1024
	send	dhcp, dhcp_end-dhcp
	mov	BUFFER + 0x800 + HEADER + 61, %al
	call	offered

	give	5, BUFFER+0x300, 128
	send	tcp, tcp_end-tcp
	cmpw	$6, RX + USED + 2
	jne	bad
	cmpb	$0x14, BUFFER + 0x300 + HEADER + 47	/* RST, ACK */
	jne	bad
	print	refused

	send	arp, arp_end-arp	/* its reply waits for a buffer until the reset */
	put	0x070, 0
	expect	0x070, 0
	hlt
bad:	ud2

	/* Connects: edi has the port and the checksum. */
connect:
	mov	%edi, %eax
	xchg	%al, %ah
	mov	%ax, tcp + HEADER + 14 + 20 + 2
	mov	%edi, %eax
	shr	$16, %eax
	xchg	%al, %ah
	mov	%ax, tcp + HEADER + 14 + 20 + 16
	give	0, BUFFER, 128
	send	tcp, tcp_end-tcp
	give	1, BUFFER+0x100, 128
	mov	$2, %ecx
	mov	$BUFFER + 0x100 + HEADER + 47, %ebp
1:	cmp	%cx, RX + USED + 2	/* set when the host has answered */
	jb	1b
	cmp	$2, %ecx
	jne	3f
	movb	$0x11, tcp + HEADER + 47	/* FIN, ACK; the checksum is wrong now */
	send	tcp, tcp_end-tcp
3:	mov	(%ebp), %al
	mov	$flags, %edi
	call	hex
	print	flags
	cmp	$3, %ecx
	je	2f
	inc	%ecx
	add	$0x100, %ebp
	give	2, BUFFER+0x200, 128
	jmp	1b
2:	hlt

	/* Sends the packet of descriptor 0. */
transmit:
	mov	TX + AVAIL + 2, %ax
	inc	%eax
	mov	%ax, TX + AVAIL + 2
	put	0x050, 1
	cmp	%ax, TX + USED + 2
	jne	bad
	ret

	/* Stores al as two hex digits at edi. */
hex:	mov	%al, %ah
	shr	$4, %al
	call	1f
	mov	%ah, %al
	and	$15, %al
1:	cmp	$10, %al
	sbb	$0x69, %al
	das
	or	$0x20, %al
	stosb
	ret

	/* Prints al, the last byte of an offered address, as two decimal digits. */
offered:
	aam
	add	$0x3030, %eax
	mov	%ah, host
	mov	%al, host + 1
	print	offer
	ret

#include "say.inc"

is_at:	.ascii	"10.0.2.2 is at "
place:	.asciz	"..:..:..:..:..:..\n"
reply:	.asciz	"10.0.2.2 answers\n"
offer:	.ascii	"an address: 10.0.2."
host:	.asciz	"..\n"
refused: .asciz	"10.0.2.2 refuses a connection\n"
flags:	.asciz	"..\n"

	.macro	ethernet type
	.byte	0x52, 0x54, 0x00, 0x12, 0x34, 0x56
	.byte	\type >> 8, \type & 0xff
	.endm

arp:	.fill	HEADER
	.fill	6, 1, 0xff
	ethernet 0x0806
	.byte	0, 1, 8, 0, 6, 4, 0, 1
	.byte	0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 10, 0, 2, 15
	.byte	0, 0, 0, 0, 0, 0, 10, 0, 2, 2
arp_end:

echo:	.fill	HEADER
	.byte	0x52, 0x55, 10, 0, 2, 2
	ethernet 0x0800
	.byte	0x45, 0, 0, 44, 0, 0, 0, 0, 64, 1, 0x62, 0xc1, 10, 0, 2, 15, 10, 0, 2, 2
	.byte	8, 0, 0x14, 0x37, 0, 1, 0, 1
	.ascii	"minivmm echo 16b"
echo_end:

tcp:	.fill	HEADER
	.byte	0x52, 0x55, 10, 0, 2, 2
	ethernet 0x0800
	.byte	0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0x62, 0xc0, 10, 0, 2, 15, 10, 0, 2, 2
	.byte	0x10, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0x67, 0x81, 0, 0
tcp_end:

dhcp:	.fill	HEADER
	.fill	6, 1, 0xff
	ethernet 0x0800
	.byte	0x45, 0, 0x02, 0x40, 0, 0, 0, 0, 64, 17, 0x78, 0xae, 0, 0, 0, 0, 255, 255, 255, 255
	.byte	0, 68, 0, 67, 0x02, 0x2c, 0, 0
	.byte	1, 1, 6, 0, 0, 0, 0, 1, 0, 0, 0x80, 0
	.fill	16
	.byte	0x52, 0x54, 0x00, 0x12, 0x34, 0x56
	.fill	10 + 64 + 128
	.byte	0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255
	.fill	312 - 8
dhcp_end:
