/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's side of streams: reads and writes two buffers. Any thread; never blocks. */
#include "stream/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/log.h"
#include "stream/stream_kinds.h"

bool
stream_refill(struct stream *stream)
{
	struct stream_end *end = stream->reader;
	ssize_t n;

	if (!end || !end->ready || end->ended || !stream->refills)
		return false;
	n = end->own
		? pread(end->fd, stream->input, stream->input_size, (off_t)stream->input_position)
		: read(end->fd, stream->input, stream->input_size);
	if (n < 0)
		log_line(MINIVMM_ERROR, stream->device, "cannot read %s: %s; the input ends here",
			 end->kind->name, limit_error(errno).text);
	if (n <= 0) {
		end->ended = true;
		stream->tell_when_read = true;
		return false;
	}
	stream->input_head = 0;
	stream->input_length = (size_t)n;
	stream->input_position += (size_t)n;
	if (stream->refills > 0)
		stream->refills--;
	return true;
}

/* Whether a call of connected is due now. Call with the lock held. */
static bool
must_tell(struct stream *stream)
{
	bool must = stream->tell_when_read && !stream->input_length && stream->connected;

	if (must)
		stream->tell_when_read = false;
	return must;
}

size_t
stream_readable(struct stream *stream)
{
	size_t length;
	bool tell;

	pthread_mutex_lock(&stream->lock);
	if (!stream->input_length)
		stream_refill(stream);
	length = stream->input_length;
	if (!length) /* the device may wait for input without a read */
		stream->want_readable = true;
	tell = must_tell(stream);
	pthread_mutex_unlock(&stream->lock);
	if (tell)
		loop_defer(stream->hub->loop, &stream->deferred);
	return length;
}

size_t
stream_read(struct stream *stream, void *to, size_t length)
{
	size_t taken = 0;
	bool defer;

	pthread_mutex_lock(&stream->lock);
	while (taken < length && (stream->input_length || stream_refill(stream))) {
		size_t n = least(length - taken, least(stream->input_length,
						       stream->input_size - stream->input_head));

		memcpy((uint8_t *)to + taken, stream->input + stream->input_head, n);
		stream->input_head = (stream->input_head + n) % stream->input_size;
		stream->input_length -= n;
		taken += n;
	}
	if (taken < length)
		stream->want_readable = true;
	defer = taken && stream->input_full;
	if (defer)
		stream->input_full = false;
	defer |= must_tell(stream);
	pthread_mutex_unlock(&stream->lock);
	if (defer)
		loop_defer(stream->hub->loop, &stream->deferred);
	return taken;
}

size_t
stream_writable(struct stream *stream)
{
	size_t room;

	pthread_mutex_lock(&stream->lock);
	room = !stream->out.kind || stream->no_reader || stream->failed
		   ? STREAM_OUTPUT_SIZE
		   : STREAM_OUTPUT_SIZE - stream->output_length;
	pthread_mutex_unlock(&stream->lock);
	return room;
}

/* Appends as many bytes as fit and returns their number. Call with the lock held. */
static size_t
append_output(struct stream *stream, const uint8_t *from, size_t length)
{
	size_t taken = least(length, STREAM_OUTPUT_SIZE - stream->output_length);
	size_t at = (stream->output_head + stream->output_length) % STREAM_OUTPUT_SIZE;
	size_t first = least(taken, STREAM_OUTPUT_SIZE - at);

	memcpy(stream->output + at, from, first);
	memcpy(stream->output, from + first, taken - first);
	stream->output_length += taken;
	return taken;
}

/* Drops the oldest bytes. Call with the lock held. */
static void
drop_output(struct stream *stream, size_t length)
{
	if (!length)
		return;
	stream->output_head = (stream->output_head + length) % STREAM_OUTPUT_SIZE;
	stream->output_length -= length;
	stream->dropped += length;
	stream->cut =
	    stream->output[(stream->output_head + STREAM_OUTPUT_SIZE - 1) % STREAM_OUTPUT_SIZE] !=
	    '\n';
}

/* Without a reader: keeps the newest bytes for the next reader. Call with the lock held. */
static void
keep_newest(struct stream *stream, const uint8_t *from, size_t length)
{
	size_t tail = least(length, STREAM_OUTPUT_SIZE);
	size_t room = STREAM_OUTPUT_SIZE - stream->output_length;
	size_t old = tail > room ? tail - room : 0;

	drop_output(stream, old);
	if (length > tail)
		stream->cut = from[length - tail - 1] != '\n';
	stream->dropped += length - tail;
	append_output(stream, from + (length - tail), tail);
}

void
stream_reader_connected(struct stream *stream)
{
	size_t part = 0;

	pthread_mutex_lock(&stream->lock);
	stream->no_reader = false;
	while (stream->cut && part < stream->output_length &&
	       stream->output[(stream->output_head + part) % STREAM_OUTPUT_SIZE] != '\n')
		part++;
	if (stream->cut && part < stream->output_length)
		drop_output(stream, part + 1);
	stream->cut = false;
	pthread_mutex_unlock(&stream->lock);
}

/*
 * Has the device written just before? Then the loop's thread is awake or worth its wake-up: it
 * delivers while the guest runs, several bytes at a time, and the guest does not wait until the
 * kernel has woken the reader.
 */
static bool
is_burst(const struct stream *stream)
{
	return stream->direct && clock_host() < atomic_load(&stream->written) + STREAM_BURST;
}

static void
add_to_record(struct stream_record *record, const uint8_t *from, size_t length)
{
	size_t room;

	pthread_mutex_lock(&record->lock);
	room = record->size - record->length;
	record->more |= length > room;
	memcpy(record->bytes + record->length, from, least(length, room));
	record->length += least(length, room);
	pthread_mutex_unlock(&record->lock);
}

void
stream_set_record(struct stream *stream, struct stream_record *record)
{
	stream->record = record;
}

size_t
stream_write(struct stream *stream, const void *from, size_t length)
{
	size_t taken = length;
	bool wake = false;

	pthread_mutex_lock(&stream->lock);
	if (stream->out.kind && stream->failed)
		stream->dropped += length;
	else if (stream->out.kind && stream->no_reader)
		keep_newest(stream, from, length);
	else if (stream->out.kind) {
		bool empty = !stream->output_length; /* then nobody delivers */

		taken = append_output(stream, from, length);
		if (taken < length)
			stream->want_writable = true;
		wake = empty && taken && (is_burst(stream) || !stream_deliver_now(stream));
	}
	pthread_mutex_unlock(&stream->lock);
	if (taken && stream->record)
		add_to_record(stream->record, from, taken);
	if (wake)
		loop_defer(stream->hub->loop, &stream->deferred);
	if (stream->direct)
		atomic_store(&stream->written, clock_host());
	return taken;
}

int
stream_feed(struct stream *stream, const void *bytes, size_t length)
{
	uint8_t *copy = malloc(length + 1);

	if (!copy)
		return fail_memory("the input of %s", stream->device);
	memcpy(copy, bytes, length);
	pthread_mutex_lock(&stream->lock);
	free(stream->input);
	stream->input = copy;
	stream->input_size = length + 1;
	stream->input_head = 0;
	stream->input_length = length;
	pthread_mutex_unlock(&stream->lock);
	return 0;
}

bool
stream_awaits_input(struct stream *stream)
{
	bool awaits;

	pthread_mutex_lock(&stream->lock);
	awaits =
	    stream->wait_input && stream->reader && !stream->reader->ready && !stream->input_seen;
	pthread_mutex_unlock(&stream->lock);
	return awaits;
}
