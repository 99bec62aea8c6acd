/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A plugin that misbehaves in one callback, or on a thread of its own that the callback starts and
 * joins: it calls every service, crashes, exits, returns a reserved value, or waits for a file
 * named go.
 */
#define _GNU_SOURCE
#include <minivmm/plugin.h>

#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum place {
	NOWHERE,
	CONFIGURE,
	LOAD,
	LOADED,
	START,
	WRITE,
	FIRE,
	READY,
	RUN,
	READABLE,
	CONNECTED,
	CONNECT,
	PAUSE,
	RESUME,
	CAPTURE,
	SAVE,
	STOP,
	DESTROY
};
enum act {
	SERVICES,
	ARGUMENTS,
	CRASH,
	ODD,
	PENDING,
	SLOW,
	OPEN_GROUP,
	END_TWICE,
	TWICE,
	MANY,
	EXIT,
	END_THREAD,
	DEFER
};

#define VALUES 300 /* with MANY */

struct caller {
	uint32_t in, act;
	bool thread;
	struct minivmm_irq irq;
	const char *name;
	uint32_t count; /* state */
	int event;
	const struct minivmm_access *access; /* in write, else NULL */
	uint64_t connect;                    /* in connect, else 0 */
	bool acted;
};

static void
put_and_get(struct minivmm_device *dev)
{
	uint64_t value = 0;
	size_t count;

	minivmm_save_fields(dev, NULL);
	minivmm_load_fields(dev, NULL, 1);
	minivmm_put_u64(dev, NULL, "a", 1);
	minivmm_put_begin(dev, NULL, "b", false);
	minivmm_put_end(dev, NULL);
	minivmm_get_array(dev, NULL, "a", MINIVMM_U64, &value, 1, &count);
	minivmm_get_begin(dev, NULL, "b", &count);
	minivmm_get_next(dev, NULL);
	minivmm_get_end(dev, NULL);
}

/* Calls each service once. Those that end the machine come last. */
static void
call_all(struct minivmm_device *dev)
{
	char path[MINIVMM_BRANCH_PATH];
	struct caller *c = minivmm_state(dev);
	const struct minivmm_access access = { .width = 1 };
	struct minivmm_bind bind = { .width = 1, .offset = 1, .value = 7 };
	char byte = 0;
	uint64_t rip, id;
	int fd;

	minivmm_log(dev, MINIVMM_DEBUG, "calls");
	minivmm_now(dev);
	minivmm_memory_size(dev);
	minivmm_may_wait(dev);
	minivmm_random(dev, &byte, 1);
	minivmm_irq_lower(dev, &c->irq);
	minivmm_memory_read(dev, 0x2000, &byte, 1);
	minivmm_memory_write(dev, 0x2000, &byte, 1);
	minivmm_memory_map(dev, 0x2000, 1);
	minivmm_memory_unmap(dev, 0x2000, 1);
	minivmm_memory_discard(dev, 0x3000, 4096);
	minivmm_timer_set(dev, 1, 0, 0);
	minivmm_timer_cancel(dev, 1);
	minivmm_stream_readable(dev, 1);
	minivmm_stream_read(dev, 1, &byte, 1);
	minivmm_stream_writable(dev, 1);
	minivmm_stream_write(dev, 1, &byte, 1);
	minivmm_watch(dev, 1, -1, 0);
	minivmm_bind_write(dev, &bind);
	minivmm_post(dev, 1);
	minivmm_paused(dev);
	minivmm_has(dev, MINIVMM_DEFERRED_ACCESS);
	id = minivmm_defer(dev, c->access ? c->access : &access);
	minivmm_complete(dev, id, 0);
	minivmm_instruction(dev, c->access ? c->access : &access, &rip);
	minivmm_option_set(dev, "name", "x");
	minivmm_capture_file(dev, STDERR_FILENO);
	minivmm_branch_file(dev, STDERR_FILENO, path);
	minivmm_branch_obstacle(dev, NULL);
	id = minivmm_capture_defer(dev);
	minivmm_captured(dev, id, NULL);
	minivmm_connected(dev, c->connect, NULL);
	fd = minivmm_file_open(dev, "caller.out", 0);
	close(fd);
	fd = minivmm_socket_listen(dev, "caller.sock", 1);
	close(fd);
	minivmm_socket_connect(dev, "nosuch.sock");
	minivmm_acpi_page(dev);
	minivmm_machine_functions(dev);
	put_and_get(dev);
	minivmm_panic(dev);
	minivmm_exit(dev, 0);
}

