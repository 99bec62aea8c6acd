/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm -c and -r: a machine from its building to its end. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/cli.h"
#include "control/drive.h"
#include "vm/files.h"
#include "vm/points.h"
#include "vm/report.h"
#include "vm/vm.h"

struct run {
	const struct run_options *options;
	struct vm vm;
	struct trace trace;
	const char *save;  /* where the point's snapshot goes; NULL: none */
	const char *point; /* as given; NULL: none */
	bool save_ends;    /* and the machine ends there */
	bool reached;
	int trouble; /* a snapshot that failed: the machine goes on, the process ends with it */
	struct loop_source quit;      /* the signalfd of SIGQUIT */
	struct loop_source interrupt; /* an eventfd: of the signals that end us */
	struct drive drive;
};

/* Set by a signal that is to end us; also ends waits of the main thread. Handlers are the
 * process's. */
static volatile bool interrupted;
static volatile sig_atomic_t interrupted_by, interrupt_fd;

/* A handler, and no signalfd: the main thread may be in a callback that does not return. */
static void
interrupt(int number)
{
	const uint64_t one = 1;
	int error = errno;
	ssize_t n;

	interrupted_by = number;
	interrupted = true;
	crash_deadline(number);
	n = write(interrupt_fd, &one, sizeof(one));
	(void)n; /* full: it is awake */
	errno = error;
}

/* One stream has one owner: a snapshot on stdin or stdout leaves none for a device. */
static bool
stdio_taken(const struct run *run)
{
	const struct stream_hub *hub = &run->vm.devices.streams;
	const char *from = run->options->restore;
	int in = -1, out = -1;

	if (from && !strcmp(from, "-"))
		in = 0;
	else if (from)
		descriptor(from, &in);
	if (run->save)
		descriptor(run->save, &out);
	if (in == 0 && hub->stdin_owner)
		fail(STATUS_USAGE,
		     "-r %s: device %s reads stdin, from which the snapshot comes: give it another "
		     "input, as --set device.%s.input=none",
		     from, hub->stdin_owner, hub->stdin_owner);
	else if (out == 1 && hub->stdout_owner)
		fail(STATUS_USAGE,
		     "--save %s: device %s writes to stdout, where the snapshot is to go: give it "
		     "another output, as --set device.%s.output=stderr",
		     run->save, hub->stdout_owner, hub->stdout_owner);
	else
		return false;
	return true;
}

/* Where to stop and what for: the command line, or else [snapshot]. */
static int
plan(struct run *run)
{
	const struct run_options *o = run->options;
	const char *text = o->until ? o->until : o->at;
	struct why why;
	char where[256] = "--until";
	int r;

	if (o->until || o->at || o->save) {
		if ((o->until && o->at) || !text || (o->at && !o->save))
			return fail(STATUS_USAGE,
				    "use --until POINT, --until POINT --save FILE, or --at "
				    "POINT --save FILE");
		if (!o->until)
			strcpy(where, "--at");
		run->save = o->save;
		run->save_ends = o->until != NULL;
	} else if (run->vm.config.snapshot.at) {
		text = run->vm.config.snapshot.at;
		run->save = run->vm.config.snapshot.file;
		run->save_ends = run->vm.config.snapshot.then == THEN_EXIT;
		config_where(run->vm.config.snapshot.place, where, sizeof(where));
	}
	if (run->save && !*run->save)
		return fail(STATUS_USAGE, "%s: the snapshot needs a file to go to", where);
	if (stdio_taken(run))
		return -STATUS_USAGE;
	r = files_check(&run->vm, o, run->save);
	if (r)
		return r;
	if (!text)
		return 0;
	run->point = text;
	if (point_parse(&run->vm.machine.point, text, &why))
		return fail(why_status(&why, STATUS_USAGE), "%s: %s %s", where, text, why.text);
	return points_check(&run->vm, where, text);
}

static int
save(struct run *run)
{
	struct capture_request request = { .path = run->save, .fd = -1 };
	int fd;

	if (!descriptor(run->save, &fd)) {
		request.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* capture closes its own */
		if (request.fd < 0)
			return fail(status_for(errno, STATUS_IO), "can't write snapshot %s: %s",
				    run->save, strerror(errno));
	}
	return capture_now(&run->vm.capture, &request, NULL);
}

/* A snapshot that somebody else asked for comes first, unless the machine ends meanwhile. */
static bool
on_point_waits(void *context)
{
	const struct run *run = context;

	return run->save && !run->drive.until && run->vm.capture.busy && !run->vm.machine.end.cause;
}

