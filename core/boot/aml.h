/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes ACPI Machine Language (ACPI 6.5, section 20.2) and resource templates (section 6.4). */
#ifndef BOOT_AML_H
#define BOOT_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A buffer with AML. Initialise it with zeros, and free bytes. After a lack of memory, failed is
 * set and all functions do nothing.
 */
struct aml {
	uint8_t *bytes;
	size_t length, capacity;
	bool failed;
};

void aml_put(struct aml *aml, const void *bytes, size_t length);
void aml_byte(struct aml *aml, uint8_t byte);
/* Writes value, little-endian, in the given number of bytes. */
void aml_number(struct aml *aml, uint64_t value, size_t bytes);

/* The byte that makes the sum of all bytes 0, if it replaces a 0 among them. */
uint8_t aml_checksum(const uint8_t *bytes, size_t length);

/* Begin and end a package of terms. Pass the result of aml_begin to aml_end. */
enum aml_block { AML_SCOPE, AML_DEVICE, AML_PACKAGE, AML_BUFFER, AML_METHOD, AML_IF };
size_t aml_begin(struct aml *aml, enum aml_block block);
void aml_end(struct aml *aml, size_t begin);

/* Four characters of a name segment, such as "_SB_" after AML_SCOPE. */
void aml_segment(struct aml *aml, const char *segment);
/* Name (SEGMENT, ...): a term must follow. */
void aml_name(struct aml *aml, const char *segment);
void aml_integer(struct aml *aml, uint64_t value);
/* An ASCII string. */
void aml_text(struct aml *aml, const char *text);
/* LEqual (Arg0, value), and Notify (), after which a name and a value must follow. */
void aml_equals_argument(struct aml *aml, uint64_t value);
void aml_notify(struct aml *aml);
/* A hardware ID: an EISA ID ("PNP0501") as a number, any other ID as a string. */
void aml_id(struct aml *aml, const char *id);

/* A resource template: write the descriptors between begin and end. */
size_t aml_resources_begin(struct aml *aml);
void aml_resources_end(struct aml *aml, size_t begin);
void aml_resource_ports(struct aml *aml, uint16_t first, uint32_t length);
void aml_resource_memory(struct aml *aml, uint64_t first, uint64_t length);
void aml_resource_irq(struct aml *aml, uint32_t gsi, bool edge, bool active_low, bool shared);

#endif
