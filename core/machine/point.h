/* SPDX-License-Identifier: BSD-2-Clause */
/* A point of a run: where it pauses, or ends. */
#ifndef MACHINE_POINT_H
#define MACHINE_POINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

enum point_kind {
	POINT_NONE,
	POINT_RIP,    /* rip:ADDR   before the instruction at this linear address */
	POINT_PIO,    /* pio:PORT   after an access to the port completes */
	POINT_MMIO,   /* mmio:ADDR  after an access to the address completes */
	POINT_ACCESS, /* access:N   after the Nth port or MMIO access completes */
	POINT_STEP,   /* step:N     after N instructions, single-stepped */
	POINT_HLT,    /* hlt        every vCPU halted for good */
	POINT_TIME,   /* time:DURATION on the VM's clock */
	POINT_OUTPUT, /* output:DEVICE:TEXT  the device's stream has just put out TEXT */
};

struct point {
	enum point_kind kind;
	uint64_t value; /* address, port, N, ns */
	uint64_t times; /* how many more until it fires; 1: the next */
	char *device, *text;
	size_t matched; /* POINT_OUTPUT: bytes of text seen */
};

/*
 * Parses "KIND:VALUE[:N]". rip, pio, mmio and output may end in :N, the Nth time. Returns 0, or -1
 * with a reason that follows the text. The caller frees.
 */
int point_parse(struct point *point, const char *text, struct why *why);
void point_free(struct point *point);
/* The forms of points, "rip:ADDR", for help; NULL past the last. */
const char *point_form(size_t i);

/* Counts one occurrence; true when it was the one. */
bool point_count(struct point *point);
/* Feeds output of a device to a POINT_OUTPUT; true when it fires. */
bool point_output(struct point *point, const char *device, const uint8_t *bytes, size_t length);

#endif
