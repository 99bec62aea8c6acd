/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs devices: start, pause, resume and stop of all plugins and their streams. */
#include <string.h>

#include "base/log.h"
#include "device/device.h"
#include "device/device_connect.h"
#include "machine/ioeventfd.h"

#define PAUSE_DEADLINE 1000000000ull /* ns in which a device must finish its requests */

int
devices_pause(void *context)
{
	struct devices *devices = context;
	uint64_t deadline = clock_host() + PAUSE_DEADLINE;
	int r = 0, answer;

	ioeventfds_poll(devices->machine);
	for (size_t i = 0; i < devices->count; i++) {
		struct device *d = &devices->list[i];

		if (!d->started || d->paused)
			continue;
		if (!d->plugin.descriptor.pause)
			continue;
		d->paused = true;
		d->pending = true; /* a plugin can call minivmm_paused() before pause returns */
		answer =
		    DEVICE_CALL(d, CALLBACK_PAUSE, d->plugin.descriptor.pause(&d->host.public));
		if (answer != MINIVMM_PENDING)
			d->pending = false;
		if (answer < 0)
			r = device_failed(d, "pause", STATUS_IO);
	}
	for (size_t i = 0; i < devices->count && !r; i++)
		while (devices->list[i].pending && !r) {
			r = loop_once_nested(&devices->machine->loop, 10);
			if (!r && devices->list[i].pending && clock_host() > deadline)
				r = fail(STATUS_IO,
					 "device %s has not finished its requests within 1 second",
					 devices->list[i].config->name);
		}
	for (size_t i = 0; i < devices->count && !r; i++)
		if (devices->list[i].started)
			atomic_store(&devices->list[i].host.phase, SERVICE_PAUSED);
	for (size_t i = 0; i < devices->count && !r; i++)
		if (device_has_mappings(&devices->list[i]))
			r = fail(
			    STATUS_PLUGIN,
			    "device %s (plugin %s) has guest memory mapped while it is paused: "
			    "the plugin is at fault",
			    devices->list[i].config->name, devices->list[i].plugin.descriptor.name);
	return r;
}

int
devices_resume(void *context)
{
	struct devices *devices = context;

	for (size_t i = 0; i < devices->count; i++) {
		struct device *d = &devices->list[i];

		if (d->started)
			atomic_store(&d->host.phase, SERVICE_RUN);
		if (!d->paused)
			continue;
		d->paused = false;
		if (d->plugin.descriptor.resume &&
		    DEVICE_CALL(d, CALLBACK_RESUME, d->plugin.descriptor.resume(&d->host.public)) <
			0)
			device_failed(d, "resume", STATUS_IO);
	}
	if (devices->pci)
		devices->pci->resume(devices->pci->context);
	return 0;
}

static bool
awaits_input(struct devices *devices)
{
	for (size_t i = 0; i < devices->count; i++)
		for (uint32_t s = 0; s < devices->list[i].streams_ready; s++)
			if (stream_awaits_input(&devices->list[i].streams[s].stream))
				return true;
	return false;
}

/* Runs the loop, without vCPUs, until each stream with wait_INPUT has input. */
static int
wait_for_input(struct devices *devices)
{
	struct machine *machine = devices->machine;
	int r = 0;

	if (!awaits_input(devices))
		return 0;
	loop_quiet(&machine->loop, false);
	while (!r && awaits_input(devices) && !machine->end.cause)
		r = loop_once(&machine->loop, -1);
	loop_quiet(&machine->loop, true);
	return r;
}

/* Whether the start goes on: a signal, Ctrl-A x or a device can end the machine meanwhile. ended:
 * it was restored with its end, and delivers the output that it was saved with. */
static bool
goes_on(const struct devices *devices, int r, bool ended)
{
	return !r && (ended || !machine_ended(devices->machine));
}

/* Calls start of a plugin. */
static int
start_device(struct device *d, const struct minivmm_start *start)
{
	int r = 0;

	if (start->reason == MINIVMM_RESET)
		device_connect_end(d, false);
	d->started = true;
	d->paused = false; /* start replaces resume */
	atomic_store(&d->host.phase, SERVICE_START);
	if (d->plugin.descriptor.start &&
	    DEVICE_CALL(d, CALLBACK_START, d->plugin.descriptor.start(&d->host.public, start)) < 0)
		r = device_failed(d, "start", STATUS_IO);
	atomic_store(&d->host.phase, SERVICE_RUN);
	for (uint32_t s = 0; s < d->streams_ready; s++)
		stream_start(&d->streams[s].stream);
	device_connect_start(d);
	return r;
}

int
devices_start(struct devices *devices, enum minivmm_start_reason reason)
{
	struct minivmm_start start = { .reason = reason,
				       .size = sizeof(start),
				       .branch = reason == MINIVMM_RESTORED &&
						 devices->flags & DEVICES_BRANCHED };
	bool first = reason != MINIVMM_RESET, ended = !first || machine_ended(devices->machine);
	int r = 0;

	memcpy(start.generation, devices->generation, sizeof(start.generation));
	devices->first_start = first;
	devices->streams.made = machine_made_outputs(devices->machine);
	/* A reset keeps the streams open. */
	for (size_t i = 0; first && i < devices->count; i++)
		for (uint32_t s = 0;
		     s < devices->list[i].streams_ready && goes_on(devices, r, ended); s++)
			r = stream_open(&devices->list[i].streams[s].stream,
					reason != MINIVMM_FRESH);
	if (!r && reason == MINIVMM_FRESH)
		r = wait_for_input(devices);
	for (size_t i = 0; i < devices->count && goes_on(devices, r, ended); i++)
		r = start_device(&devices->list[i], &start);
	return r;
}

void
devices_flush(struct devices *devices)
{
	for (size_t i = 0; i < devices->count; i++)
		for (uint32_t s = 0; s < devices->list[i].streams_ready; s++)
			stream_flush(&devices->list[i].streams[s].stream);
}

int
devices_stop(struct devices *devices, const volatile bool *interrupted)
{
	int r = 0;

	/* From here on Ctrl-C ends the wait for a slow reader. */
	stream_terminal_restore(&devices->streams);
	/* Output of the guest precedes messages of stop. */
	devices_flush(devices);
	for (size_t i = 0; i < devices->count; i++) {
		struct device *d = &devices->list[i];

		device_connect_end(d, true);
		if (d->started)
			atomic_store(&d->host.phase, SERVICE_STOP);
		if (d->started && d->plugin.descriptor.stop &&
		    DEVICE_CALL(d, CALLBACK_STOP, d->plugin.descriptor.stop(&d->host.public)) < 0)
			device_failed(d, "stop", STATUS_IO);
		d->started = false;
		atomic_store(&d->host.phase, SERVICE_DESTROY);
	}
	for (size_t i = 0; i < devices->count; i++)
		for (uint32_t s = 0; s < devices->list[i].streams_ready; s++) {
			stream_close(&devices->list[i].streams[s].stream, interrupted);
			if (devices->list[i].streams[s].stream.failed)
				r = -STATUS_IO;
		}
	return r;
}
