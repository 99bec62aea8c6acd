/* SPDX-License-Identifier: BSD-2-Clause */
/* Parses the options of streams; saves and loads streams in snapshots. */
#include <stdlib.h>
#include <string.h>

#include "base/habits.h"
#include "base/log.h"
#include "base/text.h"
#include "stream/stream_kinds.h"

static const struct stream_kind *
kind_find(const char *name, size_t length)
{
	for (const struct stream_kind *kind = stream_kinds; kind->name; kind++)
		if (strlen(kind->name) == length && !memcmp(kind->name, name, length))
			return kind;
	return NULL;
}

bool
stream_names_host(const char *text)
{
	const struct stream_kind *kind = kind_find(text, strcspn(text, ":"));

	return kind && (kind->flags & KIND_HOST);
}

bool
stream_is_private(const char *text)
{
	const struct stream_kind *kind = text ? kind_find(text, strcspn(text, ":")) : NULL;

	return kind && (kind->decode || !strcmp(kind->name, "file"));
}

const char *
stream_file(const struct stream_end *end)
{
	return end->kind && !strcmp(end->kind->name, "file") ? end->target : NULL;
}

static int
option_fail(const struct stream_end *end, const char *text, struct config_place place,
	    const char *problem, const char *detail)
{
	char where[512];

	return fail(STATUS_USAGE, "%s: %s %s: %s = %s %s%s",
		    config_option_where(place, stream_owner(end->stream), end->stream->device,
					end->option, where, sizeof(where)),
		    stream_owner(end->stream), end->stream->device, end->option, text, problem,
		    detail);
}

static int
unknown_kind(const struct stream_end *end, const char *text, struct config_place place)
{
	char name[32];
	const char *names[32], *near, *ours;
	size_t count = 0;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(text, ":"), text);
	for (const struct stream_kind *kind = stream_kinds; kind->name; kind++)
		names[count++] = kind->name;
	names[count] = NULL;
	ours = habit(HABIT_STREAM, name);
	if (ours)
		return option_fail(end, text, place, "is not a stream; ", ours);
	near = nearest(name, names);
	if (near)
		return option_fail(end, text, place, "is not a stream",
				   did_you_mean(near, "").text);
	return option_fail(
	    end, text, place, "is not a stream; use none, stdio, file:PATH, pty, ",
	    "unix:PATH, unix-listen:PATH, tcp:HOST:PORT or tcp-listen:HOST:PORT, for output also "
	    "stderr, for input also hex:DIGITS or text:TEXT");
}

/* Fills the buffer with all bytes of hex: or text:. */
static int
take_content(struct stream_end *end, struct why *why)
{
	struct stream *stream = end->stream;
	uint8_t *bytes;
	size_t length;

	if (end->kind->decode(end->target, &bytes, &length, why))
		return -1;
	stream->input = bytes;
	stream->input_size = stream->input_length = length;
	return 0;
}

static int
parse(struct stream_end *end, const char *text, struct config_place place)
{
	size_t length = strcspn(text, ":");
	const struct stream_kind *kind = kind_find(text, length);
	struct why why;
	int r = 0;

	if (!kind)
		return unknown_kind(end, text, place);
	if (kind->form && !text[length])
		return option_fail(end, text, place, "has no target; append :", kind->form);
	if (!kind->form && text[length])
		return option_fail(end, text, place, "has a target, but needs none; use ",
				   kind->name);
	if ((kind->flags & KIND_INPUT_ONLY) && end == &end->stream->out)
		return option_fail(end, text, place, "is for input only", "");
	if ((kind->flags & KIND_OUTPUT_ONLY) && end == &end->stream->in)
		return option_fail(end, text, place, "is for output only", "");
	if (!strcmp(kind->name, "none"))
		return 0;
	end->kind = kind;
	if (kind->form && !(end->target = strdup(text + length + 1)))
		return fail_memory("a stream");
	if (kind->decode)
		r = take_content(end, &why);
	else if (kind->check)
		r = kind->check(end->target, &why);
	if (r && why_status(&why, STATUS_USAGE) == STATUS_HOST)
		return fail_memory("a stream");
	return r ? option_fail(end, text, place, why.text, "") : 0;
}

/* Makes the device the only owner of stdin or stdout (file, for messages). */
static int
claim(struct stream_end *end, const char **owner, const char *file, struct config_place place)
{
	char where[512];

	if (!end->kind || strcmp(end->kind->name, "stdio"))
		return 0;
	if (*owner)
		return fail(
		    STATUS_USAGE, "%s: %s %s: %s = stdio: %s uses %s already; only one device can",
		    config_option_where(place, stream_owner(end->stream), end->stream->device,
					end->option, where, sizeof(where)),
		    stream_owner(end->stream), end->stream->device, end->option, *owner, file);
	*owner = end->stream->device;
	return 0;
}

