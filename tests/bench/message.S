/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes messages: a write to the doorbell makes the device send one, or another thread sends it.
 * The first instruction of the handler is an access that exits. Protected mode, linked at 0x1000.
 *
 *   ebp  config address of the card (tests/plugins/card.c), which it sets up; 0: there is no PCI
 *   ebx  with ebp 0: address of the card's registers
 *   ecx  messages
 *   edi  0: it rings for each; 1: it rings once, when it is ready, then halts until they come
 *
 * At the end it halts without interrupts; with ebp 0 it writes to port 0xf4.
 */
	.set	CONFIG, 0xcf8
	.set	LAPIC, 0xfee00000
	.set	VECTOR, 0x30
	.set	VECTORS, 0x31
	.set	RING, 1		/* the card's register COMMAND */
	.set	MESSAGE, 0x10	/* its command: message 0 */

	/* Offsets in config space. */
	.set	COMMAND, 0x04
	.set	BAR0, 0x10
	.set	CAPABILITIES, 0x34
	.set	MSIX, 17

	.code32
	lgdt	gdt_pointer
	ljmp	$0x08, $1f
1:	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$0x8000, %esp
	mov	%ebx, bell
	mov	%ecx, left
	mov	$VECTOR, %ebx
	mov	$handler, %eax
	call	gate
	lidt	idt_pointer
	mov	$0xff, %al	/* no interrupts of the PICs */
	out	%al, $0x21
	out	%al, $0xa1
	movl	$0x1ff, (LAPIC + 0xf0)	/* enabled; spurious vector 0xff */
	test	%ebp, %ebp
	jz	5f

	/* The card: bus master, entry 0 of its MSI-X table, MSI-X on. */
	lea	COMMAND(%ebp), %eax
	mov	$6, %ecx
	call	config_write
	lea	BAR0(%ebp), %eax
	call	config_read
	and	$~15, %eax
	mov	%eax, bell
	lea	CAPABILITIES(%ebp), %eax
	call	config_read
2:	and	$0xfc, %eax
	jz	bad
	lea	(%ebp, %eax), %esi
	mov	%esi, %eax
	call	config_read
	cmp	$MSIX, %al
	je	3f
	shr	$8, %eax
	jmp	2b
3:	lea	4(%esi), %eax
	call	config_read
	mov	%eax, %edx	/* the table's BAR, and its offset in it */
	and	$7, %edx
	and	$~7, %eax
	push	%eax
	lea	BAR0(%ebp, %edx, 4), %eax
	call	config_read
	and	$~15, %eax
	pop	%edx
	add	%edx, %eax
	movl	$LAPIC, (%eax)
	movl	$0, 4(%eax)
	movl	$VECTOR, 8(%eax)
	movl	$0, 12(%eax)	/* not masked */
	mov	%esi, %eax
	mov	$0x80000000, %ecx
	call	config_write

5:	mov	bell, %ebx
	test	%edi, %edi
	jnz	7f
6:	sti			/* the handler does not restore the flags */
	movb	$MESSAGE, RING(%ebx)
	cmpl	$0, left
	jne	6b
	jmp	end
7:	movb	$MESSAGE, RING(%ebx)
8:	cli
	cmpl	$0, left
	je	end
	sti
	hlt
	jmp	8b
end:	cli
	test	%ebp, %ebp
	jnz	9f
	out	%al, $0xf4
9:	hlt
bad:	ud2

handler:
	movb	$0, (%ebx)
	decl	left
	movl	$0, (LAPIC + 0xb0)	/* EOI */
	ret	$8		/* without the flags: KVM's emulator lacks iret */

#include "pci.inc"

	.balign	8
gdt:	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt
idt_pointer:
	.word	VECTORS * 8 - 1
	.long	idt
bell:	.long	0		/* address of the card's registers */
left:	.long	0		/* messages to come */
	.balign	8
idt:	.fill	VECTORS * 8, 1, 0
