/* SPDX-License-Identifier: BSD-2-Clause */
/* Split virtqueues: see queue.h. */
#include "queue.h"

/*
 * Between an index and what it promises: x86 keeps reads in their order, and writes in theirs, so
 * that only the compiler needs to be told. (What needs more is a write before a read:
 * __sync_synchronize.)
 */
static void
virtio_ordered(void)
{
	__asm__ volatile("" ::: "memory");
}

int
virtio_bad(struct minivmm_device *dev, struct virtio *v, const char *why)
{
	virtio_broken(dev, v, why);
	return -1;
}

/* One descriptor: 0, or -1 when the request is none. */
static int
virtio_add(struct minivmm_device *dev, struct virtio *v, struct virtio_request *r,
	   const struct virtio_desc *d)
{
	bool write = d->flags & VIRTIO_DESC_WRITE;

	if (r->out + r->in == VIRTIO_QUEUE_MAX)
		return virtio_bad(dev, v, "a chain of descriptors without end");
	if (!write && r->in)
		return virtio_bad(dev, v, "a descriptor to read behind one to write");
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

/* Follows a chain in a table of count descriptors. */
static int
virtio_follow(struct minivmm_device *dev, struct virtio *v, struct virtio_request *r,
	      uint64_t table, uint32_t count, uint32_t index, bool indirect)
{
	for (uint32_t seen = 0; seen < count; seen++) {
		struct virtio_desc d;

		if (index >= count)
			return virtio_bad(dev, v, "a descriptor that the table does not have");
		if (minivmm_memory_read(dev, table + index * sizeof(d), &d, sizeof(d)))
			return virtio_bad(dev, v, "descriptors that are not in memory");
		if (d.flags & VIRTIO_DESC_INDIRECT) {
			if (indirect || d.flags & VIRTIO_DESC_NEXT ||
			    !virtio_has(v, VIRTIO_F_INDIRECT_DESC))
				return virtio_bad(dev, v,
						  "an indirect descriptor where there may be none");
			if (!d.length || d.length % sizeof(d) ||
			    d.length / sizeof(d) > VIRTIO_QUEUE_MAX)
				return virtio_bad(dev, v, "the size of an indirect table");
			return virtio_follow(dev, v, r, d.address, (uint32_t)(d.length / sizeof(d)),
					     0, true);
		}
		if (virtio_add(dev, v, r, &d))
			return -1;
		if (!(d.flags & VIRTIO_DESC_NEXT))
			return 0;
		index = d.next;
	}
	return virtio_bad(dev, v, "a chain of descriptors that bites its tail");
}

void
virtio_ask(struct minivmm_device *dev, struct virtio *v, uint32_t q)
{
	if (virtio_has(v, VIRTIO_F_EVENT_IDX))
		minivmm_memory_write(dev, v->ring[q] + 4 + 8ull * v->size[q], &v->next[q],
				     sizeof(v->next[q]));
	__sync_synchronize(); /* before the driver's index is read again */
}

int
virtio_pop(struct minivmm_device *dev, struct virtio *v, uint32_t q, struct virtio_request *r)
{
	uint16_t index, head;
	uint64_t cost;

	r->out = r->in = 0;
	r->out_bytes = r->in_bytes = 0;
	if (!virtio_live(v, q) || !v->pending[q])
		return 0;
	if (!v->budget) {
		minivmm_post(dev, 0);
		return 0;
	}
	for (int again = 0;; again++) {
		if (minivmm_memory_read(dev, v->avail[q] + 2, &index, sizeof(index)))
			return virtio_bad(dev, v, "an available ring that is not in memory");
		if (index != v->next[q])
			break;
		if (again) {
			v->pending[q] = false;
			return 0;
		}
		virtio_ask(dev, v, q);
	}
	if ((uint16_t)(index - v->next[q]) > v->size[q])
		return virtio_bad(dev, v, "an index that jumps");
	virtio_ordered(); /* the ring is read after its index */
	if (minivmm_memory_read(dev, v->avail[q] + 4 + 2ull * (v->next[q] & (v->size[q] - 1)),
				&head, sizeof(head)))
		return virtio_bad(dev, v, "an available ring that is not in memory");
	r->head = head;
	if (virtio_follow(dev, v, r, v->desc[q], v->size[q], head, false))
		return -1;
	v->next[q]++;
	/* Much in one request is as good as many. */
	cost = 1 + (r->out_bytes + r->in_bytes) / VIRTIO_TURN_BYTES;
	v->budget -= cost < v->budget ? (uint32_t)cost : v->budget;
	return 1;
}

int
virtio_put(struct minivmm_device *dev, struct virtio *v, uint32_t q, uint16_t head,
	   uint32_t written, uint16_t ahead)
{
	const struct {
		uint32_t id, length;
	} element = { head, written };
	uint16_t place = (uint16_t)(v->used[q] + ahead) & (uint16_t)(v->size[q] - 1);

	if (minivmm_memory_write(dev, v->ring[q] + 4 + sizeof(element) * place, &element,
				 sizeof(element)))
		return virtio_bad(dev, v, "a used ring that is not in memory");
	return 0;
}

int
virtio_publish(struct minivmm_device *dev, struct virtio *v, uint32_t q, uint16_t count)
{
	uint16_t event = 0, flags = 0, old = v->used[q];

	virtio_ordered(); /* the index is written after the elements */
	v->used[q] += count;
	if (minivmm_memory_write(dev, v->ring[q] + 2, &v->used[q], sizeof(v->used[q])))
		return virtio_bad(dev, v, "a used ring that is not in memory");
	__sync_synchronize(); /* and read what the driver wants after that */
	if (virtio_has(v, VIRTIO_F_EVENT_IDX)) {
		if (minivmm_memory_read(dev, v->avail[q] + 4 + 2ull * v->size[q], &event,
					sizeof(event)))
			return virtio_bad(dev, v, "an available ring that is not in memory");
		/* Section 2.7.10: has the index passed the event? */
		if ((uint16_t)(v->used[q] - event - 1) >= (uint16_t)(v->used[q] - old))
			return 0;
	} else {
		if (minivmm_memory_read(dev, v->avail[q], &flags, sizeof(flags)))
			return virtio_bad(dev, v, "an available ring that is not in memory");
		if (flags & 1)
			return 0;
	}
	virtio_interrupt(dev, v, VIRTIO_INTERRUPT_USED);
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
			return virtio_bad(dev, v, "a buffer that is not in memory");
		done += part;
		offset = 0;
	}
	return (int64_t)done;
}
