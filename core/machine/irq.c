/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt lines: levels of the sources, and KVM_IRQ_LINE on changes. */
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

/* The source that cannot share the line with another; NULL: none. */
static const struct irq_source *
opponent(const struct irqs *irqs, uint32_t line, bool edge, bool active_low)
{
	for (size_t i = 0; i < irqs->count; i++)
		if (irqs->sources[i].line == line &&
		    (irqs->sources[i].edge || edge || irqs->sources[i].active_low != active_low))
			return &irqs->sources[i];
	return NULL;
}

bool
irqs_has_place(const struct irqs *irqs, uint32_t line, bool active_low)
{
	return !opponent(irqs, line, false, active_low);
}

int
irqs_add(struct irqs *irqs, uint32_t line, bool edge, bool active_low, const char *where,
	 const char *owner)
{
	const struct irq_source *other = opponent(irqs, line, edge, active_low);
	struct irq_source *sources;

	if (other)
		return fail(STATUS_USAGE,
			    "%s: %s and %s cannot share line %u: only level-triggered sources of "
			    "the same polarity can; use another line",
			    where, other->owner, owner, line);
	/* Each is an item of a group in the snapshot; "waiting" is one, too. */
	if (!record_name(owner))
		return fail(STATUS_USAGE,
			    "%s: %s is too long for a snapshot: at most %d characters; shorten "
			    "the name of the device or of the option",
			    where, owner, UINT8_MAX);
	if (irqs->count + 1 == RECORD_ITEMS)
		return fail(STATUS_USAGE,
			    "%s: %s is one interrupt source too many for a snapshot: at most %u; "
			    "use none for some, or fewer devices",
			    where, owner, RECORD_ITEMS - 1);
	sources = realloc(irqs->sources, (irqs->count + 1) * sizeof(*sources));
	if (!sources)
		return fail_memory("%s", owner);
	irqs->sources = sources;
	sources[irqs->count] = (struct irq_source){
		.line = line,
		.edge = edge,
		.active_low = active_low,
		.owner = strdup(owner),
	};
	if (!sources[irqs->count].owner)
		return fail_memory("%s", owner);
	return (int)++irqs->count;
}

/* Sets the line in KVM unless it is set already. KVM ignores the polarity in the IOAPIC's entries:
 * 1 asserts the line, also one that is active low. */
static void
set_line(struct irqs *irqs, const struct irq_source *source, bool up)
{
	uint32_t bit = 1u << source->line;

	if (!(irqs->asserted & bit) == !up)
		return;
	irqs->asserted ^= bit;
	kvm_irq_line(irqs->kvm, source->line, up);
}

/* With the lock held. */
static void
set(struct irqs *irqs, struct irq_source *source, bool up)
{
	if (source->up == up)
		return;
	source->up = up;
	irqs->raised[source->line] += up ? 1u : -1u;
	if (!irqs->deferring)
		set_line(irqs, source, irqs->raised[source->line]);
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
	struct irq_source *source;

	if (!handle || handle > irqs->count)
		return;
	pthread_mutex_lock(&irqs->lock);
	source = &irqs->sources[handle - 1];
	if (irqs->deferring && source->edge)
		irqs->pending |= 1u << source->line;
	set(irqs, source, true);
	set(irqs, source, false);
	pthread_mutex_unlock(&irqs->lock);
}

bool
irqs_message(struct irqs *irqs, uint64_t address, uint32_t data)
{
	bool now;

	pthread_mutex_lock(&irqs->lock);
	now = !irqs->deferring;
	if (now)
		kvm_message(irqs->kvm, address, data);
	pthread_mutex_unlock(&irqs->lock);
	return now;
}

void
irqs_defer(struct irqs *irqs, bool defer)
{
	pthread_mutex_lock(&irqs->lock);
	irqs->deferring = defer;
	for (size_t i = 0; i < irqs->count && !defer; i++) {
		const struct irq_source *source = &irqs->sources[i];
		uint32_t bit = 1u << source->line;

		if (irqs->pending & bit) {
			set_line(irqs, source, true);
			set_line(irqs, source, false);
			irqs->pending &= ~bit;
		}
		set_line(irqs, source, irqs->raised[source->line]);
	}
	pthread_mutex_unlock(&irqs->lock);
}

/* The lines with deferred changes: edges and levels. */
static uint32_t
deferred(const struct irqs *irqs)
{
	uint32_t lines = irqs->pending;

	for (uint32_t line = 0; line < IRQ_LINES; line++)
		if (!irqs->raised[line] != !(irqs->asserted >> line & 1))
			lines |= 1u << line;
	return lines;
}

void
irqs_save(struct irqs *irqs, struct record_writer *writer)
{
	record_known_names(writer, true); /* DEVICE.OPTION */
	for (size_t i = 0; i < irqs->count; i++)
		record_put_bool(writer, irqs->sources[i].owner, irqs->sources[i].up);
	if (deferred(irqs))
		record_put_u32(writer, "waiting", deferred(irqs));
	record_known_names(writer, false);
}

size_t
irqs_state_size(const struct irqs *irqs)
{
	size_t sum = RECORD_HEADER(sizeof("waiting")) + sizeof(uint32_t);

	for (size_t i = 0; i < irqs->count; i++)
		sum += RECORD_HEADER(strlen(irqs->sources[i].owner)) + 1;
	return sum;
}

static bool
is_line(const struct irqs *irqs, const struct record *item)
{
	for (size_t i = 0; i < irqs->count; i++)
		if (record_is(item, irqs->sources[i].owner))
			return item->type == RECORD_BOOL && !item->array;
	/* The deferred changes. It cannot be an owner's: owners contain a dot. */
	return record_is(item, "waiting") && item->type == RECORD_U32 && !item->array;
}

static bool
find_source(struct record_lookup *lookup, const struct irq_source *source, struct record *item)
{
	return record_lookup_find(lookup, source->owner, strlen(source->owner), item);
}

int
irqs_check(const struct irqs *irqs, const struct record *group, struct why *why)
{
	struct record_lookup lookup;
	const char *missing = NULL;
	size_t position = 0;
	struct record item;

	record_lookup_open(&lookup, group);
	for (size_t i = 0; i < irqs->count && !missing; i++)
		if (!find_source(&lookup, &irqs->sources[i], &item))
			missing = irqs->sources[i].owner;
	record_lookup_close(&lookup);
	if (missing)
		return why_set(why, "the level of line %s is missing", missing);
	while (record_next(group, &position, &item))
		if (!is_line(irqs, &item))
			return why_set(why, "line %.*s is unknown or has the wrong type",
				       item.name_length, item.name);
	return 0;
}

void
irqs_load(struct irqs *irqs, const struct record *group)
{
	struct record_lookup lookup;
	uint64_t pending = 0;
	struct record item;

	record_get_u64(group, "waiting", &pending);
	irqs->deferring = true;
	irqs->pending = 0;
	record_lookup_open(&lookup, group);
	for (size_t i = 0; i < irqs->count; i++) {
		struct irq_source *source = &irqs->sources[i];

		if (find_source(&lookup, source, &item) && !mutant("line", source->owner))
			set(irqs, source, record_number(&item, 0));
	}
	record_lookup_close(&lookup);
	for (size_t i = 0; i < irqs->count; i++) {
		const struct irq_source *source = &irqs->sources[i];
		bool up = irqs->raised[source->line], was_deferred = pending >> source->line & 1;

		set_line(irqs, source, source->edge ? up : up != was_deferred);
		if (was_deferred && source->edge)
			irqs->pending |= 1u << source->line;
	}
}
