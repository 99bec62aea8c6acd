/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes ACPI's machine language (ACPI 6.5, section 20.2) and resource templates (section 6.4). */
#ifndef BOOT_AML_H
#define BOOT_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What has been written so far. Begins as zeros; free bytes. Once a call has failed for want of
 * memory, all do nothing. */
struct aml {
	uint8_t *bytes;
	size_t length, capacity;
	bool failed;
};

void aml_put(struct aml *aml, const void *bytes, size_t length);
void aml_byte(struct aml *aml, uint8_t byte);
/* Little-endian, of as many bytes. */
void aml_number(struct aml *aml, uint64_t value, size_t bytes);

/* A package of terms: begin gives what end wants. */
enum aml_block { AML_SCOPE, AML_DEVICE, AML_PACKAGE, AML_BUFFER, AML_METHOD, AML_IF };
size_t aml_begin(struct aml *aml, enum aml_block block);
void aml_end(struct aml *aml, size_t begin);

/* Four characters of a name segment; "_SB_" after AML_SCOPE, and so on. */
void aml_segment(struct aml *aml, const char *segment);
/* Name (SEGMENT, ...): a term follows. */
void aml_name(struct aml *aml, const char *segment);
void aml_integer(struct aml *aml, uint64_t value);
/* A string of ASCII. */
void aml_text(struct aml *aml, const char *text);
/* LEqual (Arg0, value), and Notify (): a name and a value follow. */
void aml_equals_argument(struct aml *aml, uint64_t value);
void aml_notify(struct aml *aml);
/* A hardware id: an EISA id ("PNP0501") as the number that it stands for, any other as a string. */
void aml_id(struct aml *aml, const char *id);

/* A resource template: descriptors between begin and end. */
size_t aml_resources_begin(struct aml *aml);
void aml_resources_end(struct aml *aml, size_t begin);
void aml_resource_ports(struct aml *aml, uint16_t first, uint32_t length);
void aml_resource_memory(struct aml *aml, uint64_t first, uint64_t length);
void aml_resource_irq(struct aml *aml, uint32_t gsi, bool edge, bool active_low, bool shared);

#endif
