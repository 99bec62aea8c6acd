/* SPDX-License-Identifier: BSD-2-Clause */
/* The services of plugin.h: checks the plugin's arguments and calls the core. plugin.h documents
 * threads and phases. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "device/device.h"
#include "device/device_state.h"
#include "machine/layout.h"

#define LINES_PER_SECOND 20u /* limit of a device's log while the machine runs */

static struct device *
device_of(struct minivmm_device *public)
{
	return (struct device *)public;
}

/* Limits the rate of log lines, which a guest can trigger. The first line above the limit logs a
 * warning. */
static bool
may_log(struct device *d)
{
	uint64_t second = clock_host() / 1000000000u & UINT32_MAX, before, after;

	before = atomic_load(&d->log_seconds);
	do
		after = before >> 32 == second ? before + 1 : second << 32 | 1;
	while (!atomic_compare_exchange_weak(&d->log_seconds, &before, after));
	if ((after & UINT32_MAX) == LINES_PER_SECOND + 1)
		log_line(MINIVMM_WARNING, d->public.name,
			 "more than %u lines in a second: the rest is dropped", LINES_PER_SECOND);
	return (after & UINT32_MAX) <= LINES_PER_SECOND;
}

static void
service_log(struct minivmm_device *public, uint32_t level, const char *format, va_list arguments)
{
	struct device *d = device_of(public);

	if (level == MINIVMM_ERROR)
		atomic_store(&d->reported, true);
	if (log_enabled((enum minivmm_level)level) && (!d->started || may_log(d)))
		log_vline((enum minivmm_level)level, public->name, format, arguments);
}

void
device_error(struct device *d, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	service_log(&d->public, MINIVMM_ERROR, format, arguments);
	va_end(arguments);
}

/* Checks the index of a row; logs an error for an invalid one. */
static bool
has_row(struct device *d, const char *kind, const char *table, uint32_t row, uint32_t rows)
{
	if (row >= rows)
		device_error(d, "%s %u: the table of %s has %u rows", kind, row, table, rows);
	return row < rows;
}

