/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt lines: who raises which, and telling KVM when a line changes. */
#include "machine/irq.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mutant.h"

int
irqs_init(struct irqs *irqs, struct kvm *kvm)
{
	*irqs = (struct irqs){ .kvm = kvm };
	return pthread_mutex_init(&irqs->lock, NULL) ? fail(STATUS_HOST, "no mutex") : 0;
}

void
irqs_free(struct irqs *irqs)
{
	for (size_t i = 0; i < irqs->count; i++)
		free(irqs->sources[i].owner);
	free(irqs->sources);
	pthread_mutex_destroy(&irqs->lock);
}

/* A source that is active low drives the wire low when raised; the levels kept here are the wire's. */
static bool
wire(const struct irq_source *source, bool up)
{
	return up != source->active_low;
}

int
irqs_add(struct irqs *irqs, uint32_t line, bool edge, bool active_low, const char *where,
	 const char *owner)
{
	struct irq_source *sources;

	for (size_t i = 0; i < irqs->count; i++)
		if (irqs->sources[i].line == line &&
		    (irqs->sources[i].edge || edge || irqs->sources[i].active_low != active_low))
			return fail(STATUS_USAGE,
				    "%s: %s and %s can't share line %u: only level-triggered "
				    "lines of one polarity are shared",
				    where, irqs->sources[i].owner, owner, line);
	sources = realloc(irqs->sources, (irqs->count + 1) * sizeof(*sources));
	if (!sources)
		return fail(STATUS_HOST, "no memory for %s", owner);
	irqs->sources = sources;
	sources[irqs->count] = (struct irq_source){
		.line = line,
		.edge = edge,
		.active_low = active_low,
		.owner = strdup(owner),
	};
	if (!sources[irqs->count].owner)
		return fail(STATUS_HOST, "no memory for %s", owner);
	return (int)++irqs->count;
}

/* With the lock held. Sources of one line agree on its polarity, so that its resting level is well-defined. */
static void
set(struct irqs *irqs, struct irq_source *source, bool up)
{
	if (source->up == up)
		return;
	source->up = up;
	irqs->raised[source->line] += up ? 1u : -1u;
	if (irqs->raised[source->line] != (up ? 1 : 0))
		return;
	if (irqs->held)
		irqs->seen[source->line] |= up;
	else
		kvm_irq_line(irqs->kvm, source->line, wire(source, up));
}

void
irqs_hold(struct irqs *irqs)
{
	pthread_mutex_lock(&irqs->lock);
	for (size_t i = 0; i < IRQ_LINES && !irqs->held; i++) {
		irqs->known[i] = irqs->raised[i];
		irqs->seen[i] = false;
	}
	irqs->held = true;
	pthread_mutex_unlock(&irqs->lock);
}

void
irqs_release(struct irqs *irqs)
{
	pthread_mutex_lock(&irqs->lock);
	for (size_t i = 0; i < irqs->count && irqs->held; i++) {
		const struct irq_source *source = &irqs->sources[i];
		uint32_t line = source->line;
		bool up = irqs->raised[line];

		/* A rise that has gone again is an edge. */
		if (irqs->seen[line] && !irqs->known[line])
			kvm_irq_line(irqs->kvm, line, wire(source, irqs->known[line] = true));
		if (irqs->known[line] != up)
			kvm_irq_line(irqs->kvm, line, wire(source, irqs->known[line] = up));
		irqs->seen[line] = false;
	}
	irqs->held = false;
	pthread_mutex_unlock(&irqs->lock);
}

void
irqs_set(struct irqs *irqs, uint32_t handle, bool up)
{
	if (!handle || handle > irqs->count)
		return;
	pthread_mutex_lock(&irqs->lock);
	set(irqs, &irqs->sources[handle - 1], up);
	pthread_mutex_unlock(&irqs->lock);
}

void
irqs_pulse(struct irqs *irqs, uint32_t handle)
{
	if (!handle || handle > irqs->count)
		return;
	pthread_mutex_lock(&irqs->lock);
	set(irqs, &irqs->sources[handle - 1], true);
	set(irqs, &irqs->sources[handle - 1], false);
	pthread_mutex_unlock(&irqs->lock);
}

void
irqs_rest(struct irqs *irqs)
{
	for (size_t i = 0; i < irqs->count; i++)
		if (irqs->sources[i].active_low && !irqs->raised[irqs->sources[i].line])
			kvm_irq_line(irqs->kvm, irqs->sources[i].line, true);
}

void
irqs_save(struct irqs *irqs, struct record_writer *writer)
{
	for (size_t i = 0; i < irqs->count; i++)
		record_put_bool(writer, irqs->sources[i].owner, irqs->sources[i].up);
}

int
irqs_load(struct irqs *irqs, const struct record *group, char *why, size_t why_size)
{
	struct record item;

	irqs_release(irqs);
	for (size_t i = 0; i < irqs->count; i++) {
		if (!record_find(group, irqs->sources[i].owner, &item) ||
		    item.type != RECORD_BOOL || item.array) {
			snprintf(why, why_size, "the level of line %s is missing",
				 irqs->sources[i].owner);
			return -1;
		}
		if (!mutant("line", irqs->sources[i].owner))
			set(irqs, &irqs->sources[i], record_number(&item, 0));
	}
	return 0;
}
