/* SPDX-License-Identifier: BSD-2-Clause */
/* What the commands of the control socket do. Handlers run on the main thread. */
#include "control/drive.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "control/machine_status.h"

#define MEMORY_MOST 65536u /* bytes that one request can read */

static struct drive *
drive_of(void *context)
{
	return context;
}

/* What fail() said last is the answer. */
static void
failed(struct control_request *request)
{
	control_fail(request, "%s", fail_text());
}

static void
do_status(void *context, struct control_request *request, int argc, char **argv)
{
	control_status(control_reply(request), drive_of(context));
	control_done(request);
}

static void
do_devices(void *context, struct control_request *request, int argc, char **argv)
{
	FILE *out = control_reply(request);

	fputs(",\"devices\":", out);
	control_status_devices(out, drive_of(context));
	control_done(request);
}

static void
do_pause(void *context, struct control_request *request, int argc, char **argv)
{
	struct drive *d = drive_of(context);
	int r;

	d->machine->held = true;
	r = machine_pause(d->machine);
	if (r) {
		d->machine->held = false;
		failed(request);
		machine_go_on(d->machine);
		return;
	}
	fputs(",\"state\":\"paused\"", control_reply(request));
	control_done(request);
}

static void
do_resume(void *context, struct control_request *request, int argc, char **argv)
{
	struct drive *d = drive_of(context);

	d->machine->held = false;
	/* A snapshot that stands on a stopped machine lets it go when it is done. */
	if (machine_go_on(d->machine)) {
		failed(request);
		return;
	}
	fprintf(control_reply(request), ",\"state\":\"%s\"",
		d->machine->state == MACHINE_RUNNING ? "running" : "paused");
	control_done(request);
}

