/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints records as text: hexadecimal with decimal, flags by name, bytes as dumps. */
#include "cli/show.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"

/* Names of register bits (AMD64 Architecture Programmer's Manual, volume 2). */
static const struct flags {
	const char *name;
	const char *bits[64];
} flags[] = {
	{ "rflags",
	  { [0] = "CF",
	    [2] = "PF",
	    [4] = "AF",
	    [6] = "ZF",
	    [7] = "SF",
	    [8] = "TF",
	    [9] = "IF",
	    [10] = "DF",
	    [11] = "OF",
	    [14] = "NT",
	    [16] = "RF",
	    [17] = "VM",
	    [18] = "AC",
	    [19] = "VIF",
	    [20] = "VIP",
	    [21] = "ID" } },
	{ "cr0",
	  { [0] = "PE",
	    [1] = "MP",
	    [2] = "EM",
	    [3] = "TS",
	    [4] = "ET",
	    [5] = "NE",
	    [16] = "WP",
	    [18] = "AM",
	    [29] = "NW",
	    [30] = "CD",
	    [31] = "PG" } },
	{ "cr4",
	  { [0] = "VME",         [1] = "PVI",   [2] = "TSD",   [3] = "DE",        [4] = "PSE",
	    [5] = "PAE",         [6] = "MCE",   [7] = "PGE",   [8] = "PCE",       [9] = "OSFXSR",
	    [10] = "OSXMMEXCPT", [11] = "UMIP", [12] = "LA57", [16] = "FSGSBASE", [17] = "PCIDE",
	    [18] = "OSXSAVE",    [20] = "SMEP", [21] = "SMAP", [22] = "PKE",      [23] = "CET" } },
	{ "efer",
	  { [0] = "SCE", [8] = "LME", [10] = "LMA", [11] = "NXE", [12] = "SVME", [14] = "FFXSR" } },
	{ "xcr0",
	  { [0] = "x87",
	    [1] = "SSE",
	    [2] = "AVX",
	    [5] = "opmask",
	    [6] = "ZMM_Hi256",
	    [7] = "Hi16_ZMM",
	    [9] = "PKRU",
	    [17] = "TILECFG",
	    [18] = "TILEDATA" } },
	{ "apic_base", { [8] = "BSP", [10] = "x2APIC", [11] = "enabled" } },
};

static void
show_flags(FILE *out, const struct record *item, uint64_t value)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (!record_is(item, flags[i].name))
			continue;
		for (unsigned bit = 0; bit < 64; bit++)
			if (value >> bit & 1 && flags[i].bits[bit])
				fprintf(out, " %s", flags[i].bits[bit]);
	}
}

/* An x87 register is stored as text, "0x" and 80 bits. Prints its value, too. */
static void
show_st(FILE *out, const struct record *item)
{
	unsigned long long significand;
	long double value = 0;
	unsigned exponent;
	char text[24] = "";
	uint8_t bytes[16] = { 0 };

	if (item->name_length != 3 || memcmp(item->name, "st", 2) || item->count >= sizeof(text))
		return;
	memcpy(text, item->data, item->count);
	if (sscanf(text, "0x%4x%16llx", &exponent, &significand) != 2)
		return;
	memcpy(bytes, &significand, 8);
	memcpy(bytes + 8, &exponent, 2);
	memcpy(&value, bytes, 10);
	fprintf(out, " (%.20Lg)", value);
}

/* The length of the part at the beginning that is shown as it is: printable ASCII but \. */
static size_t
plain_length(const uint8_t *bytes, size_t length)
{
	size_t i = 0;

	while (i < length && bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != '\\')
		i++;
	return i;
}

void
show_text(FILE *out, const void *text, size_t length)
{
	const uint8_t *bytes = text;

	for (size_t i = 0, n; i < length; i += n) {
		struct character c;
		char shown[17];

		n = plain_length(bytes + i, length - i);
		if (n) {
			fwrite(bytes + i, 1, n, out);
			continue;
		}
		c = character_at(bytes + i, length - i);
		n = c.length;
		if (c.code == '\\')
			fputs("\\x5c", out);
		else
			fwrite(shown, 1, escape_text(shown, sizeof(shown), bytes + i, n), out);
	}
}

void
show_string(FILE *out, const char *text, unsigned width)
{
	size_t length = text ? strlen(text) : 0;

	show_text(out, text, length);
	fprintf(out, "%*s", length < width ? (int)(width - length) : 0, "");
}

static bool
all_zero(const struct record *item)
{
	for (uint32_t i = 0; i < item->count; i++)
		if (record_number(item, i))
			return false;
	return true;
}

static void
show_number(FILE *out, const struct record *item, uint32_t index)
{
	uint64_t value = record_number(item, index);

	if (item->type == RECORD_BOOL)
		fputs(value ? "yes" : "no", out);
	else
		fprintf(out, "0x%llx", (unsigned long long)value);
}

/* Prints bytes that are text as text, too. */
static void
show_bytes_as_text(FILE *out, const struct record *item)
{
	const uint8_t *bytes = item->data;
	uint32_t count = item->count;

	for (uint32_t i = 0; i < count; i++)
		if ((bytes[i] < ' ' && bytes[i] != '\t' && bytes[i] != '\r' && bytes[i] != '\n') ||
		    bytes[i] >= 0x7f)
			return;
	fputs(" \"", out);
	show_text(out, item->data, item->count);
	fputc('"', out);
}

