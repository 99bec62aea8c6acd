/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt lines. The core keeps the level of each source, ORs the sources that share a line, and
 * passes only changes to KVM. */
#ifndef MACHINE_IRQ_H
#define MACHINE_IRQ_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/record.h"
#include "base/why.h"
#include "kvm/kvm.h"

#define IRQ_LINES 24 /* pins of the IOAPIC */

/* One source of interrupts: a device's IRQ option. */
struct irq_source {
	uint32_t line;
	bool up, edge, active_low;
	char *owner; /* "serial0.irq"; owned */
};

struct irqs {
	struct kvm *kvm;
	pthread_mutex_t lock; /* guards the members below */
	struct irq_source *sources;
	size_t count;
	uint32_t raised[IRQ_LINES]; /* number of sources that are up */
	bool deferring;
	/* One bit per line: asserted in KVM. Agrees with raised unless deferring. */
	uint32_t asserted;
	uint32_t pending; /* one bit per line: a deferred edge */
};

/* 0 or a negative status. kvm stays the caller's. */
int irqs_init(struct irqs *irqs, struct kvm *kvm);
void irqs_free(struct irqs *irqs);

/* Adds a source; line is below IRQ_LINES. where ("x.ini:3") begins error messages. Returns the
 * source's handle, from 1, or a negative status: sources of different trigger mode or polarity
 * share the line, there are more than a snapshot can hold, or no memory. Main thread. */
int irqs_add(struct irqs *irqs, uint32_t line, bool edge, bool active_low, const char *where,
	     const char *owner);

/* Whether irqs_add takes a level-triggered source of this polarity at this line. */
bool irqs_has_place(const struct irqs *irqs, uint32_t line, bool active_low);

/* The source of a handle; NULL for handle 0. Valid until the next irqs_add. */
static inline const struct irq_source *
irqs_source(const struct irqs *irqs, uint32_t handle)
{
	return handle ? &irqs->sources[handle - 1] : NULL;
}

/* Sets the level of a source. Handle 0 has no effect. Any thread. */
void irqs_set(struct irqs *irqs, uint32_t handle, bool up);
/* Raises and lowers a source. Handle 0 has no effect. Any thread. */
void irqs_pulse(struct irqs *irqs, uint32_t handle);

/* Delivers a message-signalled interrupt. False: interrupts are deferred now; it is not delivered,
 * and the caller keeps it. Any thread. */
bool irqs_message(struct irqs *irqs, uint64_t address, uint32_t data);

/*
 * defer true: KVM gets no changes. kvm_resume restores the LAPICs as of kvm_stop, so an interrupt
 * in between would be lost. defer false: KVM gets the deferred changes. Main thread.
 */
void irqs_defer(struct irqs *irqs, bool defer);

/* Saves the levels by owner, and the deferred changes. */
void irqs_save(struct irqs *irqs, struct record_writer *writer);
/* Returns at least the bytes that irqs_save() writes. */
size_t irqs_state_size(const struct irqs *irqs);
/* Checks that a group has the levels of these lines and nothing else. 0, or -1 with the reason in
 * why. */
int irqs_check(const struct irqs *irqs, const struct record *group, struct why *why);
/* Loads a group that irqs_check has accepted, and leaves changes deferred. Raises the lines in KVM
 * that were asserted when the state was saved; so call it before the interrupt controllers are
 * loaded. */
void irqs_load(struct irqs *irqs, const struct record *group);

#endif
