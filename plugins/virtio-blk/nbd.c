/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A layer on an NBD server, by libnbd: nbd://HOST[:PORT]/EXPORT, nbd+unix:///EXPORT?socket=PATH,
 * and with TLS nbds:// and nbds+unix://.
 *
 * If the server supports several connections to one export, there is one for each worker thread;
 * else one. A request on a lost connection connects again first. A request that loses its
 * connection is sent once more. Writes that the server had accepted and not flushed may be lost:
 * the next flush fails.
 */
#include <dlfcn.h>
#include <errno.h>
#include <libnbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "disk.h"

#define LINKS 4u
#define CONNECT_MS 5000 /* time for the server to answer */
#define REQUEST_MS 30000
#define HURRY_MS 2000    /* the same when the machine has ended */
#define LOOK_MS 100      /* how often it is checked whether it has */
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

struct link {
	pthread_mutex_t lock;
	struct nbd_handle *handle; /* NULL: not connected */
};

struct nbd {
	struct library lib;
	char *uri;
	uint64_t bytes;
	size_t chunk;
	bool write, flushes, fua, zeroes, trims;
	uint32_t count; /* number of links */
	struct link links[LINKS];
	atomic_ullong hurry;     /* host time in ms at which requests are given up; 0: none */
	atomic_uint next;        /* the link to wait for if none is free */
	atomic_ulong taken;      /* writes that the server may have accepted, counted */
	atomic_ulong flushed;    /* taken at the last flush */
	atomic_bool writes_lost; /* a connection was lost with writes that were not flushed */
	pthread_mutex_t lock;    /* protects the following members */
	bool lost;               /* the last attempt on a connection failed */
	bool lost_logged;        /* the state that was logged last */
	char why[160];
	uint64_t next_try; /* host time in ms before which no attempt is made */
};

enum command { READ, WRITE, ZERO, TRIM, FLUSH };

bool
export_is(const char *path)
{
	static const char *const schemes[] = { "nbd://", "nbds://", "nbd+unix://", "nbds+unix://" };

	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
		if (!strncmp(path, schemes[i], strlen(schemes[i])))
			return true;
	return false;
}

static uint64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Returns 0; -1: why has the reason. */
static int
load_library(struct library *lib, char *why, size_t size)
{
	const char *missing = NULL;

	/* The library stays loaded: threads may run its destructors when they exit. */
	lib->handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!lib->handle) {
		snprintf(why, size, LIBRARY " is not installed (Debian: package libnbd0)");
		return -1;
	}
#define FIND(name)                                                                                 \
	lib->name = (__typeof__(lib->name))dlsym(lib->handle, "nbd_" #name);                       \
	missing = lib->name ? missing : "nbd_" #name;
	FUNCTIONS(FIND)
#undef FIND
	if (missing)
		snprintf(why, size, LIBRARY " has no %s", missing);
	return missing ? -1 : 0;
}

/* Waits for an event of the connection. Returns false after the deadline end or an error. */
static bool
wait_more(const struct nbd *nbd, struct nbd_handle *handle, uint64_t end)
{
	uint64_t now = clock_ms(), hurry = atomic_load(&nbd->hurry);

	end = hurry && hurry < end ? hurry : end;
	return now < end &&
	       nbd->lib.poll(handle, (int)(end - now < LOOK_MS ? end - now : LOOK_MS)) >= 0;
}

/* Connects. Returns NULL on failure: why has the reason. */
static struct nbd_handle *
connect_to(const struct nbd *nbd, char *why, size_t size)
{
	struct nbd_handle *handle = nbd->lib.create();
	uint64_t end = clock_ms() + CONNECT_MS;
	const char *error;

	if (handle && !nbd->lib.aio_connect_uri(handle, nbd->uri)) {
		while (!nbd->lib.aio_is_ready(handle) && !nbd->lib.aio_is_dead(handle) &&
		       !nbd->lib.aio_is_closed(handle) && wait_more(nbd, handle, end))
			;
		if (nbd->lib.aio_is_ready(handle))
			return handle;
	}
	error = nbd->lib.get_error();
	if (error && !strncmp(error, "nbd_", 4) && strstr(error, ": "))
		error = strstr(error, ": ") + 2; /* skips the name of libnbd's function */
	snprintf(why, size, "%s",
		 handle &&
			 (nbd->lib.aio_is_connecting(handle) || nbd->lib.aio_is_negotiating(handle))
		     ? "the server does not answer"
		 : error ? error
			 : "no connection");
	nbd->lib.close(handle);
	return NULL;
}

