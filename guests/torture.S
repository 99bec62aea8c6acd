/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fills every class of machine state with values other than its defaults, makes a few accesses,
 * then checks all state. It prints the classes whose state has changed, or "torture: ok". If the
 * machine is saved, restored or cloned at any point, the output must stay the same.
 *
 * Long mode, CPL 0; x87, SSE and AVX at CPL 3. No result depends on time: each timer either runs
 * for hours, or the guest waits for it. Features that the CPU lacks are skipped.
 *
 * Devices: a serial port at 0x3f8 on IRQ 4 with ".abc" to read, a serial port at 0x2f8, counters at
 * READS (raises IRQ 5 at 16) and PERIODS (IRQ 10), and a device with RAM at RAM.
 */
	.code64

	.set	READS, 0x40000000
	.set	PERIODS, 0x40001000
	.set	RAM, 0x40002000
	.set	IOAPIC, 0xfec00000
	.set	LAPIC, 0xfee00000
	.set	COM1, 0x3f8
	.set	COM2, 0x2f8

	.set	KERNEL_CODE, 0x08
	.set	KERNEL_DATA, 0x10
	.set	USER_DATA, 0x1b
	.set	USER_CODE, 0x23
	.set	TSS, 0x28
	.set	LDT, 0x38
	.set	ODD_DS, 0x48
	.set	ODD_ES, 0x50
	.set	CODE32, 0x58
	.set	ODD_FS, 0x04	/* in the LDT */
	.set	ODD_GS, 0x0c

	.set	ES_BASE, 0x100
	.set	ES_LIMIT, 0x1233

/* The classes that are checked, in the order of the messages. */
	.set	class_count, 0
	.macro	classes list:vararg
	.irp	name, \list
	.set	\name, class_count
	.set	class_count, class_count + 1
	.endr
	.endm
	classes	REGISTERS, FLAGS, STRINGS, SPLIT, TABLES, SEGMENTS, LIMITS, CONTROL, DEBUG
	classes	MSRS, TSC, LAPIC_REGISTERS, LAPIC_TIMER, LAPIC_PENDING, IOAPIC_STATE
	classes	PIC_STATE, PIT_STATE, SERIAL_FIFO, SERIAL_REGISTERS, COUNTER, PENDING
	classes	SHADOW, NMI, INTERRUPTS, X87, SSE, AVX, XCR, CPUID, CLOCK

/* After a comparison: if the operands differ, marks the class as failed. */
	.macro	must_equal class
	je	.Lok\@
	btsl	$\class, failed
.Lok\@:
	.endm

	.macro	outb	port, value
	mov	$\value, %al
	.if	\port > 0xff
	mov	$\port, %dx
	out	%al, %dx
	.else
	out	%al, $\port
	.endif
	.endm

	.macro	inb	port
	.if	\port > 0xff
	mov	$\port, %dx
	in	%dx, %al
	.else
	in	$\port, %al
	.endif
	.endm

	.macro	lapic	register, value
	movl	$\value, \register(%rbp)
	.endm

	.macro	ioapic	register, value
	movl	$\register, (%rbx)
	movl	$\value, 0x10(%rbx)
	.endm

/* Lets a pending interrupt in. A KVM that emulates CPL 0 delivers it only at an exit. */
	.macro	let_in
	sti
	mov	%eax, RAM + 0x60
	nop
	cli
	.endm

/* Continues after this line at CPL 3. */
	.macro	to_user
	mov	%rsp, kernel_rsp
	pushq	$USER_DATA
	pushq	$user_stack
	pushq	$2
	pushq	$USER_CODE
	pushq	$.Luser\@
	iretq
.Luser\@:
	.endm

/* Continues after this line at CPL 0. */
	.macro	to_kernel
	int3
	mov	kernel_rsp, %rsp
	mov	$KERNEL_DATA, %eax
	mov	%eax, %ss
	.endm

start:	mov	$stack, %esp
	mov	$LAPIC, %ebp	/* neither address fits a signed 32-bit displacement */
	mov	$IOAPIC, %ebx
	cld
	call	fill_tables
	call	fill_fpu	/* uses CPL 3, which sets segments to null: call it first */
	call	fill_control
	call	fill_msrs
	call	fill_clock
	call	fill_pit
	call	fill_interrupts
	call	fill_serial
	call	fill_segments

	call	registers	/* accesses to devices, and their operands */
	call	strings
	call	split

	call	check_tables
	call	check_control
	call	check_msrs
	call	check_cpuid
	call	check_clock
	call	check_pit
	call	check_pending
	call	check_limits
	call	deliver
	call	check_serial
	call	shadow
	call	nmi
	call	wait_timers
	call	check_fpu
	jmp	report

/* ---- descriptor tables ---- */

fill_tables:
	lgdt	gdt_pointer
	lidt	idt_pointer
	mov	$TSS, %eax
	ltr	%ax
	mov	$LDT, %eax
	lldt	%ax
	ret

check_tables:
	sgdt	scratch
	movzwl	scratch, %eax
	cmp	$gdt_end - gdt - 1, %eax
	must_equal TABLES
	cmpq	$gdt, scratch + 2
	must_equal TABLES
	sidt	scratch
	movzwl	scratch, %eax
	cmp	$idt_end - idt - 1, %eax
	must_equal TABLES
	cmpq	$idt, scratch + 2
	must_equal TABLES
	str	%ax
	cmp	$TSS, %ax
	must_equal TABLES
	sldt	%ax
	cmp	$LDT, %ax
	must_equal TABLES
	ret

/* ---- segments: selectors, bases, and limits, which apply only to 32-bit code ---- */

