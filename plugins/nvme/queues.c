/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Submission and completion queues (NVM Express 1.4, section 4.1): takes commands, posts
 * completions, interrupts the driver.
 */
#include <string.h>

#include "nvme.h"

#define BUDGET 1024u
#define BUDGET_BYTES 65536u /* this many bytes cost as much of the budget as one command */
#define PHASE (1u << 16)
#define DO_NOT_RETRY (1u << 31)

struct completion {
	uint32_t result, reserved, sq, status;
};

void
nvme_set_sq(struct nvme *n, uint32_t sq, uint64_t base, uint32_t size, uint32_t cq)
{
	n->sq_base[sq] = base;
	n->sq_size[sq] = (uint16_t)size;
	n->sq_head[sq] = n->sq_tail[sq] = 0;
	n->sq_cq[sq] = (uint8_t)cq;
	n->sq_deleting[sq] = false;
	n->delete_cid[sq] = 0;
	n->in_progress[sq] = 0;
}

void
nvme_set_cq(struct nvme *n, uint32_t cq, uint64_t base, uint32_t size)
{
	n->cq_base[cq] = base;
	n->cq_size[cq] = (uint16_t)size;
	n->cq_head[cq] = n->cq_tail[cq] = 0;
	n->cq_phase[cq] = size;
	n->cq_interrupts[cq] = false;
	n->cq_vector[cq] = 0;
	n->reserved[cq] = 0;
	n->signals[cq] = false;
}

void
nvme_drop_queues(struct minivmm_device *dev)
{
	struct nvme *n = minivmm_state(dev);

	for (uint32_t i = 0; i < NVME_IDS; i++) {
		nvme_set_sq(n, i, 0, 0, 0);
		nvme_set_cq(n, i, 0, 0);
	}
	n->event_count = 0;
	n->events = n->events_reported = 0;
	n->shadow = n->shadow_events = 0;
	nvme_update_pin(dev);
}

/* Vector 0 is the only one with the pin. */
void
nvme_update_pin(struct minivmm_device *dev)
{
	struct nvme *n = minivmm_state(dev);
	bool up = false;

	for (uint32_t i = 0; i < NVME_IDS; i++)
		up |= n->cq_interrupts[i] && !n->cq_vector[i] && n->cq_head[i] != n->cq_tail[i];
	up &= !(n->intms & 1);
	minivmm_irq_set(dev, &n->pin, up);
}

/* Without MSI-X, the message has no effect; with it, the pin. */
static void
interrupt(struct minivmm_device *dev, uint32_t cq)
{
	struct nvme *n = minivmm_state(dev);

	n->signals[cq] = false;
	minivmm_irq_pulse(dev, &n->messages[n->cq_vector[cq]]);
	nvme_update_pin(dev);
}

/* Ends a batch: one interrupt for the completions of each queue. */
static void
end_batch(struct minivmm_device *dev)
{
	struct nvme *n = minivmm_state(dev);

	n->batch = false;
	for (uint32_t i = 0; i < NVME_IDS; i++)
		if (n->signals[i])
			interrupt(dev, i);
}

/* Returns the number of entries that can be posted. */
static uint32_t
room(const struct nvme *n, uint32_t cq)
{
	uint32_t size = n->cq_size[cq], used = n->cq_tail[cq] + size - n->cq_head[cq];

	return size ? size - 1 - used % size : 0;
}

/* The driver polls for the phase bit, so that the last word must follow the others. */
static int
put_entry(struct minivmm_device *dev, struct nvme *n, uint32_t cq, const struct completion *c)
{
	uint64_t at = n->cq_base[cq] + n->cq_tail[cq] * sizeof(*c);
	const size_t last = offsetof(struct completion, status);

	return minivmm_memory_write(dev, at, c, last) ||
		       minivmm_memory_write(dev, at + last, &c->status, sizeof(c->status))
		   ? -1
		   : 0;
}

/* Posts a completion; there is room, unless the state comes from a snapshot that somebody has made
 * up. */
static void
post(struct minivmm_device *dev, uint32_t sq, uint16_t cid, uint16_t status, uint32_t result)
{
	struct nvme *n = minivmm_state(dev);
	uint32_t cq = n->sq_cq[sq];
	const struct completion c = { result, 0, n->sq_head[sq] | sq << 16,
				      cid | (n->cq_phase[cq] ? PHASE : 0) | (uint32_t)status << 17 |
					  (status && status != NVME_ABORTED ? DO_NOT_RETRY : 0) };

	if (!room(n, cq) || put_entry(dev, n, cq, &c)) {
		nvme_fatal(dev, "a completion queue is not in guest memory");
		return;
	}
	n->cq_tail[cq]++;
	if (n->cq_tail[cq] == n->cq_size[cq]) {
		n->cq_tail[cq] = 0;
		n->cq_phase[cq] = !n->cq_phase[cq];
	}
	if (!n->cq_interrupts[cq])
		return;
	n->signals[cq] = true;
	if (!n->batch)
		interrupt(dev, cq);
}

