/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of a virtio console in a PCI slot (virtio 1.2, section 4.1), without a kernel. It finds
 * the registers by the capabilities, and sends a line three times: the device interrupts by MSI-X,
 * by MSI-X after the vector was masked, and by its pin. Then it resets the device through the
 * capability CFG_PCI. Protected mode; memory from 0x1000 on. Any error ends in ud2, a triple fault.
 */
	.set	CONFIG, 0xcf8
	.set	LAPIC, 0xfee00000
	.set	IOAPIC, 0xfec00000
	.set	MESSAGE_VECTOR, 0x30
	.set	PIN_VECTOR, 0x31
	.set	VECTORS, 0x32
	.set	CONSOLE, 0x10431af4

	/* Offsets in config space, and ids of capabilities. */
	.set	COMMAND, 0x04
	.set	BAR0, 0x10
	.set	CAPABILITIES, 0x34
	.set	LINE, 0x3c
	.set	MSIX, 17
	.set	VENDOR, 9

	/* Types of virtio's capabilities, and offsets in the common configuration. */
	.set	COMMON, 1
	.set	NOTIFY, 2
	.set	ISR, 3
	.set	CFG_PCI, 5
	.set	FEATURE_SELECT, 0
	.set	FEATURE, 4
	.set	DRIVER_SELECT, 8
	.set	DRIVER_FEATURE, 12
	.set	STATUS, 20
	.set	SELECT, 22
	.set	SIZE, 24
	.set	VECTOR, 26
	.set	ENABLE, 28
	.set	NOTIFY_OFF, 30
	.set	DESC, 32
	.set	DRIVER, 40
	.set	DEVICE, 48

	.set	QUEUE, 0x6000	/* descriptors, then the rings */
	.set	AVAIL, QUEUE + 0x100
	.set	USED, QUEUE + 0x200

	.code32
	lgdt	gdt_pointer
	ljmp	$0x08, $1f
1:	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$0x8000, %esp
	mov	$MESSAGE_VECTOR, %ebx
	mov	$on_message, %eax
	call	gate
	mov	$PIN_VECTOR, %ebx
	mov	$on_pin, %eax
	call	gate
	lidt	idt_pointer
	mov	$0xff, %al	/* no interrupts of the PICs */
	out	%al, $0x21
	out	%al, $0xa1
	movl	$0x1ff, (LAPIC + 0xf0)	/* enabled; spurious vector 0xff */

	/* The console. ebx is the address of its config space, for ports. */
	mov	$0x80000000, %ebx
2:	mov	%ebx, %eax
	call	config_read
	cmp	$CONSOLE, %eax
	je	3f
	add	$0x800, %ebx	/* function 0 of the next slot */
	cmp	$0x80010000, %ebx
	jne	2b
	jmp	bad
3:	lea	COMMAND(%ebx), %eax
	mov	$6, %ecx	/* memory, bus master */
	call	config_write

	/* Its capabilities: the addresses of their structures. */
	lea	CAPABILITIES(%ebx), %eax
	call	config_read
4:	and	$0xfc, %eax
	jz	7f
	lea	(%ebx, %eax), %ebp
	mov	%ebp, %eax
	call	config_read
	mov	%eax, %edi
	cmp	$MSIX, %al
	jne	5f
	mov	%ebp, msix
	lea	4(%ebp), %eax
	call	config_read
	call	address
	mov	%eax, table
	lea	8(%ebp), %eax
	call	config_read
	call	address
	mov	%eax, pending
5:	mov	%edi, %eax
	cmp	$VENDOR, %al
	jne	6f
	shr	$24, %eax
	mov	%eax, %esi	/* the type */
	mov	%ebp, capabilities(, %esi, 4)
	lea	4(%ebp), %eax
	call	config_read
	movzx	%al, %edx	/* the BAR */
	lea	8(%ebp), %eax
	call	config_read
	or	%edx, %eax	/* offsets are multiples of 8 */
	call	address
	mov	%eax, structures(, %esi, 4)
6:	mov	%edi, %eax
	shr	$8, %eax
	jmp	4b
