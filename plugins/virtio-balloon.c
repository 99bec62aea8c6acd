/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A memory balloon (virtio 1.2, section 5.5). The driver gives up pages when the target grows
 * (inflate) and takes them back when it shrinks (deflate). It also reports free memory (free page
 * reporting) and memory statistics. Pages that are given up or reported read as zeros and use no
 * memory, neither on the host nor in a snapshot.
 *
 * Each input line of the control stream sets a new target. The output has the size of the balloon
 * and the statistics.
 */
#include <minivmm/plugin.h>
#include <stdio.h>
#include <string.h>

#include "common/queue.h"

#define PAGE 4096u
#define NUMBERS 256u /* page numbers copied at once */
#define REQUEST_PAGES                                                                              \
	65536u /* limit per request; further pages are not discarded, which the specification      \
		  allows */
#define TURN_PAGES 64u /* this many pages cost as much of the budget as one request */
#define STATISTICS 10u
#define LINE 32u

#define BALLOON_F_STATS (1ull << 1)
#define BALLOON_F_DEFLATE_ON_OOM (1ull << 2)
#define BALLOON_F_REPORTING (1ull << 5)

enum role { INFLATE, DEFLATE, STATS, REPORTING };

struct balloon {
	struct virtio virtio;
	uint64_t target, period; /* options */
	/* state */
	uint32_t pages;      /* target, in pages */
	uint32_t actual;     /* size that the driver reports, in pages */
	uint32_t generation; /* ConfigGeneration */
	bool held;     /* the device keeps the driver's statistics buffer until it wants new ones */
	uint16_t head; /* head of its descriptor chain */
	uint64_t statistics[STATISTICS];
	uint8_t line[LINE]; /* incomplete line of the control stream */
	uint8_t length;
};

struct balloon_run {
	uint64_t gpa, length;
};

struct balloon_statistic {
	uint16_t tag;
	uint64_t value;
} __attribute__((packed));

static const char *const statistics[STATISTICS] = {
	"swap_in", "swap_out",  "major_faults", "minor_faults", "free",
	"total",   "available", "disk_caches",  "huge_pages",   "huge_page_failures",
};

/* Queues of features that are not negotiated have no index: Linux and other devices number them
 * this way. */
static enum role
balloon_role(const struct virtio *v, uint32_t queue)
{
	if (queue == 2 && !virtio_has(v, BALLOON_F_STATS))
		queue = REPORTING;
	return (enum role)queue;
}

static int
balloon_discard(struct minivmm_device *dev, struct virtio *v, const struct balloon_run *run)
{
	if (run->length && minivmm_memory_discard(dev, run->gpa, run->length))
		return virtio_bad(dev, v, "an inflated page is not in guest memory");
	return 0;
}

/* Adds a page to a run. If the page is not adjacent, discards the run and starts a new one. */
static int
balloon_add(struct minivmm_device *dev, struct virtio *v, struct balloon_run *run, uint64_t gpa)
{
	if (run->length && gpa == run->gpa + run->length) {
		run->length += PAGE;
		return 0;
	}
	if (run->length && gpa + PAGE == run->gpa) {
		run->gpa = gpa;
		run->length += PAGE;
		return 0;
	}
	if (balloon_discard(dev, v, run))
		return -1;
	*run = (struct balloon_run){ gpa, PAGE };
	return 0;
}

static int
balloon_inflate(struct minivmm_device *dev, struct virtio *v, const struct virtio_request *request)
{
	struct balloon_run run = { 0 };
	uint32_t numbers[NUMBERS];
	uint64_t done = 0;

	while (done + sizeof(*numbers) <= request->out_bytes &&
	       done < REQUEST_PAGES * sizeof(*numbers)) {
		int64_t n = virtio_copy(dev, v, request, false, done, numbers, sizeof(numbers));

		if (n < 0)
			return -1;
		for (size_t i = 0; i < (size_t)n / sizeof(*numbers); i++)
			if (balloon_add(dev, v, &run, (uint64_t)numbers[i] * PAGE))
				return -1;
		done += (uint64_t)n;
	}
	virtio_spend(v, done / sizeof(*numbers) / TURN_PAGES);
	return balloon_discard(dev, v, &run);
}

