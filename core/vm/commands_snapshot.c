/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands that take snapshots. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/socket.h"
#include "vm/vm_commands.h"

static void
captured(void *context, const struct capture_result *result)
{
	struct vm *vm = context;
	struct command *command = vm->capturing;
	char id[33];

	vm->capturing = NULL;
	if (result->status) {
		command_fail(command, "%s", result->text);
		return;
	}
	fprintf(command->reply, ",\"id\":\"%s\",\"kind\":\"%s\",\"method\":\"%s\",\"stopped_us\":",
		snapshot_id_text(result->id, id), result->diff ? "diff" : "full",
		config_methods[result->method]);
	json_decimal(command->reply, result->stopped, 1000);
	fputs(",\"duration_ms\":", command->reply);
	json_decimal(command->reply, result->duration, 1000000);
	fprintf(command->reply,
		",\"bytes\":%llu,\"pages\":%llu,\"pages_on_demand\":%llu,\"rounds\":%u",
		(unsigned long long)result->bytes, (unsigned long long)result->pages,
		(unsigned long long)result->stop_pages, result->rounds);
	command_done(command);
}

/* [full|diff] [live|paused] [apart], in any order. False: another word, or two of a pair; it has
 * failed. */
static bool
snapshot_words(struct capture_request *capture, struct command *command, int count, char **words)
{
	static const char *const pairs[2][2] = { { "full", "diff" }, { "live", "paused" } };
	const char *given[2] = { NULL, NULL };

	for (; count--; words++) {
		unsigned i = 0;

		if (!strcmp(*words, "apart")) {
			capture->apart = true;
			continue;
		}
		while (i < 4 && strcmp(*words, pairs[i / 2][i % 2]))
			i++;
		if (i == 4) {
			command_fail(command, "%s is not full, diff, live, paused or apart",
				     *words);
			return false;
		}
		if (given[i / 2]) {
			command_fail(command, "give one of %s and %s", pairs[i / 2][0],
				     pairs[i / 2][1]);
			return false;
		}
		given[i / 2] = *words;
	}
	capture->diff = given[0] && !strcmp(given[0], "diff");
	if (given[1] && !strcmp(given[1], "paused"))
		capture->method = METHOD_PAUSE;
	return true;
}

void
command_snapshot(void *context, struct command *command, int argc, char **argv)
{
	struct vm *vm = context;
	struct capture_request capture = {
		.path = argv[1],
		.fd = command_take_fd(command),
		.method = vm->config.snapshot.method,
		.track = true,
		.done = captured,
		.context = vm,
	};
	bool stream = !strcmp(argv[1], "-");
	const char *user = stream ? NULL : vm_files_user(vm, argv[1]);

	if (!snapshot_words(&capture, command, argc - 2, argv + 2))
		goto close;
	if (stream != (capture.fd >= 0)) {
		command_fail(command,
			     stream ? "snapshot - needs a descriptor to write to; minivmm "
				      "ctl hands over its stdout"
				    : "the request names a file, but a descriptor came with it");
		goto close;
	}
	if (user) {
		command_fail(command,
			     "snapshot: %s is in use by %s and would be overwritten; give "
			     "the snapshot another file",
			     argv[1], user);
		goto close;
	}
	if (capture_start(&vm->capture, &capture))
		command_failed(command);
	else
		vm->capturing = command;
	return;
close:
	if (capture.fd >= 0)
		socket_close_passed(capture.fd);
}

void
command_cancel(void *context, struct command *command, int argc, char **argv)
{
	struct vm *vm = context;

	if (vm->capture.busy)
		capture_cancel(&vm->capture);
	else if (!vm_core_cancel(vm) && !vm_withdraw_until(vm, "withdrawn by cancel")) {
		command_fail(command, "no snapshot, core or until is in progress");
		return;
	}
	command_done(command);
}
