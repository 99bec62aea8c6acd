/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minivmm/tool.h: the interface between minivmm and a tool. A tool is a plugin that observes and
 * controls a machine and is no part of it: a debugger, a recorder, a meter. minivmm-tool(3) is the
 * manual.
 *
 * The descriptor of a tool has the member tool. Of the tables it has options, timers, streams,
 * watches and posts only; of the callbacks configure, start, stop and destroy only. A machine gets
 * tools from sections [tool NAME] of its config, from --tool, and from "ctl SOCKET tool add", and
 * loses one by "ctl SOCKET tool remove". A snapshot does not contain tools, and a reset does not
 * change them. A branch begins without tools.
 *
 * A tool's streams, watches and posts work while the machine is paused, too; its timers follow the
 * VM's clock. All callbacks run on the I/O thread. None of them waits: what takes time is a
 * request, and an event reports its end. An event is never delivered within the call that causes
 * it.
 *
 * Where: all functions of this header work from start to stop, in callbacks on the I/O thread. The
 * host refuses other calls as it does for the services of plugin.h.
 */
#ifndef MINIVMM_TOOL_H
#define MINIVMM_TOOL_H

#include "minivmm/plugin.h"

#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
extern "C" {
#endif

enum minivmm_event_kind {
	MINIVMM_STOPPED = 1, /* the tool holds the machine: see reason */
	MINIVMM_NOT_STOPPED, /* a pause or a step was refused; text: why. The tool does not hold it
			      */
	MINIVMM_ANSWERED,    /* a command has ended: id, error, text */
	MINIVMM_REPLACED,    /* a reset has replaced the machine's state */
	MINIVMM_ENDED,       /* the machine has ended: text, status. Then stop follows */
};

enum minivmm_stop_reason {
	MINIVMM_STOP_PAUSE = 1,  /* minivmm_machine_pause() */
	MINIVMM_STOP_STEP,       /* minivmm_machine_step() */
	MINIVMM_STOP_BREAKPOINT, /* before the instruction at address */
	MINIVMM_STOP_WATCHPOINT, /* after an access to the watchpoint at address */
};

/* Written by the host, read by the tool; can grow. */
struct minivmm_event {
	uint32_t kind;     /* enum minivmm_event_kind */
	uint32_t size;     /* of this struct, in bytes */
	uint32_t reason;   /* STOPPED: enum minivmm_stop_reason */
	uint32_t vcpu;     /* STOPPED, except by a pause: the vCPU */
	uint64_t address;  /* STOPPED by a breakpoint or a watchpoint: its address */
	uint64_t id;       /* ANSWERED: of the command */
	const char *error; /* ANSWERED: why it failed, in one line; NULL: it succeeded */
	/* ANSWERED: the reply, a JSON object. ENDED: the cause: "hlt", "exit", "shutdown", ... */
	const char *text;
	uint64_t status; /* ENDED by "exit": the guest's status */
	/* STOPPED by a breakpoint or a watchpoint: its enum minivmm_breakpoint_kind */
	uint32_t breakpoint;
	uint32_t reserved;
};

/* What a descriptor's member tool points to. Static and constant. */
struct minivmm_tool {
	uint32_t size; /* of this struct, in bytes: sizeof(struct minivmm_tool) */
	int (*event)(struct minivmm_device *dev, const struct minivmm_event *event);
};

/* A range of guest memory. */
struct minivmm_memory_range {
	uint64_t start, length; /* guest physical address; bytes */
};
#define MINIVMM_MEMORY_RANGES 8u

/* Written by the host; can grow. */
struct minivmm_machine_state {
	uint32_t size;  /* of this struct, in bytes: set by the inline function */
	uint32_t vcpus; /* their number */
	bool paused;    /* nothing runs */
	bool held;      /* for this tool */
	bool others;    /* for others, too: the operator, a snapshot, another tool */
	bool ended;
	bool irqchip;
	uint32_t memory_ranges;
	struct minivmm_memory_range memory[MINIVMM_MEMORY_RANGES];
};

/* Sets of registers. */
enum minivmm_register_set {
	MINIVMM_GENERAL = 1, /* struct minivmm_general */
	MINIVMM_SYSTEM,      /* struct minivmm_system */
	/* The XSAVE area of the vCPU in the standard format (Intel's manual, volume 1, section
	 * 13.4): at least 576 bytes. A shorter buffer gets the first part, a longer one zeros. A
	 * write replaces the part that is given. */
	MINIVMM_XSAVE,
	MINIVMM_MSRS, /* an array of struct minivmm_msr; the tool sets the indices */
};

struct minivmm_general {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
};

struct minivmm_segment {
	uint64_t base;
	uint32_t limit;
	uint16_t selector;
	/* Bits 8 to 15 and 20 to 23 of the descriptor's second word, shifted right by 8: type in
	 * bits 0 to 3, S 4, DPL 5 and 6, P 7, AVL 12, L 13, D/B 14, G 15. */
	uint16_t attributes;
};

struct minivmm_system {
	struct minivmm_segment cs, ds, es, fs, gs, ss, tr, ldt;
	uint64_t gdt_base, idt_base;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer;
	uint16_t gdt_limit, idt_limit;
	uint32_t reserved;
};

struct minivmm_msr {
	uint32_t index, reserved;
	uint64_t value;
};

enum minivmm_breakpoint_kind {
	/* Replaces the instruction in guest memory while the guest runs. Any number; the host
	 * removes it in each pause, so that no snapshot contains it. */
	MINIVMM_BREAK_SOFTWARE = 1,
	MINIVMM_BREAK_HARDWARE, /* this and the next: at most four in all, or fewer */
	MINIVMM_WATCH_WRITE,    /* length 1, 2, 4 or 8; the address is a multiple of it */
	MINIVMM_WATCH_ACCESS,   /* reads and writes */
};

/* Zero the members that you do not set. */
struct minivmm_breakpoint {
	uint32_t size;    /* of this struct: set by the inline function */
	uint32_t kind;    /* enum minivmm_breakpoint_kind */
	uint64_t address; /* linear */
	uint32_t length;  /* of a watchpoint */
	/* Software: the vCPU whose page tables translate the address. */
	uint32_t vcpu;
};

/* The host's functions for tools. Use the inline functions below. */
struct minivmm_machine {
	uint32_t size; /* of this table; a member beyond it does not exist */
	uint32_t reserved;
	int (*state)(struct minivmm_device *dev, struct minivmm_machine_state *state);
	int (*pause)(struct minivmm_device *dev);
	int (*resume)(struct minivmm_device *dev);
	int (*step)(struct minivmm_device *dev, uint32_t vcpu);
	uint64_t (*command)(struct minivmm_device *dev, const char *const *words, uint32_t count);
	int (*registers)(struct minivmm_device *dev, uint32_t vcpu, uint32_t set, void *values,
			 size_t size, bool write);
	int (*linear)(struct minivmm_device *dev, uint32_t vcpu, uint64_t address, void *bytes,
		      size_t length, bool write);
	int (*breakpoint)(struct minivmm_device *dev, const struct minivmm_breakpoint *breakpoint,
			  bool set);
};

/* Stores what the machine is and does. Returns 0 or -1. */
static inline int
minivmm_machine_state(struct minivmm_device *dev, struct minivmm_machine_state *state)
{
	const struct minivmm_machine *m = minivmm_machine_functions(dev);

	memset(state, 0, sizeof(*state));
	state->size = sizeof(*state);
	return m ? m->state(dev, state) : -1;
}

/* Requests a pause. STOPPED or NOT_STOPPED follows. The machine stays paused until the tool calls
 * minivmm_machine_resume(), whatever others do. If start calls it, nothing runs before the pause.
 * Returns 0; or -1: the tool holds it already, or has requested it. */
static inline int
minivmm_machine_pause(struct minivmm_device *dev)
{
	const struct minivmm_machine *m = minivmm_machine_functions(dev);

	return m ? m->pause(dev) : -1;
}

/* Ends the tool's pause. The machine runs as soon as nobody else holds it: an operator's pause ends
 * with the command "resume". A breakpoint at the next instruction of a vCPU is hit at once: step
 * first, which passes it. Returns 0; or -1: the tool does not hold it. */
static inline int
minivmm_machine_resume(struct minivmm_device *dev)
{
	const struct minivmm_machine *m = minivmm_machine_functions(dev);

	return m ? m->resume(dev) : -1;
}

/*
 * Requests one instruction of one vCPU, without an interrupt; the other vCPUs stand meanwhile.
 * STOPPED follows, with reason STEP; or another reason, if a breakpoint, a watchpoint or
 * minivmm_machine_pause() stops the vCPU first, which may be halted; or NOT_STOPPED, with which the
 * tool no longer holds the machine. Returns 0; or -1: the tool does not hold the machine, others
 * hold it, too, or this KVM cannot step.
 */
static inline int
minivmm_machine_step(struct minivmm_device *dev, uint32_t vcpu)
{
	const struct minivmm_machine *m = minivmm_machine_functions(dev);

	return m ? m->step(dev, vcpu) : -1;
}

/* Runs a command of the control socket, as "snapshot", "x.snap". Returns its id, which ANSWERED
 * will have; 0: no memory. */
static inline uint64_t
minivmm_machine_command(struct minivmm_device *dev, const char *const *words, uint32_t count)
{
	const struct minivmm_machine *m = minivmm_machine_functions(dev);

	return m ? m->command(dev, words, count) : 0;
}

/* Read or write a set of registers of a vCPU, size bytes. The machine is paused. Return 0; or -1:
 * it is not, the set or the vCPU does not exist, or KVM refuses the values; after a refused write,
 * registers of the set may have changed. */
static inline int
minivmm_registers_read(struct minivmm_device *dev, uint32_t vcpu, enum minivmm_register_set set,
		       void *values, size_t size)
{
	const struct minivmm_machine *m = minivmm_machine_functions(dev);

	return m ? m->registers(dev, vcpu, (uint32_t)set, values, size, false) : -1;
}

static inline int
minivmm_registers_write(struct minivmm_device *dev, uint32_t vcpu, enum minivmm_register_set set,
			const void *values, size_t size)
{
	const struct minivmm_machine *m = minivmm_machine_functions(dev);

	return m ? m->registers(dev, vcpu, (uint32_t)set, (void *)values, size, true) : -1;
}

/*
 * Copy from and to guest memory by linear address, through the page tables of a vCPU. The machine
 * is paused. They do not touch devices, and ignore the access rights of pages.
 * minivmm_memory_read() and minivmm_memory_write() do the same by physical address, while the
 * machine runs, too. Return 0; or -1, with nothing copied, if a part of it is not mapped or is not
 * memory, or if a snapshot that is being written does not allow a change.
 */
static inline int
minivmm_linear_read(struct minivmm_device *dev, uint32_t vcpu, uint64_t address, void *bytes,
		    size_t length)
{
	const struct minivmm_machine *m = minivmm_machine_functions(dev);

	return m ? m->linear(dev, vcpu, address, bytes, length, false) : -1;
}

static inline int
minivmm_linear_write(struct minivmm_device *dev, uint32_t vcpu, uint64_t address, const void *bytes,
		     size_t length)
{
	const struct minivmm_machine *m = minivmm_machine_functions(dev);

	return m ? m->linear(dev, vcpu, address, (void *)bytes, length, true) : -1;
}

/*
 * Set and clear a breakpoint or a watchpoint. The machine is paused. Setting it twice has no
 * effect. A clear finds it by kind, address and length, also when the page tables have changed
 * since; kind 0 clears all of this tool. While one that is not software is set, the guest's own
 * debug registers have no effect. Return 0; or -1: the debug registers do not suffice, this KVM
 * does not report such an event, the address is not in memory, or there is no such breakpoint.
 */
static inline int
minivmm_breakpoint_set(struct minivmm_device *dev, const struct minivmm_breakpoint *breakpoint)
{
	const struct minivmm_machine *m = minivmm_machine_functions(dev);
	struct minivmm_breakpoint sized = *breakpoint;

	sized.size = sizeof(sized);
	return m ? m->breakpoint(dev, &sized, true) : -1;
}

static inline int
minivmm_breakpoint_clear(struct minivmm_device *dev, const struct minivmm_breakpoint *breakpoint)
{
	const struct minivmm_machine *m = minivmm_machine_functions(dev);
	struct minivmm_breakpoint sized = *breakpoint;

	sized.size = sizeof(sized);
	return m ? m->breakpoint(dev, &sized, false) : -1;
}

#ifdef __cplusplus
}
#pragma GCC diagnostic pop
#endif

#endif