/* Returns what is wrong with the export; NULL: nothing. */
static const char *
check(const struct nbd *nbd, struct nbd_handle *handle)
{
	if (nbd->lib.get_size(handle) < 0)
		return "the server does not report its size";
	if (nbd->write && nbd->lib.is_read_only(handle))
		return "the server allows only reads: set readonly = yes, or overlay = FILE to "
		       "write to another file";
	if (nbd->lib.get_block_size(handle, LIBNBD_SIZE_MINIMUM) > 512)
		return "the server's minimum block size is larger than 512 bytes: configure it to "
		       "accept 512";
	if (nbd->bytes && (uint64_t)nbd->lib.get_size(handle) != nbd->bytes)
		return "its size has changed: it is another disk";
	return NULL;
}

static void
set_lost(struct nbd *nbd, const char *why)
{
	pthread_mutex_lock(&nbd->lock);
	nbd->lost = why != NULL;
	if (why)
		snprintf(nbd->why, sizeof(nbd->why), "%s", why);
	pthread_mutex_unlock(&nbd->lock);
}

static void
disconnect(struct nbd *nbd, struct link *link, const char *why)
{
	if (link->handle)
		nbd->lib.close(link->handle);
	link->handle = NULL;
	set_lost(nbd, why);
	if (nbd->write && atomic_load(&nbd->taken) != atomic_load(&nbd->flushed))
		atomic_store(&nbd->writes_lost, true);
}

/* Attempts to connect take at most half of the time: after one that took t, the next waits for t.
 * Otherwise an absent server would block all requests. */
static int
reconnect(struct nbd *nbd, struct link *link)
{
	char why[sizeof(nbd->why)];
	const char *wrong;
	uint64_t now = clock_ms();
	bool early;

	pthread_mutex_lock(&nbd->lock);
	early = now < nbd->next_try;
	pthread_mutex_unlock(&nbd->lock);
	errno = ENOTCONN;
	if (early)
		return -1;
	link->handle = connect_to(nbd, why, sizeof(why));
	pthread_mutex_lock(&nbd->lock);
	nbd->next_try = clock_ms() + (clock_ms() - now);
	pthread_mutex_unlock(&nbd->lock);
	wrong = link->handle ? check(nbd, link->handle) : why;
	if (wrong)
		disconnect(nbd, link, wrong);
	else
		set_lost(nbd, NULL);
	errno = ENOTCONN;
	return wrong ? -1 : 0;
}

static int64_t
begin(const struct nbd *nbd, struct nbd_handle *h, enum command command, void *bytes,
      uint64_t length, uint64_t at, uint32_t flags)
{
	switch (command) {
	case READ:
		return nbd->lib.aio_pread(h, bytes, length, at, NBD_NULL_COMPLETION, 0);
	case WRITE:
		return nbd->lib.aio_pwrite(h, bytes, length, at, NBD_NULL_COMPLETION, flags);
	case ZERO:
		return nbd->lib.aio_zero(h, length, at, NBD_NULL_COMPLETION, flags);
	case TRIM:
		return nbd->lib.aio_trim(h, length, at, NBD_NULL_COMPLETION, flags);
	default:
		return nbd->lib.aio_flush(h, NBD_NULL_COMPLETION, 0);
	}
}

/* Runs a command on a connection whose lock the caller holds. Returns 0; -1: the server reports an
 * error; 1: the connection is lost. */
static int
run_once(struct nbd *nbd, struct link *link, enum command command, void *bytes, uint64_t length,
	 uint64_t at, uint32_t flags)
{
	struct nbd_handle *h = link->handle;
	int64_t cookie = begin(nbd, h, command, bytes, length, at, flags);
	uint64_t end = clock_ms() + REQUEST_MS;
	int r = cookie < 0 ? -1 : 0, error;

	while (!r) {
		r = nbd->lib.aio_command_completed(h, (uint64_t)cookie);
		if (!r && !wait_more(nbd, h, end) && !nbd->lib.aio_is_dead(h) &&
		    !nbd->lib.aio_is_closed(h)) {
			disconnect(nbd, link, "the server does not answer");
			return 1;
		}
	}
	if (r > 0)
		return 0;
	error = nbd->lib.get_errno();
	if (nbd->lib.aio_is_dead(h) || nbd->lib.aio_is_closed(h)) {
		disconnect(nbd, link, "the server has closed it");
		return 1;
	}
	errno = error ? error : EIO;
	return -1;
}

