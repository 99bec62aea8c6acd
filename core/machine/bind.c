/* SPDX-License-Identifier: BSD-2-Clause */
/* Binds writes of the guest to events of the loop. */
#include "machine/bind.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "machine/machine.h"

static void
event(struct loop_source *source, uint32_t events)
{
	struct bind *bind = source->context;
	uint64_t count;

	if (read(source->fd, &count, sizeof(count)) == sizeof(count))
		bind->ready(bind);
}

void
bind_tell(struct bind *bind)
{
	event(&bind->source, EPOLLIN);
}

int
bind_add(struct machine *machine, struct bind *bind)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	bind->source =
	    (struct loop_source){ .fd = -1, .ready = event, .context = bind, .device = true };
	if (fd < 0)
		return -1;
	if (loop_add(&machine->loop, &bind->source, fd, EPOLLIN)) {
		close(fd);
		return -1;
	}
	bind->bound = false;
	bind->next = machine->binds;
	machine->binds = bind;
	return 0;
}

static void
set(struct machine *machine, struct bind *bind, bool bound)
{
	if (bind->bound != bound &&
	    !kvm_bind(&machine->kvm, bind->space == MINIVMM_PIO, bind->address, bind->width,
		      bind->value, bind->source.fd, bound))
		bind->bound = bound;
}

void
bind_remove(struct machine *machine, struct bind *bind)
{
	int fd = bind->source.fd;

	for (struct bind **b = &machine->binds; *b; b = &(*b)->next)
		if (*b == bind) {
			*b = bind->next;
			break;
		}
	set(machine, bind, false);
	loop_remove(&machine->loop, &bind->source);
	close(fd);
}

void
binds_set(struct machine *machine, bool bound)
{
	for (struct bind *b = machine->binds; b; b = b->next)
		set(machine, b, bound);
}
