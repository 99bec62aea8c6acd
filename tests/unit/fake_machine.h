/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine for one tool: memory whose linear addresses are the physical ones, vCPUs that know five
 * instructions, and the events that a host delivers. It checks that the tool keeps the rules of
 * minivmm/tool.h, and aborts if it does not. It runs only in machine_turn().
 */
#ifndef TESTS_FAKE_MACHINE_H
#define TESTS_FAKE_MACHINE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "minivmm/tool.h"

#define MACHINE_VCPUS 2
#define MACHINE_MEMORY 0x10000
#define MACHINE_XSAVE 832
#define MACHINE_BREAKPOINTS 64
#define MACHINE_EVENTS 16

struct machine_vcpu {
	struct minivmm_general general;
	struct minivmm_system system;
	uint8_t xsave[MACHINE_XSAVE];
	uint64_t msrs[8]; /* by the low bits of the index */
	bool halted;
};

struct machine {
	uint8_t memory[MACHINE_MEMORY];
	struct machine_vcpu vcpus[MACHINE_VCPUS];
	struct minivmm_breakpoint breakpoints[MACHINE_BREAKPOINTS];
	uint32_t breakpoint_count;
	struct minivmm_event events[MACHINE_EVENTS];
	uint32_t event_count;
	bool held, pausing, stepping;
	bool others;                                                   /* an operator's pause */
	bool ended, cannot_step, cannot_write_registers, cannot_break; /* by software */
	const char *cannot_pause;                                      /* the reason */
	uint32_t stepped;                                              /* the vCPU */
	uint64_t commands;  /* so far: the last one's id */
	char words[256];    /* of the last command, with a blank before each */
	const char *answer; /* the next reply; NULL: an error */
};

static struct machine machine;

static inline bool
machine_runs(void)
{
	return !machine.held && !machine.others && !machine.ended;
}

static void
machine_event(const struct minivmm_event *event)
{
	if (machine.event_count == MACHINE_EVENTS)
		abort();
	machine.events[machine.event_count] = *event;
	machine.events[machine.event_count++].size = sizeof(*event);
}

static void
machine_stop(enum minivmm_stop_reason reason, uint32_t vcpu, const struct minivmm_breakpoint *b)
{
	machine_event(&(struct minivmm_event){ .kind = MINIVMM_STOPPED,
					       .reason = reason,
					       .vcpu = vcpu,
					       .address = b ? b->address : 0,
					       .breakpoint = b ? b->kind : 0 });
	machine.held = true;
	machine.pausing = machine.stepping = false;
}

static int
machine_state(struct minivmm_device *dev, struct minivmm_machine_state *state)
{
	uint32_t size = state->size;

	if (size != sizeof(*state))
		abort();
	*state = (struct minivmm_machine_state){
		.size = size,
		.vcpus = MACHINE_VCPUS,
		.paused = !machine_runs() && !machine.stepping,
		.held = machine.held,
		.others = machine.others,
		.ended = machine.ended,
		.memory_ranges = 1,
		.memory = { { 0, MACHINE_MEMORY } },
	};
	return 0;
}

static int
machine_pause(struct minivmm_device *dev)
{
	if (machine.pausing || (machine.held && !machine.stepping) || machine.ended)
		return -1;
	machine.pausing = true;
	return 0;
}

static int
machine_resume(struct minivmm_device *dev)
{
	if (!machine.held || machine.stepping)
		return -1;
	machine.held = false;
	return 0;
}

static int
machine_step(struct minivmm_device *dev, uint32_t vcpu)
{
	if (!machine.held || machine.stepping || machine.others || vcpu >= MACHINE_VCPUS ||
	    machine.cannot_step)
		return -1;
	machine.stepping = true;
	machine.stepped = vcpu;
	return 0;
}

static uint64_t
machine_command(struct minivmm_device *dev, const char *const *words, uint32_t count)
{
	size_t length = 0;

	if (!count)
		abort();
	machine.words[0] = '\0';
	for (uint32_t i = 0; i < count; i++)
		length += (size_t)snprintf(machine.words + length, sizeof(machine.words) - length,
					   " %.20s", words[i]) %
			  (sizeof(machine.words) / 8);
	if (!strcmp(words[0], "resume"))
		machine.others = false;
	if (!strcmp(words[0], "quit")) {
		machine.ended = true;
		machine_event(&(struct minivmm_event){ .kind = MINIVMM_ENDED, .text = "quit" });
	}
	if (machine.event_count < MACHINE_EVENTS / 2)
		machine_event(&(struct minivmm_event){
		    .kind = MINIVMM_ANSWERED,
		    .id = machine.commands + 1,
		    .text = machine.answer,
		    .error = machine.answer ? NULL : "it is refused",
		});
	return ++machine.commands;
}