/* Locks a free connection, or waits for one. */
static struct link *
take_link(struct nbd *nbd)
{
	uint32_t n;

	for (n = 0; n < nbd->count; n++)
		if (!pthread_mutex_trylock(&nbd->links[n].lock))
			return &nbd->links[n];
	n = atomic_fetch_add(&nbd->next, 1) % nbd->count;
	pthread_mutex_lock(&nbd->links[n].lock);
	return &nbd->links[n];
}

static int
run(struct nbd *nbd, enum command command, void *bytes, uint64_t length, uint64_t at,
    uint32_t flags)
{
	struct link *link = take_link(nbd);
	int r = 1, error;

	for (int tries = 0; tries < 2 && r > 0; tries++) {
		if (!link->handle && reconnect(nbd, link))
			break;
		/* Count it before, since the connection may be lost after the server has accepted
		 * the write; and after, for a flush that runs in between. */
		atomic_fetch_add(&nbd->taken, command != READ && command != FLUSH);
		r = run_once(nbd, link, command, bytes, length, at, flags);
		atomic_fetch_add(&nbd->taken, command != READ && command != FLUSH);
	}
	error = r > 0 ? ENOTCONN : errno;
	pthread_mutex_unlock(&link->lock);
	errno = error;
	return r ? -1 : 0;
}

/* Returns the flags of write commands: FUA if the server cannot flush. */
static uint32_t
fua_flag(const struct nbd *nbd)
{
	return !nbd->flushes && nbd->fua ? LIBNBD_CMD_FLAG_FUA : 0;
}

/* Transfers one memory segment. */
static int
move(struct nbd *nbd, bool write, uint8_t *bytes, size_t length, uint64_t at)
{
	for (size_t done = 0, part; done < length; done += part) {
		part = length - done < nbd->chunk ? length - done : nbd->chunk;
		if (run(nbd, write ? WRITE : READ, bytes + done, part, at + done,
			write ? fua_flag(nbd) : 0))
			return -1;
	}
	return 0;
}

/* Copies between memory segments and one buffer of their total length. */
static void
copy(bool gather, const struct iovec *pieces, int count, uint8_t *bytes)
{
	for (int i = 0; i < count; i++) {
		if (gather)
			memcpy(bytes, pieces[i].iov_base, pieces[i].iov_len);
		else
			memcpy(pieces[i].iov_base, bytes, pieces[i].iov_len);
		bytes += pieces[i].iov_len;
	}
}

/* Joins the segments in one buffer: one command per segment would wait for the server each time. */
static int
export_transfer(struct disk_layer *layer, bool write, struct iovec *pieces, int count, uint64_t at)
{
	size_t length = 0;
	uint8_t *bytes;
	int r, error;

	for (int i = 0; i < count; i++)
		length += pieces[i].iov_len;
	if (count <= 1)
		return count ? move(layer->nbd, write, pieces->iov_base, length, at) : 0;
	bytes = malloc(length);
	if (!bytes)
		return -1;
	if (write)
		copy(true, pieces, count, bytes);
	r = move(layer->nbd, write, bytes, length, at);
	error = errno;
	if (!r && !write)
		copy(false, pieces, count, bytes);
	free(bytes);
	errno = error;
	return r;
}

static int
export_zero(struct disk_layer *layer, enum disk_zero how, uint64_t length, uint64_t at)
{
	struct nbd *nbd = layer->nbd;

	if (how == DISK_DISCARD)
		return nbd->trims ? run(nbd, TRIM, NULL, length, at, fua_flag(nbd)) : 0;
	if (nbd->zeroes)
		return run(nbd, ZERO, NULL, length, at,
			   fua_flag(nbd) | (how == DISK_ZERO ? LIBNBD_CMD_FLAG_NO_HOLE : 0));
	errno = EOPNOTSUPP;
	return -1;
}

/* One flush covers all connections: the server has reported that they share a cache. */
static int
export_flush(struct disk_layer *layer)
{
	struct nbd *nbd = layer->nbd;
	unsigned long taken = atomic_load(&nbd->taken);

	if (nbd->flushes && run(nbd, FLUSH, NULL, 0, 0, 0))
		return -1;
	atomic_store(&nbd->flushed, taken);
	if (!atomic_exchange(&nbd->writes_lost, false))
		return 0;
	errno = EIO;
	return -1;
}

