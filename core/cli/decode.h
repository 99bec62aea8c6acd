/* SPDX-License-Identifier: BSD-2-Clause */
/* Decodes the packed hardware state in a vCPU's section of a snapshot. */
#ifndef CLI_DECODE_H
#define CLI_DECODE_H

#include "base/record.h"

/* Decoded records. Initialise with zeros; free with view_free. */
struct view {
	struct record_writer writer;
	struct record root;
};

/*
 * Decodes a vCPU's section: the XSAVE area as "fpu" (x87, SSE, AVX registers), the LAPIC page as
 * registers, MSRs and CPUID leaves with number and name, the MP state as a name. Items with an
 * unexpected form stay unchanged. Returns 0, or -1 if the section cannot be decoded.
 */
int view_vcpu(struct view *view, const struct record *vcpu);
void view_free(struct view *view);

/* The common name of an MSR, or NULL. */
const char *msr_name(uint32_t index);

#endif
