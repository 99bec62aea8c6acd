/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests that a snapshot is invisible to the guest. Runs a config once for reference, then again
 * with a snapshot at each point: every exit or every instruction. A new process restores each
 * snapshot, and its run must equal the rest of the reference: the same accesses, output, end,
 * registers, device states and memory. The same for a branch instead of a snapshot.
 *
 *   invisible [-s] [-b] [-m MAX] [-n DRAWN] [-S SEED] [-c FIELDS] [-k KEEP] CONFIG [KEY=VALUE...]
 *     -s  points are single-stepped instructions, not exits
 *     -b  branch the machine at each point, instead of a snapshot and a restore; twice: take a
 *         snapshot of the branch before it runs, and restore that; three times: run the branch to
 *         its end, and reset it to its beginning
 *     -m  use all points if there are at most MAX (2000), else about DRAWN (500) random ones
 *     -S  seed for the random points
 *     -c  compare these: any of t(race) o(utput) e(nd) r(egisters) d(evices) m(emory); default: a
 *         line "# invisible: compare FIELDS" in the config, or all
 *     -k  keep the snapshots of failures in this folder
 *
 * Prints PASS and the counts, and exits with 0; or prints the differences and FAIL, and exits with
 * 1; or prints SKIP and exits with 77 if single-stepping itself changes the guest's behaviour on
 * this host. The program starts itself to restore (-R FILE) and to make the reference (-F CONFIG);
 * then it writes a report to descriptor 3.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "snapshot/crc.h"
#include "vm/branching.h"
#include "vm/vm.h"

#define REPORT_FD 3    /* a child writes its report there; its stdout is the guest's */
#define XSTATE_BV 512u /* Intel SDM vol. 1, 13.4.2 */

#define OUTPUT_MAX (16u << 20)

struct options {
	bool steps, exits_only;
	unsigned branches;
	char fields[16]; /* to compare, by the config */
	uint64_t max, drawn, seed;
	const char *compare, *keep, *config;
	char **set;
	size_t set_count;
};

/* A run under observation. */
struct run {
	struct vm vm;
	struct trace trace;
	struct stream_record output; /* of devices on stdout; other outputs may contain the time */
};

/* The result of a reference run or a restored run. Sections begin with "== NAME". */
struct report {
	char *text;
	size_t length;
};

/* Does the device write to stdout? */
static bool
is_stdio(const struct config_device *config)
{
	for (size_t i = 0; i < config->option_count; i++)
		if (!strcmp(config->options[i].key, "output"))
			return !strcmp(config->options[i].value, "stdio");
	return false;
}

static int
run_build(struct run *run, const struct vm_source *source)
{
	int r = vm_build(&run->vm, source);

	if (r)
		return r;
	run->output = (struct stream_record){ .bytes = malloc(OUTPUT_MAX), .size = OUTPUT_MAX };
	pthread_mutex_init(&run->output.lock, NULL);
	for (size_t i = 0; i < run->vm.devices.count; i++)
		if (is_stdio(run->vm.devices.list[i].config))
			device_set_record(&run->vm.devices.list[i], &run->output);
	return run->output.bytes ? 0 : -STATUS_HOST;
}

static void
run_destroy(struct run *run)
{
	vm_destroy(&run->vm);
	free(run->output.bytes);
}

/* Copies the lines of a trace without number and time. */
static void
copy_trace(FILE *to, FILE *from)
{
	char *line = NULL;
	size_t size = 0;

	rewind(from);
	while (getline(&line, &size, from) > 0) {
		const char *rest = strstr(line, "\"vcpu\"");

		fputs(rest ? rest : line, to);
	}
	free(line);
}

/*
 * Clears XSTATE_BV: its bits may be set for a component that has its initial value. The components
 * are compared instead.
 */
static void
mask_xstate(const struct record *group)
{
	struct record area;

	if (record_find(group, "area", &area) && area.count >= XSTATE_BV + 8)
		memset((uint8_t *)area.data + XSTATE_BV, 0, 8);
}

/* Writes the registers that a guest can see, except those that depend on time. */
static void
report_vcpu(FILE *to, struct vcpu *vcpu)
{
	static const char *const groups[] = { "regs", "sregs",     "cr8",    "xsave",
					      "xcrs", "debugregs", "events", "mp_state" };
	struct record_writer writer = { 0 };
	struct record root, group;

	if (!vcpu_save(vcpu, &writer) && !record_open(writer.data, writer.length, &root, NULL))
		for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
			if (record_find(&root, groups[i], &group)) {
				mask_xstate(&group);
				record_print(to, &group, groups[i]);
			}
	record_writer_free(&writer);
}

