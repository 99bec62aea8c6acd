/* SPDX-License-Identifier: BSD-2-Clause */
/* Copies the memory of a snapshot: in rounds before the stop, in the stop, and after it. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/mutant.h"
#include "machine/dirty.h"
#include "snapshot/capture.h"
#include "snapshot/sections.h"

#define STOP_PAGES 64u   /* the rounds end when at most this many pages are left */
#define COPIES_ROOM 256u /* pages: STOP_PAGES, and some that get dirty in the last round */
#define FORK_PAGES 4096u /* copying more than these takes longer than a fork */
#define ROUNDS_MAX 30u
#define SLOW_ROUNDS_MAX 3u /* consecutive rounds that left more than 3/4 of the round before */

uint64_t
capture_todo_count(const struct capture *c)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < memory_words(&c->machine->memory); i++)
		sum += (uint64_t)__builtin_popcountll(c->todo[i]);
	return sum;
}

int
capture_poll(struct capture *c, bool add)
{
	if (!add)
		memset(c->todo, 0, memory_words(&c->machine->memory) * sizeof(*c->todo));
	return dirty_poll(c->machine, c->todo);
}

/*
 * Starts tracking changes. If they were not tracked since the restore, the changed pages are those
 * that the kernel has copied from the mapped file; where it does not report them, the base is
 * unknown.
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

/* Sets todo to all pages of the snapshot. */
static int
first_pages(struct capture *c)
{
	size_t words = memory_words(&c->machine->memory);
	int r = track(c);

	if (!r && dirty_on(c->machine))
		r = capture_poll(c, false);
	if (!r && c->request.diff && !c->base.known)
		r = fail(STATUS_HOST,
			 "cannot write snapshot %s: this host does not report which pages have "
			 "changed since the restore; take a full snapshot",
			 c->output.path);
	if (c->request.diff)
		memcpy(c->todo, c->since, words * sizeof(*c->todo));
	else
		memory_maybe_nonzero(&c->machine->memory, c->todo);
	c->total = capture_todo_count(c);
	return r;
}

bool
capture_can_fork(const struct capture *c)
{
	for (uint32_t i = 0; i < c->machine->memory.count; i++)
		if (memory_region_at(&c->machine->memory, i)->shared)
			return false;
	return true;
}

void
capture_estimate(struct capture *c)
{
	struct section_context context = section_context(c->machine, c->devices);

	c->room = sections_room(&context);
}

/*
 * Makes room for copies of this many pages. Allocating a page takes longer than copying one, so
 * touch them all. Not with zeros: the compiler turns malloc and memset to zero into calloc, which
 * touches nothing.
 */
static void
make_room_for_copies(struct capture *c, uint64_t pages)
{
	uint8_t *more = pages > c->copies_max ? realloc(c->copies, pages * PAGE_SIZE) : NULL;

	if (!more)
		return;
	memset(more + c->copies_max * PAGE_SIZE, 0xff, (pages - c->copies_max) * PAGE_SIZE);
	c->copies = more;
	c->copies_max = pages;
}

void
capture_make_room(struct capture *c)
{
	uint64_t last = c->copied < FORK_PAGES ? c->copied : FORK_PAGES;

	record_reserve(&c->meta.body, c->room);
	make_room_for_copies(c, last > COPIES_ROOM ? last : COPIES_ROOM);
}

/* Writes memory in rounds until few pages are left or the rounds no longer get smaller. METHOD_FORK
 * only finds the pages: it looks at each page of the memory, which takes as long as the fork. */
int
capture_before_stop(struct capture *c)
{
	uint64_t left = UINT64_MAX, before, most = 0;
	unsigned slow = 0;
	int r = first_pages(c);

	c->todo_left = c->result.method == METHOD_FORK;
	while (!r && !c->todo_left) {
		r = image_write(&c->image, c->todo);
		c->result.rounds++;
		if (!r)
			r = capture_poll(c, false);
		before = left;
		left = capture_todo_count(c);
		c->total += left;
		most = left > most ? left : most;
		slow = left > before / 4 * 3 ? slow + 1 : 0;
		if (left <= STOP_PAGES || slow == SLOW_ROUNDS_MAX || c->result.rounds == ROUNDS_MAX)
			break;
	}
	if (r || c->todo_left || mutant("capture", "rounds"))
		return r;
	/* One more round, unless a fork in the stop can write these pages. */
	c->todo_left = left > FORK_PAGES && c->result.method == METHOD_AUTO && capture_can_fork(c);
	if (c->todo_left)
		return 0;
	/* As many can be dirty in the stop; METHOD_AUTO forks if they are more than FORK_PAGES. */
	make_room_for_copies(c, most < FORK_PAGES || left > FORK_PAGES ? most : FORK_PAGES);
	return image_write(&c->image, c->todo);
}

