/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Validates the rows of acpi. A guest refuses its whole DSDT for one malformed term, so the terms
 * of a row must be named objects, one after another (ACPI 6.5, section 20.2). The contents of
 * methods and packages are not checked.
 */
#include <string.h>

#include "plugin/adopt.h"

struct cursor {
	const uint8_t *at, *end;
};

static bool
take(struct cursor *c, size_t length)
{
	if ((size_t)(c->end - c->at) < length)
		return false;
	c->at += length;
	return true;
}

/* Section 20.2.2: root and parent prefixes, then no, one, two or more segments. */
static bool
take_name(struct cursor *c)
{
	size_t segments = 1;

	while (c->at < c->end && (*c->at == '\\' || *c->at == '^'))
		c->at++;
	if (c->at == c->end)
		return false;
	if (*c->at == 0x00) {
		c->at++;
		return true;
	}
	if (*c->at == 0x2e || *c->at == 0x2f) {
		segments = *c->at++ == 0x2e ? 2 : c->at < c->end ? *c->at++ : 0;
		if (!segments)
			return false;
	}
	while (segments--) {
		for (int i = 0; i < 4 && c->end - c->at >= 4; i++)
			if ((c->at[i] < 'A' || c->at[i] > 'Z') && c->at[i] != '_' &&
			    (!i || c->at[i] < '0' || c->at[i] > '9'))
				return false;
		if (!take(c, 4))
			return false;
	}
	return true;
}

/* Section 20.2.4: a length, which counts its own bytes. Stores what it covers. */
static bool
take_package(struct cursor *c, struct cursor *inside)
{
	const uint8_t *begin = c->at;
	size_t bytes, length;

	if (begin == c->end)
		return false;
	bytes = *begin >> 6;
	if ((size_t)(c->end - begin) <= bytes)
		return false;
	length = bytes ? *begin & 0x0f : *begin & 0x3f;
	for (size_t i = 0; i < bytes; i++)
		length |= (size_t)begin[1 + i] << (4 + 8 * i);
	if (length <= bytes || !take(c, length))
		return false;
	*inside = (struct cursor){ begin + 1 + bytes, c->at };
	return true;
}

/* A constant: integer, string, buffer, package, or the name of an object. */
static bool
take_data(struct cursor *c)
{
	static const uint8_t widths[] = { [0x0a] = 1, [0x0b] = 2, [0x0c] = 4, [0x0e] = 8 };
	struct cursor inside;
	uint8_t op;

	if (c->at == c->end)
		return false;
	op = *c->at;
	if (op == '\\' || op == '^' || op == '_' || op == 0x2e || op == 0x2f ||
	    (op >= 'A' && op <= 'Z'))
		return take_name(c);
	c->at++;
	if (op == 0x00 || op == 0x01 || op == 0xff)
		return true;
	if (op < sizeof(widths) && widths[op])
		return take(c, widths[op]);
	if (op == 0x0d) { /* ASCII, with a zero at its end */
		const uint8_t *zero = memchr(c->at, 0, (size_t)(c->end - c->at));

		return zero && take(c, (size_t)(zero - c->at) + 1);
	}
	return (op == 0x11 || op == 0x12 || op == 0x13) && take_package(c, &inside);
}

/* Objects with a package length and a name: what follows the name is not checked. */
static bool
take_block(struct cursor *c)
{
	struct cursor inside;

	return take_package(c, &inside) && take_name(&inside);
}

/* Several operands of one kind. */
static bool
take_each(struct cursor *c, bool (*operand)(struct cursor *c), int count)
{
	while (count && operand(c))
		count--;
	return !count;
}

/* One named object. */
static bool
take_object(struct cursor *c)
{
	uint8_t op = *c->at++;

	switch (op) {
	case 0x06: /* Alias */
		return take_each(c, take_name, 2);
	case 0x08: /* Name */
		return take_name(c) && take_data(c);
	case 0x10: /* Scope */
	case 0x14: /* Method */
		return take_block(c);
	case 0x15: /* External */
		return take_name(c) && take(c, 2);
	case 0x8a: /* CreateDWordField, Word, Byte, Bit, QWord */
	case 0x8b:
	case 0x8c:
	case 0x8d:
	case 0x8f:
		return take_each(c, take_data, 2) && take_name(c);
	case 0x5b:
		break;
	default:
		return false;
	}
	if (c->at == c->end)
		return false;
	switch (*c->at++) {
	case 0x01: /* Mutex */
		return take_name(c) && take(c, 1);
	case 0x02: /* Event */
		return take_name(c);
	case 0x13: /* CreateField */
		return take_each(c, take_data, 3) && take_name(c);
	case 0x80: /* OperationRegion */
		return take_name(c) && take(c, 1) && take_each(c, take_data, 2);
	case 0x81: /* Field, Device, Processor, PowerResource, ThermalZone, IndexField, BankField */
	case 0x82:
	case 0x83:
	case 0x84:
	case 0x85:
	case 0x86:
	case 0x87:
		return take_block(c);
	default:
		return false;
	}
}

