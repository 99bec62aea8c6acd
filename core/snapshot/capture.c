/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs a snapshot: main thread and writer thread, its phases, and its result. */
#include "snapshot/capture.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/log.h"
#include "base/socket.h"
#include "machine/dirty.h"
#include "snapshot/reset.h"
#include "snapshot/sections.h"

int
capture_set_error(struct capture *c, int r, const char *text)
{
	if (r && !c->result.status) {
		c->result.status = r;
		snprintf(c->result.text, sizeof(c->result.text), "%s", text);
	}
	return r;
}

static int
set_error(struct capture *c, int r)
{
	return capture_set_error(c, r, fail_text());
}

static void
stop(struct capture *c)
{
	struct machine *m = c->machine;
	int r, resumed;

	c->stop_began = clock_host();
	r = machine_pause(m, PAUSE_SNAPSHOT);
	if (!r)
		r = capture_in_stop(c);
	c->stays_paused = !r && c->result.method == METHOD_PAUSE;
	c->stop_ended = clock_host();
	resumed = c->stays_paused ? 0 : machine_resume(m, PAUSE_SNAPSHOT);
	set_error(c, r ? r : resumed);
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
		abort(); /* cannot happen: the eventfd is far below its limit */
}

static void *
writer(void *argument)
{
	struct capture *c = argument;

	capture_make_room(c);
	if (c->result.method != METHOD_PAUSE)
		set_error(c, capture_before_stop(c));
	if (!c->result.status) {
		phase_set(c, CAPTURE_WANTS_STOP);
		pthread_mutex_lock(&c->lock);
		while (c->phase == CAPTURE_WANTS_STOP)
			pthread_cond_wait(&c->changed, &c->lock);
		pthread_mutex_unlock(&c->lock);
	}
	if (!c->result.status)
		set_error(c, capture_after_stop(c));
	if (c->result.status)
		output_discard(&c->output);
	phase_set(c, CAPTURE_ENDED);
	return NULL;
}

/* Updates the base after a success, completes the result and frees everything. */
static void
clean_up(struct capture *c)
{
	/* output.done: the file is in place, even if syncing the folder failed. */
	if ((!c->result.status || c->output.done) && c->request.track && !c->request.apart)
		capture_base_set(c);
	if (c->image.shared) {
		c->result.pages = atomic_load(&c->image.shared->pages) +
				  c->result.stop_pages * (c->result.method == METHOD_PRECOPY);
		c->result.bytes = atomic_load(&c->image.shared->bytes);
	}
	c->result.duration = clock_host() - c->started;
	memcpy(c->result.id, c->header.id, sizeof(c->result.id));
	devices_capture_end(c->devices);
	image_free(&c->image);
	output_close(&c->output);
	snapshot_meta_free(&c->meta);
	free(c->copies);
	c->copies = NULL;
	c->copies_max = 0;
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
	c->result.stopped = machine_downtime(c->machine, c->stop_began, c->stop_ended);
	if (!c->result.stopped) /* the machine is still paused, by us or for another reason */
		c->result.stopped =
		    (c->stays_paused ? clock_host() : c->stop_ended) - c->stop_began;
	if (c->stays_paused) {
		c->stays_paused = false;
		set_error(c, machine_resume(c->machine, PAUSE_SNAPSHOT));
	}
	clean_up(c);
	result = c->result;
	done(context, &result);
}

/* The writer thread has set a phase. */
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
		.event = { .fd = -1, .ready = event_ready, .context = c, .outer = true },
		.event_fd = fd,
	};
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	c->watch.pages = c->since;
	if (c->since)
		dirty_watch_add(machine, &c->watch);
	if (fd < 0 || !c->since || !c->todo)
		return fail(STATUS_HOST, "cannot prepare for snapshots: %s",
			    limit_error(errno).text);
	return 0;
}

void
capture_free(struct capture *c)
{
	if (c->event_fd >= 0)
		close(c->event_fd);
	dirty_watch_remove(c->machine, &c->watch);
	free(c->since);
	free(c->todo);
	capture_base_free(c);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->changed);
}

/* Opens the output and saves the sections that do not need a stop. */
static int
begin(struct capture *c, const struct capture_request *request)
{
	struct section_context context = section_context(c->machine, c->devices);
	int r;

	c->request = *request;
	c->result = (struct capture_result){ .method = request->method, .diff = request->diff };
	c->header = (struct snapshot_header){ .version = 0 };
	c->todo_left = false;
	atomic_store(&c->cancelled, OUTPUT_NOT_CANCELLED);
	c->total = 0;
	c->started = clock_host();
	c->phase = CAPTURE_COPYING;
	c->request.path = strdup(request->path);
	if (request->open_file)
		r = output_open_file(&c->output, request->fd, request->path);
	else
		r = request->fd >= 0 ? output_open_fd(&c->output, request->fd, request->path)
				     : output_open(&c->output, request->path);
	if (!r && !c->request.path)
		r = fail_memory("writing snapshot %s", request->path);
	if (!r && getrandom(c->header.id, sizeof(c->header.id), 0) != sizeof(c->header.id))
		r = fail(STATUS_HOST, "cannot write snapshot %s: getrandom failed", request->path);
	if (!r)
		r = image_init(&c->image, &c->output, &c->machine->memory);
	if (!r)
		r = output_resize(&c->output, SNAPSHOT_MEMORY_OFFSET + c->machine->memory.size);
	c->output.cancelled = &c->cancelled;
	c->output.poll = request->poll;
	c->output.context = request->context;
	if (request->diff) {
		memcpy(c->header.parent, c->base.id, sizeof(c->header.parent));
		c->header.parent_checksum = c->base.checksum;
	}
	context.parent = request->diff ? c->base.name : NULL;
	r = r ? r : sections_save(&context, SAVED_BEFORE_STOP, &c->meta);
	c->busy = true;
	return r;
}