/* Copies the pages of todo, so that the machine can resume. */
static int
copy_pages(struct capture *c)
{
	const struct memory *memory = &c->machine->memory;
	size_t at = 0;

	c->copied = c->result.stop_pages;
	if (c->result.stop_pages > c->copies_max) {
		uint8_t *more = realloc(c->copies, c->result.stop_pages * PAGE_SIZE);

		if (!more)
			return fail_memory("writing snapshot %s", c->output.path);
		c->copies = more;
		c->copies_max = c->result.stop_pages;
	}
	for (size_t i = 0; i < memory_words(memory); i++)
		for (uint64_t word = c->todo[i]; word; word &= word - 1) {
			uint64_t page = i * 64 + (uint64_t)__builtin_ctzll(word);

			memcpy(c->copies + at++ * PAGE_SIZE, memory_page(memory, page), PAGE_SIZE);
		}
	return 0;
}

/* The child has a copy of the memory at this instant. It writes the pages of todo and exits. */
static int
fork_child(struct capture *c)
{
	pid_t parent = getpid(), child = fork();
	int r;

	if (child < 0)
		return fail(STATUS_HOST, "cannot write snapshot %s: fork: %s", c->output.path,
			    limit_error_of(LIMIT_THREAD, errno).text);
	if (child) {
		pthread_mutex_lock(&c->lock);
		c->child = child;
		pthread_mutex_unlock(&c->lock);
		return 0;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(STATUS_IO);
	descriptors_close_others(&(int){ c->output.fd }, 1);
	r = mutant("capture", "child") ? 0 : image_write(&c->image, c->todo);
	if (r)
		why_set(&c->image.shared->why, "%s", fail_text());
	c->image.shared->stream_started = c->output.stream_started;
	c->image.shared->size = c->output.size;
	_exit(-r);
}

/* While devices capture: 0, or a negative status if the snapshot is cancelled. */
static int
check_wait(void *context)
{
	struct capture *c = context;

	if (!c->ended_before && machine_ended(c->machine))
		capture_machine_ended(c);
	return output_check_cancel(&c->output);
}

int
capture_state(struct capture *c)
{
	struct section_context context = section_context(c->machine, c->devices);
	int r;

	c->ended_before = machine_ended(c->machine); /* the snapshot of an end */
	c->in_devices = true;
	r = devices_capture(c->devices, check_wait, c); /* first: it may change options */
	c->in_devices = false;
	return r ? r : sections_save(&context, SAVED_IN_STOP, &c->meta);
}

int
capture_in_stop(struct capture *c)
{
	int r = capture_state(c);

	if (r || c->result.method == METHOD_PAUSE)
		return r;
	r = capture_poll(c, c->todo_left);
	if (r)
		return r;
	c->result.stop_pages = capture_todo_count(c);
	if (!c->result.rounds) /* METHOD_FORK */
		c->total = c->result.stop_pages;
	if (c->result.method == METHOD_AUTO)
		c->result.method = c->result.stop_pages > FORK_PAGES && capture_can_fork(c)
				       ? METHOD_FORK
				       : METHOD_PRECOPY;
	return c->result.method == METHOD_FORK ? fork_child(c) : copy_pages(c);
}

static int
write_copies(struct capture *c)
{
	size_t at = 0;
	int r = 0;

	for (size_t i = 0;
	     i < memory_words(&c->machine->memory) && !r && !mutant("capture", "last"); i++)
		for (uint64_t word = c->todo[i]; word && !r; word &= word - 1)
			r = image_write_copy(&c->image, i * 64 + (uint64_t)__builtin_ctzll(word),
					     c->copies + at++ * PAGE_SIZE, 1);
	return r;
}

static int
wait_for_child(struct capture *c)
{
	pid_t child = c->child;
	siginfo_t info;
	int status = 0, r;

	/* Leaves a zombie, so that capture_cancel cannot kill another process with this pid. The
	 * lock covers the reaping. */
	while (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) < 0)
		if (errno != EINTR)
			break;
	pthread_mutex_lock(&c->lock);
	c->child = 0;
	if (waitpid(child, &status, 0) < 0)
		status = -1;
	pthread_mutex_unlock(&c->lock);
	if (status < 0)
		return fail(STATUS_HOST, "cannot write snapshot %s: waitpid: %s", c->output.path,
			    limit_error(errno).text);
	r = output_check_cancel(&c->output);
	if (r)
		return r;
	if (WIFSIGNALED(status))
		return fail(STATUS_HOST,
			    "cannot write snapshot %s: its child process was killed: %s",
			    c->output.path, limit_signal(WTERMSIG(status)).text);
	/* The child has logged the error. */
	if (WEXITSTATUS(status))
		return capture_set_error(c, -WEXITSTATUS(status), c->image.shared->why.text);
	/* The child has sent a part of the stream. */
	c->output.stream_started = c->image.shared->stream_started;
	c->output.size = c->image.shared->size;
	return 0;
}

int
capture_after_stop(struct capture *c)
{
	int r;

	if (c->result.method == METHOD_PAUSE) {
		r = first_pages(c);
		if (!r)
			r = image_write(&c->image, c->todo);
	} else
		r = c->child ? wait_for_child(c) : write_copies(c);
	if (!r)
		r = output_check_cancel(&c->output);
	/* If a memory_file was truncated, the lost pages were read as zeros. */
	if (!r)
		r = memory_check_files(&c->machine->memory);
	if (!r)
		r = devices_capture_sync(c->devices);
	return r ? r
		 : image_commit(&c->image, &c->meta, &c->header, c->request.diff ? c->since : NULL);
}
