/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of an NVMe disk without a kernel (NVM Express 1.4, section 7): enables the controller,
 * identifies it, creates a pair of I/O queues, writes, reads back and flushes, with interrupts by
 * MSI-X. The disk has 32 sectors. Protected mode; memory from 0x1000 on.
 */
	.set	CONFIG, 0xcf8
	.set	DEVICE, 0x80000800	/* slot 1, as an address for CONFIG */
	.set	REGISTERS, 0xd0000000	/* where it puts the BARs */
	.set	TABLE, 0xd0100000	/* of MSI-X */
	.set	LAPIC, 0xfee00000
	.set	VECTOR, 0x30
	.set	VECTORS, 0x31
	.set	QUEUES, 0x4000		/* a page each: submission and completion, admin and I/O */
	.set	ENTRIES, 4		/* of each */
	.set	DATA, 0xa000
	.set	COPY, 0xb000		/* two pages */

	/* Offsets in config space, registers, and a command. */
	.set	COMMAND, 0x04
	.set	CLASS, 0x08
	.set	BAR0, 0x10
	.set	CAPABILITIES, 0x34
	.set	MSIX, 0x11
	.set	CC, 0x14
	.set	CSTS, 0x1c
	.set	AQA, 0x24
	.set	ASQ, 0x28
	.set	ACQ, 0x30
	.set	DOORBELLS, 0x1000
	.set	NSID, 4
	.set	PRP1, 24
	.set	PRP2, 32
	.set	CDW10, 40
	.set	CDW11, 44
	.set	CDW12, 48

	.code32
	lgdt	gdt_pointer
	ljmp	$0x08, $1f
1:	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$0x9000, %esp
	cld
	mov	$VECTOR, %ebx
	mov	$on_message, %eax
	call	gate
	lidt	idt_pointer
	mov	$0xff, %al	/* no interrupts of the PICs */
	out	%al, $0x21
	out	%al, $0xa1
	movl	$0x1ff, (LAPIC + 0xf0)	/* enabled; spurious vector 0xff */

	mov	$DEVICE + CLASS, %eax
	call	config_read
	shr	$8, %eax
	cmp	$0x010802, %eax
	jne	fail
	mov	$DEVICE + COMMAND, %eax
	xor	%ecx, %ecx
	call	config_write
	mov	$DEVICE + BAR0 + 4, %eax	/* 64 bits */
	call	config_write
	mov	$DEVICE + BAR0, %eax
	mov	$REGISTERS, %ecx
	call	config_write
	mov	$DEVICE + BAR0 + 8, %eax
	mov	$TABLE, %ecx
	call	config_write
	mov	$DEVICE + COMMAND, %eax
	mov	$6, %ecx	/* memory, bus master */
	call	config_write

	/* Message 1 is for the I/O queue. */
	mov	$DEVICE + CAPABILITIES, %eax
	call	config_read
2:	and	$0xfc, %eax
	jz	fail
	lea	DEVICE(%eax), %ebx
	mov	%ebx, %eax
	call	config_read
	cmp	$MSIX, %al
	je	3f
	shr	$8, %eax
	jmp	2b
3:	movl	$LAPIC, (TABLE + 16)
	movl	$VECTOR, (TABLE + 24)
	movl	$0, (TABLE + 28)
	mov	%ebx, %eax
	mov	$0x80000000, %ecx	/* enable */
	call	config_write

	movl	$(ENTRIES - 1) * 0x10001, REGISTERS + AQA
	movl	$QUEUES, REGISTERS + ASQ
	movl	$0, REGISTERS + ASQ + 4
	movl	$QUEUES + 0x1000, REGISTERS + ACQ
	movl	$0, REGISTERS + ACQ + 4
	movl	$0x00460001, REGISTERS + CC
