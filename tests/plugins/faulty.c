/* SPDX-License-Identifier: BSD-2-Clause */
/* A plugin that fails in the callback that its option selects. */
#include <minivmm/plugin.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum fault {
	NOWHERE,
	CONFIGURE,
	START,
	READ,
	WRITE,
	CRASH,
	PAUSE,
	SLOW_PAUSE,
	NOISE,
	FAILED_PAUSE,
	RESUME,
	STOP,
	SAVE,
	LOADED,
	ROWS,
	WATCH,
	STATE,
	ABORT,
	OVERFLOW,
	EXIT,
	LEAVE,
	HANG,
	HANG_START,
	MAP,
	CHILD,
	CHILD_START,
	KILLED_START
};

#define SLOW 200000000 /* ns */
#define MANY 100       /* maximum of resumes */

struct faulty {
	uint32_t in;
	bool silent;             /* fails without an error message */
	uint8_t pauses, resumes; /* state */
};

static bool
faulty_is(struct minivmm_device *dev, uint32_t fault)
{
	const struct faulty *f = minivmm_state(dev);

	if (f->in != fault)
		return false;
	if (!f->silent)
		minivmm_error(dev, "fails as configured");
	return true;
}

static int
faulty_configure(struct minivmm_device *dev)
{
	return faulty_is(dev, CONFIGURE) ? -1 : 0;
}

static void
hang(struct minivmm_device *dev)
{
	minivmm_log(dev, MINIVMM_WARNING, "hangs");
	for (volatile int i = 0;; i++)
		;
}

/* A process that does not end with _exit(). */
static void
child(void)
{
	pid_t pid = fork();

	if (!pid)
		exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/* A process with the signal handlers of minivmm that a signal ends. */
static void
signal_child(void)
{
	pid_t pid = fork();

	while (!pid)
		pause();
	if (pid > 0) {
		kill(pid, SIGTERM);
		waitpid(pid, NULL, 0);
	}
}

static int
overflow(volatile int *outer)
{
	volatile int inner[1000] = { *outer };

	return inner[0] < 0 ? 0 : overflow(inner) + inner[1];
}

static int
faulty_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	const struct faulty *f = minivmm_state(dev);

	if (f->in == HANG_START)
		hang(dev);
	if (f->in == CHILD_START)
		signal_child();
	if (f->in == KILLED_START)
		raise(SIGKILL);
	return faulty_is(dev, START) ? -1 : 0;
}

static int
faulty_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	*value = '0';
	return faulty_is(dev, READ) ? -1 : 0;
}

/* Calls each service that takes a row with an invalid one. */
static int
faulty_rows(struct minivmm_device *dev)
{
	char byte = 0;

	minivmm_timer_set(dev, 7, 1, 0);
	minivmm_timer_cancel(dev, 7);
	minivmm_post(dev, 7);
	if (minivmm_stream_readable(dev, 7) || minivmm_stream_read(dev, 7, &byte, 1) ||
	    minivmm_stream_writable(dev, 7) || minivmm_stream_write(dev, 7, &byte, 1))
		return -1;
	return minivmm_watch(dev, 7, 0, 0) ? 0 : -1;
}

static int
faulty_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct faulty *f = minivmm_state(dev);
	volatile uint8_t *nowhere = NULL;

	if (f->in == CRASH)
		*nowhere = 1;
	if (f->in == ABORT)
		abort();
	if (f->in == EXIT)
		exit(5);
	if (f->in == LEAVE)
		_exit(0);
	if (f->in == HANG)
		hang(dev);
	if (f->in == CHILD)
		child();
	if (f->in == MAP) /* and keeps it */
		return minivmm_memory_map(dev, 0x2000, 16) ? 0 : -1;
	if (f->in == OVERFLOW)
		return overflow(&(volatile int){ 1 });
	if (f->in == STATE)
		f->resumes = MANY + 1;
	if (f->in == ROWS)
		return faulty_rows(dev);
	if (f->in == WATCH)
		return minivmm_watch(dev, 0, 0, 1);
	for (int i = 0; f->in == NOISE && i < 1000; i++)
		minivmm_log(dev, MINIVMM_INFO, "noise %d", i);
	return faulty_is(dev, WRITE) ? -1 : 0;
}

/* PAUSE: never finishes its requests. SLOW_PAUSE: finishes them after SLOW. */
static int
faulty_pause(struct minivmm_device *dev)
{
	struct faulty *f = minivmm_state(dev);

	f->pauses++;
	if (faulty_is(dev, FAILED_PAUSE))
		return -1;
	if (f->in == SLOW_PAUSE)
		minivmm_timer_set(dev, 0, minivmm_now(dev) + SLOW, 0);
	return f->in == PAUSE || f->in == SLOW_PAUSE ? MINIVMM_PENDING : 0;
}

static int
faulty_done(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	minivmm_paused(dev);
	return 0;
}

static int
faulty_resume(struct minivmm_device *dev)
{
	struct faulty *f = minivmm_state(dev);

	f->resumes++;
	return faulty_is(dev, RESUME) ? -1 : 0;
}

static int
faulty_stop(struct minivmm_device *dev)
{
	return faulty_is(dev, STOP) ? -1 : 0;
}

static int
faulty_save(struct minivmm_device *dev, struct minivmm_writer *writer)
{
	return faulty_is(dev, SAVE) ? -1 : minivmm_save_fields(dev, writer);
}

static int
faulty_load(struct minivmm_device *dev, struct minivmm_reader *reader, uint32_t version)
{
	return minivmm_load_fields(dev, reader, version);
}

static int
faulty_loaded(struct minivmm_device *dev)
{
	return faulty_is(dev, LOADED) ? -1 : 0;
}

static const char *const faults[] = {
	"nowhere",    "configure",  "start",     "read",   "write",       "crash",        "pause",
	"slow-pause", "noise",      "bad-pause", "resume", "stop",        "save",         "loaded",
	"rows",       "watch",      "state",     "abort",  "overflow",    "exit",         "leave",
	"hang",       "hang-start", "map",       "child",  "child-start", "killed-start", NULL
};

static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(ENUM, struct faulty, in, "nowhere", "the callback that fails",
			  .flags = MINIVMM_HOST, .values = faults),
	MINIVMM_OPTION(struct faulty, silent, "no", "fail without a message",
		       .flags = MINIVMM_HOST),
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0x10",
	  .length = 4,
	  .read = faulty_read,
	  .write = faulty_write },
	MINIVMM_END,
};

static const struct minivmm_timer timers[] = {
	{ .name = "done", .fire = faulty_done },
	MINIVMM_END,
};

static int
faulty_ready(struct minivmm_device *dev, uint32_t watch, uint32_t events)
{
	return 0;
}

static const struct minivmm_watch watches[] = {
	{ .name = "nothing", .ready = faulty_ready },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct faulty, pauses),
	MINIVMM_FIELD(struct faulty, resumes, .max = MANY),
	MINIVMM_END,
};

static const struct minivmm_plugin faulty = {
	.name = "faulty",
	.summary = "fails",
	.state_version = 1,
	.state_size = sizeof(struct faulty),
	.options = options,
	.ranges = ranges,
	.timers = timers,
	.watches = watches,
	.fields = fields,
	.configure = faulty_configure,
	.start = faulty_start,
	.pause = faulty_pause,
	.resume = faulty_resume,
	.stop = faulty_stop,
	.save = faulty_save,
	.load = faulty_load,
	.loaded = faulty_loaded,
};
MINIVMM_REGISTER(faulty);
