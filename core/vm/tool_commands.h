/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of tools, which any carrier could bring; see vm/command.h. Main thread. */
#ifndef VM_TOOL_COMMANDS_H
#define VM_TOOL_COMMANDS_H

#include "vm/tools.h"

/* Queues a command for vm_vm_tool_commands_work(). Returns its id; 0: no memory, or too many words.
 */
uint64_t vm_tool_commands_add(struct vm_tool *tool, const char *const *words, uint32_t count);
/* Runs the commands that are queued, and tells the tool of those that have ended. */
void vm_tool_commands_work(struct vm_tool *tool);
/* The tool ends: nobody reads the replies. */
void vm_tool_commands_forget(struct vm_tool *tool);
/* Whether a command is one of the tool's. */
bool vm_tool_is_caller(const struct vm_tool *tool, const struct command *command);

#endif
