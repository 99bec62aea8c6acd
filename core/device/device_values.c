/* SPDX-License-Identifier: BSD-2-Clause */
/* Parses the text of a device's options into members of its state. */
#include "device/device_values.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/habits.h"
#include "base/log.h"
#include "base/text.h"

struct option_text
device_option_text(struct device *device, const struct minivmm_option *row)
{
	struct config_option *option = config_option_find(device->config, row->name);

	if (option)
		return (struct option_text){ option->value, option->place, true };
	return (struct option_text){ row->initial, device->config->place, false };
}

int
device_option_error(struct device *device, const struct minivmm_option *row,
		    struct config_place place, const char *format, ...)
{
	char where[256], text[512];
	va_list arguments;

	va_start(arguments, format);
	text_vfit(text, sizeof(text), format, arguments);
	va_end(arguments);
	return fail(STATUS_USAGE, "%s: %s %s: %s %s",
		    config_option_where(place, device_kind(device), device->config->name, row->name,
					where, sizeof(where)),
		    device_kind(device), device->config->name, row->name, text);
}

/* The index of an enum's value, or -1. */
static int
enum_value(const struct minivmm_option *row, const char *text)
{
	for (int i = 0; row->values[i]; i++)
		if (!strcmp(row->values[i], text))
			return i;
	return -1;
}

static int
set_enum(struct device *device, const struct minivmm_option *row, const struct option_text *given)
{
	int value = enum_value(row, given->text);
	char list[256], word[64];
	const char *ours;

	if (value >= 0) {
		*(uint32_t *)((char *)device->host.public.state + row->offset) = (uint32_t)value;
		return 0;
	}
	snprintf(word, sizeof(word), "%s=%s", row->name, given->text);
	ours = habit(HABIT_VALUE, word);
	if (ours)
		return device_option_error(device, row, given->place, "= %s: %s", given->text,
					   ours);
	return device_option_error(device, row, given->place, "= %s: %s%s", given->text,
				   format_names("use ", row->values, list, sizeof(list)),
				   did_you_mean(nearest(given->text, row->values), "").text);
}

/* A duration on the command line needs a unit: 5 may mean seconds. In a config it is in ns. */
static int
parse_number(const struct minivmm_option *row, const struct option_text *given, uint64_t *value,
	     struct why *why)
{
	if (row->type == MINIVMM_SIZE)
		return parse_size(given->text, value, why);
	if (row->type != MINIVMM_DURATION)
		return parse_u64(given->text, value, why);
	return given->by_user && !strcmp(given->place.file, CONFIG_SET)
		   ? parse_time(given->text, value, why)
		   : parse_duration(given->text, value, why);
}

int
device_option_number(struct device *device, const struct minivmm_option *row,
		     const struct option_text *given, uint64_t *value)
{
	char low[24], high[24];
	uint64_t limit = plugin_type_max(row->type);
	uint64_t max = row->max && row->max < limit ? row->max : limit;
	struct why why;

	if (parse_number(row, given, value, &why))
		return device_option_error(device, row, given->place, "= %s %s", given->text,
					   why.text);
	if (*value < row->min || *value > max)
		return device_option_error(
		    device, row, given->place, "= %s is out of range; it goes from %s to %s",
		    given->text, plugin_value(row, row->min, low, sizeof(low)),
		    plugin_value(row, max, high, sizeof(high)));
	return 0;
}

static int
set_number(struct device *device, const struct minivmm_option *row, const struct option_text *given)
{
	char *member = (char *)device->host.public.state + row->offset;
	uint64_t value;

	if (device_option_number(device, row, given, &value))
		return -STATUS_USAGE;
	switch (plugin_type_max(row->type)) { /* little-endian, like the guest */
	case UINT8_MAX:
		memcpy(member, &value, 1);
		break;
	case UINT16_MAX:
		memcpy(member, &value, 2);
		break;
	case UINT32_MAX:
		memcpy(member, &value, 4);
		break;
	default:
		memcpy(member, &value, 8);
	}
	return 0;
}

static int
set_bool(struct device *device, const struct minivmm_option *row, const struct option_text *given)
{
	struct why why;

	if (parse_bool(given->text, (bool *)((char *)device->host.public.state + row->offset),
		       &why))
		return device_option_error(device, row, given->place, "= %s %s", given->text,
					   why.text);
	return 0;
}

