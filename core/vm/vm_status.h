/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of a running VM as members of a JSON object. */
#ifndef VM_VM_STATUS_H
#define VM_VM_STATUS_H

#include <stdio.h>

struct vm;

/* ,"state":...,"uptime_ns":... and so on. Polls the pages written since the last time. */
void vm_status(FILE *out, struct vm *vm);
/* An array with an object for each device. */
void vm_status_devices(FILE *out, const struct vm *vm);

#endif