fill_segments:
	mov	$ODD_DS, %eax
	mov	%eax, %ds
	mov	$ODD_ES, %eax
	mov	%eax, %es
	mov	$ODD_FS, %eax
	mov	%eax, %fs
	mov	$ODD_GS, %eax
	mov	%eax, %gs
	mov	$0xc0000100, %ecx	/* FS base */
	mov	$in_fs, %eax
	xor	%edx, %edx
	wrmsr
	inc	%ecx			/* GS base */
	mov	$in_gs, %eax
	wrmsr
	inc	%ecx			/* base for SWAPGS */
	mov	$in_kernel_gs, %eax
	wrmsr
	call	try_limit
	mov	faulted, %eax
	mov	%eax, limit_faults	/* no fault in an emulator without limits */
	ret

check_limits:
	mov	%ds, %eax
	cmp	$ODD_DS, %ax
	must_equal SEGMENTS
	mov	%es, %eax
	cmp	$ODD_ES, %ax
	must_equal SEGMENTS
	mov	%fs, %eax
	cmp	$ODD_FS, %ax
	must_equal SEGMENTS
	mov	%gs, %eax
	cmp	$ODD_GS, %ax
	must_equal SEGMENTS
	cmpl	$0xf5f5f5f5, %fs:4
	must_equal SEGMENTS
	cmpl	$0x65656565, %gs:4
	must_equal SEGMENTS
	swapgs
	cmpl	$0x4b4b4b4b, %gs:4
	must_equal SEGMENTS
	swapgs

	call	try_limit
	cmp	%ecx, %eax
	must_equal LIMITS
	mov	faulted, %eax
	cmp	limit_faults, %eax
	must_equal LIMITS
	mov	$USER_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	ret

/* Reads the last word inside the limit of ES: through ES to eax, through DS to ecx. Then checks
 * whether a read one byte further faults. */
try_limit:
	movl	$code64, fixup
	movl	$0, faulted
	ljmp	*to_code32
	.code32
code32:	mov	%es:ES_LIMIT - 3, %eax
	mov	ES_BASE + ES_LIMIT - 3, %ecx
	mov	%es:ES_LIMIT - 2, %edx	/* on_fault continues at code64 */
	ljmp	$KERNEL_CODE, $code64
	.code64
code64:	movl	$0, fixup
	ret

/* ---- control and debug registers ---- */

fill_control:
	mov	%cr0, %rax
	bts	$18, %rax	/* AM */
	mov	%rax, %cr0
	mov	%rax, saved_cr0
	mov	%cr4, %rax
	or	$0x1c0, %eax	/* MCE, PGE, PCE */
	mov	%rax, %cr4
	mov	%rax, saved_cr4
	mov	%cr3, %rax
	or	$0x18, %eax	/* PWT, PCD */
	mov	%rax, %cr3
	mov	%rax, saved_cr3
	mov	cr2, %rax
	mov	%rax, %cr2
	.irp	n, 0, 1, 2, 3, 6, 7
	mov	dr\n, %rax
	mov	%rax, %dr\n
	.endr
	ret

check_control:
	mov	%cr0, %rax
	cmp	saved_cr0, %rax
	must_equal CONTROL
	mov	%cr4, %rax
	cmp	saved_cr4, %rax
	must_equal CONTROL
	mov	%cr3, %rax
	cmp	saved_cr3, %rax
	must_equal CONTROL
	mov	%cr2, %rax
	cmp	cr2, %rax
	must_equal CONTROL
	mov	%cr8, %rax
	cmp	$6, %rax
	must_equal CONTROL
	.irp	n, 0, 1, 2, 3, 6, 7
	mov	%dr\n, %rax
	cmp	dr\n, %rax
	must_equal DEBUG
	.endr
	ret

/* ---- MSRs that return the value that was written ---- */

fill_msrs:
	movl	$1f, fixup
	mov	$0x1a0, %ecx	/* MISC_ENABLE: one bit changed */
	rdmsr
	xor	$1, %eax
	mov	%eax, misc_enable + 4
	mov	%edx, misc_enable + 8
1:	mov	$msrs, %esi
1:	mov	(%rsi), %ecx
	mov	4(%rsi), %eax
	mov	8(%rsi), %edx
	movl	$3f, fixup
	wrmsr
	rdmsr
	cmp	4(%rsi), %eax
	jne	2f
	cmp	8(%rsi), %edx
	jne	2f
	movl	$1, 12(%rsi)	/* this MSR exists */
2:	add	$16, %esi
	cmp	$msrs_end, %esi
	jne	1b
	movl	$0, fixup
	mov	$0x10, %ecx	/* TSC: 2^40, if it can be written */
	xor	%eax, %eax
	mov	$0x100, %edx
	wrmsr
	rdtsc
	mov	%edx, tsc_high
	ret
3:	jmp	2b		/* it faulted: this MSR does not exist */

check_msrs:
	mov	$msrs, %esi
1:	cmpl	$0, 12(%rsi)
	je	2f
	mov	(%rsi), %ecx
	rdmsr
	cmp	4(%rsi), %eax
	must_equal MSRS
	cmp	8(%rsi), %edx
	must_equal MSRS
2:	add	$16, %esi
	cmp	$msrs_end, %esi
	jne	1b
	rdtsc			/* less than 2^38 later: a busy host is slow */
	sub	tsc_high, %edx
	and	$~0x3f, %edx
	must_equal TSC
	ret

/* ---- CPUID; one leaf depends on XCR0 ---- */

