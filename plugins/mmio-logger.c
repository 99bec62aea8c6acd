/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logs each guest access to a range of addresses, as a line of text or JSON. The range contains
 * nothing, RAM, or one fixed value. The logged rip is the one that minivmm_instruction() returns:
 * for a read, the rip of the reading instruction; for a write, that of the next instruction.
 */
#include <inttypes.h>
#include <minivmm/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_OPTION (64ull << 20) /* of a range; every snapshot contains the RAM */

enum backing { NONE, RAM, FIXED };
enum format { TEXT, JSON };

struct logger {
	uint64_t size;            /* options */
	uint32_t backing, format; /* enum backing, enum format */
	uint64_t value;
	uint64_t ram_size; /* size; 0 without RAM */
	uint8_t *ram;      /* this and the following members are state */
	uint64_t reads, writes, read_bytes, write_bytes;
	uint64_t lost; /* lines dropped because the output had no room */
};

static void
log_access(struct minivmm_device *dev, const struct minivmm_access *a, bool write, uint64_t value)
{
	static const char *const formats[] = {
		[TEXT] = "%s: %" PRIu64 ".%09" PRIu64 " vcpu %u rip 0x%" PRIx64 " %s 0x%" PRIx64
			 " width %u value 0x%" PRIx64 "\n",
		/* JSON readers keep 53 bits of a number. */
		[JSON] =
		    "{\"device\":\"%s\",\"time\":%" PRIu64 ".%09" PRIu64
		    ",\"vcpu\":%u,\"rip\":\"0x%" PRIx64 "\",\"op\":\"%s\",\"address\":\"0x%" PRIx64
		    "\",\"width\":%u,\"value\":\"0x%" PRIx64 "\"}\n",
	};
	struct logger *l = minivmm_state(dev);
	uint64_t now = minivmm_now(dev), rip = 0;
	char line[320];
	size_t length;

	minivmm_instruction(dev, a, &rip);
	length = (size_t)snprintf(line, sizeof(line), formats[l->format], dev->name,
				  now / 1000000000, now % 1000000000, a->vcpu, rip,
				  write ? "write" : "read", a->address, a->width, value);
	/* Write whole lines only: a JSON reader must never get part of a line. */
	if (minivmm_stream_writable(dev, 0) < length)
		l->lost++;
	else
		minivmm_stream_write(dev, 0, line, length);
}

static int
logger_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	struct logger *l = minivmm_state(dev);

	*value = l->backing == FIXED ? l->value : ~0ull;
	if (l->backing == RAM) {
		*value = 0;
		memcpy(value, l->ram + a->offset, a->width);
	}
	if (a->width < 8)
		*value &= (1ull << (8 * a->width)) - 1;
	l->reads++;
	l->read_bytes += a->width;
	log_access(dev, a, false, *value);
	return 0;
}

static int
logger_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct logger *l = minivmm_state(dev);

	if (l->backing == RAM)
		memcpy(l->ram + a->offset, &value, a->width);
	l->writes++;
	l->write_bytes += a->width;
	log_access(dev, a, true, value);
	return 0;
}

static int
logger_configure(struct minivmm_device *dev)
{
	struct logger *l = minivmm_state(dev);

	if (l->backing != RAM)
		return 0;
	l->ram = calloc(1, l->size);
	if (!l->ram) {
		minivmm_error(dev,
			      "cannot allocate size = %" PRIu64 " bytes of RAM; use a smaller size",
			      l->size);
		return -1;
	}
	l->ram_size = l->size;
	return 0;
}

static int
logger_stop(struct minivmm_device *dev)
{
	const struct logger *l = minivmm_state(dev);

	minivmm_log(dev, MINIVMM_INFO,
		    "%" PRIu64 " reads of %" PRIu64 " bytes, %" PRIu64 " writes of %" PRIu64
		    " bytes",
		    l->reads, l->read_bytes, l->writes, l->write_bytes);
	if (l->lost)
		minivmm_log(dev, MINIVMM_WARNING,
			    "%" PRIu64 " lines lost: the reader of the output was too slow",
			    l->lost);
	return 0;
}

static void
logger_destroy(struct minivmm_device *dev)
{
	struct logger *l = minivmm_state(dev);

	free(l->ram);
}

static const char *const backings[] = { "none", "ram", "fixed", NULL };
static const char *const format_names[] = { "text", "json", NULL };

static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(SIZE, struct logger, size, "4K", "length of the range", .min = 1,
			  .max = SIZE_MAX_OPTION),
	MINIVMM_OPTION_AS(ENUM, struct logger, backing, "none",
			  "what reads return: all ones, the bytes written, or value",
			  .values = backings),
	MINIVMM_OPTION(struct logger, value, "0", "what reads return with backing = fixed"),
	MINIVMM_OPTION_AS(ENUM, struct logger, format, "text", "format of a line",
			  .values = format_names, .flags = MINIVMM_HOST),
	MINIVMM_END
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_MMIO,
	  .at = "address",
	  .length_option = "size",
	  .read = logger_read,
	  .write = logger_write,
	  .help = "start of the range" },
	MINIVMM_END,
};

static const struct minivmm_stream streams[] = {
	{ .name = "log", .output = "output", .output_initial = "stderr", .help = "the log" },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct logger, reads, .help = "number of reads"),
	MINIVMM_FIELD(struct logger, writes, .help = "number of writes"),
	MINIVMM_FIELD(struct logger, read_bytes, .help = "bytes read"),
	MINIVMM_FIELD(struct logger, write_bytes, .help = "bytes written"),
	MINIVMM_FIELD(struct logger, lost, .flags = MINIVMM_FREE_RUNNING,
		      .help = "lines lost to a slow reader"),
	MINIVMM_FIELD_POINTER(struct logger, ram, ram_size,
			      .help = "with backing = ram: the bytes written"),
	MINIVMM_END,
};

static const struct minivmm_plugin mmio_logger = {
	.name = "mmio-logger",
	.summary = "logs each access to a range of addresses",
	.state_version = 1,
	.state_size = sizeof(struct logger),
	.options = options,
	.ranges = ranges,
	.streams = streams,
	.fields = fields,
	.configure = logger_configure,
	.stop = logger_stop,
	.destroy = logger_destroy,
};
MINIVMM_REGISTER(mmio_logger);