static void
show_array(FILE *out, const struct record *item)
{
	if (!item->count)
		fputs("none", out);
	else if (item->count > 4 && all_zero(item))
		fprintf(out, "%u times 0", item->count);
	else {
		for (uint32_t i = 0; i < item->count; i++) {
			fputs(i ? " " : "", out);
			if (item->type == RECORD_U8)
				fprintf(out, "%02x", (unsigned)record_number(item, i));
			else
				show_number(out, item, i);
		}
		if (item->type == RECORD_U8)
			show_bytes_as_text(out, item);
	}
}

void
show_value(FILE *out, const struct record *item)
{
	if (item->type == RECORD_TEXT) {
		show_text(out, item->data, item->count);
		show_st(out, item);
		return;
	}
	if (item->type == RECORD_GROUP || item->type == RECORD_LIST) {
		fputs(item->count ? "{...}" : "none", out);
		return;
	}
	if (item->array) {
		show_array(out, item);
		return;
	}
	show_number(out, item, 0);
	if (item->type != RECORD_BOOL) {
		fprintf(out, " (%llu)", (unsigned long long)record_number(item, 0));
		show_flags(out, item, record_number(item, 0));
	}
}

/* Prints a hex dump: 16 bytes per line with offset and text. Omits lines of zeros. */
static void
show_dump(FILE *out, const struct record *item, unsigned indent)
{
	for (uint32_t at = 0; at < item->count; at += 16) {
		uint32_t length = item->count - at < 16 ? item->count - at : 16;
		char text[17] = "", hex[49] = "";
		bool any = false;

		for (uint32_t i = 0; i < length; i++) {
			uint8_t byte = item->data[at + i];

			any |= byte;
			snprintf(hex + 3 * i, sizeof(hex) - 3 * i, " %02x", byte);
			text[i] = byte >= ' ' && byte < 0x7f ? (char)byte : '.';
		}
		if (any)
			fprintf(out, "\n%*s0x%04x %-48s  %s", (int)indent, "", at, hex, text);
	}
}

/* The length of a name up to its dot; 0 if there is no dot, or if it is first or last. */
static size_t
stem(const struct record *item)
{
	const char *dot = memchr(item->name, '.', item->name_length);
	size_t length = dot ? (size_t)(dot - item->name) : 0;

	return length + 1 < item->name_length && item->type <= RECORD_BOOL && !item->array ? length
											   : 0;
}

/*
 * Prints consecutive items like "cs.base", "cs.limit" on one line for cs. Returns whether it did.
 */
static bool
show_family(FILE *out, const struct record *group, size_t *position, const struct record *first,
	    unsigned indent)
{
	size_t length = stem(first), next = *position;
	struct record item;
	unsigned members = 1;

	while (length && record_next(group, &next, &item) && stem(&item) == length &&
	       !memcmp(item.name, first->name, length)) {
		if (members++ == 1) {
			fprintf(out, "%*s", (int)indent, "");
			show_text(out, first->name, length);
			fputs(": ", out);
			show_text(out, first->name + length + 1, first->name_length - length - 1);
			fputs(" = ", out);
			show_number(out, first, 0);
		}
		fputs(", ", out);
		show_text(out, item.name + length + 1, item.name_length - length - 1);
		fputs(" = ", out);
		show_number(out, &item, 0);
		*position = next;
	}
	if (members > 1)
		fputc('\n', out);
	return members > 1;
}

static void
show_list(FILE *out, const struct record *list, unsigned indent)
{
	struct record element;
	size_t position = 0;
	unsigned number = 0;

	while (record_next(list, &position, &element)) {
		fprintf(out, "%*s%u\n", (int)indent, "", number++);
		show_group(out, &element, indent + 2);
	}
}

void
show_item(FILE *out, const struct record *item, unsigned indent)
{
	fprintf(out, "%*s", (int)indent, "");
	show_text(out, item->name, item->name_length);
	if (item->type == RECORD_GROUP && item->count) {
		fputc('\n', out);
		show_group(out, item, indent + 2);
	} else if (item->type == RECORD_LIST && item->count) {
		fputc('\n', out);
		show_list(out, item, indent + 2);
	} else if (item->type == RECORD_U8 && item->count > 32 && !all_zero(item)) {
		fprintf(out, " = %u bytes", item->count);
		show_dump(out, item, indent + 2);
		fputc('\n', out);
	} else {
		fputs(" = ", out);
		show_value(out, item);
		fputc('\n', out);
	}
}

void
show_group(FILE *out, const struct record *group, unsigned indent)
{
	struct record item;
	size_t position = 0;

	while (record_next(group, &position, &item))
		if (!show_family(out, group, &position, &item, indent))
			show_item(out, &item, indent);
}

void
show_begin(void)
{
	FILE *out = file_stream(STDOUT_FILENO);

	if (!out)
		return;
	setvbuf(out, NULL, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, BUFSIZ);
	stdout = out;
}

int
show_whole(int fd, const char *text, size_t length)
{
	FILE *out = fd == STDOUT_FILENO ? stdout : file_stream(fd);

	if (!out)
		return fail_memory("output");
	fflush(out);
	setvbuf(out, NULL, _IONBF, 0);
	fwrite(text, 1, length, out);
	return fd == STDOUT_FILENO ? show_end(out) : 0;
}

bool
show_can_move(void)
{
	const char *kind = getenv("TERM");

	return isatty(STDOUT_FILENO) && kind && *kind && strcmp(kind, "dumb");
}

int
show_end(FILE *out)
{
	if (!fflush(out) && !ferror(out))
		return 0;
	/* A reader that has closed the pipe, like head, expects no message. */
	return errno == EPIPE
		   ? -STATUS_IO
		   : fail(STATUS_IO, "cannot write to stdout: %s", limit_error(errno).text);
}