/* Stores three words of CPUID at rdi. */
read_cpuid:
	push	%rbx
	mov	$1, %eax
	xor	%ecx, %ecx
	cpuid
	mov	%ecx, (%rdi)
	mov	%edx, 4(%rdi)
	mov	$0x0d, %eax
	xor	%ecx, %ecx
	cpuid
	mov	%ebx, 8(%rdi)	/* size of the state that XCR0 enables */
	pop	%rbx
	ret

check_cpuid:
	mov	$scratch, %edi
	call	read_cpuid
	mov	scratch, %rax
	cmp	saved_cpuid, %rax
	must_equal CPUID
	mov	scratch + 8, %eax
	cmp	saved_cpuid + 8, %eax
	must_equal XCR
	ret

/* ---- KVM's clock, if it exists: it advances, and does not jump ---- */

fill_clock:
	push	%rbx
	mov	$0x40000000, %eax
	xor	%ecx, %ecx
	cpuid
	cmp	$0x4b4d564b, %ebx	/* "KVMK" */
	jne	1f
	mov	$0x40000001, %eax
	cpuid
	bt	$3, %eax
	jnc	1f
	mov	$0x4b564d01, %ecx
	mov	$clock + 1, %eax
	xor	%edx, %edx
	wrmsr
	mov	%eax, RAM + 0x60	/* KVM fills the structure at the next entry */
	call	read_clock
	mov	%rax, saved_clock
1:	pop	%rbx
	ret

check_clock:
	cmpl	$0, clock
	je	1f
	call	read_clock
	sub	saved_clock, %rax
	shr	$36, %rax	/* a minute, in ns */
	must_equal CLOCK
1:	ret

/* struct pvclock_vcpu_time_info, Linux's Documentation/virt/kvm/x86/msr.rst */
read_clock:
	mov	clock, %esi	/* version: even, and the same at the end */
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	sub	clock + 8, %rax	/* TSC at system_time */
	movsbl	clock + 28, %ecx
	test	%ecx, %ecx
	js	1f
	shl	%cl, %rax
	jmp	2f
1:	neg	%ecx
	shr	%cl, %rax
2:	mov	clock + 24, %edx	/* ns per tick, times 2^32 */
	mul	%rdx
	shrd	$32, %rdx, %rax
	add	clock + 16, %rax	/* system_time */
	cmp	clock, %esi
	jne	read_clock
	test	$1, %esi
	jnz	read_clock
	ret

/* ---- PIT: counting, a latched status, a latched count that is half read, a count that is half
 * written ---- */

fill_pit:
	outb	0x43, 0x34	/* channel 0: mode 2, both bytes */
	outb	0x40, 0xfe
	outb	0x40, 0xff
	outb	0x43, 0xe2	/* latch its status */

	outb	0x43, 0x74	/* channel 1: mode 2, both bytes; at most 3 */
	outb	0x41, 0x03
	outb	0x41, 0x00
	outb	0x43, 0x40	/* latch the count */
	outb	0x43, 0x74	/* then count from 0xf0f0 */
	outb	0x41, 0xf0
	outb	0x41, 0xf0
	inb	0x41		/* low byte of the latched count */
	mov	%al, latched

	outb	0x43, 0xb4	/* channel 2: mode 2, both bytes */
	outb	0x42, 0x00
	outb	0x42, 0xf0
	outb	0x42, 0x34	/* low byte of the next count; the high byte follows later */
	inb	0x61
	and	$0xfc, %al
	or	$0x03, %al	/* gate and speaker */
	out	%al, $0x61
	ret

check_pit:
	inb	0x40
	and	$0x3f, %al
	cmp	$0x34, %al
	must_equal PIT_STATE
	outb	0x43, 0x00
	inb	0x40		/* it counts */
	mov	%al, %cl
	inb	0x40
	mov	%al, %ch
1:	outb	0x43, 0x00
	inb	0x40
	mov	%al, %dl
	inb	0x40
	mov	%al, %dh
	cmp	%cx, %dx
	je	1b

	inb	0x41		/* high byte of 1 to 3 */
	cmp	$0, %al
	must_equal PIT_STATE
	mov	latched, %al
	dec	%al
	test	$0xfc, %al
	must_equal PIT_STATE
	outb	0x43, 0xe4
	inb	0x41
	and	$0x3f, %al
	cmp	$0x34, %al
	must_equal PIT_STATE

	outb	0x42, 0x01	/* makes 0x134: no higher count is read from now on */
	outb	0x43, 0x80
	inb	0x42
	inb	0x42
	cmp	$2, %al
	setae	%al
	test	%al, %al
	must_equal PIT_STATE
	inb	0x61
	and	$0x03, %al
	cmp	$0x03, %al
	must_equal PIT_STATE
	ret

/* ---- UARTs: one with waiting input and a raised line, one in loopback mode ---- */

fill_serial:
	outb	COM1 + 2, 0x01	/* FIFOs on, trigger at 1 */
1:	inb	COM1 + 5
	test	$1, %al
	jz	1b
	inb	COM1
	cmp	$'a', %al	/* earlier bytes may be lost when the FIFO is enabled */
	jne	1b
	outb	COM1 + 4, 0x0b	/* DTR, RTS, OUT2 */
	outb	COM1 + 1, 0x01	/* interrupt on received data */

	outb	COM2 + 3, 0x80
	outb	COM2, 0x34
	outb	COM2 + 1, 0x12
	outb	COM2 + 3, 0x1b
	outb	COM2 + 2, 0xc1	/* FIFOs on, trigger at 14 */
	inb	COM2 + 6	/* clear the deltas of the modem lines */
	outb	COM2 + 4, 0x16	/* loopback, OUT1, RTS */
	outb	COM2 + 1, 0x08	/* interrupt on modem status, which is pending */
	outb	COM2 + 7, 0x5c
	ret

