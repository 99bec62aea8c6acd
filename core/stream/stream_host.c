/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's side of streams: moves bytes between descriptors and buffers. On the loop's thread. */
#include "base/job.h"
#include "base/limit.h"
#include "stream/stream.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "stream/stream_kinds.h"

/* After a write error: logs it once. Pending and further output is dropped. */
static void
give_up(struct stream *stream, int error)
{
	char text[256];

	pthread_mutex_lock(&stream->lock);
	stream->failed = true;
	stream->dropped += stream->output_length;
	stream->output_length = 0;
	pthread_mutex_unlock(&stream->lock);
	stream->out.stalled = false;
	loop_defer(stream->hub->loop, &stream->deferred);
	log_line(MINIVMM_ERROR, stream->device, "cannot write to %s: %s; further output is dropped",
		 stream_end_text(&stream->out, text, sizeof(text)), limit_error(error).text);
}

static void
cannot_wait(const struct stream_end *end)
{
	char text[256];

	log_line(MINIVMM_ERROR, end->stream->device, "cannot wait for %s: %s",
		 stream_end_text(end, text, sizeof(text)), limit_error_of(LIMIT_EPOLL, errno).text);
}

/* Watches the end for the events that it can handle now. A descriptor without events is
 * removed from the loop, since epoll would report a hang-up without end. */
static void
watch(struct stream_end *end)
{
	struct stream *stream = end->stream;
	struct loop *loop = stream->hub->loop;
	uint32_t events = 0;

	if (end->connected && !end->ready) {
		bool reads = end == stream->reader;

		if (reads) {
			pthread_mutex_lock(&stream->lock);
			stream->input_full = stream->input_length == stream->input_size;
			reads = !stream->input_full || end->terminal;
			pthread_mutex_unlock(&stream->lock);
		} else /* input is discarded; the read detects the hang-up */
			reads = end->kind->flags & KIND_TWO_WAY;
		if (reads && !end->ended)
			events |= EPOLLIN;
		else if (end->passed && end->ended)
			events |= EPOLLHUP;
		if (end->stalled)
			events |= EPOLLOUT;
	}
	if (!events)
		loop_remove(loop, &end->source);
	else if (end->source.fd >= 0)
		loop_change(loop, &end->source, events);
	else if (loop_add(loop, &end->source, end->fd, events)) {
		/* epoll refuses files that are always ready, like /dev/null. */
		end->ready = errno == EPERM;
		if (!end->ready)
			cannot_wait(end);
	}
	if (end->connected)
		loop_remove(loop, &end->listen_source);
	else if (end->listen_fd >= 0 && end->listen_source.fd < 0 &&
		 loop_add(loop, &end->listen_source, end->listen_fd, EPOLLIN))
		cannot_wait(end);
}

/* The peer has hung up. A kind with accept waits for the next peer; for others the input ends. */
static void
hung_up(struct stream_end *end)
{
	struct stream *stream = end->stream;

	loop_remove(stream->hub->loop, &end->source);
	pthread_mutex_lock(&stream->lock);
	if (!end->kind->accept)
		end->ended = true;
	else if (end == &stream->out)
		stream->no_reader = true;
	if (end->ended && end == stream->reader)
		stream->input_seen = true;
	pthread_mutex_unlock(&stream->lock);
	if (!end->kind->accept)
		return;
	end->connected = end->stalled = false;
	if (end->passed)
		end->passed = end->ended = false;
	if (end->socket) {
		socket_close_client(end->fd);
		end->fd = -1;
	}
	log_line(MINIVMM_DEBUG, stream->device, "%s: hung up", end->kind->name);
}

/* Appends as many bytes as fit. Call with the lock held. */
static void
append_input(struct stream *stream, const uint8_t *bytes, size_t length)
{
	size_t at, first;

	length = least(length, stream->input_size - stream->input_length);
	if (!length)
		return;
	at = (stream->input_head + stream->input_length) % stream->input_size;
	first = least(length, stream->input_size - at);
	memcpy(stream->input + at, bytes, first);
	memcpy(stream->input, bytes + first, length - first);
	stream->input_length += length;
	stream->input_seen = true;
}

/* The peer has shut down its half of the connection. It may still read. */
static bool
half_closed(struct stream_end *end)
{
	struct pollfd fd = { .fd = end->fd };
	struct stream *stream = end->stream;

	if (!end->passed || poll(&fd, 1, 0))
		return false;
	pthread_mutex_lock(&stream->lock);
	end->ended = true;
	stream->input_seen |= end == stream->reader;
	pthread_mutex_unlock(&stream->lock);
	return true;
}

/*
 * Reads once: epoll is level-triggered and reports the rest again. A terminal is read even if the
 * buffer is full, and the bytes are lost, so that Ctrl-A x always works.
 */
