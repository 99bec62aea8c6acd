/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC-32C (Castagnoli). */
#ifndef SNAPSHOT_CRC_H
#define SNAPSHOT_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Extends a checksum by more bytes; start with 0. _table is the one for CPUs without SSE 4.2. */
uint32_t crc32c(uint32_t crc, const void *data, size_t length);
uint32_t crc32c_table(uint32_t crc, const void *data, size_t length);

/*
 * Joins checksums: the checksum of A followed by length bytes B is crc32c_shifted(A's) ^ B's.
 * length: a power of 2.
 */
struct crc32c_shift {
	uint32_t bits[32]; /* what each bit becomes */
	uint32_t zeros;    /* the checksum of length zeros */
};
void crc32c_shift_init(struct crc32c_shift *shift, size_t length);
uint32_t crc32c_shifted(const struct crc32c_shift *shift, uint32_t crc);

#endif
