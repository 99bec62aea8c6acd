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
#include "base/why.h"
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
	bool deferring;
	uint32_t asserted; /* lines that KVM knows to be up, a bit each; others than raised only
			  while held */
	uint32_t pending;  /* lines with an edge that KVM has yet to be told of */
};

int irqs_init(struct irqs *irqs, struct kvm *kvm);
void irqs_free(struct irqs *irqs);

/* where: "x.ini:3", put before errors. Returns the source's handle, from 1; or a negative status:
 * no irqchip, no such line, edge and level on one line. */
int irqs_add(struct irqs *irqs, uint32_t line, bool edge, bool active_low, const char *where,
	     const char *owner);

/* The source of a handle; NULL of handle 0. Until the next is added. */
static inline const struct irq_source *
irqs_source(const struct irqs *irqs, uint32_t handle)
{
	return handle ? &irqs->sources[handle - 1] : NULL;
}

/* Any thread. handle 0 does nothing. A repeated level is not told to KVM. */
void irqs_set(struct irqs *irqs, uint32_t handle, bool up);
void irqs_pulse(struct irqs *irqs, uint32_t handle);

/*
 * While held, changes wait: what KVM is told while its vCPUs' LAPICs are put aside (kvm_stop to
 * kvm_go) would be lost with them. Let go, it is told.
 */
void irqs_defer(struct irqs *irqs, bool defer);

/* Lines that rest high are put there; once, before the vCPUs run or the levels are loaded. */
void irqs_set_idle(struct irqs *irqs);

/* Levels by owner, and what waits. Load raises in KVM what it knew to be up, before the chips are
 * loaded. */
void irqs_save(struct irqs *irqs, struct record_writer *writer);
int irqs_load(struct irqs *irqs, const struct record *group, struct why *why);

#endif