static void
free_nbd(struct nbd *nbd)
{
	if (nbd && nbd->lib.handle)
		dlclose(nbd->lib.handle);
	free(nbd ? nbd->uri : NULL);
	free(nbd);
}

static void
export_close(struct disk_layer *layer)
{
	struct nbd *nbd = layer->nbd;

	for (uint32_t i = 0; i < nbd->count; i++) {
		if (nbd->links[i].handle)
			nbd->lib.aio_disconnect(nbd->links[i].handle, 0);
		nbd->lib.close(nbd->links[i].handle);
		pthread_mutex_destroy(&nbd->links[i].lock);
	}
	pthread_mutex_destroy(&nbd->lock);
	free_nbd(nbd);
	layer->nbd = NULL;
}

const struct disk_store disk_nbd = {
	.transfer = export_transfer,
	.zero = export_zero,
	.flush = export_flush,
	.close = export_close,
};

static void
read_properties(struct nbd *nbd, struct nbd_handle *h)
{
	int64_t most = nbd->lib.get_block_size(h, LIBNBD_SIZE_MAXIMUM);

	nbd->bytes = (uint64_t)nbd->lib.get_size(h);
	nbd->chunk = most >= 512 && most < CHUNK ? (size_t)most / 512 * 512 : CHUNK;
	nbd->flushes = nbd->lib.can_flush(h) > 0;
	nbd->fua = nbd->lib.can_fua(h) > 0;
	nbd->zeroes = nbd->lib.can_zero(h) > 0;
	nbd->trims = nbd->lib.can_trim(h) > 0;
}

/* Adds the first connection, and more if the server allows them. */
static void
connect_all(struct nbd *nbd, struct nbd_handle *first)
{
	uint32_t most = nbd->lib.can_multi_conn(first) > 0 ? LINKS : 1;
	char why[sizeof(nbd->why)];

	for (struct nbd_handle *h = first; h;
	     h = nbd->count < most ? connect_to(nbd, why, sizeof(why)) : NULL) {
		pthread_mutex_init(&nbd->links[nbd->count].lock, NULL);
		nbd->links[nbd->count++].handle = h;
	}
}

int
export_open(struct disk *disk, struct disk_layer *layer, const char *path, bool write)
{
	struct nbd *nbd = calloc(1, sizeof(*nbd));
	char why[160] = "no memory";
	struct nbd_handle *first = NULL;
	const char *wrong = why;

	if (nbd)
		nbd->uri = strdup(path);
	if (nbd && nbd->uri && !load_library(&nbd->lib, why, sizeof(why))) {
		nbd->write = write;
		first = connect_to(nbd, why, sizeof(why));
	}
	if (first)
		wrong = check(nbd, first);
	if (wrong) {
		minivmm_error(disk->dev, "cannot use the disk %s: %s", path, wrong);
		if (first)
			nbd->lib.close(first);
		free_nbd(nbd);
		return -1;
	}
	read_properties(nbd, first);
	pthread_mutex_init(&nbd->lock, NULL);
	connect_all(nbd, first);
	disk->bytes = nbd->bytes;
	layer->store = &disk_nbd;
	layer->nbd = nbd;
	return 0;
}

void
export_hurry(struct disk_layer *layer, bool hurry)
{
	atomic_store(&layer->nbd->hurry, hurry ? clock_ms() + HURRY_MS : 0);
}

void
export_log_connection(struct disk *disk, struct disk_layer *layer)
{
	struct nbd *nbd = layer->nbd;
	char why[sizeof(nbd->why)];
	bool lost, news;

	pthread_mutex_lock(&nbd->lock);
	lost = nbd->lost;
	news = lost != nbd->lost_logged;
	nbd->lost_logged = lost;
	memcpy(why, nbd->why, sizeof(why));
	pthread_mutex_unlock(&nbd->lock);
	if (!news)
		return;
	if (lost)
		minivmm_error(disk->dev,
			      "the connection to the disk %s is lost: %s; requests fail until the "
			      "server is back",
			      layer->path, why);
	else
		minivmm_log(disk->dev, MINIVMM_WARNING, "the connection to the disk %s is restored",
			    layer->path);
}
