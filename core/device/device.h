/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices: instances of plugins. Creates them from the config, runs them, saves and loads them. */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include "base/lock.h"
#include "base/log.h"
#include "base/why.h"
#include "config/config.h"
#include "machine/machine.h"
#include "machine/service.h"
#include "plugin/plugin.h"
#include "stream/stream.h"

/* The device's object for a row of one of the plugin's tables. index: of the row. */
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
	uint32_t watch, range; /* indices of the rows */
	uint64_t offset;       /* in the range */
	struct device_ioeventfd *next;
};

struct device_post {
	struct loop_deferred deferred;
	struct device *device;
	uint32_t index;
};

struct device_socket { /* a unix socket on which the device listens */
	struct socket_file file;
	struct device_socket *next;
};

struct device_stream {
	struct stream stream;
	struct device *device;
	uint32_t index;
};

/* Guest memory that a plugin has mapped. */
struct device_mapping {
	uint64_t gpa;
	size_t length;
};

/* A capture that the device has deferred. Only the main thread writes the members other than ended
 * and error. */
struct device_capture {
	uint64_t id;    /* 0: none */
	uint64_t until; /* clock_host() */
	bool ended;
	char *error;   /* with ended: its reason; NULL: none */
	uint64_t lost; /* the last id that was cancelled; 0: none */
};

struct device_caller; /* see device_connect.h */
struct device_callers {
	struct device_caller *first; /* linked list, oldest first */
	uint64_t last;               /* ids are never used again */
	struct lock lock;            /* guards the list, and the answers in it */
	struct loop_deferred deferred;
};

struct device {
	struct service_host host; /* first: the plugin's pointer is cast to the device */
	struct devices *all;
	struct plugin plugin;
	struct config_device *config;
	struct device_timer *timers;
	struct device_watch *watches;
	struct device_ioeventfd *ioeventfds; /* linked list */
	struct device_post *posts;
	struct device_socket *sockets; /* linked list */
	struct device_stream *streams;
	uint32_t streams_ready; /* number of initialised streams */
	char **strings;         /* values of text options; the plugin borrows them */
	size_t string_count;
	uint64_t random[4];       /* state of the random generator */
	size_t state_size;        /* bytes that the last save or load had; 0: none */
	uint32_t irq_first, irqs; /* handles of its interrupts: irqs, from irq_first on */
	const char *slot;         /* of a PCI device, borrowed from the config; NULL: none */
	uint32_t slot_index, slot_function; /* of that text; index 0: the first free slot */
	atomic_bool masters; /* its services for memory work: no PCI device, or one that
				the guest has made a bus master */
	atomic_uint_least64_t unmastered; /* calls of these services that have failed */
	struct lock mapping_lock;         /* guards the three members below */
	struct device_mapping *mappings;  /* in no order */
	size_t mapping_count, mapping_room;
	struct minivmm_writer *writer; /* in save */
	struct minivmm_reader *reader; /* in load */
	bool configured, started, paused;
	atomic_bool pending; /* pause has not finished */
	struct device_capture capture;
	struct device_callers callers;
	char branch_obstacle[256]; /* why the machine cannot be branched; "": it can */
};

/* What the owner of the PCI functions does for the services of their devices. Any thread. */
struct device_pci {
	/* An interrupt whose handle has DEVICE_PCI_IRQ. Returns 0, or -1 with the reason in why:
	 * the device has none with that handle, or it has no level. */
	int (*irq)(void *context, struct device *device, uint32_t handle,
		   enum minivmm_irq_operation operation, struct why *why);
	/* The machine resumes: messages that were sent in the pause can be delivered. Main thread.
	 */
	void (*resume)(void *context);
	void *context;
};
#define DEVICE_PCI_IRQ                                                                             \
	0x80000000u /* in handles of struct minivmm_irq, above the function's number               \
		       and the vector's */

struct devices {
	struct machine *machine;
	struct config *config;
	pthread_t thread; /* the main thread, which is the I/O thread */
	struct plugin_path path;
	struct stream_hub streams;
	struct device *list;    /* count devices, in the order of the config; they never move */
	struct bus_gate *gates; /* one per device, in one block for the cache */
	struct service_table services;
	size_t count;
	uint8_t generation[16];                  /* the generation id: see struct minivmm_start */
	unsigned flags;                          /* DEVICES_... */
	const struct device_pci *pci;            /* NULL: no device is in a slot */
	const struct minivmm_machine *functions; /* of a tool; NULL: these are devices */
	struct log_held held;    /* lines of the devices that capture, until the stop has ended */
	unsigned config_changes; /* by devices, since the start */
	bool first_start;        /* the latest start was that of the machine, not a reset */
	struct {                 /* host files that must be on the disk for a snapshot */
		int *fds;        /* duplicates of the plugins' descriptors */
		size_t count;
	} captured;
	struct {         /* host files for the machines of a branch */
		bool on; /* the capture is for a branch */
		int *fds;
		size_t count;
	} branched;
	struct lock capture_lock; /* guards the members capture of all devices */
	uint64_t last_capture;    /* ids are never used again */
};

