/* SPDX-License-Identifier: BSD-2-Clause */
/* The course of a snapshot: rounds of copying, the stop, the end. */
#include "snapshot/capture.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "machine/dirty.h"
#include "snapshot/reset.h"

#define FEW 64u    /* pages: so many are copied in the stop */
#define MANY 4096u /* pages: copying them costs more than a fork */
#define ROUNDS_MAX 30u
#define SLOW_ROUNDS 3u /* that did not leave much less than the one before */

const char *const capture_methods[] = { "auto", "precopy", "fork", "pause", NULL };

static uint64_t
count(const uint64_t *pages, size_t words)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < words; i++)
		sum += (uint64_t)__builtin_popcountll(pages[i]);
	return sum;
}

/*
 * What has been written since the last look is to be written next, and is no longer as in the base. more: so is what
 * was to be written before.
 */
static int
look(struct capture *c, bool more)
{
	size_t words = memory_words(&c->machine->memory);
	int r;

	if (!more)
		memset(c->todo, 0, words * sizeof(*c->todo));
	r = dirty_look(c->machine, c->todo);
	for (size_t i = 0; i < words; i++)
		c->since[i] |= c->todo[i];
	return r;
}

/*
 * Changes are tracked from here on, and those since the base become known: of a restored machine, whose changes
 * nobody has tracked, by what its memory has that the file does not.
 */
static int
track(struct capture *c)
{
	int r = c->request.track ? dirty_start(c->machine) : 0;

	if (r || !c->request.track || c->base.tracked || !c->base.known)
		return r;
	if (!memory_private_pages(&c->machine->memory, c->since))
		c->base.known = false;
	c->base.tracked = c->base.known;
	return 0;
}

/* The pages that a snapshot without a round before it has. */
static int
first_pages(struct capture *c)
{
	size_t words = memory_words(&c->machine->memory);
	int r = track(c);

	if (!r && dirty_on(c->machine))
		r = look(c, false);
	if (!r && c->request.diff && !c->base.known)
		r = fail(STATUS_HOST,
			 "can't write snapshot %s: what has changed since the restore can't be "
			 "known here; take a full one",
			 c->output.path);
	if (c->request.diff)
		memcpy(c->todo, c->since, words * sizeof(*c->todo));
	else
		memory_candidates(&c->machine->memory, c->todo);
	c->total = count(c->todo, words);
	return r;
}

static bool
can_fork(const struct capture *c)
{
	for (uint32_t i = 0; i < c->machine->memory.count; i++)
		if (c->machine->memory.regions[i].shared)
			return false;
	return true;
}

/* Rounds until few pages are left; or until there is no hope of that. */
static int
copy(struct capture *c)
{
	size_t words = memory_words(&c->machine->memory);
	uint64_t left = UINT64_MAX, before;
	unsigned slow = 0;
	int r = first_pages(c);

	while (!r) {
		r = image_write(&c->image, c->todo);
		c->result.rounds++;
		if (!r)
			r = look(c, false);
		before = left;
		left = count(c->todo, words);
		c->total += left;
		slow = left > before / 4 * 3 ? slow + 1 : 0;
		if (left <= FEW || slow == SLOW_ROUNDS || c->result.rounds == ROUNDS_MAX)
			break;
	}
	/* These, unless a fork takes care of them in one piece. */
	c->kept = left > MANY && c->result.method == CAPTURE_AUTO && can_fork(c);
	return r || c->kept ? r : image_write(&c->image, c->todo);
}

/* Copies the last pages, so that the machine can go on. */
static int
put_aside(struct capture *c)
{
	const struct memory *memory = &c->machine->memory;
	size_t at = 0;

	if (c->result.late > c->aside_pages) {
		uint8_t *more = realloc(c->aside, c->result.late * PAGE_SIZE);

		if (!more)
			return fail(STATUS_HOST, "can't write snapshot %s: no memory",
				    c->output.path);
		c->aside = more;
		c->aside_pages = c->result.late;
	}
	for (size_t i = 0; i < memory_words(memory); i++)
		for (uint64_t word = c->todo[i]; word; word &= word - 1) {
			uint64_t page = i * 64 + (uint64_t)__builtin_ctzll(word);

			memcpy(c->aside + at++ * PAGE_SIZE, memory_page(memory, page), PAGE_SIZE);
		}
	return 0;
}

