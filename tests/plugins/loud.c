/* SPDX-License-Identifier: BSD-2-Clause */
/* A plugin whose strings would control a terminal, and break lines, JSON and manual pages. */
#include <minivmm/plugin.h>

/* CSI in both forms, a right-to-left override, a byte that is not UTF-8, quotes, requests. */
#define LOUD                                                                                       \
	"\n.so x\r\t\x1b[31m\xc2\x9b"                                                              \
	"2J\xe2\x80\xae\xff\"\\ "

struct loud {
	uint32_t choice;
	const char *text;
	uint8_t value;
};

static int
loud_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	minivmm_log(dev, MINIVMM_WARNING, "%s", LOUD);
	*value = 0;
	return 0;
}

static int
loud_fire(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	return 0;
}

static int
loud_ready(struct minivmm_device *dev, uint32_t watch, uint32_t events)
{
	return 0;
}

static const char *const values[] = { LOUD, "a", NULL };

static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(ENUM, struct loud, choice, "a", LOUD, .values = values),
	MINIVMM_OPTION(struct loud, text, LOUD, LOUD), MINIVMM_END
};

static const struct minivmm_register registers[] = { { 0, LOUD, LOUD }, { 0, NULL, NULL } };

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0x10",
	  .length = 1,
	  .read = loud_read,
	  .registers = registers,
	  .help = LOUD },
	MINIVMM_END,
};

static const struct minivmm_timer timers[] = { { .name = "timer", .fire = loud_fire, .help = LOUD },
					       MINIVMM_END };

static const struct minivmm_watch watches[] = {
	{ .name = "watch", .ready = loud_ready, .help = LOUD }, MINIVMM_END
};

static const struct minivmm_stream streams[] = {
	{ .name = "stream", .output = "output", .input = "input", .help = LOUD }, MINIVMM_END
};

static const struct minivmm_field fields[] = { MINIVMM_FIELD(struct loud, value, .help = LOUD),
					       MINIVMM_END };

static const struct minivmm_plugin loud = {
	.name = LOUD,
	.summary = LOUD,
	.state_version = 1,
	.state_size = sizeof(struct loud),
	.options = options,
	.ranges = ranges,
	.timers = timers,
	.watches = watches,
	.streams = streams,
	.fields = fields,
};
MINIVMM_REGISTER(loud);
