/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command core: writes a core file of the machine while it runs. A live snapshot goes to a file
 * without a name beside the target; then a thread writes the core file from it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limit.h"
#include "base/log.h"
#include "snapshot/vmcore.h"
#include "vm/vm_commands.h"

/* A core file under way. Main thread; the thread uses path, file.fd, the atomics and the results.
 */
struct core_writing {
	struct vm *vm;
	struct command *command;
	char *path;
	struct file_replacement file; /* receives the snapshot; never committed */
	struct capture_result capture;
	pthread_t thread;
	bool thread_runs;
	struct loop_source event; /* the thread has ended */
	int event_fd;
	atomic_int cancelled; /* enum output_cancel */
	atomic_uint_least64_t done, total;
	/* Results of the thread. */
	struct vmcore_result result;
	int status;
	char text[1024];
};

static void
destroy(struct core_writing *core)
{
	core->vm->core = NULL;
	loop_remove(&core->vm->machine.loop, &core->event);
	if (core->event_fd >= 0)
		close(core->event_fd);
	if (core->file.fd >= 0) /* freeing its blocks takes long */
		file_close_later(core->file.fd);
	core->file.fd = -1;
	file_replace_end(&core->file);
	free(core->path);
	free(core);
}

static bool
poll_cancel(void *context, uint64_t done, uint64_t total)
{
	struct core_writing *core = context;

	atomic_store(&core->done, done);
	atomic_store(&core->total, total);
	return atomic_load(&core->cancelled) != OUTPUT_NOT_CANCELLED;
}

/* The thread. */
static void *
convert(void *argument)
{
	struct core_writing *core = argument;
	struct vmcore_request request = {
		.path = core->path, .fd = -1, .poll = poll_cancel, .context = core
	};
	struct snapshot snapshot = { .fd = -1 };
	int fd = fcntl(core->file.fd, F_DUPFD_CLOEXEC, 3); /* the snapshot closes it */
	uint64_t one = 1;

	if (fd < 0)
		core->status = fail(status_for(errno, STATUS_IO), "cannot write core %s: %s",
				    core->path, limit_error(errno).text);
	else
		core->status = snapshot_open_fd(&snapshot, fd, core->path);
	if (!core->status)
		core->status = vmcore_write(&snapshot, &request, &core->result);
	if (core->status)
		snprintf(core->text, sizeof(core->text), "%s", fail_text());
	snapshot_close(&snapshot);
	if (write(core->event_fd, &one, sizeof(one)) < 0)
		abort(); /* cannot happen: the eventfd is far below its limit */
	return NULL;
}

/* Ends the command after the thread. */
static void
end(struct core_writing *core)
{
	FILE *out = core->command->reply;

	pthread_join(core->thread, NULL);
	if (core->status && atomic_load(&core->cancelled) == OUTPUT_MACHINE_ENDED)
		command_fail(core->command,
			     "cannot write core %s: the machine ended before it was complete",
			     core->path);
	else if (core->status)
		command_fail(core->command, "%s", core->text);
	else {
		if (*core->result.release) {
			fputs(",\"linux\":", out);
			json_text(out, core->result.release, strlen(core->result.release));
		}
		fprintf(out,
			",\"method\":\"%s\",\"stopped_us\":", config_methods[core->capture.method]);
		json_decimal(out, core->capture.stopped, 1000);
		fprintf(out, ",\"bytes\":%llu,\"segments\":%u",
			(unsigned long long)core->result.data, core->result.segments);
		command_done(core->command);
	}
	destroy(core);
}

static void
thread_ended(struct loop_source *source, uint32_t events)
{
	end(source->context);
}

/* Starts the thread. 0 or a negative status. */
static int
start_thread(struct core_writing *core)
{
	sigset_t all, before;
	int error;

	if (loop_add(&core->vm->machine.loop, &core->event, core->event_fd, EPOLLIN))
		return fail(STATUS_HOST, "cannot write core %s: epoll_ctl: %s", core->path,
			    limit_error(errno).text);
	sigfillset(&all);
	/* A blocked fault would kill the process without a message. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&core->thread, NULL, convert, core);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	core->thread_runs = !error;
	return error ? fail(STATUS_HOST, "cannot write core %s: pthread_create: %s", core->path,
			    limit_error_of(LIMIT_THREAD, error).text)
		     : 0;
}

/* The snapshot is complete or has failed. */
static void
captured(void *context, const struct capture_result *result)
{
	struct core_writing *core = context;

	core->capture = *result;
	if (!result->status && !start_thread(core))
		return;
	command_fail(core->command, "%s", result->status ? result->text : fail_text());
	destroy(core);
}

static int
begin(struct core_writing *core)
{
	struct capture_request request = {
		.path = core->path,
		.open_file = true,
		.apart = true,
		.method = core->vm->config.snapshot.method,
		.done = captured,
		.context = core,
	};
	const char *user = vm_files_user(core->vm, core->path);
	int failed;

	if (user)
		return fail(STATUS_USAGE,
			    "core: %s is in use by %s and would be overwritten; name another file",
			    core->path, user);
	if (core->event_fd < 0)
		return fail(STATUS_HOST, "cannot write core %s: eventfd: %s", core->path,
			    limit_error(errno).text);
	failed = vmcore_replace(&core->file, core->path);
	request.fd = core->file.fd;
	return failed ? failed : capture_start(&core->vm->capture, &request);
}

void
command_core(void *context, struct command *command, int argc, char **argv)
{
	struct vm *vm = context;
	struct core_writing *core;

	if (vm->core) {
		command_fail(command, "another core is in progress; wait for it or cancel it");
		return;
	}
	if (!strcmp(argv[1], "-")) {
		command_fail(command,
			     "core - is not supported; use minivmm ctl SOCKET snapshot - | "
			     "minivmm core - -o -");
		return;
	}
	core = calloc(1, sizeof(*core));
	if (core)
		*core = (struct core_writing){
			.vm = vm,
			.command = command,
			.path = strdup(argv[1]),
			.file = { .fd = -1 },
			.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
			.event = { .fd = -1,
				   .ready = thread_ended,
				   .context = core,
				   .outer = true },
		};
	if (!core || !core->path) {
		free(core);
		fail_memory("writing core %s", argv[1]);
		command_failed(command);
		return;
	}
	vm->core = core;
	if (begin(core)) {
		command_failed(command);
		destroy(core);
	}
}

bool
vm_core_cancel(struct vm *vm)
{
	if (!vm->core)
		return false;
	atomic_store(&vm->core->cancelled, OUTPUT_CANCELLED);
	return true;
}

void
vm_core_end(struct vm *vm)
{
	if (!vm->core)
		return;
	atomic_store(&vm->core->cancelled, OUTPUT_MACHINE_ENDED);
	end(vm->core);
}

bool
vm_core_progress(const struct vm *vm, uint64_t *done, uint64_t *total)
{
	if (!vm->core || !vm->core->thread_runs)
		return false;
	*done = atomic_load(&vm->core->done);
	*total = atomic_load(&vm->core->total);
	return true;
}
