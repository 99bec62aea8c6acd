/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices: instances of plugins, from the config to the bus, and their state. */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include "base/log.h"
#include "base/why.h"
#include "config/config.h"
#include "machine/machine.h"
#include "plugin/plugin.h"
#include "stream/stream.h"

/* A row of one of the plugin's tables at work. */
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

struct device_ioeventfd {
	struct ioeventfd ioeventfd;
	struct device *device;
	uint32_t watch;
	struct device_ioeventfd *next;
};

struct device_post {
	struct loop_deferred deferred;
	struct device *device;
	uint32_t index;
};

struct device_stream {
	struct stream stream;
	struct device *device;
	uint32_t index;
};

struct device {
	struct minivmm_device public; /* first: what the plugin holds is this */
	struct minivmm_services services;
	struct devices *all;
	struct plugin plugin;
	struct config_device *config;
	struct bus_gate *gate; /* its lock is held in every callback, unless concurrent */
	struct device_timer *timers;
	struct device_watch *watches;
	struct device_ioeventfd *ioeventfds; /* list, owned */
	struct device_post *posts;
	struct device_stream *streams;
	uint32_t streams_ready; /* how many are initialised */
	char **strings;         /* option values that the plugin borrows */
	size_t string_count;
	uint64_t random[4];                        /* state of the device's generator */
	atomic_uint_least64_t log_seconds;         /* rate limit: second << 32 | lines in it */
	atomic_uint maps;                          /* of guest memory, not yet unmapped */
	atomic_bool said;                          /* an error, since device_enter() */
	bool configured, started, paused, pending; /* pending: pause is under way */
};

struct devices {
	struct machine *machine;
	struct config *config;
	pthread_t thread; /* the main thread, which is the I/O thread */
	struct plugin_path path;
	struct stream_hub streams;
	struct device *list;    /* count of them; addresses are fixed */
	struct bus_gate *gates; /* one for each, side by side */
	size_t count;
	uint8_t generation[16];
	unsigned flags; /* as given to devices_create */
	struct {        /* descriptors, ours, of what a snapshot needs on the disk */
		int *fds;
		size_t count;
	} captured;
};

#define DEVICES_RESTORED 0x1u /* the config is a snapshot's */
#define DEVICES_TRUSTED 0x2u  /* host files that it names may be used */
#define DEVICES_DETACHED 0x4u /* streams are connected to nothing, whatever the config says */

/*
 * Loads the plugins that config names and makes, checks and places their devices; every mistake is
 * said, not only the first. flags: DEVICES_... Returns 0 or a negative status; destroy in any case.
 */
int devices_create(struct devices *devices, struct machine *machine, struct config *config,
		   unsigned flags);
void devices_destroy(struct devices *devices);

/* The machine is about to run; waits for streams that want input first. 0 or a negative status. */
int devices_start(struct devices *devices, enum minivmm_start_reason reason);
/* Delivers what the readers of all streams take without being waited for. */
void devices_flush(struct devices *devices);
/* The machine will not run again. Waits for slow readers of streams until *interrupted. 0, or
 * STATUS_IO negative. */
int devices_stop(struct devices *devices, const volatile bool *interrupted);

/* One of the count devices, in the order of the config. */
static inline struct device *
devices_at(const struct devices *devices, size_t index)
{
	return &devices->list[index];
}
/* A host file that a device uses. */
enum device_file {
	DEVICE_FILE_READ,
	DEVICE_FILE_WRITTEN,
	DEVICE_FILE_LIST, /* several that it reads, with ':' between them */
};
/* Calls found for each host file of a device: its plugin, its streams' files, options that name
 * files. The path may be NULL. */
void device_each_file(const struct device *device,
		      void (*found)(void *context, const char *path, enum device_file kind),
		      void *context);
/* Can the device put out anything? One whose plugin could not be loaded may. */
bool device_has_output(const struct device *device);
/* Copies the output of all of the device's streams to record. Before the device starts. */
void device_set_record(struct device *device, struct stream_record *record);
struct device *devices_find(struct devices *devices, const char *name);

/*
 * A snapshot is taken of the paused machine: files of the host that it names stay as they are.
 * Before the config and the devices are saved. 0 or a negative status.
 */
int devices_capture(struct devices *devices);
/* Brings to the disk what the last capture wants there; any one thread. 0 or a negative status. */
int devices_capture_sync(const struct devices *devices);
/* Forgets it. */
void devices_capture_end(struct devices *devices);

/*
 * One device's state in the open group: name, plugin, version, state, timers, streams, random.
 * Machine paused. save: 0 or a negative status; load: 0, or -1 with the reason in why.
 */
int device_save(struct device *device, struct record_writer *writer);
int device_load(struct device *device, const struct record *group, struct why *why);
/*
 * Is the state in group this device's, and can its plugin load it: does it have the same name, and
 * a state version of the same plugin that this one reads? 0, or -1 with the reason in why.
 */
int device_check(const struct device *device, const struct record *group, struct why *why);
/*
 * The generation id, an item of the open group. check: is it in group? 0, or -1 with the reason in
 * why. load: of a group that has passed the check.
 */
void devices_save_generation(const struct devices *devices, struct record_writer *writer);
int devices_check_generation(const struct record *group, struct why *why);
void devices_load_generation(struct devices *devices, const struct record *group);

/* What the files of this module share. */

/* Calls run with the device's lock held and the crash report's context set; counts and returns -1
 * on failure. */
#define DEVICE_CALL(device, what, expression)                                                      \
	({                                                                                         \
		int device_call_result;                                                            \
		device_enter(device, what);                                                        \
		device_call_result = (expression);                                                 \
		device_leave(device, device_call_result);                                          \
	})
void device_enter(struct device *device, const char *what);
int device_leave(struct device *device, int result);
/* "start failed", and that it gave no reason if no error was said in it; in a buffer of the
 * caller's. */
const char *device_failure(const struct device *device, const char *callback, char *buffer,
			   size_t size);
/* Says a failure that gave no reason. Returns the negative status. */
int device_failed(const struct device *device, const char *callback, enum status status);
/* Says a mistake of the plugin's with the device's name; what a guest can trigger is
 * rate-limited. */
__attribute__((format(printf, 2, 3))) void device_say(struct device *device, const char *format,
						      ...);

/*
 * The page of guest memory that the device's ACPI tells of, among those that are reserved there; 0:
 * it has none, or the guest has no ACPI.
 */
uint64_t device_page(const struct device *device);

/* The name of the device's plugin; NULL: it could not be loaded. */
static inline const char *
device_plugin(const struct device *device)
{
	return device->plugin.descriptor.name;
}

/* Row index of the device's acpi, or NULL: there are no more. */
const struct minivmm_acpi *device_acpi(const struct device *device, uint32_t index);
/* The device's next range in a space of the bus, the first after NULL; NULL: there are no more. */
const struct bus_range *device_range(const struct device *device, uint32_t space,
				     const struct bus_range *after);
/* The name of the option of type irq with that index; NULL: there are no more. */
const char *device_irq_option(const struct device *device, uint32_t index);
/* The interrupt that an option of type irq connects the device to; NULL: none. */
const struct irq_source *device_irq(const struct device *device, const char *option);

void device_services_init(struct device *device);
void device_capture_services_init(struct minivmm_services *services);
const struct plugin_option *device_option(const struct device *device, const char *name);
/* Fills the members of the state that are options, connects streams, places ranges. Says every
 * mistake. */
int device_options(struct device *device);

#endif
