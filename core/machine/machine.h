/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine: memory, vCPUs, bus, interrupt lines, the VM's clock, the I/O loop, the stop
 * condition and the end. It knows devices only as ranges on the bus and as two functions that pause
 * and resume them.
 *
 * Threads: the main thread is the I/O thread. It owns the machine, runs the loop, and pauses and
 * resumes the machine. Each vCPU has a thread. Any thread may end the machine or report that the
 * stop condition is hit: both set a flag, kick the vCPUs and wake the loop.
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "kvm/kvm.h"
#include "machine/bus.h"
#include "machine/clock.h"
#include "machine/debug.h"
#include "machine/deferral.h"
#include "machine/ioeventfd.h"
#include "machine/irq.h"
#include "machine/layout.h"
#include "machine/loop.h"
#include "machine/memory.h"
#include "machine/stop.h"
#include "machine/trace.h"
#include "machine/vcpu.h"
#include "machine/watchdog.h"

enum machine_state { MACHINE_PAUSED, MACHINE_RUNNING };

/* Why the machine ended. */
enum machine_cause {
	CAUSE_NONE,
	CAUSE_HLT,      /* every vCPU has halted, and no interrupt can wake it */
	CAUSE_EXIT,     /* the guest chose a status through a device; status: that one */
	CAUSE_SHUTDOWN, /* triple fault; status: the vCPU's index */
	CAUSE_INTERNAL, /* KVM internal error or failed entry; status: the vCPU's index */
	CAUSE_PANIC,
	CAUSE_STOP, /* the stop condition was hit */
	CAUSE_QUIT, /* the user's command */
	CAUSE_TIMEOUT,
	CAUSE_SIGNAL, /* status: the signal's number */
	CAUSE_ERROR,  /* minivmm failed and has logged why; status: enum status */
};

struct machine_end {
	enum machine_cause cause;
	uint64_t status; /* meaning: see enum machine_cause; else 0 */
};

/*
 * Why the machine is paused. Each reason has a count, and the machine resumes when all counts are
 * 0. So the end of a snapshot does not resume a machine that the user has paused.
 */
enum pause_reason {
	PAUSE_NOT_RUN,  /* not in machine_run */
	PAUSE_OPERATOR, /* the user's command */
	PAUSE_STOP,     /* the stop condition was hit; its handler runs */
	PAUSE_SNAPSHOT,
	PAUSE_RESET,
	PAUSE_BRANCH,
	PAUSE_TOOL,    /* a tool holds the machine, or a breakpoint of one was hit */
	PAUSE_INSPECT, /* a command, or the poll for halted vCPUs, reads state */
	PAUSE_REASONS,
};

/* Functions that pause and resume devices. Main thread, vCPUs stopped. 0 or a negative status. */
struct machine_devices {
	int (*pause)(void *context); /* returns when no request is in flight; may run the loop */
	int (*resume)(void *context);
	void *context;
};

/* Functions to call when the stop condition is hit. Main thread, machine paused. */
struct stop_handler {
	bool (*wait)(void *context); /* true: run the loop once and call wait again; or NULL */
	int (*hit)(void *context);   /* then called once; may end the machine. 0 or a negative
					status. Or NULL */
	void *context;
};

struct machine {
	struct kvm kvm;
	struct memory memory;
	struct made_files made; /* until it runs; undone if it never does */
	struct {                /* see dirty.h */
		bool on;
		uint64_t *log;     /* buffer for the log of one region */
		uint64_t *written; /* buffer of a poll: a bitmap of the image */
		struct dirty_watch *watches;
		uint64_t *guest; /* dirty_guest's bitmap; NULL: not recorded */
	} dirty;
	struct bus bus;
	struct deferrals deferrals;
	struct irqs irqs;
	struct vm_clock clock;
	struct loop loop;
	struct debug debug;
	struct ioeventfd *ioeventfds;
	struct {
		int epoll;      /* of all ioeventfds, only for ioeventfds_poll(); open if count */
		uint32_t count; /* ioeventfds */
	} ioeventfd_events;
	struct stop stop;    /* the stop condition; it is hit once */
	uint64_t stop_times; /* stop.times as it was set */
	struct stop_handler stop_handler;
	bool stop_new;          /* set since the last resume: it is not hit if it holds already */
	bool assign_ioeventfds; /* as ioeventfds_assign was called last */
	struct trace *trace;    /* NULL: none */
	struct machine_devices devices;
	struct watchdog watchdog;
	struct vcpu *vcpus;
	uint32_t vcpu_count;
	enum machine_state state;
	bool begun;           /* it has run */
	bool parking;         /* machine_pause waits for the vCPUs, and runs the loop */
	bool devices_pausing; /* devices.pause runs, and may run the loop */
	int pause_error;      /* of a pause that is not complete: 0 or a negative status */
	uint32_t pauses[PAUSE_REASONS];
	bool acpi; /* the guest has ACPI tables */
	struct loop_timer halt_timer, stop_timer;
	uint64_t halt_poll;  /* ns from the last poll for halted vCPUs to the next */
	uint32_t idle_vcpus; /* vCPUs without exit or computing between the last two */