7:	mov	capabilities + 4 * NOTIFY, %eax
	add	$16, %eax
	call	config_read
	mov	%eax, multiplier
	mov	%ebx, device

	/* The device. ebx is the address of the common configuration. */
	mov	structures + 4 * COMMON, %ebx
	movb	$0, STATUS(%ebx)
	movb	$1, STATUS(%ebx)
	movb	$3, STATUS(%ebx)
	movl	$1, FEATURE_SELECT(%ebx)
	cmpl	$1, FEATURE(%ebx)	/* VERSION_1 */
	jne	bad
	movl	$1, DRIVER_SELECT(%ebx)
	movl	$1, DRIVER_FEATURE(%ebx)
	movb	$11, STATUS(%ebx)
	cmpb	$11, STATUS(%ebx)	/* FEATURES_OK */
	jne	bad
	movw	$1, SELECT(%ebx)	/* the transmit queue */
	cmpw	$256, SIZE(%ebx)
	jne	bad
	movw	$4, SIZE(%ebx)
	movl	$QUEUE, DESC(%ebx)
	movl	$0, DESC + 4(%ebx)
	movl	$AVAIL, DRIVER(%ebx)
	movl	$0, DRIVER + 4(%ebx)
	movl	$USED, DEVICE(%ebx)
	movl	$0, DEVICE + 4(%ebx)
	movw	$1, VECTOR(%ebx)
	cmpw	$1, VECTOR(%ebx)
	jne	bad
	movw	$1, ENABLE(%ebx)
	movb	$15, STATUS(%ebx)
	movzwl	NOTIFY_OFF(%ebx), %eax
	imul	multiplier, %eax
	add	structures + 4 * NOTIFY, %eax
	mov	%eax, bell

	/* Entry 1 of the MSI-X table: messages to LAPIC 0. */
	mov	table, %edi
	movl	$LAPIC, 16(%edi)
	movl	$0, 20(%edi)
	movl	$MESSAGE_VECTOR, 24(%edi)
	movl	$0, 28(%edi)	/* not masked */
	mov	msix, %eax
	mov	$0x80000000, %ecx	/* enable */
	call	config_write
	mov	$by_message, %esi
	mov	$by_message_end - by_message, %ecx
	call	send
	mov	$MESSAGE_VECTOR, %edx
	call	wait

	/* Masked: the message stays pending. */
	movl	$1, 28(%edi)
	mov	$after_mask, %esi
	mov	$after_mask_end - after_mask, %ecx
	call	send
	mov	pending, %eax
	testl	$2, (%eax)
	jz	bad
	cmpl	$0, seen
	jne	bad
	movl	$0, 28(%edi)
	call	wait

	/* The pin: level-triggered, active low as all PCI interrupts. */
	mov	msix, %eax
	xor	%ecx, %ecx
	call	config_write	/* MSI-X off */
	movw	$-1, VECTOR(%ebx)
	mov	device, %eax
	add	$LINE, %eax
	call	config_read
	movzx	%al, %eax
	lea	0x10(, %eax, 2), %eax
	mov	%eax, IOAPIC
	movl	$0xa000 | PIN_VECTOR, (IOAPIC + 0x10)
	inc	%eax
	mov	%eax, IOAPIC
	movl	$0, (IOAPIC + 0x10)
	call	quiet
	mov	$by_pin, %esi
	mov	$by_pin_end - by_pin, %ecx
	call	send
	mov	$PIN_VECTOR, %edx
	call	wait

	/* The status through CFG_PCI: read, then 0, which resets the device. */
	mov	capabilities + 4 * CFG_PCI, %ebp
	lea	8(%ebp), %eax
	mov	$STATUS, %ecx
	call	config_write
	lea	12(%ebp), %eax
	mov	$1, %ecx
	call	config_write
	lea	16(%ebp), %eax
	call	config_read
	cmp	$15, %al
	jne	bad
	lea	16(%ebp), %eax
	xor	%ecx, %ecx
	call	config_write
	cmpb	$0, STATUS(%ebx)
	jne	bad
	movw	$1, SELECT(%ebx)
	cmpw	$0, ENABLE(%ebx)
	jne	bad
	cmpw	$-1, VECTOR(%ebx)
	jne	bad
	cli
	hlt

bad:	ud2

send:				/* the ecx bytes at esi */
	mov	%esi, QUEUE
	mov	%ecx, QUEUE + 8
	incw	AVAIL + 2
	mov	bell, %eax
	movw	$1, (%eax)
	ret

wait:				/* for the interrupt with the vector edx; the buffer is used */
	cli
	cmpl	$0, seen
	jne	8f
	sti
	hlt
	jmp	wait
8:	cmp	%edx, seen
	jne	bad
	movl	$0, seen
	mov	USED + 2, %ax
	cmp	AVAIL + 2, %ax
	jne	bad
	ret

quiet:				/* there is no interrupt, also after an exit to the monitor */
	mov	device, %eax
	sti
	call	config_read
	mov	device, %eax
	call	config_read
	cli
	cmpl	$0, seen
	jne	bad
	ret

on_message:
	movl	$MESSAGE_VECTOR, seen
	jmp	9f
on_pin:	push	%eax
	mov	structures + 4 * ISR, %eax
	cmpb	$1, (%eax)	/* lowers the pin */
	jne	bad
	pop	%eax
	movl	$PIN_VECTOR, seen
9:	movl	$0, (LAPIC + 0xb0)	/* EOI */
	ret	$8		/* without the flags: KVM's emulator lacks iret */

address:			/* eax: an offset, and the number of its BAR in the low bits */
	push	%ecx
	mov	%eax, %ecx
	and	$7, %ecx
	xor	%ecx, %eax
	push	%eax
	lea	BAR0(%ebx, %ecx, 4), %eax
	call	config_read
	and	$~15, %eax
	pop	%ecx
	add	%ecx, %eax
	pop	%ecx
	ret

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
device:	.long	0
msix:	.long	0
table:	.long	0		/* of MSI-X */
pending: .long	0
capabilities:			/* their addresses in config space, by type */
	.fill	6, 4, 0
structures:			/* the addresses of their registers */
	.fill	6, 4, 0
multiplier: .long 0
bell:	.long	0		/* the queue's notify address */
seen:	.long	0		/* the vector of the interrupt that has come */
by_message:
	.ascii	"by MSI-X\n"
by_message_end:
after_mask:
	.ascii	"by MSI-X, after it was masked\n"
after_mask_end:
by_pin:	.ascii	"by the pin\n"
by_pin_end:
	.balign	8
idt:	.fill	VECTORS * 8, 1, 0
