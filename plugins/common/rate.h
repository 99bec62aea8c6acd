/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Limits on bytes and operations a second, on the VM's clock: "rate = 100M/s, 5000/s", "burst =
 * 10M, 100". A number with K, M, G or B counts bytes, one without counts operations.
 *
 * Each limit is one number, the time at which all that has been taken would be paid off at its
 * rate. While that lies no further ahead of now than the burst takes, more may be taken, whatever
 * its size: the debt is waited for afterwards.
 */
#ifndef PLUGINS_COMMON_RATE_H
#define PLUGINS_COMMON_RATE_H

#include <minivmm/plugin.h>

#define RATE_SECOND 1000000000ull
#define RATE_BURST (RATE_SECOND / 10) /* ns of the rate, when no burst is given */

enum { RATE_BYTES, RATE_OPERATIONS, RATE_LIMITS };

struct rate {
	uint64_t each[RATE_LIMITS];  /* in a second; 0: no limit */
	uint64_t burst[RATE_LIMITS]; /* in ns at that rate */
	uint64_t paid[RATE_LIMITS];  /* the state: when all is paid off */
};

#define RATE_FIELD(structure, member)                                                              \
	{                                                                                          \
		.name = #member, .type = MINIVMM_U64,                                              \
		.offset = (uint32_t)(offsetof(structure, member) + offsetof(struct rate, paid)),   \
		.count = RATE_LIMITS, .help = "rate limit: when bytes and operations are paid off" \
	}

#define RATE_HELP "limit per second: bytes (100M/s), operations (5000/s), or both"
#define RATE_BURST_HELP                                                                            \
	"how much may pass at once: bytes (10M), operations (100), or both; a tenth of a "         \
	"second's limit if not given"

/* From the texts of two options, in configure. 0, or -1 after an error has been said. */
int rate_configure(struct minivmm_device *dev, struct rate *r, const char *rate, const char *burst);

/* When the next operation may pass: 0, it may now; else a time on the VM's clock. */
uint64_t rate_wait(const struct rate *r, uint64_t now);

/* An operation of so many bytes has passed. */
void rate_take(struct rate *r, uint64_t now, uint64_t bytes);

#endif
