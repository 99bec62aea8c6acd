/* SPDX-License-Identifier: BSD-2-Clause */
/* ioeventfds: guest writes that are events of the I/O loop. */
#include "machine/ioeventfd.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "machine/machine.h"

static void
event(struct loop_source *source, uint32_t events)
{
	struct ioeventfd *ioeventfd = source->context;
	uint64_t count;

	if (read(source->fd, &count, sizeof(count)) != sizeof(count) || ioeventfd->ready(ioeventfd))
		return;
	if (write(source->fd, &count, sizeof(count)) < 0) /* not now: report it again */
		abort(); /* cannot happen: the count has just been there */
}

/* One event per epoll_wait: ready may remove any ioeventfd. Those with an event take turns, so that
 * each is called, even if one always answers "not now". */
void
ioeventfds_poll(struct machine *machine)
{
	struct epoll_event ready;

	for (uint32_t i = machine->ioeventfd_events.count; i; i--) {
		struct ioeventfd *ioeventfd;

		if (epoll_wait(machine->ioeventfd_events.epoll, &ready, 1, 0) != 1)
			break;
		ioeventfd = ready.data.ptr;
		event(&ioeventfd->source, EPOLLIN);
	}
}

/* Adds it to those of ioeventfds_poll(). */
static int
add_event(struct machine *machine, struct ioeventfd *ioeventfd, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = ioeventfd };

	if (!machine->ioeventfd_events.count)
		machine->ioeventfd_events.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (machine->ioeventfd_events.epoll < 0)
		return -1;
	if (epoll_ctl(machine->ioeventfd_events.epoll, EPOLL_CTL_ADD, fd, &event)) {
		if (!machine->ioeventfd_events.count)
			close(machine->ioeventfd_events.epoll);
		return -1;
	}
	machine->ioeventfd_events.count++;
	return 0;
}

static void
remove_event(struct machine *machine, int fd)
{
	epoll_ctl(machine->ioeventfd_events.epoll, EPOLL_CTL_DEL, fd, NULL);
	if (!--machine->ioeventfd_events.count)
		close(machine->ioeventfd_events.epoll);
}

int
ioeventfd_add(struct machine *machine, struct ioeventfd *ioeventfd)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	ioeventfd->source =
	    (struct loop_source){ .fd = -1, .ready = event, .context = ioeventfd, .device = true };
	if (fd < 0)
		return -1;
	if (add_event(machine, ioeventfd, fd)) {
		close(fd);
		return -1;
	}
	if (loop_add(&machine->loop, &ioeventfd->source, fd, EPOLLIN)) {
		remove_event(machine, fd);
		close(fd);
		return -1;
	}
	ioeventfd->assigned = false;
	ioeventfd->next = machine->ioeventfds;
	machine->ioeventfds = ioeventfd;
	return 0;
}

static void
set(struct machine *machine, struct ioeventfd *ioeventfd, bool assigned)
{
	if (ioeventfd->assigned != assigned &&
	    (!assigned || ioeventfd->address != IOEVENTFD_UNPLACED) &&
	    !kvm_ioeventfd(&machine->kvm, ioeventfd->space == MINIVMM_PIO, ioeventfd->address,
			   ioeventfd->width, ioeventfd->value, ioeventfd->source.fd, assigned))
		ioeventfd->assigned = assigned;
}

void
ioeventfd_remove(struct machine *machine, struct ioeventfd *ioeventfd)
{
	int fd = ioeventfd->source.fd;

	for (struct ioeventfd **e = &machine->ioeventfds; *e; e = &(*e)->next)
		if (*e == ioeventfd) {
			*e = ioeventfd->next;
			break;
		}
	set(machine, ioeventfd, false);
	loop_remove(&machine->loop, &ioeventfd->source);
	remove_event(machine, fd);
	close(fd);
}

void
ioeventfd_place(struct machine *machine, struct ioeventfd *ioeventfd, uint64_t address)
{
	set(machine, ioeventfd, false);
	ioeventfd->address = address;
	if (machine->assign_ioeventfds)
		set(machine, ioeventfd, true);
}

void
ioeventfds_assign(struct machine *machine, bool assigned)
{
	machine->assign_ioeventfds = assigned;
	for (struct ioeventfd *e = machine->ioeventfds; e; e = e->next)
		set(machine, e, assigned);
}
