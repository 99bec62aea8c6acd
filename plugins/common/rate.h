/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Limits on bytes and operations per second of VM time: "rate = 100M/s, 5000/s", "burst = 10M,
 * 100". A number with the suffix B, K, M or G limits bytes; a number without a suffix limits
 * operations.
 *
 * This is a token bucket. Its state is one time per limit: the time at which everything taken so
 * far is paid for at the limit's rate. An operation may start while this time is at most one burst
 * ahead of now. It may have any size: the next operation waits until the excess is paid for.
 */
#ifndef PLUGINS_COMMON_RATE_H
#define PLUGINS_COMMON_RATE_H

#include <minivmm/plugin.h>

#define RATE_SECOND 1000000000ull
#define RATE_BURST (RATE_SECOND / 10) /* ns; the burst if none is given */

enum { RATE_BYTES, RATE_OPERATIONS, RATE_LIMITS };

struct rate {
	uint64_t each[RATE_LIMITS];  /* per second; 0: no limit */
	uint64_t burst[RATE_LIMITS]; /* in ns at that rate */
	uint64_t
	    paid[RATE_LIMITS]; /* the state: VM time in ns at which everything taken is paid for */
};

#define RATE_FIELD_HELP                                                                            \
	"rate limit: times at which bytes and operations are paid for, in ns of VM time"

#define RATE_FIELD(structure, member)                                                              \
	{                                                                                          \
		.name = #member, .type = MINIVMM_U64,                                              \
		.offset = (uint32_t)(offsetof(structure, member) + offsetof(struct rate, paid)),   \
		.count = RATE_LIMITS, .help = RATE_FIELD_HELP                                      \
	}

#define RATE_HELP "limit per second: bytes (100M/s), operations (5000/s), or both"
#define RATE_BURST_HELP                                                                            \
	"burst that is not limited: bytes (10M), operations (100), or both; default: "             \
	"0.1 s of the rate"

/* Parses the values of the options rate and burst. For configure. Returns 0, or -1 after
 * minivmm_error(). */
int rate_configure(struct minivmm_device *dev, struct rate *r, const char *rate, const char *burst);

/* Returns 0 if an operation may start at now; else the VM time in ns at which it may. */
uint64_t rate_wait(const struct rate *r, uint64_t now);

/* Charges one operation that moves this many bytes. */
void rate_take(struct rate *r, uint64_t now, uint64_t bytes);

#endif
