/* SPDX-License-Identifier: BSD-2-Clause */
/* Tells the device whether the stream has its other end. On the loop's thread. */
#include "stream/stream_kinds.h"

/*
 * Whether each end that the options name is there. A peer that has gone is there until the device
 * has read its last byte: the carrier must not drop before the text that came with it.
 */
static bool
is_connected(struct stream *stream)
{
	const struct stream_end *in = stream->reader, *out = &stream->out;
	bool has_input = in || stream->in.kind, more, unread, writes;

	pthread_mutex_lock(&stream->lock);
	more = in && in->connected && !in->ended;
	unread = stream->input_length;
	writes = out->connected && !out->ended && !stream->failed;
	stream->tell_when_read = has_input && !more;
	pthread_mutex_unlock(&stream->lock);
	if (has_input && !more && !unread)
		return false;
	return out->kind && out != in ? writes : has_input;
}

/* Returns whether the device was free to take the call. */
static bool
call(struct stream *stream, bool connected)
{
	if (!stream->connected(stream, connected))
		return false;
	stream->told = connected ? STREAM_TOLD_CONNECTED : STREAM_TOLD_GONE;
	stream->replaced = false;
	return true;
}

void
stream_tell(struct stream *stream)
{
	bool now, free = true;

	if (!stream->connected)
		return;
	now = is_connected(stream);
	if (stream->told == STREAM_UNTOLD)
		free = call(stream, now);
	else if (stream->told == STREAM_TOLD_CONNECTED && (!now || stream->replaced))
		free = call(stream, false);
	if (free && now && stream->told == STREAM_TOLD_GONE)
		free = call(stream, true);
	if (!free)
		loop_defer(stream->hub->loop, &stream->deferred);
}
