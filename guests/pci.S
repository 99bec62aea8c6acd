/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of QEMU's device edu, without a kernel: enumerates bus 0 by ports and by ECAM, sizes and
 * moves a BAR, then lets the device compute a factorial (MSI), copy memory by DMA, and interrupt by
 * its pin and the IOAPIC. Protected mode; memory from 0x1000 on.
 */
	.set	CONFIG, 0xcf8
	.set	ECAM, 0xe0000000
	.set	MOVED, 0xd0000000	/* where it puts the BAR */
	.set	LAPIC, 0xfee00000
	.set	IOAPIC, 0xfec00000
	.set	MSI_VECTOR, 0x30
	.set	PIN_VECTOR, 0x31
	.set	VECTORS, 0x32
	.set	TARGET, 0x9000

	/* Offsets in config space. */
	.set	COMMAND, 0x04
	.set	CLASS, 0x08
	.set	BAR0, 0x10
	.set	CAPABILITIES, 0x34
	.set	LINE, 0x3c
	.set	MSI, 5

	.code32
	lgdt	gdt_pointer
	ljmp	$0x08, $1f
1:	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$0x8000, %esp
	mov	$MSI_VECTOR, %ebx
	mov	$on_msi, %eax
	call	gate
	mov	$PIN_VECTOR, %ebx
	mov	$on_pin, %eax
	call	gate
	lidt	idt_pointer
	mov	$0xff, %al	/* no interrupts of the PICs */
	out	%al, $0x21
	out	%al, $0xa1
	movl	$0x1ff, (LAPIC + 0xf0)	/* enabled; spurious vector 0xff */

	/* Enumerate: ebx is the address of a function's config space, as for ports. */
	mov	$0x80000000, %ebx
2:	mov	%ebx, %eax
	call	config_read
	cmp	$-1, %eax
	je	3f
	mov	%eax, %edi
	mov	%ebx, %eax
	shr	$8, %eax
	and	$0xff, %eax
	call	hex
	mov	%edi, %eax
	call	hex
	mov	%ebx, %esi	/* ECAM has the same */
	and	$0xffff00, %esi
	shl	$4, %esi
	cmp	ECAM(%esi), %edi
	jne	fail
	lea	CLASS(%ebx), %eax
	call	config_read
	call	hex
	call	newline
	cmp	$0x11e81234, %edi
	jne	3f
	mov	%ebx, device
3:	add	$0x800, %ebx	/* function 0 of the next slot */
	cmp	$0x80010000, %ebx
	jne	2b
	mov	device, %ebx
	test	%ebx, %ebx
	jz	fail

	/* The size of BAR 0, with decoding off, as a kernel does it. */
	lea	COMMAND(%ebx), %eax
	xor	%ecx, %ecx
	call	config_write
	lea	BAR0(%ebx), %eax
	mov	$-1, %ecx
	call	config_write
	call	config_read
	and	$~15, %eax
	neg	%eax
	call	hex
	lea	BAR0(%ebx), %eax
	mov	$MOVED, %ecx
	call	config_write
	lea	COMMAND(%ebx), %eax
	mov	$6, %ecx	/* memory, bus master */
	call	config_write
	mov	MOVED, %eax	/* identification */
	call	hex
	movl	$0x12345678, MOVED + 4
	mov	MOVED + 4, %eax
	call	hex
	call	newline

	/* The MSI capability: messages to LAPIC 0. */
	lea	CAPABILITIES(%ebx), %eax
	call	config_read
4:	and	$0xfc, %eax
	jz	fail
	lea	(%ebx, %eax), %ebp
	mov	%ebp, %eax
	call	config_read
	cmp	$MSI, %al
	je	5f
	shr	$8, %eax
	jmp	4b
5:	lea	4(%ebp), %eax
	mov	$LAPIC, %ecx
	call	config_write
	lea	8(%ebp), %eax
	xor	%ecx, %ecx
	call	config_write
	lea	12(%ebp), %eax
	mov	$MSI_VECTOR, %ecx
	call	config_write
	mov	%ebp, %eax
	mov	$0x10000, %ecx	/* enable */
	call	config_write

	movl	$0x80, MOVED + 0x20	/* interrupt when it is done */
	movl	$10, MOVED + 8
	call	wait
	mov	MOVED + 8, %eax
	call	hex
	call	newline

	/* DMA: the text to the buffer, and from there to TARGET. */
	mov	$text, %eax
	mov	$0x40000, %ecx
	mov	$5, %edx	/* start, interrupt */
	call	dma
	mov	$0x40000, %eax
	mov	$TARGET, %ecx
	mov	$7, %edx	/* start, to memory, interrupt */
	call	dma
	mov	$TARGET, %esi
	call	say

	/* The pin: level-triggered, active low as all PCI interrupts. */
	mov	%ebp, %eax
	xor	%ecx, %ecx
	call	config_write	/* MSI off */
	lea	LINE(%ebx), %eax
	call	config_read
	movzx	%al, %eax
	lea	0x10(, %eax, 2), %eax
	mov	%eax, IOAPIC
	movl	$0xa000 | PIN_VECTOR, (IOAPIC + 0x10)
	inc	%eax
	mov	%eax, IOAPIC
	movl	$0, (IOAPIC + 0x10)
	movl	$0x20, MOVED + 0x60
	call	wait
	call	newline
	cli
	hlt

wait:				/* for an interrupt; prints which and its status */
	cli
	cmpl	$0, seen
	jne	6f
	sti
	hlt
	jmp	wait
6:	mov	seen, %esi
	movl	$0, seen
	call	say
	mov	status, %eax
	jmp	hex

dma:	mov	%eax, MOVED + 0x80
	mov	%ecx, MOVED + 0x88
	movl	$text_end - text, MOVED + 0x90
	mov	%edx, MOVED + 0x98
	call	wait
	jmp	newline

on_msi:	movl	$by_msi, seen
	jmp	7f
on_pin:	movl	$by_pin, seen
7:	push	%eax
	mov	MOVED + 0x24, %eax
	mov	%eax, status
	mov	%eax, MOVED + 0x64
	movl	$0, (LAPIC + 0xb0)	/* EOI */
	pop	%eax
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
device:	.long	0
seen:	.long	0		/* the name of the interrupt that has come */
status:	.long	0
by_msi:	.asciz	"MSI "
by_pin:	.asciz	"pin "
text:	.asciz	"copied by DMA\n"
text_end:
	.balign	8
idt:	.fill	VECTORS * 8, 1, 0

	.text
#include "kernel.inc"
