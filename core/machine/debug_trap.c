/* SPDX-License-Identifier: BSD-2-Clause */
/* Software breakpoints: the instruction in guest memory, and the exit that it causes. */
#include <string.h>

#include "base/status.h"
#include "machine/debug.h"
#include "machine/machine.h"

#define INT3 0xcc
#define IN_AL 0xe4 /* IN AL, imm8 */

/* Chooses the instruction of software breakpoints. False: no port is free. */
static bool
choose_trap(struct machine *m)
{
	uint32_t port = 0xef;
	uint64_t offset = 0;

	if (m->debug.trap.length)
		return true;
	m->debug.trap.bytes[0] = INT3;
	m->debug.trap.length = 1;
	if (debug_reported(m, KVM_REPORTS_INT3))
		return true;
	while (port && (bus_find(&m->bus, MINIVMM_PIO, port, 1, &offset) ||
			layout_chip_at(MINIVMM_PIO, port, 1)))
		port--;
	m->debug.trap.bytes[0] = IN_AL;
	m->debug.trap.bytes[1] = (uint8_t)port;
	m->debug.trap.length = port ? 2 : 0;
	return port;
}

/* Whether an instruction that begins with this byte has only this byte (Intel's manual, volume 2,
 * appendix A); also if that depends on the mode. */
static bool
has_one_byte(uint8_t opcode, bool long_mode)
{
	static const uint8_t single[] = { 0xc3, 0xc9, 0xcb, 0xcc, 0xce, 0xcf, 0xd6,
					  0xd7, 0xec, 0xed, 0xee, 0xef, 0xf1, 0xf4,
					  0xf5, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd };
	static const struct {
		uint8_t first, last;
	} ranges[] = { { 0x50, 0x61 }, { 0x6c, 0x6f }, { 0x90, 0x99 },
		       { 0x9b, 0x9f }, { 0xa4, 0xa7 }, { 0xaa, 0xaf } };

	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
		if (opcode >= ranges[i].first && opcode <= ranges[i].last)
			return true;
	if (opcode >= 0x40 && opcode <= 0x4f)
		return !long_mode; /* there they are prefixes */
	return memchr(single, opcode, sizeof(single)) ||
	       (opcode < 0x40 && (opcode & 7) >= 6 && opcode != 0x0f && opcode != 0x26 &&
		opcode != 0x2e && opcode != 0x36 && opcode != 0x3e);
}

int
debug_place(struct machine *m, struct debug_point *point, struct vcpu *vcpu)
{
	struct kvm_sregs sregs;
	uint8_t opcode;

	if (!choose_trap(m))
		return -1;
	for (uint32_t i = 0; i < m->debug.trap.length; i++)
		if (kvm_vcpu_translate(&vcpu->kvm, point->linear + i, &point->gpa[i]) ||
		    !memory_at(&m->memory, point->gpa[i], 1))
			return -1;
	if (m->debug.trap.length == 1)
		return 0;
	if (memory_read(&m->memory, point->gpa[0], &opcode, 1) ||
	    vcpu_registers(vcpu, NULL, &sregs) ||
	    has_one_byte(opcode, sregs.efer >> 10 & 1 && sregs.cs.l))
		return -1;
	for (size_t i = 0; i < m->debug.count; i++) /* one would cover a part of the other */
		if (debug_is_software(&m->debug.points[i]) &&
		    (m->debug.points[i].linear == point->linear + 1 ||
		     m->debug.points[i].linear + 1 == point->linear))
			return -1;
	return 0;
}

/* Two owners can have a breakpoint at one address: the bytes of the first are the original. */
void
debug_insert(struct machine *m)
{
	for (size_t i = 0; i < m->debug.count; i++) {
		struct debug_point *p = &m->debug.points[i];

		for (uint32_t n = 0;
		     debug_is_software(p) && !m->debug.stepper && n < m->debug.trap.length; n++) {
			if (memory_read(&m->memory, p->gpa[n], &p->original[n], 1))
				break;
			memory_write(&m->memory, p->gpa[n], &m->debug.trap.bytes[n], 1);
			p->inserted = true;
		}
	}
}

/* In reverse order. The guest may have written other code there. */
void
debug_remove(struct machine *m)
{
	for (size_t i = m->debug.count; i--;) {
		struct debug_point *p = &m->debug.points[i];
		uint8_t now;

		for (uint32_t n = 0; p->inserted && n < m->debug.trap.length; n++)
			if (!memory_read(&m->memory, p->gpa[n], &now, 1) &&
			    now == m->debug.trap.bytes[n])
				memory_write(&m->memory, p->gpa[n], &p->original[n], 1);
		p->inserted = false;
	}
}

/* The software breakpoint at a linear address; NULL: none. */
static const struct debug_point *
software_at(const struct machine *m, uint64_t linear)
{
	for (size_t i = 0; i < m->debug.count; i++)
		if (debug_is_software(&m->debug.points[i]) && m->debug.points[i].linear == linear)
			return &m->debug.points[i];
	return NULL;
}

/* The exit is an INT3: an owner's, or the guest's own, which gets its exception. */
void
debug_int3(struct vcpu *vcpu, uint64_t pc)
{
	struct machine *m = vcpu->machine;
	struct kvm_debug how = { .step = vcpu->stepping || debug_steps(vcpu), .inject = true };
	const struct debug_point *point = software_at(m, pc);

	if (point) {
		debug_report(vcpu, point);
		return;
	}
	debug_add_points(m, &how);
	if (kvm_vcpu_debug(&vcpu->kvm, &how))
		machine_end(m, CAUSE_ERROR, STATUS_HOST);
}

/* KVM_RUN completes the IN, which takes AL from the exit: it gets the value that it has. Then rip
 * goes back to the instruction. */
bool
debug_in(struct vcpu *vcpu)
{
	struct machine *m = vcpu->machine;
	struct kvm_run *run = vcpu->kvm.run;
	struct kvm_regs before, after;
	const struct debug_point *point;
	struct kvm_sregs sregs;

	if (m->debug.trap.length != 2 || run->io.port != m->debug.trap.bytes[1] ||
	    run->io.direction != KVM_EXIT_IO_IN || run->io.size != 1 || run->io.count != 1 ||
	    vcpu_registers(vcpu, &before, &sregs))
		return false;
	point = software_at(m, sregs.cs.base + before.rip);
	if (!point)
		return false;
	((uint8_t *)run)[run->io.data_offset] = (uint8_t)before.rax;
	debug_report(vcpu, point); /* kicks this vCPU */
	if (kvm_vcpu_run(&vcpu->kvm) != -EINTR || vcpu_registers(vcpu, &after, NULL)) {
		machine_end(m, CAUSE_ERROR, STATUS_HOST);
		return true;
	}
	after.rip = before.rip;
	if (vcpu_set_registers(vcpu, &after, NULL))
		machine_end(m, CAUSE_ERROR, STATUS_HOST);
	return true;
}
