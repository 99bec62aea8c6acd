/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC-32C: by the CPU's instruction, at the speed of memory, or by a table. */
#include "snapshot/crc.h"

#include <immintrin.h>
#include <string.h>
#include <sys/platform/x86.h>

/* The remainders of four bits. The polynomial is 0x1edc6f41, reflected. */
static const uint32_t remainders[16] = {
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
	0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t
crc32c_table(uint32_t crc, const void *data, size_t length)
{
	const uint8_t *bytes = data;

	crc = ~crc;
	for (size_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		crc = crc >> 4 ^ remainders[crc & 15];
		crc = crc >> 4 ^ remainders[crc & 15];
	}
	return ~crc;
}

static inline uint64_t
word(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

/*
 * The instruction has a latency of three cycles and a throughput of one, so three lanes run in
 * parallel. crc(A B) = crc(A) * x^(8 |B|) + crc(B) combines them: a carry-less multiplication by a
 * constant, which the instruction then reduces. The constants are x^(8 n - 33) mod P, reflected,
 * for n = LANE and n = 2 LANE.
 */
#define LANE 1344u /* bytes: whole cache lines; three lanes fit in a page */
#define PREFETCH 4096u
#define SHIFT_1 0xc9c8b782
#define SHIFT_2 0x889774e1

__attribute__((target("sse4.2,pclmul"))) static inline uint64_t
shifted(uint64_t crc, uint32_t by)
{
	__m128i product =
	    _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), _mm_cvtsi32_si128((int)by), 0);

	return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t
crc32c_hardware(uint32_t crc, const uint8_t *bytes, size_t length)
{
	uint64_t a = ~crc;

	for (; length >= 3 * LANE; bytes += 3 * LANE, length -= 3 * LANE) {
		uint64_t b = 0, c = 0;

		for (size_t line = 0; line < LANE; line += 64) {
			/* The hardware prefetcher stops at the end of a page. */
			for (size_t lane = 0; lane < 3; lane++)
				_mm_prefetch((const char *)bytes + PREFETCH + lane * LANE + line,
					     _MM_HINT_T0);
			for (size_t i = line; i < line + 64; i += 8) {
				a = _mm_crc32_u64(a, word(bytes + i));
				b = _mm_crc32_u64(b, word(bytes + LANE + i));
				c = _mm_crc32_u64(c, word(bytes + 2 * LANE + i));
			}
		}
		a = shifted(a, SHIFT_2) ^ shifted(b, SHIFT_1) ^ c;
	}
	for (; length >= 8; bytes += 8, length -= 8)
		a = _mm_crc32_u64(a, word(bytes));
	for (; length; bytes++, length--)
		a = _mm_crc32_u8((uint32_t)a, *bytes);
	return ~(uint32_t)a;
}

uint32_t
crc32c(uint32_t crc, const void *data, size_t length)
{
	/* Uses the C library's copy of CPUID: in a VM each CPUID instruction exits. */
	if (CPU_FEATURE_ACTIVE(SSE4_2) && CPU_FEATURE_ACTIVE(PCLMULQDQ))
		return crc32c_hardware(crc, data, length);
	return crc32c_table(crc, data, length);
}

uint32_t
crc32c_shifted(const struct crc32c_shift *shift, uint32_t crc)
{
	uint32_t result = 0;

	for (; crc; crc &= crc - 1)
		result ^= shift->bits[__builtin_ctz(crc)];
	return result;
}

/* The shift by one zero byte is linear. Applying a shift to itself doubles its length. */
void
crc32c_shift_init(struct crc32c_shift *shift, size_t length)
{
	struct crc32c_shift once;

	for (uint32_t i = 0; i < 32; i++) {
		uint32_t crc = 1u << i;

		crc = crc >> 4 ^ remainders[crc & 15];
		shift->bits[i] = crc >> 4 ^ remainders[crc & 15];
	}
	for (size_t n = 1; n < length; n *= 2) {
		once = *shift;
		for (uint32_t i = 0; i < 32; i++)
			shift->bits[i] = crc32c_shifted(&once, once.bits[i]);
	}
	/* A checksum is inverted before and after the division. */
	shift->zeros = ~crc32c_shifted(shift, ~0u);
}
