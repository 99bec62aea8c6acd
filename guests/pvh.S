/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PVH kernel: an ELF file with only Xen's entry note. It prints the contents of hvm_start_info:
 * magic number and version, the command line, each module's string and content, the signature of
 * ACPI's RSDP, and the number of memory map entries with the KiB of RAM in them. Then it halts.
 */
	.code32
	mov	$stack, %esp
	mov	%ebx, %ebp
	mov	%cr0, %eax	/* paging is off, protection is on */
	and	$0x80000001, %eax
	dec	%eax
	jnz	fail
	mov	%cr4, %eax
	test	%eax, %eax
	jnz	fail
	pushf
	testl	$0x20300, (%esp) /* VM, IF, TF */
	jnz	fail

	mov	(%ebp), %eax	/* magic */
	call	hex
	mov	4(%ebp), %eax	/* version */
	call	decimal
	call	newline
	mov	24(%ebp), %esi	/* cmdline_paddr */
	call	say
	call	newline

	mov	12(%ebp), %ecx	/* nr_modules */
	mov	16(%ebp), %ebx	/* modlist_paddr */
	jecxz	2f
1:	mov	(%ebx), %esi
	mov	8(%ebx), %edi
	mov	16(%ebx), %edx
	call	module
	add	$32, %ebx
	loop	1b
2:	mov	32(%ebp), %esi	/* rsdp_paddr */
	test	%esi, %esi
	jz	3f
	mov	$7, %edi
	call	bytes
	call	newline
3:	mov	48(%ebp), %ecx	/* memmap_entries */
	mov	40(%ebp), %ebx	/* memmap_paddr */
	xor	%edi, %edi
4:	cmpl	$1, 16(%ebx)	/* RAM */
	jne	5f
	mov	8(%ebx), %eax
	mov	12(%ebx), %edx
	shrd	$10, %edx, %eax
	add	%eax, %edi
5:	add	$24, %ebx
	loop	4b
	mov	48(%ebp), %eax
	call	total
	hlt

#include "kernel.inc"

	.section .note.xen, "a", @note
	.long	4, 4, 18	/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	0x1000