int
stream_init(struct stream *stream, struct stream_hub *hub, const char *device,
	    const struct stream_option *output, const struct stream_option *input)
{
	struct stream_end *ends[] = { &stream->in, &stream->out };
	int status = 0, other;

	memset(stream, 0, sizeof(*stream));
	stream->hub = hub;
	stream->device = device;
	stream->refills = -1;
	stream->in.option = input->name;
	stream->out.option = output->name;
	stream->deferred.run = stream_run;
	stream->deferred.always = hub->always;
	stream->deferred.context = stream;
	pthread_mutex_init(&stream->lock, NULL);
	for (int i = 0; i < 2; i++) {
		ends[i]->stream = stream;
		ends[i]->fd = ends[i]->listen_fd = -1;
		ends[i]->source.fd = ends[i]->listen_source.fd = -1;
	}
	if (output->text && *output->text)
		status = parse(&stream->out, output->text, output->place);
	if (input->text && *input->text) {
		other = parse(&stream->in, input->text, input->place);
		status = status ? status : other;
	}
	if (status)
		return status;
	if (stream->in.kind && !stream->in.kind->decode)
		stream->reader = &stream->in;
	else if (!input->text && stream->out.kind && (stream->out.kind->flags & KIND_TWO_WAY))
		stream->reader = &stream->out;
	if (stream->reader) {
		stream->input_size = STREAM_INPUT_SIZE;
		stream->input = malloc(STREAM_INPUT_SIZE);
		if (!stream->input)
			return fail_memory("a stream");
	}
	status = claim(&stream->out, &hub->stdout_owner, "stdout", output->place);
	other = claim(&stream->in, &hub->stdin_owner, "stdin", input->place);
	return status ? status : other;
}

void
stream_free(struct stream *stream)
{
	const volatile bool no_waiting = true;

	if (!stream->hub)
		return;
	stream_end_close(&stream->in, &no_waiting);
	stream_end_close(&stream->out, &no_waiting);
	loop_deferred_remove(stream->hub->loop, &stream->deferred);
	if (stream->hub->stdin_owner == stream->device)
		stream->hub->stdin_owner = NULL;
	if (stream->hub->stdout_owner == stream->device)
		stream->hub->stdout_owner = NULL;
	free(stream->in.target);
	free(stream->out.target);
	free(stream->input);
	pthread_mutex_destroy(&stream->lock);
	memset(stream, 0, sizeof(*stream));
}

/*
 * Identifies the source of saved input: the option's text for hex: and text:, "file" for each file
 * (its path may change), "" for all other kinds. malloced; NULL: no memory.
 */
static char *
input_origin(const struct stream *stream)
{
	const struct stream_end *in = &stream->in;
	char *origin;

	if (!in->kind || (!in->kind->decode && strcmp(in->kind->name, "file")))
		return strdup("");
	if (!in->kind->decode)
		return strdup("file");
	return asprintf(&origin, "%s:%s", in->kind->name, in->target) < 0 ? NULL : origin;
}

#define SAVED_REST 128u /* bytes of stream_save for more than input and target */

void
stream_save(struct stream *stream, struct record_writer *writer)
{
	char *origin = input_origin(stream);
	size_t length = stream->input_length,
	       first = least(length, stream->input_size - stream->input_head);
	uint8_t *to;

	if (!origin)
		record_fail(writer, true);
	else {
		record_put_text(writer, "input_from", origin);
		to = record_put_room(writer, "input", RECORD_U8, length);
		if (to) {
			memcpy(to, stream->input + stream->input_head, first);
			memcpy(to + first, stream->input, length - first);
		}
		record_put_u64(writer, "input_position", stream->input_position);
	}
	free(origin);
}

size_t
stream_state_size(const struct stream *stream)
{
	const char *target = stream->in.target;

	return SAVED_REST + stream->input_size + (target ? strlen(target) : 0);
}

void
stream_rewind(struct stream *stream)
{
	struct stream_end *in = &stream->in;

	pthread_mutex_lock(&stream->lock);
	if (in->kind && in->kind->decode) {
		stream->input_head = 0;
		stream->input_length = stream->input_size;
	} else if (stream->reader == in && in->ready) {
		stream->input_head = stream->input_length = 0;
		stream->input_position = 0;
		in->ended = stream->input_full = false;
	}
	pthread_mutex_unlock(&stream->lock);
}

void
stream_drop(struct stream *stream)
{
	pthread_mutex_lock(&stream->lock);
	stream->input_head = stream->input_length = 0;
	pthread_mutex_unlock(&stream->lock);
}

int
stream_load(struct stream *stream, const struct record *group, struct why *why)
{
	static const char *const items[] = { "input_from", "input", "input_position", NULL };
	char *origin = NULL, *now = NULL;
	const uint8_t *bytes;
	uint64_t position;
	size_t length;
	int status = -1;

	if (record_copy_text(group, "input_from", &origin, why))
		;
	else if (!record_get_bytes(group, "input", &bytes, &length))
		why_set(why, "input is missing or is not bytes");
	else if (!record_get_u64(group, "input_position", &position) || position > INT64_MAX)
		why_set(why, "input_position is missing or too large");
	else if (record_only(group, items, why))
		;
	else if (!(now = input_origin(stream)))
		why_no_memory(why);
	else if (strcmp(origin, now) || !stream->input_size)
		status = 0; /* the input option has changed: ignore the saved input */
	else if (length > stream->input_size)
		why_set(why, "input holds %zu bytes, at most %zu fit", length, stream->input_size);
	else {
		memcpy(stream->input, bytes, length);
		stream->input_head = 0;
		stream->input_length = length;
		stream->input_position = position;
		if (stream->reader && stream->reader->ready)
			stream->reader->ended = false;
		status = 0;
	}
	free(origin);
	free(now);
	return status;
}
