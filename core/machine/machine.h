/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine: memory, vCPUs, bus, interrupt lines, the VM's clock, the I/O loop, the stop
 * condition, and how it ends. It knows devices only as ranges on the bus and as two functions that
 * pause and resume them.
 *
 * Threads: the main thread is the I/O thread. It owns the machine, runs the loop, and alone pauses
 * and resumes it. Each vCPU has a thread. Any thread may end the machine or report that the stop
 * condition is hit: both set a flag, kick the vCPUs and wake the loop.
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "kvm/kvm.h"
#include "machine/bus.h"
#include "machine/clock.h"
#include "machine/ioeventfd.h"
#include "machine/irq.h"
#include "machine/layout.h"
#include "machine/loop.h"
#include "machine/memory.h"
#include "machine/stop.h"
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
	CAUSE_STOP, /* the stop condition was hit */
	CAUSE_QUIT, /* asked by a person */
	CAUSE_TIMEOUT,
	CAUSE_SIGNAL, /* status: the signal */
	CAUSE_ERROR,  /* our own trouble, said already; status: enum status */
};

struct machine_end {
	enum machine_cause cause;
	uint64_t status; /* CAUSE_EXIT: the guest's; else as above */
};

/*
 * Why the machine is paused. Each reason has a count: the machine runs again when all counts are 0,
 * so that an operator's pause outlasts a snapshot's, and the other way round.
 */
enum pause_reason {
	PAUSE_NOT_RUN,  /* outside of machine_run */
	PAUSE_OPERATOR, /* a person asked for it */
	PAUSE_STOP,     /* the stop condition was hit; its handler runs */
	PAUSE_SNAPSHOT,
	PAUSE_RESET,
	PAUSE_INSPECT, /* somebody reads registers or device state */
	PAUSE_REASONS,
};

/* What pauses and resumes the devices, on the main thread with the vCPUs stopped. 0 or a negative
 * status. */
struct machine_devices {
	int (*pause)(void *context); /* no request is in flight afterwards; may run the loop */
	int (*resume)(void *context);
	void *context;
};

/* What happens when the stop condition is hit. Main thread, machine paused. */
struct stop_handler {
	bool (*wait)(void *context); /* true: not yet, run the loop and ask again. NULL: never */
	int (*hit)(void *context);   /* may end the machine; 0 or a negative status */
	void *context;
};

struct machine {
	struct kvm kvm;
	struct memory memory;
	struct { /* see dirty.h */
		bool on;
		uint64_t *log;     /* room for a region's */
		uint64_t *written; /* room for what a poll finds, of the image */
		struct dirty_watch *watches;
		uint64_t *guest; /* all pages that the guest wrote; NULL: not recorded */
	} dirty;
	struct bus bus;
	struct irqs irqs;
	struct vm_clock clock;
	struct loop loop;
	struct ioeventfd *ioeventfds;
	struct stop stop; /* the stop condition: hit once */
	struct stop_handler stop_handler;
	bool stop_new;       /* just set: a condition that holds already is not hit */
	struct trace *trace; /* NULL: none */
	struct machine_devices devices;
	struct vcpu *vcpus;
	uint32_t vcpu_count;
	enum machine_state state;
	uint32_t pauses[PAUSE_REASONS];
	bool acpi; /* the guest has ACPI tables */
	struct loop_timer halt_timer, stop_timer;
	uint64_t halt_poll;  /* ns between the last poll for halted vCPUs and the next */
	uint32_t idle_vcpus; /* vCPUs that did nothing between the last two polls */

	pthread_mutex_t lock; /* guards the members below, and stop's counts */
	pthread_cond_t changed;
	uint32_t parked;               /* vCPU threads that wait */
	atomic_bool may_run;           /* vCPUs may run; read without the lock as a hint */
	bool dying;                    /* vCPU threads return */
	int (*job)(struct vcpu *vcpu); /* run_on_vcpus: what each parked thread runs */
	uint64_t job_number;           /* counts jobs */
	uint32_t jobs_left;            /* threads that have not run it yet */
	atomic_bool stop_hit;
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
	bool track; /* the dirty log is on from the start */
	bool
	    dirty_log; /* the same, and all pages that the guest writes are recorded for a report */
	bool check;    /* to check a config: no KVM, no vCPU, no memory_file */
};
int machine_create(struct machine *machine, const struct machine_layout *layout);
void machine_destroy(struct machine *machine);
/* Ends the vCPUs' threads, as destroy does; the machine can't run again. */
void machine_join(struct machine *machine);

