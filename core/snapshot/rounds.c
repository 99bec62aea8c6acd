/* SPDX-License-Identifier: BSD-2-Clause */
/* What a snapshot does with memory: the rounds before the stop, the stop itself, the rest. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mutant.h"
#include "machine/dirty.h"
#include "snapshot/capture.h"
#include "snapshot/sections.h"

#define FEW 64u    /* pages: so many are copied in the stop, or some more */
#define ASIDE 256u /* pages: the stop has room for them from the beginning */
#define MANY 4096u /* pages: copying them costs more than a fork */
#define ROUNDS_MAX 30u
#define SLOW_ROUNDS 3u /* that did not leave much less than the one before */

uint64_t
capture_count(const struct capture *c)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < memory_words(&c->machine->memory); i++)
		sum += (uint64_t)__builtin_popcountll(c->todo[i]);
	return sum;
}

int
capture_dirty(struct capture *c, bool more)
{
	if (!more)
		memset(c->todo, 0, memory_words(&c->machine->memory) * sizeof(*c->todo));
	return dirty_poll(c->machine, c->todo);
}

/*
 * Changes are tracked from here on, and those since the base become known: of a restored machine,
 * whose changes nobody has tracked, by what its memory has that the file does not.
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
		r = capture_dirty(c, false);
	if (!r && c->request.diff && !c->base.known)
		r = fail(STATUS_HOST,
			 "cannot write snapshot %s: what has changed since the restore can't be "
			 "known here; take a full one",
			 c->output.path);
	if (c->request.diff)
		memcpy(c->todo, c->since, words * sizeof(*c->todo));
	else
		memory_maybe_nonzero(&c->machine->memory, c->todo);
	c->total = capture_count(c);
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

/*
 * A host takes longer to find a page than to copy one. Not with zeros: of that the compiler makes a
 * calloc(), which finds none.
 */
void
capture_make_room(struct capture *c)
{
	c->aside = malloc(ASIDE * PAGE_SIZE);
	c->aside_pages = c->aside ? ASIDE : 0;
	if (c->aside)
		memset(c->aside, 0xff, ASIDE * PAGE_SIZE);
}

/* What has been had is given again, and its pages with it. */
void
capture_make_heap(void)
{
	void *room = malloc(CAPTURE_HEAP);

	if (room)
		explicit_bzero(room, CAPTURE_HEAP); /* which no compiler leaves out */
	free(room);
}

/* Rounds until few pages are left; or until there is no hope of that. */
int
capture_copy(struct capture *c)
{
	uint64_t left = UINT64_MAX, before;
	unsigned slow = 0;
	int r = first_pages(c);

	capture_make_room(c);
	while (!r) {
		r = image_write(&c->image, c->todo);
		c->result.rounds++;
		if (!r)
			r = capture_dirty(c, false);
		before = left;
		left = capture_count(c);
		c->total += left;
		slow = left > before / 4 * 3 ? slow + 1 : 0;
		if (left <= FEW || slow == SLOW_ROUNDS || c->result.rounds == ROUNDS_MAX)
			break;
	}
	/* These, unless a fork takes care of them in one piece. */
	if (mutant("capture", "rounds"))
		return r;
	c->kept = left > MANY && c->result.method == METHOD_AUTO && capture_can_fork(c);
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
			return fail(STATUS_HOST, "cannot write snapshot %s: no memory",
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

/*
 * A child keeps what it says and writes through: what the machine closes meanwhile is closed, and
 * whoever is at the other end need not wait for the child to know. (A kernel before 5.9 can't do
 * that; he waits.)
 */
static void
close_others(int kept)
{
	if (kept > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, (unsigned)kept - 1, 0);
	close_range(kept > STDERR_FILENO ? (unsigned)kept + 1 : STDERR_FILENO + 1, UINT_MAX, 0);
}

/* A child has the memory as it is now; it writes the last pages and is gone. */
static int
fork_child(struct capture *c)
{
	pid_t parent = getpid(), child = fork();
	int r;

	if (child < 0)
		return fail(STATUS_HOST, "cannot write snapshot %s: fork: %s", c->output.path,
			    strerror(errno));
	if (child) {
		pthread_mutex_lock(&c->lock);
		c->child = child;
		pthread_mutex_unlock(&c->lock);
		return 0;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(STATUS_IO);
	close_others(c->output.fd);
	r = mutant("capture", "child") ? 0 : image_write(&c->image, c->todo);
	if (r)
		why_set(&c->image.shared->why, "%s", fail_text());
	c->image.shared->begun = c->output.begun;
	c->image.shared->size = c->output.size;
	_exit(-r);
}

int
capture_state(struct capture *c)
{
	struct section_context context = section_context(c->machine, c->devices);
	int r = devices_capture(c->devices); /* first: it may change options */

	return r ? r : sections_save(&context, SAVED_IN_STOP, &c->meta);
}

/* What must be done while the machine stands still. Main thread, machine paused. */
int
capture_take(struct capture *c)
{
	int r = capture_state(c);

	if (r || c->result.method == METHOD_PAUSE)
		return r;
	/* A fork's first look is this one. */
	r = c->result.rounds ? capture_dirty(c, c->kept) : first_pages(c);
	if (r)
		return r;
	c->result.late = capture_count(c);
	if (c->result.method == METHOD_AUTO)
		c->result.method =
		    c->result.late > MANY && capture_can_fork(c) ? METHOD_FORK : METHOD_PRECOPY;
	return c->result.method == METHOD_FORK ? fork_child(c) : put_aside(c);
}

static int
write_aside(struct capture *c)
{
	size_t at = 0;
	int r = 0;

	for (size_t i = 0;
	     i < memory_words(&c->machine->memory) && !r && !mutant("capture", "last"); i++)
		for (uint64_t word = c->todo[i]; word && !r; word &= word - 1)
			r = image_write_copy(&c->image, i * 64 + (uint64_t)__builtin_ctzll(word),
					     c->aside + at++ * PAGE_SIZE, 1);
	return r;
}

static int
wait_for_child(struct capture *c)
{
	pid_t child = c->child;
	siginfo_t info;
	int status = 0, r;

	/* Its number is not another's before we have taken it, which nobody kills meanwhile. */
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
			    strerror(errno));
	r = output_left(&c->output);
	if (r)
		return r;
	if (WIFSIGNALED(status))
		return fail(STATUS_HOST, "cannot write snapshot %s: its writer was killed by %s",
			    c->output.path, strsignal(WTERMSIG(status)));
	/* It has logged that itself. */
	if (WEXITSTATUS(status))
		return capture_note(c, -WEXITSTATUS(status), c->image.shared->why.text);
	/* A stream goes on behind what the child has sent. */
	c->output.begun = c->image.shared->begun;
	c->output.size = c->image.shared->size;
	return 0;
}

/* After the stop. */
int
capture_rest(struct capture *c)
{
	int r;

	if (c->result.method == METHOD_PAUSE) {
		r = first_pages(c);
		if (!r)
			r = image_write(&c->image, c->todo);
	} else
		r = c->child ? wait_for_child(c) : write_aside(c);
	if (!r)
		r = output_left(&c->output);
	/* What a file has lost looks like a hole of zeros. */
	if (!r)
		r = memory_check_files(&c->machine->memory);
	if (!r)
		r = devices_capture_sync(c->devices);
	return r ? r
		 : image_commit(&c->image, &c->meta, &c->header, c->request.diff ? c->since : NULL);
}