static void
report_device(FILE *to, struct device *device)
{
	struct record_writer writer = { 0 };
	struct record root, state;

	if (!device_save(device, &writer) &&
	    !record_open(writer.data, writer.length, &root, NULL) &&
	    record_find(&root, "state", &state))
		record_print(to, &state, device->config->name);
	record_writer_free(&writer);
}

/* Runs to the end, and resets the machine to its beginning. */
static int
run_before(struct run *run)
{
	int r = machine_run(&run->vm.machine);

	run->output.length = 0;
	run->output.more = false;
	return r ? r : vm_reset(&run->vm);
}

/* Runs to the end and writes the report. again: of the run after a reset to the beginning. */
static int
observe(const struct vm_source *source, bool again, FILE *to)
{
	struct run *run = calloc(1, sizeof(*run));
	FILE *trace = tmpfile();
	char path[32];
	int r = run_build(run, source);

	snprintf(path, sizeof(path), "/dev/fd/%d", fileno(trace));
	if (!r)
		r = trace_open(&run->trace, path, NULL);
	if (!r)
		r = devices_start(&run->vm.devices,
				  vm_restored(&run->vm) ? MINIVMM_RESTORED : MINIVMM_FRESH);
	if (!r && again)
		r = run_before(run);
	machine_set_trace(&run->vm.machine, &run->trace);
	if (!r)
		r = machine_run(&run->vm.machine);
	if (!r) {
		fputs("== trace\n", to);
		copy_trace(to, trace);
		fputs("== output\n", to);
		for (size_t i = 0; i < run->output.length; i++)
			fprintf(to, "%02x\n", run->output.bytes[i]);
		r = run->output.more ? -STATUS_BUG : 0;
		fprintf(to, "== end\n%s %llu\n", machine_cause_name(run->vm.machine.end.cause),
			(unsigned long long)run->vm.machine.end.status);
		fputs("== registers\n", to);
		for (uint32_t i = 0; i < run->vm.machine.vcpu_count; i++)
			report_vcpu(to, &run->vm.machine.vcpus[i]);
		fputs("== devices\n", to);
		for (size_t i = 0; i < run->vm.devices.count; i++)
			report_device(to, &run->vm.devices.list[i]);
		fputs("== memory\n", to);
		for (uint32_t i = 0; i < run->vm.machine.memory.count; i++) {
			const struct memory_region *m = &run->vm.machine.memory.regions[i];

			for (uint64_t page = 0; page < m->size; page += PAGE_SIZE)
				fprintf(to, "%llx %08x\n", (unsigned long long)(m->gpa + page),
					crc32c(0, m->host + page, PAGE_SIZE));
		}
	}
	fprintf(to, "== time\n%llu\n", (unsigned long long)clock_now(&run->vm.machine.clock));
	fflush(to);
	if (run->vm.built) {
		const volatile bool no_waiting = true;

		devices_stop(&run->vm.devices, &no_waiting);
	}
	run_destroy(run);
	trace_close(&run->trace);
	fclose(trace);
	free(run);
	return r;
}

/* Runs this program in a child and reads its report. Returns 0 or -1. */
static int
child(const char *mode, const char *file, const struct options *o, struct report *report)
{
	char **argv = calloc(4 + o->set_count, sizeof(*argv));
	int out[2], status = -1;
	FILE *text, *from;
	char buffer[65536];
	size_t n;
	pid_t pid;

	argv[0] = (char *)"/proc/self/exe";
	argv[1] = (char *)mode;
	argv[2] = (char *)file;
	for (size_t i = 0; i < o->set_count && !strcmp(mode, "-F"); i++)
		argv[3 + i] = o->set[i];
	if (pipe2(out, O_CLOEXEC) || (pid = fork()) < 0)
		return -1;
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(out[1], REPORT_FD);
		execv(argv[0], argv);
		_exit(127);
	}
	close(out[1]);
	free(argv);
	free(report->text);
	text = open_memstream(&report->text, &report->length);
	from = fdopen(out[0], "r");
	while ((n = fread(buffer, 1, sizeof(buffer), from)) > 0)
		fwrite(buffer, 1, n, text);
	fclose(from);
	fclose(text);
	waitpid(pid, &status, 0);
	return status ? -1 : 0;
}

