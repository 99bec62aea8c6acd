/* SPDX-License-Identifier: BSD-2-Clause */
/* A client of an NBD server: connects, checks the export, and runs commands with time limits. */
#include <dlfcn.h>
#include <errno.h>
#include <libnbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define CONNECT_MS 5000 /* time for the server to answer */
#define REQUEST_MS 30000
#define LOOK_MS 100      /* how often hurry is checked */
#define CHUNK (1u << 20) /* maximum bytes per command */

/* The functions of libnbd that are used. libnbd loads other libraries, for TLS and more, that cost
 * several MiB and startup time. So it is loaded only by disks that use an export. */
#define LIBRARY "libnbd.so.0"
/* clang-format off */
#define FUNCTIONS(X) \
	X(aio_command_completed) X(aio_connect_uri) X(aio_disconnect) X(aio_flush) \
	X(aio_is_closed) X(aio_is_connecting) X(aio_is_dead) X(aio_is_negotiating) \
	X(aio_is_ready) X(aio_pread) X(aio_pwrite) X(aio_trim) X(aio_zero) X(can_flush) \
	X(can_fua) X(can_multi_conn) X(can_trim) X(can_zero) X(close) X(create) X(get_block_size) \
	X(get_errno) X(get_error) X(get_size) X(is_read_only) X(poll)
/* clang-format on */

struct library {
	void *handle;
#define MEMBER(name) __typeof__(nbd_##name) *name;
	FUNCTIONS(MEMBER)
#undef MEMBER
};

/* Returns 0; -1: why has the reason. */
static int
load_library(struct library *lib, char why[CLIENT_WHY])
{
	const char *missing = NULL;

	/* The library stays loaded: threads may run its destructors when they exit. */
	lib->handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!lib->handle) {
		snprintf(why, CLIENT_WHY, LIBRARY " is not installed (Debian: package libnbd0)");
		return -1;
	}
#define FIND(name)                                                                                 \
	lib->name = (__typeof__(lib->name))dlsym(lib->handle, "nbd_" #name);                       \
	missing = lib->name ? missing : "nbd_" #name;
	FUNCTIONS(FIND)
#undef FIND
	if (missing)
		snprintf(why, CLIENT_WHY, LIBRARY " has no %s", missing);
	return missing ? -1 : 0;
}

/* Waits for an event of the connection. Returns false after the deadline end or an error. */
static bool
wait_more(const struct client_export *e, struct nbd_handle *handle, uint64_t end)
{
	uint64_t now = client_clock(), hurry = atomic_load(&e->hurry);

	end = hurry && hurry < end ? hurry : end;
	return now < end &&
	       e->lib->poll(handle, (int)(end - now < LOOK_MS ? end - now : LOOK_MS)) >= 0;
}

static struct nbd_handle *
connect_to(const struct client_export *e, char why[CLIENT_WHY])
{
	struct nbd_handle *handle = e->lib->create();
	uint64_t end = client_clock() + CONNECT_MS;
	const char *error;

	if (handle && !e->lib->aio_connect_uri(handle, e->uri)) {
		while (!e->lib->aio_is_ready(handle) && !e->lib->aio_is_dead(handle) &&
		       !e->lib->aio_is_closed(handle) && wait_more(e, handle, end))
			;
		if (e->lib->aio_is_ready(handle))
			return handle;
	}
	error = e->lib->get_error();
	if (error && !strncmp(error, "nbd_", 4) && strstr(error, ": "))
		error = strstr(error, ": ") + 2; /* skips the name of libnbd's function */
	snprintf(why, CLIENT_WHY, "%s",
		 handle && (e->lib->aio_is_connecting(handle) || e->lib->aio_is_negotiating(handle))
		     ? "the server does not answer"
		 : error ? error
			 : "no connection");
	e->lib->close(handle);
	return NULL;
}

/* Returns what is wrong with the export; NULL: nothing. */
static const char *
check(const struct client_export *e, struct nbd_handle *handle)
{
	if (e->lib->get_size(handle) < 0)
		return "the server does not report its size";
	if (e->write && e->lib->is_read_only(handle))
		return "the server allows only reads: set readonly = yes, or overlay = FILE to "
		       "write to another file";
	if (e->lib->get_block_size(handle, LIBNBD_SIZE_MINIMUM) > 512)
		return "the server's minimum block size is larger than 512 bytes: configure it to "
		       "accept 512";
	if (e->bytes && (uint64_t)e->lib->get_size(handle) != e->bytes)
		return "its size has changed: it is another disk";
	return NULL;
}

