/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes of the guest that KVM turns into events (KVM_IOEVENTFD): the vCPU goes on at once, and the
 * main thread takes the event. While somebody looks at each access, for a trace or a point, they
 * are accesses like any other.
 */
#ifndef MACHINE_IOEVENTFD_H
#define MACHINE_IOEVENTFD_H

#include <stdbool.h>
#include <stdint.h>

#include "machine/loop.h"

struct machine;

/* One such write; embedded in what belongs to it, address fixed while added. */
struct ioeventfd {
	struct loop_source source; /* ready: bind's own */
	void (*ready)(struct ioeventfd *ioeventfd);
	void *context;
	uint32_t space, width; /* enum minivmm_space; bytes */
	uint64_t address, value;
	bool assigned; /* KVM knows of it */
	struct ioeventfd *next;
};

/* Main thread. -1: there is no descriptor; errno is set. From the machine's next start on. */
int ioeventfd_add(struct machine *machine, struct ioeventfd *ioeventfd);
void ioeventfd_remove(struct machine *machine, struct ioeventfd *ioeventfd);
/* Calls ready now, if it is due: for who is about to stop the machine. */
void ioeventfd_poll(struct ioeventfd *ioeventfd);
/* Binds them, or unbinds them. Where KVM does not, they stay accesses. */
void ioeventfds_assign(struct machine *machine, bool assigned);

#endif
