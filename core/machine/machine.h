/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine: memory, vCPUs, bus, interrupt lines, the VM's clock, the I/O loop, points, and how
 * it ends. Knows devices only as ranges on the bus and as hooks to call.
 *
 * Threads: the main thread is the I/O thread; it owns the machine, runs the loop, and alone pauses,
 * resumes and ends it. Each vCPU has a thread. A vCPU hands things to the main thread by
 * machine_request().
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "kvm/kvm.h"
#include "machine/bind.h"
#include "machine/bus.h"
#include "machine/clock.h"
#include "machine/irq.h"
#include "machine/layout.h"
#include "machine/loop.h"
#include "machine/memory.h"
#include "machine/point.h"
#include "machine/trace.h"
#include "machine/vcpu.h"

enum machine_state { MACHINE_PAUSED, MACHINE_RUNNING };

/* Why the machine ended. */
enum machine_cause {
	CAUSE_NONE,
	CAUSE_HLT,      /* every vCPU halted for good */
	CAUSE_EXIT,     /* a device ended it with a guest status */
	CAUSE_SHUTDOWN, /* triple fault; status: which vCPU's */
	CAUSE_INTERNAL, /* KVM internal error or failed entry */
	CAUSE_PANIC,
	CAUSE_POINT, /* a point was reached */
	CAUSE_QUIT,  /* asked by a person */
	CAUSE_TIMEOUT,
	CAUSE_SIGNAL, /* status: the signal */
	CAUSE_ERROR,  /* our own trouble, said already; status: enum status */
};

struct machine_end {
	enum machine_cause cause;
	uint64_t status; /* CAUSE_EXIT: the guest's; else as above */
};

/* What the layer above does at the machine's turns; on the main thread, vCPUs stopped. 0 or a
 * negative status. */
struct machine_hooks {
	int (*pause)(void *context); /* devices come to rest; may run the loop */
	int (*resume)(void *context);
	bool (*point_waits)(void *context); /* not yet: the loop goes on, the machine stays there */
	int (*point)(
	    void *context); /* the point was reached, machine paused; may end the machine */
	void *context;
};

struct machine {
	struct kvm kvm;
	struct memory memory;
	struct { /* see dirty.h */
		bool on;
		uint64_t *log;  /* room for a region's */
		uint64_t *seen; /* room for what a look finds, of the image */
		struct dirty_watch *watches;
		uint64_t *guest; /* all that the guest wrote; NULL: nobody asks */
	} dirty;
	struct bus bus;
	struct irqs irqs;
	struct vm_clock clock;
	struct loop loop;
	struct bind *binds;
	struct point point;  /* set before machine_run; fires once */
	bool point_fresh;    /* it has just been set: where it is true already, it does not fire */
	struct trace *trace; /* NULL: none */
	struct machine_hooks hooks;
	struct vcpu *vcpus;
	uint32_t vcpu_count;
	enum machine_state state;
	bool acpi;   /* the guest has been given ACPI's tables */
	bool held;   /* a person has paused it: it goes on when that is taken back */
	bool stands; /* a snapshot is being written of it as it is: it goes on after that */
	struct loop_timer monitor, point_timer;
	uint64_t look; /* ns between the monitor's last look and its next */
	uint32_t idle; /* vCPUs that did nothing between the two before */

	pthread_mutex_t lock; /* guards what is below, and the counts of point */
	pthread_cond_t changed;
	uint32_t parked;                  /* vCPU threads that wait to go on */
	atomic_bool go;                   /* vCPUs may run; read without the lock as a hint */
	bool dying;                       /* vCPU threads return */
	int (*errand)(struct vcpu *vcpu); /* for each parked vCPU's thread to do */
	uint64_t errand_number;           /* counts them */
	uint32_t errands;                 /* threads that have yet to do it */
	atomic_bool point_reached;
	struct machine_end end; /* the first cause stays */
};

/* Builds memory and VM; no vCPU runs. Returns 0 or a negative status; destroy in any case. */
struct machine_layout {
	struct layout_range memory[MEMORY_REGIONS]; /* up to one of size 0 */
	const char *memory_file; /* or NULL; the pieces follow each other in it */
	int image_fd;            /* map memory copy-on-write from here, likewise, or -1 */
	uint64_t image_offset;
	uint32_t cpus;
	bool irqchip;
	bool track;     /* the dirty log is on from the start */
	bool dirty_log; /* so is it, and all that the guest writes is kept for a report */
	bool check;     /* for looking at a config only: no KVM, no vCPU, no memory_file */
};
int machine_create(struct machine *machine, const struct machine_layout *layout);
void machine_destroy(struct machine *machine);
/* Ends the vCPUs' threads, as destroy does; the machine will not run again. */
void machine_join(struct machine *machine);

/* One of the machine's vcpu_count vCPUs. */
static inline struct vcpu *
machine_vcpu(const struct machine *machine, uint32_t index)
{
	return &machine->vcpus[index];
}

/* Runs the loop until the machine ends; vCPU threads start here. Returns 0 (why: machine->end) or a
 * negative status. */
int machine_run(struct machine *machine);

/* Stops every vCPU with its access complete, the clock and the kernel's timers; idempotent. Main
 * thread. */
int machine_pause(struct machine *machine);
int machine_resume(struct machine *machine);
/* After a pause for a purpose of ours: resumes, unless the machine is held. */
int machine_go_on(struct machine *machine);

/*
 * How long (ns) vCPUs stood still in a stop: from the first's leaving its guest, not before from,
 * to the last's going on, not before until (both of clock_host). 0: it is not known, for none went
 * on, or one has stopped again. What the main thread sees is something else: who goes on may take
 * the CPU from it. Main thread.
 */
uint64_t machine_stood(const struct machine *machine, uint64_t from, uint64_t until);

/* So much time (ns) has passed for a paused machine, as if it had merely not run meanwhile: its
 * clock, kvm-clock, TSCs. */
void machine_catch_up(struct machine *machine, uint64_t time);

/* machine->point has been set, of a paused machine (at the start machine_run does this). */
void machine_point(struct machine *machine);
/* Ends the machine; the first cause stays. Any thread, returns at once. */
void machine_end(struct machine *machine, enum machine_cause cause, uint64_t status);
const char *machine_cause_name(enum machine_cause cause);
/* The point has been reached: vCPUs stop with their accesses complete. Any thread, returns at
 * once. */
void machine_point_reached(struct machine *machine);
/* A vCPU has halted for good. On its thread. */
void machine_halted(struct machine *machine);

/* Are the interrupt controllers and the PIT in the kernel? */
static inline bool
machine_irqchip(const struct machine *machine)
{
	return machine->kvm.irqchip;
}

/* The guest has ACPI tables; saved with the machine. */
static inline void
machine_set_acpi(struct machine *machine)
{
	machine->acpi = true;
}

/* Everything of the machine that is not memory, vCPU or device: chips, lines, clock. Machine
 * paused. */
int machine_save(struct machine *machine, struct record_writer *writer);
int machine_load(struct machine *machine, const struct record *group, struct why *why);

#endif
