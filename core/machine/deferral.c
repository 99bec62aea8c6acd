/* SPDX-License-Identifier: BSD-2-Clause */
/* Deferred accesses: a vCPU waits until the device has the value. */
#include "machine/deferral.h"

#include <stdio.h>
#include <stdlib.h>

#include "minivmm/plugin.h"

int
deferrals_init(struct deferrals *d, uint32_t vcpus)
{
	*d = (struct deferrals){ .count = vcpus, .list = calloc(vcpus, sizeof(*d->list)) };
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	return d->list ? 0 : -1;
}

void
deferrals_free(struct deferrals *d)
{
	if (!d->count)
		return;
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	free(d->list);
	*d = (struct deferrals){ 0 };
}

uint64_t
deferrals_add(struct deferrals *d, uint32_t vcpu, const struct minivmm_device *device)
{
	struct deferral *one = &d->list[vcpu];
	uint64_t id = 0;

	pthread_mutex_lock(&d->lock);
	if (!one->id)
		id = ++d->last_id;
	*one = (struct deferral){ .id = id, .device = device };
	pthread_mutex_unlock(&d->lock);
	return id;
}

bool
deferrals_has(struct deferrals *d, uint32_t vcpu, const struct minivmm_device *device)
{
	bool has;

	pthread_mutex_lock(&d->lock);
	has = d->list[vcpu].id && d->list[vcpu].device == device;
	pthread_mutex_unlock(&d->lock);
	return has;
}

bool
deferrals_wait(struct deferrals *d, uint32_t vcpu, uint64_t *value)
{
	struct deferral *one = &d->list[vcpu];
	bool completed;

	pthread_mutex_lock(&d->lock);
	while (one->id && !one->completed && !d->cancelling)
		pthread_cond_wait(&d->changed, &d->lock);
	completed = one->completed;
	if (completed)
		*value = one->value;
	else if (one->id) {
		d->cancelled++;
		snprintf(d->device, sizeof(d->device), "%s", one->device->name);
	}
	*one = (struct deferral){ 0 };
	pthread_mutex_unlock(&d->lock);
	return completed;
}

enum deferral_end
deferrals_complete(struct deferrals *d, const struct minivmm_device *device, uint64_t id,
		   uint64_t value)
{
	enum deferral_end end = DEFERRAL_UNKNOWN;

	pthread_mutex_lock(&d->lock);
	for (uint32_t i = 0; id && i < d->count && end == DEFERRAL_UNKNOWN; i++)
		if (d->list[i].id == id && d->list[i].device == device && !d->list[i].completed) {
			d->list[i].completed = true;
			d->list[i].value = value;
			end = DEFERRAL_DONE;
		}
	if (end == DEFERRAL_UNKNOWN && d->ever_cancelled && id && id <= d->last_id)
		end = DEFERRAL_LATE;
	pthread_mutex_unlock(&d->lock);
	if (end == DEFERRAL_DONE)
		pthread_cond_broadcast(&d->changed);
	return end;
}

void
deferrals_cancel(struct deferrals *d, bool on)
{
	if (on == d->cancelling) /* in a stop, each lock costs */
		return;
	pthread_mutex_lock(&d->lock);
	d->cancelling = on;
	d->ever_cancelled |= on;
	pthread_mutex_unlock(&d->lock);
	pthread_cond_broadcast(&d->changed);
}

void
deferrals_forget(struct deferrals *d)
{
	atomic_store(&d->cancelled, 0);
}

bool
deferrals_lost(struct deferrals *d, char device[64])
{
	if (!atomic_load(&d->cancelled))
		return false;
	pthread_mutex_lock(&d->lock);
	snprintf(device, sizeof(d->device), "%s", d->device);
	pthread_mutex_unlock(&d->lock);
	return true;
}
