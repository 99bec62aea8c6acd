/* SPDX-License-Identifier: BSD-2-Clause */
/* The watchdog: reports callbacks that take longer than a second. */
#include "machine/watchdog.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limit.h"
#include "base/log.h"
#include "machine/machine.h"
#include "machine/service.h"

#define PERIOD 500000000ull /* ns between two looks */
#define SLOW 1000000000ull  /* ns */

/* The current callback of a thread. */
static void
look(const struct bus_current *current, uint64_t count, struct watchdog_seen *now)
{
	struct bus_current here = { 0 };

	if (current)
		bus_look(current, &here);
	*now = (struct watchdog_seen){ here.callback, here.device, count + here.count, 0, false };
	if (!now->device)
		now->callback = NULL; /* a plugin is loaded: there is no device yet */
}

static double
seconds_since(const struct watchdog_seen *seen)
{
	return (double)(clock_host() - seen->since) / 1e9;
}

static void
report(const struct watchdog_seen *seen, const char *text, const char *outcome)
{
	const struct service_host *host = (const struct service_host *)seen->device;

	log_line(MINIVMM_WARNING, host->public.name, "callback %s of plugin %s %s %.1f s%s",
		 seen->callback, host->plugin, text, seconds_since(seen), outcome);
}

/* Compares a thread's callback with that of the last look. late: the host did not run this thread
 * for a while, and so perhaps not the other ones. */
static void
compare(struct watchdog_seen *seen, struct watchdog_seen *now, bool late)
{
	bool same = now->callback && now->callback == seen->callback &&
		    now->device == seen->device && now->count == seen->count;

	if (!same) {
		if (seen->reported)
			report(seen, "has returned after", "");
		now->since = clock_host();
		*seen = *now;
		return;
	}
	if (late && !seen->reported)
		seen->since = clock_host();
	if (seen->reported || clock_host() - seen->since < SLOW)
		return;
	seen->reported = true;
	atomic_fetch_add(&((struct service_host *)seen->device)->gate->slow, 1);
	report(seen, "takes", " so far; the guest or the I/O thread waits for it");
}

/* With the lock held. */
static void
look_at_all(struct watchdog *w, bool late)
{
	struct machine *m = w->machine;
	struct watchdog_seen now;

	look(w->main, 0, &now);
	compare(&w->seen[0], &now, late);
	for (uint32_t i = 0; i < m->vcpu_count; i++) {
		struct vcpu *vcpu = machine_vcpu(m, i);

		look(vcpu->current, atomic_load_explicit(&vcpu->accesses, memory_order_relaxed),
		     &now);
		compare(&w->seen[1 + i], &now, late);
	}
}

static void *
watchdog_main(void *argument)
{
	struct watchdog *w = argument;
	uint64_t last = clock_host();
	struct timespec until;

	pthread_mutex_lock(&w->lock);
	while (!w->ending) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += (long)PERIOD;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		if (pthread_cond_timedwait(&w->changed, &w->lock, &until) != ETIMEDOUT)
			continue;
		look_at_all(w, clock_host() - last > 2 * PERIOD);
		last = clock_host();
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

void
watchdog_start(struct watchdog *w, struct machine *machine)
{
	pthread_condattr_t monotonic;
	int error;
	sigset_t all, before;

	*w = (struct watchdog){ .machine = machine, .main = &bus_current };
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	w->seen = calloc(1 + machine->vcpu_count, sizeof(*w->seen));
	if (!w->seen)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&w->thread, NULL, watchdog_main, w);
	w->started = !error;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!w->started)
		log_line(MINIVMM_DEBUG, NULL, "no thread for the watchdog: %s",
			 limit_error_of(LIMIT_THREAD, error).text);
}

void
watchdog_stop(struct watchdog *w)
{
	if (!w->machine)
		return;
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
	if (w->started)
		pthread_join(w->thread, NULL);
	free(w->seen);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	*w = (struct watchdog){ 0 };
}

void
watchdog_look(struct watchdog *w)
{
	if (!w->seen)
		return;
	pthread_mutex_lock(&w->lock);
	look_at_all(w, false);
	pthread_mutex_unlock(&w->lock);
}

void
watchdog_forget(struct watchdog *w, struct vcpu *vcpu)
{
	if (w->machine)
		pthread_mutex_lock(&w->lock);
	vcpu->current = NULL;
	if (w->machine)
		pthread_mutex_unlock(&w->lock);
}

void
watchdog_each(struct watchdog *w, void (*found)(void *context, const struct watchdog_slow *slow),
	      void *context)
{
	if (!w->seen)
		return;
	pthread_mutex_lock(&w->lock);
	look_at_all(w, false);
	for (uint32_t i = 0; i < 1 + w->machine->vcpu_count; i++) {
		const struct watchdog_seen *seen = &w->seen[i];

		if (seen->reported)
			found(context, &(struct watchdog_slow){ seen->device->name, seen->callback,
								seconds_since(seen), (int)i - 1 });
	}
	pthread_mutex_unlock(&w->lock);
}
