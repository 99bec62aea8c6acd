/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Services: the functions of struct minivmm_services. Each has a row that states in which phases of
 * the device and on which threads a plugin may call it. Each rank that offers services has a set of
 * rows and functions; service_compose() makes one table of all sets. A function begins with
 * service_enter(), which refuses every other call: the call is counted, reported with the names of
 * device, plugin and service, and has no effect.
 */
#ifndef MACHINE_SERVICE_H
#define MACHINE_SERVICE_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/bus.h"
#include "machine/deferral.h"
#include "minivmm/plugin.h"

/* Phases of a device. In a callback: that of the callback; on a thread of the plugin: that of the
 * device. */
#define SERVICE_CONFIGURE 0x1u
#define SERVICE_LOAD 0x2u /* load, loaded */
#define SERVICE_START 0x4u
#define SERVICE_RUN 0x8u /* range handlers, timers, streams, watches, posts */
#define SERVICE_PAUSE 0x10u
#define SERVICE_PAUSED 0x20u /* only of threads of the plugin */
#define SERVICE_RESUME 0x40u
#define SERVICE_CAPTURE 0x80u
#define SERVICE_SAVE 0x100u
#define SERVICE_STOP 0x200u
#define SERVICE_DESTROY 0x400u
#define SERVICE_START_TO_STOP                                                                      \
	(SERVICE_START | SERVICE_RUN | SERVICE_PAUSE | SERVICE_PAUSED | SERVICE_RESUME |           \
	 SERVICE_STOP)
#define SERVICE_ALWAYS 0x7ffu

/* The thread of a call. */
#define SERVICE_IO 0x1u    /* in a callback on the I/O thread */
#define SERVICE_VCPU 0x2u  /* in a callback on a vCPU's thread */
#define SERVICE_OWN 0x4u   /* in no callback: a thread of the plugin */
#define SERVICE_OTHER 0x8u /* in a callback of another device */
#define SERVICE_CALLBACKS (SERVICE_IO | SERVICE_VCPU)
#define SERVICE_ANY_THREAD (SERVICE_CALLBACKS | SERVICE_OWN)

/* The callbacks of a plugin. */
enum service_callback {
	CALLBACK_CONFIGURE,
	CALLBACK_LOAD,
	CALLBACK_LOADED,
	CALLBACK_START,
	CALLBACK_READ, /* of a range; so is the next */
	CALLBACK_WRITE,
	CALLBACK_RESET, /* of a PCI function */
	CALLBACK_CAPABILITY_READ,
	CALLBACK_WRITTEN, /* of a capability */
	CALLBACK_FIRE,
	CALLBACK_READY,
	CALLBACK_RUN,
	CALLBACK_READABLE,
	CALLBACK_WRITABLE,
	CALLBACK_CONNECTED,
	CALLBACK_CONNECT,
	CALLBACK_EVENT, /* of a tool */
	CALLBACK_PAUSE,
	CALLBACK_CAPTURE,
	CALLBACK_SAVE,
	CALLBACK_RESUME,
	CALLBACK_STOP,
	CALLBACK_DESTROY,
	CALLBACKS
};

/* When and on which thread the host calls one. */
struct service_caller {
	const char *name;
	const char *of; /* the table whose rows have it; NULL: the descriptor */
	uint32_t phase, thread;
	bool pending; /* it may return MINIVMM_PENDING */
};
extern const struct service_caller service_callers[CALLBACKS];

struct service {
	const char *name; /* "timer_set"; "put_*" for several inline functions */
	uint32_t phases, threads;
};

/* The number of services, and the index of one. */
#define SERVICE_COUNT                                                                              \
	((sizeof(struct minivmm_services) - offsetof(struct minivmm_services, log)) /              \
	 sizeof(void (*)(void)))
#define SERVICE(member)                                                                            \
	((offsetof(struct minivmm_services, member) - offsetof(struct minivmm_services, log)) /    \
	 sizeof(void (*)(void)))

/* The services of one rank; those of the others are zero. */
struct service_set {
	struct minivmm_services functions;
	struct service rows[SERVICE_COUNT];
};
/* Initialises one service of a set. */
#define SERVICE_ROW(member, function, text, phase_mask, thread_mask)                               \
	.functions.member = (function),                                                            \
	.rows[SERVICE(member)] = { (text), (phase_mask), (thread_mask) }