#define DEVICES_RESTORED 0x1u /* the config comes from a snapshot */
#define DEVICES_TRUSTED 0x2u  /* the host files named in that snapshot can be used */
#define DEVICES_BRANCHED                                                                           \
	0x8u                  /* it comes from the process that has forked this one: set by        \
			       * devices_create */
#define DEVICES_HELD 0x10u    /* they do not work: streams to the host are not connected */
#define DEVICES_TOOL 0x20u    /* set by tool_create */
#define DEVICES_DETACHED 0x4u /* all streams are "none", independent of the config */

/*
 * Checks the saved state of device index, whose options are set and which is configured. Returns 0
 * or a negative status, logged: then no further device is created.
 */
typedef int devices_check(void *context, size_t index);
/*
 * Loads the plugins named in config; creates, configures and places their devices. Logs all errors,
 * not only the first; for a snapshot, those of a few devices. flags: DEVICES_... check, or NULL:
 * called for each device before its state is touched and before the next device is created, so that
 * devices without their state in the file do not add up. inherited: the same devices in the process
 * that has forked this one, whose plugins are loaded already; NULL: none. The calling thread
 * becomes the I/O thread. Returns 0 or a negative status; call devices_destroy() in both cases.
 */
int devices_create(struct devices *devices, struct machine *machine, struct config *config,
		   unsigned flags, const struct devices *inherited, devices_check *check,
		   void *context);
void devices_destroy(struct devices *devices);

/* Call before the machine runs: opens the streams, waits for input where wait_INPUT is set, and
 * calls start of the plugins, unless the machine ends meanwhile. I/O thread. Returns 0 or a
 * negative status, logged. */
int devices_start(struct devices *devices, enum minivmm_start_reason reason);
/* Pause and resume of struct machine_devices; context is the struct devices. Return 0 or a negative
 * status, logged. */
int devices_pause(void *context);
int devices_resume(void *context);
/* Delivers output of all streams until their readers have no room. Does not wait. */
void devices_flush(struct devices *devices);
/* Call after the machine has run: calls stop of the plugins and closes the streams. Waits for slow
 * readers until *interrupted. Returns 0, or -STATUS_IO if output was lost. */
int devices_stop(struct devices *devices, const volatile bool *interrupted);

/* Device index of count, in the order of the config. */
static inline struct device *
devices_at(const struct devices *devices, size_t index)
{
	return &devices->list[index];
}
/* How a device uses a host file. */
enum device_file {
	DEVICE_FILE_READ,
	DEVICE_FILE_WRITTEN,
	DEVICE_FILE_LIST, /* reads several files; the path is a list of paths with ':' */
};
/* Calls found for each host file of a device: its plugin, files of its streams, options that name
 * files. path can be NULL; the device owns it. */
void device_each_file(const struct device *device,
		      void (*found)(void *context, const char *path, enum device_file kind),
		      void *context);
/* Whether the plugin's threads run during a pause (MINIVMM_UNPARKED). */
bool device_runs_in_pause(const struct device *device);
/* True if the device has a stream with output, or if its plugin could not be loaded. */
bool device_has_output(const struct device *device);
/* Copies the output of all streams of the device to record. Call before the device starts. */
void device_set_record(struct device *device, struct stream_record *record);
/* The first device whose plugin has code at this address, or NULL. For a signal handler. *only: no
 * other device has the plugin. */
const struct device *devices_with_code(const struct devices *devices, uintptr_t address,
				       bool *only);
/* The device with that name, or NULL. */
struct device *devices_find(struct devices *devices, const char *name);

/*
 * Calls capture of the plugins, which freezes the host files that a snapshot of the paused machine
 * names. Call it before the config and the devices are saved. Runs the loop (loop_once_nested)
 * until all deferred captures have ended, check has returned a negative status, logged, or a
 * device's time is up. Returns 0 or a negative status, logged. Main thread.
 */
