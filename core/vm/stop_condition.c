/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks stop conditions against the VM, and serves the stop condition of the run. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/text.h"
#include "vm/vm.h"

static int
check_output(struct vm *vm, const struct stop *stop, const char *text, struct why *why)
{
	const struct device *device = devices_find(&vm->devices, stop->device);

	/* After a mistake in the config there may be fewer devices than it names. */
	if (device ? device_has_output(device)
		   : config_device_find(&vm->config, stop->device) != NULL)
		return 0;
	if (device)
		return why_set(why, "%s: device %s (plugin %s) has no output stream", text,
			       stop->device, device_plugin(device));
	return why_set(why, "%s: there is no device %s%s", text, stop->device,
		       did_you_mean(config_device_nearest(&vm->config, stop->device), "").text);
}

/* Can this machine meet the condition? */
static int
check(struct vm *vm, const struct stop *stop, const char *text, struct why *why)
{
	if (stop->kind == STOP_OUTPUT)
		return check_output(vm, stop, text, why);
	if (stop->kind != STOP_MMIO || !memory_at(&vm->machine.memory, stop->value, 1))
		return 0;
	return why_set(why,
		       "%s: this address is guest memory, and accesses to memory do not stop the "
		       "machine: name an address outside of it",
		       text);
}

int
vm_stop_set(struct vm *vm, const char *text, const struct stop_handler *handler, struct why *why)
{
	struct stop stop;

	if (stop_parse(&stop, text, why)) {
		stop_free(&stop);
		return why_prefix(why, "%s ", text);
	}
	if (check(vm, &stop, text, why)) {
		stop_free(&stop);
		return -1;
	}
	machine_stop_set(&vm->machine, &stop, handler);
	return 0;
}

/* Waits for a snapshot that a command has begun, unless the machine has ended. */
static bool
wait_for_capture(void *context)
{
	struct vm *vm = context;

	return vm->stop.save && vm->capture.busy && !machine_ended(&vm->machine);
}

static bool
poll_save(void *context)
{
	const struct vm *vm = context;
	uint64_t done = 0, total = 0;

	return capture_progress(&vm->capture, &done, &total) &&
	       (total || capture_in_devices(&vm->capture)) &&
	       vm->stop.poll(vm->stop.context, done, total);
}

/* Writes the stop's snapshot of the paused machine. 0 or a negative status. */
static int
write_snapshot(struct vm *vm)
{
	struct capture_request request = { .path = vm->stop.save,
					   .fd = -1,
					   .poll = vm->stop.poll ? poll_save : NULL,
					   .context = vm };
	int fd, r;

	if (!vm_descriptor(request.path, &fd)) {
		request.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* capture closes the copy */
		if (request.fd < 0)
			return fail(status_for(errno, STATUS_IO), "cannot write snapshot %s: %s",
				    request.path, limit_error(errno).text);
	}
	r = capture_now(&vm->capture, &request, NULL);
	if (vm->stop.poll)
		vm->stop.poll(vm->stop.context, 0, 0);
	return r;
}

/* The stop is hit: writes its snapshot. */
static void
save(struct vm *vm)
{
	int r;

	vm->stop.hit = true;
	if (!vm->stop.save)
		return;
	vm->patient = true;
	capture_end(&vm->capture); /* if the machine has ended */
	r = write_snapshot(vm);
	vm->patient = false;
	if (r)
		vm->stop.error = r; /* reported; the machine is intact and may go on */
	else
		log_line(MINIVMM_INFO, NULL, "snapshot written to %s", vm->stop.save);
}

void
vm_stop_timeout(struct vm *vm)
{
	if (!vm->stop.text)
		save(vm);
}

static int
at_own_stop(void *context)
{
	struct vm *vm = context;

	save(vm);
	if (vm->stop.ends || !vm->stop.save)
		machine_end(&vm->machine, CAUSE_STOP, 0);
	return 0;
}

/* A snapshot on stdin or stdout excludes a device's stream there. Before the guest runs: a terminal
 * is refused. */
static int
check_stdio(const struct vm *vm)
{
	const struct stream_hub *hub = &vm->devices.streams;
	const char *from = vm->source.restore, *save = vm->stop.save;
	int in = -1, out = -1;

	if (from && !strcmp(from, "-"))
		in = 0;
	else if (from)
		vm_descriptor(from, &in);
	if (save)
		vm_descriptor(save, &out);
	if (in == 0 && hub->stdin_owner)
		return fail(STATUS_USAGE,
			    "-r %s: the snapshot comes from stdin, which device %s reads: give "
			    "the device another input, as --set device.%s.input=none",
			    from, hub->stdin_owner, hub->stdin_owner);
	if (out == 1 && hub->stdout_owner)
		return fail(STATUS_USAGE,
			    "--save %s: the snapshot goes to stdout, to which device %s writes: "
			    "give the device another output, as --set device.%s.output=stderr",
			    save, hub->stdout_owner, hub->stdout_owner);
	if (out >= 0 && !file_descriptor_given(out))
		return fail(STATUS_IO,
			    "cannot write snapshot %s: descriptor %d is not open; pass it with "
			    "%d>FILE in a shell",
			    save, out, out);
	if (out >= 0 && isatty(out))
		return fail(STATUS_USAGE,
			    "--save %s: the snapshot cannot go to a terminal; redirect the "
			    "descriptor to a file or pipe",
			    save);
	return 0;
}

int
vm_stop_plan(struct vm *vm, const struct vm_stop *stop, const char *where)
{
	const struct stop_handler handler = { wait_for_capture, at_own_stop, vm };
	struct why why;
	int r;

	vm->stop = *stop;
	if (stop->save && !*stop->save)
		return fail(STATUS_USAGE,
			    "%s: name a file for the snapshot, with --save or [snapshot] file",
			    where);
	r = check_stdio(vm);
	if (!r)
		r = vm_files_check(vm);
	if (!r && stop->text && vm_stop_set(vm, stop->text, &handler, &why))
		r = fail(why_status(&why, STATUS_USAGE), "%s: %s", where, why.text);
	return r;
}

static bool
is_past(const struct vm *vm, uint64_t now)
{
	return vm->machine.stop.kind == STOP_TIME && vm->machine.stop.value <= now;
}

void
vm_stop_warn_past(const struct vm *vm, const char *text)
{
	uint64_t now = clock_now(&vm->machine.clock);

	if (text && is_past(vm, now))
		log_line(MINIVMM_WARNING, NULL,
			 "stop condition %s is in the past: the VM's clock shows %llu ns", text,
			 (unsigned long long)now);
}

void
vm_stop_warn_missed(const struct vm *vm)
{
	enum machine_cause cause = vm->machine.end.cause;
	bool guests = cause == CAUSE_HLT || cause == CAUSE_EXIT || cause == CAUSE_SHUTDOWN ||
		      cause == CAUSE_PANIC;

	if (vm->stop.hit || (!vm->stop.text && !vm->stop.save))
		return;
	if (!vm->stop.text)
		log_line(MINIVMM_WARNING, NULL,
			 "the machine ended before the timeout: no snapshot written");
	else if (vm->stop.save)
		log_line(MINIVMM_WARNING, NULL,
			 "stop condition %s was not hit: no snapshot written", vm->stop.text);
	else if (guests && !is_past(vm, clock_now(&vm->machine.clock)))
		log_line(MINIVMM_WARNING, NULL,
			 "stop condition %s was not hit: the guest ended first", vm->stop.text);
}
