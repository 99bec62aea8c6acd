/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes the few terms of ACPI Machine Language that describe devices. */
#include "boot/aml.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define NAME_OP 0x08
#define BYTE_PREFIX 0x0a
#define WORD_PREFIX 0x0b
#define DWORD_PREFIX 0x0c
#define STRING_PREFIX 0x0d
#define QWORD_PREFIX 0x0e
#define SCOPE_OP 0x10
#define BUFFER_OP 0x11
#define PACKAGE_OP 0x12
#define METHOD_OP 0x14
#define EXT_PREFIX 0x5b
#define ARG0_OP 0x68
#define NOTIFY_OP 0x86
#define LEQUAL_OP 0x93
#define IF_OP 0xa0
#define DEVICE_OP 0x82
#define LENGTH_BYTES 4 /* bytes of PkgLength in its longest form, whose size is constant */
#define LENGTH_MAX (1u << 28)

void
aml_put(struct aml *aml, const void *bytes, size_t length)
{
	if (!aml->failed && length > aml->capacity - aml->length) {
		size_t capacity = 2 * aml->capacity + length + 256;
		uint8_t *more = realloc(aml->bytes, capacity);

		aml->failed = !more;
		if (more) {
			aml->bytes = more;
			aml->capacity = capacity;
		}
	}
	if (aml->failed)
		return;
	memcpy(aml->bytes + aml->length, bytes, length);
	aml->length += length;
}

void
aml_byte(struct aml *aml, uint8_t byte)
{
	aml_put(aml, &byte, 1);
}

void
aml_number(struct aml *aml, uint64_t value, size_t bytes)
{
	aml_put(aml, &value, bytes); /* x86 is little-endian */
}

uint8_t
aml_checksum(const uint8_t *bytes, size_t length)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return (uint8_t)-sum;
}

size_t
aml_begin(struct aml *aml, enum aml_block block)
{
	static const uint8_t operations[] = {
		[AML_SCOPE] = SCOPE_OP,   [AML_DEVICE] = DEVICE_OP, [AML_PACKAGE] = PACKAGE_OP,
		[AML_BUFFER] = BUFFER_OP, [AML_METHOD] = METHOD_OP, [AML_IF] = IF_OP
	};
	size_t begin;

	if (block == AML_DEVICE)
		aml_byte(aml, EXT_PREFIX);
	aml_byte(aml, operations[block]);
	begin = aml->length;
	aml_number(aml, 0, LENGTH_BYTES);
	return begin;
}

/* PkgLength includes its own bytes. */
void
aml_end(struct aml *aml, size_t begin)
{
	size_t length = aml->length - begin;

	if (aml->failed)
		return;
	if (length >= LENGTH_MAX) {
		aml->failed = true;
		return;
	}
	aml->bytes[begin] = (uint8_t)((LENGTH_BYTES - 1) << 6 | (length & 0xf));
	for (unsigned i = 1; i < LENGTH_BYTES; i++)
		aml->bytes[begin + i] = (uint8_t)(length >> (8 * i - 4));
}

void
aml_segment(struct aml *aml, const char *segment)
{
	aml_put(aml, segment, 4);
}

void
aml_name(struct aml *aml, const char *segment)
{
	aml_byte(aml, NAME_OP);
	aml_segment(aml, segment);
}

void
aml_integer(struct aml *aml, uint64_t value)
{
	static const struct {
		uint8_t prefix, bytes;
	} forms[] = {
		{ BYTE_PREFIX, 1 }, { WORD_PREFIX, 2 }, { DWORD_PREFIX, 4 }, { QWORD_PREFIX, 8 }
	};
	size_t form = 0;

	if (value <= 1) { /* ZeroOp, OneOp */
		aml_byte(aml, (uint8_t)value);
		return;
	}
	while (form < 3 && value >> (8 * forms[form].bytes))
		form++;
	aml_byte(aml, forms[form].prefix);
	aml_number(aml, value, forms[form].bytes);
}

void
aml_text(struct aml *aml, const char *text)
{
	aml_byte(aml, STRING_PREFIX);
	aml_put(aml, text, strlen(text) + 1);
}

