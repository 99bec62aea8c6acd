/* SPDX-License-Identifier: BSD-2-Clause */
/* The section HOST: which minivmm, kernel and CPU made a snapshot, and when. */
#ifndef SNAPSHOT_HOST_H
#define SNAPSHOT_HOST_H

#include "base/record.h"

/* This process, here and now. parent: the name of the parent's file, or NULL. */
void snapshot_host_save(struct record_writer *writer, const char *parent);
/* "minivmm 0.1, Linux 6.1, AuthenticAMD EPYC" of a HOST section, in buffer. */
const char *snapshot_host_text(const struct record *host, char *buffer, size_t size);

#endif
