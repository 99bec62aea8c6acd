/* SPDX-License-Identifier: BSD-2-Clause */
/* Split virtqueues (virtio 1.2, section 2.7): requests out of guest memory, and back. */
#ifndef PLUGINS_COMMON_QUEUE_H
#define PLUGINS_COMMON_QUEUE_H

#include "virtio.h"

struct virtio_desc {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};
#define VIRTIO_DESC_NEXT 1u
#define VIRTIO_DESC_WRITE 2u
#define VIRTIO_DESC_INDIRECT 4u

/* A request: segments of guest memory, first those that the device reads, then those that it
 * writes. */
struct virtio_request {
	uint16_t head;
	uint32_t out, in;             /* how many segments of each */
	uint64_t out_bytes, in_bytes; /* in them */
	struct virtio_segment {
		uint64_t address;
		uint32_t length;
	} segments[VIRTIO_QUEUE_MAX];
};

/* virtio_broken(), and -1 to return. */
int virtio_bad(struct minivmm_device *dev, struct virtio *v, const char *why);

/* With event indices: asks to be notified of what comes after all that has been seen. */
void virtio_ask(struct minivmm_device *dev, struct virtio *v, uint32_t q);

#define VIRTIO_TURN_BYTES 65536u /* cost as much of a turn's budget as a request */

/* The next request of a queue that is live and pending: 1; 0: there is none; -1: the driver has
 * lost its device. */
int virtio_pop(struct minivmm_device *dev, struct virtio *v, uint32_t q, struct virtio_request *r);

/* Takes the last request back into the queue: it comes again. */
static inline void
virtio_unpop(struct virtio *v, uint32_t q)
{
	v->next[q]--;
}

/*
 * Puts a request into the used ring, written bytes of it, behind ahead others that were put there
 * so: the driver sees none of them before virtio_publish(). 0, or -1 as virtio_pop.
 */
int virtio_put(struct minivmm_device *dev, struct virtio *v, uint32_t q, uint16_t head,
	       uint32_t written, uint16_t ahead);

/* Shows the driver so many requests that have been put, at once, and interrupts if it wants that.
 * 0, or -1 as virtio_pop. */
int virtio_publish(struct minivmm_device *dev, struct virtio *v, uint32_t q, uint16_t count);

/* Gives a request back. 0, or -1 as virtio_pop. */
int virtio_push(struct minivmm_device *dev, struct virtio *v, uint32_t q,
		const struct virtio_request *r, uint32_t written);

/*
 * Copies between bytes and the segments that the device reads (out) or writes (in), from an offset
 * in them. How much was copied: less than length at their end; -1 after memory that is none.
 */
int64_t virtio_copy(struct minivmm_device *dev, struct virtio *v, const struct virtio_request *r,
		    bool in, uint64_t offset, void *bytes, uint64_t length);

#endif
