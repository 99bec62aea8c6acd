/* SPDX-License-Identifier: BSD-2-Clause */
/* Points: their text, and counting towards them. */
#include "machine/point.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define POINTS                                                                                     \
	"rip:ADDR, pio:PORT, mmio:ADDR, access:N, step:N, hlt, time:DURATION or "                  \
	"output:DEVICE:TEXT"

static const struct {
	const char *name;
	enum point_kind kind;
	const char *form; /* of the whole point */
} kinds[] = {
	{ "rip", POINT_RIP, "rip:ADDR" },        { "pio", POINT_PIO, "pio:PORT" },
	{ "mmio", POINT_MMIO, "mmio:ADDR" },     { "access", POINT_ACCESS, "access:N" },
	{ "step", POINT_STEP, "step:N" },        { "hlt", POINT_HLT, "hlt" },
	{ "time", POINT_TIME, "time:DURATION" }, { "output", POINT_OUTPUT, "output:DEVICE:TEXT" },
};
#define KINDS (sizeof(kinds) / sizeof(*kinds))

const char *
point_form(size_t i)
{
	return i < KINDS ? kinds[i].form : NULL;
}

static int
unknown_kind(const char *text, size_t length, struct why *why)
{
	const char *names[KINDS + 1] = { NULL }, *near;
	char word[16] = "";

	for (size_t i = 0; i < KINDS; i++)
		names[i] = kinds[i].name;
	if (length < sizeof(word))
		memcpy(word, text, length);
	near = nearest(word, names);
	for (size_t i = 0; i < KINDS; i++)
		if (near == kinds[i].name)
			return why_set(why, "is no point%s There are " POINTS,
				       did_you_mean(kinds[i].form, "").text);
	return why_set(why, "is no point; use " POINTS);
}

/* Cuts ":N" off the end of text, if it is there; 0 is told by the caller, or part of a text that is
 * put out. */
static void
cut_times(struct point *point, char *text)
{
	char *colon = strrchr(text, ':');
	uint64_t times;

	if (!colon || colon == text || parse_u64(colon + 1, &times, NULL) ||
	    (!times && point->kind == POINT_OUTPUT))
		return;
	point->times = times;
	*colon = '\0';
}

static int
parse_number(struct point *point, const char *text, struct why *why)
{
	if (!parse_u64(text, &point->value, NULL))
		return 0;
	if (*text && !text[strspn(text, "0123456789abcdefABCDEF")])
		return why_set(why, "has a number in hex without 0x: write it as in rip:0x1005");
	return why_set(why, "has no number after its kind, as in rip:0x1005");
}

static int
parse_value(struct point *point, char *rest, struct why *why)
{
	char *colon;

	switch (point->kind) {
	case POINT_HLT:
		return *rest ? why_set(why, "hlt takes no value") : 0;
	case POINT_TIME:
		return parse_duration(rest, &point->value, why);
	case POINT_OUTPUT:
		colon = strchr(rest, ':');
		if (!colon || colon == rest || !colon[1])
			return why_set(why, "must look like output:DEVICE:TEXT");
		*colon = '\0';
		cut_times(point, colon + 1);
		point->device = strdup(rest);
		point->text = strdup(colon + 1);
		return point->device && point->text ? 0 : why_no_memory(why);
	default:
		if (point->kind != POINT_ACCESS && point->kind != POINT_STEP)
			cut_times(point, rest);
		if (parse_number(point, rest, why))
			return -1;
		if (!point->times)
			return why_set(why, "counts from 1: the first time is :1");
		if (point->kind == POINT_PIO && point->value > 0xffff)
			return why_set(why, "names a port above 0xffff");
		if ((point->kind == POINT_ACCESS || point->kind == POINT_STEP) && !point->value)
			return why_set(why, "counts from 1");
		return 0;
	}
}

int
point_parse(struct point *point, const char *text, struct why *why)
{
	size_t length = strcspn(text, ":");
	char *rest;
	int r = 0;

	*point = (struct point){ .times = 1 };
	for (size_t i = 0; i < KINDS; i++) {
		if (strlen(kinds[i].name) != length || strncmp(kinds[i].name, text, length))
			continue;
		point->kind = kinds[i].kind;
		rest = strdup(text[length] ? text + length + 1 : "");
		if (!rest)
			return why_no_memory(why);
		r = parse_value(point, rest, why);
		free(rest);
		break;
	}
	if (point->kind == POINT_ACCESS || point->kind == POINT_STEP)
		point->times = point->value;
	return point->kind ? r : unknown_kind(text, length, why);
}

void
point_free(struct point *point)
{
	free(point->device);
	free(point->text);
	*point = (struct point){ 0 };
}

bool
point_count(struct point *point)
{
	return point->times && !--point->times;
}

/*
 * Where the text so far stops matching, the longest end of it that is a beginning of the text still
 * counts: "aab" is found in "aaab".
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
point_output(struct point *point, const char *device, const uint8_t *bytes, size_t length)
{
	bool reached = false;

	if (point->kind != POINT_OUTPUT || strcmp(point->device, device))
		return false;
	for (size_t i = 0; i < length; i++) {
		while (point->matched && (uint8_t)point->text[point->matched] != bytes[i])
			point->matched = fall_back(point->text, point->matched);
		if ((uint8_t)point->text[point->matched] == bytes[i])
			point->matched++;
		if (!point->text[point->matched]) {
			point->matched = 0;
			reached |= point_count(point);
		}
	}
	return reached;
}