/* The offset of the first term that is not a named object; length: there is none. */
static size_t
check_aml(const uint8_t *aml, size_t length)
{
	struct cursor c = { aml, aml + length };
	const uint8_t *begin = aml;

	while (c.at < c.end) {
		begin = c.at;
		if (!take_object(&c))
			return (size_t)(begin - aml);
	}
	return length;
}

/* Section 6.1.5: an EISA ID has three letters and four digits, an ACPI ID four characters and four
 * digits. */
static bool
is_hid(const char *id)
{
	size_t length = strlen(id);

	for (size_t i = 0; i < length; i++) {
		bool letter = id[i] >= 'A' && id[i] <= 'Z', digit = id[i] >= '0' && id[i] <= '9';

		if (i < length - 4 ? !letter && (length == 7 || !digit)
				   : !digit && (id[i] < 'A' || id[i] > 'F'))
			return false;
	}
	return length == 7 || length == 8;
}

/* A compatible ID is another vendor's text, such as "VM_Gen_Counter". */
static bool
is_cid(const char *id)
{
	for (const char *c = id; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == '"')
			return false;
	return *id && strlen(id) < 64;
}

static bool
is_irq(const struct adoption *a, const char *name)
{
	for (uint32_t i = 0; i < a->plugin->option_count; i++)
		if (!strcmp(a->plugin->descriptor.options[i].name, name))
			return a->plugin->descriptor.options[i].type == MINIVMM_IRQ;
	return false;
}

/* True for an ACPI name segment (ACPI 6.5, section 20.2.2). */
static bool
is_segment(const char *name)
{
	struct cursor c = { (const uint8_t *)name, (const uint8_t *)name + strlen(name) };

	return c.end - c.at == 4 && *name != '\\' && *name != '^' && take_name(&c);
}

static int
check_ids(struct adoption *a, uint32_t i)
{
	const struct minivmm_acpi *row = &a->plugin->descriptor.acpi[i];

	if (!row->hid && (row->cid || !row->role))
		return why_set(a->why, "acpi[%u] has no hid", i);
	if (row->hid && !is_hid(row->hid))
		return why_set(a->why,
			       "acpi[%u]: hid = %.64s is not an ID; use three letters and four "
			       "hexadecimal digits, or four characters and four digits",
			       i, row->hid);
	if (row->cid && !is_cid(row->cid))
		return why_set(a->why, "acpi[%u]: cid = %.64s is not an ID", i, row->cid);
	return 0;
}

int
adopt_acpi(struct adoption *a)
{
	const struct minivmm_acpi *rows = a->plugin->descriptor.acpi;

	for (uint32_t i = 0; i < a->plugin->acpi_count; i++) {
		size_t good;

		if (rows[i].role > MINIVMM_ACPI_CLOCK)
			return why_set(
			    a->why,
			    "it needs a newer minivmm: acpi[%u] has the unknown role %u; "
			    "update minivmm",
			    i, rows[i].role);
		if (check_ids(a, i))
			return -1;
		if (rows[i].only && !is_irq(a, rows[i].only))
			return why_set(a->why, "acpi[%u]: only = %s is not an option of type irq",
				       i, rows[i].only);
		if (rows[i].page && !is_segment(rows[i].page))
			return why_set(a->why,
				       "acpi[%u]: page = %s is not an ACPI name of four characters",
				       i, rows[i].page);
		if (rows[i].aml_length && !rows[i].aml)
			return why_set(a->why, "acpi[%u] has aml_length but no aml", i);
		good = rows[i].aml_length ? check_aml(rows[i].aml, rows[i].aml_length) : 0;
		if (good != rows[i].aml_length)
			return why_set(a->why, "acpi[%u]: aml has no named object at byte %zu", i,
				       good);
	}
	return 0;
}
