/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minivmm batch: a worker process, which runs one machine repeatedly, each time with another input.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/batch.h"
#include "cli/cli.h"
#include "vm/report.h"

#define OUTPUT_MAX (1u << 20)  /* maximum bytes of recorded output per run */
#define TRIES 100u             /* runs of an input whose end is no verdict on it */
#define LATE_TRIES 3u          /* so, if the reason is that the main thread did not run */
#define PULSE 50000000u        /* ns: the main thread checks how often it runs */
#define LATE 1000000000u       /* ns without the main thread: the vCPUs did not run either */
#define INPUT_MAX (256u << 20) /* maximum bytes of an input */

struct worker {
	const struct batch *batch;
	struct vm vm;
	struct device *device;
	struct stream_record output; /* of the device that reads the input */
	sigset_t continued;          /* SIGCONT */
	bool ran;                    /* the machine has changed since the restore */
	struct loop_timer pulse;     /* of a run that the VM's clock can end */
	bool late;                   /* in this run it was late by LATE */
};

static int
at_stop(void *context)
{
	struct worker *w = context;

	machine_end(&w->vm.machine, CAUSE_STOP, 0);
	return 0;
}

/* Reads a whole file into malloced memory. 0 or a negative status. */
static int
read_input(const char *path, uint8_t **input, size_t *length)
{
	int fd = file_open(path, FILE_READ), r = 0;
	uint8_t *bytes = NULL;
	struct stat st;
	ssize_t n = 0;

	*length = 0;
	if (fd < 0 || fstat(fd, &st))
		r = fail(status_for(errno, STATUS_IO), "cannot read input %s: %s", path,
			 limit_error(errno).text);
	else if (!S_ISREG(st.st_mode) || st.st_size > INPUT_MAX)
		r = fail(STATUS_USAGE, "input %s is %s", path,
			 S_ISREG(st.st_mode) ? "larger than 256 MiB" : "not a regular file");
	else if (!(bytes = malloc((size_t)st.st_size + 1)))
		r = fail_memory("input %s", path);
	while (bytes && *length < (size_t)st.st_size &&
	       (n = read(fd, bytes + *length, (size_t)st.st_size - *length)) > 0)
		*length += (size_t)n;
	if (n < 0)
		r = fail(status_for(errno, STATUS_IO), "cannot read input %s: %s", path,
			 limit_error(errno).text);
	if (fd >= 0)
		close(fd);
	*input = bytes;
	return r;
}

static int
start_machine(struct worker *w)
{
	int r = vm_start(&w->vm);

	if (!r || w->batch->workers == 1)
		return r;
	return fail((enum status) - r,
		    "batch: each of the %u processes is a whole machine, and one could not start: "
		    "what it listens on or writes to may be in use by another one; use -j 1, or "
		    "disconnect it with --set device.NAME.KEY=",
		    w->batch->workers);
}

/* Resets the machine to the state of the snapshot, and starts the devices. */
static int
rewind_machine(struct worker *w)
{
	int r;

	if (!w->ran) {
		r = w->batch->check ? vm_reset_remember(&w->vm) : 0;
		return r ? r : start_machine(w);
	}
	r = vm_reset(&w->vm);
	if (!r && vm_reset_difference(&w->vm))
		batch_error(w->batch, fail(STATUS_BUG, "the reset is incomplete: %s",
					   vm_reset_difference(&w->vm)));
	return r;
}

static int
set_stop(struct worker *w)
{
	const struct stop_handler handler = { .hit = at_stop, .context = w };
	struct why why;

	machine_stop_clear(&w->vm.machine);
	if (!w->batch->until)
		return 0;
	if (vm_stop_set(&w->vm, w->batch->until, &handler, &why))
		return fail(why_status(&why, STATUS_USAGE), "--until %s", why.text);
	if (!atomic_exchange(&w->batch->shared->warned, true)) /* each run begins at this time */
		vm_stop_warn_past(&w->vm, w->batch->until);
	return 0;
}