/* A child has the memory as it is now; it writes the last pages and is gone. */
static int
fork_child(struct capture *c)
{
	pid_t parent = getpid(), child = fork();
	int r;

	if (child < 0)
		return fail(STATUS_HOST, "can't write snapshot %s: fork: %s", c->output.path,
			    strerror(errno));
	if (child) {
		c->child = child;
		return 0;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(STATUS_IO);
	r = image_write(&c->image, c->todo);
	_exit(-r);
}

/* What must be done while the machine stands still. Main thread, machine paused. */
static int
take(struct capture *c)
{
	size_t words = memory_words(&c->machine->memory);
	int r = capture_state(c);

	if (r || c->result.method == CAPTURE_PAUSE)
		return r;
	/* A fork's first look is this one. */
	r = c->result.rounds ? look(c, c->kept) : first_pages(c);
	if (r)
		return r;
	c->result.late = count(c->todo, words);
	if (c->result.method == CAPTURE_AUTO)
		c->result.method =
		    c->result.late > MANY && can_fork(c) ? CAPTURE_FORK : CAPTURE_PRECOPY;
	return c->result.method == CAPTURE_FORK ? fork_child(c) : put_aside(c);
}

static void
stop(struct capture *c)
{
	bool runs = c->machine->state == MACHINE_RUNNING;
	uint64_t before = clock_host();
	int r = machine_pause(c->machine);

	c->stops = true;
	if (!r)
		r = take(c);
	if (runs && (r || c->result.method != CAPTURE_PAUSE)) {
		int resumed = machine_go_on(c->machine);

		r = r ? r : resumed;
		c->stops = false;
	}
	c->result.stopped = clock_host() - before;
	if (r) {
		c->result.status = r;
		snprintf(c->result.text, sizeof(c->result.text), "%s", fail_text());
	}
}

static int
write_aside(struct capture *c)
{
	size_t at = 0;
	int r = 0;

	for (size_t i = 0; i < memory_words(&c->machine->memory) && !r; i++)
		for (uint64_t word = c->todo[i]; word && !r; word &= word - 1)
			r = image_write_copy(&c->image, i * 64 + (uint64_t)__builtin_ctzll(word),
					     c->aside + at++ * PAGE_SIZE);
	return r;
}

static int
wait_for_child(struct capture *c)
{
	int status;

	while (waitpid(c->child, &status, 0) < 0)
		if (errno != EINTR)
			return fail(STATUS_HOST, "can't write snapshot %s: waitpid: %s",
				    c->output.path, strerror(errno));
	c->child = 0;
	if (c->cancelled)
		return fail(STATUS_IO, "snapshot %s was cancelled", c->output.path);
	if (WIFSIGNALED(status))
		return fail(STATUS_HOST, "can't write snapshot %s: its writer was killed by %s",
			    c->output.path, strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status))
		return fail((enum status)WEXITSTATUS(status),
			    "can't write snapshot %s: its writer failed, as said above",
			    c->output.path);
	return 0;
}

/* After the stop. */
static int
rest(struct capture *c)
{
	int r;

	if (c->result.method == CAPTURE_PAUSE) {
		r = first_pages(c);
		if (!r)
			r = image_write(&c->image, c->todo);
	} else
		r = c->child ? wait_for_child(c) : write_aside(c);
	if (!r && c->cancelled)
		r = fail(STATUS_IO, "snapshot %s was cancelled", c->output.path);
	/* What a file has lost looks like a hole of zeros. */
	if (!r)
		r = memory_whole(&c->machine->memory);
	return r ? r
		 : image_commit(&c->image, &c->meta, &c->header, c->request.diff ? c->since : NULL);
}

static void
phase_set(struct capture *c, int phase)
{
	uint64_t one = 1;

	pthread_mutex_lock(&c->lock);
	c->phase = phase;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	if (phase != CAPTURE_STOPPED && write(c->event.fd, &one, sizeof(one)) < 0)
		abort(); /* an eventfd of ours */
}

static void
note(struct capture *c, int r)
{
	if (r && !c->result.status) {
		c->result.status = r;
		snprintf(c->result.text, sizeof(c->result.text), "%s", fail_text());
	}
}

static void *
writer(void *argument)
{
	struct capture *c = argument;

	if (c->result.method == CAPTURE_AUTO || c->result.method == CAPTURE_PRECOPY)
		note(c, copy(c));
	if (!c->result.status) {
		phase_set(c, CAPTURE_WANTS_STOP);
		pthread_mutex_lock(&c->lock);
		while (c->phase == CAPTURE_WANTS_STOP)
			pthread_cond_wait(&c->changed, &c->lock);
		pthread_mutex_unlock(&c->lock);
	}
	if (!c->result.status)
		note(c, rest(c));
	phase_set(c, CAPTURE_ENDED);
	return NULL;
}

