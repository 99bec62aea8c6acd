/* SPDX-License-Identifier: BSD-2-Clause */
/* Stop conditions: parses their text and counts occurrences. */
#include "machine/stop.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* Error messages, --help and the shells' completion list the forms in this order. */
static const struct {
	const char *name, *form;
	enum stop_kind kind;
	bool nth; /* it can end in :N */
} kinds[] = {
	{ "rip", "rip:ADDR", STOP_RIP, true },
	{ "pio", "pio:PORT", STOP_PIO, true },
	{ "mmio", "mmio:ADDR", STOP_MMIO, true },
	{ "output", "output:DEVICE:TEXT", STOP_OUTPUT, true },
	{ "access", "access:N", STOP_ACCESS, false },
	{ "step", "step:N", STOP_STEP, false },
	{ "hlt", "hlt", STOP_HLT, false },
	{ "shutdown", "shutdown", STOP_SHUTDOWN, false },
	{ "panic", "panic", STOP_PANIC, false },
	{ "time", "time:DURATION", STOP_TIME, false },
};
#define KINDS (sizeof(kinds) / sizeof(*kinds))

const char *
stop_form(size_t i, bool *nth)
{
	if (i >= KINDS)
		return NULL;
	if (nth)
		*nth = kinds[i].nth;
	return kinds[i].form;
}

static int
unknown_kind(const char *text, struct why *why)
{
	const char *names[KINDS + 1] = { NULL }, *forms[KINDS + 1] = { NULL }, *near;
	size_t length = strcspn(text, ":="); /* rip=0x1000 means rip:0x1000 */
	char word[16] = "", all[256];

	for (size_t i = 0; i < KINDS; i++) {
		names[i] = kinds[i].name;
		forms[i] = kinds[i].form;
	}
	format_names("", forms, all, sizeof(all));
	if (length < sizeof(word))
		memcpy(word, text, length);
	near = nearest(word, names);
	for (size_t i = 0; i < KINDS; i++)
		if (near == kinds[i].name)
			return why_set(why, "is not a stop condition%s The conditions are %s",
				       did_you_mean(kinds[i].form, "").text, all);
	return why_set(why, "is not a stop condition; use %s", all);
}

/* Cuts ":N" off the end of text, if it is there, and stores N. The caller reports an N of 0; in
 * STOP_OUTPUT, ":0" is a part of the text. */
static void
cut_times(struct stop *stop, char *text)
{
	char *colon = strrchr(text, ':');
	uint64_t times;

	if (!colon || colon == text || parse_u64(colon + 1, &times, NULL) ||
	    (!times && stop->kind == STOP_OUTPUT))
		return;
	stop->times = times;
	*colon = '\0';
}

/* Addresses are hexadecimal in listings: 1005 may mean 0x1005 or 0x3ed. */
static bool
decimal_address(const struct stop *stop, const char *text)
{
	return (stop->kind == STOP_RIP || stop->kind == STOP_PIO || stop->kind == STOP_MMIO) &&
	       stop->value > 9 && !text[strspn(text, "0123456789")];
}

static int
refuse_decimal(const struct stop *stop, const char *text, struct why *why)
{
	return why_set(why,
		       "has an address without 0x: write it as 0x%s, or as 0x%llx if %s is decimal",
		       text, (unsigned long long)stop->value, text);
}

static int
parse_number(struct stop *stop, const char *text, struct why *why)
{
	if (!*text)
		return why_set(why, "has no number after its kind, as in rip:0x1005");
	if (!parse_u64(text, &stop->value, why))
		return decimal_address(stop, text) ? refuse_decimal(stop, text, why) : 0;
	if (!text[strspn(text, "0123456789abcdefABCDEF")] && text[strspn(text, "0123456789")])
		return why_set(why, "has a number in hex without 0x: write it as in rip:0x1005");
	return why_prefix(why, "is not a stop condition: %s ", text);
}

static int
parse_value(struct stop *stop, const char *name, char *rest, bool nth, struct why *why)
{
	char *colon;

	switch (stop->kind) {
	case STOP_HLT:
	case STOP_SHUTDOWN:
	case STOP_PANIC:
		return *rest ? why_set(why, "%s takes no value", name) : 0;
	case STOP_TIME:
		return parse_time(rest, &stop->value, why);
	case STOP_OUTPUT:
		colon = strchr(rest, ':');
		if (!colon || colon == rest || !colon[1])
			return why_set(why, "must look like output:DEVICE:TEXT");
		*colon = '\0';
		cut_times(stop, colon + 1);
		stop->device = strdup(rest);
		stop->text = strdup(colon + 1);
		return stop->device && stop->text ? 0 : why_no_memory(why);
	default:
		if (nth)
			cut_times(stop, rest);
		if (parse_number(stop, rest, why))
			return -1;
		if (!stop->times)
			return why_set(why, "counts from 1: use :1 for the first time");
		if (stop->kind == STOP_PIO && stop->value > 0xffff)
			return why_set(why, "names a port above 0xffff");
		if ((stop->kind == STOP_ACCESS || stop->kind == STOP_STEP) && !stop->value)
			return why_set(why, "counts from 1");
		return 0;
	}
}

int
stop_parse(struct stop *stop, const char *text, struct why *why)
{
	size_t length = strcspn(text, ":");
	char *rest;
	int r = 0;

	*stop = (struct stop){ .times = 1 };
	for (size_t i = 0; i < KINDS; i++) {
		if (strlen(kinds[i].name) != length || strncmp(kinds[i].name, text, length))
			continue;
		stop->kind = kinds[i].kind;
		rest = strdup(text[length] ? text + length + 1 : "");
		if (!rest)
			return why_no_memory(why);
		r = parse_value(stop, kinds[i].name, rest, kinds[i].nth, why);
		free(rest);
		break;
	}
	if (stop->kind == STOP_ACCESS || stop->kind == STOP_STEP)
		stop->times = stop->value;
	return stop->kind ? r : unknown_kind(text, why);
}

void
stop_free(struct stop *stop)
{
	free(stop->device);
	free(stop->text);
	*stop = (struct stop){ 0 };
}

bool
stop_count(struct stop *stop)
{
	return stop->times && !--stop->times;
}

/*
 * After a mismatch: the length of the longest proper suffix of the matched part that is also a
 * prefix of text, as in Knuth-Morris-Pratt. With it, "aab" is found in "aaab".
 */
static size_t
fall_back(const char *text, size_t matched)
{
	for (size_t shorter = matched - 1; shorter; shorter--)
		if (!memcmp(text, text + matched - shorter, shorter))
			return shorter;
	return 0;
}

bool
stop_output(struct stop *stop, const char *device, const uint8_t *bytes, size_t length)
{
	bool hit = false;

	if (stop->kind != STOP_OUTPUT || strcmp(stop->device, device))
		return false;
	for (size_t i = 0; i < length; i++) {
		while (stop->matched && (uint8_t)stop->text[stop->matched] != bytes[i])
			stop->matched = fall_back(stop->text, stop->matched);
		if ((uint8_t)stop->text[stop->matched] == bytes[i])
			stop->matched++;
		if (!stop->text[stop->matched]) {
			stop->matched = 0;
			hit |= stop_count(stop);
		}
	}
	return hit;
}
