/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Doorbells of I/O queues in guest memory (NVM Express 1.4, section 7.13). The driver writes the
 * new index to a page, and to the register only if it passes the event index in another page: a
 * busy guest makes few exits. The controller sets the event index, and then looks once more,
 * because the driver may have written before.
 *
 * The admin queue has registers only.
 */
#include "nvme.h"

/* A doorbell has the same offset as its register: in turn for a submission and a completion queue.
 */
static uint64_t
doorbell_offset(uint32_t id, bool cq)
{
	return 8ull * id + 4 * cq;
}

static void
set_event(struct minivmm_device *dev, uint32_t id, bool cq, uint32_t index)
{
	struct nvme *n = minivmm_state(dev);

	if (minivmm_memory_write(dev, n->shadow_events + doorbell_offset(id, cq), &index,
				 sizeof(index)))
		nvme_fatal(dev, "the doorbell buffer is not in guest memory");
	/* The look follows in memory, too. ThreadSanitizer knows no atomic_thread_fence(). */
	__asm__ volatile("mfence" : : : "memory");
}

/* Returns whether there is a new index. */
static bool
look(struct minivmm_device *dev, uint32_t id, bool cq, uint16_t *index)
{
	struct nvme *n = minivmm_state(dev);
	uint32_t now, size = cq ? n->cq_size[id] : n->sq_size[id], posted;

	if (minivmm_memory_read(dev, n->shadow + doorbell_offset(id, cq), &now, sizeof(now))) {
		nvme_fatal(dev, "the doorbell buffer is not in guest memory");
		return false;
	}
	now &= 0xffff;
	if (now == *index)
		return false;
	posted = (n->cq_tail[id] + size - n->cq_head[id]) % (size ? size : 1);
	if (now >= size || (cq && (now + size - n->cq_head[id]) % size > posted)) {
		nvme_report(dev, EVENT_DOORBELL_VALUE);
		return false;
	}
	*index = (uint16_t)now;
	return true;
}

bool
nvme_shadow_tail(struct minivmm_device *dev, uint32_t sq)
{
	struct nvme *n = minivmm_state(dev);

	if (!nvme_shadowed(n, sq) || !n->sq_size[sq])
		return false;
	look(dev, sq, false, &n->sq_tail[sq]);
	return true;
}

bool
nvme_shadow_await_tail(struct minivmm_device *dev, uint32_t sq)
{
	struct nvme *n = minivmm_state(dev);

	if (!nvme_shadowed(n, sq) || !n->sq_size[sq])
		return false;
	set_event(dev, sq, false, n->sq_tail[sq]);
	return look(dev, sq, false, &n->sq_tail[sq]);
}

bool
nvme_shadow_head(struct minivmm_device *dev, uint32_t cq, bool await)
{
	struct nvme *n = minivmm_state(dev);

	if (!nvme_shadowed(n, cq) || !n->cq_size[cq])
		return false;
	look(dev, cq, true, &n->cq_head[cq]);
	/* With the pin, the controller must know what the driver has consumed. */
	if (await || !n->cq_vector[cq]) {
		set_event(dev, cq, true, n->cq_head[cq]);
		look(dev, cq, true, &n->cq_head[cq]);
	}
	return true;
}

/* Sets both words of a doorbell. An event index before the head asks for no register writes. */
static int
begin_doorbell(struct minivmm_device *dev, uint32_t id, bool cq, uint32_t index, uint32_t event)
{
	struct nvme *n = minivmm_state(dev);

	return minivmm_memory_write(dev, n->shadow + doorbell_offset(id, cq), &index,
				    sizeof(index)) ||
	       minivmm_memory_write(dev, n->shadow_events + doorbell_offset(id, cq), &event,
				    sizeof(event));
}

int
nvme_shadow_begin(struct minivmm_device *dev, uint32_t id)
{
	struct nvme *n = minivmm_state(dev);
	uint32_t tail = n->sq_tail[id], head = n->cq_head[id], r = 0;

	if (!nvme_shadowed(n, id))
		return 0;
	if (n->sq_size[id])
		r |= (uint32_t)begin_doorbell(dev, id, false, tail, tail);
	if (n->cq_size[id])
		r |= (uint32_t)begin_doorbell(dev, id, true, head,
					      n->cq_vector[id] ? (head - 1) & 0xffff : head);
	return r ? -1 : 0;
}

uint16_t
nvme_shadow_configure(struct minivmm_device *dev, const struct nvme_command *c)
{
	struct nvme *n = minivmm_state(dev);

	if (!c->prp1 || !c->prp2 || c->prp1 % NVME_PAGE || c->prp2 % NVME_PAGE)
		return NVME_INVALID_FIELD;
	n->shadow = c->prp1;
	n->shadow_events = c->prp2;
	for (uint32_t id = 1; id < NVME_IDS; id++)
		if (nvme_shadow_begin(dev, id)) {
			n->shadow = n->shadow_events = 0;
			return NVME_INVALID_FIELD;
		}
	return NVME_SUCCESS;
}
