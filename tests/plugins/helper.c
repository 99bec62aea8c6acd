/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device whose state is in another process, as that of a TPM is in swtpm: a sum. The guest writes
 * a number to add, and reads the sum. A thread talks to the process; accesses and captures are
 * deferred until the answer. minivmm-plugin(3) has a part of this file as an example.
 */
#define _GNU_SOURCE
#include <minivmm/plugin.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS 16u /* one for each vCPU, and two */

enum request { ADD, READ, SET, SAVE };
struct message {
	uint32_t request, failed;
	uint64_t number;
};

enum failure { NOTHING, SILENT, FAILS, SLOW, DIES };
static const char *const failures[] = { "nothing", "silent", "fails", "slow", "dies", NULL };

struct job {
	enum request request;
	uint64_t number;
	uint64_t access, capture; /* what the answer completes, or 0 */
};

struct helper {
	uint32_t failure; /* option */
	uint64_t sum;     /* field: the state of the process when it was last captured */
	uint64_t capture; /* that is pending; 0: none */
	struct job jobs[JOBS];
	uint32_t first, last;
	pthread_mutex_t lock; /* guards the members from sum to last */
	sem_t work;
	pthread_t thread;
	pid_t process;
	int socket; /* to the process; -1: there is none */
	bool ends;
};

/* The process. A test makes its first SAVE fail, or wait for a file named go. */
static void
serve(int socket, enum failure failure)
{
	struct message m;
	uint64_t sum = 0;

	while (read(socket, &m, sizeof(m)) == sizeof(m)) {
		if (m.request == SAVE && failure != NOTHING) {
			while (failure == SLOW && access("go", F_OK))
				usleep(10000);
			if (failure == SILENT)
				continue;
			if (failure == DIES)
				break;
			m.failed = failure == FAILS;
			failure = NOTHING;
		}
		sum = m.request == SET ? m.number : m.request == ADD ? sum + m.number : sum;
		m.number = sum;
		if (write(socket, &m, sizeof(m)) != sizeof(m))
			break;
	}
	_exit(0);
}

/* Sends a request and waits for the answer. NULL, or why there is none. */
static const char *
ask(const struct helper *h, const struct job *job, uint64_t *answer)
{
	struct message m = { .request = job->request, .number = job->number };

	if (send(h->socket, &m, sizeof(m), MSG_NOSIGNAL) != sizeof(m) ||
	    recv(h->socket, &m, sizeof(m), MSG_WAITALL) != sizeof(m))
		return "the helper process has ended";
	*answer = m.number;
	return m.failed ? "the helper process has lost its state" : NULL;
}

/* example: a helper process */
/* The thread that waits for the helper process, so that no callback does. */
static void *
talk(void *argument)
{
	struct minivmm_device *dev = argument;
	struct helper *h = minivmm_state(dev);

	while (!sem_wait(&h->work) && !__atomic_load_n(&h->ends, __ATOMIC_ACQUIRE)) {
		const char *error;
		struct job job;
		uint64_t answer = ~0ull;

		pthread_mutex_lock(&h->lock);
		job = h->jobs[h->first++ % JOBS];
		pthread_mutex_unlock(&h->lock);
		error = ask(h, &job, &answer);
		pthread_mutex_lock(&h->lock);
		if (job.capture && job.capture == h->capture && !error)
			h->sum = answer;
		pthread_mutex_unlock(&h->lock);
		if (job.access)
			minivmm_complete(dev, job.access, answer);
		if (job.capture)
			minivmm_captured(dev, job.capture, error);
	}
	return NULL;
}

static int
pass_on(struct helper *h, const struct job *job)
{
	bool room;

	pthread_mutex_lock(&h->lock);
	room = h->last - h->first < JOBS;
	if (room)
		h->jobs[h->last++ % JOBS] = *job;
	if (job->capture)
		h->capture = job->capture;
	pthread_mutex_unlock(&h->lock);
	if (room)
		sem_post(&h->work);
	return room ? 0 : -1;
}