struct nbd_handle *
client_connect(const struct client_export *e, char why[CLIENT_WHY])
{
	struct nbd_handle *handle = connect_to(e, why);
	const char *wrong = handle ? check(e, handle) : NULL;

	if (!wrong)
		return handle;
	snprintf(why, CLIENT_WHY, "%s", wrong);
	e->lib->close(handle);
	return NULL;
}

static void
read_properties(struct client_export *e, struct nbd_handle *h)
{
	int64_t most = e->lib->get_block_size(h, LIBNBD_SIZE_MAXIMUM);

	e->bytes = (uint64_t)e->lib->get_size(h);
	e->chunk = most >= 512 && most < CHUNK ? (size_t)most / 512 * 512 : CHUNK;
	e->flushes = e->lib->can_flush(h) > 0;
	e->fua = e->lib->can_fua(h) > 0;
	e->zeroes = e->lib->can_zero(h) > 0;
	e->trims = e->lib->can_trim(h) > 0;
	e->several = e->lib->can_multi_conn(h) > 0;
}

struct nbd_handle *
client_open(struct client_export *e, const char *uri, bool write, char why[CLIENT_WHY])
{
	struct nbd_handle *first = NULL;

	snprintf(why, CLIENT_WHY, "no memory");
	e->uri = strdup(uri);
	e->lib = calloc(1, sizeof(*e->lib));
	e->write = write;
	if (e->uri && e->lib && !load_library(e->lib, why))
		first = client_connect(e, why);
	if (first)
		read_properties(e, first);
	else
		client_free(e);
	return first;
}

void
client_free(struct client_export *e)
{
	if (e->lib && e->lib->handle)
		dlclose(e->lib->handle);
	free(e->lib);
	free(e->uri);
}

void
client_close(const struct client_export *e, struct nbd_handle *handle, bool orderly)
{
	if (handle && orderly)
		e->lib->aio_disconnect(handle, 0);
	e->lib->close(handle);
}

static int64_t
begin(const struct client_export *e, struct nbd_handle *h, enum client_command command, void *bytes,
      uint64_t length, uint64_t at)
{
	const uint32_t flags = !e->flushes && e->fua ? LIBNBD_CMD_FLAG_FUA : 0;

	switch (command) {
	case CLIENT_READ:
		return e->lib->aio_pread(h, bytes, length, at, NBD_NULL_COMPLETION, 0);
	case CLIENT_WRITE:
		return e->lib->aio_pwrite(h, bytes, length, at, NBD_NULL_COMPLETION, flags);
	case CLIENT_ZERO:
		return e->lib->aio_zero(h, length, at, NBD_NULL_COMPLETION,
					flags | LIBNBD_CMD_FLAG_NO_HOLE);
	case CLIENT_UNMAP:
		return e->lib->aio_zero(h, length, at, NBD_NULL_COMPLETION, flags);
	case CLIENT_TRIM:
		return e->lib->aio_trim(h, length, at, NBD_NULL_COMPLETION, flags);
	default:
		return e->lib->aio_flush(h, NBD_NULL_COMPLETION, 0);
	}
}

int
client_run(const struct client_export *e, struct nbd_handle *handle, enum client_command command,
	   void *bytes, uint64_t length, uint64_t at, const char **why)
{
	int64_t cookie = begin(e, handle, command, bytes, length, at);
	uint64_t end = client_clock() + REQUEST_MS;
	int r = cookie < 0 ? -1 : 0, error;

	while (!r) {
		r = e->lib->aio_command_completed(handle, (uint64_t)cookie);
		if (!r && !wait_more(e, handle, end) && !e->lib->aio_is_dead(handle) &&
		    !e->lib->aio_is_closed(handle)) {
			*why = "the server does not answer";
			return 1;
		}
	}
	if (r > 0)
		return 0;
	error = e->lib->get_errno();
	if (e->lib->aio_is_dead(handle) || e->lib->aio_is_closed(handle)) {
		*why = "the server has closed it";
		return 1;
	}
	errno = error ? error : EIO;
	return -1;
}
