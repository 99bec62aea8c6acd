/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs of the host that connect to a port of a device, or to its line. Main thread. */
#ifndef DEVICE_DEVICE_CONNECT_H
#define DEVICE_DEVICE_CONNECT_H

#include "device/device.h"

/* Whether the device has ports (connect of its descriptor). */
bool device_has_ports(const struct device *device);
/*
 * Connects a socket that socket_check_passed() has accepted to a port, as soon as the machine runs
 * and the device is free. Takes over fd, and calls answer once, later: the connection is there, or
 * why it is not. Returns the id of the request; 0: no memory, and fd stays the caller's.
 */
uint64_t device_connect(struct device *device, int fd, uint64_t port,
			void (*answer)(void *context, const char *error), void *context);
/* Connects it to the device's stream at once, as its other end. 0, or -1 with the reason in why:
 * the device has none, or another program uses it; then fd stays the caller's. */
int device_connect_line(struct device *device, int fd, struct why *why);
/* Nobody waits for the answer any more. true: the plugin does not know of the request, which is
 * dropped; false: the answer follows. */
bool device_connect_cancel(struct device *device, uint64_t id);

/* Shared by the files of this module. */

void device_connect_init(struct device *device);
/* The device has started: passes on the requests that wait for that. */
void device_connect_start(struct device *device);
/* The machine is reset, or (all) ends: answers the requests that the plugin knows, or all. */
void device_connect_end(struct device *device, bool all);
void device_connect_free(struct device *device);

#endif
