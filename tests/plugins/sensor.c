/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An example of a plugin from outside the tree: a sensor. It takes a sample of a random walk in
 * each period and keeps up to 16 samples for the guest. Without room it takes none.
 */
#include <minivmm/plugin.h>

#define SAMPLES 16

struct sensor {
	uint64_t period;          /* option: ns */
	uint8_t from;             /* option: start of the walk */
	uint8_t samples[SAMPLES]; /* state: not read yet, oldest first */
	uint8_t count;            /* number of samples */
	uint8_t last;             /* state */
	bool begun;               /* state: last is a sample */
	uint32_t taken;           /* state */
};

static void
sensor_sample(struct sensor *s, struct minivmm_device *dev)
{
	uint8_t step;

	minivmm_random(dev, &step, 1);
	s->last = (uint8_t)((s->begun ? s->last : s->from) + (step & 3) - 1);
	s->begun = true;
	s->samples[s->count++] = s->last;
	s->taken++;
}

static int
sensor_tick(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	struct sensor *s = minivmm_state(dev);

	for (; periods && s->count < SAMPLES; periods--)
		sensor_sample(s, dev);
	return 0;
}

/* Registers: 0: number of samples; 4: removes and returns the oldest; 8: number of samples taken.
 */
static int
sensor_read(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t *value)
{
	struct sensor *s = minivmm_state(dev);

	switch (access->offset) {
	case 0:
		*value = s->count;
		break;
	case 4:
		*value = s->samples[0];
		if (!s->count)
			break;
		s->count--;
		for (int i = 0; i < s->count; i++)
			s->samples[i] = s->samples[i + 1];
		break;
	case 8:
		*value = s->taken;
		break;
	}
	return 0;
}

static int
sensor_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct sensor *s = minivmm_state(dev);

	if (start->reason == MINIVMM_FRESH)
		minivmm_timer_set(dev, 0, minivmm_now(dev) + s->period, s->period);
	return 0;
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(DURATION, struct sensor, period, "1ms", "time between two samples",
			  .min = 1000, .max = 1000000000),
	MINIVMM_OPTION(struct sensor, from, "100", "start of the walk"),
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_MMIO,
	  .at = "address",
	  .length = 12,
	  .widths = MINIVMM_W32,
	  .read = sensor_read,
	  .help = "number of samples, the oldest, samples taken" },
	MINIVMM_END,
};

static const struct minivmm_timer timers[] = {
	{ .name = "sample", .fire = sensor_tick, .help = "takes a sample" },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD_COUNTED(struct sensor, samples, count),
	MINIVMM_FIELD(struct sensor, last),
	MINIVMM_FIELD(struct sensor, begun),
	MINIVMM_FIELD(struct sensor, taken),
	MINIVMM_END,
};

static const struct minivmm_plugin sensor = {
	.name = "sensor",
	.summary = "a sample each period",
	.state_version = 1,
	.state_size = sizeof(struct sensor),
	.options = options,
	.ranges = ranges,
	.timers = timers,
	.fields = fields,
	.start = sensor_start,
};
MINIVMM_REGISTER(sensor);