check_serial:
	outb	0x21, 0xeb	/* IRQ 4 is high since the bytes arrived */
	let_in
	outb	0x21, 0xfb
	cmpb	$1, hits + 0x24
	must_equal SERIAL_FIFO
	cmpl	$'b' | 'c' << 8, received
	must_equal SERIAL_FIFO
	inb	COM2 + 1
	cmp	$0x08, %al
	must_equal SERIAL_REGISTERS
	inb	COM2 + 2
	cmp	$0xc0, %al
	must_equal SERIAL_REGISTERS
	inb	COM2 + 3
	cmp	$0x1b, %al
	must_equal SERIAL_REGISTERS
	inb	COM2 + 4
	cmp	$0x16, %al
	must_equal SERIAL_REGISTERS
	inb	COM2 + 6	/* lines from MCR: RI, CTS; deltas: DSR, DCD */
	cmp	$0x5a, %al
	must_equal SERIAL_REGISTERS
	inb	COM2 + 7
	cmp	$0x5c, %al
	must_equal SERIAL_REGISTERS
	outb	COM2 + 3, 0x80
	inb	COM2
	cmp	$0x34, %al
	must_equal SERIAL_REGISTERS
	inb	COM2 + 1
	cmp	$0x12, %al
	must_equal SERIAL_REGISTERS
	outb	COM2 + 3, 0x1b
	ret

/* ---- interrupt controllers: requested, in service, blocked, masked, half acknowledged ---- */

fill_interrupts:
	movl	$4, PERIODS	/* above its limit: no interrupt */
	outb	0x21, 0xff
	outb	0xa1, 0xff
	outb	0x20, 0x11	/* the PICs, at vectors 0x20 and 0x28 */
	outb	0xa0, 0x11
	outb	0x21, 0x20
	outb	0xa1, 0x28
	outb	0x21, 0x04
	outb	0xa1, 0x02
	outb	0x21, 0x01
	outb	0xa1, 0x01
	outb	0x21, 0xdf	/* IRQ 5 only */
	outb	0xa1, 0xdf
	movl	$2, PERIODS
	mov	PERIODS, %eax	/* raises IRQ 10, which is masked */
	lapic	0xf0, 0x1ff	/* SVR: enabled */
	lapic	0x350, 0x700	/* LINT0: the PICs */
	lapic	0xd0, 0x02000000	/* LDR */
	lapic	0x330, 0x100f1	/* LVT thermal, performance, LINT1, error: masked */
	lapic	0x340, 0x100f2
	lapic	0x360, 0x1a4f3
	lapic	0x370, 0x100f4
	lapic	0x3e0, 0x0a	/* timer: divide by 128, one-shot, masked, for minutes */
	lapic	0x320, 0x100a1
	lapic	0x380, 0xfffffff0

	ioapic	0, 0x05000000	/* ID */
	ioapic	0x39, 0x0f000000	/* pin 20: masked, with unusual settings */
	ioapic	0x38, 0x1a9c5

	movl	$KERNEL_DATA - 2, READS
	mov	READS, %eax
	mov	READS, %eax	/* the second raises IRQ 5 */
	let_in			/* through the PIC, without an EOI */
	outb	0x21, 0xfb
	lapic	0x300, 0x44061	/* self-IPI */
	let_in			/* also without an EOI */
	mov	0x130(%rbp), %eax
	mov	%eax, in_service	/* a KVM that emulates CPL 0 may have sent the EOI */
	mov	$6, %eax
	mov	%rax, %cr8	/* blocks vectors up to 0x6f */
	lapic	0x300, 0x44031	/* in IRR */
	ioapic	0x1b, 0
	ioapic	0x1a, 0x8051	/* pin 5, level: high already, so in IRR, with remote IRR */
	movl	$0x38, (%rbx)	/* the index register stays at this value */
	lapic	0x300, 0x44071	/* only IF blocks its delivery */
	ret

check_pending:
	.irp	n, 0x31, 0x51, 0x71	/* requested, not delivered */
	btl	$\n & 31, 0x200 + (\n >> 5 << 4)(%rbp)
	setnc	%al
	test	%al, %al
	must_equal LAPIC_PENDING
	cmpb	$0, hits + \n
	must_equal LAPIC_PENDING
	.endr
	mov	0x130(%rbp), %eax	/* 0x61 in service */
	cmp	in_service, %eax
	must_equal LAPIC_PENDING
	cmpb	$1, hits + 0x61
	must_equal LAPIC_PENDING

	.macro	lapic_is register, value, class
	cmpl	$\value, \register(%rbp)
	must_equal \class
	.endm
	lapic_is 0x80, 0x60, LAPIC_REGISTERS	/* TPR */
	lapic_is 0xd0, 0x02000000, LAPIC_REGISTERS
	lapic_is 0xf0, 0x1ff, LAPIC_REGISTERS
	lapic_is 0x330, 0x100f1, LAPIC_REGISTERS
	lapic_is 0x340, 0x100f2, LAPIC_REGISTERS
	lapic_is 0x350, 0x700, LAPIC_REGISTERS
	lapic_is 0x360, 0x1a4f3, LAPIC_REGISTERS
	lapic_is 0x370, 0x100f4, LAPIC_REGISTERS
	lapic_is 0x3e0, 0x0a, LAPIC_TIMER
	lapic_is 0x320, 0x100a1, LAPIC_TIMER
	lapic_is 0x380, 0xfffffff0, LAPIC_TIMER
	cmpl	$0xfffffff0, 0x390(%rbp)	/* it counts */
	setae	%al
	test	%al, %al
	must_equal LAPIC_TIMER
	cmpl	$0x80000000, 0x390(%rbp)
	setb	%al
	test	%al, %al
	must_equal LAPIC_TIMER

	.macro	ioapic_is register, value
	movl	$\register, (%rbx)
	cmpl	$\value, 0x10(%rbx)
	must_equal IOAPIC_STATE
	.endm
	cmpl	$0x38, (%rbx)
	must_equal IOAPIC_STATE
	ioapic_is 0x38, 0x1a9c5
	ioapic_is 0x39, 0x0f000000
	ioapic_is 0x1a, 0xc051
	ioapic_is 0, 0x05000000

	.macro	pic_is port, value
	inb	\port
	cmp	$\value, %al
	must_equal PIC_STATE
	.endm
	pic_is	0x21, 0xfb
	pic_is	0xa1, 0xdf
	outb	0x20, 0x0b	/* in service: 5 */
	pic_is	0x20, 0x20
	outb	0x20, 0x0a	/* requested: 4, 0 or not (PIT) */
	inb	0x20
	and	$0xfe, %al
	cmp	$0x10, %al
	must_equal PIC_STATE
	outb	0xa0, 0x0a	/* requested: 10 */
	pic_is	0xa0, 0x04
	cmpb	$1, hits + 0x25
	must_equal PIC_STATE
	ret

