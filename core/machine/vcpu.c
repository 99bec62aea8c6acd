/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU's thread: runs the guest, handles exits on the fast path, and parks. */
#include "machine/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/limit.h"
#include "base/log.h"
#include "base/mutant.h"
#include "machine/exit.h"
#include "machine/machine.h"

#define HANDLER_STACK (64u << 10) /* bytes, for signal handlers */

void
vcpu_kick(struct vcpu *vcpu)
{
	/*
	 * immediate_exit stays set until the vCPU has checked the run state. So KVM_RUN returns
	 * even if the signal arrives before KVM_RUN is called. If it was set already, the thread
	 * that set it sends the signal. A vCPU that kicks itself is not in KVM_RUN: no signal.
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

uint64_t
vcpu_cpu_time(const struct vcpu *vcpu)
{
	struct timespec t;
	clockid_t clock;

	if (!vcpu->started || pthread_getcpuclockid(vcpu->thread, &clock) ||
	    clock_gettime(clock, &t))
		return 0;
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void
vcpu_unkick(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->kvm.run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	if (!atomic_load(&vcpu->machine->may_run))
		__atomic_store_n(&vcpu->kvm.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

/*
 * The fast path: one access, of a width that the device takes, without a trace or a stop condition.
 * False: the exit is another one and must be dispatched. The caches are cold after an exit, so a
 * call costs as much as its work: from KVM_RUN to the device's callback all code is inline.
 */
static inline bool
fast_path(struct vcpu *vcpu, const struct bus *bus, struct bus_current *current)
{
	struct kvm_run *run = vcpu->kvm.run;
	struct minivmm_access access = { .vcpu = vcpu->kvm.id, .size = sizeof(access) };
	struct bus_range *range;
	uint64_t *data, value;
	bool write;
	int result;

	if (run->exit_reason == KVM_EXIT_IO && run->io.count == 1) {
		access.address = run->io.port;
		access.width = run->io.size;
		data = (uint64_t *)((uint8_t *)run + run->io.data_offset);
		write = run->io.direction == KVM_EXIT_IO_OUT;
		range = bus_pio(bus, access.address, &access.offset);
	} else if (run->exit_reason == KVM_EXIT_MMIO) {
		access.address = run->mmio.phys_addr;
		access.width = run->mmio.len;
		data = (uint64_t *)run->mmio.data;
		write = run->mmio.is_write;
		range = bus_mmio(bus, access.address, &access.offset);
	} else
		return false;
	if (!range || !bus_inside(range, access.offset, access.width) ||
	    !(range->widths >> access.width & 1))
		return false;
	access.range = range->index;
	value = *data & ~0ull >> (64 - 8 * access.width);
	result = bus_call(range, &access, write, &value, current);
	if (result)
		bus_settle(range, &access, write, result, &value);
	if (!write)
		*data = value;
	bus_count(&vcpu->exits[run->exit_reason]);
	bus_count(&vcpu->accesses);
	return true;
}

/* KVM_RUN fails and is not called again: ends the machine. */
static void
run_failed(struct vcpu *vcpu, int error)
{
	struct machine *machine = vcpu->machine;

	if (exit_file_truncated(machine))
		return;
	if (atomic_load(&vcpu->retry.error) == error) {
		machine_end(machine, CAUSE_ERROR, (uint64_t)-retry_report(vcpu));
		return;
	}
	log_line(MINIVMM_ERROR, NULL, "vCPU %u: KVM_RUN: %s", vcpu->kvm.id,
		 limit_error(error).text);
	machine_end(machine, CAUSE_INTERNAL, vcpu->kvm.id);
}

/*
 * Runs the guest until the vCPU must park. It parks only after KVM_RUN has failed with EINTR: a
 * kick sets immediate_exit, and KVM_RUN then completes the pending access before it returns. Before
 * that, the registers are those before the access, and a split access may cause another exit.
 */
__attribute__((hot)) static void
run(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	bool steps = machine->stop.kind == STOP_STEP && !machine->stop_hit, halted = false;
	bool one = debug_steps(vcpu), watched = machine->trace || machine->stop.kind || one;
	struct bus_current *current = &bus_current;
	/* The next KVM_RUN runs the guest, and does not only complete an access. */
	bool enters = !vcpu_kicked(vcpu);
	int r;

	if (one && !steps)
		exit_begin_step(vcpu);
	for (;;) {
		if (steps)
			exit_step_or_run(vcpu);
		r = kvm_vcpu_run(&vcpu->kvm);
		if (__builtin_expect(!r, 1)) {
			if (__builtin_expect(watched, 0) ||
			    !fast_path(vcpu, &machine->bus, current)) {
				exit_slow(vcpu, steps || one);
				if (vcpu->halted)
					return;
			}
			if (mutant("complete", "vcpu") && !atomic_load(&machine->may_run))
				return;
			continue;
		}
		vcpu->ran |= enters && r == -EINTR;
		if (!retry_may(vcpu, -r))
			run_failed(vcpu, -r);
		if (!atomic_load(&machine->may_run))
			return;
		vcpu_unkick(vcpu);
		r = machine->kvm.irqchip ? kvm_vcpu_halted(&vcpu->kvm, &halted) : 0;
		if (r)
			machine_end(machine, CAUSE_ERROR, (uint64_t)-r);
		else if (halted && machine->vcpu_count == 1) {
			vcpu->halted = true;
			machine_halted(machine);
			return;
		}
		vcpu->maybe_halted = halted;
		enters = !vcpu_kicked(vcpu);
	}
}

/* Waits until the vCPU may run, and runs jobs. False: the thread must return. */
static bool
park(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	bool live;
	int r;

	atomic_store(&vcpu->stopped_at, clock_host());
	pthread_mutex_lock(&machine->lock);
	if (++machine->parked == machine->vcpu_count)
		pthread_cond_broadcast(&machine->changed);
	while (!machine->dying && (!machine->may_run || vcpu->halted || vcpu->held)) {
		if (vcpu->job_number == machine->job_number) {
			pthread_cond_wait(&machine->changed, &machine->lock);
			continue;
		}
		vcpu->job_number = machine->job_number;
		pthread_mutex_unlock(&machine->lock);
		r = machine->job(vcpu);
		pthread_mutex_lock(&machine->lock);
		vcpu->job_result = r;
		if (!--machine->jobs_left)
			pthread_cond_broadcast(&machine->changed);
	}
	machine->parked--;
	live = !machine->dying;
	pthread_mutex_unlock(&machine->lock);
	atomic_store(&vcpu->resumed_at, clock_host());
	return live;
}

void *
vcpu_main(void *argument)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	struct vcpu *vcpu = argument;
	uint8_t handlers[HANDLER_STACK]; /* at the start of the stack: an overflow is at its end */
	const stack_t stack = { .ss_sp = handlers, .ss_size = sizeof(handlers) };
	stack_t before;
	sigset_t all;

	sigaltstack(&stack, &before);
	vcpu->current = &bus_current;
	sigfillset(&all);
	/* If a fault's signal is blocked, the kernel kills the process and no handler runs. */
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	while (park(vcpu)) {
		uint64_t exits = vcpu_exits(vcpu);
		sigset_t kick;

		sigemptyset(&kick);
		sigaddset(&kick, KVM_SIGNAL);
		vcpu_unkick(vcpu);
		pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
		run(vcpu);
		vcpu->ran |= vcpu_exits(vcpu) != exits;
		pthread_sigmask(SIG_BLOCK, &kick, NULL);
	}
	watchdog_forget(&vcpu->machine->watchdog, vcpu);
	sigaltstack(&before, NULL); /* a sanitizer's stack: it unmaps it at the thread's end */
	return NULL;
}

