/* SPDX-License-Identifier: BSD-2-Clause */
/* The section HOST: the minivmm, kernel and CPU that made a snapshot, and the time. */
#ifndef SNAPSHOT_HOST_H
#define SNAPSHOT_HOST_H

#include "base/record.h"

/* Writes the items for this process and the current time. parent: name of the parent's file, or
 * NULL. */
void snapshot_host_save(struct record_writer *writer, const char *parent);
/* Formats a HOST section as "minivmm 0.1, Linux 6.1, AuthenticAMD EPYC". Returns buffer. */
const char *snapshot_host_text(const struct record *host, char *buffer, size_t size);

#endif
