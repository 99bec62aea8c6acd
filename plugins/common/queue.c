/* SPDX-License-Identifier: BSD-2-Clause */
/* Split virtqueues: see queue.h. */
#include "queue.h"

/*
 * Keeps the compiler from reordering an index and the entries that it publishes. x86 reorders
 * neither reads nor writes among themselves, so a compiler barrier is enough. A read after a write
 * needs __sync_synchronize().
 */
static void
virtio_barrier(void)
{
	__asm__ volatile("" ::: "memory");
}

int
virtio_bad(struct minivmm_device *dev, struct virtio *v, const char *why)
{
	virtio_broken(dev, v, why);
	return -1;
}

/* Adds one descriptor to the request. Returns 0, or -1 after virtio_broken(). */
static int
virtio_add(struct minivmm_device *dev, struct virtio *v, struct virtio_request *r,
	   const struct virtio_desc *d)
{
	bool write = d->flags & VIRTIO_DESC_WRITE;

	if (r->out + r->in == VIRTIO_QUEUE_MAX)
		return virtio_bad(dev, v, "a descriptor chain has more than 256 segments");
	if (!write && r->in)
		return virtio_bad(dev, v,
				  "a device-readable descriptor follows a device-writable one");
	r->segments[r->out + r->in] = (struct virtio_segment){ d->address, d->length };
	if (write) {
		r->in++;
		r->in_bytes += d->length;
	} else {
		r->out++;
		r->out_bytes += d->length;
	}
	return 0;
}

/* Adds a chain of descriptors to the request. The table has count descriptors; index is the first
 * of the chain. */
static int
virtio_follow(struct minivmm_device *dev, struct virtio *v, struct virtio_request *r,
	      uint64_t table, uint32_t count, uint32_t index, bool indirect)
{
	for (uint32_t seen = 0; seen < count; seen++) {
		struct virtio_desc d;

		if (index >= count)
			return virtio_bad(dev, v, "a descriptor index is outside the table");
		if (minivmm_memory_read(dev, table + index * sizeof(d), &d, sizeof(d)))
			return virtio_bad(dev, v, "a descriptor table is not in guest memory");
		if (d.flags & VIRTIO_DESC_INDIRECT) {
			if (indirect || d.flags & VIRTIO_DESC_NEXT ||
			    !virtio_has(v, VIRTIO_F_INDIRECT_DESC))
				return virtio_bad(dev, v,
						  "an indirect descriptor is not allowed here");
			if (!d.length || d.length % sizeof(d) ||
			    d.length / sizeof(d) > VIRTIO_QUEUE_MAX)
				return virtio_bad(dev, v, "an indirect table has a bad size");
			return virtio_follow(dev, v, r, d.address, (uint32_t)(d.length / sizeof(d)),
					     0, true);
		}
		if (virtio_add(dev, v, r, &d))
			return -1;
		if (!(d.flags & VIRTIO_DESC_NEXT))
			return 0;
		index = d.next;
	}
	return virtio_bad(dev, v, "a descriptor chain is a loop");
}

void
virtio_set_avail_event(struct minivmm_device *dev, struct virtio *v, uint32_t q)
{
	if (virtio_has(v, VIRTIO_F_EVENT_IDX))
		minivmm_memory_write(dev, v->used_ring[q] + 4 + 8ull * v->size[q],
				     &v->last_avail_idx[q], sizeof(v->last_avail_idx[q]));
	__sync_synchronize(); /* before the driver's index is read again */
}

int
virtio_again(struct minivmm_device *dev, struct virtio *v, uint32_t q, uint16_t head,
	     struct virtio_request *r)
{
	r->head = head;
	r->out = r->in = 0;
	r->out_bytes = r->in_bytes = 0;
	return virtio_follow(dev, v, r, v->desc[q], v->size[q], head, false);
}

