/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioeventfds: guest writes for which KVM signals an eventfd (KVM_IOEVENTFD). The vCPU continues at
 * once; the main thread serves the event. While a trace or a stop condition needs every access, the
 * ioeventfds are not assigned to KVM, and the writes exit like any other access.
 */
#ifndef MACHINE_IOEVENTFD_H
#define MACHINE_IOEVENTFD_H

#include <stdbool.h>
#include <stdint.h>

#include "machine/loop.h"

struct machine;

/* One ioeventfd. Its owner embeds it and fills ready, context, space, width, address and value. It
 * must not move between ioeventfd_add and ioeventfd_remove. address IOEVENTFD_UNPLACED: the guest
 * cannot write there now. */
#define IOEVENTFD_UNPLACED UINT64_MAX
struct ioeventfd {
	struct loop_source source;                  /* private */
	bool (*ready)(struct ioeventfd *ioeventfd); /* main thread: the guest has written value.
						       false: not now, call it again */
	void *context;
	uint32_t space, width; /* enum minivmm_space; bytes */
	uint64_t address, value;
	bool assigned;          /* KVM signals the eventfd; private */
	struct ioeventfd *next; /* private */
};

/* Adds an ioeventfd. KVM signals it from the next time the machine starts or resumes. 0, or -1: no
 * descriptor; errno is set. Main thread. */
int ioeventfd_add(struct machine *machine, struct ioeventfd *ioeventfd);
/* Main thread. */
void ioeventfd_remove(struct machine *machine, struct ioeventfd *ioeventfd);
/* Moves it to another address, or to IOEVENTFD_UNPLACED, while vCPUs run. The caller serialises
 * calls for one ioeventfd; any vCPU thread, or the main thread while the vCPUs are stopped. */
void ioeventfd_place(struct machine *machine, struct ioeventfd *ioeventfd, uint64_t address);
/* Calls ready of those with an event: a pause must not leave one in the eventfd. A stop waits for
 * this: it takes one system call, and some for each event. Main thread. */
void ioeventfds_poll(struct machine *machine);
/* Assigns all ioeventfds to KVM, or deassigns them. One that KVM refuses stays an access that
 * exits. Main thread, vCPUs stopped. */
void ioeventfds_assign(struct machine *machine, bool assigned);

#endif
