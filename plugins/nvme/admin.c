/* SPDX-License-Identifier: BSD-2-Clause */
/* Admin commands (NVM Express 1.4, section 5) that change queues, features and events. */
#include <string.h>

#include "nvme.h"

enum admin_opcode {
	DELETE_SQ = 0x00,
	CREATE_SQ = 0x01,
	GET_LOG_PAGE = 0x02,
	DELETE_CQ = 0x04,
	CREATE_CQ = 0x05,
	IDENTIFY = 0x06,
	ABORT = 0x08,
	SET_FEATURES = 0x09,
	GET_FEATURES = 0x0a,
	ASYNC_EVENT = 0x0c,
	DOORBELL_BUFFER = 0x7c,
};

#define CONTIGUOUS 0x1u /* in cdw11 of the creation of a queue */
#define INTERRUPTS 0x2u
#define NOT_ABORTED 1u
#define SAVE (1u << 31)
#define NO_COALESCING (1u << 16)
#define CACHE_ENABLED 1u

/* Log2 of the sizes of entries, in CC. */
#define IOSQES(cc) ((cc) >> 16 & 0xf)
#define IOCQES(cc) ((cc) >> 20 & 0xf)

static bool
usable_id(const struct nvme *n, uint32_t id)
{
	return id && id <= n->queues;
}

/* What the creation of either queue checks. */
static uint16_t
check_create(const struct nvme *n, const struct nvme_command *c, bool exists, bool entries_valid)
{
	uint32_t id = c->cdw10 & 0xffff, size = (c->cdw10 >> 16) + 1;

	if (!usable_id(n, id) || exists)
		return NVME_QUEUE_ID;
	if (size < 2 || size > NVME_ENTRIES)
		return NVME_QUEUE_SIZE;
	if (!(c->cdw11 & CONTIGUOUS) || !entries_valid)
		return NVME_INVALID_FIELD;
	return c->prp1 % NVME_PAGE ? NVME_PRP_OFFSET : NVME_SUCCESS;
}

static uint16_t
create_cq(struct minivmm_device *dev, const struct nvme_command *c)
{
	struct nvme *n = minivmm_state(dev);
	uint32_t id = c->cdw10 & 0xffff, vector = c->cdw11 >> 16;
	uint16_t status =
	    check_create(n, c, usable_id(n, id) && n->cq_size[id], IOCQES(n->cc) == 4);

	if (status)
		return status;
	if (vector > n->queues)
		return NVME_VECTOR;
	nvme_set_cq(n, id, c->prp1, (c->cdw10 >> 16) + 1);
	n->cq_interrupts[id] = c->cdw11 & INTERRUPTS;
	n->cq_vector[id] = (uint8_t)vector;
	return nvme_shadow_begin(dev, id) ? NVME_TRANSFER_ERROR : NVME_SUCCESS;
}

static uint16_t
create_sq(struct minivmm_device *dev, const struct nvme_command *c)
{
	struct nvme *n = minivmm_state(dev);
	uint32_t id = c->cdw10 & 0xffff, cq = c->cdw11 >> 16;
	uint16_t status;

	if (!usable_id(n, cq) || !n->cq_size[cq])
		return cq && cq <= n->queues ? NVME_CQ_INVALID : NVME_QUEUE_ID;
	status = check_create(n, c, usable_id(n, id) && n->sq_size[id], IOSQES(n->cc) == 6);
	if (status)
		return status;
	nvme_set_sq(n, id, c->prp1, (c->cdw10 >> 16) + 1, cq);
	return nvme_shadow_begin(dev, id) ? NVME_TRANSFER_ERROR : NVME_SUCCESS;
}

/* Section 5.6: the commands of the queue are completed first. */
static uint16_t
delete_sq(struct minivmm_device *dev, const struct nvme_command *c)
{
	struct nvme *n = minivmm_state(dev);
	uint32_t id = c->cdw10 & 0xffff;

	if (!usable_id(n, id) || !n->sq_size[id] || n->sq_deleting[id])
		return NVME_QUEUE_ID;
	n->sq_deleting[id] = true;
	n->delete_cid[id] = c->cid;
	nvme_end_delete(dev, id);
	return NVME_LATER;
}

static uint16_t
delete_cq(struct minivmm_device *dev, const struct nvme_command *c)
{
	struct nvme *n = minivmm_state(dev);
	uint32_t id = c->cdw10 & 0xffff;

	if (!usable_id(n, id) || !n->cq_size[id])
		return NVME_QUEUE_ID;
	for (uint32_t sq = 1; sq < NVME_IDS; sq++)
		if (n->sq_size[sq] && n->sq_cq[sq] == id)
			return NVME_QUEUE_DELETION;
	nvme_set_cq(n, id, 0, 0);
	nvme_update_pin(dev);
	return NVME_SUCCESS;
}

/* Requests for events are aborted. Other commands are not: they complete soon. */
static uint16_t
abort_command(struct minivmm_device *dev, const struct nvme_command *c, uint32_t *result)
{
	struct nvme *n = minivmm_state(dev);
	uint32_t sq = c->cdw10 & 0xffff, cid = c->cdw10 >> 16;

	*result = NOT_ABORTED;
	for (uint32_t i = 0; !sq && *result && i < n->event_count; i++)
		if (n->event_cids[i] == cid && nvme_end_event(dev, i, NVME_ABORTED, 0))
			*result = 0;
	return NVME_SUCCESS;
}

