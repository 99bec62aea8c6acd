/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of services, and the calls that it refuses. */
#include "machine/service.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "machine/clock.h"

#define ON_IO(phase) SERVICE_##phase, SERVICE_IO
#define ON_VCPU SERVICE_RUN, SERVICE_VCPU
const struct service_caller service_callers[CALLBACKS] = {
	[CALLBACK_CONFIGURE] = { "configure", NULL, ON_IO(CONFIGURE), false },
	[CALLBACK_LOAD] = { "load", NULL, ON_IO(LOAD), false },
	[CALLBACK_LOADED] = { "loaded", NULL, ON_IO(LOAD), false },
	[CALLBACK_START] = { "start", NULL, ON_IO(START), false },
	[CALLBACK_READ] = { "read", "ranges", ON_VCPU, true },
	[CALLBACK_WRITE] = { "write", "ranges", ON_VCPU, true },
	[CALLBACK_RESET] = { "reset", "pci", ON_VCPU, false },
	[CALLBACK_CAPABILITY_READ] = { "read", "capabilities", ON_VCPU, false },
	[CALLBACK_WRITTEN] = { "written", "capabilities", ON_VCPU, false },
	[CALLBACK_FIRE] = { "fire", "timers", ON_IO(RUN), false },
	[CALLBACK_READY] = { "ready", "watches", ON_IO(RUN), false },
	[CALLBACK_RUN] = { "run", "posts", ON_IO(RUN), false },
	[CALLBACK_READABLE] = { "readable", "streams", ON_IO(RUN), false },
	[CALLBACK_WRITABLE] = { "writable", "streams", ON_IO(RUN), false },
	[CALLBACK_CONNECTED] = { "connected", "streams", ON_IO(RUN), false },
	[CALLBACK_CONNECT] = { "connect", NULL, ON_IO(RUN), true },
	[CALLBACK_EVENT] = { "event", "tool", ON_IO(RUN), false },
	[CALLBACK_PAUSE] = { "pause", NULL, ON_IO(PAUSE), true },
	[CALLBACK_CAPTURE] = { "capture", NULL, ON_IO(CAPTURE), true },
	[CALLBACK_SAVE] = { "save", NULL, ON_IO(SAVE), false },
	[CALLBACK_RESUME] = { "resume", NULL, ON_IO(RESUME), false },
	[CALLBACK_STOP] = { "stop", NULL, ON_IO(STOP), false },
	[CALLBACK_DESTROY] = { "destroy", NULL, ON_IO(DESTROY), false },
};

#define LINES_PER_SECOND 20u /* limit of a device's log while the machine runs */

/* What a plugin built for a newer minivmm calls. Its first argument may be no device. */
static int
refuse_unknown(void *first)
{
	static const char *const text =
	    "it calls a service that this minivmm does not have; update minivmm, or check "
	    "the size of the table of services before the call";
	struct service_host *host = (struct service_host *)bus_current.device;

	if (!bus_current.callback) {
		log_line(MINIVMM_ERROR, NULL, "a thread of a plugin: %s", text);
		return -1;
	}
	atomic_fetch_add(&host->gate->refused, 1);
	service_error(host, "plugin %s is at fault: %s", host->plugin, text);
	return -1;
}

void
service_compose(struct service_table *table, const struct service_set *const *sets, size_t count)
{
	const size_t begin = offsetof(struct minivmm_services, log), width = sizeof(*table->spare);

	memset(table, 0, sizeof(*table));
	for (size_t s = 0; s < count; s++)
		for (size_t i = 0; i < SERVICE_COUNT; i++) {
			if (!sets[s]->rows[i].name)
				continue;
			table->rows[i] = sets[s]->rows[i];
			memcpy((char *)&table->functions + begin + i * width,
			       (const char *)&sets[s]->functions + begin + i * width, width);
		}
	for (size_t i = 0; i < SERVICE_SPARE; i++)
		table->spare[i] = refuse_unknown;
	table->functions.size = sizeof(table->functions);
	table->functions.abi = MINIVMM_ABI;
	table->functions.log_level = (uint32_t)log_level();
}

/* Limits the rate of log lines, which a guest can trigger. The first line above the limit logs a
 * warning. */
static bool
may_log(struct service_host *host)
{
	uint64_t second = clock_host() / 1000000000u & UINT32_MAX, before, after;

	if (!(atomic_load(&host->phase) & SERVICE_START_TO_STOP))
		return true;
	before = atomic_load(&host->log_seconds);
	do
		after = before >> 32 == second ? before + 1 : second << 32 | 1;
	while (!atomic_compare_exchange_weak(&host->log_seconds, &before, after));
	if ((after & UINT32_MAX) == LINES_PER_SECOND + 1)
		log_line(MINIVMM_WARNING, host->public.name,
			 "more than %u lines in a second: the rest is dropped", LINES_PER_SECOND);
	return (after & UINT32_MAX) <= LINES_PER_SECOND;
}

void
service_log(struct service_host *host, uint32_t level, const char *text)
{
	if (level == MINIVMM_ERROR)
		atomic_store(&host->reported, true);
	if (log_enabled((enum minivmm_level)level) && may_log(host))
		log_line((enum minivmm_level)level, host->public.name, "%s", text);
}