int
virtio_pop(struct minivmm_device *dev, struct virtio *v, uint32_t q, struct virtio_request *r)
{
	uint16_t index, head;

	if (!virtio_live(v, q) || !v->pending[q])
		return 0;
	if (!v->budget) {
		minivmm_post(dev, 0);
		return 0;
	}
	for (int again = 0;; again++) {
		if (minivmm_memory_read(dev, v->avail_ring[q] + 2, &index, sizeof(index)))
			return virtio_bad(dev, v, "an avail ring is not in guest memory");
		if (index != v->last_avail_idx[q])
			break;
		if (again) {
			v->pending[q] = false;
			return 0;
		}
		virtio_set_avail_event(dev, v, q);
	}
	if ((uint16_t)(index - v->last_avail_idx[q]) > v->size[q])
		return virtio_bad(
		    dev, v, "the index of an avail ring is ahead by more than the queue size");
	virtio_barrier(); /* the index is read before the entry */
	if (minivmm_memory_read(
		dev, v->avail_ring[q] + 4 + 2ull * (v->last_avail_idx[q] & (v->size[q] - 1)), &head,
		sizeof(head)))
		return virtio_bad(dev, v, "an avail ring is not in guest memory");
	if (virtio_again(dev, v, q, head, r))
		return -1;
	v->last_avail_idx[q]++;
	/* A large request costs as much as several small ones. */
	virtio_spend(v, 1 + (r->out_bytes + r->in_bytes) / VIRTIO_TURN_BYTES);
	return 1;
}

int
virtio_put(struct minivmm_device *dev, struct virtio *v, uint32_t q, uint16_t head,
	   uint32_t written, uint16_t ahead)
{
	const struct {
		uint32_t id, length;
	} element = { head, written };
	uint16_t place = (uint16_t)(v->used_idx[q] + ahead) & (uint16_t)(v->size[q] - 1);

	if (minivmm_memory_write(dev, v->used_ring[q] + 4 + sizeof(element) * place, &element,
				 sizeof(element)))
		return virtio_bad(dev, v, "a used ring is not in guest memory");
	return 0;
}

int
virtio_publish(struct minivmm_device *dev, struct virtio *v, uint32_t q, uint16_t count)
{
	uint16_t event = 0, flags = 0, old = v->used_idx[q];

	virtio_barrier(); /* the elements are written before the index */
	v->used_idx[q] += count;
	if (minivmm_memory_write(dev, v->used_ring[q] + 2, &v->used_idx[q], sizeof(v->used_idx[q])))
		return virtio_bad(dev, v, "a used ring is not in guest memory");
	__sync_synchronize(); /* the index is written before used_event or the flags are read */
	if (virtio_has(v, VIRTIO_F_EVENT_IDX)) {
		if (minivmm_memory_read(dev, v->avail_ring[q] + 4 + 2ull * v->size[q], &event,
					sizeof(event)))
			return virtio_bad(dev, v, "an avail ring is not in guest memory");
		/* Section 2.7.10: interrupt only if used_idx has passed used_event. */
		if ((uint16_t)(v->used_idx[q] - event - 1) >= (uint16_t)(v->used_idx[q] - old))
			return 0;
	} else {
		if (minivmm_memory_read(dev, v->avail_ring[q], &flags, sizeof(flags)))
			return virtio_bad(dev, v, "an avail ring is not in guest memory");
		if (flags & 1)
			return 0;
	}
	virtio_interrupt(dev, v, q);
	return 0;
}

int
virtio_push(struct minivmm_device *dev, struct virtio *v, uint32_t q,
	    const struct virtio_request *r, uint32_t written)
{
	return virtio_put(dev, v, q, r->head, written, 0) ? -1 : virtio_publish(dev, v, q, 1);
}

int64_t
virtio_copy(struct minivmm_device *dev, struct virtio *v, const struct virtio_request *r, bool in,
	    uint64_t offset, void *bytes, uint64_t length)
{
	uint32_t first = in ? r->out : 0, count = in ? r->in : r->out;
	uint64_t done = 0;

	for (uint32_t i = first; i < first + count && done < length; i++) {
		const struct virtio_segment *s = &r->segments[i];
		uint64_t part = s->length;
		uint8_t *place = (uint8_t *)bytes + done;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		part -= offset;
		part = part < length - done ? part : length - done;
		if (in ? minivmm_memory_write(dev, s->address + offset, place, part)
		       : minivmm_memory_read(dev, s->address + offset, place, part))
			return virtio_bad(dev, v, "a buffer is not in guest memory");
		done += part;
		offset = 0;
	}
	return (int64_t)done;
}