static uint16_t
async_event(struct minivmm_device *dev, const struct nvme_command *c)
{
	struct nvme *n = minivmm_state(dev);

	if (n->event_count == NVME_EVENTS)
		return NVME_EVENT_LIMIT;
	nvme_wait_event(dev, c->cid);
	return NVME_LATER;
}

void
nvme_default_features(struct nvme *n)
{
	memset(n->features, 0, sizeof(n->features));
	n->features[FEATURE_TEMPERATURE] = NVME_TEMPERATURE;
	n->features[FEATURE_WRITE_CACHE] = CACHE_ENABLED;
	n->features[FEATURE_QUEUES] = (n->queues - 1u) * 0x10001u;
	n->uncoalesced = 0;
}

/* Section 5.21.1.7: the driver asks before it creates queues, and gets all that there are. */
static uint16_t
set_queues(struct nvme *n, uint32_t value, uint32_t *result)
{
	if ((value & 0xffff) == 0xffff || value >> 16 == 0xffff)
		return NVME_INVALID_FIELD;
	for (uint32_t i = 1; i < NVME_IDS; i++)
		if (n->sq_size[i] || n->cq_size[i])
			return NVME_SEQUENCE_ERROR;
	*result = n->features[FEATURE_QUEUES];
	return NVME_SUCCESS;
}

static uint16_t
set_vector(struct nvme *n, uint32_t value)
{
	uint32_t vector = value & 0xffff;

	if (vector > n->queues)
		return NVME_INVALID_FIELD;
	n->uncoalesced &= ~(1u << vector);
	n->uncoalesced |= value & NO_COALESCING ? 1u << vector : 0;
	return NVME_SUCCESS;
}

/* Section 5.21.1.4. There is one sensor; its threshold for too little heat is fixed. */
static bool
temperature_fixed(uint32_t value)
{
	return value >> 16 & 0x3f;
}

static uint16_t
set_feature(struct nvme *n, const struct nvme_command *c, uint32_t *result)
{
	uint32_t id = c->cdw10 & 0xff, value = c->cdw11;

	if (c->cdw10 & SAVE)
		return NVME_NOT_SAVEABLE;
	switch (id) {
	case FEATURE_QUEUES:
		return set_queues(n, value, result);
	case FEATURE_VECTOR:
		return set_vector(n, value);
	case FEATURE_POWER: /* there is one state */
		if (value & 0x1f)
			return NVME_INVALID_FIELD;
		break;
	case FEATURE_TEMPERATURE:
		if (temperature_fixed(value))
			return NVME_INVALID_FIELD;
		break;
	case FEATURE_WRITE_CACHE:
		value &= CACHE_ENABLED;
		break;
	case FEATURE_ARBITRATION:
	case FEATURE_RECOVERY:
	case FEATURE_COALESCING:
	case FEATURE_ATOMICITY:
	case FEATURE_EVENTS:
		break;
	default:
		return NVME_INVALID_FIELD;
	}
	if (c->nsid && c->nsid != NVME_ALL_NAMESPACES)
		return NVME_NOT_OF_NAMESPACE;
	n->features[id] = value;
	return NVME_SUCCESS;
}

static uint16_t
get_feature(const struct nvme *n, const struct nvme_command *c, uint32_t *result)
{
	uint32_t id = c->cdw10 & 0xff, vector = c->cdw11 & 0xffff;

	if (!id || id == 3 || id > FEATURE_EVENTS)
		return NVME_INVALID_FIELD;
	*result = n->features[id];
	if (id == FEATURE_TEMPERATURE && temperature_fixed(c->cdw11))
		*result = c->cdw11 >> 20 & 3 ? 0 : 0xffff;
	if (id != FEATURE_VECTOR)
		return NVME_SUCCESS;
	if (vector > n->queues)
		return NVME_INVALID_FIELD;
	*result = vector | (n->uncoalesced >> vector & 1 ? NO_COALESCING : 0);
	return NVME_SUCCESS;
}

uint16_t
nvme_admin(struct minivmm_device *dev, const struct nvme_command *c, uint32_t *result)
{
	struct nvme *n = minivmm_state(dev);

	if (c->flags) /* fused operations and SGLs */
		return NVME_INVALID_FIELD;
	switch (c->opcode) {
	case DELETE_SQ:
		return delete_sq(dev, c);
	case CREATE_SQ:
		return create_sq(dev, c);
	case GET_LOG_PAGE:
		return nvme_log_page(dev, c);
	case DELETE_CQ:
		return delete_cq(dev, c);
	case CREATE_CQ:
		return create_cq(dev, c);
	case IDENTIFY:
		return nvme_identify(dev, c);
	case ABORT:
		return abort_command(dev, c, result);
	case SET_FEATURES:
		return set_feature(n, c, result);
	case GET_FEATURES:
		return get_feature(n, c, result);
	case ASYNC_EVENT:
		return async_event(dev, c);
	case DOORBELL_BUFFER:
		return nvme_shadow_configure(dev, c);
	default:
		return NVME_INVALID_OPCODE;
	}
}
