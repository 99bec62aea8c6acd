/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of a virtio balloon (virtio 1.2, section 5.5). It reads the target, gives up that many
 * pages and reports the new size. It then reports two free pages, and statistics, whose buffer the
 * device returns when it wants new ones. Pages that were given up or reported must read as zeros.
 * Flat 32-bit mode without interrupts. Any error ends in ud2, a triple fault.
 */
#define DEVICE 0xd0000000
#define INFLATE 0x4000	/* each queue: descriptors, then its rings */
#define STATS 0x5000
#define REPORTING 0x6000
#define AVAIL 0x100
#define USED 0x200
#define SIZE 4
#define PAGES 0x9000	/* pages to give up */
#define FREE 0xc000	/* two free pages to report */

#include "virtio.inc"
	.macro request at, address, length, flags
	movl	$\address, \at
	movl	$\length, \at + 8
	movw	$\flags, \at + 12
	movw	$1, \at + AVAIL + 2
	.endm

	.code32
	mov	$0x8000, %esp
	mov	$PAGES, %edi		/* old content of the pages */
	mov	$0x5000 / 4, %ecx
	mov	$0xdeadbeef, %eax
	rep stosl

	mov	$DEVICE, %ebx
	expect	0x008, 5
	expect	0x010, 0x30000026	/* statistics, deflate on OOM, reporting */
	put	0x070, 3
	put	0x020, 0x22
	put	0x024, 1
	put	0x020, 1
	put	0x070, 11
	expect	0x070, 11		/* FEATURES_OK */
	queue	0, INFLATE
	queue	2, STATS
	queue	3, REPORTING
	movl	$statistics, STATS + 16	/* before DRIVER_OK; descriptor 1 */
	movl	$20, STATS + 24
	movw	$1, STATS + AVAIL + 4
	movw	$1, STATS + AVAIL + 2
	put	0x050, 2
	put	0x070, 15		/* DRIVER_OK */

	expect	0x0fc, 1		/* the target has changed once */
	mov	0x100(%ebx), %ecx	/* pages */
	cmp	$2, %ecx
	jne	bad
	movl	$PAGES >> 12, numbers
	movl	$(PAGES >> 12) + 1, numbers + 4
	request	INFLATE, numbers, 8, 0
	put	0x050, 0
	cmpw	$1, INFLATE + USED + 2
	jne	bad
	mov	%ecx, 0x104(%ebx)	/* actual */
	request	REPORTING, FREE, 0x2000, 2
	put	0x050, 3
	cmpw	$1, REPORTING + USED + 2
	jne	bad
	expect	0x104, 2

	mov	$PAGES, %edi		/* two pages given up, one not, two reported */
	mov	$0x2000 / 4, %ecx
	xor	%eax, %eax
	repe scasl
	jne	bad
	cmpl	$0xdeadbeef, (%edi)
	jne	bad
	mov	$FREE, %edi
	mov	$0x2000 / 4, %ecx
	repe scasl
	jne	bad

	movl	$0x12345678, PAGES	/* a write makes it usable memory again */
	cmpl	$0x12345678, PAGES
	jne	bad
1:	cmpw	$1, STATS + USED + 2	/* later, the device requests new statistics */
	jne	1b
	cmpl	$1, STATS + USED + 4
	jne	bad
	mov	$text, %esi
	call	say
	hlt
bad:	ud2

	.include "say.inc"

	/* Two statistics: free memory and total memory. */
statistics:
	.word	4
	.quad	0x3000
	.word	5
	.quad	0x10000
numbers:
	.long	0, 0
text:	.asciz	"balloon: ok\n"