void
service_error(struct service_host *host, const char *format, ...)
{
	char text[MINIVMM_LINE];
	va_list arguments;

	va_start(arguments, format);
	text_vfit(text, sizeof(text), format, arguments);
	va_end(arguments);
	service_log(host, MINIVMM_ERROR, text);
}

static void
refuse(struct minivmm_device *dev, const struct service *row, const char *format, va_list arguments)
{
	struct service_host *host = (struct service_host *)dev;
	char text[256];

	text_vfit(text, sizeof(text), format, arguments);
	atomic_fetch_add(&host->gate->refused, 1);
	service_error(host, "minivmm_%s() is refused: %s; plugin %s is at fault", row->name, text,
		      host->plugin);
}

void
service_refuse(struct minivmm_device *dev, size_t service, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	refuse(dev, &((struct service_host *)dev)->table->rows[service], format, arguments);
	va_end(arguments);
}

void
service_refuse_row(struct minivmm_device *dev, const struct service *row, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	refuse(dev, row, format, arguments);
	va_end(arguments);
}

void *
service_object(struct minivmm_device *dev, size_t service, enum service_objects table, uint32_t row)
{
	static const char *const names[] = { "timer", "stream", "watch", "post", "range" };
	const struct service_rows *rows = &((struct service_host *)dev)->rows[table];

	if (row < rows->count)
		return (char *)rows->first + row * rows->size;
	service_refuse(dev, service, "%s %u does not exist, the plugin's table has %u rows",
		       names[table], row, rows->count);
	return NULL;
}

void
service_refuse_result(struct minivmm_device *dev, const char *callback, int result)
{
	struct service_host *host = (struct service_host *)dev;

	atomic_fetch_add(&host->gate->refused, 1);
	service_error(host,
		      "%s returned %d, which is reserved; a callback returns 0, or -1 after "
		      "minivmm_error(); plugin %s is at fault",
		      callback, result, host->plugin);
}

/* What a thread of the plugin has called in. */
static const char *
when(uint32_t phase)
{
	switch (phase) {
	case SERVICE_CONFIGURE:
	case SERVICE_LOAD:
		return "before start";
	case SERVICE_START:
		return "in start";
	case SERVICE_RUN:
		return "while the guest runs";
	case SERVICE_STOP:
		return "in stop";
	case SERVICE_DESTROY:
		return "after stop";
	default:
		return "in a pause";
	}
}

/* Refuses a call of a thread that the plugin has started: names the thread as debuggers do. */
static void
refuse_thread(struct minivmm_device *dev, const struct service *row, uint32_t phase)
{
	char name[16] = "";

	prctl(PR_GET_NAME, name);
	service_refuse_row(
	    dev, row, "it is called %s on a thread of the plugin (%s, TID %d), and allowed %s, %s",
	    when(phase), name, gettid(), service_phases(row), service_threads(row));
}

bool
service_refuse_call(struct minivmm_device *dev, const struct service *row)
{
	uint32_t thread, phase = service_here((const struct service_host *)dev, &thread);

	if (thread == SERVICE_OWN)
		refuse_thread(dev, row, phase);
	else if (thread == SERVICE_OTHER)
		service_refuse_row(
		    dev, row, "it is called in a callback of another device, and allowed %s, %s",
		    service_phases(row), service_threads(row));
	else
		service_refuse_row(dev, row, "it is called in %s%s, and allowed %s, %s",
				   bus_current.callback,
				   thread == SERVICE_VCPU ? " on a vCPU's thread" : "",
				   service_phases(row), service_threads(row));
	return false;
}

const char *
service_phases(const struct service *row)
{
	static const struct {
		uint32_t phases;
		const char *text;
	} texts[] = {
		{ SERVICE_ALWAYS, "in any phase" },
		{ SERVICE_START_TO_STOP, "from start to stop" },
		{ SERVICE_START_TO_STOP | SERVICE_DESTROY, "from start to destroy" },
		{ SERVICE_START_TO_STOP | SERVICE_CAPTURE, "from start to stop and in capture" },
		{ SERVICE_START_TO_STOP & ~(SERVICE_PAUSE | SERVICE_PAUSED),
		  "from start to stop except in a pause" },
		{ SERVICE_START, "in start" },
		{ SERVICE_RUN, "while the guest runs" },
		{ SERVICE_CAPTURE, "in capture" },
		{ SERVICE_SAVE, "in save" },
		{ SERVICE_LOAD, "in load" },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (texts[i].phases == row->phases)
			return texts[i].text;
	return "?";
}

const char *
service_threads(const struct service *row)
{
	switch (row->threads) {
	case SERVICE_IO:
		return "in callbacks on the I/O thread";
	case SERVICE_VCPU:
		return "in range handlers";
	case SERVICE_CALLBACKS:
		return "in callbacks";
	case SERVICE_ANY_THREAD:
	case SERVICE_ANY_THREAD | SERVICE_OTHER:
		return "on any thread";
	default:
		return "?";
	}
}