/* Calls services with arguments that they refuse. */
static void
pass_wrong_arguments(struct minivmm_device *dev)
{
	static const struct minivmm_bind binds[] = {
		{ .width = 1, .offset = 4 },
		{ .width = 8 },
		{ .width = 3 },
		{ .width = 0 },
		{ .width = 1, .offset = UINT64_MAX },
		{ .width = 1, .range = 9 },
		{ .width = 1, .watch = 9 },
		{ .width = 1, .value = 5 },
		{ .width = 1, .value = 5 }, /* the second time */
	};
	struct minivmm_irq irq = { 777 };

	for (size_t i = 0; i < sizeof(binds) / sizeof(*binds); i++)
		minivmm_bind_write(dev, &binds[i]);
	minivmm_irq_raise(dev, &irq);
	minivmm_watch(dev, 1, 0, 0);
	minivmm_watch(dev, 1, 0, EPOLLIN | EPOLLEXCLUSIVE);
	minivmm_memory_unmap(dev, 0x2000, 1);
	minivmm_memory_map(dev, 0x2000, 16);
	minivmm_memory_unmap(dev, 0x2000, 17);
	minivmm_memory_unmap(dev, 0x2000, SIZE_MAX);
	minivmm_memory_unmap(dev, 0x2000, 16);
	minivmm_memory_discard(dev, 0x2001, 4096);
	minivmm_option_set(dev, "nosuch", "x");
	minivmm_option_set(dev, "irq", "5");
	minivmm_option_set(dev, "name", NULL);
	minivmm_log(dev, (enum minivmm_level)9, "no level");
	minivmm_complete(dev, 12345, 0);
}

static int
act(struct minivmm_device *dev)
{
	struct caller *c = minivmm_state(dev);
	volatile char *volatile nowhere = (char *)8;
	const struct timespec nap = { .tv_nsec = 10000000 };

	switch (c->act) {
	case SERVICES:
		call_all(dev);
		return 0;
	case ARGUMENTS:
		pass_wrong_arguments(dev);
		return 0;
	case CRASH:
		*nowhere = 1;
		return 0;
	case EXIT:
		exit(0);
	case END_THREAD:
		pthread_exit(NULL);
	case ODD:
		return 7;
	case PENDING:
		return MINIVMM_PENDING;
	case DEFER: /* and never ends it */
		minivmm_captured(dev, 12345, NULL);
		return minivmm_capture_defer(dev) ? MINIVMM_PENDING : -1;
	case SLOW:
		while (access("go", F_OK))
			nanosleep(&nap, NULL);
	}
	return 0;
}

static void *
act_on_thread(void *dev)
{
	act(dev);
	return NULL;
}

/* Acts if this is the place. */
static int
at(struct minivmm_device *dev, uint32_t place)
{
	struct caller *c = minivmm_state(dev);
	pthread_t thread;

	if (c->in != place || c->acted)
		return 0;
	c->acted = true;
	if (!c->thread)
		return act(dev);
	if (!pthread_create(&thread, NULL, act_on_thread, dev))
		pthread_join(thread, NULL);
	return 0;
}

/* Acts in a callback while the guest runs, and ends the machine. */
static int
at_end(struct minivmm_device *dev, uint32_t place)
{
	struct caller *c = minivmm_state(dev);
	int r = at(dev, place);

	if (c->in == place)
		minivmm_exit(dev, 0);
	return r;
}

