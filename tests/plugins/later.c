/* SPDX-License-Identifier: BSD-2-Clause */
/* A device that defers its accesses: a timer or a thread completes them, or nothing does. */
#include <minivmm/plugin.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define WAITING 8u /* accesses at a time */

enum later_how { TIMER, THREAD, NEVER, LATE, TWICE, FORGET };
static const char *const hows[] = { "timer", "thread", "never", "late", "twice", "forget", NULL };

struct later {
	uint32_t how;    /* option */
	uint64_t delay;  /* option */
	uint64_t number; /* that the next read returns */
	uint64_t ids[WAITING];
	uint64_t values[WAITING];
	uint32_t waiting;
	struct job *jobs; /* threads that destroy joins */
};

struct job {
	struct job *next;
	pthread_t thread;
	struct minivmm_device *dev;
	uint64_t id, value;
	useconds_t delay;
};

static void *
later_thread(void *argument)
{
	struct job *job = argument;

	usleep(job->delay);
	if (minivmm_complete(job->dev, job->id, job->value))
		minivmm_log(job->dev, MINIVMM_WARNING, "too late");
	return NULL;
}

static void
start_thread(struct minivmm_device *dev, uint64_t id, uint64_t value)
{
	struct later *l = minivmm_state(dev);
	struct job *job = malloc(sizeof(*job));

	*job = (struct job){ .next = l->jobs,
			     .dev = dev,
			     .id = id,
			     .value = value,
			     .delay = (useconds_t)(l->delay / 1000) };
	if (pthread_create(&job->thread, NULL, later_thread, job))
		abort();
	l->jobs = job;
}

static int
defer(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct later *l = minivmm_state(dev);
	uint64_t id = minivmm_defer(dev, a);

	if (!id)
		return -1;
	switch (l->how) {
	case TIMER:
		l->ids[l->waiting] = id;
		l->values[l->waiting++] = value;
		minivmm_timer_set(dev, 0, minivmm_now(dev) + l->delay, 0);
		break;
	case LATE:
		minivmm_log(dev, MINIVMM_INFO, "access %llu is deferred", (unsigned long long)id);
		/* fall through */
	case THREAD:
		start_thread(dev, id, value);
		break;
	case TWICE:
		minivmm_complete(dev, id, value);
		minivmm_complete(dev, id, value);
		break;
	case FORGET:
		return 0;
	}
	return MINIVMM_PENDING;
}

static int
later_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	return defer(dev, a, ((struct later *)minivmm_state(dev))->number++);
}

static int
later_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	((struct later *)minivmm_state(dev))->number = value;
	return defer(dev, a, 0);
}

static int
later_fire(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	struct later *l = minivmm_state(dev);
	int r = 0;

	while (l->waiting) {
		l->waiting--;
		r |= minivmm_complete(dev, l->ids[l->waiting], l->values[l->waiting]);
	}
	return r;
}

static int
later_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct later *l = minivmm_state(dev);

	if (start->size < sizeof(*start) || dev->size < sizeof(*dev) ||
	    !minivmm_has(dev, MINIVMM_DEFERRED_ACCESS) || minivmm_has(dev, "tomorrow"))
		return -1;
	l->waiting = 0; /* a reset has cancelled them */
	return 0;
}

static void
later_destroy(struct minivmm_device *dev)
{
	struct later *l = minivmm_state(dev);
	struct job *job;

	while ((job = l->jobs)) {
		l->jobs = job->next;
		pthread_join(job->thread, NULL);
		free(job);
	}
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(ENUM, struct later, how, "timer", "who completes an access",
			  .values = hows, .flags = MINIVMM_HOST),
	MINIVMM_OPTION_AS(DURATION, struct later, delay, "1ms", "until then",
			  .flags = MINIVMM_HOST),
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0x10",
	  .length = 1,
	  .read = later_read,
	  .write = later_write },
	MINIVMM_END,
};

static const struct minivmm_timer timers[] = {
	{ .name = "delay", .fire = later_fire, .help = "completes the accesses" }, MINIVMM_END
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct later, number, .help = "that the next read returns"),
	MINIVMM_END,
};

static const struct minivmm_plugin later = {
	.name = "later",
	.summary = "accesses that end later",
	.state_version = 1,
	.state_size = sizeof(struct later),
	.options = options,
	.ranges = ranges,
	.timers = timers,
	.fields = fields,
	.start = later_start,
	.destroy = later_destroy,
};
MINIVMM_REGISTER(later, MINIVMM_DEFERRED_ACCESS);