int
vcpu_save(struct vcpu *vcpu, struct record_writer *writer)
{
	record_put_bool(writer, "halted", vcpu->halted);
	return kvm_vcpu_save(&vcpu->kvm, writer);
}

/* Copies the wall clock in guest memory at address at (0: none) to kept, or back: kvm_vcpu_load
 * makes KVM overwrite it. Bytes outside of memory are skipped. */
static void
wall_clock(struct vcpu *vcpu, uint64_t at, uint8_t kept[KVM_WALL_CLOCK_SIZE], bool back)
{
	for (uint64_t i = 0; at && i < KVM_WALL_CLOCK_SIZE; i++) {
		uint8_t *byte = memory_at(&vcpu->machine->memory, at + i, 1);

		if (byte)
			*(back ? byte : kept + i) = back ? kept[i] : *byte;
	}
}

int
vcpu_load(struct vcpu *vcpu, const struct record *group, struct why *why)
{
	uint64_t at = kvm_vcpu_wall_clock(group);
	uint8_t kept[KVM_WALL_CLOCK_SIZE] = { 0 };
	struct record halted;
	int r;

	if (!record_find(group, "halted", &halted) || halted.type != RECORD_BOOL || halted.array)
		return why_set(why, "halted is missing");
	if (!mutant("vcpu", "halted"))
		vcpu->halted = record_number(&halted, 0);
	wall_clock(vcpu, at, kept, false);
	r = kvm_vcpu_load(&vcpu->kvm, group, why);
	wall_clock(vcpu, at, kept, true);
	return r;
}

