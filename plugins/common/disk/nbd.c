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
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "disk.h"

#define LINKS 4u
#define HURRY_MS 2000 /* time for the server to answer when the machine has ended */

struct link {
	pthread_mutex_t lock;
	struct nbd_handle *handle; /* NULL: not connected */
};

struct nbd {
	struct client_export export;
	uint32_t count; /* number of links */
	struct link links[LINKS];
	atomic_uint next;        /* the link to wait for if none is free */
	atomic_ulong taken;      /* writes that the server may have accepted, counted */
	atomic_ulong flushed;    /* taken at the last flush */
	atomic_bool writes_lost; /* a connection was lost with writes that were not flushed */
	pthread_mutex_t lock;    /* protects the following members */
	bool lost;               /* the last attempt on a connection failed */
	bool lost_logged;        /* the state that was logged last */
	char why[CLIENT_WHY];
	uint64_t next_try; /* host time in ms before which no attempt is made */
};

bool
export_is(const char *path)
{
	static const char *const schemes[] = { "nbd://", "nbds://", "nbd+unix://", "nbds+unix://" };

	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
		if (!strncmp(path, schemes[i], strlen(schemes[i])))
			return true;
	return false;
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
	client_close(&nbd->export, link->handle, false);
	link->handle = NULL;
	set_lost(nbd, why);
	if (nbd->export.write && atomic_load(&nbd->taken) != atomic_load(&nbd->flushed))
		atomic_store(&nbd->writes_lost, true);
}

/* Attempts to connect take at most half of the time: after one that took t, the next waits for t.
 * Otherwise an absent server would block all requests. */
static int
reconnect(struct nbd *nbd, struct link *link)
{
	char why[CLIENT_WHY];
	uint64_t now = client_clock();
	bool early;

	pthread_mutex_lock(&nbd->lock);
	early = now < nbd->next_try;
	pthread_mutex_unlock(&nbd->lock);
	errno = ENOTCONN;
	if (early)
		return -1;
	link->handle = client_connect(&nbd->export, why);
	pthread_mutex_lock(&nbd->lock);
	nbd->next_try = client_clock() + (client_clock() - now);
	pthread_mutex_unlock(&nbd->lock);
	if (link->handle)
		set_lost(nbd, NULL);
	else
		disconnect(nbd, link, why);
	errno = ENOTCONN;
	return link->handle ? 0 : -1;
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
run(struct nbd *nbd, enum client_command command, void *bytes, uint64_t length, uint64_t at)
{
	const bool writes = command != CLIENT_READ && command != CLIENT_FLUSH;
	struct link *link = take_link(nbd);
	const char *why;
	int r = 1, error;

	for (int tries = 0; tries < 2 && r > 0; tries++) {
		if (!link->handle && reconnect(nbd, link))
			break;
		/* Count it before, since the connection may be lost after the server has accepted
		 * the write; and after, for a flush that runs in between. */
		atomic_fetch_add(&nbd->taken, writes);
		r = client_run(&nbd->export, link->handle, command, bytes, length, at, &why);
		if (r > 0)
			disconnect(nbd, link, why);
		atomic_fetch_add(&nbd->taken, writes);
	}
	error = r > 0 ? ENOTCONN : errno;
	pthread_mutex_unlock(&link->lock);
	errno = error;
	return r ? -1 : 0;
}

/* Transfers one memory segment. */
static int
move(struct nbd *nbd, bool write, uint8_t *bytes, size_t length, uint64_t at)
{
	for (size_t done = 0, part; done < length; done += part) {
		part = length - done < nbd->export.chunk ? length - done : nbd->export.chunk;
		if (run(nbd, write ? CLIENT_WRITE : CLIENT_READ, bytes + done, part, at + done))
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
export_transfer(struct disk_layer *layer, enum disk_way way, struct iovec *pieces, int count,
		uint64_t at)
{
	const bool write = way == DISK_WRITE;
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
		return nbd->export.trims ? run(nbd, CLIENT_TRIM, NULL, length, at) : 0;
	if (nbd->export.zeroes)
		return run(nbd, how == DISK_ZERO ? CLIENT_ZERO : CLIENT_UNMAP, NULL, length, at);
	errno = EOPNOTSUPP;
	return -1;
}

/* One flush covers all connections: the server has reported that they share a cache. */
static int
export_flush(struct disk_layer *layer)
{
	struct nbd *nbd = layer->nbd;
	unsigned long taken = atomic_load(&nbd->taken);

	if (nbd->export.flushes && run(nbd, CLIENT_FLUSH, NULL, 0, 0))
		return -1;
	atomic_store(&nbd->flushed, taken);
	if (!atomic_exchange(&nbd->writes_lost, false))
		return 0;
	errno = EIO;
	return -1;
}

static void
export_close(struct disk_layer *layer)
{
	struct nbd *nbd = layer->nbd;

	for (uint32_t i = 0; i < nbd->count; i++) {
		client_close(&nbd->export, nbd->links[i].handle, true);
		pthread_mutex_destroy(&nbd->links[i].lock);
	}
	pthread_mutex_destroy(&nbd->lock);
	client_free(&nbd->export);
	free(nbd);
	layer->nbd = NULL;
}

const struct disk_store disk_nbd = {
	.transfer = export_transfer,
	.zero = export_zero,
	.flush = export_flush,
	.close = export_close,
};

/* Adds the first connection, and more if the server allows them. */
static void
connect_all(struct nbd *nbd, struct nbd_handle *first)
{
	uint32_t most = nbd->export.several ? LINKS : 1;
	char why[CLIENT_WHY];

	for (struct nbd_handle *h = first; h;
	     h = nbd->count < most ? client_connect(&nbd->export, why) : NULL) {
		pthread_mutex_init(&nbd->links[nbd->count].lock, NULL);
		nbd->links[nbd->count++].handle = h;
	}
}

int
export_open(struct disk *disk, struct disk_layer *layer, const char *path, bool write)
{
	struct nbd *nbd = calloc(1, sizeof(*nbd));
	char why[CLIENT_WHY] = "no memory";
	struct nbd_handle *first = nbd ? client_open(&nbd->export, path, write, why) : NULL;

	if (!first) {
		minivmm_error(disk->dev, "cannot use the disk %s: %s", path, why);
		free(nbd);
		return -1;
	}
	pthread_mutex_init(&nbd->lock, NULL);
	connect_all(nbd, first);
	disk->bytes = nbd->export.bytes;
	layer->store = &disk_nbd;
	layer->nbd = nbd;
	return 0;
}

void
export_hurry(struct disk_layer *layer, bool hurry)
{
	atomic_store(&layer->nbd->export.hurry, hurry ? client_clock() + HURRY_MS : 0);
}

void
export_log_connection(struct disk *disk, struct disk_layer *layer)
{
	struct nbd *nbd = layer->nbd;
	char why[CLIENT_WHY];
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