/* Writes the result of a run as a line of JSON. */
static int
report(struct worker *w, const char *file, uint64_t began, uint64_t vm_began)
{
	struct machine *m = &w->vm.machine;
	const struct machine_end *end = &m->end;
	struct batch_line line;
	struct vcpu_code code;
	int r = batch_line_begin(&line, file, machine_cause_name(end->cause), report_exit(end));

	if (r)
		return r;
	if (end->cause == CAUSE_INTERNAL)
		report_end(m, NULL, &code);
	if (end->cause == CAUSE_EXIT) {
		fputs(",\"guest_status\":", line.out);
		json_hex(line.out, end->status);
	}
	fputs(",\"output\":", line.out);
	json_text(line.out, w->output.bytes, w->output.length);
	if (w->output.more)
		fputs(",\"output_cut\":true", line.out);
	fputs(",\"vm_ns\":", line.out);
	json_hex(line.out, clock_now(&m->clock) - vm_began);
	fputs(",\"host_ns\":", line.out);
	json_hex(line.out, clock_host() - began);
	return batch_line_end(w->batch, &line);
}

/* Reports an unreadable input; the batch continues with the others. */
static int
skip_input(const struct worker *w, const char *file, int status)
{
	struct batch_line line;
	int r;

	if (status == -STATUS_HOST)
		return status;
	batch_error(w->batch, status);
	r = batch_line_begin(&line, file, machine_cause_name(CAUSE_ERROR), -status);
	if (r)
		return r;
	fputs(",\"error\":", line.out);
	json_text(line.out, fail_text(), strlen(fail_text()));
	return batch_line_end(w->batch, &line);
}

static void
on_pulse(struct loop_timer *timer, uint64_t periods)
{
	struct worker *w = timer->context;

	w->late |= periods > LATE / PULSE;
}

/* Runs the machine, and finds out whether the host ran this process all the time. */
static int
run_watched(struct worker *w)
{
	struct machine *m = &w->vm.machine;
	bool ends = w->batch->source.timeout || w->batch->until_time;
	int r;

	w->late = false;
	if (ends)
		loop_timer_set(&m->loop, &w->pulse, clock_now(&m->clock) + PULSE, PULSE);
	r = vm_run(&w->vm);
	w->late |= ends && clock_now(&m->clock) > w->pulse.deadline + LATE;
	loop_timer_cancel(&m->loop, &w->pulse);
	return r;
}

/* Runs the machine once with an input. *vm_began: the VM's clock at the start. */
static int
run_once(struct worker *w, const uint8_t *input, size_t length, uint64_t *vm_began)
{
	struct stream *stream = &w->device->streams[0].stream;
	const struct machine *m = &w->vm.machine;
	int r;

	if (!w->ran)
		log_once(&w->batch->shared->said);
	r = rewind_machine(w);
	if (!r)
		r = stream_feed(stream, input, length);
	if (!r)
		r = set_stop(w);
	if (r) /* the lines at the end of a failed start: once, too */
		return r;
	log_once(NULL);
	stream_start(stream);
	w->output.length = 0;
	w->output.more = false;
	w->ran = true;
	*vm_began = clock_now(&m->clock);
	return run_watched(w);
}

/* True if the VM's clock has ended the run. */
static bool
time_was_up(const struct worker *w)
{
	const struct machine *m = &w->vm.machine;

	return m->end.cause == CAUSE_TIMEOUT ||
	       (m->end.cause == CAUSE_STOP && w->batch->until_time);
}

/* The time was up before a vCPU got to run: that is no verdict on the input. */
static bool
did_not_begin(const struct worker *w)
{
	return time_was_up(w) && !machine_ran(&w->vm.machine);
}

/* True if a SIGCONT has come since the last call. It is blocked in all threads of a worker. */
static bool
was_continued(const struct worker *w)
{
	const struct timespec now = { 0 };

	return sigtimedwait(&w->continued, NULL, &now) == SIGCONT;
}

