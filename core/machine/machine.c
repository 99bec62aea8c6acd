/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine as a whole: building it, running it, stopping and resuming it. */
#include "machine/machine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mutant.h"
#include "machine/dirty.h"

#define LOOK_FIRST 20000000ull /* ns until vCPUs that halted for good are looked for */
#define LOOK_LONGEST (16 * LOOK_FIRST)
#define COMPUTES 16              /* who runs for this part of the time is not halted */
#define TIME_MAX (INT64_MAX / 2) /* ns; timers end at INT64_MAX, which is never reached */

static void
kicked(int signal)
{
	/* ends KVM_RUN by being there */
}

/* A piece of memory, behind those that there are. */
static int
add_memory(struct machine *m, const struct machine_layout *layout, const struct layout_range *piece,
	   uint64_t whole)
{
	uint64_t offset = m->memory.size;

	if (layout->check)
		return memory_add(&m->memory, piece->at, piece->size);
	if (layout->image_fd >= 0)
		return memory_add_private(&m->memory, piece->at, piece->size, layout->image_fd,
					  layout->image_offset + offset);
	if (layout->memory_file)
		return memory_add_file(&m->memory, piece->at, piece->size, layout->memory_file,
				       offset, whole);
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
		r = m->dirty.guest ? dirty_start(m)
				   : fail(STATUS_HOST, "no memory for a bitmap of guest memory");
	}
	return r;
}

/*
 * All vCPUs seem to be halted for good; but one may have woken another since. Where that can't be
 * seen, as while a device does not come to rest, it is looked at again later.
 */
static void
confirm_halted(struct machine *m)
{
	bool all = !machine_pause(m), halted;
	int r;

	for (uint32_t i = 0; i < m->vcpu_count && all; i++)
		all = !kvm_vcpu_halted(&m->vcpus[i].kvm, &halted) && halted;
	for (uint32_t i = 0; i < m->vcpu_count && all; i++)
		m->vcpus[i].halted = true;
	r = machine_go_on(m);
	if (r)
		machine_end(m, CAUSE_ERROR, (uint64_t)-r);
}

static void
look_after(struct machine *m, uint64_t ns)
{
	m->look = ns;
	loop_timer_set(&m->loop, &m->monitor, clock_now(&m->clock) + ns, 0);
}

/*
 * Wakes vCPUs that have not left KVM_RUN for a while, so that they see whether they are halted for
 * good. Those whose threads have run meanwhile compute, and are let alone: a kick costs an exit. A
 * little they run when they are halted, too: timers of the kernel's wake them in vain. As long as
 * nothing changes it looks less and less often: of a thousand clones most are idle.
 */
static void
monitor(struct loop_timer *timer, uint64_t periods)
{
	struct machine *m = timer->context;
	uint32_t rest = 0, idle = 0;

	for (uint32_t i = 0; i < m->vcpu_count; i++) {
		struct vcpu *vcpu = &m->vcpus[i];
		uint64_t exits = vcpu_exits(vcpu), ran = vcpu_ran(vcpu);
		bool computes = ran - vcpu->ran >= m->look / COMPUTES;

		if (computes)
			atomic_store(&vcpu->rests, false);
		if (exits == vcpu->seen && !vcpu->halted) {
			rest += atomic_load(&vcpu->rests);
			if (!computes) {
				vcpu_kick(vcpu);
				idle++;
			}
		}
		vcpu->seen = exits;
		vcpu->ran = ran;
	}
	if (idle != m->idle)
		look_after(m, LOOK_FIRST);
	else
		look_after(m, m->look < LOOK_LONGEST ? 2 * m->look : LOOK_LONGEST);
	m->idle = idle;
	if (rest == m->vcpu_count)
		confirm_halted(m);
}

static void
point_time(struct loop_timer *timer, uint64_t periods)
{
	machine_point_reached(timer->context);
}

