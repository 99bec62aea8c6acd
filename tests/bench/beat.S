# SPDX-License-Identifier: BSD-2-Clause
# Writes into every page of memory, then exits to user space at an even pace and writes random pages
# meanwhile: a guest in which each stop shows as a gap between two exits. Long mode, entered at
# 0x9000 of the machine's memory at CPL 0. Memory is written at CPL 3, which runs at full speed also
# where KVM emulates CPL 0. The exits are made at CPL 0, where they cost less on such a KVM. The
# page tables are in the last 2 MiB: linear addresses begin at 0 wherever memory does.
#
#   rdi  address of memory, a multiple of 2 MiB            r8   TSC ticks from exit to exit
#   rsi  its bytes, the last 2 MiB for the tables          r9   exits for each page that is written
#   rbp  more bytes, at 4 GiB; 0: none                     r14  seed of the random pages, not 0
#
# cr3 points to tables as minivmm makes them, the page directory of the first GiB 0x2000 behind: its
# first entry is changed, so that the code keeps running while cr3 changes.
#
# All memory written, the guest prints a newline on the serial port. With -DIDLE=PORT it then writes
# to PORT without end and a pace.
	.set	FIRST, 0x10000		/* of the pages that are written */
	.set	STACK, 0x8000
	.set	PORT, 0x80
	.set	LATE, 50		/* exits: then the pace starts again, else it catches up */

	.code64
	lea	-0x200000(%rdi,%rsi), %rbx	/* PML4 | PDPT | page directories */
	lea	0x1007(%rbx), %rax
	mov	%rax, (%rbx)
	xor	%ecx, %ecx
1:	lea	0x2007(%rbx), %rax
	mov	%ecx, %edx
	shl	$12, %rdx
	add	%rdx, %rax
	mov	%rax, 0x1000(%rbx,%rcx,8)
	inc	%ecx
	cmp	$16, %ecx
	jb	1b
	lea	0x2000(%rbx), %rdx
	lea	0x87(%rdi), %rax	/* 2 MiB, user, writable, present */
	lea	-0x200000(%rsi), %rcx
	shr	$21, %rcx
2:	mov	%rax, (%rdx)
	add	$0x200000, %rax
	add	$8, %rdx
	dec	%ecx
	jnz	2b
	mov	%rbp, %rcx
	shr	$21, %rcx
	jz	4f
	movabs	$0x100000087, %rax
3:	mov	%rax, (%rdx)
	add	$0x200000, %rax
	add	$8, %rdx
	dec	%ecx
	jnz	3b
4:	lea	-0x200000(%rsi,%rbp), %rbp

	mov	%cr3, %rax
	lea	0x87(%rdi), %rcx
	mov	%rcx, 0x2000(%rax)
	mov	%rax, %cr3
	mov	$low, %eax
	jmp	*%rax
low:	mov	%rbx, %cr3
	lgdt	gdt_pointer
	lidt	idt_pointer
	mov	$0x28, %eax
	ltr	%ax
	mov	$0x1b, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%r8, %r10
	imul	$LATE, %r10, %r10
	mov	%rbp, %r12
	sub	$FIRST, %r12
	shr	$12, %r12		/* pages */
	mov	$touch, %eax
to_user:
	mov	%rax, frame
	mov	$frame, %esp
	iretq

/* ---- CPL 3: each piece ends with INT3 ---- */

touch:	mov	$FIRST, %edx
5:	mov	%rdx, 8(%rdx)
	add	$0x1000, %rdx
	cmp	%rbp, %rdx
	jb	5b
	int3

/* A random value into a random page: xorshift64 (Marsaglia 2003: 13, 7, 17). */
write:	mov	%r14, %rax
	shl	$13, %rax
	xor	%rax, %r14
	mov	%r14, %rax
	shr	$7, %rax
	xor	%rax, %r14
	mov	%r14, %rax
	shl	$17, %rax
	xor	%rax, %r14
	mov	%r14, %rax
	mul	%r12			/* rdx: below r12 */
	shl	$12, %rdx
	mov	%r14, FIRST(%rdx)
	int3

/* ---- CPL 0, interrupts off ---- */

touched:
	movw	$written, idt + 3 * 16
	mov	$0x3f8, %edx
	mov	$'\n', %eax
	out	%al, %dx
#ifdef IDLE
	mov	$IDLE, %edx
6:	pause
	out	%al, %dx
	jmp	6b
#endif
written:
	mov	%r9d, %ecx
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, %rdx
	sub	%r15, %rdx		/* r15: when the next exit is due */
	cmp	%r10, %rdx
	cmova	%rax, %r15
beat:	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	cmp	%r15, %rax
	jb	beat
	add	%r8, %r15
	out	%al, $PORT
	dec	%ecx
	jnz	beat
	mov	$write, %eax
	jmp	to_user

	.balign	8
frame:	.quad	0, 0x23, 2, 0, 0x1b	/* of IRETQ: rip, cs, rflags, rsp, ss */
gdt:	.quad	0
	.quad	0x00af9b000000ffff	/* 0x08: code, CPL 0 */
	.quad	0x00cf93000000ffff
	.quad	0x00cff3000000ffff	/* 0x1b: data, CPL 3 */
	.quad	0x00affb000000ffff	/* 0x23: code, CPL 3 */
	.word	0x67, tss, 0x8900, 0
	.quad	0
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt
idt_pointer:
	.word	idt_end - idt - 1
	.quad	idt
	.balign	8
tss:	.long	0
	.quad	STACK			/* RSP0 */
	.fill	90, 1, 0
	.word	0x68
	.balign	8
idt:	.fill	3 * 16, 1, 0
	.word	touched, 0x08, 0xee00, 0
	.quad	0
idt_end:
