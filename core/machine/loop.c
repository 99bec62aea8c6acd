/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O loop. It takes one event per epoll_wait, because a callback may remove any source: an
 * event kept across a callback could point to a freed one. */
#include "machine/loop.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/log.h"

#define RETRY_AFTER 1000000u /* ns */

static void
wait_for(struct loop *loop, int op, struct loop_source *source)
{
	struct epoll_event event = { .events = source->events, .data.ptr = source };

	epoll_ctl(source->device ? loop->device_epoll : loop->epoll, op, source->fd, &event);
}

int
loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	if (epoll_ctl(source->device ? loop->device_epoll : loop->epoll, EPOLL_CTL_ADD, fd, &event))
		return -1;
	source->fd = fd;
	source->events = events;
	return 0;
}

static void
end_rest(struct loop *loop, struct loop_source *source)
{
	for (struct loop_source **s = &loop->resting; source->rests_until && *s;
	     s = &(*s)->next_resting)
		if (*s == source) {
			*s = source->next_resting;
			source->rests_until = 0;
			break;
		}
}

/* A source without events leaves epoll: epoll reports EPOLLHUP even if no events are set. */
int
loop_change(struct loop *loop, struct loop_source *source, uint32_t events)
{
	uint32_t before = source->events;

	end_rest(loop, source);
	if (source->fd < 0 || before == events)
		return 0;
	source->events = events;
	wait_for(loop, !before ? EPOLL_CTL_ADD : !events ? EPOLL_CTL_DEL : EPOLL_CTL_MOD, source);
	return 0;
}

void
loop_remove(struct loop *loop, struct loop_source *source)
{
	end_rest(loop, source);
	if (source->fd >= 0 && source->events)
		wait_for(loop, EPOLL_CTL_DEL, source);
	source->fd = -1;
}

void
loop_report_again(struct loop *loop, struct loop_source *source)
{
	if (source->events & EPOLLET)
		wait_for(loop, EPOLL_CTL_MOD, source);
}

void
loop_rest(struct loop *loop, struct loop_source *source, uint32_t ms)
{
	uint32_t events = source->events;

	loop_change(loop, source, 0);
	source->rest_events = events;
	source->rests_until = clock_host() + ms * 1000000ull;
	source->next_resting = loop->resting;
	loop->resting = source;
}

/* Wakes the sources that have rested. Returns the time in ms until the next one, at most timeout;
 * -1: no limit. */
static int
wake_resting(struct loop *loop, int timeout)
{
	uint64_t now = clock_host();
	struct loop_source *next;

	for (struct loop_source *s = loop->resting; s; s = next) {
		int left = s->rests_until > now ? (int)((s->rests_until - now) / 1000000) + 1 : 0;

		next = s->next_resting;
		if (!left)
			loop_change(loop, s, s->rest_events);
		else if (timeout < 0 || left < timeout)
			timeout = left;
	}
	return timeout;
}

void
loop_wake(struct loop *loop)
{
	uint64_t one = 1;
	ssize_t n = write(loop->wake_source.fd, &one, sizeof(one));

	(void)n; /* EAGAIN: a wake-up is pending already */
}

static void
drain(struct loop_source *source, uint32_t events)
{
	uint64_t count;
	ssize_t n = read(source->fd, &count, sizeof(count));

	(void)n;
}

static uint64_t
due_at(const struct loop_timer *t)
{
	return t->deadline > t->not_before ? t->deadline : t->not_before;
}

/* Arms timer_fd for a deadline; UINT64_MAX: disarms it. With the lock held. */
static void
arm_timer_fd(struct loop *loop, uint64_t deadline)
{
	struct itimerspec when = { 0 };

	if (deadline != UINT64_MAX) {
		uint64_t now = clock_now(loop->clock);
		uint64_t left = deadline > now ? deadline - now : 0, host = clock_host();

		host = left < INT64_MAX - host ? host + left : INT64_MAX;
		when.it_value.tv_sec = (time_t)(host / 1000000000u);
		when.it_value.tv_nsec = (long)(host % 1000000000u);
	}
	if (deadline != UINT64_MAX || loop->armed_for != UINT64_MAX)
		timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
	loop->armed_for = deadline;
}

/*
 * A timer has changed, with the lock held. On the loop's thread, the next wait arms timer_fd, once
 * for any number of changes: a callback of a stop may set thousands of timers. Another thread arms
 * it only for an earlier deadline; if the deadline was the earliest, the loop wakes up in vain.
 */
static void
timer_changed(struct loop *loop, const struct loop_timer *timer)
{
	if (pthread_equal(pthread_self(), loop->thread))
		loop->timers_changed = true;
	else if (timer->armed && !loop->quiet && due_at(timer) < loop->armed_for)
		arm_timer_fd(loop, due_at(timer));
}

/* Before the loop waits: arms timer_fd for the earliest deadline. In a pause it has no effect. */
static void
update_timer_fd(struct loop *loop)
{
	uint64_t earliest = UINT64_MAX;

	if (!loop->timers_changed || loop->quiet)
		return;
	pthread_mutex_lock(&loop->lock);
	loop->timers_changed = false;
	for (struct loop_timer *t = loop->timers; t; t = t->next)
		if (t->armed && due_at(t) < earliest)
			earliest = due_at(t);
	arm_timer_fd(loop, earliest);
	pthread_mutex_unlock(&loop->lock);
}

/* The due timer with the earliest deadline, or NULL. Counts the periods that have passed and sets
 * the next deadline. With the lock held. */
static struct loop_timer *
next_due(struct loop *loop, uint64_t *periods)
{
	uint64_t now = clock_now(loop->clock);
	struct loop_timer *due = NULL;

	for (struct loop_timer *t = loop->timers; t; t = t->next)
		if (t->armed && t->deadline <= now && t->not_before <= now &&
		    (!due || t->deadline < due->deadline))
			due = t;
	if (!due)
		return NULL;
	due->due = due->deadline;
	due->fired = true;
	*periods = 1;
	if (due->period) {
		*periods += (now - due->deadline) / due->period;
		due->deadline += *periods * due->period;
		if (due->deadline > INT64_MAX)
			due->deadline = INT64_MAX;
	} else
		due->armed = false;
	return due;
}

static void
timers_due(struct loop_source *source, uint32_t events)
{
	struct loop *loop = source->context;
	struct loop_timer *due;
	uint64_t periods, now = clock_now(loop->clock);

	drain(source, events);
	do {
		pthread_mutex_lock(&loop->lock);
		due = loop->quiet ? NULL : next_due(loop, &periods);
		pthread_mutex_unlock(&loop->lock);
		if (due)
			due->fire(due, periods);
		/* After 1 ms, other events get their turn, even if a timer is always due. */
	} while (due && clock_now(loop->clock) - now < 1000000);
	loop->timers_changed = true;
}

/* A pause does not touch epoll. Only if a device has an event during the pause, device_epoll leaves
 * epoll until the end of the pause. */
static void
devices_ready(struct loop_source *source, uint32_t events)
{
	struct loop *loop = source->context;
	struct epoll_event event;

	if (loop->quiet) {
		loop_remove(loop, source);
		return;
	}
	if (epoll_wait(loop->device_epoll, &event, 1, 0) == 1) {
		struct loop_source *ready = event.data.ptr;

		ready->ready(ready, event.events);
	}
}

int
loop_init(struct loop *loop, struct vm_clock *clock)
{
	int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	*loop = (struct loop){
		.epoll = epoll_create1(EPOLL_CLOEXEC),
		.device_epoll = epoll_create1(EPOLL_CLOEXEC),
		.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
		.clock = clock,
		.thread = pthread_self(),
		.armed_for = UINT64_MAX,
		.quiet = true,
		.timer_source = { .ready = timers_due, .context = loop },
		.wake_source = { .ready = drain },
		.device_source = { .fd = -1, .ready = devices_ready, .context = loop },
	};
	loop->deferred_end = &loop->deferred;
	if (loop->epoll < 0 || loop->device_epoll < 0 || loop->timer_fd < 0 || wake < 0 ||
	    pthread_mutex_init(&loop->lock, NULL) ||
	    loop_add(loop, &loop->timer_source, loop->timer_fd, EPOLLIN) ||
	    loop_add(loop, &loop->wake_source, wake, EPOLLIN))
		return fail(STATUS_HOST, "cannot create the I/O loop: %s", limit_error(errno).text);
	return 0;
}

void
loop_free(struct loop *loop)
{
	if (loop->deferred)
		fail(STATUS_BUG, "work is queued in an I/O loop that ends: its owner is gone");
	close(loop->epoll);
	close(loop->device_epoll);
	close(loop->timer_fd);
	close(loop->wake_source.fd);
	pthread_mutex_destroy(&loop->lock);
}

void
loop_timer_add(struct loop *loop, struct loop_timer *timer)
{
	pthread_mutex_lock(&loop->lock);
	timer->next = loop->timers;
	loop->timers = timer;
	timer_changed(loop, timer);
	pthread_mutex_unlock(&loop->lock);
}

void
loop_timer_remove(struct loop *loop, struct loop_timer *timer)
{
	pthread_mutex_lock(&loop->lock);
	for (struct loop_timer **t = &loop->timers; *t; t = &(*t)->next)
		if (*t == timer) {
			*t = timer->next;
			break;
		}
	pthread_mutex_unlock(&loop->lock);
}

