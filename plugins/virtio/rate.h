/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Limits on bytes and operations a second, on the VM's clock: "rate = 100M/s, 5000/s", "burst =
 * 10M, 100". A number with K, M, G or B counts bytes, one without counts operations.
 *
 * Each limit is one number, the time at which all that has been taken would be paid off at its
 * rate. While that lies no further ahead of now than the burst takes, more may be taken, whatever
 * its size: the debt is waited for afterwards.
 */
#ifndef PLUGINS_VIRTIO_RATE_H
#define PLUGINS_VIRTIO_RATE_H

#include <minivmm/plugin.h>
#include <stdlib.h>
#include <string.h>

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
		.count = RATE_LIMITS                                                               \
	}

#define RATE_HELP "what may pass in a second: bytes (100M/s), operations (5000/s), or both"
#define RATE_BURST_HELP                                                                            \
	"what may pass at once: bytes (10M), operations (100); a tenth of a second's"

/* One number, bytes or operations, of at most 2^40; moves text behind it and what follows. False:
 * it is none. */
static inline bool
rate_number(const char **text, bool each, uint64_t *value, int *limit)
{
	static const char units[] = "BKMG";
	const char *unit;
	char *end;

	if (**text < '0' || **text > '9')
		return false;
	*value = strtoull(*text, &end, 10);
	*limit = RATE_OPERATIONS;
	if (*value > 1ull << 40)
		return false;
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		*limit = RATE_BYTES;
		*value <<= 10 * (unit - units);
		end++;
	}
	if (*value > 1ull << 40 || !*value)
		return false;
	if (each && strncmp(end, "/s", 2) != 0)
		return false;
	*text = end + (each ? 2 : 0);
	return true;
}

/* A list of them; each kind once. */
static inline bool
rate_list(const char *text, bool each, uint64_t values[RATE_LIMITS])
{
	uint64_t value;
	int limit;

	memset(values, 0, RATE_LIMITS * sizeof(*values));
	for (bool more = *text; more;) {
		text += strspn(text, " \t");
		if (!rate_number(&text, each, &value, &limit) || values[limit])
			return false;
		values[limit] = value;
		text += strspn(text, " \t");
		more = *text == ',';
		if (!more && *text)
			return false;
		text += more;
	}
	return true;
}

/* From the texts of two options, in configure. 0, or -1 after an error has been said. */
static inline int
rate_configure(struct minivmm_device *dev, struct rate *r, const char *rate, const char *burst)
{
	uint64_t bursts[RATE_LIMITS];

	if (!rate_list(rate, true, r->each)) {
		minivmm_error(dev,
			      "rate = %s is none: write 100M/s (bytes), 5000/s (operations), "
			      "or both with a comma between",
			      rate);
		return -1;
	}
	if (!rate_list(burst, false, bursts)) {
		minivmm_error(dev,
			      "burst = %s is none: write 10M (bytes), 100 (operations), or "
			      "both with a comma between",
			      burst);
		return -1;
	}
	for (int i = 0; i < RATE_LIMITS; i++) {
		if (bursts[i] && !r->each[i]) {
			minivmm_error(dev,
				      "burst = %s: there is no rate of %s that it could go beyond",
				      burst, i == RATE_BYTES ? "bytes" : "operations");
			return -1;
		}
		r->burst[i] =
		    bursts[i] ? (uint64_t)((unsigned __int128)bursts[i] * RATE_SECOND / r->each[i])
			      : RATE_BURST;
	}
	return 0;
}

/* When the next operation may pass: 0, it may now; else a time on the VM's clock. */
static inline uint64_t
rate_wait(const struct rate *r, uint64_t now)
{
	uint64_t until = 0;

	for (int i = 0; i < RATE_LIMITS; i++)
		if (r->each[i] && r->paid[i] > now + r->burst[i] &&
		    r->paid[i] - r->burst[i] > until)
			until = r->paid[i] - r->burst[i];
	return until;
}

/* An operation of so many bytes has passed. */
static inline void
rate_take(struct rate *r, uint64_t now, uint64_t bytes)
{
	const uint64_t taken[RATE_LIMITS] = { [RATE_BYTES] = bytes, [RATE_OPERATIONS] = 1 };

	for (int i = 0; i < RATE_LIMITS; i++) {
		if (!r->each[i])
			continue;
		if (r->paid[i] < now)
			r->paid[i] = now;
		r->paid[i] += (uint64_t)((unsigned __int128)taken[i] * RATE_SECOND / r->each[i]);
	}
}

#endif