/* The new snapshot is what the next one differs from: all later changes are still in the log. */
static void
new_base(struct capture *c)
{
	const char *slash = strrchr(c->request.path, '/');

	free(c->base.name);
	c->base = (struct capture_base){
		.known = true,
		.tracked = true,
		.checksum = c->header.checksum,
		.name = c->request.fd < 0 ? strdup(slash ? slash + 1 : c->request.path) : NULL,
	};
	memcpy(c->base.id, c->header.id, sizeof(c->base.id));
	memset(c->since, 0, memory_words(&c->machine->memory) * sizeof(*c->since));
}

/* Whatever became of it. */
static void
clean_up(struct capture *c)
{
	if (!c->result.status && c->request.track)
		new_base(c);
	if (c->image.shared) {
		c->result.pages = atomic_load(&c->image.shared->pages) +
				  c->result.late * (c->result.method == CAPTURE_PRECOPY);
		c->result.bytes = atomic_load(&c->image.shared->bytes);
	}
	c->result.duration = clock_host() - c->began;
	memcpy(c->result.id, c->header.id, sizeof(c->result.id));
	image_free(&c->image);
	output_close(&c->output);
	snapshot_meta_free(&c->meta);
	free(c->aside);
	c->aside = NULL;
	c->aside_pages = 0;
	free((char *)c->request.path);
	c->request.path = NULL;
	c->busy = false;
}

static void
ended(struct capture *c)
{
	void (*done)(void *context, const struct capture_result *result) = c->request.done;
	void *context = c->request.context;
	struct capture_result result;

	pthread_join(c->thread, NULL);
	loop_remove(&c->machine->loop, &c->event);
	if (c->stops) {
		c->result.stopped = clock_host() - c->began;
		c->stops = false;
		note(c, machine_go_on(c->machine));
	}
	clean_up(c);
	result = c->result;
	done(context, &result);
}

/* The writer wants something. */
static void
event_ready(struct loop_source *source, uint32_t events)
{
	struct capture *c = source->context;
	uint64_t number;
	int phase;

	if (read(source->fd, &number, sizeof(number)) < 0)
		return;
	pthread_mutex_lock(&c->lock);
	phase = c->phase;
	pthread_mutex_unlock(&c->lock);
	if (phase == CAPTURE_WANTS_STOP) {
		stop(c);
		phase_set(c, CAPTURE_STOPPED);
	} else if (phase == CAPTURE_ENDED)
		ended(c);
}

int
capture_init(struct capture *c, struct machine *machine, struct devices *devices)
{
	size_t words = memory_words(&machine->memory) + 1;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	*c = (struct capture){
		.machine = machine,
		.devices = devices,
		.since = calloc(words, sizeof(uint64_t)),
		.todo = calloc(words, sizeof(uint64_t)),
		.event = { .fd = -1, .ready = event_ready, .context = c },
		.event_fd = fd,
	};
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	if (fd < 0 || !c->since || !c->todo)
		return fail(STATUS_HOST, "can't prepare for snapshots: %s", strerror(errno));
	return 0;
}

void
capture_restored(struct capture *c, const struct snapshot *snapshot)
{
	const char *slash = strrchr(snapshot->path, '/');

	c->base.known = true;
	c->base.tracked = dirty_on(c->machine);
	c->base.checksum = snapshot->header.checksum;
	memcpy(c->base.id, snapshot->header.id, sizeof(c->base.id));
	c->base.name = strdup(slash ? slash + 1 : snapshot->path);
}

void
capture_free(struct capture *c)
{
	if (c->event_fd >= 0)
		close(c->event_fd);
	free(c->since);
	free(c->todo);
	free(c->base.name);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->changed);
}

/* The part before any copying. */
static int
begin(struct capture *c, const struct capture_request *request)
{
	int r;

	c->request = *request;
	c->result = (struct capture_result){ .method = request->method, .diff = request->diff };
	c->header = (struct snapshot_header){ .version = 0 };
	c->cancelled = c->kept = false;
	c->total = 0;
	c->began = clock_host();
	c->phase = CAPTURE_COPYING;
	c->request.path = strdup(request->path);
	r = request->fd >= 0 ? output_open_fd(&c->output, request->fd, request->path)
			     : output_open(&c->output, request->path);
	if (!r && !c->request.path)
		r = fail(STATUS_HOST, "can't write snapshot %s: no memory", request->path);
	if (!r && getrandom(c->header.id, sizeof(c->header.id), 0) != sizeof(c->header.id))
		r = fail(STATUS_HOST, "can't write snapshot %s: no random id", request->path);
	if (!r)
		r = image_init(&c->image, &c->output, &c->machine->memory);
	if (!r)
		r = output_resize(&c->output, SNAPSHOT_MEMORY_OFFSET + c->machine->memory.size);
	c->output.cancelled = c->image.cancelled = &c->cancelled;
	if (request->diff) {
		memcpy(c->header.parent, c->base.id, sizeof(c->header.parent));
		c->header.parent_checksum = c->base.checksum;
	}
	c->busy = true;
	return r;
}