static int
on_point(void *context)
{
	struct run *run = context;
	int r;

	if (drive_point(&run->drive))
		return 0;
	run->reached = true;
	if (run->save) {
		crash_patient(true);
		capture_end(&run->vm.capture); /* of a machine that has ended */
		r = save(run);
		crash_patient(false);
		if (r)
			run->trouble = r; /* said; the machine is whole and may go on */
		else
			log_line(MINIVMM_INFO, NULL, "snapshot written to %s", run->save);
	}
	if (run->save_ends || !run->save)
		machine_end(&run->vm.machine, CAUSE_POINT, 0);
	return 0;
}

static int
on_pause(void *context)
{
	return devices_pause(&((struct run *)context)->vm.devices);
}

static int
on_resume(void *context)
{
	return devices_resume(&((struct run *)context)->vm.devices);
}

/* From here on Ctrl-C is a signal, should the machine not end. */
static void
on_quit(void *context)
{
	stream_terminal_restore(&((struct run *)context)->vm.devices.streams);
	machine_end(&((struct run *)context)->vm.machine, CAUSE_QUIT, 0);
}

/* All output passes here, on the thread that makes it. */
static void
on_output(void *context, const char *device, const uint8_t *bytes, size_t length)
{
	struct machine *m = &((struct run *)context)->vm.machine;
	bool reached;

	if (m->point.kind != POINT_OUTPUT)
		return;
	pthread_mutex_lock(&m->lock);
	reached = !m->point_reached && point_output(&m->point, device, bytes, length);
	pthread_mutex_unlock(&m->lock);
	if (reached)
		machine_point_reached(m);
}

static bool
on_ended(void *context)
{
	return ((struct run *)context)->vm.machine.end.cause;
}

/* A device that does not come to rest is said; the machine goes on all the same. */
static void
look(struct machine *machine)
{
	int r;

	machine_pause(machine);
	report_registers(machine);
	if (machine->point_reached)
		return; /* which resumes it, or not */
	r = machine_resume(machine);
	if (r)
		machine_end(machine, CAUSE_ERROR, (uint64_t)-r);
}

static void
on_sigquit(struct loop_source *source, uint32_t events)
{
	struct run *run = source->context;
	struct signalfd_siginfo info;

	if (read(source->fd, &info, sizeof(info)) == sizeof(info) &&
	    run->vm.machine.state == MACHINE_RUNNING)
		look(&run->vm.machine);
}

static void
on_interrupt(struct loop_source *source, uint32_t events)
{
	struct run *run = source->context;
	uint64_t count;

	if (read(source->fd, &count, sizeof(count)) == sizeof(count))
		machine_end(&run->vm.machine, CAUSE_SIGNAL, (uint64_t)interrupted_by);
}

/* Signals become events of the loop; the vCPUs' own is blocked here, for them to unblock. */
static int
take_signals(struct run *run)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP };
	const struct sigaction action = { .sa_handler = interrupt,
					  .sa_flags = SA_RESTART | SA_ONSTACK };
	struct loop *loop = &run->vm.machine.loop;
	sigset_t ours;
	int fd;

	run->quit =
	    (struct loop_source){ .fd = -1, .ready = on_sigquit, .context = run, .outer = true };
	run->interrupt = (struct loop_source){ .fd = -1, .ready = on_interrupt, .context = run };
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0 || loop_add(loop, &run->interrupt, fd, EPOLLIN))
		return fail(STATUS_HOST, "eventfd: %s", strerror(errno));
	interrupt_fd = fd;
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		sigaction(ends[i], &action, NULL);
	sigemptyset(&ours);
	sigaddset(&ours, SIGQUIT);
	fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
	sigaddset(&ours, KVM_SIGNAL);
	sigprocmask(SIG_BLOCK, &ours, NULL);
	if (fd < 0 || loop_add(loop, &run->quit, fd, EPOLLIN))
		return fail(STATUS_HOST, "signalfd: %s", strerror(errno));
	return 0;
}

static const char *
on_taken(void *context, const char *path)
{
	struct run *run = context;

	return files_taken(&run->vm, run->options, path);
}

