/* SPDX-License-Identifier: BSD-2-Clause */
/* The services of a device's timers, watches and posts, its interrupts, and the machine's end; the
 * table of all services. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/limit.h"
#include "base/log.h"
#include "device/device.h"
#include "machine/layout.h"
#include "stream/stream_services.h"

#define WAITED ((uint32_t)(EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP)) /* events of a watch */

static void
device_log(struct minivmm_device *public, uint32_t level, const char *text)
{
	if (level > MINIVMM_DEBUG)
		service_refuse(public, SERVICE(log), "level %u does not exist", level);
	else if (!text)
		service_refuse(public, SERVICE(log), "there is no text");
	else
		service_log(&device_from(public)->host, level, text);
}

/* The object of a row; NULL: the call was refused. */
static void *
object(struct minivmm_device *public, size_t service, enum service_objects table, uint32_t row)
{
	return service_enter(public, service) ? service_object(public, service, table, row) : NULL;
}

static uint64_t
now(struct minivmm_device *public)
{
	if (!service_enter(public, SERVICE(now)))
		return 0;
	return clock_now(&device_from(public)->all->machine->clock);
}

static uint64_t
rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

/* xoshiro256**, by D. Blackman and S. Vigna. */
static uint64_t
next_random(uint64_t s[4])
{
	uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

static void
random_bytes(struct minivmm_device *public, void *bytes, size_t length)
{
	struct device *d = device_from(public);
	struct lock *lock = d->host.gate->concurrent ? &d->host.gate->lock : NULL;

	if (!service_enter(public, SERVICE(random))) {
		if (length)
			memset(bytes, 0, length);
		return;
	}
	if (lock) /* nobody else guards the generator */
		lock_take(lock);
	for (size_t done = 0; done < length; done += 8) {
		uint64_t value = next_random(d->random);

		memcpy((char *)bytes + done, &value, length - done < 8 ? length - done : 8);
	}
	if (lock)
		lock_release(lock);
}

static void
irq(struct minivmm_device *public, const struct minivmm_irq *irq, uint32_t operation)
{
	struct device *d = device_from(public);
	struct irqs *irqs = &d->all->machine->irqs;
	struct why why;

	if (!service_enter(public, SERVICE(irq)))
		return;
	if (operation <= MINIVMM_IRQ_PULSE && irq->handle & DEVICE_PCI_IRQ && d->all->pci) {
		if (d->all->pci->irq(d->all->pci->context, d, irq->handle,
				     (enum minivmm_irq_operation)operation, &why))
			service_refuse(public, SERVICE(irq), "%s", why.text);
		return;
	}
	if (irq->handle && irq->handle - d->irq_first >= d->irqs)
		service_refuse(public, SERVICE(irq), "%u is not an interrupt of this device",
			       irq->handle);
	else if (operation == MINIVMM_IRQ_PULSE)
		irqs_pulse(irqs, irq->handle);
	else if (operation > MINIVMM_IRQ_PULSE)
		service_refuse(public, SERVICE(irq), "operation %u does not exist", operation);
	else
		irqs_set(irqs, irq->handle, operation == MINIVMM_IRQ_RAISE);
}

static void
timer_set(struct minivmm_device *public, uint32_t timer, uint64_t deadline, uint64_t period)
{
	struct device_timer *t = object(public, SERVICE(timer_set), SERVICE_TIMER, timer);

	if (t)
		loop_timer_set(&t->device->all->machine->loop, &t->timer, deadline, period);
}

static void
timer_cancel(struct minivmm_device *public, uint32_t timer)
{
	struct device_timer *t = object(public, SERVICE(timer_cancel), SERVICE_TIMER, timer);

	if (t)
		loop_timer_cancel(&t->device->all->machine->loop, &t->timer);
}

static int
watch(struct minivmm_device *public, uint32_t row, int fd, uint32_t events)
{
	struct device *d = device_from(public);
	struct loop *loop = &d->all->machine->loop;
	struct device_watch *w = object(public, SERVICE(watch), SERVICE_WATCH, row);

	if (!w)
		return -1;
	if (fd >= 0 && (!(events & WAITED) || events & ~(WAITED | EPOLLERR | EPOLLHUP | EPOLLET))) {
		service_refuse(public, SERVICE(watch), "0x%x are not events to wait for", events);
		return -1;
	}
	loop_remove(loop, &w->source);
	if (fd < 0)
		return 0;
	if (loop_add(loop, &w->source, fd, events)) {
		service_error(&d->host, "watch %s: cannot wait for descriptor %d: %s",
			      d->plugin.descriptor.watches[row].name, fd,
			      limit_error_of(LIMIT_EPOLL, errno).text);
		return -1;
	}
	return 0;
}

static bool
ioeventfd_ready(struct ioeventfd *ioeventfd)
{
	struct device_ioeventfd *event = ioeventfd->context;
	const struct minivmm_watch *row = &event->device->plugin.descriptor.watches[event->watch];

	return DEVICE_TRY(event->device, CALLBACK_READY, row->name,
			  row->ready(&event->device->host.public, event->watch, EPOLLIN));
}

struct bus_range *
device_bar_range(const struct device *d, uint32_t row)
{
	const struct bus_range *range = NULL;

	while ((range = device_range(d, d->plugin.descriptor.ranges[row].space, range)) &&
	       range->index != row)
		;
	return (struct bus_range *)range;
}

static uint64_t
ioeventfd_address(const struct bus_range *range, uint64_t offset)
{
	return range->base == BUS_UNPLACED ? IOEVENTFD_UNPLACED : range->base + offset;
}

void
device_range_moved(struct device *device, const struct bus_range *range)
{
	for (struct device_ioeventfd *e = device->ioeventfds; e; e = e->next)
		if (range->device == &device->host.public && e->range == range->index)
			ioeventfd_place(device->all->machine, &e->ioeventfd,
					ioeventfd_address(range, e->offset));
}

static bool
is_bound(const struct device *d, const struct minivmm_bind *bind)
{
	for (const struct device_ioeventfd *e = d->ioeventfds; e; e = e->next)
		if (e->range == bind->range && e->offset == bind->offset &&
		    e->ioeventfd.width == bind->width && e->ioeventfd.value == bind->value)
			return true;
	return false;
}

static int
bind_write(struct minivmm_device *public, const struct minivmm_bind *bind)
{
	struct device *d = device_from(public);
	struct device_ioeventfd *event;
	const struct bus_range *range;

	if (!service_enter(public, SERVICE(bind_write)) ||
	    !service_object(public, SERVICE(bind_write), SERVICE_WATCH, bind->watch) ||
	    !service_object(public, SERVICE(bind_write), SERVICE_RANGE, bind->range))
		return -1;
	range = device_bar_range(d, bind->range);
	if (!range)
		return 0; /* the guest cannot write to an absent range */
	if (bind->width > 8 || bind->width & (bind->width - 1) ||
	    !(range->widths >> bind->width & 1)) {
		service_refuse(public, SERVICE(bind_write), "range %s has no accesses of %u bytes",
			       plugin_range_name(&d->plugin, bind->range), bind->width);
		return -1;
	}
	if (bind->offset >= range->length || bind->width > range->length - bind->offset) {
		service_refuse(public, SERVICE(bind_write),
			       "offset 0x%llx is outside of range %s of 0x%llx bytes",
			       (unsigned long long)bind->offset,
			       plugin_range_name(&d->plugin, bind->range),
			       (unsigned long long)range->length);
		return -1;
	}
	event = calloc(1, sizeof(*event));
	if (!event) {
		service_error(&d->host, "no memory for an ioeventfd%s", limit_remedy(ENOMEM).text);
		return -1;
	}
	*event = (struct device_ioeventfd){ .ioeventfd = { .ready = ioeventfd_ready,
							   .context = event,
							   .space = range->row->space,
							   .address = ioeventfd_address(
							       range, bind->offset),
							   .width = bind->width,
							   .value = bind->value },
					    .device = d,
					    .watch = bind->watch,
					    .range = bind->range,
					    .offset = bind->offset,
					    .next = d->ioeventfds };
	if (is_bound(d, bind)) {
		service_refuse(public, SERVICE(bind_write), "offset 0x%llx of range %s is bound%s",
			       (unsigned long long)bind->offset,
			       plugin_range_name(&d->plugin, bind->range),
			       " to this value already");
		free(event);
		return -1;
	}
	if (ioeventfd_add(d->all->machine, &event->ioeventfd)) {
		service_error(&d->host, "cannot create an ioeventfd: %s",
			      limit_error_of(LIMIT_KVM, errno).text);
		free(event);
		return -1;
	}
	d->ioeventfds = event;
	return 0;
}

static void
post(struct minivmm_device *public, uint32_t row)
{
	struct device_post *p = object(public, SERVICE(post), SERVICE_POST, row);

	if (p)
		loop_defer(&p->device->all->machine->loop, &p->deferred);
}

static void
end_of_guest(struct minivmm_device *public, uint64_t status)
{
	if (service_enter(public, SERVICE(exit)))
		machine_end(device_from(public)->all->machine, CAUSE_EXIT,
			    status < UINT32_MAX ? status : UINT32_MAX);
}

static void
panic(struct minivmm_device *public)
{
	if (service_enter(public, SERVICE(panic)))
		machine_end(device_from(public)->all->machine, CAUSE_PANIC, 0);
}

static void
paused(struct minivmm_device *public)
{
	struct device *d = device_from(public);

	if (!service_enter(public, SERVICE(paused)))
		return;
	if (!atomic_exchange(&d->pending, false))
		service_refuse(public, SERVICE(paused), "no pause of the device is pending");
	else
		loop_wake(&d->all->machine->loop);
}

/* Whether the calling handler was called for this access, as far as its vCPU shows. False: the call
 * was refused. */
static bool
is_own_access(struct minivmm_device *public, size_t service, const struct minivmm_access *access)
{
	struct machine *machine = device_from(public)->all->machine;

	if (!service_enter(public, service))
		return false;
	if (access->vcpu < machine->vcpu_count &&
	    pthread_equal(machine_vcpu(machine, access->vcpu)->thread, pthread_self()))
		return true;
	service_refuse(public, service,
		       "the access is not the one that this handler was called for");
	return false;
}

static uint64_t
defer(struct minivmm_device *public, const struct minivmm_access *access)
{
	uint64_t id;

	if (!is_own_access(public, SERVICE(defer), access))
		return 0;
	id = deferrals_add(&device_from(public)->all->machine->deferrals, access->vcpu, public);
	if (!id)
		service_refuse(public, SERVICE(defer),
			       "a handler has deferred its access, and has not returned "
			       "MINIVMM_PENDING");
	return id;
}

static int
complete(struct minivmm_device *public, uint64_t access, uint64_t value)
{
	if (!service_enter(public, SERVICE(complete)))
		return -1;
	switch (deferrals_complete(&device_from(public)->all->machine->deferrals, public, access,
				   value)) {
	case DEFERRAL_DONE:
		return 0;
	case DEFERRAL_LATE:
		atomic_fetch_add(&device_from(public)->host.gate->refused, 1);
		service_log(&device_from(public)->host, MINIVMM_DEBUG,
			    "a deferred access is completed after it was cancelled");
		return -1;
	default:
		service_refuse(public, SERVICE(complete),
			       "access %llu is not deferred, or was completed before",
			       (unsigned long long)access);
		return -1;
	}
}

static const struct minivmm_machine *
machine_functions(struct minivmm_device *public)
{
	const struct devices *all = device_from(public)->all;

	if (!service_enter(public, SERVICE(machine_functions)))
		return NULL;
	if (!all->functions)
		service_refuse(public, SERVICE(machine_functions), "the plugin is not a tool");
	return all->functions;
}

static bool
has(struct minivmm_device *public, const char *feature)
{
	return service_enter(public, SERVICE(has)) && plugin_has_feature(feature);
}

static int
instruction(struct minivmm_device *public, const struct minivmm_access *access, uint64_t *rip)
{
	struct machine *machine = device_from(public)->all->machine;
	struct kvm_regs regs;

	if (!is_own_access(public, SERVICE(instruction), access))
		return -1;
	if (vcpu_registers(machine_vcpu(machine, access->vcpu), &regs, NULL))
		return -1;
	*rip = regs.rip;
	return 0;
}

static bool
has_page(const struct device *d)
{
	for (uint32_t i = 0; i < d->plugin.acpi_count; i++)
		if (d->plugin.descriptor.acpi[i].page)
			return true;
	return false;
}

/* Pages are assigned in the order of the devices, which a restore keeps. */
uint64_t
device_page(const struct device *device)
{
	uint64_t page = LAYOUT_DEVICE_PAGES;

	for (const struct device *d = device->all->list; d < device; d++)
		page += has_page(d) ? PAGE_SIZE : 0;
	return has_page(device) && page < LAYOUT_DEVICE_PAGES_END ? page : 0;
}

static uint64_t
acpi_page(struct minivmm_device *public)
{
	struct device *d = device_from(public);

	return service_enter(public, SERVICE(acpi_page)) && d->all->machine->acpi ? device_page(d)
										  : 0;
}

static void
error_text(struct minivmm_device *public, uint32_t call, int error, char *text, size_t size)
{
	static const enum limit_call calls[] = {
		[MINIVMM_CALL_OTHER] = LIMIT_OTHER,
		[MINIVMM_CALL_THREAD] = LIMIT_THREAD,
		[MINIVMM_CALL_EPOLL] = LIMIT_EPOLL,
		[MINIVMM_CALL_LOCKED] = LIMIT_LOCKED,
	};
	int before = errno;
	bool known = call < sizeof(calls) / sizeof(*calls);

	if (service_enter(public, SERVICE(error_text)))
		snprintf(text, size, "%s",
			 limit_error_of(known ? calls[call] : LIMIT_OTHER, error).text);
	else if (size)
		*text = '\0';
	errno = before;
}

static bool
may_wait(struct minivmm_device *public)
{
	const struct devices *all = device_from(public)->all;

	return service_enter(public, SERVICE(may_wait)) &&
	       !pthread_equal(pthread_self(), all->thread) && atomic_load(&all->machine->may_run);
}

void
devices_log_level(struct devices *devices)
{
	__atomic_store_n(&devices->services.functions.log_level, (uint32_t)log_level(),
			 __ATOMIC_RELAXED);
}

#define RUNNING SERVICE_START_TO_STOP
const struct service_set device_services = {
	SERVICE_ROW(log, device_log, "log", SERVICE_ALWAYS, SERVICE_ANY_THREAD | SERVICE_OTHER),
	SERVICE_ROW(now, now, "now", SERVICE_ALWAYS, SERVICE_ANY_THREAD),
	SERVICE_ROW(random, random_bytes, "random", RUNNING, SERVICE_CALLBACKS),
	SERVICE_ROW(irq, irq, "irq_*", RUNNING, SERVICE_ANY_THREAD),
	SERVICE_ROW(timer_set, timer_set, "timer_set", RUNNING, SERVICE_CALLBACKS),
	SERVICE_ROW(timer_cancel, timer_cancel, "timer_cancel", RUNNING, SERVICE_CALLBACKS),
	SERVICE_ROW(watch, watch, "watch", RUNNING, SERVICE_IO),
	SERVICE_ROW(bind_write, bind_write, "bind_write", SERVICE_START, SERVICE_IO),
	SERVICE_ROW(post, post, "post", RUNNING, SERVICE_ANY_THREAD),
	SERVICE_ROW(exit, end_of_guest, "exit", RUNNING, SERVICE_CALLBACKS),
	SERVICE_ROW(panic, panic, "panic", RUNNING, SERVICE_CALLBACKS),
	SERVICE_ROW(paused, paused, "paused", RUNNING, SERVICE_ANY_THREAD),
	SERVICE_ROW(instruction, instruction, "instruction", SERVICE_RUN, SERVICE_VCPU),
	SERVICE_ROW(acpi_page, acpi_page, "acpi_page", RUNNING, SERVICE_CALLBACKS),
	SERVICE_ROW(error_text, error_text, "error_text", SERVICE_ALWAYS, SERVICE_ANY_THREAD),
	SERVICE_ROW(may_wait, may_wait, "may_wait", SERVICE_ALWAYS, SERVICE_ANY_THREAD),
	SERVICE_ROW(has, has, "has", SERVICE_ALWAYS, SERVICE_ANY_THREAD),
	SERVICE_ROW(defer, defer, "defer", SERVICE_RUN, SERVICE_VCPU),
	SERVICE_ROW(machine_functions, machine_functions, "machine_functions", RUNNING, SERVICE_IO),
	SERVICE_ROW(complete, complete, "complete", RUNNING, SERVICE_ANY_THREAD),
};

void
device_services_compose(struct service_table *table)
{
	static const struct service_set *const sets[] = {
		&stream_services,        &device_services,         &device_memory_services,
		&device_state_services,  &device_capture_services, &device_file_services,
		&device_connect_services
	};

	service_compose(table, sets, sizeof(sets) / sizeof(*sets));
}
