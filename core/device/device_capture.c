/* SPDX-License-Identifier: BSD-2-Clause */
/* Host files of a snapshot: capture, the plugins' services for it, and syncing to the disk. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/log.h"
#include "config/config.h"
#include "device/device.h"

static int
option_set(struct minivmm_device *public, const char *option, const char *value)
{
	struct device *d = device_from(public);
	const struct plugin_option *found;

	if (!service_enter(public, SERVICE(option_set)))
		return -1;
	found = option ? device_option(d, option) : NULL;
	if (!found || !(found->row.flags & MINIVMM_HOST) || !value) {
		service_refuse(public, SERVICE(option_set), "%s%s",
			       value ? "the plugin has no option with MINIVMM_HOST named "
				     : "no value for option ",
			       option ? option : "NULL");
		return -1;
	}
	/* A restore loads the snapshot's options with this place, too. */
	if (!config_option_set(d->config, option, value, d->config->plugin_place))
		return 0;
	service_error(&d->host, "cannot set option %s: no memory%s", option,
		      limit_remedy(ENOMEM).text);
	return -1;
}

static int
keep_file(struct minivmm_device *public, int fd)
{
	struct device *d = device_from(public);
	struct devices *all = d->all;
	int *fds;

	if (!service_enter(public, SERVICE(capture_file)))
		return -1;
	fds = realloc(all->captured.fds, (all->captured.count + 1) * sizeof(*fds));
	if (fds) {
		all->captured.fds = fds;
		fds[all->captured.count] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (fds[all->captured.count] >= 0) {
			all->captured.count++;
			return 0;
		}
	}
	service_error(&d->host, "cannot keep descriptor %d for the snapshot: %s", fd,
		      limit_error(errno).text);
	return -1;
}

const struct service_set device_capture_services = {
	SERVICE_ROW(option_set, option_set, "option_set", SERVICE_START_TO_STOP | SERVICE_CAPTURE,
		    SERVICE_IO),
	SERVICE_ROW(capture_file, keep_file, "capture_file", SERVICE_CAPTURE, SERVICE_IO),
};

int
devices_capture(struct devices *devices)
{
	devices_capture_end(devices);
	for (size_t i = 0; i < devices->count; i++) {
		struct device *d = &devices->list[i];
		char text[64];

		if (!d->started || !d->plugin.descriptor.capture ||
		    DEVICE_CALL(d, SERVICE_CAPTURE, "capture",
				d->plugin.descriptor.capture(&d->host.public)) >= 0)
			continue;
		return fail(STATUS_IO, "device %s (plugin %s): %s: no snapshot is written",
			    d->config->name, d->plugin.descriptor.name,
			    device_failure(d, "capture", text, sizeof(text)));
	}
	return 0;
}

int
devices_capture_sync(const struct devices *devices)
{
	for (size_t i = 0; i < devices->captured.count; i++)
		if (fdatasync(devices->captured.fds[i]))
			return fail(STATUS_IO,
				    "cannot sync a host file that the snapshot needs: %s: no "
				    "snapshot is written",
				    limit_error(errno).text);
	return 0;
}

void
devices_capture_end(struct devices *devices)
{
	for (size_t i = 0; i < devices->captured.count; i++)
		close(devices->captured.fds[i]);
	free(devices->captured.fds);
	devices->captured.fds = NULL;
	devices->captured.count = 0;
}
