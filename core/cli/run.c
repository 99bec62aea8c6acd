/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm -c and -r: a machine from its building to its end. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "boot/boot.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "machine/machine.h"
#include "plugin/device.h"
#include "snapshot/snapshot.h"

struct run {
	const struct run_options *options;
	struct config config;
	struct snapshot snapshot;
	struct machine machine;
	struct devices devices;
	struct trace trace;
	const char *save; /* where the point's snapshot goes; NULL: none */
	bool save_ends;   /* and the machine ends there */
	int trouble; /* a snapshot that failed: the machine goes on, the process ends with it */
	struct loop_source signals;
};

/* Set by a signal while we wait for a slow reader at the end; handlers are the process's. */
static volatile bool interrupted;

static void
interrupt(int number)
{
	interrupted = true;
}

/* --set for a restore: only a device's keys, and where plugins are; the plugin's table decides which of them. */
static int
override(struct run *run, const char *set)
{
	const char *equals = strchr(set, '='), *dot;
	struct config_device *device;
	char *name, *key;
	int r = 0;

	if (!strncmp(set, "plugins.path=", 13)) {
		free(run->config.plugin_path);
		run->config.plugin_path = strdup(set + 13);
		return run->config.plugin_path ? 0 : fail(STATUS_HOST, "no memory for --set");
	}
	dot = !strncmp(set, "device.", 7) ? strchr(set + 7, '.') : NULL;
	if (!equals || !dot || dot > equals)
		return fail(
		    STATUS_USAGE,
		    "--set %s: a restored machine is as it was; only device.NAME.KEY=VALUE of the "
		    "host's side can be set",
		    set);
	name = strndup(set + 7, (size_t)(dot - set - 7));
	key = strndup(dot + 1, (size_t)(equals - dot - 1));
	device = name && key ? config_device_find(&run->config, name) : NULL;
	if (!device)
		r = fail(STATUS_USAGE, "--set %s: the snapshot has no device %s", set,
			 name ? name : "");
	else if (config_option_set(device, key, equals + 1,
				   (struct config_place){ .file = "--set" }))
		r = fail(STATUS_HOST, "no memory for --set");
	free(name);
	free(key);
	return r;
}

static int
read_config(struct run *run)
{
	const struct run_options *o = run->options;
	int r;

	if (o->config)
		return config_read(&run->config, o->config, o->set, o->set_count);
	r = snapshot_open(&run->snapshot, o->restore);
	if (!r)
		r = snapshot_config(&run->snapshot, &run->config);
	for (size_t i = 0; i < o->set_count && !r; i++)
		r = override(run, o->set[i]);
	return r;
}

/* Where to stop and what for: the command line, or else [snapshot]. */
static int
plan(struct run *run)
{
	const struct run_options *o = run->options;
	const char *text = o->until ? o->until : o->at, *wrong;
	char where[256] = "--until";

	if (o->until || o->at || o->save) {
		if ((o->until && o->at) || !text || (o->at && !o->save))
			return fail(STATUS_USAGE,
				    "use --until POINT, --until POINT --save FILE, or --at "
				    "POINT --save FILE");
		if (!o->until)
			strcpy(where, "--at");
		run->save = o->save;
		run->save_ends = o->until != NULL;
	} else if (run->config.snapshot.at) {
		text = run->config.snapshot.at;
		run->save = run->config.snapshot.file;
		run->save_ends = run->config.snapshot.then == THEN_EXIT;
		config_where(run->config.snapshot.place, where, sizeof(where));
	}
	if (!text)
		return 0;
	wrong = point_parse(&run->machine.point, text);
	return wrong ? fail(STATUS_USAGE, "%s: %s %s", where, text, wrong) : 0;
}

static int
on_point(void *context)
{
	struct run *run = context;
	int r;

	if (run->save) {
		r = snapshot_write(run->save, &run->machine, &run->devices);
		if (r)
			run->trouble = r; /* said; the machine is whole and may go on */
		else
			log_line(MINIVMM_INFO, NULL, "snapshot written to %s", run->save);
	}
	if (run->save_ends || !run->save)
		machine_end(&run->machine, CAUSE_POINT, 0);
	return 0;
}

static int
on_pause(void *context)
{
	return devices_pause(&((struct run *)context)->devices);
}

static int
on_resume(void *context)
{
	return devices_resume(&((struct run *)context)->devices);
}

static void
on_quit(void *context)
{
	machine_end(&((struct run *)context)->machine, CAUSE_QUIT, 0);
}

/* All output passes here, on the thread that makes it. */
static void
on_output(void *context, const char *device, const uint8_t *bytes, size_t length)
{
	struct machine *m = &((struct run *)context)->machine;
	bool reached;

	if (m->point.kind != POINT_OUTPUT)
		return;
	pthread_mutex_lock(&m->lock);
	reached = !m->point_reached && point_output(&m->point, device, bytes, length);
	pthread_mutex_unlock(&m->lock);
	if (reached)
		machine_point_reached(m);
}

static void
on_signal(struct loop_source *source, uint32_t events)
{
	struct run *run = source->context;
	struct signalfd_siginfo info;

	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGQUIT) {
		interrupted = true;
		machine_end(&run->machine, CAUSE_SIGNAL, info.ssi_signo);
	} else if (run->machine.state == MACHINE_RUNNING && !machine_pause(&run->machine)) {
		report_registers(&run->machine);
		if (!run->machine.point_reached)
			machine_resume(&run->machine);
	}
}

