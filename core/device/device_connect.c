/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs of the host that connect to a port of a device. A request waits in a list until the
 * machine runs and the device is free, then for the plugin's answer, and then for the main thread,
 * which passes it on.
 */
#include "device/device_connect.h"

#include <stdlib.h>

#include "base/socket.h"
#include "base/text.h"

struct device_caller {
	struct device_caller *next;
	struct minivmm_connect request;
	void (*answer)(void *context, const char *error);
	void *context;
	bool seen;     /* by the plugin, which owns request.fd */
	bool answered; /* error is valid */
	char error[256];
};

/* Call with the lock held. error NULL: the connection is there. */
static void
set_answer(struct device_caller *c, const char *error)
{
	if (c->answered)
		return;
	c->answered = true;
	text_fit(c->error, sizeof(c->error), "%s", error ? error : "");
}

static int
connected(struct minivmm_device *public, uint64_t id, const char *error)
{
	struct device *d = device_from(public);
	struct device_caller *c;
	bool known, found;

	if (!service_enter(public, SERVICE(connected)))
		return -1;
	lock_take(&d->callers.lock);
	known = id && id <= d->callers.last;
	for (c = d->callers.first; c && c->request.id != id; c = c->next)
		;
	found = c && c->seen && !c->answered;
	if (found)
		set_answer(c, error && !*error ? "it refuses the connection" : error);
	lock_release(&d->callers.lock);
	if (found) {
		loop_defer(&d->all->machine->loop, &d->callers.deferred);
		return 0;
	}
	if (!known)
		service_refuse(public, SERVICE(connected), "connect %llu does not exist",
			       (unsigned long long)id);
	return -1;
}

const struct service_set device_connect_services = {
	SERVICE_ROW(connected, connected, "connected", SERVICE_START_TO_STOP, SERVICE_ANY_THREAD),
};

/* Which requests take() takes. */
enum { ANSWERED = 1, SEEN = 2, UNSEEN = 4 };

/* Takes the first request that is one of these, and has this id (0: any), out of the list. */
static struct device_caller *
take(struct device *d, unsigned which, uint64_t id)
{
	struct device_caller **at, *c;

	lock_take(&d->callers.lock);
	for (at = &d->callers.first; (c = *at); at = &c->next) {
		unsigned is = (c->answered ? ANSWERED : 0) | (c->seen ? SEEN : UNSEEN);

		if (is & which && (!id || c->request.id == id))
			break;
	}
	if (c)
		*at = c->next;
	lock_release(&d->callers.lock);
	return c;
}

static void
answer(struct device_caller *c)
{
	if (!c->seen)
		socket_close_passed(c->request.fd);
	c->answer(c->context, *c->error ? c->error : NULL);
	free(c);
}

static struct device_caller *
first_unseen(struct device *d)
{
	struct device_caller *c;

	lock_take(&d->callers.lock);
	for (c = d->callers.first; c && c->seen; c = c->next)
		;
	lock_release(&d->callers.lock);
	return c;
}

/* Calls the plugin. false: the device is busy. */
static bool
call(struct device *d, struct device_caller *c)
{
	char error[sizeof(c->error)];
	int r;

	if (!device_try_enter(d, CALLBACK_CONNECT, "connect"))
		return false;
	lock_take(&d->callers.lock);
	c->seen = true; /* it can answer before it returns */
	lock_release(&d->callers.lock);
	r = device_leave(d, CALLBACK_CONNECT,
			 d->plugin.descriptor.connect(&d->host.public, &c->request));
	if (r == MINIVMM_PENDING)
		return true;
	lock_take(&d->callers.lock);
	c->seen = r == 0; /* after a failure, the socket is the host's */
	snprintf(error, sizeof(error),
		 "device %s (plugin %s): connect failed, see the machine's messages",
		 d->config->name, d->plugin.descriptor.name);
	set_answer(c, r ? error : NULL);
	lock_release(&d->callers.lock);
	return true;
}

/* The requests' deferred function, which does not run while the machine is paused. */
static void
run(struct loop_deferred *deferred)
{
	struct device *d = deferred->context;
	struct device_caller *c;

	while ((c = take(d, ANSWERED, 0)))
		answer(c);
	while (d->started && (c = first_unseen(d))) {
		if (!call(d, c)) {
			loop_defer(&d->all->machine->loop, deferred);
			break;
		}
		while ((c = take(d, ANSWERED, 0)))
			answer(c);
	}
}

bool
device_has_ports(const struct device *d)
{
	return d->plugin.descriptor.connect;
}

uint64_t
device_connect(struct device *d, int fd, uint64_t port,
	       void (*answer_to)(void *context, const char *error), void *context)
{
	struct device_caller *c = calloc(1, sizeof(*c)), **end = &d->callers.first;

	if (!c)
		return 0;
	c->answer = answer_to;
	c->context = context;
	lock_take(&d->callers.lock);
	c->request = (struct minivmm_connect){
		.id = ++d->callers.last, .port = port, .fd = fd, .size = sizeof(c->request)
	};
	while (*end)
		end = &(*end)->next;
	*end = c;
	lock_release(&d->callers.lock);
	loop_defer(&d->all->machine->loop, &d->callers.deferred);
	return c->request.id;
}

int
device_connect_line(struct device *d, int fd, struct why *why)
{
	const struct minivmm_stream *rows = d->plugin.descriptor.streams;

	for (uint32_t i = 0; i < d->streams_ready; i++)
		if (rows[i].output)
			return stream_connect(&d->streams[i].stream, fd, why);
	return why_set(why, "it takes no connections: it has neither ports nor a line");
}

bool
device_connect_cancel(struct device *d, uint64_t id)
{
	struct device_caller *c = take(d, UNSEEN, id);

	if (!c)
		return false;
	socket_close_passed(c->request.fd);
	free(c);
	return true;
}

void
device_connect_init(struct device *d)
{
	d->callers.deferred = (struct loop_deferred){ .run = run, .context = d };
}

void
device_connect_start(struct device *d)
{
	if (d->callers.first)
		loop_defer(&d->all->machine->loop, &d->callers.deferred);
}

void
device_connect_end(struct device *d, bool all)
{
	struct device_caller *c;

	while ((c = take(d, all ? SEEN | UNSEEN : SEEN, 0))) {
		set_answer(c, all ? "the machine has ended" : "the machine was reset");
		answer(c);
	}
}

void
device_connect_free(struct device *d)
{
	device_connect_end(d, true);
	loop_deferred_remove(&d->all->machine->loop, &d->callers.deferred);
}
