/* SPDX-License-Identifier: BSD-2-Clause */
/* The lines of a batch: one result each, written by several processes. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limit.h"
#include "base/log.h"
#include "cli/batch.h"

bool
batch_lock(pthread_mutex_t *mutex)
{
	bool died = pthread_mutex_lock(mutex) == EOWNERDEAD;

	if (died)
		pthread_mutex_consistent(mutex);
	return died;
}

/* Under the lock. */
static int
put_bytes(const struct batch *batch, const char *bytes, size_t length)
{
	struct pollfd room = { .fd = batch->out, .events = POLLOUT };

	while (length) {
		ssize_t n = write(batch->out, bytes, length);

		if (n < 0 && errno == EAGAIN) /* the other side may have made stdout nonblocking */
			poll(&room, 1, -1);
		else if (n < 0 && errno != EINTR)
			return fail(status_for(errno, STATUS_IO), "cannot write to %s: %s",
				    batch->resume ? batch->resume : "stdout",
				    limit_error(errno).text);
		if (n > 0) {
			bytes += n;
			length -= (size_t)n;
		}
	}
	return 0;
}

/* Ends the line of a worker that was killed; its own file has no trace of an incomplete line. */
static int
mend(const struct batch *batch)
{
	char last = '\0';
	off_t end;

	if (!batch->resume)
		return put_bytes(batch, "\n", 1);
	end = lseek(batch->out, 0, SEEK_END);
	if (end <= batch->shared->line_at ||
	    (pread(batch->out, &last, 1, end - 1) == 1 && last == '\n'))
		return 0;
	if (!ftruncate(batch->out, batch->shared->line_at))
		return 0;
	return fail(STATUS_IO, "cannot write to %s: %s", batch->resume, limit_error(errno).text);
}

static int
put_line(const struct batch *batch, const char *line, size_t length)
{
	struct batch_shared *shared = batch->shared;
	int r = 0;

	if (batch_lock(&shared->out) && shared->begun)
		r = mend(batch);
	if (!r && batch->resume)
		shared->line_at = lseek(batch->out, 0, SEEK_END);
	shared->begun = true;
	if (!r)
		r = put_bytes(batch, line, length);
	if (r && batch->resume)
		mend(batch);
	shared->begun = false;
	pthread_mutex_unlock(&shared->out);
	return r;
}

int
batch_line_begin(struct batch_line *line, const char *file, const char *cause, int exit)
{
	*line = (struct batch_line){ .failed = exit != 0 };
	line->out = open_memstream(&line->text, &line->length);
	if (!line->out)
		return fail_memory("a line of output");
	fputs("{\"file\":", line->out);
	json_text(line->out, file, strlen(file));
	fprintf(line->out, ",\"cause\":\"%s\",\"exit\":%d", cause, exit);
	return 0;
}

int
batch_line_end(const struct batch *batch, struct batch_line *line)
{
	int r;

	if (*batch->host) {
		fputs(",\"host\":", line->out);
		json_text(line->out, batch->host, strlen(batch->host));
	}
	if (batch->shards)
		fprintf(line->out, ",\"shard\":\"%llu/%llu\"", (unsigned long long)batch->shard,
			(unsigned long long)batch->shards);
	fputs("}\n", line->out);
	r = fclose(line->out) ? fail_memory("a line of output")
			      : put_line(batch, line->text, line->length);
	free(line->text);
	atomic_fetch_add(&batch->shared->failed, line->failed);
	return r;
}