/* Discards the whole pages in the request's segments, which are the free memory. */
static int
balloon_report(struct minivmm_device *dev, struct virtio *v, const struct virtio_request *request)
{
	uint64_t left = (uint64_t)REQUEST_PAGES * PAGE;

	for (uint32_t i = request->out; i < request->out + request->in && left; i++) {
		const struct virtio_segment *s = &request->segments[i];
		uint64_t begin = (s->address + PAGE - 1) & ~(uint64_t)(PAGE - 1), end;
		struct balloon_run run;

		if (__builtin_add_overflow(s->address, s->length, &end) || begin < s->address)
			return virtio_bad(dev, v, "reported free memory is not in guest memory");
		end &= ~(uint64_t)(PAGE - 1);
		if (begin >= end)
			continue;
		run = (struct balloon_run){ begin, end - begin < left ? end - begin : left };
		if (balloon_discard(dev, v, &run))
			return -1;
		left -= run.length;
		virtio_spend(v, run.length / PAGE / TURN_PAGES);
	}
	return 0;
}

static void
balloon_print(struct minivmm_device *dev, const char *text, int length)
{
	if (length > 0)
		minivmm_stream_write(dev, 0, text, (size_t)length);
}

static void
balloon_print_statistics(struct minivmm_device *dev)
{
	const struct balloon *b = minivmm_state(dev);
	char text[512];
	int n = 0;

	for (uint32_t i = 0; i < STATISTICS; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%s=%llu",
			      i ? " " : "statistics ", statistics[i],
			      (unsigned long long)b->statistics[i]);
	n += snprintf(text + n, sizeof(text) - (size_t)n, "\n");
	balloon_print(dev, text, n);
}

/* Reads the statistics of a request and keeps the request. It is returned when the device wants new
 * statistics. */
static int
balloon_statistics(struct minivmm_device *dev, uint32_t queue)
{
	struct balloon *b = minivmm_state(dev);
	struct virtio_request request;
	struct balloon_statistic s;

	if (b->held || virtio_pop(dev, &b->virtio, queue, &request) <= 0)
		return 0;
	/* The driver sends the next buffer after it gets this one back, and notifies then. */
	b->virtio.pending[queue] = false;
	virtio_set_avail_event(dev, &b->virtio, queue);
	for (uint64_t at = 0; at < 4 * STATISTICS * sizeof(s); at += sizeof(s)) {
		int64_t n = virtio_copy(dev, &b->virtio, &request, false, at, &s, sizeof(s));

		if (n < 0)
			return 0;
		if (n < (int64_t)sizeof(s))
			break;
		if (s.tag < STATISTICS)
			b->statistics[s.tag] = s.value;
	}
	b->held = true;
	b->head = request.head;
	balloon_print_statistics(dev);
	if (b->period)
		minivmm_timer_set(dev, 0, minivmm_now(dev) + b->period, 0);
	return 0;
}

static int
balloon_notify(struct minivmm_device *dev, uint32_t queue)
{
	struct balloon *b = minivmm_state(dev);
	enum role role = balloon_role(&b->virtio, queue);
	struct virtio_request request;
	int failed = 0;

	if (role == STATS)
		return balloon_statistics(dev, queue);
	while (!failed && virtio_pop(dev, &b->virtio, queue, &request) > 0) {
		if (role == INFLATE)
			failed = balloon_inflate(dev, &b->virtio, &request);
		else if (role == REPORTING)
			failed = balloon_report(dev, &b->virtio, &request);
		if (!failed)
			failed = virtio_push(dev, &b->virtio, queue, &request, 0);
	}
	return 0;
}

