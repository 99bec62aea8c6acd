/* SPDX-License-Identifier: BSD-2-Clause */
/* Pauses and resumes a machine: vCPU threads, devices, the clock, the kernel's timers. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/limit.h"
#include "base/log.h"
#include "machine/machine_run.h"

#define PARK_TURN 5000000ull   /* ns of waiting between two looks at the loop's events */
#define PARK_MOST 800000000ull /* ns; with that of devices_pause, less than 2 s */
#define PARK_TURNS 50
#define EVENTS_PER_TURN 8

int
machine_start_threads(struct machine *m)
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
	return r ? fail(STATUS_HOST, "cannot start a vCPU thread: %s",
			limit_error_of(LIMIT_THREAD, r).text)
		 : 0;
}

/* Runs a function on each vCPU's thread; all are parked. 0 or the first negative status. */
static int
run_on_vcpus(struct machine *m, int (*job)(struct vcpu *vcpu))
{
	int r = 0;

	pthread_mutex_lock(&m->lock);
	m->job = job;
	m->job_number++;
	m->jobs_left = m->vcpu_count;
	pthread_cond_broadcast(&m->changed);
	while (m->jobs_left)
		pthread_cond_wait(&m->changed, &m->lock);
	for (uint32_t i = 0; i < m->vcpu_count && !r; i++)
		r = m->vcpus[i].job_result;
	pthread_mutex_unlock(&m->lock);
	return r;
}

static int
stop_timers(struct vcpu *vcpu)
{
	return kvm_vcpu_stop(&vcpu->kvm);
}

static bool
wait_parked(struct machine *m, uint64_t ns)
{
	uint64_t end = clock_host() + ns;
	const struct timespec when = { (time_t)(end / 1000000000u), (long)(end % 1000000000u) };
	bool parked;
	int r = 0;

	pthread_mutex_lock(&m->lock);
	while (m->parked < m->vcpu_count && !r)
		r = pthread_cond_clockwait(&m->changed, &m->lock, CLOCK_MONOTONIC, &when);
	parked = m->parked == m->vcpu_count;
	pthread_mutex_unlock(&m->lock);
	return parked;
}

/* What keeps a vCPU from parking, other than a busy host; false: nothing. */
static bool
obstacle(const struct machine *m, char *text, size_t size)
{
	struct bus_current current = { 0 };

	machine_callback(m, &current);
	if (current.callback)
		snprintf(text, size, "a %s of device %s has not ended within a second",
			 current.callback, current.device->name);
	else if (m->trace)
		snprintf(text, size, "the reader of the trace does not read");
	return current.callback || m->trace;
}

/* The pause is refused: the vCPUs continue. false: they must stop in any case, and one may have
 * found that just now. */
static bool
refuse(struct machine *m)
{
	bool may;

	pthread_mutex_lock(&m->lock);
	may = !m->end.cause && !m->stop_hit && !m->debug.hit;
	if (may)
		m->may_run = true;
	pthread_mutex_unlock(&m->lock);
	if (may)
		pthread_cond_broadcast(&m->changed);
	return may;
}

/*
 * Waits until all vCPUs have left the guest and its accesses. Usually they do within microseconds.
 * If not, the loop runs meanwhile; and if the handler of an access has not ended after PARK_MOST,
 * the pause is refused, unless the vCPUs must stop in any case. At the end of the machine, deferred
 * accesses are cancelled then. On a busy host all threads are slow: PARK_TURNS.
 * cancel: deferred accesses are cancelled at once, but not before their vCPUs may no longer run.
 */
static int
park_vcpus(struct machine *m, bool cancel)
{
	uint64_t began = clock_host();
	int r = 0;

	pthread_mutex_lock(&m->lock);
	m->may_run = false;
	pthread_mutex_unlock(&m->lock);
	machine_kick(m);
	deferrals_cancel(&m->deferrals, cancel);
	for (unsigned turn = 0; !r && !wait_parked(m, PARK_TURN); turn++) {
		char why[128];

		for (unsigned i = 0; !r && i < EVENTS_PER_TURN; i++)
			r = loop_once_nested(&m->loop, 0);
		if (r || turn < PARK_TURNS || clock_host() - began <= PARK_MOST ||
		    !obstacle(m, why, sizeof(why)))
			continue;
		if (refuse(m))
			return fail(STATUS_IO,
				    "cannot pause the machine: %s; the machine continues; try "
				    "again later",
				    why);
		if (machine_ended(m))
			deferrals_cancel(&m->deferrals, true);
	}
	return r;
}

/* Pauses the devices that have been started, and waits for their requests. 0 or a negative status.
 */