/* Can it be taken at all? */
static int
check(const struct capture *c, const struct capture_request *request)
{
	if (c->busy)
		return fail(STATUS_USAGE,
			    "can't write snapshot %s: another one is under way; wait for it, or "
			    "cancel it",
			    request->path);
	if (request->diff && !c->base.known)
		return fail(STATUS_USAGE,
			    "can't write snapshot %s: there is none that it could differ from; "
			    "take a full one first",
			    request->path);
	if (request->method == CAPTURE_FORK && !can_fork(c))
		return fail(STATUS_USAGE,
			    "can't write snapshot %s: method fork needs memory of the machine's "
			    "own, not a memory_file",
			    request->path);
	return 0;
}

int
capture_start(struct capture *c, const struct capture_request *request)
{
	sigset_t all, before;
	int r = check(c, request);

	if (r) {
		if (request->fd >= 0)
			close(request->fd);
		return r;
	}
	r = begin(c, request);
	if (!r && loop_add(&c->machine->loop, &c->event, c->event_fd, EPOLLIN))
		r = fail(STATUS_HOST, "can't wait for the snapshot: %s", strerror(errno));
	if (!r) {
		c->aside = malloc(FEW * 4 * PAGE_SIZE);
		c->aside_pages = c->aside ? FEW * 4 : 0;
		if (c->aside) /* here, not in the stop */
			memset(c->aside, 0, c->aside_pages * PAGE_SIZE);
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		r = -pthread_create(&c->thread, NULL, writer, c);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		if (r)
			r = fail(STATUS_HOST, "can't start a thread for the snapshot: %s",
				 strerror(-r));
	}
	if (r) {
		c->result.status = r;
		loop_remove(&c->machine->loop, &c->event);
		clean_up(c);
	}
	return r;
}

int
capture_now(struct capture *c, const struct capture_request *request, struct capture_result *result)
{
	struct capture_request paused = *request;
	int r = check(c, request);

	paused.method = CAPTURE_PAUSE;
	if (r) {
		if (request->fd >= 0)
			close(request->fd);
		return r;
	}
	r = begin(c, &paused);
	if (!r)
		r = capture_state(c);
	if (!r)
		r = rest(c);
	note(c, r);
	clean_up(c);
	if (result)
		*result = c->result;
	return r;
}

int
capture_file(struct capture *c, const char *path)
{
	return capture_now(c, &(struct capture_request){ .path = path, .fd = -1 }, NULL);
}

void
capture_cancel(struct capture *c)
{
	if (!c->busy)
		return;
	c->cancelled = true;
	if (c->child)
		kill(c->child, SIGKILL);
}

void
capture_end(struct capture *c)
{
	if (!c->busy)
		return;
	capture_cancel(c);
	pthread_mutex_lock(&c->lock);
	while (c->phase != CAPTURE_ENDED) {
		if (c->phase == CAPTURE_WANTS_STOP) {
			c->result.status = -STATUS_IO;
			snprintf(c->result.text, sizeof(c->result.text),
				 "the machine ended before snapshot %s was taken", c->output.path);
			c->phase = CAPTURE_STOPPED;
			pthread_cond_broadcast(&c->changed);
		}
		pthread_cond_wait(&c->changed, &c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	c->stops = false; /* it does not go on */
	ended(c);
}

int
capture_reset(struct capture *c, struct reset *reset)
{
	bool is_base = c->base.known && !memcmp(c->base.id, reset->snapshot->header.id, 16);
	int r = reset_run(reset, c->since);

	/* The machine is its base again, and its log is empty. */
	if (!r && is_base) {
		memset(c->since, 0, memory_words(&c->machine->memory) * sizeof(*c->since));
		c->base.tracked = true;
	}
	return r;
}

int64_t
capture_look(struct capture *c)
{
	if (c->busy || !dirty_on(c->machine) || look(c, false))
		return -1;
	return (int64_t)count(c->todo, memory_words(&c->machine->memory));
}

bool
capture_progress(const struct capture *c, uint64_t *done, uint64_t *total)
{
	if (!c->busy)
		return false;
	*done = c->image.shared ? atomic_load(&c->image.shared->pages) * PAGE_SIZE : 0;
	*total = c->total * PAGE_SIZE;
	if (*done > *total)
		*done = *total;
	return true;
}
