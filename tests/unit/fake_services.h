/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A host for one plugin, for tests that include the plugin's source and call its tables: time
 * advances only on request, streams are two buffers, an interrupt line is a bool.
 */
#ifndef TESTS_FAKE_SERVICES_H
#define TESTS_FAKE_SERVICES_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fields.h"
#include "base/file.h"
#include "base/socket.h"
#include "minivmm/plugin.h"

#define FAKE_TIMERS 4
#define FAKE_BUFFER 65536

struct fake_timer {
	bool armed;
	uint64_t deadline, period;
};

struct fake {
	struct minivmm_device device; /* first */
	struct minivmm_services services;
	const struct minivmm_plugin *plugin;
	uint64_t now;
	bool line;      /* of the irq with handle 0 */
	unsigned rises; /* of the line */
	bool lines[4];  /* of irqs to which a test has given handles, from 1 */
	struct fake_timer timers[FAKE_TIMERS];
	uint8_t in[FAKE_BUFFER], out[FAKE_BUFFER]; /* of stream 0 */
	size_t in_length, in_taken, out_length;
	size_t room; /* bytes that the stream accepts before it stalls */
	bool asleep; /* readable is not called: it was, and the input has not run out since */
	unsigned logged;
	char last[512]; /* of the logged messages */
	uint64_t exit_status;
	bool exited;
	struct socket_file socket;
	char answers[512]; /* of minivmm_connected(): "ID ok\n" or "ID: ERROR\n" */
};

static struct fake *
fake_of(struct minivmm_device *dev)
{
	return (struct fake *)dev;
}

static void
fake_log(struct minivmm_device *dev, uint32_t level, const char *text)
{
	fake_of(dev)->logged++;
	snprintf(fake_of(dev)->last, sizeof(fake_of(dev)->last), "%s", text);
}

static uint64_t
fake_now(struct minivmm_device *dev)
{
	return fake_of(dev)->now;
}

static void
fake_irq(struct minivmm_device *dev, const struct minivmm_irq *irq, uint32_t operation)
{
	struct fake *f = fake_of(dev);
	bool up = operation == MINIVMM_IRQ_RAISE;

	if (irq->handle) {
		assert_in_range(irq->handle, 1, 3);
		f->lines[irq->handle] = up;
		return;
	}
	if (operation == MINIVMM_IRQ_PULSE || (up && !f->line))
		f->rises++;
	f->line = up;
}

static void
fake_timer_set(struct minivmm_device *dev, uint32_t timer, uint64_t deadline, uint64_t period)
{
	assert_in_range(timer, 0, FAKE_TIMERS - 1);
	fake_of(dev)->timers[timer] = (struct fake_timer){ true, deadline, period };
}

static void
fake_timer_cancel(struct minivmm_device *dev, uint32_t timer)
{
	assert_in_range(timer, 0, FAKE_TIMERS - 1);
	fake_of(dev)->timers[timer].armed = false;
}

static size_t
fake_stream_readable(struct minivmm_device *dev, uint32_t stream)
{
	struct fake *f = fake_of(dev);

	f->asleep &= f->in_length > f->in_taken;
	return f->in_length - f->in_taken;
}

static size_t
fake_stream_read(struct minivmm_device *dev, uint32_t stream, void *to, size_t length)
{
	struct fake *f = fake_of(dev);
	size_t left = f->in_length - f->in_taken, n = length < left ? length : left;

	memcpy(to, f->in + f->in_taken, n);
	f->in_taken += n;
	f->asleep &= n == length;
	return n;
}

static size_t
fake_stream_writable(struct minivmm_device *dev, uint32_t stream)
{
	return fake_of(dev)->room;
}

static size_t
fake_stream_write(struct minivmm_device *dev, uint32_t stream, const void *from, size_t length)
{
	struct fake *f = fake_of(dev);
	size_t n = length < f->room ? length : f->room;

	assert_true(f->out_length + n <= sizeof(f->out));
	memcpy(f->out + f->out_length, from, n);
	f->out_length += n;
	f->room -= n;
	return n;
}

static void
fake_exit(struct minivmm_device *dev, uint64_t status)
{
	fake_of(dev)->exited = true;
	fake_of(dev)->exit_status = status;
}

static int
fake_file_open(struct minivmm_device *dev, const char *path, uint32_t flags)
{
	return file_open_own(path, flags & MINIVMM_FILE_NEW ? O_EXCL : 0, NULL);
}

static int
fake_socket_listen(struct minivmm_device *dev, const char *path, uint32_t backlog)
{
	struct fake *f = fake_of(dev);

	return socket_listen_unix(path, 0, (int)backlog, &f->socket, NULL);
}

static int
fake_socket_connect(struct minivmm_device *dev, const char *path)
{
	bool pending;

	return socket_begin_unix(path, &pending);
}

static int
fake_connected(struct minivmm_device *dev, uint64_t connect, const char *error)
{
	struct fake *f = fake_of(dev);
	size_t length = strlen(f->answers);

	snprintf(f->answers + length, sizeof(f->answers) - length, "%llu%s%s\n",
		 (unsigned long long)connect, error ? ": " : " ok", error ? error : "");
	return 0;
}

/* Captures are for snapshots. */
static int
fake_branch_file(struct minivmm_device *dev, int fd, char *path, size_t size)
{
	return 0;
}

static int
fake_branch_obstacle(struct minivmm_device *dev, const char *why)
{
	return 0;
}

