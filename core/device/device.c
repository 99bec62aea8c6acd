/* SPDX-License-Identifier: BSD-2-Clause */
/* Creates devices from the config, calls their plugins, and destroys them. */
#include "device/device.h"
#include "device/device_connect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/fields.h"
#include "base/limit.h"
#include "base/log.h"
#include "machine/ioeventfd.h"

#define TRY_FOR 2000000 /* ns; handlers take microseconds */

static void
enter(struct device *device, enum service_callback callback, const char *name)
{
	atomic_store(&device->host.reported, false);
	bus_current.phase = service_callers[callback].phase;
	bus_current.thread = service_callers[callback].thread;
	__atomic_store_n(&bus_current.count, bus_current.count + 1, __ATOMIC_RELAXED);
	bus_enter(&bus_current, &device->host.public, name, BUS_NO_ACCESS);
}

void
device_enter(struct device *device, enum service_callback callback, const char *name)
{
	if (!device->host.gate->concurrent)
		lock_take(&device->host.gate->lock);
	enter(device, callback, name);
}

bool
device_try_enter(struct device *device, enum service_callback callback, const char *name)
{
	if (!device->host.gate->concurrent && !lock_try(&device->host.gate->lock, TRY_FOR))
		return false;
	enter(device, callback, name);
	return true;
}

int
device_leave(struct device *device, enum service_callback callback, int result)
{
	bool pending = result == MINIVMM_PENDING && service_callers[callback].pending &&
		       (callback != CALLBACK_CAPTURE || device->capture.id);

	if (result && result != -1 && !pending) {
		service_refuse_result(&device->host.public, bus_current.callback, result);
		result = -1;
	}
	bus_leave(&bus_current);
	if (!device->host.gate->concurrent)
		lock_release(&device->host.gate->lock);
	if (result < 0)
		atomic_fetch_add(&device->host.gate->failures, 1);
	return result;
}

const char *
device_failure(const struct device *d, const char *callback, char *buffer, size_t size)
{
	snprintf(buffer, size, "%s failed%s", callback,
		 atomic_load(&d->host.reported) ? "" : " without an error message");
	return buffer;
}

int
device_failed(const struct device *d, const char *callback, enum status status)
{
	char text[64];

	if (atomic_load(&d->host.reported))
		return fail_reported(
		    status, "%s %s (plugin %s): %s failed, see the machine's messages",
		    device_kind(d), d->config->name, d->plugin.descriptor.name, callback);
	return fail(status, "%s %s (plugin %s): %s", device_kind(d), d->config->name,
		    d->plugin.descriptor.name, device_failure(d, callback, text, sizeof(text)));
}

static void
timer_fired(struct loop_timer *timer, uint64_t periods)
{
	struct device_timer *t = timer->context;
	const struct minivmm_timer *row = &t->device->plugin.descriptor.timers[t->index];

	/* The handler that has the lock may set or cancel the timer. */
	if (!DEVICE_TRY(t->device, CALLBACK_FIRE, row->name,
			row->fire(&t->device->host.public, t->index, periods)))
		loop_timer_retry(&t->device->all->machine->loop, timer);
}

static void
watch_ready(struct loop_source *source, uint32_t events)
{
	struct device_watch *w = source->context;
	const struct minivmm_watch *row = &w->device->plugin.descriptor.watches[w->index];

	if (!DEVICE_TRY(w->device, CALLBACK_READY, row->name,
			row->ready(&w->device->host.public, w->index, events)))
		loop_report_again(&w->device->all->machine->loop, source);
}

static void
post_run(struct loop_deferred *deferred)
{
	struct device_post *p = deferred->context;
	const struct minivmm_post *row = &p->device->plugin.descriptor.posts[p->index];

	if (!DEVICE_TRY(p->device, CALLBACK_RUN, row->name,
			row->run(&p->device->host.public, p->index)))
		loop_defer(&p->device->all->machine->loop, deferred);
}

static bool
stream_readable_cb(struct stream *stream)
{
	struct device_stream *s = stream->context;
	const struct minivmm_stream *row = &s->device->plugin.descriptor.streams[s->index];

	return !row->readable || DEVICE_TRY(s->device, CALLBACK_READABLE, "readable",
					    row->readable(&s->device->host.public, s->index));
}

static bool
stream_writable_cb(struct stream *stream)
{
	struct device_stream *s = stream->context;
	const struct minivmm_stream *row = &s->device->plugin.descriptor.streams[s->index];

	return !row->writable || DEVICE_TRY(s->device, CALLBACK_WRITABLE, "writable",
					    row->writable(&s->device->host.public, s->index));
}

