/* SPDX-License-Identifier: BSD-2-Clause */
/* Limits on bytes and operations per second: see rate.h. */
#include "rate.h"

#include <stdlib.h>
#include <string.h>

/* Parses one limit of 1 to 2^40, with "/s" if each is true, and moves text past it. Returns false
 * if the text is not one. */
static bool
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

/* Parses a list of limits with commas between them. Each kind may appear once. */
static bool
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

int
rate_configure(struct minivmm_device *dev, struct rate *r, const char *rate, const char *burst)
{
	uint64_t bursts[RATE_LIMITS];

	if (!rate_list(rate, true, r->each)) {
		minivmm_error(dev,
			      "rate = %s is not valid; use bytes (100M/s), operations (5000/s), or "
			      "both, separated by a comma",
			      rate);
		return -1;
	}
	if (!rate_list(burst, false, bursts)) {
		minivmm_error(dev,
			      "burst = %s is not valid; use bytes (10M), operations (100), or "
			      "both, separated by a comma",
			      burst);
		return -1;
	}
	for (int i = 0; i < RATE_LIMITS; i++) {
		if (bursts[i] && !r->each[i]) {
			minivmm_error(
			    dev,
			    "burst = %s is for %s, which rate does not limit; add a limit to rate",
			    burst, i == RATE_BYTES ? "bytes" : "operations");
			return -1;
		}
		r->burst[i] =
		    bursts[i] ? (uint64_t)((unsigned __int128)bursts[i] * RATE_SECOND / r->each[i])
			      : RATE_BURST;
	}
	return 0;
}

uint64_t
rate_wait(const struct rate *r, uint64_t now)
{
	uint64_t until = 0;

	for (int i = 0; i < RATE_LIMITS; i++)
		if (r->each[i] && r->paid[i] > now + r->burst[i] &&
		    r->paid[i] - r->burst[i] > until)
			until = r->paid[i] - r->burst[i];
	return until;
}

void
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
