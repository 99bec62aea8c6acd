/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU's thread: it runs, dispatches exits, counts towards points, and parks. */
#include "machine/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mutant.h"
#include "machine/machine.h"

#define HLT_OPCODE 0xf4
#define HANDLER_STACK (64u << 10) /* bytes, for handlers of signals */

void
vcpu_kick(struct vcpu *vcpu)
{
	/*
	 * Sticks until the vCPU has looked around, so that a signal that comes too early does no harm. Set already: who
	 * did that has sent one; and on its own thread the vCPU is not in KVM_RUN.
	 */
	if (__atomic_exchange_n(&vcpu->kvm.run->immediate_exit, 1, __ATOMIC_SEQ_CST))
		return;
	if (vcpu->started && !pthread_equal(pthread_self(), vcpu->thread))
		pthread_kill(vcpu->thread, KVM_SIGNAL);
}

uint64_t
vcpu_exits(const struct vcpu *vcpu)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < VCPU_REASONS; i++)
		sum += atomic_load_explicit(&vcpu->exits[i], memory_order_relaxed);
	return sum;
}

/* Undoes a kick, unless there is still reason for it. */
static void
unkick(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->kvm.run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	if (!atomic_load(&vcpu->machine->go))
		__atomic_store_n(&vcpu->kvm.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

static void
point_counted(struct machine *machine)
{
	bool reached;

	pthread_mutex_lock(&machine->lock);
	reached = !machine->point_reached && point_count(&machine->point);
	pthread_mutex_unlock(&machine->lock);
	if (reached)
		machine_point_reached(machine);
}

/* Counts an access that the device has seen; KVM completes it when the vCPU is entered next. */
static void
point_access(struct machine *machine, uint32_t space, uint64_t address, uint32_t width)
{
	const struct point *point = &machine->point;
	bool hit = false;

	if (point->kind == POINT_ACCESS)
		hit = true;
	else if (point->kind == (space == MINIVMM_PIO ? POINT_PIO : POINT_MMIO))
		hit = point->value >= address && point->value - address < width;
	if (hit)
		point_counted(machine);
}

/* What the trace says of an access; the rip of a write is that of the next instruction on every host. */
static void
trace(struct vcpu *vcpu, uint32_t space, uint64_t address, bool write, const void *data,
      uint32_t width, const struct bus_range *range)
{
	struct trace_access access = {
		.time = clock_now(&vcpu->machine->clock),
		.vcpu = vcpu->kvm.id,
		.space = space,
		.address = address,
		.width = width,
		.write = write,
		.range = range,
	};
	struct kvm_regs regs;

	memcpy(&access.value, data, width);
	if (!kvm_vcpu_regs(&vcpu->kvm, &regs))
		access.rip = regs.rip;
	trace_access(vcpu->machine->trace, &access);
}

/* Is it the memory's file that KVM stumbled over? That is said, then, and ends the machine. */
static bool
file_cut(struct machine *machine)
{
	char name[256];

	if (!memory_cut(&machine->memory, name, sizeof(name)))
		return false;
	log_line(MINIVMM_ERROR, NULL,
		 "%s was cut short by somebody while it was guest memory: the machine can't go on",
		 name);
	machine_end(machine, CAUSE_ERROR, STATUS_IO);
	return true;
}

/* KVM takes memory that the host can't give it for a device. */
static void
memory_lost(struct machine *machine, uint64_t address)
{
	if (file_cut(machine))
		return;
	log_line(MINIVMM_ERROR, NULL,
		 "the host can't provide guest memory at 0x%llx: is the disk of its file full, or "
		 "the file cut short?",
		 (unsigned long long)address);
	machine_end(machine, CAUSE_ERROR, STATUS_IO);
}

static void
access_one(struct vcpu *vcpu, uint32_t space, uint64_t address, bool write, void *data,
	   uint32_t width)
{
	struct machine *machine = vcpu->machine;
	struct bus_range *range =
	    bus_access(&machine->bus, space, address, write, data, width, vcpu->kvm.id);

	bus_count(&vcpu->accesses);
	if (!range && space == MINIVMM_MMIO && memory_at(&machine->memory, address, 1))
		memory_lost(machine, address);
	if (machine->trace && !(write && space == MINIVMM_PIO))
		trace(vcpu, space, address, write, data, width, range);
	if (machine->point.kind)
		point_access(machine, space, address, width);
}

/*
 * Some hosts show an OUT itself at its exit, others the next instruction: for a trace it is completed first. True:
 * that made another exit (of a REP OUTS), which waits to be dispatched.
 */
static bool
trace_out(struct vcpu *vcpu, const uint8_t *data, uint32_t count, uint32_t size)
{
	uint8_t copy[4096];
	uint16_t port = vcpu->kvm.run->io.port;
	struct bus_range *range = bus_find(&vcpu->machine->bus, MINIVMM_PIO, port, size);
	bool more;

	if (count > sizeof(copy) / size)
		count = sizeof(copy) / size;
	memcpy(copy, data, count * size);
	__atomic_store_n(&vcpu->kvm.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	more = !kvm_vcpu_run(&vcpu->kvm);
	unkick(vcpu);
	for (uint32_t i = 0; i < count; i++)
		trace(vcpu, MINIVMM_PIO, port, true, copy + i * size, size, range);
	return more;
}

/* True: another exit waits to be dispatched. */
static bool
exit_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm.run;
	bool write = run->io.direction == KVM_EXIT_IO_OUT;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++)
		access_one(vcpu, MINIVMM_PIO, run->io.port, write, data + i * run->io.size,
			   run->io.size);
	return write && vcpu->machine->trace && trace_out(vcpu, data, run->io.count, run->io.size);
}

static void
exit_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm.run;

	access_one(vcpu, MINIVMM_MMIO, run->mmio.phys_addr, run->mmio.is_write, run->mmio.data,
		   run->mmio.len <= 8 ? run->mmio.len : 8);
}

