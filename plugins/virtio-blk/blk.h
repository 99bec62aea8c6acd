/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio disk: a front end of common/disk/block.h. blk.c is the device and takes requests from
 * the queues, request.c parses and completes them.
 */
#ifndef PLUGINS_VIRTIO_BLK_H
#define PLUGINS_VIRTIO_BLK_H

#include "../common/disk/block.h"
#include "../common/queue.h"

#define RANGE_SECTORS (1u << 17) /* maximum of one range: 64 MiB */
#define RANGES 16u               /* maximum per request */

#define BLK_F_SEG_MAX (1ull << 2)
#define BLK_F_RO (1ull << 5)
#define BLK_F_BLK_SIZE (1ull << 6)
#define BLK_F_FLUSH (1ull << 9)
#define BLK_F_MQ (1ull << 12)
#define BLK_F_DISCARD (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

enum blk_type { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum blk_status { OK = 0, IOERR = 1, UNSUPP = 2 };

struct blk_request {
	struct block_job job;
	struct virtio_request request;
	uint32_t queue;
	uint8_t status;   /* enum blk_status, for the driver */
	uint32_t written; /* length for the used ring, in bytes */
};

struct blk {
	struct virtio virtio;
	struct block block;
	const char *serial; /* option */
	uint16_t queues;    /* option */
	/* State: requests that a pause has interrupted. */
	uint8_t held_queues[BLOCK_FLIGHT];
	uint16_t held_heads[BLOCK_FLIGHT];
};

/* request.c. Parses the request and maps its memory. Returns true if the job must be executed; else
 * its status is set. */
bool request_begin(struct minivmm_device *dev, struct blk_request *request);
/* Returns the request to the driver, unless the queue is no longer live. */
void request_complete(struct minivmm_device *dev, struct block_job *job);

#define BLK_POST_DONE 1u          /* row of the posts */
#define BLK_QUEUES 4              /* the number of rows of VIRTIO_WATCHES */
#define BLK_WATCH_RING BLK_QUEUES /* row of the watches, after those */
#define BLK_TIMER_RATE 0u         /* row of the timers */

#endif