/* Creates a device as the core does, without starting it. The caller sets options in the state. */
static void
fake_create(struct fake *f, const struct minivmm_plugin *plugin)
{
	memset(f, 0, sizeof(*f));
	f->plugin = plugin;
	f->room = SIZE_MAX;
	f->services = (struct minivmm_services){
		.size = sizeof(f->services),
		.abi = MINIVMM_ABI,
		.log_level = MINIVMM_DEBUG,
		.log = fake_log,
		.now = fake_now,
		.irq = fake_irq,
		.timer_set = fake_timer_set,
		.timer_cancel = fake_timer_cancel,
		.stream_readable = fake_stream_readable,
		.stream_read = fake_stream_read,
		.stream_writable = fake_stream_writable,
		.stream_write = fake_stream_write,
		.exit = fake_exit,
		.file_open = fake_file_open,
		.socket_listen = fake_socket_listen,
		.socket_connect = fake_socket_connect,
		.branch_file = fake_branch_file,
		.connected = fake_connected,
		.branch_obstacle = fake_branch_obstacle,
	};
	f->device = (struct minivmm_device){ &f->services, calloc(1, plugin->state_size), "fake0",
					     sizeof(f->device) };
	assert_non_null(f->device.state);
	if (plugin->fields)
		fields_reset(plugin->fields, f->device.state);
}

static void
fake_destroy(struct fake *f)
{
	socket_file_remove(&f->socket);
	free(f->device.state);
	f->device.state = NULL;
}

static void
fake_start(struct fake *f, enum minivmm_start_reason reason)
{
	struct minivmm_start start = { .reason = reason };

	if (f->plugin->start)
		assert_int_equal(f->plugin->start(&f->device, &start), 0);
}

/* As in the core: fields and timers first. */
static inline void
fake_reset(struct fake *f)
{
	fields_reset(f->plugin->fields, f->device.state);
	memset(f->timers, 0, sizeof(f->timers));
	fake_start(f, MINIVMM_RESET);
}

/* A 1-byte access to range 0. */
static inline void
fake_write(struct fake *f, uint64_t offset, uint8_t value)
{
	struct minivmm_access access = { .offset = offset, .width = 1 };

	assert_int_equal(f->plugin->ranges[0].write(&f->device, &access, value), 0);
}

static inline uint8_t
fake_read(struct fake *f, uint64_t offset)
{
	struct minivmm_access access = { .offset = offset, .width = 1 };
	uint64_t value = 0xbad;

	assert_int_equal(f->plugin->ranges[0].read(&f->device, &access, &value), 0);
	assert_in_range(value, 0, 0xff);
	return (uint8_t)value;
}

/* Advances the clock. Due timers fire in the order of the table. */
static inline void
fake_pass(struct fake *f, uint64_t ns)
{
	f->now += ns;
	for (uint32_t i = 0; f->plugin->timers && f->plugin->timers[i].fire; i++) {
		struct fake_timer *t = &f->timers[i];

		if (!t->armed || t->deadline > f->now)
			continue;
		t->armed = false;
		assert_int_equal(f->plugin->timers[i].fire(&f->device, i, 1), 0);
	}
}

/* The host sends bytes, and the device is notified, if it has asked for that. */
static inline void
fake_send(struct fake *f, const void *bytes, size_t length)
{
	assert_true(f->in_length + length <= sizeof(f->in));
	memcpy(f->in + f->in_length, bytes, length);
	f->in_length += length;
	if (f->asleep)
		return;
	f->asleep = true;
	assert_int_equal(f->plugin->streams[0].readable(&f->device, 0), 0);
}

/* The reader accepts more bytes. */
static inline void
fake_make_room(struct fake *f, size_t room)
{
	f->room = room;
	assert_int_equal(f->plugin->streams[0].writable(&f->device, 0), 0);
}

/*
 * The contents of a snapshot: fields, timers, the line, the time, input that was not read. The copy
 * is not started, and loaded is not called.
 */
static inline void
fake_copy(struct fake *to, const struct fake *from)
{
	struct record_writer writer = { 0 };
	struct record root;
	struct why why;

	fake_create(to, from->plugin);
	fields_save(from->plugin->fields, from->device.state, &writer);
	assert_false(writer.failed);
	assert_int_equal(record_open(writer.data, writer.length, &root, NULL), 0);
	assert_int_equal(fields_load(from->plugin->fields, to->device.state, &root,
				     from->plugin->state_version, &why),
			 0);
	record_writer_free(&writer);
	memcpy(to->timers, from->timers, sizeof(to->timers));
	to->line = from->line;
	to->now = from->now;
	to->in_length = from->in_length - from->in_taken;
	memcpy(to->in, from->in + from->in_taken, to->in_length);
}

/* The same, restored. */
static inline void
fake_restore(struct fake *to, const struct fake *from)
{
	fake_copy(to, from);
	if (from->plugin->loaded)
		assert_int_equal(from->plugin->loaded(&to->device), 0);
}

/* Expects that both save the same bytes. */
static inline void
fake_assert_same(const struct fake *a, const struct fake *b)
{
	struct record_writer wa = { 0 }, wb = { 0 };

	fields_save(a->plugin->fields, a->device.state, &wa);
	fields_save(b->plugin->fields, b->device.state, &wb);
	assert_int_equal(wa.length, wb.length);
	assert_memory_equal(wa.data, wb.data, wa.length);
	record_writer_free(&wa);
	record_writer_free(&wb);
}

#endif
