/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers of a vCPU, and the table of those that gdb sees. Its order is that of target.xml
 * and of the packets g and G; the numbers of the packets p and P count the rows of an architecture.
 */
#ifndef PLUGINS_GDB_REGISTERS_H
#define PLUGINS_GDB_REGISTERS_H

#include <minivmm/plugin.h>
#include <minivmm/tool.h>

#define XSAVE_SIZE 832 /* with the upper halves of ymm0 to ymm15 */
#define XSTATE_BV 512  /* the bitmap of components that are not in their initial state */
#define REGISTER_MAX 16

enum { IN_AMD64 = 1, IN_I386 = 2, IN_BOTH = 3 };
enum { SET_GENERAL = 1, SET_SYSTEM = 2, SET_XSAVE = 4, SET_MSRS = 8, SET_COUNT = 4 };
enum { MSR_KERNEL_GS_BASE, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FMASK, MSR_COUNT };

/* Of one vCPU. */
struct registers {
	struct minivmm_general general;
	struct minivmm_system system;
	uint8_t xsave[XSAVE_SIZE];
	struct minivmm_msr msrs[MSR_COUNT];
	unsigned loaded, changed; /* SET_... */
};

struct register_row {
	const char *name, *type, *feature, *group; /* group NULL: gdb decides by the type */
	uint8_t in;                                /* architectures: IN_... */
	uint8_t size, stored;                      /* bytes at gdb and in the set */
	uint8_t set;                               /* SET_... */
	uint8_t component;                         /* XSAVE: its bit in XSTATE_BV */
	enum { REGISTER_PLAIN, REGISTER_SELECTOR, REGISTER_TAGS } kind;
	uint16_t offset; /* in struct registers */
};

extern const struct register_row register_rows[];
extern const size_t register_row_count;

#endif