int
machine_create(struct machine *m, const struct machine_layout *layout)
{
	const struct sigaction action = { .sa_handler = kicked };
	int r;

	*m = (struct machine){ .kvm = { .fd = -1, .vm = -1 } };
	m->monitor = (struct loop_timer){ .fire = monitor, .context = m };
	m->point_timer = (struct loop_timer){ .fire = point_time, .context = m };
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	sigaction(KVM_SIGNAL, &action, NULL);
	r = loop_init(&m->loop, &m->clock);
	if (!r)
		r = irqs_init(&m->irqs, &m->kvm);
	if (!r && !layout->check)
		r = kvm_open(&m->kvm);
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
	if (!m->vcpus)
		return fail(STATUS_HOST, "no memory for %u vCPUs", layout->cpus);
	memset(m->vcpus, 0, layout->cpus * sizeof(*m->vcpus));
	for (uint32_t i = 0; i < layout->cpus && !r; i++, m->vcpu_count++) {
		m->vcpus[i].machine = m;
		r = kvm_vcpu_open(&m->vcpus[i].kvm, &m->kvm, i);
	}
	if (!r) {
		loop_timer_add(&m->loop, &m->monitor);
		loop_timer_add(&m->loop, &m->point_timer);
	}
	return r;
}

void
machine_join(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	m->dying = true;
	m->go = false;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
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
	m->vcpu_count = 0; /* a signal handler may look */
	free(m->vcpus);
	bus_free(&m->bus);
	irqs_free(&m->irqs);
	kvm_close(&m->kvm);
	dirty_free(m);
	memory_free(&m->memory);
	loop_free(&m->loop);
	point_free(&m->point);
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
}

static void
kick_all(struct machine *m)
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
	m->go = false;
	pthread_mutex_unlock(&m->lock);
	kick_all(m);
	loop_wake(&m->loop);
}

void
machine_point_reached(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	m->point_reached = true;
	m->go = false;
	pthread_mutex_unlock(&m->lock);
	kick_all(m);
	loop_wake(&m->loop);
}

void
machine_halted(struct machine *m)
{
	bool all = true;

	pthread_mutex_lock(&m->lock);
	for (uint32_t i = 0; i < m->vcpu_count; i++)
		all &= m->vcpus[i].halted;
	pthread_mutex_unlock(&m->lock);
	if (!all)
		return;
	if (m->point.kind == POINT_HLT && !m->point_reached)
		machine_point_reached(m);
	else
		machine_end(m, CAUSE_HLT, 0);
}