static bool
stream_connected_cb(struct stream *stream, bool connected)
{
	struct device_stream *s = stream->context;
	const struct minivmm_stream *row = &s->device->plugin.descriptor.streams[s->index];

	return DEVICE_TRY(s->device, CALLBACK_CONNECTED, "connected",
			  row->connected(&s->device->host.public, s->index, connected));
}

/* Makes the objects known to the services. */
static void
set_service_rows(struct device *d)
{
	struct service_rows *rows = d->host.rows;
	const struct plugin *p = &d->plugin;

	_Static_assert(!offsetof(struct device_stream, stream), "the service's object");
	rows[SERVICE_TIMER] =
	    (struct service_rows){ d->timers, sizeof(*d->timers), p->timer_count };
	rows[SERVICE_STREAM] =
	    (struct service_rows){ d->streams, sizeof(*d->streams), p->stream_count };
	rows[SERVICE_WATCH] =
	    (struct service_rows){ d->watches, sizeof(*d->watches), p->watch_count };
	rows[SERVICE_POST] = (struct service_rows){ d->posts, sizeof(*d->posts), p->post_count };
	rows[SERVICE_RANGE] =
	    (struct service_rows){ (void *)p->descriptor.ranges, sizeof(*p->descriptor.ranges),
				   p->range_count };
}

/* Creates the device's timers, watches, posts and streams. */
static int
create_rows(struct device *d)
{
	bool tool = d->all->flags & DEVICES_TOOL;

	d->timers = calloc(d->plugin.timer_count + 1, sizeof(*d->timers));
	d->watches = calloc(d->plugin.watch_count + 1, sizeof(*d->watches));
	d->posts = calloc(d->plugin.post_count + 1, sizeof(*d->posts));
	d->streams = calloc(d->plugin.stream_count + 1, sizeof(*d->streams));
	if (!d->timers || !d->watches || !d->posts || !d->streams)
		return fail_memory("device %s", d->config->name);
	for (uint32_t i = 0; i < d->plugin.timer_count; i++) {
		d->timers[i] = (struct device_timer){ .device = d,
						      .index = i,
						      .timer = { .fire = timer_fired,
								 .context = &d->timers[i] } };
		loop_timer_add(&d->all->machine->loop, &d->timers[i].timer);
	}
	for (uint32_t i = 0; i < d->plugin.watch_count; i++)
		d->watches[i] = (struct device_watch){ .device = d,
						       .index = i,
						       .source = { .fd = -1,
								   .ready = watch_ready,
								   .context = &d->watches[i],
								   .device = !tool } };
	for (uint32_t i = 0; i < d->plugin.post_count; i++)
		d->posts[i] = (struct device_post){
			.device = d,
			.index = i,
			.deferred = { .run = post_run, .context = &d->posts[i], .always = tool }
		};
	set_service_rows(d);
	device_connect_init(d);
	return 0;
}

static void
set_stream_callbacks(struct device *d)
{
	for (uint32_t i = 0; i < d->plugin.stream_count; i++) {
		d->streams[i].device = d;
		d->streams[i].index = i;
		d->streams[i].stream.context = &d->streams[i];
		d->streams[i].stream.readable = stream_readable_cb;
		d->streams[i].stream.writable = stream_writable_cb;
		if (d->plugin.descriptor.streams[i].connected)
			d->streams[i].stream.connected = stream_connected_cb;
	}
}

/* Sets the initial values of fields. The targets of pointers are the plugin's memory: a crash is
 * the plugin's. */
static void
reset_fields(struct device *d)
{
	const struct minivmm_field *rows = d->plugin.descriptor.fields;

	if (rows)
		DEVICE_CALL_AS(d, CALLBACK_CONFIGURE, "fields after configure",
			       (fields_reset(rows, d->host.public.state), 0));
}

