# SPDX-License-Identifier: BSD-2-Clause
# A 64 KiB BIOS for QEMU's microvm that starts the image that minivmm boots by itself,
# tests/bench/beat.S: it copies the image to 0x9000, enters long mode with the first 4 GiB mapped
# one to one, and jumps to it with the registers that beat.ini sets. So both machines run the same
# instructions.
#
# Defined on the command line: IMAGE (a file), LOW (bytes below 4 GiB), HIGH (bytes above), PACE,
# EVERY (r8, r9 of beat.S)
	.set	BASE, 0xffff0000	/* where the BIOS is, and cs with it */
	.set	PML4, 0xa000		/* PDPT behind it, and 4 page directories */
	.set	AT, 0x9000

	.code16
real:	data32 lgdt %cs:gdt_pointer
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$0x08, $BASE + protected

	.code32
protected:
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	cld
	mov	$BASE + image, %esi
	mov	$AT, %edi
	mov	$(image_end - image + 3) / 4, %ecx
	rep movsl

	movl	$PML4 + 0x1007, PML4
	movl	$PML4 + 0x2007, PML4 + 0x1000
	movl	$PML4 + 0x3007, PML4 + 0x1008
	movl	$PML4 + 0x4007, PML4 + 0x1010
	movl	$PML4 + 0x5007, PML4 + 0x1018
	mov	$PML4 + 0x2000, %edi
	mov	$0x87, %eax
1:	mov	%eax, (%edi)
	add	$8, %edi
	add	$0x200000, %eax
	jnc	1b
	mov	$PML4, %eax
	mov	%eax, %cr3
	mov	$0x620, %eax		/* PAE, OSFXSR, OSXMMEXCPT */
	mov	%eax, %cr4
	mov	$0xc0000080, %ecx	/* EFER: LME */
	xor	%edx, %edx
	mov	$0x100, %eax
	wrmsr
	mov	$0x80010033, %eax	/* PG, WP, NE, ET, MP, PE */
	mov	%eax, %cr0
	ljmpl	$0x18, $BASE + long

	.code64
long:	xor	%edi, %edi
	movabs	$LOW, %rsi
	movabs	$HIGH, %rbp
	mov	$PACE, %r8d
	mov	$EVERY, %r9d
	mov	$1, %r14d
	xor	%r15d, %r15d
	mov	$AT, %eax
	jmp	*%rax

	.balign	8
gdt:	.quad	0
	.quad	0x00cf9b000000ffff	/* 0x08: code, 32 bit */
	.quad	0x00cf93000000ffff
	.quad	0x00af9b000000ffff	/* 0x18: code, 64 bit */
gdt_pointer:
	.word	gdt_pointer - gdt - 1
	.long	BASE + gdt

	.balign	4
image:	.incbin	IMAGE
image_end:
	.if	image_end - image > PML4 - AT
	.error	"the image reaches into the page tables"
	.endif

	.org	0xfff0			/* where a CPU starts: 16 bytes below 4 GiB */
	.code16
	jmp	real
	.org	0x10000