int devices_capture(struct devices *devices, int (*check)(void *context), void *context);
/* The same for a branch. Stores the descriptors that the new machines need in start. They belong to
 * devices, until devices_capture_end. */
int devices_capture_branch(struct devices *devices, int (*check)(void *context), void *context,
			   const int **fds, size_t *count);
/* Why the machine cannot be branched, as the plugin has said; NULL: it can. Main thread. */
const char *device_branch_obstacle(const struct device *device);
/* How often devices have changed options. Main thread. */
unsigned devices_config_changes(const struct devices *devices);
/* Syncs the files of the last capture to the disk. Any thread, but one at a time. Returns 0 or a
 * negative status, logged. */
int devices_capture_sync(const struct devices *devices);
/* Closes the files of the last capture. */
void devices_capture_end(struct devices *devices);

/*
 * Save and load a device in the open group: name, plugin, version, state, timers, streams, random.
 * The machine is paused. Save returns 0 or a negative status, logged; load returns 0, or -1 with
 * the reason in why.
 */
int device_save(struct device *device, struct record_writer *writer);
/* At least as many bytes as device_save appends. A plugin that has save does not say how much it
 * will write: then they are a part more than it had last, and at first the size of its struct. The
 * machine may run. Main thread. */
size_t device_state_size(const struct device *device);
int device_load(struct device *device, const struct record *group, struct why *why);
/*
 * Check what device_load() loads; both return 0, or -1 with the reason in why. device_valid: the
 * group by itself, and that it is that of device index of the config; no device exists yet.
 * device_check, for a group that is valid: the plugin's name, a state version that it supports, its
 * fields, timers and streams. The plugin's own load checks the rest.
 */
int device_valid(const struct config *config, size_t index, const struct record *group,
		 struct why *why);
int device_check(const struct device *device, const struct record *group, struct why *why);
/*
 * Save, check and load the generation id, an item of the open group. Check returns 0, or -1 with
 * the reason in why. Load only a group that has passed the check.
 */
void devices_save_generation(const struct devices *devices, struct record_writer *writer);
int devices_check_generation(const struct record *group, struct why *why);
void devices_load_generation(struct devices *devices, const struct record *group);

/* Shared by the files of this module. */

/* The part of devices_create that devices and a tool have in common: devices without plugins. */
int devices_init(struct devices *devices, struct machine *machine, struct config *config,
		 unsigned flags);
/* Creates and configures a device whose plugin is loaded. check: see devices_create; sets *refused.
 * Returns 0 or a negative status, logged. */
int device_create(struct device *device, size_t index, devices_check *check, void *context,
		  bool *refused);

/* Evaluates expression, a call of a callback (enum service_callback), with the device's lock held
 * and the context for services and the crash report set. Counts failures. Returns the result: 0,
 * -1, or MINIVMM_PENDING where it is allowed; another one is rejected and becomes -1. */
#define DEVICE_CALL(device, callback, expression)                                                  \
	DEVICE_CALL_AS(device, callback, service_callers[callback].name, expression)
/* The same for work of the host on the plugin's memory, with a name for the crash report. */
#define DEVICE_CALL_AS(device, callback, name, expression)                                         \
	({                                                                                         \
		int device_call_result;                                                            \
		device_enter(device, callback, name);                                              \
		device_call_result = (expression);                                                 \
		device_leave(device, callback, device_call_result);                                \
	})
void device_enter(struct device *device, enum service_callback callback, const char *name);
/*
 * For callbacks of the I/O thread while the machine runs, when a range handler on a vCPU's thread
 * may hold the device's lock for seconds: DEVICE_TRY is false if it does, and the caller arranges
 * that it is called again. So no device keeps the I/O thread from the others and from the control
 * socket. Like DEVICE_CALL_AS otherwise; the result is not used.
 */
#define DEVICE_TRY(device, callback, name, expression)                                             \
	(device_try_enter(device, callback, name) &&                                               \
	 (device_leave(device, callback, (expression)), true))
bool device_try_enter(struct device *device, enum service_callback callback, const char *name);
int device_leave(struct device *device, enum service_callback callback, int result);
/* Writes "start failed" to buffer, with " without an error message" if the callback has logged
 * none. Returns buffer. */
const char *device_failure(const struct device *device, const char *callback, char *buffer,
			   size_t size);
/* Logs the failure of a callback that has logged no error. Returns the negative status. */
int device_failed(const struct device *device, const char *callback, enum status status);
/*
 * Guest physical address of the page that a row of the device's acpi requests. 0: no row does, or
 * the reserved pages do not suffice.
 */
