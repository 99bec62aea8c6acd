/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A minimal bzImage kernel. It prints its command line, its initrd and the signature of ACPI's
 * RSDP, then switches the machine off. It starts at its 64-bit entry, or at the 32-bit entry if bit
 * 0 of xloadflags is cleared.
 */
#define PARAMS_RSDP 0x70
#define PARAMS_E820 0x1e8
#define PARAMS_INITRD 0x218
#define PARAMS_INITRD_SIZE 0x21c
#define PARAMS_CMDLINE 0x228
#define PORT 0x3f8
#define POWER 0x600

start:	.org	0x1f1		/* the setup header (Documentation/arch/x86/boot.rst) */
	.byte	1		/* setup_sects */
	.org	0x1fe
	.word	0xaa55		/* boot_flag */
	.byte	0xeb, end - . - 1	/* jump: its offset gives the length of the header */
	.ascii	"HdrS"
	.word	0x020f		/* version */
	.org	0x211
	.byte	1		/* loadflags: LOADED_HIGH */
	.org	0x214
	.long	0x100000	/* code32_start */
	.org	0x22c
	.long	0x7fffffff	/* initrd_addr_max */
	.long	0x1000		/* kernel_alignment */
	.byte	0, 0		/* relocatable_kernel, min_alignment */
	.word	1		/* xloadflags: XLF_KERNEL_64 */
	.long	255		/* cmdline_size */
	.org	0x258
	.quad	0x100000	/* pref_address */
	.long	0x2000		/* init_size */
end:
	.org	0x400
kernel:
	.code32
	mov	$'3', %al
	mov	$PORT, %dx
	out	%al, %dx
	mov	$'2', %al
	out	%al, %dx
	mov	PARAMS_CMDLINE(%esi), %ebx
1:	mov	(%ebx), %al
	inc	%ebx
	test	%al, %al
	jz	off32
	out	%al, %dx
	jmp	1b
off32:	mov	$'\n', %al
	out	%al, %dx
	mov	$POWER, %dx
	mov	$0x34, %al
	out	%al, %dx
2:	pause
	jmp	2b

	.org	0x600
	.code64
	mov	$PORT, %edx
	mov	PARAMS_CMDLINE(%rsi), %ebx
1:	mov	(%rbx), %al	/* command line */
	inc	%rbx
	test	%al, %al
	jz	2f
	out	%al, %dx
	jmp	1b
2:	mov	$'\n', %al
	out	%al, %dx
	mov	PARAMS_INITRD(%rsi), %ebx
	mov	PARAMS_INITRD_SIZE(%rsi), %ecx
	jrcxz	4f
3:	mov	(%rbx), %al	/* bytes of the initrd */
	inc	%rbx
	out	%al, %dx
	loop	3b
4:	mov	PARAMS_RSDP(%rsi), %rbx
	test	%rbx, %rbx
	jz	6f
	mov	$7, %ecx
5:	mov	(%rbx), %al	/* "RSD PTR" */
	inc	%rbx
	out	%al, %dx
	loop	5b
6:	mov	$'\n', %al
	out	%al, %dx
	movzbl	PARAMS_E820(%rsi), %eax
	add	$'0', %al	/* number of e820 entries */
	out	%al, %dx
	mov	$'\n', %al
	out	%al, %dx
	/* The selectors that the boot protocol requires must also be in the GDT, so that they can
	 * be reloaded. */
	mov	%cs, %eax
	cmp	$0x10, %eax
	jne	8f
	mov	$0x18, %eax
	mov	%eax, %ds
	mov	%eax, %ss
	mov	$POWER, %edx
	mov	$0x34, %al	/* S5 */
	out	%al, %dx
7:	pause
	jmp	7b
8:	ud2