/* Delivers all of them, one after the other. */
deliver:
	let_in
	cmpb	$1, hits + 0x71
	must_equal PENDING
	cmpb	$0, hits + 0x51	/* still blocked */
	must_equal PENDING
	movl	$0, 0xb0(%rbp)	/* end of interrupt: 0x61 */
	xor	%eax, %eax
	mov	%rax, %cr8
	let_in
	let_in			/* several times, since they may come one per exit */
	let_in
	cmpb	$0, hits + 0x51
	setz	%al
	test	%al, %al
	must_equal INTERRUPTS
	cmpb	$1, hits + 0x31
	must_equal INTERRUPTS
	movl	$0x1a, (%rbx)
	cmpl	$0x8051, 0x10(%rbx)	/* the low line has cleared remote IRR */
	must_equal IOAPIC_STATE
	outb	0x20, 0x65	/* end of interrupt: IRQ 5 */
	outb	0x20, 0x0b
	inb	0x20
	cmp	$0, %al
	must_equal PIC_STATE
	movl	READS, %eax	/* the counter continues from the value that on_level wrote */
	cmp	$0x501, %eax
	must_equal COUNTER
	ret

/*
 * STI and MOV SS block interrupts for one instruction (interrupt shadow). The interrupt after MOV
 * SS is raised by the read of the selector. The address where each is delivered is recorded twice
 * and must be the same. A host that single-steps may deliver it at another instruction.
 */
shadow:	mov	$2, %ecx
	mov	$COM2 + 7, %edx
	ioapic	0x1a, 0xb1	/* IRQ 5, edge-triggered */
1:	lapic	0x300, 0x440b1
	mov	$0x5c, %al
	sti
	out	%al, %dx
	nop
	nop
	cli
	mov	came_in, %rsi
	mov	%eax, RAM + 0x60
	sti
	nop
	mov	READS, %ss	/* reads 0x10, and raises the line */
	out	%al, %dx
	nop
	nop
	cli
	mov	came_in, %rdi
	dec	%ecx
	jz	2f
	mov	%rsi, %r8
	mov	%rdi, %r9
	jmp	1b
2:	cmp	%rsi, %r8
	must_equal SHADOW
	cmp	%rdi, %r9
	must_equal SHADOW
	cmp	%rsi, %rdi	/* two different addresses */
	setbe	%al
	test	%al, %al
	must_equal SHADOW
	mov	%ss, %eax
	cmp	$KERNEL_DATA, %ax
	must_equal SHADOW
	ret

/* An NMI that is pending while another one is served. */
nmi:	lapic	0x310, 0
	lapic	0x300, 0x4400
	mov	%eax, RAM + 0x60
	nop
	mov	%eax, RAM + 0x60
	nop
	cmpb	$2, hits + 2
	must_equal NMI
	cmpb	$1, nmi_inside
	must_equal NMI
	ret

/* Each timer runs during accesses, and the guest waits for it. */
	.macro	wait_for vector
.Lwait\@:
	cli
	cmpb	$0, hits + \vector
	jne	.Lcame\@
	sti
	hlt			/* no interrupt can occur between the two */
	jmp	.Lwait\@
.Lcame\@:
	.endm

wait_timers:
	movl	$0, PERIODS	/* the counter, through the IOAPIC */
	ioapic	0x25, 0
	ioapic	0x24, 0x8091
	mov	%eax, RAM
	wait_for 0x91

	lapic	0x3e0, 0x0b	/* the LAPIC's timer */
	lapic	0x320, 0xa1
	lapic	0x380, 1000000
	mov	%eax, RAM
	wait_for 0xa1

	mov	$1, %eax
	xor	%ecx, %ecx
	push	%rbx
	cpuid
	pop	%rbx
	bt	$24, %ecx	/* TSC deadline mode */
	jnc	1f
	movb	$0, hits + 0xa1
	lapic	0x320, 0x400a1
	rdtsc
	add	$2000000, %eax
	adc	$0, %edx
	mov	$0x6e0, %ecx
	wrmsr
	mov	%eax, RAM
	wait_for 0xa1

1:	outb	0x43, 0x30	/* the PIT, through the PIC: channel 0, mode 0 */
	outb	0x40, 0x00
	outb	0x40, 0x04
	outb	0x21, 0xfa
	mov	%eax, RAM
	wait_for 0x20
	outb	0x21, 0xff
	ret