void
nvme_end_command(struct nvme *n, uint32_t sq)
{
	n->in_progress[sq]--;
	n->reserved[n->sq_cq[sq]]--;
}

void
nvme_post(struct minivmm_device *dev, uint32_t sq, const struct nvme_command *command,
	  uint16_t status, uint32_t result)
{
	struct nvme *n = minivmm_state(dev);

	nvme_end_command(n, sq);
	if (status)
		nvme_log_error(dev, sq, command, status);
	post(dev, sq, command->cid, status, result);
	nvme_end_delete(dev, sq);
}

void
nvme_end_delete(struct minivmm_device *dev, uint32_t sq)
{
	struct nvme *n = minivmm_state(dev);
	uint16_t cid = n->delete_cid[sq];

	if (!n->sq_deleting[sq] || n->in_progress[sq])
		return;
	nvme_set_sq(n, sq, 0, 0, 0);
	nvme_end_command(n, 0);
	post(dev, 0, cid, NVME_SUCCESS, 0);
}

bool
nvme_post_event(struct minivmm_device *dev, uint16_t cid, uint16_t status, uint32_t result)
{
	struct nvme *n = minivmm_state(dev);

	if (room(n, 0) <= n->reserved[0])
		return false;
	post(dev, 0, cid, status, result);
	return true;
}

/* Takes the next command of a queue. */
static int
fetch(struct minivmm_device *dev, struct nvme *n, uint32_t sq, struct nvme_command *command)
{
	uint64_t at = n->sq_base[sq] + n->sq_head[sq] * sizeof(*command);

	if (minivmm_memory_read(dev, at, command, sizeof(*command))) {
		nvme_fatal(dev, "a submission queue is not in guest memory");
		return -1;
	}
	n->sq_head[sq]++;
	if (n->sq_head[sq] == n->sq_size[sq])
		n->sq_head[sq] = 0;
	n->in_progress[sq]++;
	n->reserved[n->sq_cq[sq]]++;
	return 0;
}

static int
take_admin(struct minivmm_device *dev, struct nvme *n)
{
	struct nvme_command command;
	uint32_t result = 0;
	uint16_t status;

	if (fetch(dev, n, 0, &command))
		return -1;
	status = nvme_admin(dev, &command, &result);
	if (status != NVME_LATER)
		nvme_post(dev, 0, &command, status, result);
	return 0;
}

static int
take_io(struct minivmm_device *dev, struct nvme *n, uint32_t sq)
{
	struct nvme_request *r = (struct nvme_request *)block_job(&n->block);
	uint64_t cost;
	bool execute;

	if (!r)
		return -1;
	if (fetch(dev, n, sq, &r->command)) {
		block_spare(&n->block, &r->job);
		return -1;
	}
	r->queue = (uint8_t)sq;
	execute = nvme_io(dev, r);
	cost = execute ? block_bytes(&r->job) / BUDGET_BYTES : 0;
	n->budget -= cost < n->budget ? (uint32_t)cost : n->budget;
	block_begin(&n->block, &r->job, execute);
	return 0;
}

/* Whether the completion of another command has room. */
static bool
has_room(struct minivmm_device *dev, struct nvme *n, uint32_t cq)
{
	return room(n, cq) > n->reserved[cq] ||
	       (nvme_shadow_head(dev, cq, true) && room(n, cq) > n->reserved[cq]);
}

/* Whether a command can be taken. */
static bool
ready(struct minivmm_device *dev, struct nvme *n, uint32_t sq)
{
	return n->budget && n->csts & CSTS_READY && !(n->csts & CSTS_FATAL) &&
	       n->sq_head[sq] != n->sq_tail[sq] && !n->sq_deleting[sq] &&
	       has_room(dev, n, n->sq_cq[sq]) && (!sq || block_admits(&n->block));
}

static void
take(struct minivmm_device *dev, struct nvme *n, uint32_t sq)
{
	nvme_shadow_tail(dev, sq);
	do {
		while (ready(dev, n, sq)) {
			n->budget--;
			if (sq ? take_io(dev, n, sq) : take_admin(dev, n))
				return;
		}
	} while (n->sq_head[sq] == n->sq_tail[sq] && nvme_shadow_await_tail(dev, sq));
}

/* Section 7.6.2: before it reports that it is shut down, the controller flushes. */
static void
flush_for_shutdown(struct nvme *n)
{
	struct nvme_request *r;

	if (!(n->csts & CSTS_SHUTTING) || n->flushing || !block_admits(&n->block))
		return;
	r = (struct nvme_request *)block_job(&n->block);
	if (!r)
		return;
	r->queue = NVME_NO_QUEUE;
	n->flushing = true;
	block_begin(&n->block, &r->job, true);
}