/* Returns the body of a section; length 0 if it is missing. */
static const char *
section(const struct report *report, const char *name, size_t *length)
{
	char title[32];
	const char *start, *end;

	snprintf(title, sizeof(title), "== %s\n", name);
	start = report->text ? strstr(report->text, title) : NULL;
	*length = 0;
	if (!start)
		return "";
	start += strlen(title);
	end = strstr(start, "== ");
	*length = end ? (size_t)(end - start) : strlen(start);
	return start;
}

static const char *
skip_lines(const char *text, size_t *length, uint64_t lines)
{
	const char *end = text + *length;

	while (lines-- && text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));

		text = newline ? newline + 1 : end;
	}
	*length = (size_t)(end - text);
	return text;
}

struct walk {
	const struct options *options;
	struct run *run;
	struct report reference, restored;
	char snapshot[64];
	enum stop_kind kind;
	int (*hook)(void *context); /* at each point */
	char end[64];               /* the section "end" of this run */
	uint64_t points, checked, failed;
	uint64_t chance; /* of a point to be used, out of 2^32 */
	uint64_t seed;
};

static void
show_difference(const struct walk *w, const char *name, const char *expected,
		size_t expected_length, const char *got, size_t got_length)
{
	size_t at = 0, line;

	while (at < expected_length && at < got_length && expected[at] == got[at])
		at++;
	for (line = at; line && expected[line - 1] != '\n';)
		line--;
	fprintf(stderr, "point %llu: difference in %s\n  expected: %.*s\n  got:      %.*s\n",
		(unsigned long long)w->points, name, (int)strcspn(expected + line, "\n"),
		line < expected_length ? expected + line : "(nothing more)",
		(int)strcspn(got + line, "\n"), line < got_length ? got + line : "(nothing more)");
}

/* Compares the restored run with the rest of the reference, after this run's accesses and output.
 */
static bool
same(struct walk *w, uint64_t accesses, uint64_t output, uint64_t time)
{
	static const char *const names[] = { "trace",     "output",  "end",
					     "registers", "devices", "memory" };
	bool good = true;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		size_t expected_length, got_length;
		const char *expected = section(&w->reference, names[i], &expected_length);
		const char *got = section(&w->restored, names[i], &got_length);

		if (!strchr(w->options->compare, names[i][0]))
			continue;
		if (i < 2)
			expected = skip_lines(expected, &expected_length, i ? output : accesses);
		if (expected_length != got_length || memcmp(expected, got, got_length)) {
			show_difference(w, names[i], expected, expected_length, got, got_length);
			good = false;
		}
	}
	if (strtoull(section(&w->restored, "time", &i), NULL, 10) < time) {
		fprintf(stderr, "point %llu: the VM's clock went back\n",
			(unsigned long long)w->points);
		good = false;
	}
	return good;
}

static void
keep(const struct walk *w)
{
	char command[3 * PATH_MAX];

	if (!w->options->keep || w->options->branches)
		return;
	snprintf(command, sizeof(command), "cp %s %s/point-%llu.snap", w->snapshot,
		 w->options->keep, (unsigned long long)w->points);
	if (system(command))
		fprintf(stderr, "cannot keep %s\n", w->snapshot);
}

/* Takes a snapshot of a branch that has not run. Returns 0 or -1. */
static int
save_branch(const struct vm_source *source, const char *path)
{
	const volatile bool no_waiting = true;
	struct run *run = calloc(1, sizeof(*run));
	int r = run_build(run, source);

	if (!r)
		r = vm_start(&run->vm);
	if (!r)
		r = capture_file(&run->vm.capture, path);
	vm_stop(&run->vm, &no_waiting);
	run_destroy(run);
	free(run);
	return r ? -1 : 0;
}

/* Of vm_set_branch: in the process of a branch. The report goes to the file of the snapshot. */
static int
observe_branch(void *context, const struct branch *branch)
{
	struct walk *w = context;
	struct vm_source source = { .branch = branch };
	int null = open("/dev/null", O_RDWR);
	FILE *to = w->options->branches != 2 ? fopen(w->snapshot, "w") : NULL;

	dup2(null, STDOUT_FILENO);
	source.set = branch_set(branch, &source.set_count);
	if (w->options->branches == 2)
		return branch_ready(branch, 0) || save_branch(&source, w->snapshot);
	if (!to || branch_ready(branch, 0) || observe(&source, w->options->branches == 3, to))
		return 1;
	return fclose(to) != 0;
}