static int
caller_configure(struct minivmm_device *dev)
{
	((struct caller *)minivmm_state(dev))->event = -1;
	return at(dev, CONFIGURE);
}

static int
caller_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct caller *c = minivmm_state(dev);
	uint64_t one = 1;

	c->event = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->in == FIRE)
		minivmm_timer_set(dev, 0, 0, 0);
	if (c->in == READY && (write(c->event, &one, sizeof(one)) != sizeof(one) ||
			       minivmm_watch(dev, 0, c->event, EPOLLIN)))
		return -1;
	if (c->in == RUN)
		minivmm_post(dev, 0);
	return at(dev, START);
}

/* The guest writes to offset 0, then to offset 2. */
static int
caller_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct caller *c = minivmm_state(dev);
	int r = 0;

	c->count++;
	if (a->offset != 2)
		return 0;
	c->access = a;
	r = at(dev, WRITE);
	c->access = NULL;
	if (c->in < FIRE || c->in > CONNECT)
		minivmm_exit(dev, 0);
	return r;
}

static int
caller_fire(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	return at_end(dev, FIRE);
}

static int
caller_ready(struct minivmm_device *dev, uint32_t watch, uint32_t events)
{
	minivmm_watch(dev, 0, -1, 0);
	return at_end(dev, READY);
}

static int
caller_run(struct minivmm_device *dev, uint32_t post)
{
	return at_end(dev, RUN);
}

static int
caller_readable(struct minivmm_device *dev, uint32_t stream)
{
	return at_end(dev, READABLE);
}

static int
caller_connected(struct minivmm_device *dev, uint32_t stream, bool connected)
{
	return at_end(dev, CONNECTED);
}

static int
caller_connect(struct minivmm_device *dev, const struct minivmm_connect *connect)
{
	struct caller *c = minivmm_state(dev);
	int r;

	c->connect = connect->id;
	r = at_end(dev, CONNECT);
	if (!r || r == MINIVMM_PENDING)
		close(connect->fd);
	return r;
}

static int
caller_pause(struct minivmm_device *dev)
{
	return at(dev, PAUSE);
}

static int
caller_resume(struct minivmm_device *dev)
{
	return at(dev, RESUME);
}

static int
caller_stop(struct minivmm_device *dev)
{
	return at(dev, STOP);
}

static void
caller_destroy(struct minivmm_device *dev)
{
	struct caller *c = minivmm_state(dev);

	at(dev, DESTROY);
	if (c->event >= 0)
		close(c->event);
}

static int
caller_capture(struct minivmm_device *dev)
{
	return at(dev, CAPTURE);
}

static int
save_badly(struct minivmm_device *dev, struct minivmm_writer *w, uint32_t act)
{
	char name[16];

	if (act == OPEN_GROUP)
		minivmm_put_begin(dev, w, "open", false);
	if (act == END_TWICE)
		return minivmm_put_end(dev, w);
	if (act == TWICE)
		return minivmm_put_u64(dev, w, "number", 1);
	for (int i = 0; act == MANY && i < VALUES; i++) {
		name[0] = (char)('a' + i / 26);
		name[1] = (char)('a' + i % 26);
		name[2] = '\0';
		if (minivmm_put_u64(dev, w, name, 1))
			return -1;
	}
	return 0;
}

static int
caller_save(struct minivmm_device *dev, struct minivmm_writer *w)
{
	const struct caller *c = minivmm_state(dev);
	const uint16_t words[] = { 1, 2 };
	int r = at(dev, SAVE);

	if (r)
		return r;
	if (minivmm_save_fields(dev, w) || minivmm_put_u64(dev, w, "number", 5) ||
	    minivmm_put_array(dev, w, "words", MINIVMM_U16, words, 2) ||
	    minivmm_put_begin(dev, w, "list", true) || minivmm_put_begin(dev, w, NULL, false) ||
	    minivmm_put_u64(dev, w, "in", 1) || minivmm_put_end(dev, w) || minivmm_put_end(dev, w))
		return -1;
	return save_badly(dev, w, c->act);
}