uint64_t device_page(const struct device *device);

/* What it is, for messages. */
static inline const char *
device_kind(const struct device *device)
{
	return device->all->flags & DEVICES_TOOL ? "tool" : "device";
}

static inline const char *
device_name(const struct device *device)
{
	return device->host.public.name;
}

/* The device's counters; its lock is held in each callback, unless concurrent. */
static inline const struct bus_gate *
device_gate(const struct device *device)
{
	return device->host.gate;
}

/* The name of the plugin; NULL: it could not be loaded. */
static inline const char *
device_plugin(const struct device *device)
{
	return device->plugin.descriptor.name;
}

/* Row index of the device's acpi; NULL past the last. */
const struct minivmm_acpi *device_acpi(const struct device *device, uint32_t index);
/* The device's range after another one, in a space of the bus; after NULL: the first. NULL past the
 * last. */
const struct bus_range *device_range(const struct device *device, uint32_t space,
				     const struct bus_range *after);
/* The name of option index of type irq; NULL past the last. */
const char *device_irq_option(const struct device *device, uint32_t index);
/* The interrupt that an option of type irq selects; NULL: none. */
const struct irq_source *device_irq(const struct device *device, const char *option);

/* The slot that the device's option names, "next", "3" or "3.1"; NULL: it is in none. */
static inline const char *
device_slot(const struct device *device)
{
	return device->slot;
}
/* The number of that slot; 0: the first free one. *function: of the device's first function. */
static inline uint32_t
device_slot_index(const struct device *device, uint32_t *function)
{
	*function = device->slot_function;
	return device->slot_index;
}
/* The rows of the device's PCI functions; *count: their number. */
static inline const struct minivmm_pci *
device_functions(const struct device *device, uint32_t *count)
{
	*count = device->plugin.pci_count;
	return device->plugin.descriptor.pci;
}
/* Sets the owner of the PCI functions, which stays the caller's. Main thread, before a start. */
void devices_set_pci(struct devices *devices, const struct device_pci *pci);
/* The range on the bus with this row; NULL: none. After the bus was sealed. */
struct bus_range *device_bar_range(const struct device *device, uint32_t row);
/* The length of the range with this row, in bytes. */
uint64_t device_range_length(const struct device *device, uint32_t row);
/* The guest has moved the BAR of a range: its ioeventfds follow. The MSI-X table, whose range is
 * not the device's, has none. A vCPU's thread, or the main thread while the vCPUs are stopped;
 * calls for one range are serialised by the caller. */
void device_range_moved(struct device *device, const struct bus_range *range);
/* Stores a handle in the device's state, at an offset that the plugin's table names. Main thread.
 */
void device_set_irq(struct device *device, uint32_t offset, uint32_t handle);
/* Calls the row's reset. A vCPU's thread. */
void device_reset_function(struct device *device, const struct minivmm_pci *row);
/* Call read and written of a capability's row. A vCPU's thread. */
void device_capability_read(struct device *device, const struct minivmm_capability *row,
			    const uint8_t *bytes, uint32_t offset, uint32_t width, uint32_t *value);
void device_capability_written(struct device *device, const struct minivmm_capability *row,
			       const uint8_t *bytes, uint32_t offset, uint32_t width);
/* How often its services for memory have failed because it was no bus master. Any thread. */
static inline uint64_t
device_unmastered(const struct device *device)
{
	return atomic_load(&device->unmastered);
}
/* Whether the device is a bus master now. Any thread. */
void device_set_master(struct device *device, bool masters);

/* The services of this module, one set per file, and the table of all. */
extern const struct service_set device_services, device_memory_services, device_state_services,
    device_capture_services, device_file_services, device_connect_services;
void device_services_compose(struct service_table *table);
/* Tells the plugins that the level of the log has changed. Main thread. */
void devices_log_level(struct devices *devices);
/* Removes the files of the device's sockets. */
void device_sockets_free(struct device *device);
/* Whether the plugin has guest memory mapped. Any thread. */
bool device_has_mappings(struct device *device);
/* The device of a plugin's pointer. */
static inline struct device *
device_from(struct minivmm_device *public)
{
	return (struct device *)public;
}
/* The option with that name, or NULL. */
const struct plugin_option *device_option(const struct device *device, const char *name);
/* Fills in the members of options, initialises streams, and places ranges on the bus. Logs all
 * errors. Returns 0 or a negative status. */
int device_options(struct device *device);

#endif