/* Copies a file into the report. */
static int
read_report(const char *path, struct report *report)
{
	FILE *from = fopen(path, "r"), *text;
	char buffer[65536];
	size_t n;

	if (!from)
		return -1;
	free(report->text);
	text = open_memstream(&report->text, &report->length);
	while ((n = fread(buffer, 1, sizeof(buffer), from)) > 0)
		fwrite(buffer, 1, n, text);
	fclose(text);
	return fclose(from);
}

/* Branches the machine, and waits until the branch has ended. Returns 0 or -1. */
static int
branch(struct walk *w)
{
	struct vm *vm = &w->run->vm;
	struct branching *all = branching_create(vm, NULL);
	int status = -1, r;

	vm_set_branch(vm, observe_branch, w);
	r = branching_add(all, "");
	for (size_t i = 0; i < vm->devices.count && !r; i++) {
		char set[256];

		snprintf(set, sizeof(set), "device.%s.output=stdio",
			 device_name(&vm->devices.list[i]));
		if (is_stdio(vm->devices.list[i].config))
			r = branching_add_set(all, set);
	}
	if (!r)
		r = branching_fork(all);
	if (!r && write(all->go, "", 1) == 1)
		waitpid(all->keeper, &status, 0);
	branching_end(all);
	if (r || status)
		return -1;
	return w->options->branches == 2 ? child("-R", w->snapshot, w->options, &w->restored)
					 : read_report(w->snapshot, &w->restored);
}

/* Takes a snapshot, and restores it in a new process. Returns 0 or -1. */
static int
restore(struct walk *w)
{
	return capture_file(&w->run->vm.capture, w->snapshot) ||
		       child("-R", w->snapshot, w->options, &w->restored)
		   ? -1
		   : 0;
}

static uint64_t
draw(struct walk *w)
{
	w->seed = w->seed * 6364136223846793005ull + 1442695040888963407ull;
	return w->seed >> 32;
}

/* Sets a stop condition for the next point. */
static void
next_point(struct walk *w)
{
	const struct stop stop = { .kind = w->kind, .times = 1 };

	machine_stop_set(&w->run->vm.machine, &stop,
			 &(struct stop_handler){ .hit = w->hook, .context = w });
}

static int
at_point(void *context)
{
	struct walk *w = context;
	struct machine *m = &w->run->vm.machine;
	uint64_t accesses = 0, output;

	next_point(w);
	w->points++;
	if (draw(w) >= w->chance)
		return 0;
	for (uint32_t i = 0; i < m->vcpu_count; i++)
		accesses += m->vcpus[i].accesses;
	output = w->run->output.length;
	w->checked++;
	if (w->options->branches ? branch(w) : restore(w)) {
		fprintf(stderr, "point %llu: the %s failed\n", (unsigned long long)w->points,
			w->options->branches ? "branch" : "snapshot or its restore");
		w->failed++;
		keep(w);
	} else if (!same(w, accesses, output, clock_now(&m->clock))) {
		w->failed++;
		keep(w);
	}
	return w->failed >= 5 ? -STATUS_BUG : 0;
}

/* Counts the points. */
static int
count_point(void *context)
{
	struct walk *w = context;

	w->points++;
	next_point(w);
	return 0;
}

static int
walk_once(struct walk *w, int (*hook)(void *context))
{
	const struct options *o = w->options;
	struct vm_source source = { .config = o->config, .set = o->set, .set_count = o->set_count };
	const volatile bool no_waiting = true;
	struct run *run = calloc(1, sizeof(*run));
	int r = run_build(run, &source);

	w->run = run;
	w->hook = hook;
	if (!r)
		next_point(w);
	if (!r)
		r = devices_start(&run->vm.devices, MINIVMM_FRESH);
	if (!r)
		r = machine_run(&run->vm.machine);
	if (run->vm.built)
		devices_stop(&run->vm.devices, &no_waiting);
	snprintf(w->end, sizeof(w->end), "== end\n%s %llu\n",
		 machine_cause_name(run->vm.machine.end.cause),
		 (unsigned long long)run->vm.machine.end.status);
	run_destroy(run);
	free(run);
	return r;
}