static void
receive(struct stream_end *end)
{
	struct stream *stream = end->stream;
	uint8_t bytes[STREAM_READ_SIZE];
	size_t length = sizeof(bytes);
	ssize_t n;

	if (end == stream->reader && !end->terminal) {
		pthread_mutex_lock(&stream->lock);
		length = least(length, stream->input_size - stream->input_length);
		pthread_mutex_unlock(&stream->lock);
	}
	if (!length || (end->terminal && !job_foreground(end->fd) && job_stop(SIGTTIN)))
		return;
	n = stream_end_read(end, bytes, length);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		if (n < 0 || !half_closed(end))
			hung_up(end);
		return;
	}
	if (end != stream->reader)
		return;
	length = (size_t)n;
	if (end->terminal)
		length = stream_terminal_filter(stream->hub, bytes, length);
	pthread_mutex_lock(&stream->lock);
	append_input(stream, bytes, length);
	pthread_mutex_unlock(&stream->lock);
}

/*
 * Writes a part of the output to the host end, at most *most bytes, and subtracts their number.
 * Returns 0 or an errno value. Call with the lock held and delivering set. The lock is not held
 * during the write.
 */
static int
write_output(struct stream *stream, size_t *most)
{
	size_t head = stream->output_head;
	size_t length = least(*most, STREAM_OUTPUT_SIZE - head);
	ssize_t n;
	int error;

	pthread_mutex_unlock(&stream->lock);
	n = stream_end_write(&stream->out, stream->output + head, length);
	error = n < 0 ? errno : 0;
	pthread_mutex_lock(&stream->lock);
	if (error)
		return error;
	stream->output_head = (head + (size_t)n) % STREAM_OUTPUT_SIZE;
	stream->output_length -= (size_t)n;
	*most -= (size_t)n;
	return 0;
}

bool
stream_deliver_now(struct stream *stream)
{
	size_t most = stream->output_length;

	if (!stream->direct || loop_is_quiet(stream->hub->loop))
		return false;
	stream->delivering = true;
	write_output(stream,
		     &most); /* after an error the loop's thread tries again, and reports it */
	stream->delivering = false;
	return !stream->output_length;
}

/* Writes what is in the buffer now, unless the reader stalls. What a vCPU adds meanwhile waits for
 * the next run, since a vCPU can write as fast as this loop. If another thread delivers, it defers
 * stream_run() in case that it cannot deliver all. */
static void
deliver(struct stream *stream)
{
	struct stream_end *end = &stream->out;
	bool more = false;
	int error = 0;

	pthread_mutex_lock(&stream->lock);
	if (!stream->delivering) {
		size_t most = stream->output_length;

		stream->delivering = true;
		while (most && end->connected && !error)
			error = write_output(stream, &most);
		stream->delivering = false;
		more = stream->output_length && end->connected && !error;
	}
	pthread_mutex_unlock(&stream->lock);
	if (more)
		loop_defer(stream->hub->loop, &stream->deferred);
	end->stalled = error == EAGAIN;
	if (error && !end->stalled && end->kind->accept)
		hung_up(end);
	else if (error && !end->stalled)
		give_up(stream, error);
}

/* The device was busy: its callback remains due. */
static void
ask_again(struct stream *stream, bool *wanted)
{
	pthread_mutex_lock(&stream->lock);
	*wanted = true;
	pthread_mutex_unlock(&stream->lock);
	loop_defer(stream->hub->loop, &stream->deferred);
}

/* A device reads until there is no more, which a large file or /dev/zero would make a long or
 * endless call. So a call gets a limited part, and the next run calls again for the rest. */
static void
call_readable(struct stream *stream)
{
	bool called, more;

	pthread_mutex_lock(&stream->lock);
	stream->refills = 1;
	pthread_mutex_unlock(&stream->lock);
	called = !stream->readable || stream->readable(stream);
	pthread_mutex_lock(&stream->lock);
	more = stream->want_readable && !stream->refills;
	stream->refills = -1;
	pthread_mutex_unlock(&stream->lock);
	if (!called)
		ask_again(stream, &stream->want_readable);
	else if (more)
		loop_defer(stream->hub->loop, &stream->deferred);
}

void
stream_run(struct loop_deferred *deferred)
{
	struct stream *stream = deferred->context;
	bool readable, writable;

	deliver(stream);
	stream_tell(stream);
	pthread_mutex_lock(&stream->lock);
	readable = stream->want_readable && (stream->input_length || stream_refill(stream));
	writable = stream->want_writable && (stream->no_reader || stream->failed ||
					     stream->output_length < STREAM_OUTPUT_SIZE);
	if (readable)
		stream->want_readable = false;
	if (writable)
		stream->want_writable = false;
	pthread_mutex_unlock(&stream->lock);
	if (readable)
		call_readable(stream);
	if (writable && stream->writable && !stream->writable(stream))
		ask_again(stream, &stream->want_writable);
	watch(&stream->out);
	watch(&stream->in);
}