/* Takes commands from the queues, the first ones from queue first; count queues. */
static void
take_some(struct minivmm_device *dev, uint32_t first, uint32_t count)
{
	struct nvme *n = minivmm_state(dev);

	if (n->block.pausing)
		return;
	n->budget = BUDGET;
	n->batch = true;
	flush_for_shutdown(n);
	do
		for (uint32_t i = 0; i < count; i++)
			take(dev, n, (first + i) % NVME_IDS);
	while (block_submit(&n->block));
	end_batch(dev);
	if (!n->budget)
		minivmm_post(dev, NVME_POST_AGAIN);
}

int
nvme_take(struct minivmm_device *dev)
{
	struct nvme *n = minivmm_state(dev);

	n->turn = (n->turn + 1) % NVME_IDS;
	take_some(dev, n->turn, NVME_IDS);
	return 0;
}

int
nvme_again(struct minivmm_device *dev, uint32_t post_row)
{
	return nvme_take(dev);
}

static void
sq_doorbell(struct minivmm_device *dev, struct nvme *n, uint32_t sq, uint32_t value)
{
	if (value >= n->sq_size[sq]) {
		nvme_report(dev, EVENT_DOORBELL_VALUE);
		return;
	}
	if (!nvme_shadowed(n, sq))
		n->sq_tail[sq] = (uint16_t)value;
	take_some(dev, sq, 1);
}

/* Stores a new head. Returns -1 if it is not valid. */
static int
set_head(struct minivmm_device *dev, struct nvme *n, uint32_t cq, uint32_t value)
{
	uint32_t size = n->cq_size[cq], before = room(n, cq);

	if (nvme_shadow_head(dev, cq, false))
		return 0;
	if (value >= size || size - 1 - (n->cq_tail[cq] + size - value) % size < before)
		return -1;
	n->cq_head[cq] = (uint16_t)value;
	return 0;
}

/* The driver has consumed entries up to the new head. If the queue was full, commands wait. */
static void
cq_doorbell(struct minivmm_device *dev, struct nvme *n, uint32_t cq, uint32_t value)
{
	bool full = room(n, cq) <= n->reserved[cq];

	if (set_head(dev, n, cq, value)) {
		nvme_report(dev, EVENT_DOORBELL_VALUE);
		return;
	}
	nvme_update_pin(dev);
	if (!cq)
		nvme_report_pending(dev);
	if (full)
		nvme_take(dev);
}

void
nvme_doorbell(struct minivmm_device *dev, uint32_t index, uint32_t value)
{
	struct nvme *n = minivmm_state(dev);
	uint32_t id = index / 2;
	bool cq = index & 1;

	if (!(n->csts & CSTS_READY) || n->csts & CSTS_FATAL)
		return;
	if (id >= NVME_IDS || !(cq ? n->cq_size[id] : n->sq_size[id]))
		nvme_report(dev, EVENT_DOORBELL);
	else if (cq)
		cq_doorbell(dev, n, id, value & 0xffff);
	else
		sq_doorbell(dev, n, id, value & 0xffff);
}

static bool
valid(uint64_t base, uint32_t size, uint32_t head, uint32_t tail)
{
	return !size ? !base && !head && !tail
		     : size >= 2 && size <= NVME_ENTRIES && !(base % NVME_PAGE) && head < size &&
			   tail < size;
}

int
nvme_queues_loaded(struct minivmm_device *dev)
{
	struct nvme *n = minivmm_state(dev);
	bool ok = true;

	memset(n->in_progress, 0, sizeof(n->in_progress));
	memset(n->reserved, 0, sizeof(n->reserved));
	memset(n->signals, 0, sizeof(n->signals));
	n->batch = n->flushing = false;
	for (uint32_t i = 0; i < NVME_IDS; i++) {
		ok &= valid(n->sq_base[i], n->sq_size[i], n->sq_head[i], n->sq_tail[i]) &&
		      valid(n->cq_base[i], n->cq_size[i], n->cq_head[i], n->cq_tail[i]);
		ok &= !n->sq_size[i] || (n->csts & CSTS_READY && n->cq_size[n->sq_cq[i]]);
		ok &= !n->sq_deleting[i] || (i && n->sq_size[i]);
	}
	for (uint32_t i = 0; ok && i < n->block.held_count; i++) {
		uint32_t sq = n->held_queues[i];

		if (sq == NVME_NO_QUEUE)
			continue;
		ok = sq && sq < NVME_IDS && n->sq_size[sq];
		if (ok) {
			n->in_progress[sq]++;
			n->reserved[n->sq_cq[sq]]++;
		}
	}
	for (uint32_t i = 0; ok && i < NVME_IDS; i++) {
		n->in_progress[0] += n->sq_deleting[i];
		n->reserved[0] += n->sq_deleting[i];
	}
	ok &= !(n->shadow % NVME_PAGE) && !(n->shadow_events % NVME_PAGE);
	if (ok)
		return 0;
	minivmm_error(dev, "the queues of the snapshot contradict each other");
	return -1;
}