int
vcpu_valid(const struct record *group, bool irqchip, struct why *why)
{
	const char *names[KVM_ITEMS + 2] = { "halted" };
	struct record halted;

	names[kvm_vcpu_items(irqchip, names + 1) + 1] = NULL;
	if (!record_find(group, "halted", &halted) || halted.type != RECORD_BOOL || halted.array)
		return why_set(why, "halted is missing");
	return kvm_vcpu_valid(group, irqchip, why) ? -1 : record_only(group, names, why);
}

int
vcpu_check(struct vcpu *vcpu, const struct record *group, struct why *why)
{
	return kvm_check(&vcpu->machine->kvm, group, why);
}

size_t
vcpu_own_areas(struct vcpu *vcpu, struct kvm_area areas[KVM_OWN_AREAS])
{
	return kvm_vcpu_own_areas(&vcpu->kvm, areas);
}

int
vcpu_halted(struct vcpu *vcpu, bool *halted)
{
	return kvm_vcpu_halted(&vcpu->kvm, halted);
}

int
vcpu_registers(struct vcpu *vcpu, struct kvm_regs *regs, struct kvm_sregs *sregs)
{
	int r = regs ? kvm_vcpu_regs(&vcpu->kvm, regs) : 0;

	return r || !sregs ? r : kvm_vcpu_sregs(&vcpu->kvm, sregs);
}

int
vcpu_set_registers(struct vcpu *vcpu, const struct kvm_regs *regs, const struct kvm_sregs *sregs)
{
	int r = sregs ? kvm_vcpu_set_sregs(&vcpu->kvm, sregs) : 0;

	return r || !regs ? r : kvm_vcpu_set_regs(&vcpu->kvm, regs);
}

int
vcpu_xsave(struct vcpu *vcpu, void *bytes, size_t size)
{
	return kvm_vcpu_xsave(&vcpu->kvm, bytes, size);
}

int
vcpu_set_xsave(struct vcpu *vcpu, const void *bytes, size_t size)
{
	return kvm_vcpu_set_xsave(&vcpu->kvm, bytes, size);
}

int
vcpu_msr(struct vcpu *vcpu, uint32_t index, uint64_t *value)
{
	return kvm_vcpu_msr(&vcpu->kvm, index, value);
}

int
vcpu_set_msr(struct vcpu *vcpu, uint32_t index, uint64_t value)
{
	return kvm_vcpu_set_msr(&vcpu->kvm, index, value);
}

int
vcpu_translate(struct vcpu *vcpu, uint64_t linear, uint64_t *gpa)
{
	return kvm_vcpu_translate(&vcpu->kvm, linear, gpa);
}

static unsigned
code_bits(const struct kvm_regs *regs, const struct kvm_sregs *sregs)
{
	if (sregs->efer >> 10 & 1 && sregs->cs.l)
		return 64;
	return sregs->cr0 & 1 && !(regs->rflags >> 17 & 1) && sregs->cs.db ? 32 : 16;
}

int
vcpu_code(struct vcpu *vcpu, struct vcpu_code *code)
{
	const struct memory *memory = &vcpu->machine->memory;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	uint64_t gpa;
	int r = vcpu_registers(vcpu, &regs, &sregs);

	*code = (struct vcpu_code){ .rip = regs.rip };
	if (r)
		return r;
	code->at = sregs.cs.base + regs.rip;
	if (!(sregs.efer >> 10 & 1))
		code->at = (uint32_t)code->at;
	code->cr2 = sregs.cr2;
	code->bits = code_bits(&regs, &sregs);
	code->reset = regs.rip == 0xfff0 && sregs.cs.base == 0xffff0000 && regs.rflags == 2;
	if (memory_truncated(memory, NULL, 0) || kvm_vcpu_code(&vcpu->kvm, &gpa))
		return 0;
	/* The next page of a linear address may be anywhere. */
	while (code->length < sizeof(code->bytes) &&
	       (!code->length || (gpa + code->length) % PAGE_SIZE) &&
	       !memory_read(memory, gpa + code->length, &code->bytes[code->length], 1))
		code->length++;
	return 0;
}

const char *
vcpu_code_text(const struct vcpu_code *code, char buffer[VCPU_CODE_TEXT])
{
	size_t length = 0;

	if (!code->length)
		return "not in memory";
	for (size_t i = 0; i < code->length && i < 16; i++)
		length += (size_t)snprintf(buffer + length, VCPU_CODE_TEXT - length, "%s%02x",
					   i ? " " : "", code->bytes[i]);
	return buffer;
}

void
vcpu_print(struct vcpu *vcpu, enum minivmm_level level)
{
	char text[VCPU_CODE_TEXT];
	struct vcpu_code code;
	struct kvm_sregs s;
	struct kvm_regs r;

	if (vcpu_registers(vcpu, &r, &s) || vcpu_code(vcpu, &code))
		return;
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
		 U(s.efer), vcpu_code_text(&code, text));
#undef U
}