int
device_create(struct device *d, size_t index, devices_check *check, void *context, bool *refused)
{
	const struct minivmm_plugin *descriptor = &d->plugin.descriptor;
	int r;

	bus_gate_init(d->host.gate, descriptor->flags & MINIVMM_CONCURRENT);
	d->host.public.name = d->config->name;
	d->host.public.size = sizeof(d->host.public);
	d->host.public.services = &d->all->services.functions;
	d->host.table = &d->all->services;
	d->host.deferrals = &d->all->machine->deferrals;
	d->host.plugin = descriptor->name;
	atomic_store(&d->host.phase, SERVICE_CONFIGURE);
	atomic_store(&d->masters, true);
	d->host.public.state = calloc(1, descriptor->state_size + 1);
	if (!d->host.public.state)
		return fail_memory("device %s", d->config->name);
	if (getrandom(d->random, sizeof(d->random), 0) != sizeof(d->random))
		return fail(STATUS_HOST, "getrandom: %s", limit_error(errno).text);
	r = create_rows(d);
	if (!r)
		r = device_options(d);
	if (r)
		return r;
	set_stream_callbacks(d);
	reset_fields(d);
	d->configured = true;
	errno = 0; /* configure can leave ENOMEM here, which is not an error in the config */
	if (descriptor->configure &&
	    DEVICE_CALL(d, CALLBACK_CONFIGURE, descriptor->configure(&d->host.public)) < 0)
		return device_failed(d, "configure", status_for(errno, STATUS_USAGE));
	/* Before the second reset: it touches memory that configure has allocated. */
	r = check ? check(context, index) : 0;
	*refused = r;
	if (r)
		return r;
	reset_fields(d); /* again, for memory that configure has allocated */
	return 0;
}

/* A snapshot can name many devices, each at the cost of loading its plugin. */
#define REPORTED_MAX 8u /* devices of a snapshot whose errors are reported */

/* Handles Ctrl-A x. With the terminal's mode restored, Ctrl-C works if the machine does not end. */
static void
on_quit(void *context)
{
	struct devices *devices = context;

	stream_terminal_restore(&devices->streams);
	machine_end(devices->machine, CAUSE_QUIT, 0);
}

static void
on_written(void *context, const char *device, const void *bytes, size_t length)
{
	machine_output(((struct devices *)context)->machine, device, bytes, length);
}

static bool
on_ended(void *context)
{
	return machine_ended(((struct devices *)context)->machine);
}

/* True if --set changes an option of the device: then an error in the options is taken as the
 * user's, not the snapshot's. */
static bool
has_override(const struct config_device *device)
{
	for (size_t i = 0; i < device->option_count; i++)
		if (!strcmp(device->options[i].place.file, CONFIG_SET))
			return true;
	return false;
}

int
devices_init(struct devices *devices, struct machine *machine, struct config *config,
	     unsigned flags)
{
	*devices = (struct devices){
		.machine = machine,
		.config = config,
		.thread = pthread_self(),
		.flags = flags,
	};
	devices->streams = (struct stream_hub){
		.loop = &machine->loop,
		.quit = on_quit,
		.ended = on_ended,
		.written = on_written,
		.context = devices,
	};
	device_services_compose(&devices->services);
	if (getrandom(devices->generation, sizeof(devices->generation), 0) !=
	    sizeof(devices->generation))
		return fail(STATUS_HOST, "getrandom: %s", limit_error(errno).text);
	devices->list = calloc(config->device_count + 1, sizeof(*devices->list));
	devices->gates = aligned_alloc(64, (config->device_count + 1) * sizeof(*devices->gates));
	if (!devices->list || !devices->gates)
		return fail_memory("devices");
	memset(devices->gates, 0, (config->device_count + 1) * sizeof(*devices->gates));
	return 0;
}

int
devices_create(struct devices *devices, struct machine *machine, struct config *config,
	       unsigned flags, const struct devices *inherited, devices_check *check, void *context)
{
	unsigned reported = 0;
	bool refused = false;
	bool restored = flags & DEVICES_RESTORED, trusted = flags & DEVICES_TRUSTED;
	int first = 0, r;

	r = devices_init(devices, machine, config, flags | (inherited ? DEVICES_BRANCHED : 0));
	watchdog_start(&machine->watchdog, machine);
	machine_set_devices(machine, &(struct machine_devices){ .pause = devices_pause,
								.resume = devices_resume,
								.context = devices });
	if (!r && !inherited)
		r = plugin_path_init(&devices->path, config->plugin_path);
	if (r)
		return r;
	if (restored)
		devices->path.advice =
		    "name its directory with --set plugins.path=DIR or MINIVMM_PLUGIN_PATH";
	for (size_t i = 0; i < config->device_count && !refused && reported < REPORTED_MAX; i++) {
		struct device *d = &devices->list[i];
		char where[256], prefix[260];

		d->all = devices;
		d->host.gate = &devices->gates[i];
		d->config = &config->devices[i];
		devices->count++;
		if (restored)
			snprintf(prefix, sizeof(prefix),
				 "the snapshot's device %s: ", d->config->name);
		else
			snprintf(prefix, sizeof(prefix), "%s: ",
				 config_option_where(d->config->plugin_place, "device",
						     d->config->name, "plugin", where,
						     sizeof(where)));
		if (inherited)
			plugin_inherit(&d->plugin, &inherited->list[i].plugin);
		else if (restored && strchr(d->config->plugin, '/') && !trusted)
			r = fail(STATUS_SNAPSHOT,
				 "the snapshot's device %s names its plugin by a path, %s: add "
				 "--trust, or save a new snapshot with the plugin installed and "
				 "named without a path",
				 d->config->name, d->config->plugin);
		else
			r = plugin_load(&d->plugin, &devices->path, d->config->plugin, prefix);
		if (!r && d->plugin.descriptor.tool)
			r = fail(STATUS_USAGE,
				 "%splugin %s is a tool, not a device: name it in a section [tool "
				 "%s], or with --tool",
				 prefix, d->plugin.descriptor.name, d->config->name);
		if (restored && r == -STATUS_USAGE)
			r = -STATUS_SNAPSHOT; /* the snapshot needs a plugin that is missing */
		if (!r) {
			r = device_create(d, i, check, context, &refused);
			if (restored && r == -STATUS_USAGE && !has_override(d->config))
				r = -STATUS_SNAPSHOT;
		}
		first = first ? first : r;
		reported += r && restored;
	}
	return first;
}