static void
captured(void *context, const struct capture_result *result)
{
	struct drive *d = context;
	struct control_request *request = d->capturing;
	char id[33];

	d->capturing = NULL;
	if (result->status) {
		control_fail(request, "%s", result->text);
		return;
	}
	fprintf(control_reply(request),
		",\"id\":\"%s\",\"kind\":\"%s\",\"method\":\"%s\",\"stopped_us\":%.1f,"
		"\"duration_ms\":%.1f,\"bytes\":%llu,\"pages\":%llu,\"pages_on_demand\":%llu,"
		"\"rounds\":%u",
		snapshot_id_text(result->id, id), result->diff ? "diff" : "full",
		config_methods[result->method], (double)result->stopped / 1e3,
		(double)result->duration / 1e6, (unsigned long long)result->bytes,
		(unsigned long long)result->pages, (unsigned long long)result->late,
		result->rounds);
	control_done(request);
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

static void
do_snapshot(void *context, struct control_request *request, int argc, char **argv)
{
	struct drive *d = drive_of(context);
	struct capture_request capture = {
		.path = argv[1],
		.fd = control_take_fd(request),
		.method = d->method,
		.track = true,
		.done = captured,
		.context = d,
	};
	bool stream = !strcmp(argv[1], "-");
	const char *taken = stream ? NULL : d->taken(d->context, argv[1]);

	for (int i = 2; i < argc; i++)
		if (!snapshot_word(&capture, argv[i])) {
			control_fail(request, "%s is none of full, diff, live and paused", argv[i]);
			goto close;
		}
	if (stream != (capture.fd >= 0)) {
		control_fail(request, stream
					  ? "snapshot - needs a descriptor to write to; minivmm "
					    "ctl hands over its stdout"
					  : "a descriptor came with a request that names a file");
		goto close;
	}
	if (taken) {
		control_fail(request,
			     "snapshot: %s is a file that %s uses, and would be lost; give "
			     "the snapshot a file of its own",
			     argv[1], taken);
		goto close;
	}
	if (capture_start(d->capture, &capture))
		failed(request);
	else
		d->capturing = request;
	return;
close:
	if (capture.fd >= 0)
		close(capture.fd);
}

static void
do_cancel(void *context, struct control_request *request, int argc, char **argv)
{
	struct drive *d = drive_of(context);

	if (!d->capture->busy) {
		control_fail(request, "no snapshot is under way");
		return;
	}
	capture_cancel(d->capture);
	control_done(request);
}

/* A number that a person typed; false: the request is answered. */
static bool
number(struct control_request *request, const char *text, uint64_t *value)
{
	struct why why;

	if (!parse_u64(text, value, &why))
		return true;
	control_fail(request, "%s %s", text, why.text);
	return false;
}

/* Looks at the machine while it stands still, and lets it go on. */
static bool
stand_still(struct drive *d, struct control_request *request)
{
	if (!machine_pause(d->machine))
		return true;
	failed(request);
	machine_go_on(d->machine);
	return false;
}

static void
go_on(struct drive *d)
{
	if (machine_go_on(d->machine))
		machine_end(d->machine, CAUSE_ERROR, STATUS_HOST);
}

/* A record's item as a member of the reply. */
static void
member(FILE *out, const struct record *root, const char *name)
{
	struct record item;

	if (!record_find(root, name, &item))
		return;
	fprintf(out, ",\"%s\":", name);
	record_print_json(out, &item, 0);
}

static void
do_registers(void *context, struct control_request *request, int argc, char **argv)
{
	struct drive *d = drive_of(context);
	struct record_writer writer = { 0 };
	struct record root;
	uint64_t vcpu = 0;

	if (argc > 1 && !number(request, argv[1], &vcpu))
		return;
	if (vcpu >= d->machine->vcpu_count) {
		control_fail(request, "there is no vCPU %s: they are 0 to %u", argv[1],
			     d->machine->vcpu_count - 1);
		return;
	}
	if (!stand_still(d, request))
		return;
	if (vcpu_save(&d->machine->vcpus[vcpu], &writer) || writer.failed ||
	    record_open(writer.data, writer.length, &root))
		failed(request);
	else {
		fprintf(control_reply(request), ",\"vcpu\":%llu", (unsigned long long)vcpu);
		member(control_reply(request), &root, "halted");
		member(control_reply(request), &root, "regs");
		member(control_reply(request), &root, "sregs");
		control_done(request);
	}
	record_writer_free(&writer);
	go_on(d);
}

static void
do_memory(void *context, struct control_request *request, int argc, char **argv)
{
	struct drive *d = drive_of(context);
	FILE *out = control_reply(request);
	uint64_t address, length;
	uint8_t *bytes;

	if (!number(request, argv[1], &address) || !number(request, argv[2], &length))
		return;
	if (!length || length > MEMORY_MOST) {
		control_fail(request, "%s bytes: 1 to %u can be read at a time", argv[2],
			     MEMORY_MOST);
		return;
	}
	bytes = malloc(length);
	if (!bytes)
		control_fail(request, "no memory");
	else if (memory_read(&d->machine->memory, address, bytes, length))
		control_fail(request, "0x%llx to 0x%llx is not all memory of the guest",
			     (unsigned long long)address,
			     (unsigned long long)(address + length - 1));
	else {
		fprintf(out, ",\"address\":%llu,\"length\":%llu,\"bytes\":\"",
			(unsigned long long)address, (unsigned long long)length);
		for (uint64_t i = 0; i < length; i++)
			fprintf(out, "%02x", bytes[i]);
		fputc('"', out);
		control_done(request);
	}
	free(bytes);
}

static void
do_device(void *context, struct control_request *request, int argc, char **argv)
{
	struct drive *d = drive_of(context);
	struct device *device = devices_find(d->devices, argv[1]);
	struct record_writer writer = { 0 };
	struct record root;

	if (!device) {
		control_fail(request, "there is no device %s%s", argv[1],
			     did_you_mean(config_device_nearest(d->devices->config, argv[1]),
					  "; the command devices lists them")
				 .text);
		return;
	}
	if (!stand_still(d, request))
		return;
	if (device_save(device, &writer) || writer.failed ||
	    record_open(writer.data, writer.length, &root))
		failed(request);
	else {
		static const char *const names[] = { "name",   "plugin",  "version", "state",
						     "timers", "streams", NULL };

		for (int i = 0; names[i]; i++)
			member(control_reply(request), &root, names[i]);
		control_done(request);
	}
	record_writer_free(&writer);
	go_on(d);
}

/* The machine is paused: its clock stands still. */
static int
set_point(struct drive *d, const char *text, struct why *why)
{
	struct machine *m = d->machine;
	struct point *point = &m->point;

	point_free(point);
	*point = (struct point){ .kind = POINT_NONE };
	if (point_parse(point, text, why))
		return -1;
	if (point->kind == POINT_TIME && point->value <= clock_now(&m->clock))
		return why_set(why, "is past: the machine's clock is later already");
	if (point->kind == POINT_OUTPUT && !devices_find(d->devices, point->device))
		return why_set(why, "names a device that there is not");
	return point->kind == POINT_STEP ? kvm_step_check(&m->kvm, why) : 0;
}

static void
do_until(void *context, struct control_request *request, int argc, char **argv)
{
	struct drive *d = drive_of(context);
	struct machine *m = d->machine;
	struct why why;
	int r;

	if (d->until || m->point.kind != POINT_NONE) {
		control_fail(request, "the run has a point already: %s",
			     d->point ? d->point : "[snapshot] at, --at or --until");
		return;
	}
	r = machine_pause(m);
	if (r)
		why_set(&why, "%s", fail_text());
	else
		r = set_point(d, argv[1], &why);
	if (r) {
		control_fail(request, "%s %s", argv[1], why.text);
		m->point.kind = POINT_NONE;
		go_on(d);
		return;
	}
	d->until = request;
	d->point = argv[1];
	machine_point(m);
	m->held = false;
	go_on(d);
}

bool
drive_point(struct drive *d)
{
	struct control_request *request = d->until;
	FILE *out;

	if (!request)
		return false;
	d->until = NULL;
	d->machine->held = true;
	/* Who waited for an output is to find it where it goes. */
	devices_flush(d->devices);
	out = control_reply(request);
	fputs(",\"point\":", out);
	json_text(out, d->point, strlen(d->point));
	fprintf(out, ",\"state\":\"paused\",\"time_ns\":%llu",
		(unsigned long long)clock_now(&d->machine->clock));
	d->point = NULL;
	control_done(request);
	return true;
}

static int
reset(struct drive *d)
{
	int r = d->reset.snapshot ? 0 : reset_init(&d->reset, d->origin, d->machine, d->devices);

	if (!r)
		r = machine_pause(d->machine);
	if (!r)
		r = capture_reset(d->capture, &d->reset);
	return r;
}

static void
do_reset(void *context, struct control_request *request, int argc, char **argv)
{
	struct drive *d = drive_of(context);

	if (!d->origin)
		control_fail(request, "this machine was not restored from a snapshot: start it "
				      "with -r to reset it to that");
	else if (d->capture->busy)
		control_fail(request, "a snapshot is under way: wait for it, or cancel it");
	else if (reset(d)) {
		failed(request);
		machine_end(d->machine, CAUSE_ERROR, STATUS_SNAPSHOT);
	} else {
		machine_point(d->machine);
		control_done(request);
		go_on(d);
	}
}

static void
do_log(void *context, struct control_request *request, int argc, char **argv)
{
	int level = log_level_parse(argv[1]);

	if (level < 0) {
		control_fail(request, "%s is none of error, warn, info and debug", argv[1]);
		return;
	}
	log_set_level((enum minivmm_level)level);
	control_done(request);
}

static void
do_quit(void *context, struct control_request *request, int argc, char **argv)
{
	control_done(request);
	machine_end(drive_of(context)->machine, CAUSE_QUIT, 0);
}

static const struct control_command commands[] = {
	{ "status", "status", "state, time, exits, devices, the snapshot under way", 0, 0,
	  do_status },
	{ "pause", "pause", "stop the machine and its clock", 0, 0, do_pause },
	{ "resume", "resume", "let it go on", 0, 0, do_resume },
	{ "snapshot", "snapshot FILE [full|diff] [live|paused]",
	  "write a snapshot; - for FILE: to the descriptor that came with it", 1, 3, do_snapshot },
	{ "cancel", "cancel", "end the snapshot under way, which leaves nothing", 0, 0, do_cancel },
	{ "registers", "registers [N]", "of a vCPU", 0, 1, do_registers },
	{ "memory", "memory ADDRESS LENGTH", "bytes of guest memory, in hexadecimal", 2, 2,
	  do_memory },
	{ "devices", "devices", "their plugins and accesses", 0, 0, do_devices },
	{ "device", "device NAME", "its state, as a snapshot would have it", 1, 1, do_device },
	{ "until", "until POINT", "run to a point and pause there", 1, 1, do_until },
	{ "reset", "reset", "back to the snapshot that the machine was restored from", 0, 0,
	  do_reset },
	{ "log", "log LEVEL", "error, warn, info or debug", 1, 1, do_log },
	{ "quit", "quit", "end the machine", 0, 0, do_quit },
	{ .name = NULL },
};

const struct control_command *
drive_commands(void)
{
	return commands;
}

int
drive_open(struct drive *d, const char *path)
{
	return control_open(&d->control, &d->machine->loop, path, commands, d);
}

void
drive_close(struct drive *d)
{
	if (d->until)
		control_fail(d->until, "the machine ended before %s: %s", d->point,
			     machine_cause_name(d->machine->end.cause));
	d->until = NULL;
	capture_end(d->capture);
	control_close(&d->control);
	reset_free(&d->reset);
}