static int
machine_msrs(struct machine_vcpu *v, struct minivmm_msr *msrs, size_t count, bool write)
{
	for (size_t i = 0; i < count; i++) {
		if (write)
			v->msrs[msrs[i].index & 7] = msrs[i].value;
		else
			msrs[i].value = v->msrs[msrs[i].index & 7];
	}
	return 0;
}

static int
machine_registers(struct minivmm_device *dev, uint32_t vcpu, uint32_t set, void *values,
		  size_t size, bool write)
{
	struct machine_vcpu *v = &machine.vcpus[vcpu];
	void *at = set == MINIVMM_GENERAL  ? (void *)&v->general
		   : set == MINIVMM_SYSTEM ? (void *)&v->system
					   : v->xsave;
	size_t expected = set == MINIVMM_GENERAL  ? sizeof(v->general)
			  : set == MINIVMM_SYSTEM ? sizeof(v->system)
						  : sizeof(v->xsave);

	if (vcpu >= MACHINE_VCPUS || set < MINIVMM_GENERAL || set > MINIVMM_MSRS)
		abort();
	if (!machine.held || machine.stepping || (write && machine.cannot_write_registers))
		return -1;
	if (set == MINIVMM_MSRS)
		return machine_msrs(v, values, size / sizeof(struct minivmm_msr), write);
	if (size != expected)
		abort();
	memcpy(write ? at : values, write ? values : at, size);
	return 0;
}

static int
machine_memory(uint64_t address, void *bytes, size_t length, bool write)
{
	if (address > MACHINE_MEMORY || length > MACHINE_MEMORY - address)
		return -1;
	memcpy(write ? machine.memory + address : bytes, write ? bytes : machine.memory + address,
	       length);
	return 0;
}

static int
machine_linear(struct minivmm_device *dev, uint32_t vcpu, uint64_t address, void *bytes,
	       size_t length, bool write)
{
	if (vcpu >= MACHINE_VCPUS || !machine.held || machine.stepping)
		return -1;
	return machine_memory(address, bytes, length, write);
}

static int
machine_breakpoint(struct minivmm_device *dev, const struct minivmm_breakpoint *b, bool set)
{
	uint32_t i, debug_registers = 0;

	if (!machine.held || machine.stepping || b->size != sizeof(*b))
		return -1;
	if (!set && !b->kind) {
		machine.breakpoint_count = 0;
		return 0;
	}
	if (b->kind >= MINIVMM_WATCH_WRITE &&
	    (!b->length || b->length > 8 || (b->length & (b->length - 1)) ||
	     b->address % b->length))
		abort();
	for (i = 0; i < machine.breakpoint_count; i++) {
		debug_registers += machine.breakpoints[i].kind != MINIVMM_BREAK_SOFTWARE;
		if (machine.breakpoints[i].kind == b->kind &&
		    machine.breakpoints[i].address == b->address)
			break;
	}
	if (set && i == machine.breakpoint_count) {
		if ((b->kind == MINIVMM_BREAK_SOFTWARE && machine.cannot_break) ||
		    i == MACHINE_BREAKPOINTS || b->address >= MACHINE_MEMORY ||
		    (b->kind != MINIVMM_BREAK_SOFTWARE && debug_registers == 4))
			return -1;
		machine.breakpoints[machine.breakpoint_count++] = *b;
	} else if (!set) {
		if (i == machine.breakpoint_count)
			return -1;
		machine.breakpoints[i] = machine.breakpoints[--machine.breakpoint_count];
	}
	return 0;
}

static const struct minivmm_machine machine_functions = {
	.size = sizeof(machine_functions),
	.state = machine_state,
	.pause = machine_pause,
	.resume = machine_resume,
	.step = machine_step,
	.command = machine_command,
	.registers = machine_registers,
	.linear = machine_linear,
	.breakpoint = machine_breakpoint,
};

/* For the services of the device. */
static const struct minivmm_machine *
machine_service(struct minivmm_device *dev)
{
	return &machine_functions;
}