/* A breakpoint was met or a step made. */
static void
exit_debug(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;

	if (machine->point.kind == POINT_STEP) {
		point_counted(machine);
		return;
	}
	if (vcpu->stepping) { /* over the breakpoint: arm it again */
		vcpu->stepping = false;
		kvm_vcpu_debug(&vcpu->kvm, KVM_DEBUG_BREAK, machine->point.value);
		return;
	}
	point_counted(machine);
	if (!machine->point_reached) {
		vcpu->stepping = true;
		kvm_vcpu_debug(&vcpu->kvm, KVM_DEBUG_STEP, 0);
	}
}

static void
exit_trouble(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm.run;

	if (file_cut(vcpu->machine))
		return;
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		log_line(MINIVMM_ERROR, NULL, "vCPU %u: KVM internal error %u%s", vcpu->kvm.id,
			 run->internal.suberror,
			 run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
			     ? ": it can't emulate the instruction at rip"
			     : "");
	else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		log_line(MINIVMM_ERROR, NULL,
			 "vCPU %u: the CPU refused to enter the guest, reason 0x%llx; do the "
			 "registers of [cpu] fit together?",
			 vcpu->kvm.id,
			 (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	else
		log_line(MINIVMM_ERROR, NULL, "vCPU %u: KVM exit %u, which nobody asked for",
			 vcpu->kvm.id, run->exit_reason);
	vcpu_print(vcpu, MINIVMM_ERROR);
	machine_end(vcpu->machine, CAUSE_INTERNAL, 0);
}

/* What the guest left KVM for; true: another exit waits to be dispatched. */
static bool
dispatch_one(struct vcpu *vcpu)
{
	uint32_t reason = vcpu->kvm.run->exit_reason;

	bus_count(&vcpu->exits[reason < VCPU_REASONS ? reason : 0]);
	switch (reason) {
	case KVM_EXIT_IO:
		return exit_io(vcpu);
	case KVM_EXIT_MMIO:
		exit_mmio(vcpu);
		break;
	case KVM_EXIT_HLT:
		vcpu->halted = true;
		machine_halted(vcpu->machine);
		break;
	case KVM_EXIT_DEBUG:
		exit_debug(vcpu);
		break;
	case KVM_EXIT_SHUTDOWN:
		log_line(MINIVMM_ERROR, NULL, "vCPU %u: triple fault", vcpu->kvm.id);
		machine_end(vcpu->machine, CAUSE_SHUTDOWN, 0);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	default:
		exit_trouble(vcpu);
	}
	return false;
}

static void
dispatch(struct vcpu *vcpu)
{
	while (dispatch_one(vcpu))
		;
}

/* The opcode at rip; -1 when it can't be read. */
static int
opcode(struct vcpu *vcpu)
{
	uint8_t byte;
	uint64_t gpa;

	if (kvm_vcpu_code(&vcpu->kvm, &gpa) || memory_read(&vcpu->machine->memory, gpa, &byte, 1))
		return -1;
	return byte;
}

/*
 * Single-stepping over HLT loses the halt where KVM emulates instructions: that one runs at full speed, up to the
 * next exit.
 */
static void
step_or_run(struct vcpu *vcpu)
{
	bool step = opcode(vcpu) != HLT_OPCODE;

	if (step != vcpu->stepping) {
		vcpu->stepping = step;
		kvm_vcpu_debug(&vcpu->kvm, step ? KVM_DEBUG_STEP : KVM_DEBUG_OFF, 0);
	}
}

/*
 * An access while single-stepping: some hosts tell of the step when it is complete, some don't. Either way it is one
 * instruction.
 */
static void
step_access(struct vcpu *vcpu)
{
	bool counted = false;
	int r = 0;

	while (!r && !counted) {
		__atomic_store_n(&vcpu->kvm.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		r = kvm_vcpu_run(&vcpu->kvm);
		counted = !r && vcpu->kvm.run->exit_reason == KVM_EXIT_DEBUG;
		if (!r)
			dispatch(vcpu);
	}
	if (!counted)
		point_counted(vcpu->machine);
	unkick(vcpu);
}

/* Any exit but the usual. */
static void
unusual(struct vcpu *vcpu, bool steps)
{
	bool access = vcpu->kvm.run->exit_reason == KVM_EXIT_IO ||
		      vcpu->kvm.run->exit_reason == KVM_EXIT_MMIO;

	dispatch(vcpu);
	if (steps && access && !vcpu->halted && vcpu->machine->point.kind == POINT_STEP)
		step_access(vcpu);
}

/*
 * The usual exit: one access, which a device takes as a whole and nobody watches. False: it is another, still to be
 * dispatched. The caches are cold after an exit, and a call costs as much as its work: the whole way from KVM_RUN to the
 * device and back is one piece of code.
 */
static inline bool
usual(struct vcpu *vcpu, const struct bus *bus, struct bus_current *current)
{
	struct kvm_run *run = vcpu->kvm.run;
	struct minivmm_access access = { .vcpu = vcpu->kvm.id };
	struct bus_range *range;
	uint64_t *data, value;
	bool write;

	if (run->exit_reason == KVM_EXIT_IO && run->io.count == 1) {
		access.address = run->io.port;
		access.width = run->io.size;
		data = (uint64_t *)((uint8_t *)run + run->io.data_offset);
		write = run->io.direction == KVM_EXIT_IO_OUT;
		range = bus_pio(bus, access.address);
	} else if (run->exit_reason == KVM_EXIT_MMIO) {
		access.address = run->mmio.phys_addr;
		access.width = run->mmio.len;
		data = (uint64_t *)run->mmio.data;
		write = run->mmio.is_write;
		range = bus_mmio(bus, access.address);
	} else
		return false;
	if (!range || !bus_inside(range, access.address, access.width) ||
	    !(range->widths >> access.width & 1))
		return false;
	access.offset = access.address - range->base;
	access.range = range->index;
	value = *data & ~0ull >> (64 - 8 * access.width);
	if (!bus_call(range, &access, write, &value, current))
		bus_failed(range, write, &value);
	if (!write)
		*data = value;
	bus_count(&vcpu->exits[run->exit_reason]);
	bus_count(&vcpu->accesses);
	return true;
}

/*
 * Runs until there is a reason to park. It leaves only when KVM_RUN has said EINTR: a kick sets immediate_exit, with
 * which KVM first completes the access at hand. Until then the registers are those of before it, and the second half
 * of a split access may come as one more exit.
 */
__attribute__((hot)) static void
run(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	bool steps = machine->point.kind == POINT_STEP && !machine->point_reached, halted = false;
	bool watched = machine->trace || machine->point.kind;
	struct bus_current *current = &bus_current;
	int r;

	for (;;) {
		if (steps)
			step_or_run(vcpu);
		r = kvm_vcpu_run(&vcpu->kvm);
		if (__builtin_expect(!r, 1)) {
			if (__builtin_expect(watched, 0) || !usual(vcpu, &machine->bus, current)) {
				unusual(vcpu, steps);
				if (vcpu->halted)
					return;
			}
			if (mutant("complete", "vcpu") && !atomic_load(&machine->go))
				return;
			continue;
		}
		if (r != -EINTR && r != -EAGAIN && !file_cut(machine)) {
			log_line(MINIVMM_ERROR, NULL, "vCPU %u: KVM_RUN: %s", vcpu->kvm.id,
				 strerror(-r));
			vcpu_print(vcpu, MINIVMM_ERROR);
			machine_end(machine, CAUSE_INTERNAL, 0);
		}
		if (!atomic_load(&machine->go))
			return;
		unkick(vcpu);
		r = machine->kvm.irqchip ? kvm_vcpu_halted(&vcpu->kvm, &halted) : 0;
		if (r)
			machine_end(machine, CAUSE_ERROR, (uint64_t)-r);
		else if (halted && machine->vcpu_count == 1) {
			vcpu->halted = true;
			machine_halted(machine);
			return;
		}
		vcpu->rests = halted;
	}
}

/* Waits until the machine goes on, doing errands meanwhile. False: the thread is to end. */
static bool
park(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	int trouble;
	bool live;

	pthread_mutex_lock(&machine->lock);
	machine->parked++;
	pthread_cond_broadcast(&machine->changed);
	while (!machine->dying && (!machine->go || vcpu->halted)) {
		if (vcpu->errand == machine->errand_number) {
			pthread_cond_wait(&machine->changed, &machine->lock);
			continue;
		}
		vcpu->errand = machine->errand_number;
		pthread_mutex_unlock(&machine->lock);
		trouble = machine->errand(vcpu);
		pthread_mutex_lock(&machine->lock);
		vcpu->trouble = trouble;
		machine->errands--;
		pthread_cond_broadcast(&machine->changed);
	}
	machine->parked--;
	live = !machine->dying;
	pthread_mutex_unlock(&machine->lock);
	return live;
}

void *
vcpu_main(void *argument)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	struct vcpu *vcpu = argument;
	uint8_t
	    handlers[HANDLER_STACK]; /* out of the way of an overflow, which is at the other end */
	const stack_t stack = { .ss_sp = handlers, .ss_size = sizeof(handlers) };
	stack_t before;
	sigset_t all;

	sigaltstack(&stack, &before);
	vcpu->current = &bus_current;
	sigfillset(&all);
	/* A fault that is blocked ends the process without a word. */
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	while (park(vcpu)) {
		sigset_t kick;

		sigemptyset(&kick);
		sigaddset(&kick, KVM_SIGNAL);
		unkick(vcpu);
		pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
		run(vcpu);
		pthread_sigmask(SIG_BLOCK, &kick, NULL);
	}
	vcpu->current = NULL;
	sigaltstack(&before, NULL); /* a sanitizer's, which unmaps it */
	return NULL;
}

int
vcpu_arm(struct vcpu *vcpu)
{
	const struct point *point = &vcpu->machine->point;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	int r;

	vcpu->stepping = false;
	if (vcpu->machine->point_reached || (point->kind != POINT_RIP && point->kind != POINT_STEP))
		return kvm_vcpu_debug(&vcpu->kvm, KVM_DEBUG_OFF, 0);
	if (point->kind == POINT_STEP) {
		const char *trouble = kvm_step_trouble(vcpu->kvm.kvm);

		/* run() decides at each instruction. */
		return trouble ? fail(STATUS_HOST, "step: %s", trouble) : 0;
	}
	r = kvm_vcpu_regs(&vcpu->kvm, &regs);
	if (!r)
		r = kvm_vcpu_sregs(&vcpu->kvm, &sregs);
	if (r)
		return r;
	/* A point that is true at the start does not fire: step over it. */
	vcpu->stepping = sregs.cs.base + regs.rip == point->value;
	return kvm_vcpu_debug(&vcpu->kvm, vcpu->stepping ? KVM_DEBUG_STEP : KVM_DEBUG_BREAK,
			      point->value);
}

int
vcpu_save(struct vcpu *vcpu, struct record_writer *writer)
{
	record_put_bool(writer, "halted", vcpu->halted);
	return kvm_vcpu_save(&vcpu->kvm, writer);
}

int
vcpu_load(struct vcpu *vcpu, const struct record *group, char *why, size_t why_size)
{
	struct record halted;

	if (!record_find(group, "halted", &halted) || halted.type != RECORD_BOOL || halted.array) {
		snprintf(why, why_size, "halted is missing");
		return -1;
	}
	if (!mutant("vcpu", "halted"))
		vcpu->halted = record_number(&halted, 0);
	return kvm_vcpu_load(&vcpu->kvm, group, why, why_size);
}

void
vcpu_print(struct vcpu *vcpu, enum minivmm_level level)
{
	struct kvm_regs r;
	struct kvm_sregs s;
	uint8_t code[16];
	char text[3 * sizeof(code) + 1] = "not in memory";
	uint64_t gpa;

	if (kvm_vcpu_regs(&vcpu->kvm, &r) || kvm_vcpu_sregs(&vcpu->kvm, &s))
		return;
	if (!memory_cut(&vcpu->machine->memory, NULL, 0) && !kvm_vcpu_code(&vcpu->kvm, &gpa))
		for (size_t i = 0; i < sizeof(code); i++) {
			if (memory_read(&vcpu->machine->memory, gpa + i, &code[i], 1))
				break;
			snprintf(text + 3 * i, sizeof(text) - 3 * i, "%02x ", code[i]);
		}
#define U(x) (unsigned long long)(x)
	log_line(level, NULL,
		 "vCPU %u rip 0x%llx rflags 0x%llx rax 0x%llx rbx 0x%llx "
		 "rcx 0x%llx rdx 0x%llx rsi 0x%llx rdi 0x%llx rsp 0x%llx rbp 0x%llx",
		 vcpu->kvm.id, U(r.rip), U(r.rflags), U(r.rax), U(r.rbx), U(r.rcx), U(r.rdx),
		 U(r.rsi), U(r.rdi), U(r.rsp), U(r.rbp));
	log_line(level, NULL,
		 "vCPU %u r8 0x%llx r9 0x%llx r10 0x%llx r11 0x%llx "
		 "r12 0x%llx r13 0x%llx r14 0x%llx r15 0x%llx",
		 vcpu->kvm.id, U(r.r8), U(r.r9), U(r.r10), U(r.r11), U(r.r12), U(r.r13), U(r.r14),
		 U(r.r15));
	log_line(level, NULL,
		 "vCPU %u cs 0x%x base 0x%llx cr0 0x%llx cr2 0x%llx cr3 "
		 "0x%llx cr4 0x%llx efer 0x%llx; at rip: %s",
		 vcpu->kvm.id, s.cs.selector, U(s.cs.base), U(s.cr0), U(s.cr2), U(s.cr3), U(s.cr4),
		 U(s.efer), text);
#undef U
}