/* The state is in the helper process: save comes when the thread has it. */
static int
helper_capture(struct minivmm_device *dev)
{
	struct job job = { .request = SAVE, .capture = minivmm_capture_defer(dev) };

	return job.capture && !pass_on(minivmm_state(dev), &job) ? MINIVMM_PENDING : -1;
}

/* The snapshot is complete, or was cancelled: an answer that comes now is not the state. */
static int
helper_resume(struct minivmm_device *dev)
{
	struct helper *h = minivmm_state(dev);

	pthread_mutex_lock(&h->lock);
	h->capture = 0;
	pthread_mutex_unlock(&h->lock);
	return 0;
}
/* end of the example */

static int
access_helper(struct minivmm_device *dev, const struct minivmm_access *a, enum request request,
	      uint64_t number)
{
	struct job job = { request, number, minivmm_defer(dev, a), 0 };

	return job.access && !pass_on(minivmm_state(dev), &job) ? MINIVMM_PENDING : -1;
}

static int
helper_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	return access_helper(dev, a, READ, 0);
}

static int
helper_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	return access_helper(dev, a, ADD, value);
}

static int
start_helper(struct minivmm_device *dev, struct helper *h)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
		minivmm_error(dev, "cannot create a socket: %s",
			      minivmm_error_text(dev, MINIVMM_CALL_OTHER, errno).text);
		return -1;
	}
	h->process = fork();
	if (!h->process) {
		close(ends[0]);
		serve(ends[1], h->failure);
	}
	close(ends[1]);
	h->socket = ends[0];
	if (h->process < 0 || pthread_create(&h->thread, NULL, talk, dev)) {
		minivmm_error(dev, "cannot start the helper process");
		return -1;
	}
	return 0;
}

static int
helper_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct helper *h = minivmm_state(dev);
	struct job job = { .request = SET, .number = h->sum };

	if (h->socket < 0 && start_helper(dev, h))
		return -1;
	helper_resume(dev); /* a reset: start replaces resume */
	return start->reason == MINIVMM_FRESH ? 0 : pass_on(h, &job);
}

static int
helper_configure(struct minivmm_device *dev)
{
	struct helper *h = minivmm_state(dev);

	h->socket = -1;
	pthread_mutex_init(&h->lock, NULL);
	sem_init(&h->work, 0, 0);
	return 0;
}

static void
helper_destroy(struct minivmm_device *dev)
{
	struct helper *h = minivmm_state(dev);

	if (h->socket >= 0) {
		__atomic_store_n(&h->ends, true, __ATOMIC_RELEASE);
		shutdown(h->socket, SHUT_RDWR);
		sem_post(&h->work);
		if (h->thread)
			pthread_join(h->thread, NULL);
		close(h->socket);
	}
	if (h->process > 0) {
		kill(h->process, SIGKILL); /* it may wait */
		waitpid(h->process, NULL, 0);
	}
	sem_destroy(&h->work);
	pthread_mutex_destroy(&h->lock);
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(ENUM, struct helper, failure, "nothing", "of the first capture",
			  .values = failures, .flags = MINIVMM_HOST),
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0x10",
	  .length = 4,
	  .read = helper_read,
	  .write = helper_write },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct helper, sum, .help = "the state of the helper process"),
	MINIVMM_END,
};

static const struct minivmm_plugin helper = {
	.name = "helper",
	.summary = "a device with a helper process",
	.state_version = 1,
	.state_size = sizeof(struct helper),
	.options = options,
	.ranges = ranges,
	.fields = fields,
	.configure = helper_configure,
	.start = helper_start,
	.capture = helper_capture,
	.resume = helper_resume,
	.destroy = helper_destroy,
	.capture_deadline = 100000000000, /* 100 s */
};
MINIVMM_REGISTER(helper, MINIVMM_DEFERRED_ACCESS, MINIVMM_DEFERRED_CAPTURE);