/* Refuses what would fail later. */
static int
check(const struct capture *c, const struct capture_request *request)
{
	if (c->busy)
		return fail(STATUS_USAGE,
			    "cannot write snapshot %s: another snapshot is in progress; "
			    "wait for it or cancel it",
			    request->path);
	if (request->diff && !c->base.known)
		return fail(STATUS_USAGE,
			    "cannot write snapshot %s: a diff needs an earlier snapshot; "
			    "take a full snapshot first",
			    request->path);
	if (request->diff && capture_base_is_full(&c->base))
		return fail(STATUS_USAGE,
			    "cannot write snapshot %s: the chain of %zu snapshots cannot grow; "
			    "take a full snapshot, or restore from a file that minivmm flatten "
			    "makes of the chain",
			    request->path, c->base.ancestor_count);
	if (request->diff && request->fd < 0 && capture_base_needs(c, request->path))
		return fail(STATUS_USAGE,
			    "cannot write snapshot %s: the diff needs the snapshot that is in this "
			    "file now; name another file",
			    request->path);
	if (request->method == METHOD_FORK && !capture_can_fork(c))
		return fail(STATUS_USAGE,
			    "cannot write snapshot %s: method fork needs private memory, and the "
			    "machine has a memory_file; use another method",
			    request->path);
	return 0;
}

int
capture_start(struct capture *c, const struct capture_request *request)
{
	sigset_t all, before;
	int r = check(c, request);

	if (r) {
		if (request->fd >= 0 && !request->open_file)
			socket_close_passed(request->fd);
		return r;
	}
	r = begin(c, request);
	if (!r && loop_add(&c->machine->loop, &c->event, c->event_fd, EPOLLIN))
		r = fail(STATUS_HOST, "cannot write snapshot %s: epoll_ctl: %s", request->path,
			 limit_error(errno).text);
	if (!r) {
		capture_estimate(c);
		sigfillset(&all);
		/* A blocked fault would kill the process without a message. */
		sigdelset(&all, SIGSEGV);
		sigdelset(&all, SIGBUS);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		r = -pthread_create(&c->thread, NULL, writer, c);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		if (r)
			r = fail(STATUS_HOST, "cannot write snapshot %s: pthread_create: %s",
				 request->path, limit_error_of(LIMIT_THREAD, -r).text);
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

	paused.method = METHOD_PAUSE;
	if (r) {
		if (request->fd >= 0 && !request->open_file)
			socket_close_passed(request->fd);
		return r;
	}
	r = begin(c, &paused);
	if (!r)
		r = capture_state(c);
	if (!r)
		r = capture_after_stop(c);
	set_error(c, r);
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

/* Keeps the first reason. */
static void
cancel(struct capture *c, enum output_cancel reason)
{
	int none = OUTPUT_NOT_CANCELLED;

	if (!c->busy)
		return;
	atomic_compare_exchange_strong(&c->cancelled, &none, (int)reason);
	pthread_mutex_lock(&c->lock);
	if (c->child)
		kill(c->child, SIGKILL);
	pthread_mutex_unlock(&c->lock);
}

void
capture_cancel(struct capture *c)
{
	cancel(c, OUTPUT_CANCELLED);
}

void
capture_machine_ended(struct capture *c)
{
	cancel(c, OUTPUT_MACHINE_ENDED);
}

bool
capture_is_cancelled(const struct capture *c)
{
	return c->busy && atomic_load(&c->cancelled) != OUTPUT_NOT_CANCELLED;
}

void
capture_end(struct capture *c)
{
	if (!c->busy)
		return;
	cancel(c, OUTPUT_MACHINE_ENDED);
	pthread_mutex_lock(&c->lock);
	while (c->phase != CAPTURE_ENDED) {
		if (c->phase == CAPTURE_WANTS_STOP) {
			set_error(c, output_check_cancel(&c->output));
			c->phase = CAPTURE_STOPPED;
			pthread_cond_broadcast(&c->changed);
		}
		pthread_cond_wait(&c->changed, &c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	ended(c);
}

int
capture_reset(struct capture *c, struct reset *reset)
{
	bool is_base = c->base.known && !memcmp(c->base.id, reset->snapshot->header.id, 16);
	int r = reset_run(reset);

	/* The machine is at its base again, and the dirty log is empty. */
	if (!r && is_base) {
		memset(c->since, 0, memory_words(&c->machine->memory) * sizeof(*c->since));
		c->base.tracked = true;
	}
	return r;
}

int64_t
capture_poll_dirty(struct capture *c)
{
	if (c->busy || !dirty_on(c->machine) || capture_poll(c, false))
		return -1;
	return (int64_t)capture_todo_count(c);
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
