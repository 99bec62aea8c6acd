/* SPDX-License-Identifier: BSD-2-Clause */
/* Host files of a snapshot: capture, the plugins' services for it, and syncing to the disk. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/log.h"
#include "base/text.h"
#include "config/config.h"
#include "device/device.h"

#define CHECK_EVERY 100 /* ms */

static int
option_set(struct minivmm_device *public, const char *option, const char *value)
{
	struct device *d = device_from(public);
	const struct plugin_option *found;
	const struct config_option *now;

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
	now = config_option_find(d->config, option);
	if (now && !strcmp(now->value, value) && now->place.file == d->config->plugin_place.file)
		return 0;
	d->all->config_changes++;
	/* A restore loads the snapshot's options with this place, too. */
	if (!config_option_set(d->config, option, value, d->config->plugin_place))
		return 0;
	service_error(&d->host, "cannot set option %s: no memory%s", option,
		      limit_remedy(ENOMEM).text);
	return -1;
}

unsigned
devices_config_changes(const struct devices *devices)
{
	return devices->config_changes;
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

static uint64_t
defer(struct minivmm_device *public)
{
	struct device *d = device_from(public);
	uint64_t id = 0, deadline = d->plugin.descriptor.capture_deadline;

	if (!service_enter(public, SERVICE(capture_defer)))
		return 0;
	if (!deadline) {
		service_refuse(public, SERVICE(capture_defer),
			       "the descriptor has no capture_deadline");
		return 0;
	}
	lock_take(&d->all->capture_lock);
	if (!d->capture.id) {
		id = ++d->all->last_capture;
		d->capture.id = id;
		if (__builtin_add_overflow(clock_host(), deadline, &d->capture.until))
			d->capture.until = UINT64_MAX;
	}
	lock_release(&d->all->capture_lock);
	if (!id)
		service_refuse(public, SERVICE(capture_defer), "the capture is deferred already");
	return id;
}

static int
captured(struct minivmm_device *public, uint64_t id, const char *error)
{
	struct device *d = device_from(public);
	char *reason = error ? strdup(error) : NULL;
	bool ends, late;

	if (!service_enter(public, SERVICE(captured))) {
		free(reason);
		return -1;
	}
	lock_take(&d->all->capture_lock);
	ends = id && id == d->capture.id && !d->capture.ended;
	late = id && id <= d->capture.lost;
	if (ends) {
		d->capture.ended = true;
		d->capture.error = error && !reason ? strdup("no memory") : reason;
	}
	lock_release(&d->all->capture_lock);
	if (ends) {
		loop_wake(&d->all->machine->loop);
		return 0;
	}
	free(reason);
	if (late) {
		atomic_fetch_add(&d->host.gate->refused, 1);
		service_log(&d->host, MINIVMM_DEBUG,
			    "a deferred capture is completed after it was cancelled");
	} else
		service_refuse(public, SERVICE(captured),
			       "capture %llu is not deferred, or was completed before",
			       (unsigned long long)id);
	return -1;
}

static int
branch_file(struct minivmm_device *public, int fd, char *path, size_t size)
{
	struct device *d = device_from(public);
	struct devices *all = d->all;
	int *fds;

	if (!service_enter(public, SERVICE(branch_file)))
		return -1;
	if (!all->branched.on || fd < 0)
		return all->branched.on;
	if (!path || size < MINIVMM_BRANCH_PATH) {
		service_refuse(public, SERVICE(branch_file), "the path has no room");
		return -1;
	}
	fds = realloc(all->branched.fds, (all->branched.count + 1) * sizeof(*fds));
	if (fds) {
		all->branched.fds = fds;
		fds[all->branched.count] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (fds[all->branched.count] >= 0) {
			snprintf(path, size, "/proc/self/fd/%d", fds[all->branched.count++]);
			return 1;
		}
	}
	service_error(&d->host, "cannot keep descriptor %d for the branch: %s", fd,
		      limit_error(errno).text);
	return -1;
}

static int
branch_obstacle(struct minivmm_device *public, const char *why)
{
	struct device *d = device_from(public);

	if (!service_enter(public, SERVICE(branch_obstacle)))
		return -1;
	snprintf(d->branch_obstacle, sizeof(d->branch_obstacle), "%s", why ? why : "");
	return 0;
}

const char *
device_branch_obstacle(const struct device *d)
{
	return *d->branch_obstacle ? d->branch_obstacle : NULL;
}

const struct service_set device_capture_services = {
	SERVICE_ROW(branch_file, branch_file, "branch_file", SERVICE_CAPTURE, SERVICE_IO),
	SERVICE_ROW(branch_obstacle, branch_obstacle, "branch_obstacle",
		    SERVICE_START_TO_STOP | SERVICE_CAPTURE, SERVICE_IO),
	SERVICE_ROW(capture_defer, defer, "capture_defer", SERVICE_CAPTURE, SERVICE_IO),
	SERVICE_ROW(captured, captured, "captured", SERVICE_START_TO_STOP | SERVICE_CAPTURE,
		    SERVICE_ANY_THREAD),
	SERVICE_ROW(option_set, option_set, "option_set", SERVICE_START_TO_STOP | SERVICE_CAPTURE,
		    SERVICE_IO),
	SERVICE_ROW(capture_file, keep_file, "capture_file", SERVICE_CAPTURE, SERVICE_IO),
};

/* A capture that is pending is cancelled. */
static void
forget_capture(struct device *d)
{
	if (!d->capture.id)
		return;
	lock_take(&d->all->capture_lock);
	if (d->capture.id && !d->capture.ended)
		d->capture.lost = d->capture.id;
	free(d->capture.error);
	d->capture = (struct device_capture){ .lost = d->capture.lost };
	lock_release(&d->all->capture_lock);
}

static const char *
consequence(const struct device *d)
{
	return d->all->branched.on ? "no branch is made" : "no snapshot is written";
}

static int
begin_capture(struct device *d)
{
	char text[64];
	int r;

	if (!d->started || !d->plugin.descriptor.capture)
		return 0;
	log_hold(&d->all->held); /* until the end of the stop */
	r = DEVICE_CALL(d, CALLBACK_CAPTURE, d->plugin.descriptor.capture(&d->host.public));
	log_hold(NULL);
	if (!r)
		forget_capture(d);
	if (r >= 0)
		return 0;
	return fail(STATUS_IO, "device %s (plugin %s): %s: %s", d->config->name,
		    d->plugin.descriptor.name, device_failure(d, "capture", text, sizeof(text)),
		    consequence(d));
}

/* Whether the device's capture is pending. *r: the negative status of one that has failed. */
static bool
is_pending(struct device *d, int *r)
{
	char error[256], time[32];
	bool ended, failed;

	if (!d->capture.id)
		return false;
	lock_take(&d->all->capture_lock);
	ended = d->capture.ended;
	failed = d->capture.error;
	if (failed)
		snprintf(error, sizeof(error), "%s", d->capture.error);
	lock_release(&d->all->capture_lock);
	if (failed)
		*r = fail(STATUS_IO, "device %s (plugin %s): capture failed: %s: %s",
			  d->config->name, d->plugin.descriptor.name, error, consequence(d));
	else if (!ended && clock_host() >= d->capture.until)
		*r =
		    fail(STATUS_IO,
			 "device %s (plugin %s): its capture has not ended within %s: %s; try "
			 "again later",
			 d->config->name, d->plugin.descriptor.name,
			 format_duration(d->plugin.descriptor.capture_deadline, time, sizeof(time)),
			 consequence(d));
	return !ended;
}

/* Milliseconds until the first deadline, at most CHECK_EVERY; 0: no capture is pending, or one has
 * failed: *r is its negative status. */
static int
time_left(struct devices *devices, int *r)
{
	uint64_t now = clock_host(), left = CHECK_EVERY * 1000000ull;
	bool pending = false;

	for (size_t i = 0; i < devices->count && !*r; i++) {
		struct device *d = &devices->list[i];

		if (!is_pending(d, r) || *r)
			continue;
		pending = true;
		if (d->capture.until < now + left)
			left = d->capture.until > now ? d->capture.until - now : 0;
	}
	return pending && !*r ? (int)(left / 1000000) + 1 : 0;
}

/*
 * All devices begin before the first wait, so that the machine stands still only as long as the
 * slowest one takes. The loop is quiet: it runs nothing of devices, but answers the operator.
 */
int
devices_capture(struct devices *devices, int (*check)(void *context), void *context)
{
	int r = 0, left;

	devices_capture_end(devices);
	for (size_t i = 0; i < devices->count && !r; i++)
		r = begin_capture(&devices->list[i]);
	while (!r && (left = time_left(devices, &r))) {
		r = check(context);
		if (!r)
			r = loop_once_nested(&devices->machine->loop, left);
	}
	for (size_t i = 0; i < devices->count; i++)
		forget_capture(&devices->list[i]);
	return r;
}

int
devices_capture_branch(struct devices *devices, int (*check)(void *context), void *context,
		       const int **fds, size_t *count)
{
	int r;

	devices_capture_end(devices);
	devices->branched.on = true;
	r = devices_capture(devices, check, context);
	devices->branched.on = false;
	*fds = devices->branched.fds;
	*count = devices->branched.count;
	return r;
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
	for (size_t i = 0; i < devices->branched.count; i++)
		close(devices->branched.fds[i]);
	free(devices->branched.fds);
	devices->branched.fds = NULL;
	devices->branched.count = 0;
	log_release(&devices->held);
}
