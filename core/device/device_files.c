/* SPDX-License-Identifier: BSD-2-Clause */
/* The host files that a device uses, and the services that open them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

#include "base/file.h"
#include "device/device.h"

static int
file_open_for(struct minivmm_device *public, const char *path, uint32_t flags)
{
	struct device *d = device_from(public);
	struct made_files *made = NULL;
	struct why why;
	int fd, error;

	if (!service_enter(public, SERVICE(file_open)))
		return -1;
	if (!path || flags & ~MINIVMM_FILE_NEW) {
		service_refuse(public, SERVICE(file_open),
			       path ? "flags 0x%x do not exist" : "path is NULL", flags);
		return -1;
	}
	if (d->all->first_start && atomic_load(&d->host.phase) == SERVICE_START)
		made = &d->all->machine->made;
	fd = file_open_own(path, flags & MINIVMM_FILE_NEW ? O_EXCL : 0, made);
	if (fd >= 0 || errno == EEXIST)
		return fd;
	error = errno;
	file_why(path, error, &why);
	service_error(&d->host, "cannot open %s for writing: %s", path, why.text);
	errno = error;
	return -1;
}

static int
socket_listen_for(struct minivmm_device *public, const char *path, uint32_t backlog)
{
	struct device *d = device_from(public);
	struct device_socket *socket;
	struct why why;
	int fd = -1;

	if (!service_enter(public, SERVICE(socket_listen)))
		return -1;
	if (!path || backlog > INT_MAX) {
		service_refuse(public, SERVICE(socket_listen), "path is NULL, or backlog is large");
		return -1;
	}
	socket = calloc(1, sizeof(*socket));
	if (!socket)
		why_no_memory(&why);
	else
		fd = socket_listen_unix(path, 0, (int)backlog, &socket->file, &why);
	if (fd < 0) {
		service_error(&d->host, "cannot listen on %s: %s", path, why.text);
		free(socket);
		return -1;
	}
	socket_refuse_passed(fd);
	socket->next = d->sockets;
	d->sockets = socket;
	return fd;
}

static int
socket_connect_for(struct minivmm_device *public, const char *path)
{
	bool pending;

	errno = EPERM;
	if (!service_enter(public, SERVICE(socket_connect)))
		return -1;
	if (path)
		return socket_begin_unix(path, &pending);
	service_refuse(public, SERVICE(socket_connect), "path is NULL");
	errno = EFAULT;
	return -1;
}

const struct service_set device_file_services = {
	SERVICE_ROW(file_open, file_open_for, "file_open", SERVICE_START_TO_STOP | SERVICE_CAPTURE,
		    SERVICE_IO),
	SERVICE_ROW(socket_listen, socket_listen_for, "socket_listen", SERVICE_START, SERVICE_IO),
	SERVICE_ROW(socket_connect, socket_connect_for, "socket_connect", SERVICE_START_TO_STOP,
		    SERVICE_CALLBACKS),
};

void
device_sockets_free(struct device *device)
{
	for (struct device_socket *socket = device->sockets, *next; socket; socket = next) {
		next = socket->next;
		socket_file_remove(&socket->file);
		free(socket);
	}
	device->sockets = NULL;
}

void
device_each_file(const struct device *device,
		 void (*found)(void *context, const char *path, enum device_file kind),
		 void *context)
{
	const struct config_device *config = device->config;

	found(context, device->plugin.path, DEVICE_FILE_READ);
	for (uint32_t i = 0; i < device->streams_ready; i++) {
		found(context, stream_file(&device->streams[i].stream.in), DEVICE_FILE_READ);
		found(context, stream_file(&device->streams[i].stream.out), DEVICE_FILE_WRITTEN);
	}
	/* The texts are the core's, but configure may have changed the members. */
	bus_enter(&bus_current, (struct minivmm_device *)&device->host.public,
		  "paths after configure", BUS_NO_ACCESS);
	for (uint32_t i = 0; device->configured && i < device->plugin.option_count; i++) {
		const struct minivmm_option *o = &device->plugin.descriptor.options[i];
		const void *value = (char *)device->host.public.state + o->offset;

		if (o->type == MINIVMM_PATH)
			found(context, *(const char *const *)value, DEVICE_FILE_READ);
		else if (o->type == MINIVMM_STRING && (o->flags & MINIVMM_HOST))
			found(context, *(const char *const *)value, DEVICE_FILE_LIST);
	}
	bus_leave(&bus_current);
	/* Options that minivmm_option_set() has changed, like the layers of a disk. */
	for (size_t i = 0; i < config->option_count; i++) {
		const struct config_option *option = &config->options[i];
		const struct plugin_option *o = device_option(device, option->key);

		if (o && o->row.type == MINIVMM_STRING && (o->row.flags & MINIVMM_HOST))
			found(context, option->value, DEVICE_FILE_LIST);
	}
}

bool
device_runs_in_pause(const struct device *device)
{
	return device->plugin.descriptor.flags & MINIVMM_UNPARKED;
}

bool
device_has_output(const struct device *device)
{
	const struct minivmm_plugin *descriptor = &device->plugin.descriptor;

	for (uint32_t i = 0; i < device->plugin.stream_count; i++)
		if (descriptor->streams[i].output)
			return true;
	return !descriptor->name;
}
