/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Multiboot 1 kernel. Its header contains load addresses, so the flat file suffices. It prints
 * the magic number, the flags, the boot loader's name, the command line, each module's string and
 * content, the KiB below and above 1 MiB, and the number of memory map entries with the KiB of RAM
 * in them. Then it halts.
 */
	.code32
	jmp	start

	.set	FLAGS, 0x10003	/* page-aligned modules, memory map, load addresses */
	.balign	4
header:	.long	0x1badb002, FLAGS, -(0x1badb002 + FLAGS)
	.long	header, 0x1000, _edata, _end, start

start:	mov	$stack, %esp
	mov	%ebx, %ebp
	call	hex		/* eax: the magic number */
	mov	%cr0, %eax	/* paging is off, protection is on */
	and	$0x80000001, %eax
	dec	%eax
	jnz	fail
	pushf
	testl	$0x20200, (%esp) /* VM, IF */
	jnz	fail
	cmpl	$0, bss
	jne	fail
	incl	bss

	mov	(%ebp), %eax	/* flags */
	call	hex
	mov	64(%ebp), %esi	/* boot_loader_name */
	call	say
	call	newline
	mov	16(%ebp), %esi	/* cmdline */
	call	say
	call	newline

	mov	20(%ebp), %ecx	/* mods_count */
	mov	24(%ebp), %ebx	/* mods_addr */
	jecxz	2f
1:	mov	(%ebx), %esi
	mov	4(%ebx), %edi
	sub	%esi, %edi
	mov	8(%ebx), %edx
	call	module
	add	$16, %ebx
	loop	1b
2:	mov	4(%ebp), %eax	/* mem_lower */
	call	decimal
	mov	$' ', %al
	call	put
	mov	8(%ebp), %eax	/* mem_upper */
	call	decimal
	call	newline

	mov	48(%ebp), %ebx	/* mmap_addr */
	mov	44(%ebp), %ecx	/* mmap_length */
	add	%ebx, %ecx
	xor	%edi, %edi
	xor	%esi, %esi
3:	cmpl	$1, 20(%ebx)	/* RAM */
	jne	4f
	mov	12(%ebx), %eax
	mov	16(%ebx), %edx
	shrd	$10, %edx, %eax
	add	%eax, %edi
4:	inc	%esi
	add	(%ebx), %ebx	/* size of the entry, without this member */
	add	$4, %ebx
	cmp	%ecx, %ebx
	jb	3b
	mov	%esi, %eax
	call	total
	hlt

#include "kernel.inc"

	.bss
bss:	.long	0