/* ---- accesses: registers and flags, strings, split accesses ---- */

registers:
	push	%rbx
	push	%rbp
	.irp	r, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
	movabs	$pattern_\r, %\r
	.endr
	pushq	$0x243cd7	/* all flags except IF, TF and NT */
	popfq
	mov	%rax, RAM
	mov	%bx, RAM + 8
	mov	RAM, %r8
	pushfq
	cld
	cmp	%rax, %r8
	must_equal REGISTERS
	movabs	$pattern_r8, %r8
	.irp	r, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
	cmp	of_\r, %\r
	must_equal REGISTERS
	.endr
	pop	%rax
	and	$~0x10100, %eax	/* a host that single-steps may set TF and RF */
	cmp	$0x243cd7, %eax
	must_equal FLAGS
	pop	%rbp
	pop	%rbx
	ret

strings:
	mov	$COM2, %edx
	mov	$text, %esi
	mov	$text_end - text, %ecx
	rep	outsb		/* loopback returns all of them */
	cmp	$text_end, %esi
	must_equal STRINGS
	mov	$scratch, %edi
	mov	$text_end - text, %ecx
	rep	insb
	cmp	$scratch + (text_end - text), %edi
	must_equal STRINGS
	mov	text, %rax
	cmp	scratch, %rax
	must_equal STRINGS
	mov	text + 8, %eax
	cmp	scratch + 8, %eax
	must_equal STRINGS
	ret

/* Accesses that take more than one exit: read-modify-write, across pages, from device to device. */
split:	movl	$0x11111111, RAM + 0x20
	addl	$0x22222222, RAM + 0x20
	mov	$0x44444444, %eax
	xchg	%eax, RAM + 0x20
	cmp	$0x33333333, %eax
	must_equal SPLIT
	movabs	$0x8877665544332211, %rax
	mov	%rax, RAM + 0xffd
	incq	RAM + 0xffd
	mov	RAM + 0xffd, %rax
	movabs	$0x8877665544332212, %rcx
	cmp	%rcx, %rax
	must_equal SPLIT
	pushq	RAM + 0xffd
	popq	RAM + 0x40
	cmpl	$0x88776655, RAM + 0x44
	must_equal SPLIT
	cmpl	$0x44444444, RAM + 0x20
	must_equal SPLIT
	ret

/* ---- x87, SSE, AVX: all that exist ---- */

fill_fpu:
	push	%rbx
	mov	$1, %eax
	xor	%ecx, %ecx
	cpuid
	bt	$26, %ecx	/* XSAVE */
	jnc	1f
	mov	%cr4, %rax
	bts	$18, %rax	/* OSXSAVE */
	mov	%rax, %cr4
	mov	$0x0d, %eax
	xor	%ecx, %ecx
	cpuid
	and	$0xe7, %eax	/* x87, SSE, AVX; masks and both halves of AVX-512 */
	xor	%edx, %edx
	xor	%ecx, %ecx
	xsetbv
	mov	%eax, RAM + 0x60
	mov	%eax, xcr0
1:	pop	%rbx
	mov	$saved_cpuid, %edi
	call	read_cpuid
	to_user

	cmpl	$0, xcr0
	je	1f
	xor	%ecx, %ecx
	xgetbv			/* a KVM in an emulator may have lost it */
	mov	%eax, xcr0
1:	fninit
	fldcw	fcw
	fldpi
	fldl2e
	fld1
	fldz
	fdivrp			/* 1 / 0: infinity, and a status flag */
	mov	$vectors, %esi
	testl	$0x04, xcr0
	jnz	2f
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	64 * \n(%rsi), %xmm\n
	.endr
	jmp	4f
2:	testl	$0x80, xcr0
	jnz	3f
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovups	64 * \n(%rsi), %ymm\n
	.endr
	jmp	4f
3:	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovups	64 * \n(%rsi), %zmm\n
	.endr
	.irp	n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	vmovups	64 * \n(%rsi), %zmm\n
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	mov	$0x8111 * (\n + 1) & 0xffff, %eax
	kmovw	%eax, %k\n
	.endr
4:	ldmxcsr	mxcsr
	to_kernel
	ret

/* XORs each register with its expected value, and ORs the results. */
check_fpu:
	to_user
	stmxcsr	scratch
	fnstcw	scratch + 4
	fnstsw	%ax
	mov	%eax, %edi
	mov	scratch, %eax
	cmp	mxcsr, %eax
	must_equal SSE
	mov	scratch + 4, %ax
	cmp	fcw, %ax
	must_equal X87
	and	$0x3804, %edi	/* three registers on the stack, zero divide */
	cmp	$0x2804, %edi
	must_equal X87
	fld1
	fldz
	fdivrp
	fcomip	%st(1), %st
	must_equal X87
	fstp	%st
	fldl2e
	fcomip	%st(1), %st
	must_equal X87
	fstp	%st
	fldpi
	fcomip	%st(1), %st
	must_equal X87
	fstp	%st

	mov	$vectors, %esi
	testl	$0x80, xcr0
	jnz	3f
	testl	$0x04, xcr0
	jnz	2f
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	pxor	64 * \n(%rsi), %xmm\n
	.endr
	.irp	n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	por	%xmm\n, %xmm0
	.endr
	movups	%xmm0, scratch
	jmp	4f
2:	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vxorps	64 * \n(%rsi), %ymm\n, %ymm\n
	.endr
	.irp	n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vorps	%ymm\n, %ymm0, %ymm0
	.endr
	vmovups	%ymm0, scratch
	jmp	4f
