/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of a running VM as members of a JSON object. */
#ifndef VM_VM_STATUS_H
#define VM_VM_STATUS_H

#include <stdio.h>

struct vm;
struct device;

/* ,"state":...,"uptime_ns":... and so on. Polls the pages written since the last time. */
void vm_status(FILE *out, struct vm *vm);
/* The counters of a device as members of a JSON object, without braces. */
void vm_status_counts(FILE *out, const struct device *device);
/* An array with an object for each device. */
void vm_status_devices(FILE *out, const struct vm *vm);

#endif
