/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands that take snapshots. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
	fprintf(command->reply,
		",\"id\":\"%s\",\"kind\":\"%s\",\"method\":\"%s\",\"stopped_us\":%.1f,"
		"\"duration_ms\":%.1f,\"bytes\":%llu,\"pages\":%llu,\"pages_on_demand\":%llu,"
		"\"rounds\":%u",
		snapshot_id_text(result->id, id), result->diff ? "diff" : "full",
		config_methods[result->method], (double)result->stopped / 1e3,
		(double)result->duration / 1e6, (unsigned long long)result->bytes,
		(unsigned long long)result->pages, (unsigned long long)result->stop_pages,
		result->rounds);
	command_done(command);
}

/* [full|diff] [live|paused], in any order; false: another word. */
static bool
snapshot_word(struct capture_request *capture, const char *word)
{
	if (!strcmp(word, "diff"))
		capture->diff = true;
	else if (!strcmp(word, "paused"))
		capture->method = METHOD_PAUSE;
	else
		return !strcmp(word, "full") || !strcmp(word, "live");
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

	for (int i = 2; i < argc; i++)
		if (!snapshot_word(&capture, argv[i])) {
			command_fail(command, "%s is none of full, diff, live and paused", argv[i]);
			goto close;
		}
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
	else if (!vm_withdraw_until(vm, "withdrawn by cancel")) {
		command_fail(command, "no snapshot and no until is under way");
		return;
	}
	command_done(command);
}