static int
caller_load(struct minivmm_device *dev, struct minivmm_reader *r, uint32_t version)
{
	const struct caller *c = minivmm_state(dev);
	uint64_t number;
	uint16_t words[2];
	size_t count;
	char name[3] = { 0 };

	if (minivmm_load_fields(dev, r, version) || minivmm_get_u64(dev, r, "number", &number) ||
	    minivmm_get_array(dev, r, "words", MINIVMM_U16, words, 2, &count) ||
	    minivmm_get_begin(dev, r, "list", &count) || minivmm_get_next(dev, r) ||
	    minivmm_get_u64(dev, r, "in", &number) || minivmm_get_end(dev, r))
		return -1;
	for (int i = 0; c->act == MANY && i < VALUES; i++) {
		name[0] = (char)('a' + i / 26);
		name[1] = (char)('a' + i % 26);
		if (minivmm_get_u64(dev, r, name, &number))
			return -1;
	}
	return at(dev, LOAD);
}

static int
caller_loaded(struct minivmm_device *dev)
{
	return at(dev, LOADED);
}

static const char *const places[] = { "nowhere",   "configure", "load",    "loaded", "start",
				      "write",     "fire",      "ready",   "run",    "readable",
				      "connected", "connect",   "pause",   "resume", "capture",
				      "save",      "stop",      "destroy", NULL };
static const char *const acts[] = { "services", "arguments",  "crash",     "odd",   "pending",
				    "slow",     "open-group", "end-twice", "twice", "many",
				    "exit",     "end-thread", "defer",     NULL };

static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(ENUM, struct caller, in, "nowhere", "the callback", .values = places,
			  .flags = MINIVMM_HOST),
	MINIVMM_OPTION_AS(ENUM, struct caller, act, "services", "what it does", .values = acts,
			  .flags = MINIVMM_HOST),
	MINIVMM_OPTION(struct caller, thread, "no", "on a thread of its own",
		       .flags = MINIVMM_HOST),
	MINIVMM_OPTION(struct caller, irq, "none", "a line"),
	MINIVMM_OPTION(struct caller, name, "none", "for option_set", .flags = MINIVMM_HOST),
	MINIVMM_END,
};
static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0x10",
	  .length = 4,
	  .write = caller_write },
	MINIVMM_END,
};
static const struct minivmm_timer timers[] = {
	{ .name = "fire", .fire = caller_fire },
	{ .name = "unused", .fire = caller_fire },
	MINIVMM_END,
};
static const struct minivmm_stream streams[] = {
	{ .name = "line",
	  .input = "input",
	  .readable = caller_readable,
	  .connected = caller_connected },
	{ .name = "unused", .output = "output" },
	MINIVMM_END,
};
static const struct minivmm_watch watches[] = {
	{ .name = "ready", .ready = caller_ready },
	{ .name = "unused", .ready = caller_ready },
	MINIVMM_END,
};
static const struct minivmm_post posts[] = {
	{ .name = "run", .run = caller_run },
	{ .name = "unused", .run = caller_run },
	MINIVMM_END,
};
static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct caller, count),
	MINIVMM_END,
};

static const struct minivmm_plugin caller = {
	.name = "caller",
	.summary = "misbehaves in one callback",
	.state_version = 1,
	.state_size = sizeof(struct caller),
	.options = options,
	.ranges = ranges,
	.timers = timers,
	.streams = streams,
	.watches = watches,
	.posts = posts,
	.fields = fields,
	.configure = caller_configure,
	.start = caller_start,
	.pause = caller_pause,
	.resume = caller_resume,
	.stop = caller_stop,
	.destroy = caller_destroy,
	.save = caller_save,
	.load = caller_load,
	.loaded = caller_loaded,
	.capture = caller_capture,
	.capture_deadline = 1000000000,
	.connect = caller_connect,
};
MINIVMM_REGISTER(caller);
