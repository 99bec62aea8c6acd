/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt lines: levels belong to the core, which ORs those who share a line and tells KVM of
 * changes only. */
#ifndef MACHINE_IRQ_H
#define MACHINE_IRQ_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/record.h"
#include "kvm/kvm.h"

#define IRQ_LINES 24 /* of the IOAPIC */

/* One who may raise a line. */
struct irq_source {
	uint32_t line;
	bool up, edge, active_low;
	char *owner; /* "serial0.irq"; ours */
};

struct irqs {
	struct kvm *kvm;
	pthread_mutex_t lock;
	struct irq_source *sources;
	size_t count;
	uint32_t raised[IRQ_LINES]; /* sources that are up */
	/* While held: what KVM knows of, and what has been up meanwhile. */
	bool held, known[IRQ_LINES], seen[IRQ_LINES];
};

int irqs_init(struct irqs *irqs, struct kvm *kvm);
void irqs_free(struct irqs *irqs);

/* where: "x.ini:3", put before errors. Returns the source's handle, from 1; or a negative status: no irqchip, no such line, edge and
 * level on one line. */
int irqs_add(struct irqs *irqs, uint32_t line, bool edge, bool active_low, const char *where,
	     const char *owner);

/* Any thread. handle 0 does nothing. A repeated level is not told to KVM. */
void irqs_set(struct irqs *irqs, uint32_t handle, bool up);
void irqs_pulse(struct irqs *irqs, uint32_t handle);

/*
 * Between a load and the time when vCPUs run, devices start and may raise lines. KVM hears of that once the LAPICs have
 * been put to what they were when the machine stopped, which would forget it. Both may be repeated.
 */
void irqs_hold(struct irqs *irqs);
void irqs_release(struct irqs *irqs);

/* Lines that rest high are put there; once, before the vCPUs run or the levels are loaded. */
void irqs_rest(struct irqs *irqs);

/* Levels by owner. Load raises in KVM what is up: before the chips are loaded. */
void irqs_save(struct irqs *irqs, struct record_writer *writer);
int irqs_load(struct irqs *irqs, const struct record *group, char *why, size_t why_size);

#endif
