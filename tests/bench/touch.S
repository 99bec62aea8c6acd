# SPDX-License-Identifier: BSD-2-Clause
# Put before guests/live.S by tests/bench/Guest.pm, which lays both out in one image: live at
# 0x1000, this at 0x9000 of the machine's memory. Writes into every page first, and then jumps to
# live, so that all memory is there and not zero when the measurement begins. Long mode, entered at
# CPL 0; the writes are made at CPL 3, which runs at full speed also where KVM emulates the rest,
# and through page tables of its own: linear addresses begin at 0 wherever memory does.
#
#   rdi  where memory begins, a multiple of 2 MiB
#   rsi  its bytes; the last 2 MiB are the tables'
#   rbp  more bytes, at 4 GiB; 0: none                     r8 to r15  are live's
#
# cr3 points to tables as minivmm makes them, the page directory of the first GiB 0x2000 behind: its
# first entry is changed, so that this runs on while cr3 is.
#
# With -DIDLE=PORT, instead of live: asks PORT for ever, once all is touched; until then and again
# when it is first asked, the guest says so on the serial port.
	.set	FIRST, 0x10000		/* of the pages that are touched, as live has it */
	.set	STACK, 0x8000
	.set	LIVE, 0x1000

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
	mov	$STACK, %esp
	lgdt	gdt_pointer
	lidt	idt_pointer
	mov	$0x28, %eax
	ltr	%ax
	mov	$0x1b, %eax
	mov	%eax, %ds
	mov	%eax, %es
	pushq	$0x1b
	pushq	$0
	pushq	$2
	pushq	$0x23
	pushq	$touch
	iretq

touch:	mov	$FIRST, %edx
5:	mov	%rdx, 8(%rdx)
	add	$0x1000, %rdx
	cmp	%rbp, %rdx
	jb	5b
	int3

touched:
#ifdef IDLE
	mov	$0x3f8, %edx
	mov	$'\n', %eax
	out	%al, %dx
	mov	$IDLE, %edx
6:	pause
	out	%al, %dx
	jmp	6b
#else
	mov	%rbp, %rsp		/* where live takes memory to end */
	mov	$LIVE, %eax
	jmp	*%rax
#endif

	.balign	8
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
idt:	.fill	3 * 16, 1, 0
	.word	touched, 0x08, 0xee00, 0
	.quad	0
idt_end:
