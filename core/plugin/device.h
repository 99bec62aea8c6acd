/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices: instances of plugins, from the config to the bus, and their state. */
#ifndef PLUGIN_DEVICE_H
#define PLUGIN_DEVICE_H

#include <pthread.h>

#include "machine/machine.h"
#include "plugin/plugin.h"
#include "plugin/stream.h"

struct device_timer {
	struct loop_timer timer;
	struct device *device;
	uint32_t index;
};

struct device_watch {
	struct loop_source source;
	struct device *device;
	uint32_t index;
};

struct device_post {
	struct loop_deferred deferred;
	struct device *device;
	uint32_t index;
};

struct device {
	struct minivmm_device public; /* first: what the plugin holds is this */
	struct minivmm_services services;
	struct devices *all;
	struct plugin plugin;
	struct config_device *config;
	pthread_mutex_t lock; /* held in every callback, unless the plugin is concurrent */
	struct device_timer *timers;
	struct device_watch *watches;
	struct device_post *posts;
	struct stream *streams;
	char **strings; /* option values that the plugin borrows */
	size_t string_count;
	uint64_t random[4]; /* state of the device's generator */
	atomic_uint_least64_t failures;
	uint64_t logged; /* messages in the current second, for the rate limit */
	uint64_t logged_second;
	bool started, paused, pause_pending;
};

struct devices {
	struct machine *machine;
	struct config *config;
	struct plugin_path path;
	struct stream_hub streams;
	struct device *list; /* count of them, address fixed once made */
	size_t count;
	uint8_t generation[16];
	bool trusted; /* host files and plugin paths of the config may be used */
};

/*
 * Loads the plugins that config names and makes, checks and places their devices: all mistakes are
 * said, not only the first. Returns 0 or a negative status; devices_destroy in any case. restored:
 * the config is from a snapshot.
 */
int devices_create(struct devices *devices, struct machine *machine, struct config *config,
		   bool restored, bool trusted);
int devices_start(struct devices *devices, enum minivmm_start_reason reason);
int devices_pause(struct devices *devices);
int devices_resume(struct devices *devices);
/* Stops and frees; drains what the streams still hold. */
void devices_stop(struct devices *devices);
void devices_destroy(struct devices *devices);

/* One device's state as a group: name, plugin, version, state, timers, streams, random. Machine
 * paused. */
int device_save(struct device *device, struct record_writer *writer);
int device_load(struct device *device, const struct record *group, char *why, size_t why_size);
struct device *devices_find(struct devices *devices, const char *name);

/* What device.c, options.c, services.c and state.c share. */
void device_services_init(struct device *device);
/* Fills the options of the device's state, places its ranges. Says every mistake. 0 or a negative
 * status. */
int device_options(struct device *device);
/* The value text of an option, given or initial; NULL: neither. */
const char *device_option_text(struct device *device, const char *name, const char *initial,
			       struct config_place *place);
/* Seeds the generator. */
void device_random_seed(struct device *device);

#endif