3:	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	kmovw	%k\n, %eax
	cmp	$0x8111 * (\n + 1) & 0xffff, %eax
	must_equal AVX
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vpxord	64 * \n(%rsi), %zmm\n, %zmm\n
	.endr
	.irp	n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	vpxord	64 * \n(%rsi), %zmm\n, %zmm\n
	.endr
	.irp	n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vpord	%zmm\n, %zmm0, %zmm0
	.endr
	.irp	n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	vpord	%zmm\n, %zmm0, %zmm0
	.endr
	vmovups	%zmm0, scratch
4:	mov	scratch, %rax
	or	scratch + 8, %rax
	must_equal SSE
	xor	%eax, %eax
	testl	$0x04, xcr0
	jz	6f
	mov	scratch + 16, %rax
	or	scratch + 24, %rax
	testl	$0x80, xcr0
	jz	5f
	.irp	at, 32, 40, 48, 56
	or	scratch + \at, %rax
	.endr
5:	test	%rax, %rax
	must_equal AVX
	xor	%ecx, %ecx
	xgetbv
	cmp	xcr0, %eax
	must_equal XCR
6:	to_kernel
	ret

/* ---- result ---- */

report:	mov	failed, %ebx
	mov	$ok, %esi
	test	%ebx, %ebx
	jz	3f
	mov	$not_ok, %esi
	call	say
	mov	$names, %edi
1:	mov	%edi, %esi
	shr	$1, %ebx
	jnc	2f
	call	say
2:	cmpb	$0, (%rdi)	/* skips to the next name */
	lea	1(%rdi), %rdi
	jne	2b
	test	%ebx, %ebx
	jnz	1b
	mov	$newline, %esi
3:	call	say
	cli
	hlt

#include "say.inc"

/* ---- interrupts and exceptions ---- */

/* Counts the interrupt. Sends an EOI only if eoi is set. */
	.macro	handler name, vector, eoi
\name:	incb	hits + \vector
	.if	\eoi
	movl	$0, 0xb0(%rbp)
	.endif
	iretq
	.endm
	handler	on_irq5, 0x25, 0
	handler	on_61, 0x61, 0
	handler	on_31, 0x31, 1
	handler	on_71, 0x71, 1
	handler	on_lapic_timer, 0xa1, 1

/* IRQ 5 through the IOAPIC: lowers the line before the EOI. */
on_level:
	incb	hits + 0x51
	movl	$0x500, READS
	movl	$0, 0xb0(%rbp)
	iretq

on_periods:
	incb	hits + 0x91
	movl	$0, PERIODS
	movl	$0, 0xb0(%rbp)
	iretq

on_pit:
	incb	hits + 0x20
	push	%rax
	outb	0x20, 0x60
	pop	%rax
	iretq

on_serial:
	incb	hits + 0x24
	push	%rax
	push	%rdx
	inb	COM1
	mov	%al, received
	inb	COM1
	mov	%al, received + 1
	outb	0x20, 0x64
	pop	%rdx
	pop	%rax
	iretq

on_shadowed:
	push	%rax
	mov	8(%rsp), %rax
	mov	%rax, came_in
	pop	%rax
	movl	$KERNEL_DATA - 1, READS
	movl	$0, 0xb0(%rbp)
	iretq

on_nmi:
	incb	hits + 2
	cmpb	$1, hits + 2
	jne	1f
	lapic	0x300, 0x4400	/* the next NMI: pending until this one is done */
	mov	%eax, RAM
	movb	$0, RAM + 8
	push	%rax
	mov	hits + 2, %al
	mov	%al, nmi_inside
	pop	%rax
1:	iretq

/* INT3 at CPL 3: continues after it at CPL 0. */
on_breakpoint:
	jmp	*(%rsp)

/* An expected fault continues at fixup. */
on_fault:
	cmpl	$0, fixup
	je	unexpected
	incl	faulted
	push	%rax
	mov	fixup, %eax
	mov	%rax, 16(%rsp)	/* above rax and the error code: rip, cs */
	movq	$KERNEL_CODE, 24(%rsp)
	pop	%rax
	add	$8, %rsp
	iretq

unexpected:
	mov	$exception, %esi
	call	say
	cli
	hlt

/* ---- tables ---- */

	.balign	8
gdt:	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
	.quad	0x00cff3000000ffff
	.quad	0x00affb000000ffff
	.word	0x67, tss, 0x8900, 0	/* TSS, available */
	.quad	0
	.word	15, ldt, 0x8200, 0	/* LDT, two descriptors */
	.quad	0
	.word	0xbcde, 0, 0x9300, 0x004a	/* ODD_DS: base 0, limit 0xabcde bytes */
	.word	ES_LIMIT, ES_BASE, 0x9300, 0x0040
	.quad	0x00cf9b000000ffff	/* CODE32 */
gdt_end:
ldt:	.word	0x2345, 0x6789, 0x9300, 0x0040
	.word	0x3456, 0x789a, 0x9300, 0x0040
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt
idt_pointer:
	.word	idt_end - idt - 1
	.quad	idt
to_code32:
	.long	code32
	.word	CODE32
	.balign	8
tss:	.long	0
	.quad	fault_stack
	.fill	92, 1, 0

	.macro	gate handler, attributes=0x8e00
	.word	\handler, KERNEL_CODE, \attributes, 0
	.quad	0
	.endm
	.macro	gate_at vector, handler
	.org	idt + 16 * \vector
	gate	\handler
	.endm
	.balign	16