	pthread_mutex_t lock; /* guards the members below, and stop's counts */
	pthread_cond_t changed;
	uint32_t parked;               /* number of vCPU threads in park() */
	atomic_bool may_run;           /* the run state; vCPUs read it without the lock as a hint */
	bool dying;                    /* vCPU threads must return */
	int (*job)(struct vcpu *vcpu); /* run_on_vcpus: each parked thread runs it once */
	uint64_t job_number;           /* counts jobs */
	uint32_t jobs_left;            /* number of threads that have yet to run it */
	atomic_bool stop_hit;
	struct machine_end end; /* the first cause stays */
};

/* The shape of a machine. The strings and descriptors stay the caller's. */
struct machine_layout {
	struct layout_range memory[MEMORY_REGIONS]; /* ends at the first of size 0 */
	/* The file that all ranges are mapped from, one after the other, as a shared mapping; NULL:
	 * anonymous memory. */
	const char *memory_file;
	/* The file that all ranges are mapped from, one after the other from image_offset (bytes),
	 * as a private mapping; -1: none. */
	int image_fd;
	uint64_t image_offset;
	/* The machine of the process that has forked this one, with the ranges above. Its private
	 * memory belongs to the new machine from here on, which also takes over what KVM has
	 * answered about the host. NULL: none. */
	const struct machine *inherited;
	uint32_t cpus;
	bool irqchip;
	bool track;     /* the dirty log is on from the start */
	bool dirty_log; /* so, and dirty_guest reports all pages that the guest writes */
	bool check;     /* to check a config: no KVM, no vCPU, no memory_file */
};
/* Creates memory, VM and vCPUs; no vCPU runs. 0 or a negative status; call machine_destroy in
 * either case. Main thread. */
int machine_create(struct machine *machine, const struct machine_layout *layout);
/* If it has never run, the files that its start has created are removed. */
void machine_destroy(struct machine *machine);
/* Ends the vCPUs' threads. The machine cannot run again. Main thread. */
void machine_join(struct machine *machine);

/* The vCPU with an index below vcpu_count. */
static inline struct vcpu *
machine_vcpu(const struct machine *machine, uint32_t index)
{
	return &machine->vcpus[index];
}

/* Registers the devices' pause and resume functions. Before machine_run. */
void machine_set_devices(struct machine *machine, const struct machine_devices *devices);
/* Writes every access to the trace, which stays the caller's. Before machine_run. */
void machine_set_trace(struct machine *machine, struct trace *trace);
/* Notes that the guest has ACPI tables. Before machine_run. */
void machine_set_acpi(struct machine *machine);

/*
 * Starts the vCPU threads and runs the loop until the machine ends. Returns 0 (machine->end holds
 * the cause) or a negative status. The machine is paused before and after. You may call it again
 * after a reset. Main thread.
 */
int machine_run(struct machine *machine);

/*
 * Pauses the machine and adds 1 to the count of the reason. Every vCPU stops with its access
 * complete, no device has a request in flight, and the clock and the kernel's timers stop. 0, or a
 * negative status: a device or KVM failed, and you must not save the state. The machine runs on if
 * the handler of an access did not return (machine_running); else the vCPUs are stopped. Call
 * machine_resume in either case. While it waits, it runs the loop without the outer sources: at
 * most 2 s, except at the machine's end and when the stop condition is hit, which cannot be
 * refused. Main thread, not from a callback of that nested loop.
 */