static int
walk(const struct options *o)
{
	struct walk w = { .options = o,
			  .seed = o->seed,
			  .kind = o->steps ? STOP_STEP : STOP_ACCESS };
	int fd, r;

	strcpy(w.snapshot, "/dev/shm/invisible-XXXXXX");
	fd = mkstemp(w.snapshot);
	if (fd < 0)
		return 2;
	close(fd);
	if (child("-F", o->config, o, &w.reference)) {
		fprintf(stderr, "the reference run failed\n");
		return 2;
	}
	r = walk_once(&w, count_point);
	if (!r && o->steps && !strstr(w.reference.text, w.end)) {
		unlink(w.snapshot);
		free(w.reference.text);
		printf("SKIP steps: single-stepping changes the end of the guest on this host\n");
		return 77;
	}
	if (!r) {
		uint64_t points = w.points;

		w.points = 0;
		w.chance = points <= o->max ? UINT64_MAX : o->drawn * (1ull << 32) / points;
		w.seed = o->seed;
		r = walk_once(&w, at_point);
	}
	if (!r && strstr(w.reference.text, "== end\nhlt")) { /* a halted machine stays halted */
		w.kind = STOP_HLT;
		w.chance = UINT64_MAX;
		r = walk_once(&w, at_point);
	}
	unlink(w.snapshot);
	printf("%s %s: %llu of %llu points, seed %llu, %llu failed\n",
	       r || w.failed || !w.checked ? "FAIL" : "PASS", o->steps ? "steps" : "exits",
	       (unsigned long long)w.checked, (unsigned long long)w.points,
	       (unsigned long long)o->seed, (unsigned long long)w.failed);
	free(w.reference.text);
	free(w.restored.text);
	return r || w.failed || !w.checked;
}

/*
 * Reads the directives in a config: "# invisible: compare oe" for a guest that depends on time, "#
 * invisible: exits" for a guest with interrupts, which push the TF of single-stepping to its stack.
 */
static void
read_directives(struct options *o)
{
	static const char compare[] = "# invisible: compare ", exits[] = "# invisible: exits";
	FILE *file = fopen(o->config, "r");
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, exits, sizeof(exits) - 1))
			o->exits_only = true;
		else if (!strncmp(line, compare, sizeof(compare) - 1) && !o->compare) {
			snprintf(o->fields, sizeof(o->fields), "%.*s",
				 (int)strcspn(line + sizeof(compare) - 1, "\n"),
				 line + sizeof(compare) - 1);
			o->compare = o->fields;
		}
	if (file)
		fclose(file);
	if (!o->compare)
		o->compare = "toerdm";
}

int
main(int argc, char **argv)
{
	struct options o = { .max = 2000, .drawn = 500, .seed = (uint64_t)getpid() };
	struct vm_source source = { 0 };
	sigset_t kick;
	int option;

	sigemptyset(&kick);
	sigaddset(&kick, KVM_SIGNAL);
	sigprocmask(SIG_BLOCK, &kick, NULL);
	log_set_level(MINIVMM_ERROR);
	while ((option = getopt(argc, argv, "sbm:n:S:c:k:R:F:")) != -1)
		switch (option) {
		case 's':
			o.steps = true;
			break;
		case 'b':
			o.branches++;
			break;
		case 'm':
			o.max = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			o.drawn = strtoull(optarg, NULL, 0);
			break;
		case 'S':
			o.seed = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			o.compare = optarg;
			break;
		case 'k':
			o.keep = optarg;
			break;
		case 'R':
			source.restore = optarg;
			source.trust = true;
			break;
		case 'F':
			source.config = optarg;
			break;
		default:
			return 2;
		}
	o.set = argv + optind;
	o.set_count = (size_t)(argc - optind);
	if (source.restore || source.config) {
		source.set = o.set;
		source.set_count = o.set_count;
		return observe(&source, false, fdopen(REPORT_FD, "w")) ? 1 : 0;
	}
	if (!o.set_count)
		return 2;
	o.config = *o.set++;
	o.set_count--;
	read_directives(&o);
	if (o.steps && o.exits_only) {
		puts("SKIP steps: the config has \"# invisible: exits\"");
		return 77;
	}
	return walk(&o);
}