/* Requests new statistics: returns the buffer, which the driver fills and sends again. */
static int
balloon_period(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	struct balloon *b = minivmm_state(dev);
	const struct virtio_request request = { .head = b->head };

	if (!b->held || !virtio_has(&b->virtio, BALLOON_F_STATS) || !virtio_live(&b->virtio, STATS))
		return 0;
	b->held = false;
	return virtio_push(dev, &b->virtio, STATS, &request, 0) ? 0
								: virtio_process_pending(dev, 0);
}

static uint64_t
balloon_features(struct minivmm_device *dev)
{
	return BALLOON_F_STATS | BALLOON_F_DEFLATE_ON_OOM | BALLOON_F_REPORTING;
}

/* struct virtio_balloon_config, section 5.5.4. */
static void
balloon_config(struct minivmm_device *dev, uint8_t *config)
{
	const struct balloon *b = minivmm_state(dev);

	memcpy(config, &b->pages, 4);
	memcpy(config + 4, &b->actual, 4);
}

static void
balloon_config_write(struct minivmm_device *dev, uint64_t offset, uint32_t width, uint64_t value)
{
	struct balloon *b = minivmm_state(dev);
	char text[64];

	if (offset != 4 || width != 4)
		return;
	b->actual = (uint32_t)value;
	balloon_print(dev, text,
		      snprintf(text, sizeof(text), "balloon %lluK\n",
			       (unsigned long long)b->actual * PAGE / 1024));
}

static uint32_t
balloon_generation(struct minivmm_device *dev)
{
	return ((const struct balloon *)minivmm_state(dev))->generation;
}

static void
balloon_reset(struct minivmm_device *dev)
{
	struct balloon *b = minivmm_state(dev);

	b->actual = 0;
	b->held = false;
	minivmm_timer_cancel(dev, 0);
}

static const struct virtio_kind kind = {
	.id = 5,
	.queues = 4,
	.features = balloon_features,
	.notify = balloon_notify,
	.config = balloon_config,
	.config_write = balloon_config_write,
	.generation = balloon_generation,
	.reset = balloon_reset,
};

/* Parses a line: a size as in a config file. */
static bool
balloon_parse(const uint8_t *line, uint32_t length, uint64_t *bytes)
{
	static const char units[] = "KMG";
	uint32_t at = 0, shift = 0;

	for (*bytes = 0; at < length && line[at] >= '0' && line[at] <= '9'; at++)
		if (__builtin_mul_overflow(*bytes, 10, bytes) ||
		    __builtin_add_overflow(*bytes, line[at] - '0', bytes))
			return false;
	if (!at || at + 1 < length)
		return false;
	if (at < length) {
		const char *unit = strchr(units, line[at]);

		if (!unit || !*unit)
			return false;
		shift = 10 * (uint32_t)(unit - units + 1);
	}
	if (*bytes > (UINT32_MAX * (uint64_t)PAGE) >> shift)
		return false;
	*bytes <<= shift;
	return true;
}

static void
balloon_line(struct minivmm_device *dev)
{
	struct balloon *b = minivmm_state(dev);
	uint32_t length = b->length;
	uint64_t bytes;
	char text[64];

	if (length && b->line[length - 1] == '\r')
		length--;
	if (length == LINE || !balloon_parse(b->line, length, &bytes)) {
		balloon_print(
		    dev, text,
		    snprintf(text, sizeof(text), "not a size; write a target, for example 64M\n"));
		return;
	}
	if (bytes > minivmm_memory_size(dev)) {
		balloon_print(dev, text,
			      snprintf(text, sizeof(text), "larger than memory, %lluM\n",
				       (unsigned long long)minivmm_memory_size(dev) >> 20));
		return;
	}
	b->pages = (uint32_t)(bytes / PAGE);
	b->generation++;
	if (b->virtio.status & VIRTIO_DRIVER_OK)
		virtio_interrupt_config(dev, &b->virtio);
}