int machine_pause(struct machine *machine, enum pause_reason reason);
/*
 * Subtracts 1 from the count of the reason unless it is 0. The machine resumes when all counts are
 * 0, the stop condition is not hit, and the machine has not ended. 0, or a negative status, with
 * which the machine ends. Main thread.
 */
int machine_resume(struct machine *machine, enum pause_reason reason);
/* Whether the count of the reason is not 0. Main thread. */
bool machine_paused_for(const struct machine *machine, enum pause_reason reason);
/* Main thread. */
bool machine_running(const struct machine *machine);
/* Whether it is paused, and no pause is under way: registers can be read. Main thread. */
bool machine_settled(const struct machine *machine);

/*
 * The downtime of a pause in ns: from the time at which the first vCPU left the guest (not before
 * from) to the time at which the last one entered it (not before until). from and until are times
 * of clock_host. 0: unknown, because no vCPU has entered the guest, or one has left it again. The
 * main thread cannot measure this itself: a vCPU thread that it wakes may take its CPU. Main
 * thread.
 */
uint64_t machine_downtime(const struct machine *machine, uint64_t from, uint64_t until);

/*
 * Replaces the stop condition of a paused machine and its handler, and takes ownership of the
 * condition's strings. A condition that holds already is not hit: it must become true. Main thread.
 */
void machine_stop_set(struct machine *machine, const struct stop *stop,
		      const struct stop_handler *handler);
/* Removes the stop condition and its handler. Main thread, machine paused. */
void machine_stop_clear(struct machine *machine);
/* Compares a device's output with a STOP_OUTPUT condition. Any thread. */
void machine_output(struct machine *machine, const char *device, const uint8_t *bytes,
		    size_t length);
/* Reports that the stop condition is hit. The vCPUs stop with their accesses complete, and the main
 * thread runs the handler. Returns at once. Any thread. */
void machine_stop_hit(struct machine *machine);

/* Ends the machine. If it has ended already, the first cause stays. Returns at once. Any thread. */
void machine_end(struct machine *machine, enum machine_cause cause, uint64_t status);
/* Any thread. */
bool machine_ended(struct machine *machine);
/*
 * The list for an output that a start creates, see made_file.h. NULL if the machine has ended: it
 * was restored with its end, does not run, and its output is complete. Main thread.
 */
struct made_files *machine_made_outputs(struct machine *machine);
/* Whether a vCPU has executed anything since machine_run began. After machine_run. Main thread. */
bool machine_ran(const struct machine *machine);
/* "hlt", "exit"...: a constant string. */
const char *machine_cause_name(enum machine_cause cause);
/* Call it when a vCPU's halted becomes true. If all are halted, the machine ends, or STOP_HLT is
 * hit. Any thread. */
void machine_halted(struct machine *machine);

/* Whether KVM emulates the interrupt controllers and the PIT. */
static inline bool
machine_irqchip(const struct machine *machine)
{
	return machine->kvm.irqchip;
}

/* Sets the CPUID of all vCPUs to what the host supports. 0 or a negative status. Main thread,
 * before the first run. */
int machine_cpuid(struct machine *machine);
/* Sets *current to a callback that a vCPU's thread runs, unless it holds one or there is none.
 * Async-signal-safe. */
void machine_callback(const struct machine *machine, struct bus_current *current);
/* The number of exits, and of accesses, of all vCPUs. Any thread. */
uint64_t machine_exits(const struct machine *machine);
uint64_t machine_accesses(const struct machine *machine);

/*
 * Save and load the clock, the end, the interrupt lines and KVM's chips: all state except memory,
 * vCPUs and devices. load also makes the stop condition new, as machine_stop_set does. save: 0 or a
 * negative status; load: 0, or -1 with the reason in why. Main thread, machine paused.
 */
int machine_save(struct machine *machine, struct record_writer *writer);
int machine_load(struct machine *machine, const struct record *group, struct why *why);
/* Checks what machine_load loads by itself, without a machine: it has all items, their types and
 * ranges, and no others but more. 0, or -1 with the reason in why. */
int machine_valid(const struct record *group, bool irqchip, const char *more, struct why *why);
/* Checks that a group that is valid fits the lines of this machine. 0, or -1 with the reason. */
int machine_check(struct machine *machine, const struct record *group, struct why *why);
/* Advances the clock, kvm-clock and the TSCs of a paused machine by time (ns). Main thread. */
void machine_catch_up(struct machine *machine, uint64_t time);

#endif