/* The VM's clock went on, but the guest did not: the process was stopped, as by Ctrl-Z, or frozen,
 * or the host had no CPU for it. tries: the runs of this input. */
static bool
no_verdict(const struct worker *w, unsigned tries)
{
	if (!time_was_up(w))
		return false;
	if (w->late && tries < LATE_TRIES)
		return true;
	return (did_not_begin(w) || was_continued(w)) && tries < TRIES;
}

static int
run_input(struct worker *w, const char *file)
{
	struct machine *m = &w->vm.machine;
	uint64_t began = clock_host(), vm_began = 0;
	unsigned tries = 0;
	uint8_t *input;
	size_t length;
	int r = read_input(file, &input, &length);

	if (r) {
		free(input);
		return skip_input(w, file, r);
	}
	do {
		was_continued(w); /* that was before this run */
		r = run_once(w, input, length, &vm_began);
		tries++;
	} while (!r && no_verdict(w, tries));
	free(input);
	if (!r && did_not_begin(w))
		return fail(STATUS_HOST,
			    "batch: input %s: no vCPU got CPU time before %s was up, in %u tries: "
			    "raise it, or use fewer workers (-j)",
			    file, m->end.cause == CAUSE_TIMEOUT ? "--timeout" : "--until", TRIES);
	if (!r && m->end.cause == CAUSE_ERROR) {
		/* Without the host's resources and the snapshot's file the guest did not run: no
		 * verdict on this input. */
		if (m->end.status == STATUS_HOST || m->end.status == STATUS_IO)
			return -(int)m->end.status;
		batch_error(w->batch, -(int)m->end.status);
	}
	return r ? r : report(w, file, began, vm_began);
}

static int
no_device(const struct worker *w)
{
	return fail(STATUS_USAGE, "--input %s: unknown device%s", w->batch->device,
		    did_you_mean(config_device_nearest(&w->vm.config, w->batch->device), "").text);
}

static int
build(struct worker *w)
{
	struct machine *m = &w->vm.machine;
	int r = vm_build(&w->vm, &w->batch->source);

	if (r)
		return r;
	w->device = devices_find(&w->vm.devices, w->batch->device);
	if (!w->device)
		return no_device(w);
	if (!w->device->streams_ready)
		return fail(STATUS_USAGE, "--input %s: the device has no stream", w->batch->device);
	device_set_record(w->device, &w->output);
	w->pulse = (struct loop_timer){ .fire = on_pulse, .context = w };
	loop_timer_add(&m->loop, &w->pulse);
	return 0;
}

int
batch_work(const struct batch *batch, unsigned number)
{
	struct worker *w = calloc(1, sizeof(*w));
	uint8_t *output = malloc(OUTPUT_MAX);
	const volatile bool never_waits = true;
	uint64_t at;
	int r;

	if (!w || !output) {
		free(output);
		free(w);
		return -fail_memory("a worker");
	}
	w->batch = batch;
	w->output = (struct stream_record){ .bytes = output, .size = OUTPUT_MAX };
	pthread_mutex_init(&w->output.lock, NULL);
	crash_install(&w->vm);
	sigemptyset(&w->continued);
	sigaddset(&w->continued, SIGCONT);
	sigprocmask(SIG_BLOCK, &w->continued, NULL); /* before there are other threads */
	log_once(&batch->shared->said);
	r = build(w);
	if (!r)
		log_once(NULL);
	atomic_store(&batch->shared->ready[number], true);
	while (!r && (at = batch_claim(batch, number)) < batch->file_count)
		r = run_input(w, batch->files[at]);
	vm_stop(&w->vm, &never_waits);
	vm_destroy(&w->vm);
	crash_remove();
	free(output);
	free(w);
	atomic_store(&batch->shared->gone[number], true);
	return -r;
}
