/* SPDX-License-Identifier: BSD-2-Clause */
/* A stop condition: the machine pauses or ends when it is hit. */
#ifndef MACHINE_STOP_H
#define MACHINE_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

enum stop_kind {
	STOP_NONE,
	STOP_RIP,      /* rip:ADDR   before the instruction at this linear address */
	STOP_PIO,      /* pio:PORT   after an access to the port completes */
	STOP_MMIO,     /* mmio:ADDR  after an access to the address completes */
	STOP_ACCESS,   /* access:N   after the Nth port or MMIO access completes */
	STOP_STEP,     /* step:N     after N instructions, single-stepped */
	STOP_HLT,      /* hlt        every vCPU has halted, no interrupt can wake it */
	STOP_SHUTDOWN, /* shutdown   a vCPU has a triple fault, which ends the machine */
	STOP_PANIC,    /* panic      the guest reports a panic to a device, which ends it */
	STOP_TIME,     /* time:DURATION on the VM's clock */
	STOP_OUTPUT,   /* output:DEVICE:TEXT  the device has just written TEXT to its stream */
};

struct stop {
	enum stop_kind kind;
	uint64_t value;      /* address, port, N, ns */
	uint64_t times;      /* remaining occurrences until it is hit; 1: the next one */
	char *device, *text; /* STOP_OUTPUT; owned */
	size_t matched;      /* STOP_OUTPUT: bytes of text matched so far */
};

/*
 * Parses "KIND:VALUE[:N]". rip, pio, mmio and output may end in :N, for the Nth time. 0, or -1 with
 * a reason that continues a message after the text. Call stop_free in either case.
 */
int stop_parse(struct stop *stop, const char *text, struct why *why);
void stop_free(struct stop *stop);
/*
 * The form of kind i of stop conditions, "rip:ADDR", for help; NULL past the last. *nth: it can end
 * in :N. nth may be NULL.
 */
const char *stop_form(size_t i, bool *nth);

/* Counts one occurrence. True: the condition is hit. The caller serializes calls. */
bool stop_count(struct stop *stop);
/* Compares output of a device with a STOP_OUTPUT. True: the condition is hit. The caller serializes
 * calls. */
bool stop_output(struct stop *stop, const char *device, const uint8_t *bytes, size_t length);

#endif
