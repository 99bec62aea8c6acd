/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A layer's bytes on an NBD server, by libnbd: nbd://HOST[:PORT]/EXPORT,
 * nbd+unix:///EXPORT?socket=PATH, and with TLS nbds:// and nbds+unix://.
 *
 * Where the server lets several connections see one disk there is one for each thread that may be
 * at it, else one. One that is lost is made anew by the next request, or by the one that finds it
 * so, which is then asked once more. What the server had taken but not yet flushed may be gone with
 * it: the next flush fails.
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
#define CONNECT_MS 5000 /* that a server may take to answer */
#define REQUEST_MS 30000
#define CHUNK (1u << 20) /* bytes that one command moves */

/*
 * What is used of libnbd. It brings libraries along, for TLS and more, that take several MiB and
 * their time to load: it is loaded by who has an export, which most machines have not.
 */
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
	struct nbd_handle *handle; /* NULL: lost */
};

struct nbd {
	struct library lib;
	char *uri;
	uint64_t bytes;
	size_t chunk;
	bool write, flushes, fua, zeroes, trims;
	uint32_t count; /* of links */
	struct link links[LINKS];
	atomic_uint next; /* link to wait for */
	atomic_ulong taken,
	    flushed;          /* counts what the server takes; what it was at the last flush */
	atomic_bool gone;     /* what was taken and not flushed */
	pthread_mutex_t lock; /* of what follows */
	bool lost, said;      /* as it is, and as it was last told */
	char why[160];
	uint64_t next_try, tried; /* on the host's clock, in ms; how long the last try took */
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

/* 0; -1: why says why. */
static int
load_library(struct library *lib, char *why, size_t size)
{
	const char *missing = NULL;

	/* It stays: threads may have something of its own to clear up when they end. */
	lib->handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!lib->handle) {
		snprintf(why, size, "there is no " LIBRARY ", which Debian has in libnbd0");
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

/* Lets the connection go on for a while; false: the time is over, or nothing goes on. */
static bool
wait_more(const struct nbd *nbd, struct nbd_handle *handle, uint64_t end)
{
	uint64_t now = clock_ms();

	return now < end && nbd->lib.poll(handle, (int)(end - now)) > 0;
}

/* A connection; NULL: why says why. */
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
		error = strstr(error, ": ") + 2; /* which function of the library's said so */
	snprintf(why, size, "%s",
		 handle &&
			 (nbd->lib.aio_is_connecting(handle) || nbd->lib.aio_is_negotiating(handle))
		     ? "the server does not answer"
		 : error ? error
			 : "no connection");
	nbd->lib.close(handle);
	return NULL;
}

/* What is wrong with the disk at its end; NULL: nothing. */
static const char *
check(const struct nbd *nbd, struct nbd_handle *handle)
{
	if (nbd->lib.get_size(handle) < 0)
		return "the server does not say how large it is";
	if (nbd->write && nbd->lib.is_read_only(handle))
		return "the server lets nobody write to it: set readonly = yes, or overlay = FILE "
		       "to write elsewhere";
	if (nbd->lib.get_block_size(handle, LIBNBD_SIZE_MINIMUM) > 512)
		return "the server's blocks are larger than a sector: have it take 512 bytes";
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
drop(struct nbd *nbd, struct link *link, const char *why)
{
	if (link->handle)
		nbd->lib.close(link->handle);
	link->handle = NULL;
	set_lost(nbd, why);
	if (nbd->write && atomic_load(&nbd->taken) != atomic_load(&nbd->flushed))
		atomic_store(&nbd->gone, true);
}

/* Trying must not take more than half of the time: a server that is not there would hold all who
 * want something. */
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
		drop(nbd, link, wrong);
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

/* On one connection, which is ours: 0; -1: the server says no; 1: the connection is lost. */
static int
once(struct nbd *nbd, struct link *link, enum command command, void *bytes, uint64_t length,
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
			drop(nbd, link, "the server does not answer");
			return 1;
		}
	}
	if (r > 0)
		return 0;
	error = nbd->lib.get_errno();
	if (nbd->lib.aio_is_dead(h) || nbd->lib.aio_is_closed(h)) {
		drop(nbd, link, "the server has ended it");
		return 1;
	}
	errno = error ? error : EIO;
	return -1;
}

