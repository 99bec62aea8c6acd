/* SPDX-License-Identifier: BSD-2-Clause */
/* Reports on a machine that has stopped. */
#ifndef VM_REPORT_H
#define VM_REPORT_H

#include "vm/vm.h"

/* These two log errors, whatever the log level is. The registers of all vCPUs, except one that
 * report_end has logged: */
void report_registers(struct machine *machine);
/*
 * What vm->machine.end does not say in a word: of a triple fault, where it was; of an error of KVM,
 * the registers of the vCPU. symbols: name addresses; NULL: none. *code: what that vCPU executed;
 * length 0: nothing, or unknown.
 */
void report_end(struct machine *machine, const struct symbols *symbols, struct vcpu_code *code);
/* How far KASLR has moved the guest's Linux, by VMCOREINFO in its memory; 0 if there is none. Reads
 * all memory. The vCPUs are stopped. */
uint64_t report_kernel_offset(const struct vm *vm);
void report_dirty(struct machine *machine); /* the pages that the guest wrote, to the log */
/*
 * Writes one JSON line to the VM's status file: cause (and the stop condition, if that is the
 * cause), exit status, guest status, counts, time. 0 or a negative status.
 */
int report_status(const struct vm *vm, int status);
/* Empties a status file with the line of an earlier run: it must not pass for that of a run that is
 * killed before its end. Leaves other files, and errors to the functions above and below. */
void report_forget(const char *path);
/*
 * Writes the line of a run that was refused before it began, with the text of the last fail().
 * Keeps a file whose content is no status: the run was refused before its files were compared. 0 or
 * a negative status.
 */
int report_refused(const char *path, int status);

/* The exit status of the process for an end of the machine. */
int report_exit(const struct machine_end *end);

#endif
