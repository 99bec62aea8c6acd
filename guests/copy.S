/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of the PCI device that minivmm new-plugin --pci writes: lets it copy 12 KiB, waits for
 * its message by MSI-X, and compares. Protected mode; 256 KiB of memory from 0x1000 on.
 */
	.set	CONFIG, 0xcf8
	.set	LAPIC, 0xfee00000
	.set	VECTOR, 0x30
	.set	FROM, 0x10000
	.set	TO, 0x20000
	.set	BYTES, 0x3000

	/* Offsets in config space. */
	.set	COMMAND, 0x04
	.set	BAR0, 0x10
	.set	CAPABILITIES, 0x34
	.set	MSIX, 0x11

	.code32
	lgdt	gdt_pointer
	ljmp	$0x08, $1f
1:	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$stack, %esp
	mov	$VECTOR, %ebx
	mov	$on_message, %eax
	call	gate
	lidt	idt_pointer
	mov	$0xff, %al	/* no interrupts of the PICs */
	out	%al, $0x21
	out	%al, $0xa1
	movl	$0x1ff, (LAPIC + 0xf0)	/* enabled; spurious vector 0xff */

	/* Find the device: ebx becomes the address of its config space, as for ports. */
	mov	$0x80000000, %ebx
2:	add	$0x800, %ebx
	cmp	$0x80010000, %ebx
	je	fail
	mov	%ebx, %eax
	call	config_read
	cmp	$0xcafe1234, %eax
	jne	2b
	lea	COMMAND(%ebx), %eax
	mov	$6, %ecx	/* memory, bus master */
	call	config_write

	/* MSI-X: the table has one vector. */
	lea	CAPABILITIES(%ebx), %eax
	call	config_read
3:	and	$0xfc, %eax
	jz	fail
	lea	(%ebx, %eax), %ebp
	mov	%ebp, %eax
	call	config_read
	cmp	$MSIX, %al
	je	4f
	shr	$8, %eax
	jmp	3b
4:	lea	4(%ebp), %eax	/* offset of the table, and its BAR in bits 0 to 2 */
	call	config_read
	mov	%eax, %edi
	and	$7, %eax
	and	$~7, %edi
	lea	BAR0(%ebx, %eax, 4), %eax
	call	config_read
	and	$~15, %eax
	add	%eax, %edi
	movl	$LAPIC, 0(%edi)
	movl	$0, 4(%edi)
	movl	$VECTOR, 8(%edi)
	movl	$0, 12(%edi)
	mov	%ebp, %eax
	mov	$0x80000000, %ecx	/* enable */
	call	config_write

	/* The bytes to copy: all words are different. */
	mov	$FROM, %edi
	mov	$BYTES / 4, %ecx
5:	mov	%ecx, (%edi)
	add	$4, %edi
	loop	5b

	lea	BAR0(%ebx), %eax
	call	config_read
	mov	%eax, %ebp	/* a memory BAR of 32 bits: its low bits are 0 */
	movl	$FROM, 0x00(%ebp)
	movl	$0, 0x04(%ebp)
	movl	$TO, 0x08(%ebp)
	movl	$0, 0x0c(%ebp)
	movl	$BYTES, 0x10(%ebp)
	movl	$1, 0x14(%ebp)
	mov	$'.', %al
	call	put
6:	cli
	cmpl	$0, messages
	jne	7f
	sti
	hlt
	jmp	6b

7:	mov	messages, %eax	/* 1; status and bytes left are 0 */
	call	hex
	mov	0x14(%ebp), %eax
	call	hex
	mov	0x10(%ebp), %eax
	call	hex
	mov	$FROM, %esi
	mov	$TO, %edi
	mov	$BYTES / 4, %ecx
	cld
	repe cmpsl
	jne	fail
	mov	$copied, %esi
	call	say
	cli
	hlt

on_message:
	incl	messages
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
	.word	(VECTOR + 1) * 8 - 1
	.long	idt
messages:
	.long	0
copied:	.asciz	"copied\n"
	.balign	8
idt:	.fill	(VECTOR + 1) * 8, 1, 0

	.text
#include "kernel.inc"