static int
pause_devices(struct machine *m)
{
	int r = 0;

	if (!m->devices.pause || m->devices_pausing) /* by a callback of its nested loop */
		return 0;
	m->devices_pausing = true;
	r = m->devices.pause(m->devices.context);
	m->devices_pausing = false;
	return r;
}

int
machine_pause(struct machine *m, enum pause_reason reason)
{
	int r;

	m->pauses[reason]++;
	if (m->state == MACHINE_PAUSED)
		return m->pause_error;
	m->parking = true;
	r = park_vcpus(m, reason == PAUSE_RESET);
	deferrals_cancel(&m->deferrals, false);
	m->parking = false;
	if (r)
		return r;
	/* Before the devices pause: that may run the loop, where a second pause must only count. */
	m->state = MACHINE_PAUSED;
	debug_remove(m);
	r = pause_devices(m);
	clock_stop(&m->clock);
	loop_quiet(&m->loop, true);
	irqs_defer(&m->irqs, true);
	if (!r)
		r = kvm_stop(&m->kvm);
	if (!r && m->kvm.irqchip)
		r = run_on_vcpus(m, stop_timers);
	m->pause_error = r; /* until it resumes, its state must not be saved */
	return r;
}

/* Undoes machine_pause, and first arms the stop condition. */
static int
resume(struct machine *m)
{
	int r = 0;

	for (uint32_t i = 0; i < m->vcpu_count && !r && (m->stop.kind || m->debug.armed); i++)
		r = vcpu_arm(&m->vcpus[i]);
	m->debug.armed = m->debug.count || m->debug.stepper;
	m->stop_new = false;
	ioeventfds_assign(m, !m->trace && !m->stop.kind);
	if (!r)
		r = kvm_resume(&m->kvm);
	if (r)
		return r;
	m->pause_error = 0;
	debug_insert(m);
	irqs_defer(&m->irqs, false);
	clock_start(&m->clock);
	loop_quiet(&m->loop, false);
	m->state = MACHINE_RUNNING;
	if (!m->begun)
		made_files_end(&m->made);
	m->begun = true;
	if (m->devices.resume)
		r = m->devices.resume(m->devices.context);
	pthread_mutex_lock(&m->lock);
	/* A device may have hit the condition as it resumed. */
	if (!m->end.cause && !m->stop_hit && !m->debug.hit)
		m->may_run = true;
	pthread_mutex_unlock(&m->lock);
	/* Without the lock: a thread that wakes takes it at once. */
	pthread_cond_broadcast(&m->changed);
	return r;
}

/*
 * A reset in a pause, and a branch that begins paused, have started the devices: their threads must
 * not work in a paused machine. 0 or a negative status: the state must not be saved.
 */
static int
stay_paused(struct machine *m)
{
	if (m->state != MACHINE_PAUSED || m->pause_error)
		return 0;
	m->pause_error = pause_devices(m);
	return m->pause_error;
}

int
machine_try_resume(struct machine *m)
{
	int r;

	for (int reason = 0; reason < PAUSE_REASONS; reason++)
		if (m->pauses[reason])
			return stay_paused(m);
	/* If the stop condition is hit, its handler runs before the guest continues. */
	if (m->state == MACHINE_RUNNING || m->stop_hit || m->debug.hit || machine_ended(m))
		return 0;
	r = resume(m);
	if (r)
		machine_end(m, CAUSE_ERROR, (uint64_t)-r);
	return r;
}

int
machine_resume(struct machine *m, enum pause_reason reason)
{
	int r;

	if (m->pauses[reason])
		m->pauses[reason]--;
	r = machine_try_resume(m);
	/* While it was paused, all vCPUs may have become halted: by halt.c or a load. */
	if (!r && m->state == MACHINE_RUNNING)
		machine_halted(m);
	return r;
}

bool
machine_paused_for(const struct machine *m, enum pause_reason reason)
{
	return m->pauses[reason];
}

bool
machine_running(const struct machine *m)
{
	return m->state == MACHINE_RUNNING;
}

bool
machine_settled(const struct machine *m)
{
	return m->state == MACHINE_PAUSED && !m->parking && !m->devices_pausing;
}

uint64_t
machine_downtime(const struct machine *m, uint64_t from, uint64_t until)
{
	uint64_t first = UINT64_MAX, last = 0;

	for (uint32_t i = 0; i < m->vcpu_count; i++) {
		uint64_t stopped = atomic_load(&m->vcpus[i].stopped_at),
			 resumed = atomic_load(&m->vcpus[i].resumed_at);

		if (stopped < from) /* it halted before the pause */
			continue;
		if (stopped > until || resumed < until)
			return 0;
		first = stopped < first ? stopped : first;
		last = resumed > last ? resumed : last;
	}
	return last ? last - first : 0;
}