4:	mov	REGISTERS + CSTS, %eax
	cmp	$1, %eax
	jne	4b

	/* Identify the controller and the namespace. */
	movl	$DATA, command + PRP1
	movl	$1, command + CDW10
	mov	$6, %eax
	call	admin
	movb	$0, DATA + 36
	mov	$DATA + 4, %esi
	call	say
	call	newline
	movl	$1, command + NSID
	movl	$0, command + CDW10
	mov	$6, %eax
	call	admin
	mov	DATA, %eax	/* its size */
	call	hex
	call	newline

	/* The queues. */
	movl	$QUEUES + 0x3000, command + PRP1
	movl	$(ENTRIES - 1) << 16 | 1, command + CDW10
	movl	$1 << 16 | 3, command + CDW11	/* vector 1, interrupts, contiguous */
	mov	$5, %eax
	call	admin
	movl	$QUEUES + 0x2000, command + PRP1
	movl	$1 << 16 | 1, command + CDW11	/* completion queue 1, contiguous */
	mov	$1, %eax
	call	admin

	/* A page to sector 8, and two pages from sector 0. */
	mov	$text, %esi
	mov	$DATA, %edi
	mov	$text_end - text, %ecx
	rep movsb
	movl	$DATA, command + PRP1
	movl	$8, command + CDW10
	movl	$0, command + CDW11
	movl	$7, command + CDW12	/* sectors - 1 */
	mov	$1, %eax
	call	io
	movl	$COPY, command + PRP1
	movl	$COPY + 0x1000, command + PRP2
	movl	$0, command + CDW10
	movl	$15, command + CDW12
	mov	$2, %eax
	call	io
	mov	$COPY + 0x1000, %esi
	call	say
	xor	%eax, %eax	/* flush */
	call	io
	call	newline
	cli
	hlt

admin:				/* the command with opcode eax; its completion by polling */
	mov	$admin_queue, %ebp
	call	submit
5:	call	completed
	jne	5b
	jmp	complete

io:				/* the same, with an interrupt */
	mov	$io_queue, %ebp
	call	submit
6:	cli
	cmpl	$0, seen
	jne	7f
	sti
	hlt
	jmp	6b
7:	movl	$0, seen
	mov	$by_message, %esi
	call	say
	call	completed
	jne	fail
	jmp	complete

/* A queue, at ebp: addresses of its pages and doorbells, indices, the phase. */
	.set	SQ, 0
	.set	CQ, 4
	.set	DOORBELL, 8
	.set	TAIL, 12
	.set	HEAD, 16
	.set	PHASE, 20

submit:	mov	%al, command
	mov	$command, %esi
	mov	TAIL(%ebp), %edi
	shl	$6, %edi
	add	SQ(%ebp), %edi
	mov	$16, %ecx
	rep movsl
	mov	TAIL(%ebp), %eax
	inc	%eax
	and	$ENTRIES - 1, %eax
	mov	%eax, TAIL(%ebp)
	mov	DOORBELL(%ebp), %ebx
	mov	%eax, (%ebx)
	ret

completed:			/* equal: there is a completion, whose address is ebx */
	mov	HEAD(%ebp), %ebx
	shl	$4, %ebx
	add	CQ(%ebp), %ebx
	mov	14(%ebx), %al
	and	$1, %al
	cmp	PHASE(%ebp), %al
	ret

complete:
	mov	12(%ebx), %eax
	shr	$17, %eax
	jnz	fail
	mov	HEAD(%ebp), %eax
	inc	%eax
	and	$ENTRIES - 1, %eax
	mov	%eax, HEAD(%ebp)
	jnz	8f
	xorb	$1, PHASE(%ebp)
8:	mov	DOORBELL(%ebp), %ebx
	mov	%eax, 4(%ebx)
	ret

on_message:
	incl	seen
	movl	$0, (LAPIC + 0xb0)	/* EOI */
	ret	$8		/* without the flags: KVM's emulator lacks iret */

#include "pci.inc"

	.data
	.balign	8
gdt:	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt
idt_pointer:
	.word	VECTORS * 8 - 1
	.long	idt
admin_queue:
	.long	QUEUES, QUEUES + 0x1000, REGISTERS + DOORBELLS, 0, 0, 1
io_queue:
	.long	QUEUES + 0x2000, QUEUES + 0x3000, REGISTERS + DOORBELLS + 8, 0, 0, 1
seen:	.long	0
by_message:
	.asciz	"MSI-X "
text:	.asciz	"written and read\n"
text_end:
	.balign	8
command:
	.fill	64, 1, 0
idt:	.fill	VECTORS * 8, 1, 0

	.text
#include "kernel.inc"
