/* SPDX-License-Identifier: BSD-2-Clause */
/* Split virtqueues (virtio 1.2, section 2.7): takes requests from the avail ring and returns them
 * through the used ring. */
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

/* A request: segments of guest memory. The segments that the device reads come first, then those
 * that it writes. */
struct virtio_request {
	uint16_t head;
	uint32_t out, in;             /* number of segments of each kind */
	uint64_t out_bytes, in_bytes; /* their total length */
	struct virtio_segment {
		uint64_t address;
		uint32_t length;
	} segments[VIRTIO_QUEUE_MAX];
};

/* Calls virtio_broken() and returns -1. */
int virtio_bad(struct minivmm_device *dev, struct virtio *v, const char *why);

/* With VIRTIO_F_EVENT_IDX: sets avail_event to last_avail_idx, so that the driver notifies the
 * device of its next request. */
void virtio_set_avail_event(struct minivmm_device *dev, struct virtio *v, uint32_t q);

#define VIRTIO_TURN_BYTES 65536u /* this many bytes cost as much of the budget as one request */

/* Takes the next request of a live and pending queue. Returns 1 with the request in r; 0 if the
 * queue is empty or the budget is used up; -1 after virtio_broken(). */
int virtio_pop(struct minivmm_device *dev, struct virtio *v, uint32_t q, struct virtio_request *r);

/* Reads the request that starts at head once more, after a pause. Returns 0; -1 after
 * virtio_broken(). */
int virtio_again(struct minivmm_device *dev, struct virtio *v, uint32_t q, uint16_t head,
		 struct virtio_request *r);

/* Charges the budget with the cost of a request beyond its bytes, which virtio_pop() has charged:
 * one for each call to the host that takes as long as VIRTIO_TURN_BYTES of data. */
static inline void
virtio_spend(struct virtio *v, uint64_t cost)
{
	v->budget -= cost < v->budget ? (uint32_t)cost : v->budget;
}

/* Undoes the last virtio_pop(): the next call returns the same request. */
static inline void
virtio_unpop(struct virtio *v, uint32_t q)
{
	v->last_avail_idx[q]--;
}

/*
 * Writes one element of the used ring: the descriptor chain that starts at head, with written
 * bytes. ahead: the number of elements that are written and not yet published. The driver sees none
 * of them before virtio_publish(). Returns 0, or -1 after virtio_broken().
 */
int virtio_put(struct minivmm_device *dev, struct virtio *v, uint32_t q, uint16_t head,
	       uint32_t written, uint16_t ahead);

/* Adds count to used_idx, which shows the driver the elements that virtio_put() has written.
 * Interrupts the driver unless it has suppressed that. Returns 0, or -1 after virtio_broken(). */
int virtio_publish(struct minivmm_device *dev, struct virtio *v, uint32_t q, uint16_t count);

/* Returns one request to the driver: virtio_put() and virtio_publish(). Returns 0, or -1 after
 * virtio_broken(). */
int virtio_push(struct minivmm_device *dev, struct virtio *v, uint32_t q,
		const struct virtio_request *r, uint32_t written);

/*
 * Copies length bytes between a buffer and the segments that the device reads (in false) or writes
 * (in true), starting at an offset in these segments. Returns the number of bytes copied, which is
 * less than length at the end of the segments; -1 after virtio_broken() if a segment is not in
 * guest memory.
 */
int64_t virtio_copy(struct minivmm_device *dev, struct virtio *v, const struct virtio_request *r,
		    bool in, uint64_t offset, void *bytes, uint64_t length);

#endif
