/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel started by multiboot 1; its header has addresses, so that the flat file will do. It
 * prints the magic number, the flags, who loaded it, the command line, each module's string and
 * bytes, the KiB below and above 1 MiB, how many rows the map of memory has and the KiB of RAM in
 * them. Then it halts.
 */
	.code32
	jmp	start

	.set	FLAGS, 0x10003	/* modules at page boundaries, a map of memory; addresses */
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
	add	(%ebx), %ebx	/* the row's size, without this number */
	add	$4, %ebx
	cmp	%ecx, %ebx
	jb	3b
	mov	%esi, %eax
	call	total
	hlt

#include "kernel.inc"

	.bss
bss:	.long	0
