/* SPDX-License-Identifier: BSD-2-Clause */
/* What this host's KVM can run, found out by running it. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Both run small machines in processes of this program, and write a result for the user to text.
 * They return whether the result is good.
 */
/* Code in each mode of the CPU, single steps, and interrupt controllers. */
bool doctor_probe_code(char *text, size_t size);
/* A bzImage, until it looks for its root file system. */
bool doctor_probe_linux(const char *kernel, char *text, size_t size);

/* The path of a kernel of this host that can be read, in buffer; NULL: none. */
const char *doctor_host_kernel(char *buffer, size_t size);

#endif
