/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections to an export of an NBD server, by libnbd. Several threads may use them at the same
 * time, each with another connection. No function blocks for longer than the server has to answer.
 */
#ifndef PLUGINS_COMMON_DISK_CLIENT_H
#define PLUGINS_COMMON_DISK_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define CLIENT_WHY 160u /* size of a reason, a string */

enum client_command {
	CLIENT_READ,
	CLIENT_WRITE,
	CLIENT_ZERO,  /* zeros, which stay allocated */
	CLIENT_UNMAP, /* zeros, which may be deallocated */
	CLIENT_TRIM,  /* any content */
	CLIENT_FLUSH,
};

struct nbd_handle; /* of libnbd: a connection */

struct client_export {
	struct library *lib; /* functions of libnbd */
	char *uri;
	bool write;          /* for writing */
	atomic_ullong hurry; /* host time in ms at which requests are given up; 0: none */
	/* What the server has reported. */
	uint64_t bytes;
	size_t chunk; /* maximum bytes per command */
	bool flushes, fua, zeroes, trims;
	bool several; /* connections to it share a cache */
};

/* Loads libnbd and makes the first connection, for client_close(). Returns NULL: why has the
 * reason; else client_free() follows at the end. */
struct nbd_handle *client_open(struct client_export *e, const char *uri, bool write,
			       char why[CLIENT_WHY]);
void client_free(struct client_export *e);
/* Makes another connection. Returns NULL: why has the reason. */
struct nbd_handle *client_connect(const struct client_export *e, char why[CLIENT_WHY]);
/* Ends a connection; NULL: nothing. orderly: the server is informed. */
void client_close(const struct client_export *e, struct nbd_handle *handle, bool orderly);
/* Runs a command. Without flushes, writes are on stable storage when it ends. Returns 0; -1 with
 * errno: the server reports an error; 1: the connection is lost, *why is the reason. */
int client_run(const struct client_export *e, struct nbd_handle *handle,
	       enum client_command command, void *bytes, uint64_t length, uint64_t at,
	       const char **why);

/* Returns the host's time in ms. */
static inline uint64_t
client_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#endif
