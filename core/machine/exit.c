/* SPDX-License-Identifier: BSD-2-Clause */
/* The slow path of exits: split accesses, traces, stop conditions, single steps, errors. */
#include "machine/exit.h"

#include <string.h>

#include "base/log.h"
#include "machine/machine.h"

#define HLT_OPCODE 0xf4

static void
count_stop(struct machine *machine)
{
	bool hit;

	pthread_mutex_lock(&machine->lock);
	hit = !machine->stop_hit && stop_count(&machine->stop);
	pthread_mutex_unlock(&machine->lock);
	if (hit)
		machine_stop_hit(machine);
}

/* Counts an access towards the stop condition. The device has handled it; KVM completes the
 * instruction at the next KVM_RUN. */
static void
stop_access(struct machine *machine, uint32_t space, uint64_t address, uint32_t width)
{
	const struct stop *stop = &machine->stop;
	bool matches = false;

	if (stop->kind == STOP_ACCESS)
		matches = true;
	else if (stop->kind == (space == MINIVMM_PIO ? STOP_PIO : STOP_MMIO))
		matches = stop->value >= address && stop->value - address < width;
	if (matches)
		count_stop(machine);
}

/* Traces one access whose rip is that of the next KVM_RUN; see struct trace_access. */
static void
trace(struct vcpu *vcpu, uint32_t space, uint64_t address, bool write, const void *data,
      uint32_t width, const struct bus_range *range)
{
	struct trace_access access = {
		.clock = &vcpu->machine->clock,
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

bool
exit_file_truncated(struct machine *machine)
{
	char name[256];

	if (!memory_truncated(&machine->memory, name, sizeof(name)))
		return false;
	log_line(MINIVMM_ERROR, NULL,
		 "%s was truncated while it was guest memory: the machine cannot continue", name);
	machine_end(machine, CAUSE_ERROR, STATUS_IO);
	return true;
}

/* An MMIO exit within guest memory: KVM could not fault in the host's page. */
static void
memory_lost(struct machine *machine, uint64_t address)
{
	if (exit_file_truncated(machine))
		return;
	log_line(MINIVMM_ERROR, NULL,
		 "the host cannot provide guest memory at 0x%llx; check the space on the disk of "
		 "its file",
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
	if (machine->stop.kind)
		stop_access(machine, space, address, width);
}

/*
 * Traces an OUT, or count OUTs of a REP OUTS, of size bytes each. At the exit, rip is that of the
 * OUT on some hosts and of the next instruction on others; so KVM_RUN first completes the OUT.
 * True: KVM_RUN returned with another exit (of a REP OUTS), which must be dispatched.
 */
static bool
trace_out(struct vcpu *vcpu, const uint8_t *data, uint32_t count, uint32_t size)
{
	uint8_t copy[4096];
	uint16_t port = vcpu->kvm.run->io.port;
	uint64_t offset = 0;
	struct bus_range *range = bus_find(&vcpu->machine->bus, MINIVMM_PIO, port, size, &offset);
	bool more;

	if (count > sizeof(copy) / size)
		count = sizeof(copy) / size;
	memcpy(copy, data, count * size);
	__atomic_store_n(&vcpu->kvm.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	more = !kvm_vcpu_run(&vcpu->kvm);
	vcpu_unkick(vcpu);
	for (uint32_t i = 0; i < count; i++)
		trace(vcpu, MINIVMM_PIO, port, true, copy + i * size, size, range);
	return more;
}

/* True: another exit must be dispatched. */
static bool
exit_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm.run;
	bool write = run->io.direction == KVM_EXIT_IO_OUT;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	if (!write && debug_in(vcpu))
		return false;
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

/* A breakpoint was hit, or one step is done. */
static void
exit_debug(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;

	if (debug_exit(vcpu))
		return;
	if (machine->stop.kind == STOP_STEP) {
		count_stop(machine);
		return;
	}
	if (vcpu->stepping) { /* stepped over the breakpoint: arm it again */
		vcpu->stepping = false;
		debug_arm(vcpu, false);
		return;
	}
	count_stop(machine);
	if (machine->stop.kind == STOP_RIP && !machine->stop_hit) {
		vcpu->stepping = true;
		debug_arm(vcpu, true);
	}
}

/* The end comes first, so that a snapshot at the stop condition contains it. */
static void
exit_shutdown(struct vcpu *vcpu)
{
	machine_end(vcpu->machine, CAUSE_SHUTDOWN, vcpu->kvm.id);
	if (vcpu->machine->stop.kind == STOP_SHUTDOWN)
		count_stop(vcpu->machine);
}

static void
exit_error(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm.run;

	if (exit_file_truncated(vcpu->machine))
		return;
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		log_line(MINIVMM_ERROR, NULL, "vCPU %u: KVM internal error %u%s", vcpu->kvm.id,
			 run->internal.suberror,
			 run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
			     ? ": it cannot emulate the instruction at rip"
			     : "");
	else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		log_line(MINIVMM_ERROR, NULL,
			 "vCPU %u: KVM failed to enter the guest, hardware reason 0x%llx; check "
			 "that the registers in [cpu] are consistent",
			 vcpu->kvm.id,
			 (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	else
		log_line(MINIVMM_ERROR, NULL, "vCPU %u: unexpected KVM exit %u", vcpu->kvm.id,
			 run->exit_reason);
	machine_end(vcpu->machine, CAUSE_INTERNAL, vcpu->kvm.id);
}

/* Dispatches one exit. True: another exit must be dispatched. */
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
		exit_shutdown(vcpu);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	default:
		exit_error(vcpu);
	}
	return false;
}

static void
dispatch(struct vcpu *vcpu)
{
	while (dispatch_one(vcpu))
		;
}

/* The byte at rip, or -1 if it cannot be read. */
static int
opcode(struct vcpu *vcpu)
{
	uint8_t byte;
	uint64_t gpa;

	if (kvm_vcpu_code(&vcpu->kvm, &gpa) || memory_read(&vcpu->machine->memory, gpa, &byte, 1))
		return -1;
	return byte;
}

void
exit_begin_step(struct vcpu *vcpu)
{
	if (opcode(vcpu) == HLT_OPCODE)
		debug_step_hlt(vcpu);
}

void
exit_step_or_run(struct vcpu *vcpu)
{
	bool step = opcode(vcpu) != HLT_OPCODE;

	if (step != vcpu->stepping) {
		vcpu->stepping = step;
		debug_arm(vcpu, step);
	}
}

/*
 * Completes a single-stepped access and counts it as one instruction. Some hosts report the step
 * (KVM_EXIT_DEBUG) when the access completes, others do not.
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
	if (!counted && vcpu->machine->stop.kind == STOP_STEP)
		count_stop(vcpu->machine);
	if (!counted && debug_steps(vcpu))
		debug_stepped(vcpu);
	vcpu_unkick(vcpu);
}

void
exit_slow(struct vcpu *vcpu, bool steps)
{
	bool access = vcpu->kvm.run->exit_reason == KVM_EXIT_IO ||
		      vcpu->kvm.run->exit_reason == KVM_EXIT_MMIO;

	dispatch(vcpu);
	if (steps && access && !vcpu->halted &&
	    (vcpu->machine->stop.kind == STOP_STEP || debug_steps(vcpu)))
		step_access(vcpu);
}

int
vcpu_arm(struct vcpu *vcpu)
{
	const struct stop *stop = &vcpu->machine->stop;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	int r;

	if (stop->kind != STOP_RIP || vcpu->machine->stop_new)
		vcpu->stepping = false;
	if (vcpu->machine->stop_hit)
		return debug_arm(vcpu, false);
	if (stop->kind == STOP_STEP) {
		struct why why;

		/* run() decides at each instruction. */
		if (kvm_step_check(vcpu->kvm.kvm, &why))
			return fail(STATUS_HOST, "step: %s", why.text);
	}
	if (stop->kind == STOP_RIP && vcpu->machine->stop_new) {
		r = kvm_vcpu_regs(&vcpu->kvm, &regs);
		if (!r)
			r = kvm_vcpu_sregs(&vcpu->kvm, &sregs);
		if (r)
			return r;
		/* A new condition that holds already is not hit: step over the breakpoint. */
		vcpu->stepping = sregs.cs.base + regs.rip == stop->value;
	}
	/* After a pause: continue a step over the breakpoint, or arm the breakpoint. */
	return debug_arm(vcpu, vcpu->stepping);
}