static int
set_irq(struct device *device, const struct minivmm_option *row, const struct option_text *given)
{
	struct minivmm_irq *irq =
	    (struct minivmm_irq *)((char *)device->host.public.state + row->offset);
	char where[256], owner[512];
	uint64_t line;
	int r;

	if (!strcmp(given->text, "none"))
		return 0;
	if (parse_u64(given->text, &line, NULL) || line >= IRQ_LINES)
		return device_option_error(device, row, given->place,
					   "= %s: use a line from 0 to %d, or none", given->text,
					   IRQ_LINES - 1);
	if (!machine_irqchip(device->all->machine))
		return device_option_error(
		    device, row, given->place,
		    "= %s needs an interrupt controller: set irqchip = on in [vm], or %s = none",
		    given->text, row->name);
	snprintf(owner, sizeof(owner), "%s.%s", device->config->name, row->name);
	r = irqs_add(&device->all->machine->irqs, (uint32_t)line, row->flags & MINIVMM_EDGE,
		     row->flags & MINIVMM_ACTIVE_LOW,
		     config_option_where(given->place, device_kind(device), device->config->name,
					 row->name, where, sizeof(where)),
		     owner);
	if (r < 0)
		return r;
	irq->handle = (uint32_t)r;
	if (!device->irqs++)
		device->irq_first = irq->handle;
	return 0;
}

/* True if a text begins with a scheme, as in nbd://host/disk (RFC 3986, section 3.1). */
static bool
is_uri(const char *text)
{
	size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+-.");

	return scheme && !strncmp(text + scheme, "://", 3);
}

bool
device_option_relative(const char *path)
{
	return *path && *path != '/' && !is_uri(path);
}

char *
device_option_resolve(struct device *device, const char *path, const struct option_text *given)
{
	return *path && given->by_user && !is_uri(path)
		   ? config_resolve(device->all->config, given->place, path)
		   : strdup(path);
}

int
device_option_check_trust(struct device *device, const struct minivmm_option *row,
			  const struct option_text *given)
{
	if (!(device->all->flags & DEVICES_RESTORED) ||
	    device->all->flags & (DEVICES_TRUSTED | DEVICES_BRANCHED) || !given->by_user ||
	    !strcmp(given->place.file, CONFIG_SET))
		return 0;
	return fail(STATUS_SNAPSHOT,
		    "the snapshot's device %s names a host resource, %s = %s: add --set "
		    "device.%s.%s=... or --trust",
		    device->config->name, row->name, given->text, device->config->name, row->name);
}

/* True if the text names a host resource. An empty text does not, nor does "none", except as a
 * path. */
static bool
names_host(const struct minivmm_option *row, const char *text)
{
	return *text && (row->type == MINIVMM_PATH ||
			 (row->flags & MINIVMM_HOST && strcmp(text, "none") != 0));
}

static int
set_text(struct device *device, const struct minivmm_option *row, const struct option_text *given)
{
	char **strings = realloc(device->strings, (device->string_count + 1) * sizeof(*strings)),
	     *text;

	if (!strings)
		return fail_memory("%s", row->name);
	device->strings = strings;
	if (names_host(row, given->text) && device_option_check_trust(device, row, given))
		return -STATUS_SNAPSHOT;
	text = row->type == MINIVMM_PATH ? device_option_resolve(device, given->text, given)
					 : strdup(given->text);
	if (!text)
		return fail_memory("%s", row->name);
	strings[device->string_count++] = text;
	*(const char **)((char *)device->host.public.state + row->offset) = text;
	return 0;
}

int
device_option_set(struct device *device, const struct minivmm_option *row,
		  const struct option_text *given)
{
	switch (row->type) {
	case MINIVMM_BOOL:
		return set_bool(device, row, given);
	case MINIVMM_ENUM:
		return set_enum(device, row, given);
	case MINIVMM_IRQ:
		return set_irq(device, row, given);
	case MINIVMM_STRING:
	case MINIVMM_PATH:
		return set_text(device, row, given);
	default:
		return set_number(device, row, given);
	}
}

uint64_t
device_option_value(const struct device *device, const char *name)
{
	const struct plugin_option *option = device_option(device, name);
	uint64_t value = 0;

	switch (plugin_type_max(option->row.type)) {
	case UINT8_MAX:
		memcpy(&value, (char *)device->host.public.state + option->row.offset, 1);
		break;
	case UINT16_MAX:
		memcpy(&value, (char *)device->host.public.state + option->row.offset, 2);
		break;
	case UINT32_MAX:
		memcpy(&value, (char *)device->host.public.state + option->row.offset, 4);
		break;
	default:
		memcpy(&value, (char *)device->host.public.state + option->row.offset, 8);
	}
	return value;
}