/* One of the machine's vcpu_count vCPUs. */
static inline struct vcpu *
machine_vcpu(const struct machine *machine, uint32_t index)
{
	return &machine->vcpus[index];
}

/* Registers the devices' pause and resume functions. Before machine_run. */
void machine_set_devices(struct machine *machine, const struct machine_devices *devices);
/* Records every access in the trace, which stays the caller's. Before machine_run. */
void machine_set_trace(struct machine *machine, struct trace *trace);
/* The guest has been given ACPI tables. */
void machine_set_acpi(struct machine *machine);

/*
 * Runs the loop until the machine ends; vCPU threads start here. Returns 0 (the cause is in
 * machine->end) or a negative status. The machine is paused before and after. May be called again
 * after a reset.
 */
int machine_run(struct machine *machine);

/*
 * Pauses the machine and counts the reason: every vCPU stops with its access complete, devices have
 * no request in flight, the clock and the kernel's timers stand still. Main thread. 0 or a negative
 * status: a device or KVM failed; the vCPUs stand still, but the state must not be saved. Resume in
 * either case.
 */
int machine_pause(struct machine *machine, enum pause_reason reason);
/*
 * Takes back one pause with this reason, if there is one. The machine runs again when no reason is
 * left, the stop condition is not hit, and it has not ended. 0, or a negative status, with which
 * the machine ends.
 */
int machine_resume(struct machine *machine, enum pause_reason reason);
/* Is there a pause with this reason? */
bool machine_paused_for(const struct machine *machine, enum pause_reason reason);
bool machine_running(const struct machine *machine);

/*
 * How long (ns) the vCPUs stood still in a pause: from the first one's leaving its guest, not
 * before from, to the last one's entering it, not before until (both of clock_host). 0: not known,
 * because none has entered, or one has stopped again. The main thread's own clock would be wrong: a
 * vCPU that it wakes may take its CPU. Main thread.
 */
uint64_t machine_downtime(const struct machine *machine, uint64_t from, uint64_t until);

/*
 * Sets the stop condition of a paused machine and its handler; the condition's strings are the
 * machine's from here on. A condition that holds already is not hit: it must become true.
 * machine_stop_clear removes it.
 */
void machine_stop_set(struct machine *machine, const struct stop *stop,
		      const struct stop_handler *handler);
void machine_stop_clear(struct machine *machine);
/* A device's output, for a condition that waits for it. Any thread. */
void machine_output(struct machine *machine, const char *device, const uint8_t *bytes,
		    size_t length);
/* The stop condition is hit: vCPUs stop with their accesses complete. Any thread, returns at once.
 */
void machine_stop_hit(struct machine *machine);

/* Ends the machine; the first cause stays. Any thread, returns at once. */
void machine_end(struct machine *machine, enum machine_cause cause, uint64_t status);
bool machine_ended(struct machine *machine);
const char *machine_cause_name(enum machine_cause cause);
/* A vCPU has halted, and no interrupt can wake it. On its thread. */
void machine_halted(struct machine *machine);

/* Are the interrupt controllers and the PIT in the kernel? */
static inline bool
machine_irqchip(const struct machine *machine)
{
	return machine->kvm.irqchip;
}

/* Gives the fresh vCPUs the host's CPUID. Main thread, before the first run. */
int machine_cpuid(struct machine *machine);
/* A callback that a vCPU's thread is in; unchanged if there is none. For a signal handler. */
void machine_callback(const struct machine *machine, struct bus_current *current);
/* Exits and accesses of all vCPUs. Any thread. */
uint64_t machine_exits(const struct machine *machine);
uint64_t machine_accesses(const struct machine *machine);

/*
 * All state of the machine except memory, vCPUs and devices: chips, lines, clock. Machine paused.
 * load also sets the stop condition again, as machine_stop_set does.
 */
int machine_save(struct machine *machine, struct record_writer *writer);
int machine_load(struct machine *machine, const struct record *group, struct why *why);
/* Lets time (ns) pass for a paused machine: its clock, kvm-clock and TSCs. */
void machine_catch_up(struct machine *machine, uint64_t time);

#endif
