/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM as a whole: the machine and the devices of a config or of a snapshot, ready to run. */
#ifndef VM_VM_H
#define VM_VM_H

#include "config/config.h"
#include "device/device.h"
#include "machine/machine.h"
#include "snapshot/capture.h"

struct vm {
	struct config config;
	struct snapshot snapshot;
	struct machine machine;
	struct devices devices;
	struct capture capture;
	bool capturing; /* capture is there */
	bool built;     /* as far as there is something to destroy beside config and snapshot */
};

/* Where a VM comes from: one of config and restore. Filled by the caller; strings are borrowed. */
struct vm_source {
	const char *config;  /* path of an INI file */
	const char *restore; /* path of a snapshot; "-", "fd:N": from there */
	char **parents;      /* paths of snapshots that it may differ from, parent_count of them */
	size_t parent_count;
	char **set; /* KEY=VALUE, set_count of them */
	size_t set_count;
	bool trust; /* host files and sockets that a snapshot names may be opened */
	bool again; /* to be run and reset many times: streams are connected to nothing */
	bool check; /* look only: no KVM, nothing is opened, no state is loaded */
};

/* Reads, builds, boots or loads. After mistakes in a config's text only what they leave is checked.
 * Returns 0 or a negative status; destroy in any case. vm is large: not for the stack. */
int vm_build(struct vm *vm, const struct vm_source *source);
void vm_destroy(struct vm *vm);

/* The number of "fd:N"; -1: the text is no such thing. */
int descriptor(const char *text, int *fd);

#endif