static int
start_and_run(struct run *run)
{
	const struct run_options *o = run->options;
	/* Before signals are taken: it may wait for the reader of a pipe. */
	int r = o->trace ? trace_open(&run->trace, o->trace) : 0, stopped;

	/* What an earlier run left there is not of this one, and nobody else is to take the
	 * name. */
	if (o->status && file_descriptor(o->status) < 0)
		close(file_open(o->status, FILE_EMPTY));
	if (!r && o->trace)
		run->vm.machine.trace = &run->trace;
	run->vm.devices.streams.quit = on_quit;
	run->vm.devices.streams.output = on_output;
	run->vm.devices.streams.ended = on_ended;
	run->vm.devices.streams.context = run;
	run->drive = (struct drive){
		.machine = &run->vm.machine,
		.devices = &run->vm.devices,
		.capture = &run->vm.capture,
		.method = run->vm.config.snapshot.method,
		.origin = o->restore ? &run->vm.snapshot : NULL,
		.taken = on_taken,
		.context = run,
	};
	run->vm.machine.hooks = (struct machine_hooks){
		.pause = on_pause,
		.resume = on_resume,
		.point_waits = on_point_waits,
		.point = on_point,
		.context = run,
	};
	crash_install(&run->vm.devices.streams, &run->vm.machine,
		      o->restore ? o->restore : run->vm.config.vm.memory_file);
	if (!r)
		r = take_signals(run);
	if (!r)
		r = devices_start(&run->vm.devices, o->restore ? MINIVMM_RESTORED : MINIVMM_FRESH);
	if (!r && run->vm.config.control.socket)
		r = drive_open(&run->drive, run->vm.config.control.socket);
	if (!r && run->point)
		points_warn_past(&run->vm.machine, run->point);
	if (!r && !run->vm.machine.end.cause)
		r = machine_run(&run->vm.machine);
	if (!r && run->vm.machine.end.cause == CAUSE_SHUTDOWN)
		log_line(MINIVMM_ERROR, NULL, "vCPU %llu: triple fault",
			 (unsigned long long)run->vm.machine.end.status);
	if (!r && run->point && !run->reached)
		points_warn_missed(&run->vm.machine, run->point, run->save);
	drive_close(&run->drive);
	stopped = devices_stop(&run->vm.devices, &interrupted);
	if (!r && o->registers)
		report_registers(&run->vm.machine);
	if (!r && run->vm.config.vm.dirty_log)
		report_dirty(&run->vm.machine);
	if (run->trace.file) {
		int closed = trace_close(&run->trace);

		r = r ? r : closed;
	}
	return r ? r : stopped;
}

/* The status with which the process ends. */
static int
exit_status(const struct run *run, int r)
{
	const struct machine_end *end = &run->vm.machine.end;

	if (end->cause == CAUSE_SIGNAL)
		return 128 + (int)end->status; /* as a shell shows the death that comes */
	if (interrupted_by)
		return 128 + interrupted_by;
	if (r)
		return -r;
	if (run->trouble)
		return -run->trouble;
	return report_exit(end);
}

static void
die_of(int number)
{
	sigset_t only;

	signal(number, SIG_DFL);
	sigemptyset(&only);
	sigaddset(&only, number);
	sigprocmask(SIG_UNBLOCK, &only, NULL);
	raise(number);
}

/* A descriptor that was handed over is there before any of ours is, which may have its number
 * later. */
static int
check_save(const struct run_options *options)
{
	int fd;

	if (!options->save || descriptor(options->save, &fd) || fcntl(fd, F_GETFD) >= 0)
		return 0;
	return fail(
	    STATUS_IO,
	    "--save %s: no such descriptor was handed over; a shell does that by %d>FILE or "
	    "%d>&1",
	    options->save, fd, fd);
}

int
cli_run(const struct run_options *options)
{
	struct run *run = calloc(1, sizeof(*run));
	int r, status;

	if (!run)
		return -fail(STATUS_HOST, "no memory");
	run->options = options;
	run->quit.fd = run->interrupt.fd = -1;
	r = check_save(options);
	if (r) {
		free(run);
		return -r;
	}
	r = vm_build(&run->vm, &(struct vm_source){ .config = options->config,
						    .restore = options->restore,
						    .parents = options->parents,
						    .parent_count = options->parent_count,
						    .set = options->set,
						    .set_count = options->set_count,
						    .trust = options->trust,
						    .check = options->check });
	if (run->vm.built) {
		int planned = plan(run);

		r = r ? r : planned;
	}
	if (!r && !options->check) {
		r = start_and_run(run);
		status = exit_status(run, r);
		if (options->status) {
			int told = report_status(options->status, &run->vm.machine,
						 &run->vm.devices, run->point, status);

			r = r ? r : told;
		}
	}
	status = exit_status(run, r);
	crash_patient(true); /* to give back much memory takes long */
	vm_destroy(&run->vm);
	crash_remove();
	if (run->quit.fd >= 0)
		close(run->quit.fd);
	interrupt_fd = -1;
	if (run->interrupt.fd >= 0)
		close(run->interrupt.fd);
	free(run);
	if (interrupted_by)
		die_of(interrupted_by);
	return status;
}
