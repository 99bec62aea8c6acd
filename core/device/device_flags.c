/* SPDX-License-Identifier: BSD-2-Clause */
/* The flags of options that concern other devices and other programs: MINIVMM_UNIQUE, MINIVMM_RAW.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/magic.h"
#include "device/device_values.h"

/* Refuses a value that an earlier device has in an option of the same name. */
static int
check_unique(struct device *device, const struct minivmm_option *row,
	     const struct option_text *given)
{
	for (struct device *other = device->all->list; other < device; other++) {
		const struct plugin_option *same = device_option(other, row->name);
		struct option_text its;

		if (!same || !(same->row.flags & MINIVMM_UNIQUE))
			continue;
		its = device_option_text(other, &same->row);
		if (its.text && !strcasecmp(its.text, given->text))
			return device_option_error(device, row, given->place,
						   "= %s is that of device %s; use another one, or "
						   "remove it",
						   given->text, other->config->name);
	}
	return 0;
}

/*
 * The bytes decide nothing: a guest can write any header to its raw disk, which must stay usable.
 */
static void
warn_format(struct device *device, const struct minivmm_option *row,
	    const struct option_text *given)
{
	char *path = device_option_resolve(device, given->text, given), where[256];
	int fd = path ? file_open(path, FILE_READ) : -1;
	uint8_t head[MAGIC_HEAD];
	const struct magic *m;
	ssize_t n;

	if (fd >= 0) {
		n = pread(fd, head, sizeof(head), 0);
		m = magic_find(MAGIC_DISK, head, n > 0 ? (size_t)n : 0);
		if (m)
			log_line(
			    MINIVMM_WARNING, device->config->name,
			    "%s: %s = %s begins like a file that is %s, but the guest reads its "
			    "bytes as they are: %s; or set format = raw",
			    config_option_where(given->place, device_kind(device),
						device->config->name, row->name, where,
						sizeof(where)),
			    row->name, given->text, m->name, m->remedy);
		close(fd);
	}
	free(path);
}

int
device_option_flags(struct device *device, const struct minivmm_option *row,
		    const struct option_text *given)
{
	const struct plugin_option *format = device_option(device, "format");

	/* A restored machine was checked when it was made. */
	if (device->all->flags & DEVICES_RESTORED || !*given->text)
		return 0;
	if (row->flags & MINIVMM_RAW && row->type == MINIVMM_PATH &&
	    !(format && device_option_text(device, &format->row).by_user))
		warn_format(device, row, given);
	return row->flags & MINIVMM_UNIQUE ? check_unique(device, row, given) : 0;
}