static void
source_ready(struct loop_source *source, uint32_t events)
{
	struct stream_end *end = source->context;

	if (!end->connected)
		return;
	if (!end->ended && (end == end->stream->reader || (end->kind->flags & KIND_TWO_WAY)) &&
	    (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		receive(end);
	else if (end->ended && end->passed && events & (EPOLLHUP | EPOLLERR))
		hung_up(end);
	if (end->stalled)
		deliver(end->stream);
	watch(end);
	/* Calls the device from the deferred function, which does not run while the machine is
	 * paused. */
	loop_defer(end->stream->hub->loop, &end->stream->deferred);
}

void
stream_end_connected(struct stream_end *end)
{
	struct stream *stream = end->stream;

	log_line(MINIVMM_DEBUG, stream->device, "%s: connected", end->kind->name);
	stream->replaced = stream->told == STREAM_TOLD_CONNECTED;
	if (end == &stream->out)
		stream_reader_connected(stream);
	watch(end);
	loop_defer(stream->hub->loop, &stream->deferred);
}

static void
listen_ready(struct loop_source *source, uint32_t events)
{
	struct stream_end *end = source->context;

	end->kind->accept(end);
	if (end->connected)
		stream_end_connected(end);
}

/*
 * Can any thread write to the end? Not if the loop's thread closes the descriptor when a peer hangs
 * up; not if a write could block after poll has found room; and not to a terminal, where a write
 * from the background can stop the process, which works on a thread that accepts the signal.
 */
static bool
can_deliver_now(const struct stream_end *end)
{
	return end->connected && end->kind && !end->kind->accept && !end->terminal &&
	       (end->own || end->ready || end->socket);
}

int
stream_open(struct stream *stream, bool restored)
{
	struct stream_end *ends[] = { &stream->in, &stream->out };

	for (int i = 0; i < 2; i++) {
		struct stream_end *end = ends[i];
		int status;

		end->source.ready = source_ready;
		end->listen_source.ready = listen_ready;
		end->source.context = end->listen_source.context = end;
		end->source.device = !stream->hub->always; /* of stream_connect() */
		if (!end->kind || !end->kind->open)
			continue;
		status = end->kind->open(end, restored);
		if (status)
			return status;
		/* Ctrl-A x works while the machine is paused too. */
		end->source.device = !end->terminal && !stream->hub->always;
		end->listen_source.device = !stream->hub->always;
		watch(end);
	}
	stream->no_reader = stream->out.kind && !stream->out.connected;
	stream->direct = can_deliver_now(&stream->out);
	return 0;
}

void
stream_start(struct stream *stream)
{
	pthread_mutex_lock(&stream->lock);
	stream->want_readable = true;
	pthread_mutex_unlock(&stream->lock);
	stream->told = STREAM_UNTOLD;
	stream_tell(stream);
	if (stream->wait_input) /* the device must have this input before the vCPUs run */
		stream_run(&stream->deferred);
	else
		loop_defer(stream->hub->loop, &stream->deferred);
}

void
stream_end_close(struct stream_end *end, const volatile bool *interrupted)
{
	struct loop *loop = end->stream->hub->loop;

	if (end->fd < 0 && end->listen_fd < 0)
		return;
	loop_remove(loop, &end->source);
	loop_remove(loop, &end->listen_source);
	if (end->kind->finish)
		end->kind->finish(end, interrupted);
	if (end->terminal && end == &end->stream->in)
		stream_terminal_close(end->stream->hub);
	if (end->fd >= 0 && end->own && end->socket)
		socket_close_client(end->fd);
	else if (end->fd >= 0 && end->own)
		close(end->fd);
	if (end->listen_fd >= 0)
		close(end->listen_fd);
	end->fd = end->listen_fd = -1;
	end->connected = false;
}

void
stream_flush(struct stream *stream)
{
	if (stream->hub)
		deliver(stream);
}

void
stream_close(struct stream *stream, const volatile bool *interrupted)
{
	if (!stream->hub)
		return;
	for (;;) {
		struct pollfd out = { .fd = stream->out.fd, .events = POLLOUT };

		deliver(stream);
		if (!stream->out.stalled || *interrupted)
			break;
		poll(&out, 1, 100); /* *interrupted can change without a wake-up */
	}
	loop_deferred_remove(stream->hub->loop, &stream->deferred);
	stream->dropped += stream->output_length;
	stream->output_length = 0;
	stream_end_close(&stream->in, interrupted);
	stream_end_close(&stream->out, interrupted);
	if (stream->dropped)
		log_line(MINIVMM_WARNING, stream->device, "%llu bytes of output were dropped",
			 (unsigned long long)stream->dropped);
	stream->dropped = 0;
}