/* Signals become events of the loop; the vCPUs' own is blocked here, for them to unblock. */
static int
take_signals(struct run *run)
{
	sigset_t ours;
	int fd;

	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGHUP);
	sigaddset(&ours, SIGQUIT);
	fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
	sigaddset(&ours, KVM_SIGNAL);
	sigprocmask(SIG_BLOCK, &ours, NULL);
	signal(SIGPIPE, SIG_IGN);
	run->signals = (struct loop_source){ .fd = -1, .ready = on_signal, .context = run };
	if (fd < 0 || loop_add(&run->machine.loop, &run->signals, fd, EPOLLIN))
		return fail(STATUS_HOST, "signalfd: %s", strerror(errno));
	return 0;
}

/* From here on SIGINT and SIGTERM only end the wait for a slow reader. */
static void
release_signals(void)
{
	const struct sigaction action = { .sa_handler = interrupt };
	sigset_t ours;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGHUP);
	sigprocmask(SIG_UNBLOCK, &ours, NULL);
}

/* A fresh machine: the image in memory, the first vCPU's registers. */
static int
boot(struct run *run)
{
	struct machine *m = &run->machine;
	struct boot_entry entry = { 0 };
	struct kvm_sregs sregs;
	struct kvm_regs regs = { 0 };
	int r = boot_load(&run->config, &m->memory, &entry);

	if (run->options->check || r) {
		memset(&sregs, 0, sizeof(sregs));
		return r ? r : boot_registers(&run->config, &entry, &m->memory, &regs, &sregs);
	}
	for (uint32_t i = 0; i < m->vcpu_count && !r; i++)
		r = kvm_vcpu_cpuid(&m->vcpus[i].kvm);
	if (!r)
		r = kvm_vcpu_sregs(&m->vcpus[0].kvm, &sregs);
	if (!r)
		r = boot_registers(&run->config, &entry, &m->memory, &regs, &sregs);
	if (!r)
		r = kvm_vcpu_set_sregs(&m->vcpus[0].kvm, &sregs);
	if (!r)
		r = kvm_vcpu_set_regs(&m->vcpus[0].kvm, &regs);
	irqs_rest(&m->irqs);
	return r;
}

static int
build(struct run *run)
{
	const struct run_options *o = run->options;
	struct machine_layout layout = {
		.memory = run->config.vm.memory,
		.memory_at = run->config.vm.memory_at,
		.memory_file = run->config.vm.memory_file,
		.snapshot_fd = o->restore ? run->snapshot.fd : -1,
		.snapshot_offset = run->snapshot.header.memory_offset,
		.cpus = run->config.vm.cpus,
		.irqchip = run->config.vm.irqchip,
		.dirty_log = run->config.vm.dirty_log,
		.check = o->check,
	};
	int r = machine_create(&run->machine, &layout), planned;

	if (r)
		return r;
	planned = plan(run);
	r = devices_create(&run->devices, &run->machine, &run->config, o->restore != NULL,
			   o->trust);
	if (!r)
		r = planned;
	run->devices.streams.quit = on_quit;
	run->devices.streams.output = on_output;
	run->devices.streams.context = run;
	run->machine.hooks = (struct machine_hooks){ on_pause, on_resume, on_point, run };
	if (!r)
		r = o->restore && !o->check
			? snapshot_load(&run->snapshot, &run->machine, &run->devices)
		    : o->restore ? 0
				 : boot(run);
	return r;
}

static int
start_and_run(struct run *run)
{
	const struct run_options *o = run->options;
	int r = take_signals(run), stopped;

	if (!r && o->trace)
		r = trace_open(&run->trace, o->trace);
	if (!r && o->trace)
		run->machine.trace = &run->trace;
	crash_install(&run->devices.streams, &run->machine.memory,
		      o->restore ? o->restore : run->config.vm.memory_file);
	if (!r)
		r = devices_start(&run->devices, o->restore ? MINIVMM_RESTORED : MINIVMM_FRESH);
	if (!r && !run->machine.end.cause)
		r = machine_run(&run->machine);
	release_signals();
	stopped = devices_stop(&run->devices, &interrupted);
	if (!r && o->registers)
		report_registers(&run->machine);
	if (!r && run->config.vm.dirty_log)
		report_dirty(&run->machine);
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
	const struct machine_end *end = &run->machine.end;

	if (r)
		return -r;
	if (run->trouble)
		return -run->trouble;
	switch (end->cause) {
	case CAUSE_EXIT:
		return end->status > STATUS_GUEST_MAX ? STATUS_GUEST_MAX : (int)end->status;
	case CAUSE_SHUTDOWN:
		return STATUS_SHUTDOWN;
	case CAUSE_INTERNAL:
		return STATUS_INTERNAL;
	case CAUSE_PANIC:
		return STATUS_PANIC;
	case CAUSE_ERROR:
		return (int)end->status;
	default:
		return 0;
	}
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

int
cli_run(const struct run_options *options)
{
	struct run *run = calloc(1, sizeof(*run));
	int r, status;
	struct machine_end end;

	if (!run)
		return -fail(STATUS_HOST, "no memory");
	run->options = options;
	run->snapshot.fd = -1;
	r = read_config(run);
	if (!r) {
		r = build(run);
		if (!r && !options->check) {
			r = start_and_run(run);
			status = exit_status(run, r);
			if (options->status) {
				int written = report_status(options->status, &run->machine,
							    &run->devices, status);

				r = r ? r : written;
			}
		}
		devices_destroy(&run->devices);
		close(run->signals.fd);
		end = run->machine.end;
		status = exit_status(run, r);
		machine_destroy(&run->machine);
	} else {
		end = (struct machine_end){ 0 };
		status = -r;
	}
	snapshot_close(&run->snapshot);
	config_free(&run->config);
	free(run);
	if (end.cause == CAUSE_SIGNAL)
		die_of((int)end.status);
	return status;
}