void
aml_equals_argument(struct aml *aml, uint64_t value)
{
	aml_byte(aml, LEQUAL_OP);
	aml_byte(aml, ARG0_OP);
	aml_integer(aml, value);
}

void
aml_notify(struct aml *aml)
{
	aml_byte(aml, NOTIFY_OP);
}

static bool
is_eisa(const char *id)
{
	for (int i = 0; i < 7; i++)
		if (i < 3 ? !isupper((unsigned char)id[i]) : !isxdigit((unsigned char)id[i]))
			return false;
	return !id[7];
}

/* Section 19.3.4: three letters of five bits and four hexadecimal digits, byte-swapped. */
void
aml_id(struct aml *aml, const char *id)
{
	uint32_t value = 0;

	if (!is_eisa(id)) {
		aml_text(aml, id);
		return;
	}
	for (int i = 0; i < 3; i++)
		value = value << 5 | (uint32_t)(id[i] - '@');
	value = value << 16 | (uint32_t)strtoul(id + 3, NULL, 16);
	aml_byte(aml, DWORD_PREFIX);
	aml_number(aml, __builtin_bswap32(value), 4);
}

/* A buffer whose size, a word behind PkgLength, is written at the end. */
size_t
aml_resources_begin(struct aml *aml)
{
	size_t begin = aml_begin(aml, AML_BUFFER);

	aml_byte(aml, WORD_PREFIX);
	aml_number(aml, 0, 2);
	return begin;
}

void
aml_resources_end(struct aml *aml, size_t begin)
{
	const size_t before = begin + LENGTH_BYTES + 3;

	aml_number(aml, 0x0079, 2); /* end tag; checksum 0: not checked */
	if (aml->failed || aml->length - before > UINT16_MAX) {
		aml->failed = true;
		return;
	}
	aml->bytes[before - 2] = (uint8_t)(aml->length - before);
	aml->bytes[before - 1] = (uint8_t)((aml->length - before) >> 8);
	aml_end(aml, begin);
}

/* The short descriptor holds at most 255 ports; 65536 ports do not fit into words. */
void
aml_resource_ports(struct aml *aml, uint16_t first, uint32_t length)
{
	if (length <= 255) {
		aml_byte(aml, 0x47);
		aml_byte(aml, 1); /* decodes 16 bits */
		aml_number(aml, first, 2);
		aml_number(aml, first, 2);
		aml_byte(aml, 1);
		aml_byte(aml, (uint8_t)length);
		return;
	}
	aml_byte(aml, 0x87); /* DWord address space descriptor */
	aml_number(aml, 23, 2);
	aml_byte(aml, 1);      /* I/O */
	aml_byte(aml, 0x0d);   /* fixed minimum and maximum, consumer */
	aml_byte(aml, 3);      /* entire range */
	aml_number(aml, 0, 4); /* granularity */
	aml_number(aml, first, 4);
	aml_number(aml, (uint64_t)first + length - 1, 4);
	aml_number(aml, 0, 4); /* translation */
	aml_number(aml, length, 4);
}

void
aml_resource_memory(struct aml *aml, uint64_t first, uint64_t length)
{
	if (first + length <= 1ull << 32) {
		aml_byte(aml, 0x86);
		aml_number(aml, 9, 2);
		aml_byte(aml, 1); /* writable */
		aml_number(aml, first, 4);
		aml_number(aml, length, 4);
		return;
	}
	aml_byte(aml, 0x8a);
	aml_number(aml, 43, 2);
	aml_byte(aml, 0);    /* memory */
	aml_byte(aml, 0x0d); /* fixed minimum and maximum, consumer */
	aml_byte(aml, 1);    /* writable */
	aml_number(aml, 0, 8);
	aml_number(aml, first, 8);
	aml_number(aml, first + length - 1, 8);
	aml_number(aml, 0, 8);
	aml_number(aml, length, 8);
}

void
aml_resource_irq(struct aml *aml, uint32_t gsi, bool edge, bool active_low, bool shared)
{
	aml_byte(aml, 0x89);
	aml_number(aml, 6, 2);
	aml_byte(aml, (uint8_t)(1 | edge << 1 | active_low << 2 | shared << 3));
	aml_byte(aml, 1);
	aml_number(aml, gsi, 4);
}
