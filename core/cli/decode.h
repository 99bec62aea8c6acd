/* SPDX-License-Identifier: BSD-2-Clause */
/* Takes apart what a vCPU's section of a snapshot holds as the hardware packs it. */
#ifndef CLI_DECODE_H
#define CLI_DECODE_H

#include "base/record.h"

/* Records of our own making. Zeroed at first; free after use. */
struct view {
	struct record_writer writer;
	struct record root;
};

/*
 * A vCPU's section with the XSAVE area as "fpu" (x87, SSE, AVX registers), the LAPIC's page as its
 * registers, MSRs and CPUID leaves by their number and name, the MP state by name. What is not as
 * expected stays as it is. 0, or -1: it can't be shown this way.
 */
int view_vcpu(struct view *view, const struct record *vcpu);
void view_free(struct view *view);

/* The usual name of an MSR, or NULL. */
const char *msr_name(uint32_t index);

#endif
