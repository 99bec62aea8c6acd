/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions behind the table of commands. Private to core/vm. */
#ifndef VM_VM_COMMANDS_H
#define VM_VM_COMMANDS_H

#include "vm/vm.h"

/* Each is a command_row's run; context is a struct vm. */
void command_snapshot(void *context, struct command *command, int argc, char **argv);
void command_core(void *context, struct command *command, int argc, char **argv);
void command_cancel(void *context, struct command *command, int argc, char **argv);
void command_branch(void *context, struct command *command, int argc, char **argv);
void command_registers(void *context, struct command *command, int argc, char **argv);
void command_memory(void *context, struct command *command, int argc, char **argv);
void command_connect(void *context, struct command *command, int argc, char **argv);
void command_device(void *context, struct command *command, int argc, char **argv);

/* Withdraws the stop condition of "until", whose command fails with why; the machine continues.
 * false: there is none. */
bool vm_withdraw_until(struct vm *vm, const char *why);

/* Makes the core file under way fail soon. false: there is none. */
bool vm_core_cancel(struct vm *vm);
/* The same when the machine ends, after capture_end: waits for its end. */
void vm_core_end(struct vm *vm);
/* Bytes of memory that are in the core file, and in total. False: none is being written, or its
 * snapshot still is. */
bool vm_core_progress(const struct vm *vm, uint64_t *done, uint64_t *total);

/* The device of that name; NULL: there is none, and the command has ended with an error. */
struct device *vm_command_device(struct vm *vm, struct command *command, const char *name);

/* Ends a command with the text of this thread's last fail(). */
void command_failed(struct command *command);

#endif