static int
machine_physical_read(struct minivmm_device *dev, uint64_t gpa, void *to, size_t length)
{
	return machine_memory(gpa, to, length, false);
}

static int
machine_physical_write(struct minivmm_device *dev, uint64_t gpa, const void *from, size_t length)
{
	return machine_memory(gpa, (void *)from, length, true);
}

/* Zeros the machine. Its vCPUs are in 64-bit mode, at 0x1000 and 0x2000, and execute NOPs. */
static void
machine_create(void)
{
	memset(&machine, 0, sizeof(machine));
	memset(machine.memory, 0x90, sizeof(machine.memory));
	machine.answer = "{}";
	for (uint32_t i = 0; i < MACHINE_VCPUS; i++) {
		struct machine_vcpu *v = &machine.vcpus[i];

		v->general.rip = 0x1000 * (i + 1);
		v->general.rflags = 2;
		v->system.cr0 = 0x80000011;
		v->system.efer = 0x500;
		v->system.cs.attributes = 0x209b;
		v->system.cs.selector = 0x10;
	}
}

static const struct minivmm_breakpoint *
machine_find(uint64_t address, bool watch)
{
	for (uint32_t i = 0; i < machine.breakpoint_count; i++) {
		const struct minivmm_breakpoint *b = &machine.breakpoints[i];

		if ((b->kind >= MINIVMM_WATCH_WRITE) == watch && address >= b->address &&
		    address - b->address < (watch ? b->length : 1))
			return b;
	}
	return NULL;
}

/* NOP; HLT; INC EAX as a form of two bytes; MOV [RBX],AL; JMP SHORT. Others are NOPs. */
static void
machine_execute(uint32_t vcpu)
{
	struct machine_vcpu *v = &machine.vcpus[vcpu];
	struct minivmm_general *r = &v->general;
	const uint8_t *code = machine.memory + r->rip % (MACHINE_MEMORY - 8);
	const struct minivmm_breakpoint *b = machine_find(r->rip, false);

	if (b) {
		machine_stop(MINIVMM_STOP_BREAKPOINT, vcpu, b);
		return;
	}
	r->rip = code - machine.memory + 1;
	if (code[0] == 0xf4) {
		v->halted = true;
	} else if (code[0] == 0xff && code[1] == 0xc0) {
		r->rax++;
		r->rip++;
	} else if (code[0] == 0xeb) {
		r->rip = (r->rip + 1 + (uint64_t)(int8_t)code[1]) & (MACHINE_MEMORY - 1);
	} else if (code[0] == 0x88 && code[1] == 0x03) {
		uint64_t at = r->rbx & (MACHINE_MEMORY - 1);

		r->rip++;
		machine.memory[at] = (uint8_t)r->rax;
		b = machine_find(at, true);
		if (b)
			machine_stop(MINIVMM_STOP_WATCHPOINT, vcpu, b);
	}
}

/* What happens until the next event: a pause, a step, or some instructions of each vCPU. */
static void
machine_advance(void)
{
	if (machine.stepping && !machine.pausing) {
		if (machine.vcpus[machine.stepped].halted)
			return;
		machine_execute(machine.stepped);
		if (machine.stepping)
			machine_stop(MINIVMM_STOP_STEP, machine.stepped, NULL);
		return;
	}
	if (machine.pausing) {
		if (!machine.cannot_pause) {
			machine_stop(MINIVMM_STOP_PAUSE, 0, NULL);
			return;
		}
		machine.pausing = machine.stepping = machine.held = false;
		machine_event(&(struct minivmm_event){ .kind = MINIVMM_NOT_STOPPED,
						       .text = machine.cannot_pause });
	}
	for (uint32_t n = 0; n < 100 * MACHINE_VCPUS && machine_runs(); n++)
		if (!machine.vcpus[n % MACHINE_VCPUS].halted)
			machine_execute(n % MACHINE_VCPUS);
}

/* Delivers the events; then the machine advances, and its events are delivered. */
static void
machine_turn(struct minivmm_device *dev, const struct minivmm_tool *events)
{
	for (int part = 0; part < 2; part++) {
		while (machine.event_count) {
			struct minivmm_event event = machine.events[0];

			memmove(machine.events, machine.events + 1,
				--machine.event_count * sizeof(event));
			if (events->event(dev, &event))
				abort();
		}
		if (!part)
			machine_advance();
	}
}

#endif