/* A connection that is free, or else that comes to be so. */
static struct link *
take(struct nbd *nbd)
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
	struct link *link = take(nbd);
	int r = 1, error;

	for (int tries = 0; tries < 2 && r > 0; tries++) {
		if (!link->handle && reconnect(nbd, link))
			break;
		/* Before, since it may be lost though the server never says that it has it; and
		 * after, for a flush that comes between. */
		atomic_fetch_add(&nbd->taken, command != READ && command != FLUSH);
		r = once(nbd, link, command, bytes, length, at, flags);
		atomic_fetch_add(&nbd->taken, command != READ && command != FLUSH);
	}
	error = r > 0 ? ENOTCONN : errno;
	pthread_mutex_unlock(&link->lock);
	errno = error;
	return r ? -1 : 0;
}

/* Zeros and what is written are on the server's disk when it says so, if it can't be told to
 * flush. */
static uint32_t
lasting(const struct nbd *nbd)
{
	return !nbd->flushes && nbd->fua ? LIBNBD_CMD_FLAG_FUA : 0;
}

/* To or from one piece of memory. */
static int
move(struct nbd *nbd, bool write, uint8_t *bytes, size_t length, uint64_t at)
{
	for (size_t done = 0, part; done < length; done += part) {
		part = length - done < nbd->chunk ? length - done : nbd->chunk;
		if (run(nbd, write ? WRITE : READ, bytes + done, part, at + done,
			write ? lasting(nbd) : 0))
			return -1;
	}
	return 0;
}

/* Between pieces of memory and bytes in one, both length long. */
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

/* A command for each small piece would wait for the server as often. */
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
		return nbd->trims ? run(nbd, TRIM, NULL, length, at, lasting(nbd)) : 0;
	if (nbd->zeroes)
		return run(nbd, ZERO, NULL, length, at,
			   lasting(nbd) | (how == DISK_ZERO ? LIBNBD_CMD_FLAG_NO_HOLE : 0));
	errno = EOPNOTSUPP;
	return -1;
}

/* One flush is for all connections: the server has said that they see one disk. */
static int
export_flush(struct disk_layer *layer)
{
	struct nbd *nbd = layer->nbd;
	unsigned long taken = atomic_load(&nbd->taken);

	if (nbd->flushes && run(nbd, FLUSH, NULL, 0, 0, 0))
		return -1;
	atomic_store(&nbd->flushed, taken);
	if (!atomic_exchange(&nbd->gone, false))
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
learn(struct nbd *nbd, struct nbd_handle *h)
{
	int64_t most = nbd->lib.get_block_size(h, LIBNBD_SIZE_MAXIMUM);

	nbd->bytes = (uint64_t)nbd->lib.get_size(h);
	nbd->chunk = most >= 512 && most < CHUNK ? (size_t)most / 512 * 512 : CHUNK;
	nbd->flushes = nbd->lib.can_flush(h) > 0;
	nbd->fua = nbd->lib.can_fua(h) > 0;
	nbd->zeroes = nbd->lib.can_zero(h) > 0;
	nbd->trims = nbd->lib.can_trim(h) > 0;
}

/* The first connection, and more of them where that is allowed and goes. */
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
		minivmm_error(disk->dev, "can't use the disk %s: %s", path, wrong);
		if (first)
			nbd->lib.close(first);
		free_nbd(nbd);
		return -1;
	}
	learn(nbd, first);
	pthread_mutex_init(&nbd->lock, NULL);
	connect_all(nbd, first);
	disk->bytes = nbd->bytes;
	layer->store = &disk_nbd;
	layer->nbd = nbd;
	return 0;
}

void
export_news(struct disk *disk, struct disk_layer *layer)
{
	struct nbd *nbd = layer->nbd;
	char why[sizeof(nbd->why)];
	bool lost, news;

	pthread_mutex_lock(&nbd->lock);
	lost = nbd->lost;
	news = lost != nbd->said;
	nbd->said = lost;
	memcpy(why, nbd->why, sizeof(why));
	pthread_mutex_unlock(&nbd->lock);
	if (!news)
		return;
	if (lost)
		minivmm_error(disk->dev,
			      "the connection to the disk %s is lost: %s: requests fail until the "
			      "server is there again",
			      layer->path, why);
	else
		minivmm_log(disk->dev, MINIVMM_WARNING, "the disk %s is there again", layer->path);
}