static int
balloon_readable(struct minivmm_device *dev, uint32_t stream)
{
	struct balloon *b = minivmm_state(dev);
	uint8_t byte;

	while (minivmm_stream_read(dev, stream, &byte, 1)) {
		if (byte == '\n') {
			balloon_line(dev);
			b->length = 0;
		} else if (b->length < LINE)
			b->line[b->length++] = byte;
	}
	return 0;
}

static int
balloon_configure(struct minivmm_device *dev)
{
	struct balloon *b = minivmm_state(dev);

	b->virtio.kind = &kind;
	if (b->target % PAGE == 0)
		return 0;
	minivmm_error(dev, "target = %llu is not a multiple of 4K; use whole pages",
		      (unsigned long long)b->target);
	return -1;
}

static int
balloon_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct balloon *b = minivmm_state(dev);

	/* A snapshot of an earlier version may have a larger target. */
	if (start->reason == MINIVMM_FRESH && b->target > minivmm_memory_size(dev)) {
		minivmm_error(dev,
			      "target = %llu is larger than memory, %llu bytes: lower it; the rest "
			      "of memory is the guest's",
			      (unsigned long long)b->target,
			      (unsigned long long)minivmm_memory_size(dev));
		return -1;
	}
	if (start->reason == MINIVMM_FRESH)
		b->pages = (uint32_t)(b->target / PAGE);
	return virtio_process_pending(dev, 0);
}

static const struct minivmm_option options[] = {
	VIRTIO_OPTIONS(struct balloon),
	MINIVMM_OPTION_AS(SIZE, struct balloon, target, "0", "initial target of the balloon",
			  .max = UINT32_MAX * 4096ull),
	MINIVMM_OPTION_AS(DURATION, struct balloon, period, "0",
			  "time between statistics; 0: get them only once"),
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = { VIRTIO_RANGES, MINIVMM_END };
static const struct minivmm_pci pci[] = { VIRTIO_PCI(struct balloon, 5, 0x00ff00, 4), MINIVMM_END };

static const struct minivmm_timer timers[] = {
	{ .name = "period", .fire = balloon_period, .help = "requests new statistics" },
	MINIVMM_END,
};

static const struct minivmm_stream streams[] = {
	{ .name = "control",
	  .output = "control",
	  .input = "control_input",
	  .readable = balloon_readable,
	  .help = "input: new targets; output: sizes and statistics" },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	VIRTIO_FIELDS(struct balloon),
	MINIVMM_FIELD(struct balloon, pages, .help = "target, in pages"),
	MINIVMM_FIELD(struct balloon, actual, .help = "size, in pages"),
	MINIVMM_FIELD(struct balloon, generation, .help = "ConfigGeneration"),
	MINIVMM_FIELD(struct balloon, held, .help = "the device keeps the statistics buffer"),
	MINIVMM_FIELD(struct balloon, head, .help = "head of its descriptor chain"),
	MINIVMM_FIELD(struct balloon, statistics, .help = "statistics, by tag"),
	MINIVMM_FIELD_COUNTED(struct balloon, line, length,
			      .help = "an incomplete line of the control stream"),
	MINIVMM_END,
};

static const struct minivmm_plugin balloon = {
	.name = "virtio-balloon",
	.summary = "a virtio memory balloon",
	.state_version = VIRTIO_STATE,
	.state_size = sizeof(struct balloon),
	.options = options,
	.ranges = ranges,
	.pci = pci,
	.timers = timers,
	.streams = streams,
	.posts = virtio_posts,
	.fields = fields,
	.configure = balloon_configure,
	.start = balloon_start,
	.loaded = virtio_loaded,
	.acpi = virtio_acpi,
};
MINIVMM_REGISTER(balloon, MINIVMM_HAS_PCI);