static void
device_destroy(struct device *d)
{
	struct loop *loop = &d->all->machine->loop;

	atomic_store(&d->host.phase, SERVICE_DESTROY); /* for threads of the plugin */
	for (uint32_t i = 0; d->watches && i < d->plugin.watch_count; i++)
		loop_remove(loop, &d->watches[i].source);
	for (struct device_ioeventfd *event = d->ioeventfds, *next; event; event = next) {
		next = event->next;
		ioeventfd_remove(d->all->machine, &event->ioeventfd);
		free(event);
	}
	for (uint32_t i = 0; d->timers && i < d->plugin.timer_count; i++)
		loop_timer_remove(loop, &d->timers[i].timer);
	for (uint32_t i = 0; i < d->streams_ready; i++)
		stream_free(&d->streams[i].stream);
	if (d->configured && d->plugin.descriptor.destroy) {
		DEVICE_CALL(d, CALLBACK_DESTROY,
			    (d->plugin.descriptor.destroy(&d->host.public), 0));
	}
	/* After destroy, which ends the plugin's threads: one of them may be in a post that began
	 * before the phase changed. */
	for (uint32_t i = 0; d->posts && i < d->plugin.post_count; i++)
		loop_deferred_remove(loop, &d->posts[i].deferred);
	device_connect_free(d);
	device_sockets_free(d);
	free(d->capture.error);
	for (size_t i = 0; i < d->string_count; i++)
		free(d->strings[i]);
	free(d->strings);
	free(d->timers);
	free(d->watches);
	free(d->posts);
	free(d->streams);
	free(d->host.public.state);
	free(d->mappings);
	watchdog_look(&d->all->machine->watchdog);
	plugin_unload(&d->plugin);
}

void
devices_destroy(struct devices *devices)
{
	const volatile bool no_waiting = true;

	/* After a start that failed, some devices run. Has no effect on those that are stopped. */
	devices_stop(devices, &no_waiting);
	devices_capture_end(devices);
	for (size_t i = 0; i < devices->count; i++)
		device_destroy(&devices->list[i]);
	if (devices->machine && !(devices->flags & DEVICES_TOOL))
		watchdog_stop(&devices->machine->watchdog);
	devices->count = 0; /* for a signal handler */
	free(devices->list);
	free(devices->gates);
	plugin_path_free(&devices->path);
}

const struct device *
devices_with_code(const struct devices *devices, uintptr_t address, bool *only)
{
	const struct device *found = NULL;

	*only = true;
	for (size_t i = 0; i < devices->count; i++) {
		const struct device *d = &devices->list[i];

		if (address - d->plugin.code >= d->plugin.code_end - d->plugin.code)
			continue;
		*only = !found;
		found = found ? found : d;
	}
	return found;
}

struct device *
devices_find(struct devices *devices, const char *name)
{
	for (size_t i = 0; i < devices->count; i++)
		if (!strcmp(devices->list[i].config->name, name))
			return &devices->list[i];
	return NULL;
}

void
device_set_record(struct device *d, struct stream_record *record)
{
	for (uint32_t i = 0; i < d->streams_ready; i++)
		stream_set_record(&d->streams[i].stream, record);
}
