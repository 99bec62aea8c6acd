/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device with a thread for slow work: the guest writes a number, and reads the number + 1 when
 * the thread has computed it; 0 until then. minivmm-plugin(3) has a part of this file as an
 * example. In each snapshot and at each save, it checks that the thread is parked.
 */
#define _GNU_SOURCE
#include <minivmm/plugin.h>

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct worker {
	uint64_t delay;          /* options */
	bool careless;           /* does not wait for the thread */
	uint32_t number, result; /* fields */
	bool busy, paused;       /* the thread has work; a pause waits for it */
	pthread_mutex_t lock;    /* guards the members from number to paused */
	sem_t work;
	pthread_t thread;
	bool running, ends;
	atomic_int id; /* of the thread, for the check */
};

static uint64_t
host_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Waits for the time of the option, or for a file named go. */
static uint32_t
compute(const struct worker *w, uint32_t number)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	uint64_t end = host_ns() + w->delay;

	while (host_ns() < end && access("go", F_OK))
		nanosleep(&nap, NULL);
	return number + 1;
}

/* example: a worker thread */
/* The thread takes the lock before and after its work, and waits for more without a lock. */
static void *
work(void *argument)
{
	struct minivmm_device *dev = argument;
	struct worker *w = minivmm_state(dev);

	atomic_store(&w->id, gettid());
	while (!sem_wait(&w->work) && !__atomic_load_n(&w->ends, __ATOMIC_ACQUIRE)) {
		uint32_t number, result;
		bool paused;

		pthread_mutex_lock(&w->lock);
		number = w->number;
		pthread_mutex_unlock(&w->lock);
		result = compute(w, number); /* takes long */
		pthread_mutex_lock(&w->lock);
		w->result = result;
		w->busy = false;
		paused = w->paused;
		pthread_mutex_unlock(&w->lock);
		if (paused)
			minivmm_paused(dev);
	}
	return NULL;
}

static int
worker_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct worker *w = minivmm_state(dev);

	pthread_mutex_lock(&w->lock);
	if (!w->busy) {
		w->number = (uint32_t)value;
		w->result = 0;
		w->busy = true;
		sem_post(&w->work);
	}
	pthread_mutex_unlock(&w->lock);
	return 0;
}

/* A pause waits for the work. If that takes more than a second, the pause is refused. */
static int
worker_pause(struct minivmm_device *dev)
{
	struct worker *w = minivmm_state(dev);
	bool busy;

	pthread_mutex_lock(&w->lock);
	w->paused = true;
	busy = w->busy;
	pthread_mutex_unlock(&w->lock);
	return busy && !w->careless ? MINIVMM_PENDING : 0;
}

static int
worker_resume(struct minivmm_device *dev)
{
	struct worker *w = minivmm_state(dev);

	pthread_mutex_lock(&w->lock);
	w->paused = false;
	pthread_mutex_unlock(&w->lock);
	return 0;
}

/*
 * A reset pauses the device, loads its state in place and starts it, without resume. The pause has
 * waited for the work: the thread does not write its result into the state of the snapshot.
 */
static int
worker_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct worker *w = minivmm_state(dev);
	int error = w->running ? 0 : pthread_create(&w->thread, NULL, work, dev);

	(void)start;
	if (error) {
		minivmm_error(dev, "cannot create a thread: %s",
			      minivmm_error_text(dev, MINIVMM_CALL_THREAD, error).text);
		return -1;
	}
	w->running = true;
	return worker_resume(dev);
}

static void
worker_destroy(struct minivmm_device *dev)
{
	struct worker *w = minivmm_state(dev);

	__atomic_store_n(&w->ends, true, __ATOMIC_RELEASE);
	sem_post(&w->work);
	if (w->running)
		pthread_join(w->thread, NULL);
	sem_destroy(&w->work);
	pthread_mutex_destroy(&w->lock);
}
/* end of the example */

static int
worker_configure(struct minivmm_device *dev)
{
	struct worker *w = minivmm_state(dev);

	pthread_mutex_init(&w->lock, NULL);
	return sem_init(&w->work, 0, 0);
}

static int
worker_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	struct worker *w = minivmm_state(dev);

	pthread_mutex_lock(&w->lock);
	*value = w->result;
	pthread_mutex_unlock(&w->lock);
	return 0;
}

/* The state of the thread in the kernel: 'S' sleeps. */
static char
thread_state(const struct worker *w)
{
	char path[64], text[512] = "";
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", atomic_load(&w->id));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 && strrchr(text, ')') ? strrchr(text, ')')[2] : '?';
}

/*
 * Checks that the thread is parked: it sleeps, has no work left, and the lock is free, however
 * often one looks. It may still be on its way out of minivmm_paused(), or not have begun.
 */
static int
check_parked(struct minivmm_device *dev)
{
	struct worker *w = minivmm_state(dev);
	const struct timespec nap = { .tv_nsec = 1000000 };
	int left = 0;

	for (int i = 0; i < 100; i++) {
		if (pthread_mutex_trylock(&w->lock)) {
			minivmm_error(dev, "the thread holds its lock");
			return -1;
		}
		if (w->busy) {
			minivmm_error(dev, "the thread has work");
			pthread_mutex_unlock(&w->lock);
			return -1;
		}
		pthread_mutex_unlock(&w->lock);
	}
	while (!atomic_load(&w->id) || thread_state(w) != 'S')
		nanosleep(&nap, NULL);
	sem_getvalue(&w->work, &left);
	if (left)
		minivmm_error(dev, "the thread is not in sem_wait()");
	return left ? -1 : 0;
}

static int
worker_save(struct minivmm_device *dev, struct minivmm_writer *writer)
{
	return check_parked(dev) ? -1 : minivmm_save_fields(dev, writer);
}

static int
worker_load(struct minivmm_device *dev, struct minivmm_reader *reader, uint32_t version)
{
	struct worker *w = minivmm_state(dev);

	return w->running && check_parked(dev) ? -1 : minivmm_load_fields(dev, reader, version);
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(DURATION, struct worker, delay, "0", "of the work",
			  .flags = MINIVMM_HOST),
	MINIVMM_OPTION(struct worker, careless, "no", "a pause does not wait",
		       .flags = MINIVMM_HOST),
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0x10",
	  .length = 4,
	  .read = worker_read,
	  .write = worker_write },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct worker, number, .help = "the last number"),
	MINIVMM_FIELD(struct worker, result, .help = "what came of it"),
	MINIVMM_END,
};

static const struct minivmm_plugin worker = {
	.name = "worker",
	.summary = "a device with a thread",
	.state_version = 1,
	.state_size = sizeof(struct worker),
	.options = options,
	.ranges = ranges,
	.fields = fields,
	.configure = worker_configure,
	.start = worker_start,
	.pause = worker_pause,
	.resume = worker_resume,
	.save = worker_save,
	.load = worker_load,
	.capture = check_parked,
	.destroy = worker_destroy,
};
MINIVMM_REGISTER(worker, MINIVMM_PARKED_THREADS);
