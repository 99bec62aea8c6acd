/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes the trace (--trace). */
#include "machine/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"

int
trace_open(struct trace *trace, const char *path)
{
	*trace = (struct trace){ .file = file_open_report(path), .path = strdup(path) };
	if (trace->file)
		return 0;
	free(trace->path);
	trace->path = NULL;
	return fail(status_for(errno, STATUS_IO), "cannot write the trace to %s: %s", path,
		    strerror(errno));
}

int
trace_close(struct trace *trace)
{
	bool bad = trace->file && ferror(trace->file);
	int r;

	if (trace->file && fclose(trace->file))
		bad = true;
	r = bad ? fail(STATUS_IO, "the trace in %s is not complete: %s", trace->path,
		       strerror(errno))
		: 0;

	free(trace->path);
	*trace = (struct trace){ 0 };
	return r;
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

void
trace_access(struct trace *trace, const struct trace_access *a)
{
	const char *name;

	fprintf(trace->file,
		"{\"n\":%" PRIu64 ",\"time\":%" PRIu64 ",\"vcpu\":%u,\"rip\":\"0x%" PRIx64
		"\",\"space\":\"%s\",\"address\":\"0x%" PRIx64 "\",\"width\":%u,\"%s\":\"0x%" PRIx64
		"\"",
		++trace->number, a->time, a->vcpu, a->rip, a->space == MINIVMM_PIO ? "pio" : "mmio",
		a->address, a->width, a->write ? "write" : "read", a->value);
	if (a->range) {
		fprintf(trace->file, ",\"device\":\"%s\"", a->range->device->name);
		name = register_name(a->range, a->address - a->range->base, a->write);
		if (name)
			fprintf(trace->file, ",\"register\":\"%s\"", name);
	}
	fputs("}\n", trace->file);
	if (ferror(trace->file) && !trace->failed) {
		trace->failed = true;
		log_line(MINIVMM_WARNING, NULL, "cannot write the trace to %s: %s", trace->path,
			 strerror(errno));
	}
}