void
loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline, uint64_t period)
{
	pthread_mutex_lock(&loop->lock);
	/* The limit keeps sums of two from overflowing; it is 292 years. */
	timer->deadline = deadline < INT64_MAX ? deadline : INT64_MAX;
	timer->period = period < INT64_MAX ? period : INT64_MAX;
	timer->armed = true;
	timer->fired = false;
	timer->not_before = 0;
	timer_changed(loop, timer);
	pthread_mutex_unlock(&loop->lock);
}

void
loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	pthread_mutex_lock(&loop->lock);
	timer->fired = false;
	timer->not_before = 0;
	if (timer->armed) {
		timer->armed = false;
		timer_changed(loop, timer);
	}
	pthread_mutex_unlock(&loop->lock);
}

void
loop_timer_retry(struct loop *loop, struct loop_timer *timer)
{
	pthread_mutex_lock(&loop->lock);
	if (timer->fired) {
		timer->deadline = timer->due;
		timer->not_before = clock_now(loop->clock) + RETRY_AFTER;
		timer->armed = true;
		timer_changed(loop, timer);
	}
	pthread_mutex_unlock(&loop->lock);
}

void
loop_defer(struct loop *loop, struct loop_deferred *deferred)
{
	bool wake = false;

	pthread_mutex_lock(&loop->lock);
	if (!deferred->queued) {
		wake = !loop->deferred || deferred->always;
		deferred->queued = true;
		deferred->next = NULL;
		deferred->link = loop->deferred_end;
		*loop->deferred_end = deferred;
		loop->deferred_end = &deferred->next;
	}
	pthread_mutex_unlock(&loop->lock);
	if (wake)
		loop_wake(loop);
}

/* Takes it out of the queue. With the lock held. */
static void
unlink_deferred(struct loop *loop, struct loop_deferred *deferred)
{
	*deferred->link = deferred->next;
	if (deferred->next)
		deferred->next->link = deferred->link;
	else
		loop->deferred_end = deferred->link;
	deferred->queued = false;
}

void
loop_deferred_remove(struct loop *loop, struct loop_deferred *deferred)
{
	pthread_mutex_lock(&loop->lock);
	if (deferred->queued)
		unlink_deferred(loop, deferred);
	pthread_mutex_unlock(&loop->lock);
}

/* The first work in the queue that can run now; NULL: there is none. With the lock held. */
static struct loop_deferred *
first_ready(struct loop *loop)
{
	for (struct loop_deferred *d = loop->deferred; d; d = d->next)
		if (!loop->quiet || d->always)
			return d;
	return NULL;
}

/* Runs the work that is queued now. Work queued meanwhile waits for the next call. */
static void
run_deferred(struct loop *loop)
{
	struct loop_deferred *deferred;
	size_t count = 0;

	pthread_mutex_lock(&loop->lock);
	for (deferred = loop->deferred; deferred; deferred = deferred->next)
		count += !loop->quiet || deferred->always;
	while (count-- && (deferred = first_ready(loop))) {
		unlink_deferred(loop, deferred);
		pthread_mutex_unlock(&loop->lock);
		deferred->run(deferred);
		pthread_mutex_lock(&loop->lock);
	}
	if (first_ready(loop))
		loop_wake(loop);
	pthread_mutex_unlock(&loop->lock);
}

void
loop_quiet(struct loop *loop, bool quiet)
{
	bool wake;

	pthread_mutex_lock(&loop->lock);
	loop->quiet = quiet;
	loop->timers_changed = true;
	wake = !quiet && loop->deferred;
	pthread_mutex_unlock(&loop->lock);
	if (!quiet && loop->device_source.fd < 0)
		loop_add(loop, &loop->device_source, loop->device_epoll, EPOLLIN);
	if (wake)
		loop_wake(loop);
}

int
loop_once(struct loop *loop, int timeout)
{
	struct epoll_event event;
	int n;

	update_timer_fd(loop);
	n = epoll_wait(loop->epoll, &event, 1,
		       loop->resting ? wake_resting(loop, timeout) : timeout);
	if (n < 0 && errno != EINTR)
		return fail(STATUS_HOST, "epoll_wait: %s", limit_error(errno).text);
	if (n == 1) {
		struct loop_source *source = event.data.ptr;

		if (source->outer && loop->nested)
			usleep(1000); /* the event stays pending: do not spin */
		else
			source->ready(source, event.events);
	}
	run_deferred(loop);
	return 0;
}

int
loop_once_nested(struct loop *loop, int timeout)
{
	bool before = loop->nested;
	int r;

	loop->nested = true;
	r = loop_once(loop, timeout);
	loop->nested = before;
	return r;
}
