/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds and destroys a machine, and ends it. */
#include "machine/machine.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "machine/dirty.h"
#include "machine/halt.h"
#include "machine/machine_run.h"

/* Adds a range of memory after the existing ones. whole: bytes of all ranges. */
static int
add_memory(struct machine *m, const struct machine_layout *layout, const struct layout_range *piece,
	   uint64_t whole)
{
	uint64_t offset = m->memory.size;

	if (layout->check)
		return memory_add(&m->memory, piece->at, piece->size);
	if (layout->inherited)
		return memory_add_inherited(
		    &m->memory, memory_region_at(&layout->inherited->memory, m->memory.count));
	if (layout->image_fd >= 0)
		return memory_add_private(&m->memory, piece->at, piece->size, layout->image_fd,
					  layout->image_offset + offset);
	if (layout->memory_file)
		return memory_add_file(&m->memory, piece->at, piece->size, layout->memory_file,
				       offset, whole, &m->made);
	return memory_add(&m->memory, piece->at, piece->size);
}

static int
create_memory(struct machine *m, const struct machine_layout *layout)
{
	const struct layout_range *pieces = layout->memory;
	uint64_t whole = 0;
	int r = 0;

	for (uint32_t i = 0; i < MEMORY_REGIONS && pieces[i].size; i++)
		whole += pieces[i].size;
	for (uint32_t i = 0; i < MEMORY_REGIONS && pieces[i].size && !r; i++)
		r = add_memory(m, layout, &pieces[i], whole);
	if (r || layout->check)
		return r;
	for (uint32_t i = 0; i < m->memory.count && !r; i++) {
		const struct memory_region *region = &m->memory.regions[i];

		r = kvm_memory(&m->kvm, i, region->gpa, region->size, region->host,
			       layout->track || layout->dirty_log);
	}
	m->dirty.on = layout->track || layout->dirty_log;
	if (!r && layout->dirty_log) {
		m->dirty.guest = calloc(memory_words(&m->memory), sizeof(*m->dirty.guest));
		r = m->dirty.guest ? dirty_start(m) : fail_memory("a bitmap of guest memory");
	}
	return r;
}

static void
stop_time_up(struct loop_timer *timer, uint64_t periods)
{
	struct machine *m = timer->context;

	if (m->stop.kind == STOP_TIME)
		machine_stop_hit(m);
}

int
machine_create(struct machine *m, const struct machine_layout *layout)
{
	const struct sigaction action = { .sa_handler = retry_signal };
	int r;

	*m = (struct machine){ .kvm = { .fd = -1, .vm = -1 } };
	m->pauses[PAUSE_NOT_RUN] = 1;
	halt_init(m);
	m->stop_timer = (struct loop_timer){ .fire = stop_time_up, .context = m };
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	sigaction(KVM_SIGNAL, &action, NULL);
	r = loop_init(&m->loop, &m->clock);
	if (!r)
		r = irqs_init(&m->irqs, &m->kvm);
	if (!r && !layout->check)
		r = layout->inherited ? kvm_open_inherited(&m->kvm, &layout->inherited->kvm)
				      : kvm_open(&m->kvm);
	if (!r && !layout->check)
		kvm_set_tss(&m->kvm, LAYOUT_KVM_TSS);
	if (!r)
		r = create_memory(m, layout);
	m->kvm.irqchip = layout->irqchip;
	m->kvm.cpus = layout->cpus;
	if (r || layout->check)
		return r;
	if (layout->irqchip)
		r = kvm_irqchip(&m->kvm);
	m->vcpus = aligned_alloc(64, layout->cpus * sizeof(*m->vcpus));
	if (!m->vcpus || deferrals_init(&m->deferrals, layout->cpus))
		return fail_memory("%u vCPUs", layout->cpus);
	memset(m->vcpus, 0, layout->cpus * sizeof(*m->vcpus));
	for (uint32_t i = 0; i < layout->cpus && !r; i++, m->vcpu_count++) {
		m->vcpus[i].machine = m;
		r = kvm_vcpu_open(&m->vcpus[i].kvm, &m->kvm, i);
	}
	if (!r) {
		loop_timer_add(&m->loop, &m->halt_timer);
		loop_timer_add(&m->loop, &m->stop_timer);
	}
	return r;
}