static int
start_threads(struct machine *m)
{
	sigset_t all, before;
	uint32_t started = 0;
	int r = 0;

	while (started < m->vcpu_count && m->vcpus[started].started)
		started++;
	if (started == m->vcpu_count)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (uint32_t i = started; i < m->vcpu_count && !r; i++) {
		r = pthread_create(&m->vcpus[i].thread, NULL, vcpu_main, &m->vcpus[i]);
		m->vcpus[i].started = !r;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r ? fail(STATUS_HOST, "cannot start a vCPU thread: %s", strerror(r)) : 0;
}

/* Has each parked vCPU's own thread do something; 0 or the first trouble. */
static int
errand(struct machine *m, int (*work)(struct vcpu *vcpu))
{
	int r = 0;

	pthread_mutex_lock(&m->lock);
	m->errand = work;
	m->errand_number++;
	m->errands = m->vcpu_count;
	pthread_cond_broadcast(&m->changed);
	while (m->errands)
		pthread_cond_wait(&m->changed, &m->lock);
	for (uint32_t i = 0; i < m->vcpu_count && !r; i++)
		r = m->vcpus[i].trouble;
	pthread_mutex_unlock(&m->lock);
	return r;
}

static int
stop_time(struct vcpu *vcpu)
{
	return kvm_vcpu_stop(&vcpu->kvm);
}

int
machine_pause(struct machine *m)
{
	int r = 0;

	if (m->state == MACHINE_PAUSED)
		return 0;
	pthread_mutex_lock(&m->lock);
	m->go = false;
	pthread_mutex_unlock(&m->lock);
	kick_all(m);
	pthread_mutex_lock(&m->lock);
	while (m->parked < m->vcpu_count)
		pthread_cond_wait(&m->changed, &m->lock);
	pthread_mutex_unlock(&m->lock);
	/* Before the hook, which may run the loop, where nothing must pause again. */
	m->state = MACHINE_PAUSED;
	if (m->hooks.pause)
		r = m->hooks.pause(m->hooks.context);
	clock_stop(&m->clock);
	loop_quiet(&m->loop, true);
	irqs_hold(&m->irqs, true);
	if (!r)
		r = kvm_stop(&m->kvm);
	if (!r && m->kvm.irqchip)
		r = errand(m, stop_time);
	return r;
}

int
machine_resume(struct machine *m)
{
	int r = 0;

	if (m->state == MACHINE_RUNNING)
		return 0;
	for (uint32_t i = 0; i < m->vcpu_count && !r && m->point.kind; i++)
		r = vcpu_arm(&m->vcpus[i]);
	m->point_fresh = false;
	binds_set(m, !m->trace && !m->point.kind);
	if (!r)
		r = kvm_go(&m->kvm);
	if (r)
		return r;
	irqs_hold(&m->irqs, false);
	clock_go(&m->clock);
	loop_quiet(&m->loop, false);
	m->state = MACHINE_RUNNING;
	if (m->hooks.resume)
		r = m->hooks.resume(m->hooks.context);
	pthread_mutex_lock(&m->lock);
	if (!m->end.cause)
		m->go = true;
	pthread_mutex_unlock(&m->lock);
	pthread_cond_broadcast(&m->changed); /* who is woken need not wait for the lock */
	return r;
}

int
machine_go_on(struct machine *m)
{
	/* What is to happen at the point comes first. */
	bool stays = m->held || m->stands || m->point_reached;
	int r = stays ? 0 : machine_resume(m);

	if (!r && !stays)
		machine_halted(m);
	return r;
}

uint64_t
machine_stood(const struct machine *m, uint64_t from, uint64_t until)
{
	uint64_t first = UINT64_MAX, last = 0;

	for (uint32_t i = 0; i < m->vcpu_count; i++) {
		uint64_t left = atomic_load(&m->vcpus[i].left),
			 went = atomic_load(&m->vcpus[i].went);

		if (left < from) /* it has halted, and stood before */
			continue;
		if (left > until || went < until)
			return 0;
		first = left < first ? left : first;
		last = went > last ? went : last;
	}
	return last ? last - first : 0;
}

/* The point was reached: the layer above decides what for, and when. */
static int
at_point(struct machine *m)
{
	int r = machine_pause(m);

	if (!r && m->hooks.point_waits && m->hooks.point_waits(m->hooks.context))
		return loop_once(&m->loop, -1);
	m->point.kind = POINT_NONE;
	m->point_reached = false;
	for (uint32_t i = 0; i < m->vcpu_count && !r; i++)
		r = vcpu_arm(&m->vcpus[i]);
	if (!r && m->hooks.point)
		r = m->hooks.point(m->hooks.context);
	if (!r && !m->end.cause)
		r = machine_go_on(m);
	return r;
}

static bool
ended(struct machine *m)
{
	bool r;

	pthread_mutex_lock(&m->lock);
	r = m->end.cause != CAUSE_NONE;
	pthread_mutex_unlock(&m->lock);
	return r;
}

void
machine_point(struct machine *m)
{
	/* A point that is true at the start does not fire. */
	m->point_fresh = true;
	if (m->vcpus[0].halted && m->point.kind == POINT_HLT)
		m->point.kind = POINT_NONE;
	if (m->point.kind == POINT_TIME && m->point.value > clock_now(&m->clock))
		loop_timer_set(&m->loop, &m->point_timer, m->point.value, 0);
}

int
machine_run(struct machine *m)
{
	int r = start_threads(m);

	machine_point(m);
	machine_halted(m);
	if (m->kvm.irqchip)
		look_after(m, LOOK_FIRST);
	if (!r)
		r = machine_resume(m);
	while (!r && !ended(m))
		r = m->point_reached ? at_point(m) : loop_once(&m->loop, -1);
	if (r)
		machine_end(m, CAUSE_ERROR, (uint64_t)-r);
	machine_pause(m);
	/* The access that ended the machine may be the point as well. */
	if (!r && m->point_reached)
		r = at_point(m);
	return r;
}

/* An end that the guest brought about: part of its state, should a snapshot be taken there. */
static bool
by_guest(enum machine_cause cause)
{
	return cause == CAUSE_EXIT || cause == CAUSE_SHUTDOWN || cause == CAUSE_PANIC;
}

int
machine_save(struct machine *m, struct record_writer *writer)
{
	bool guests = by_guest(m->end.cause);

	record_put_u64(writer, "time", clock_now(&m->clock));
	record_put_u32(writer, "end", guests ? m->end.cause : CAUSE_NONE);
	record_put_u64(writer, "status", guests ? m->end.status : 0);
	record_put_bool(writer, "acpi", m->acpi);
	record_begin(writer, "lines", RECORD_GROUP);
	irqs_save(&m->irqs, writer);
	record_end(writer);
	return kvm_vm_save(&m->kvm, writer);
}

/* Lines before chips: KVM keeps levels apart from the chips' registers, and a rise after them is
 * delivered twice. */
int
machine_load(struct machine *m, const struct record *group, struct why *why)
{
	struct record lines, acpi;
	uint64_t time, end, status;

	if (!record_get_u64(group, "end", &end) || !record_get_u64(group, "status", &status) ||
	    (end != CAUSE_NONE && !by_guest((enum machine_cause)end)))
		return why_set(why, "how the machine ended is missing or unknown");
	m->end = (struct machine_end){ .cause = (enum machine_cause)end, .status = status };
	if (!record_get_u64(group, "time", &time) || time > TIME_MAX ||
	    !record_find(group, "lines", &lines) || lines.type != RECORD_GROUP)
		return why_set(why, "the VM's clock or lines are missing or out of range");
	if (!mutant("vm", "time"))
		clock_set(&m->clock, time);
	/* A reset turns the clock back. */
	if (m->monitor.armed)
		look_after(m, LOOK_FIRST);
	if (!record_find(group, "acpi", &acpi) || acpi.type != RECORD_BOOL || acpi.array)
		return why_set(why, "acpi is missing");
	m->acpi = record_number(&acpi, 0);
	irqs_rest(&m->irqs);
	if (irqs_load(&m->irqs, &lines, why))
		return -1;
	return kvm_vm_load(&m->kvm, group, why);
}

void
machine_catch_up(struct machine *m, uint64_t time)
{
	uint64_t now = clock_now(&m->clock);

	if (time > TIME_MAX - now)
		time = TIME_MAX - now;
	clock_set(&m->clock, now + time);
	kvm_catch_up(&m->kvm, time);
}

const char *
machine_cause_name(enum machine_cause cause)
{
	static const char *const names[] = {
		[CAUSE_NONE] = "none",         [CAUSE_HLT] = "hlt",
		[CAUSE_EXIT] = "exit",         [CAUSE_SHUTDOWN] = "shutdown",
		[CAUSE_INTERNAL] = "internal", [CAUSE_PANIC] = "panic",
		[CAUSE_POINT] = "point",       [CAUSE_QUIT] = "quit",
		[CAUSE_TIMEOUT] = "timeout",   [CAUSE_SIGNAL] = "signal",
		[CAUSE_ERROR] = "error",
	};

	return names[cause];
}