static uint64_t
service_now(struct minivmm_device *public)
{
	return clock_now(&device_of(public)->all->machine->clock);
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
service_random(struct minivmm_device *public, void *bytes, size_t length)
{
	struct device *d = device_of(public);

	for (size_t done = 0; done < length; done += 8) {
		uint64_t value = next_random(d->random);

		memcpy((char *)bytes + done, &value, length - done < 8 ? length - done : 8);
	}
}

static void
service_irq(struct minivmm_device *public, const struct minivmm_irq *irq, uint32_t operation)
{
	struct irqs *irqs = &device_of(public)->all->machine->irqs;

	if (operation == MINIVMM_IRQ_PULSE)
		irqs_pulse(irqs, irq->handle);
	else
		irqs_set(irqs, irq->handle, operation == MINIVMM_IRQ_RAISE);
}

static int
service_memory_read(struct minivmm_device *public, uint64_t gpa, void *to, size_t length)
{
	return memory_read(&device_of(public)->all->machine->memory, gpa, to, length);
}

static int
service_memory_write(struct minivmm_device *public, uint64_t gpa, const void *from, size_t length)
{
	return memory_write(&device_of(public)->all->machine->memory, gpa, from, length);
}

static void *
service_memory_map(struct minivmm_device *public, uint64_t gpa, size_t length)
{
	struct device *d = device_of(public);
	void *place = memory_at(&d->all->machine->memory, gpa, length);

	if (place)
		atomic_fetch_add(&d->mappings, 1);
	return place;
}

static void
service_memory_unmap(struct minivmm_device *public, uint64_t gpa, size_t written)
{
	struct device *d = device_of(public);

	if (written)
		memory_mark_written(&d->all->machine->memory, gpa, written);
	atomic_fetch_sub(&d->mappings, 1);
}

static int
service_memory_discard(struct minivmm_device *public, uint64_t gpa, uint64_t length)
{
	return memory_discard(&device_of(public)->all->machine->memory, gpa, length);
}

static void
service_timer_set(struct minivmm_device *public, uint32_t timer, uint64_t deadline, uint64_t period)
{
	struct device *d = device_of(public);

	if (has_row(d, "timer", "timers", timer, d->plugin.timer_count))
		loop_timer_set(&d->all->machine->loop, &d->timers[timer].timer, deadline, period);
}

static void
service_timer_cancel(struct minivmm_device *public, uint32_t timer)
{
	struct device *d = device_of(public);

	if (has_row(d, "timer", "timers", timer, d->plugin.timer_count))
		loop_timer_cancel(&d->all->machine->loop, &d->timers[timer].timer);
}

static struct stream *
stream_of(struct minivmm_device *public, uint32_t stream)
{
	struct device *d = device_of(public);

	return has_row(d, "stream", "streams", stream, d->plugin.stream_count)
		   ? &d->streams[stream].stream
		   : NULL;
}

static size_t
service_stream_readable(struct minivmm_device *public, uint32_t stream)
{
	struct stream *s = stream_of(public, stream);

	return s ? stream_readable(s) : 0;
}

static size_t
service_stream_read(struct minivmm_device *public, uint32_t stream, void *to, size_t length)
{
	struct stream *s = stream_of(public, stream);

	return s ? stream_read(s, to, length) : 0;
}

static size_t
service_stream_writable(struct minivmm_device *public, uint32_t stream)
{
	struct stream *s = stream_of(public, stream);

	return s ? stream_writable(s) : 0;
}

static size_t
service_stream_write(struct minivmm_device *public, uint32_t stream, const void *from,
		     size_t length)
{
	struct device *d = device_of(public);
	struct stream *s = stream_of(public, stream);
	size_t taken = s ? stream_write(s, from, length) : 0;

	if (taken)
		machine_output(d->all->machine, public->name, from, taken);
	return taken;
}

static int
service_watch(struct minivmm_device *public, uint32_t watch, int fd, uint32_t events)
{
	struct device *d = device_of(public);
	struct loop *loop = &d->all->machine->loop;

	if (!has_row(d, "watch", "watches", watch, d->plugin.watch_count))
		return -1;
	if (!pthread_equal(pthread_self(), d->all->thread)) {
		device_error(d,
			     "watch %s: minivmm_watch() works only on the I/O thread; use "
			     "minivmm_post() in a range handler",
			     d->plugin.descriptor.watches[watch].name);
		return -1;
	}
	loop_remove(loop, &d->watches[watch].source);
	if (fd < 0)
		return 0;
	if (loop_add(loop, &d->watches[watch].source, fd, events)) {
		device_error(d, "watch %s: cannot wait for descriptor %d: %m",
			     d->plugin.descriptor.watches[watch].name, fd);
		return -1;
	}
	return 0;
}

static void
ioeventfd_ready(struct ioeventfd *ioeventfd)
{
	struct device_ioeventfd *event = ioeventfd->context;
	const struct minivmm_watch *row = &event->device->plugin.descriptor.watches[event->watch];

	DEVICE_CALL(event->device, row->name,
		    row->ready(&event->device->public, event->watch, EPOLLIN));
}

/* Finds the address of a range; false: it is not on the bus. */
static bool
range_base(struct device *d, uint32_t index, uint32_t *space, uint64_t *base)
{
	const struct minivmm_range *row = &d->plugin.descriptor.ranges[index];
	const struct bus_range *range = NULL;

	while ((range = device_range(d, row->space, range)) && range->index != index)
		;
	if (!range)
		return false;
	*space = row->space;
	*base = range->base;
	return true;
}

static int
service_bind_write(struct minivmm_device *public, const struct minivmm_bind *bind)
{
	struct device *d = device_of(public);
	struct device_ioeventfd *event;
	uint64_t base;

	if (!has_row(d, "watch", "watches", bind->watch, d->plugin.watch_count) ||
	    !has_row(d, "range", "ranges", bind->range, d->plugin.range_count))
		return -1;
	event = calloc(1, sizeof(*event));
	if (!event) {
		device_error(d, "no memory for an ioeventfd");
		return -1;
	}
	*event = (struct device_ioeventfd){ .ioeventfd = { .ready = ioeventfd_ready,
							   .context = event,
							   .width = bind->width,
							   .value = bind->value },
					    .device = d,
					    .watch = bind->watch,
					    .next = d->ioeventfds };
	if (!range_base(d, bind->range, &event->ioeventfd.space, &base)) {
		free(event); /* the guest cannot write to an absent range */
		return 0;
	}
	event->ioeventfd.address = base + bind->offset;
	if (ioeventfd_add(d->all->machine, &event->ioeventfd)) {
		device_error(d, "cannot create an ioeventfd: %s", strerror(errno));
		free(event);
		return -1;
	}
	d->ioeventfds = event;
	return 0;
}

static void
service_post(struct minivmm_device *public, uint32_t post)
{
	struct device *d = device_of(public);

	if (has_row(d, "post", "posts", post, d->plugin.post_count))
		loop_defer(&d->all->machine->loop, &d->posts[post].deferred);
}

static void
service_exit(struct minivmm_device *public, uint64_t status)
{
	machine_end(device_of(public)->all->machine, CAUSE_EXIT, status);
}

static void
service_panic(struct minivmm_device *public)
{
	machine_end(device_of(public)->all->machine, CAUSE_PANIC, 0);
}

static void
service_paused(struct minivmm_device *public)
{
	device_of(public)->pending = false;
}

static int
service_instruction(struct minivmm_device *public, const struct minivmm_access *access,
		    uint64_t *rip)
{
	struct machine *machine = device_of(public)->all->machine;
	struct kvm_regs regs;

	if (access->vcpu >= machine->vcpu_count ||
	    vcpu_registers(&machine->vcpus[access->vcpu], &regs, NULL))
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
service_acpi_page(struct minivmm_device *public)
{
	struct device *d = device_of(public);

	return d->all->machine->acpi ? device_page(d) : 0;
}

void
device_services_init(struct device *device)
{
	device->services = (struct minivmm_services){
		.size = sizeof(device->services),
		.abi = MINIVMM_ABI,
		.log = service_log,
		.now = service_now,
		.random = service_random,
		.irq = service_irq,
		.memory_read = service_memory_read,
		.memory_write = service_memory_write,
		.memory_map = service_memory_map,
		.memory_unmap = service_memory_unmap,
		.memory_discard = service_memory_discard,
		.timer_set = service_timer_set,
		.timer_cancel = service_timer_cancel,
		.stream_readable = service_stream_readable,
		.stream_read = service_stream_read,
		.stream_writable = service_stream_writable,
		.stream_write = service_stream_write,
		.watch = service_watch,
		.bind_write = service_bind_write,
		.post = service_post,
		.exit = service_exit,
		.panic = service_panic,
		.paused = service_paused,
		.instruction = service_instruction,
		.acpi_page = service_acpi_page,
	};
	state_services_init(&device->services);
	device_capture_services_init(&device->services);
	device->public.services = &device->services;
}