void
machine_join(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	m->dying = true;
	m->may_run = false;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	if (m->vcpu_count)
		deferrals_cancel(&m->deferrals, true);
	for (uint32_t i = 0; i < m->vcpu_count; i++)
		if (m->vcpus[i].started) {
			vcpu_kick(&m->vcpus[i]);
			pthread_join(m->vcpus[i].thread, NULL);
			m->vcpus[i].started = false;
		}
}

void
machine_destroy(struct machine *m)
{
	machine_join(m);
	for (uint32_t i = 0; i < m->vcpu_count; i++)
		kvm_vcpu_close(&m->vcpus[i].kvm);
	m->vcpu_count = 0; /* for a signal handler that calls machine_callback */
	free(m->vcpus);
	bus_free(&m->bus);
	deferrals_free(&m->deferrals);
	irqs_free(&m->irqs);
	kvm_close(&m->kvm);
	dirty_free(m);
	memory_free(&m->memory);
	if (!m->begun) /* nobody has the files open or mapped now */
		made_files_undo(&m->made);
	made_files_end(&m->made);
	debug_free(m);
	loop_free(&m->loop);
	stop_free(&m->stop);
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
}

void
machine_kick(struct machine *m)
{
	for (uint32_t i = 0; i < m->vcpu_count; i++)
		vcpu_kick(&m->vcpus[i]);
}

void
machine_end(struct machine *m, enum machine_cause cause, uint64_t status)
{
	pthread_mutex_lock(&m->lock);
	if (!m->end.cause)
		m->end = (struct machine_end){ .cause = cause, .status = status };
	m->may_run = false;
	/* The end comes first, as in exit_shutdown(): a snapshot there contains it. */
	if (cause == CAUSE_PANIC && m->stop.kind == STOP_PANIC && !m->stop_hit)
		m->stop_hit = stop_count(&m->stop);
	pthread_mutex_unlock(&m->lock);
	if (m->trace && (cause == CAUSE_QUIT || cause == CAUSE_SIGNAL || cause == CAUSE_TIMEOUT))
		trace_end(m->trace);
	machine_kick(m);
	loop_wake(&m->loop);
}

struct made_files *
machine_made_outputs(struct machine *m)
{
	return machine_ended(m) ? NULL : &m->made;
}

bool
machine_ran(const struct machine *m)
{
	bool ran = false;

	for (uint32_t i = 0; i < m->vcpu_count; i++)
		ran |= m->vcpus[i].ran;
	return ran;
}

bool
machine_ended(struct machine *m)
{
	bool ended;

	pthread_mutex_lock(&m->lock);
	ended = m->end.cause != CAUSE_NONE;
	pthread_mutex_unlock(&m->lock);
	return ended;
}

void
machine_set_devices(struct machine *m, const struct machine_devices *devices)
{
	m->devices = *devices;
}

void
machine_set_trace(struct machine *m, struct trace *trace)
{
	m->trace = trace;
}

void
machine_set_acpi(struct machine *m)
{
	m->acpi = true;
}

int
machine_cpuid(struct machine *m)
{
	int r = 0;

	for (uint32_t i = 0; i < m->vcpu_count && !r; i++)
		r = kvm_vcpu_cpuid(&m->vcpus[i].kvm);
	return r;
}

void
machine_callback(const struct machine *m, struct bus_current *current)
{
	for (uint32_t i = 0; !current->callback && i < m->vcpu_count; i++)
		if (m->vcpus[i].current)
			bus_look(m->vcpus[i].current, current);
}

uint64_t
machine_exits(const struct machine *m)
{
	uint64_t exits = 0;

	for (uint32_t i = 0; i < m->vcpu_count; i++)
		exits += vcpu_exits(&m->vcpus[i]);
	return exits;
}

uint64_t
machine_accesses(const struct machine *m)
{
	uint64_t accesses = 0;

	for (uint32_t i = 0; i < m->vcpu_count; i++)
		accesses += m->vcpus[i].accesses;
	return accesses;
}

const char *
machine_cause_name(enum machine_cause cause)
{
	static const char *const names[] = {
		[CAUSE_NONE] = "none",         [CAUSE_HLT] = "hlt",
		[CAUSE_EXIT] = "exit",         [CAUSE_SHUTDOWN] = "shutdown",
		[CAUSE_INTERNAL] = "internal", [CAUSE_PANIC] = "panic",
		[CAUSE_STOP] = "point",        [CAUSE_QUIT] = "quit",
		[CAUSE_TIMEOUT] = "timeout",   [CAUSE_SIGNAL] = "signal",
		[CAUSE_ERROR] = "error",
	};

	return names[cause];
}