idt:	gate	unexpected
	gate	unexpected
	gate	on_nmi
	gate	on_breakpoint, 0xee00	/* callable from CPL 3 */
	.rept	13 - 4
	gate	unexpected
	.endr
	gate	on_fault
	.rept	32 - 14
	gate	unexpected
	.endr
	gate_at	0x20, on_pit
	gate_at	0x24, on_serial
	gate_at	0x25, on_irq5
	gate_at	0x31, on_31
	gate_at	0x51, on_level
	gate_at	0x61, on_61
	gate_at	0x71, on_71
	gate_at	0x91, on_periods
	gate_at	0xa1, on_lapic_timer
	gate_at	0xb1, on_shadowed
idt_end:

	.macro	msr	index, low, high=0
	.long	\index, \low, \high, 0	/* last: whether it exists */
	.endm
msrs:	msr	0x174, 0x1230			/* SYSENTER_CS, ESP, EIP */
	msr	0x175, 0x12345678		/* 32 bits on AMD */
	msr	0x176, 0x23456789
	msr	0xc0000080, 0xd01		/* EFER: SCE, LME, LMA, NXE */
	msr	0xc0000081, 0x3456789a, 0x00180008	/* STAR */
	msr	0xc0000082, 0x456789ab, 0x00003456	/* LSTAR */
	msr	0xc0000083, 0x56789abc, 0x00004567	/* CSTAR */
	msr	0xc0000084, 0x00047700		/* FMASK */
	msr	0xc0000103, 0x00001a2b		/* TSC_AUX */
	msr	0x277, 0x00070106, 0x04070506	/* PAT */
	msr	0x2ff, 0xc06			/* MTRRs: default, one variable, two fixed */
	msr	0x200, 0xc0000000
	msr	0x201, 0xc0000800, 0xf
	msr	0x250, 0x06060606, 0x06060606
	msr	0x26f, 0x05050505, 0x05050505
misc_enable:
	msr	0x1a0, 0
	msr	0x48, 0x4			/* SPEC_CTRL: SSBD */
	msr	0x17a, 0x4			/* MCG_STATUS: MCIP */
	msr	0x404, 0			/* MC1_CTL, ADDR; MISC of bank 2 */
	msr	0x406, 0x6789abcd, 0x00000123
	msr	0x40b, 0x789abcde, 0x00000234
	msr	0x186, 0x0003003c		/* PERFEVTSEL0, not enabled; PMC0 */
	msr	0xc1, 0x00345678
	msr	0xc0010200, 0x00030076		/* the same on AMD */
	msr	0xc0010201, 0x00456789
	msr	0x140, 0x1			/* MISC_FEATURES_ENABLES: CPUID faults at CPL 3 */
	msr	0x6a4, 0x00005000		/* shadow stack pointers */
	msr	0x6a7, 0x00006000
	msr	0xda0, 0			/* XSS */
	msr	0x4b564d05, 0			/* KVM: POLL_CONTROL */
	msr	0x4b564d04, 0			/* KVM: PV_EOI_EN */
msrs_end:

	.set	pattern, 0x0123456789abcdef
	.irp	r, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
	.set	pattern_\r, pattern
	.set	pattern, pattern * 5 + 0x1020304050607
of_\r:	.quad	pattern_\r
	.endr

cr2:	.quad	0x0000123456789000
dr0:	.quad	0x00005a5a5a5a0000	/* addresses that are never used */
dr1:	.quad	0x00006b6b6b6b0001
dr2:	.quad	0x00007c7c7c7c0008
dr3:	.quad	0xffff8d8d8d8d0000
dr6:	.quad	0xffff4ff5
dr7:	.quad	0x003d0700		/* none enabled: QEMU's SVM emulation crashes with them */
fcw:	.word	0x0f7f
mxcsr:	.long	0xbfa0
in_fs:	.long	0, 0xf5f5f5f5
in_gs:	.long	0, 0x65656565
in_kernel_gs:
	.long	0, 0x4b4b4b4b

text:	.ascii	"twelve bytes"
text_end:

	.balign	64
vectors:
	.set	random, 1
	.rept	32 * 16
	.long	random
	.set	random, (random * 1664525 + 1013904223) & 0xffffffff
	.endr

ok:	.asciz	"torture: ok\n"
not_ok:	.asciz	"torture: not as it was:"
exception:
	.asciz	"torture: an exception that should not be\n"
newline:
	.asciz	"\n"
names:	.asciz	" registers", " flags", " strings", " split-accesses", " descriptor-tables"
	.asciz	" segments", " segment-limits", " control-registers", " debug-registers", " MSRs"
	.asciz	" TSC", " LAPIC", " LAPIC-timer", " LAPIC-pending", " IOAPIC", " PIC", " PIT"
	.asciz	" serial-FIFO", " serial-registers", " counter", " pending-interrupt", " shadow"
	.asciz	" NMI", " interrupts", " x87", " SSE", " AVX", " XCR0", " CPUID", " KVM-clock"

	.bss
	.balign	64
scratch:
	.fill	64
	.fill	1024
stack:	.fill	512
fault_stack:
	.fill	512
user_stack:
clock:	.fill	32
saved_clock:
	.quad	0
saved_cpuid:
	.quad	0, 0
kernel_rsp:
	.quad	0
came_in:
	.quad	0
saved_cr0:
	.quad	0
saved_cr3:
	.quad	0
saved_cr4:
	.quad	0
failed:	.long	0
faulted:
	.long	0
limit_faults:
	.long	0
fixup:	.long	0
xcr0:	.long	0
received:
	.long	0
in_service:
	.long	0
tsc_high:
	.long	0
latched:
	.byte	0
nmi_inside:
	.byte	0
hits:	.fill	256
