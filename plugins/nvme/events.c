/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Async events (NVM Express 1.4, section 5.2): errors of the driver that belong to no command. The
 * driver's requests for events wait without a place in the completion queue.
 */
#include <string.h>

#include "nvme.h"

bool
nvme_end_event(struct minivmm_device *dev, uint32_t i, uint16_t status, uint32_t result)
{
	struct nvme *n = minivmm_state(dev);
	uint16_t cid = n->event_cids[i];

	if (!nvme_post_event(dev, cid, status, result))
		return false;
	n->event_count--;
	memmove(n->event_cids + i, n->event_cids + i + 1, (n->event_count - i) * sizeof(cid));
	return true;
}

/* Figure 146: the type 0, an error; which one; its log page. */
void
nvme_report_pending(struct minivmm_device *dev)
{
	struct nvme *n = minivmm_state(dev);

	while (n->events && n->event_count) {
		bool value = !(n->events & EVENT_DOORBELL);
		uint8_t event = value ? EVENT_DOORBELL_VALUE : EVENT_DOORBELL;

		if (!nvme_end_event(dev, 0, NVME_SUCCESS, (uint32_t)value << 8 | 1u << 16))
			return;
		n->events &= (uint8_t)~event;
		n->events_reported |= event;
	}
}

void
nvme_wait_event(struct minivmm_device *dev, uint16_t cid)
{
	struct nvme *n = minivmm_state(dev);

	nvme_end_command(n, 0);
	n->event_cids[n->event_count++] = cid;
	nvme_report_pending(dev);
}

void
nvme_report(struct minivmm_device *dev, enum nvme_event event)
{
	struct nvme *n = minivmm_state(dev);

	if (n->events_reported & event) /* until the driver reads the log */
		return;
	n->events |= (uint8_t)event;
	nvme_report_pending(dev);
}
