/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes the trace (--trace). */
#include "machine/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limit.h"
#include "base/log.h"

#define LOOK 100  /* ms between two looks at trace->ended */
#define LOOKS 10u /* with it set, before a line is lost */

int
trace_open(struct trace *trace, const char *path, struct made_files *made)
{
	int error;
	struct stat st;
	struct why why;

	*trace = (struct trace){ .fd = file_open_report_fd(path, made), .path = strdup(path) };
	error = errno;
	pthread_mutex_init(&trace->lock, NULL);
	if (trace->fd < 0) {
		file_why(path, error, &why);
		return fail(why_status(&why, STATUS_IO), "cannot write the trace to %s: %s", path,
			    why.text);
	}
	trace->waits = !fstat(trace->fd, &st) && !S_ISREG(st.st_mode);
	trace->line = open_memstream(&trace->text, &trace->length);
	return trace->line && trace->path ? 0 : fail_memory("the trace");
}

static struct limit_text
error_text(int error)
{
	return error == ETIME ? (struct limit_text){ "nobody reads it" } : limit_error(error);
}

void
trace_end(struct trace *trace)
{
	atomic_store(&trace->ended, true);
}

int
trace_close(struct trace *trace)
{
	int error = trace->error;

	if (trace->fd >= 0 && close(trace->fd) && !error)
		error = errno;
	if (trace->line)
		fclose(trace->line);
	if (error)
		fail(STATUS_IO, "the trace in %s is not complete: %s", trace->path,
		     error_text(error).text);
	free(trace->text);
	free(trace->path);
	pthread_mutex_destroy(&trace->lock);
	*trace = (struct trace){ .fd = -1 };
	return error ? -STATUS_IO : 0;
}

static const char *
register_name(const struct bus_range *range, uint64_t offset, bool write)
{
	const struct minivmm_register *r = range->row->registers;

	for (; r && (r->read || r->write); r++)
		if (r->offset == offset)
			return write && r->write ? r->write : r->read;
	return NULL;
}

/* Puts the line into the memory stream. */
static void
print(FILE *out, const struct trace *trace, const struct trace_access *a)
{
	char text[256];
	const char *at =
	    trace->symbols ? symbols_text(trace->symbols, a->rip, text, sizeof(text)) : NULL;
	const char *name =
	    a->range ? register_name(a->range, a->address - a->range->base, a->write) : NULL;

	fprintf(out,
		"{\"n\":%" PRIu64 ",\"time\":\"0x%" PRIx64 "\",\"vcpu\":%u,\"rip\":\"0x%" PRIx64
		"\",\"space\":\"%s\",\"address\":\"0x%" PRIx64 "\",\"width\":%u,\"%s\":\"0x%" PRIx64
		"\"",
		trace->number, clock_now(a->clock), a->vcpu, a->rip,
		a->space == MINIVMM_PIO ? "pio" : "mmio", a->address, a->width,
		a->write ? "write" : "read", a->value);
	if (at) {
		fputs(",\"at\":", out);
		json_text(out, at, strlen(at));
	}
	if (a->range)
		fprintf(out, ",\"device\":\"%s\"", a->range->device->name);
	if (name) {
		fputs(",\"register\":", out);
		json_text(out, name, strlen(name));
	}
	fputs("}\n", out);
}

/*
 * Writes bytes with one write(2): if a pipe has room, it has room for a line. A signal that kicks
 * the vCPU ends a write that waits: it is continued, but not for long after trace_end.
 */
static int
write_all(const struct trace *trace, const char *text, size_t length)
{
	struct pollfd room = { .fd = trace->fd, .events = POLLOUT };
	unsigned looks = 0;

	while (length) {
		ssize_t n;

		if (trace->waits && poll(&room, 1, LOOK) != 1) {
			if (atomic_load(&trace->ended) && ++looks == LOOKS)
				return ETIME;
			continue;
		}
		n = write(room.fd, text, length);
		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0) {
			text += n;
			length -= (size_t)n;
		}
	}
	return 0;
}

void
trace_access(struct trace *trace, const struct trace_access *access)
{
	int error;

	pthread_mutex_lock(&trace->lock);
	rewind(trace->line);
	trace->number++;
	print(trace->line, trace, access);
	error = fflush(trace->line) ? errno : write_all(trace, trace->text, trace->length);
	if (error && !trace->error) {
		trace->error = error;
		log_line(MINIVMM_WARNING, NULL, "cannot write the trace to %s: %s", trace->path,
			 error_text(error).text);
	}
	pthread_mutex_unlock(&trace->lock);
}
