/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC-32C (Castagnoli). */
#ifndef SNAPSHOT_CRC_H
#define SNAPSHOT_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Extends a checksum by length bytes. Start with 0. crc32c_table needs no SSE 4.2. */
uint32_t crc32c(uint32_t crc, const void *data, size_t length);
uint32_t crc32c_table(uint32_t crc, const void *data, size_t length);

/*
 * Combines checksums: if B has length bytes, crc(A B) = crc32c_shifted(crc(A)) ^ crc(B). length is
 * a power of 2.
 */
struct crc32c_shift {
	uint32_t bits[32]; /* the shifted value of each bit */
	uint32_t zeros;    /* the checksum of length zero bytes */
};
void crc32c_shift_init(struct crc32c_shift *shift, size_t length);
uint32_t crc32c_shifted(const struct crc32c_shift *shift, uint32_t crc);

#endif