/* Entries past the last service. A plugin that was built for a newer minivmm calls one of them if
 * it does not check the table's size. */
#define SERVICE_SPARE 64

struct service_table {
	struct minivmm_services functions; /* what plugins see */
	int (*spare[SERVICE_SPARE])(void *first);
	struct service rows[SERVICE_COUNT];
};

/* The tables of a plugin with an object for each row. */
enum service_objects {
	SERVICE_TIMER,
	SERVICE_STREAM,
	SERVICE_WATCH,
	SERVICE_POST,
	SERVICE_RANGE,
	SERVICE_OBJECTS
};

/* The objects of a table: count, each of size bytes, the first at first. */
struct service_rows {
	void *first;
	size_t size;
	uint32_t count;
};

/* The part of a device that services need. The owner embeds it at its start. */
struct service_host {
	struct minivmm_device public; /* first: the plugin's pointer is this one */
	const struct service_table *table;
	struct bus_gate *gate;
	struct deferrals *deferrals; /* of the machine */
	const char *plugin;          /* name, for messages */
	struct service_rows rows[SERVICE_OBJECTS];
	atomic_uint phase;                 /* of the device: SERVICE_... */
	atomic_bool reported;              /* an error was logged since the callback began */
	atomic_uint_least64_t log_seconds; /* rate limit: second << 32 | lines in it */
};

/* Makes the table of all sets; each service is in one of them. */
void service_compose(struct service_table *table, const struct service_set *const *sets,
		     size_t count);

/* The part of service_enter() that refuses. Returns false. */
bool service_refuse_call(struct minivmm_device *dev, const struct service *row);
/* Refuses a call for its arguments: counts and reports it. Any thread. */
__attribute__((format(printf, 3, 4))) void service_refuse(struct minivmm_device *dev,
							  size_t service, const char *format, ...);
/* The same for a function with a row that is in no table. */
__attribute__((format(printf, 3, 4))) void service_refuse_row(struct minivmm_device *dev,
							      const struct service *row,
							      const char *format, ...);
/* The object of a row; NULL: the table has no such row, and the call was refused. Any thread. */
void *service_object(struct minivmm_device *dev, size_t service, enum service_objects table,
		     uint32_t row);
/* Rejects a result that a callback may not return: counts and reports it. Any thread. */
void service_refuse_result(struct minivmm_device *dev, const char *callback, int result);
/* Logs a line with the device's name. The number of lines per second is limited after start, since
 * a guest can trigger them. Any thread. */
void service_log(struct service_host *host, uint32_t level, const char *text);
__attribute__((format(printf, 2, 3))) void service_error(struct service_host *host,
							 const char *format, ...);

/* The text of a row: "from start to stop", "on any thread". Those of a callback's phase and thread
 * are the same, of a row with only these. */
const char *service_phases(const struct service *row);
const char *service_threads(const struct service *row);

/* Where this thread is now: the phase; stores the thread. */
static inline uint32_t
service_here(const struct service_host *host, uint32_t *thread)
{
	const struct bus_current *current = &bus_current;

	if (!current->callback) {
		*thread = SERVICE_OWN;
		return atomic_load_explicit(&host->phase, memory_order_relaxed);
	}
	if (current->device != &host->public) {
		*thread = SERVICE_OTHER;
		return SERVICE_RUN;
	}
	if (current->offset != BUS_NO_ACCESS) {
		*thread = SERVICE_VCPU;
		return SERVICE_RUN;
	}
	*thread = current->thread;
	return current->phase;
}

/* Whether this thread may call the function of a row now. False: the call was refused, counted and
 * reported. Any thread. */
static inline bool
service_enter_row(struct minivmm_device *dev, const struct service *row)
{
	uint32_t thread, phase = service_here((const struct service_host *)dev, &thread);

	return __builtin_expect(row->phases & phase && row->threads & thread, 1) ||
	       service_refuse_call(dev, row);
}
static inline bool
service_enter(struct minivmm_device *dev, size_t service)
{
	return service_enter_row(dev, &((const struct service_host *)dev)->table->rows[service]);
}

#endif
