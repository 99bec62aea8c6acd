/* SPDX-License-Identifier: BSD-2-Clause */
/* A stop condition: where a run pauses, or ends. */
#ifndef MACHINE_STOP_H
#define MACHINE_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

enum stop_kind {
	STOP_NONE,
	STOP_RIP,    /* rip:ADDR   before the instruction at this linear address */
	STOP_PIO,    /* pio:PORT   after an access to the port completes */
	STOP_MMIO,   /* mmio:ADDR  after an access to the address completes */
	STOP_ACCESS, /* access:N   after the Nth port or MMIO access completes */
	STOP_STEP,   /* step:N     after N instructions, single-stepped */
	STOP_HLT,    /* hlt        every vCPU halted for good */
	STOP_TIME,   /* time:DURATION on the VM's clock */
	STOP_OUTPUT, /* output:DEVICE:TEXT  the device's stream has just put out TEXT */
};

struct stop {
	enum stop_kind kind;
	uint64_t value; /* address, port, N, ns */
	uint64_t times; /* how many more until it fires; 1: the next */
	char *device, *text;
	size_t matched; /* STOP_OUTPUT: bytes of text seen */
};

/*
 * Parses "KIND:VALUE[:N]". rip, pio, mmio and output may end in :N, the Nth time. Returns 0, or -1
 * with a reason that follows the text. The caller frees.
 */
int stop_parse(struct stop *stop, const char *text, struct why *why);
void stop_free(struct stop *stop);
/* The forms of stop conditions, "rip:ADDR", for help; NULL past the last. */
const char *stop_form(size_t i);

/* Counts one occurrence; true when it was the one. */
bool stop_count(struct stop *stop);
/* Feeds output of a device to a STOP_OUTPUT; true when it fires. */
bool stop_output(struct stop *stop, const char *device, const uint8_t *bytes, size_t length);

#endif
