/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm batch: several processes run the machine of a snapshot once for each input file. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/batch.h"
#include "cli/cli.h"
#include "cli/progress.h"

#define IDLE_DEATHS 16u /* workers in a row that die without an input */

/* Guards next and at. */
static void
lock_claims(struct batch_shared *shared)
{
	/* batch_claim sets at before next: a claim that has not set next is none. */
	if (batch_lock(&shared->claims))
		for (unsigned i = 0; i < BATCH_WORKERS; i++)
			if (shared->at[i] == shared->next + 1)
				shared->at[i] = 0;
}

uint64_t
batch_claim(const struct batch *batch, unsigned number)
{
	struct batch_shared *shared = batch->shared;
	uint64_t index;

	lock_claims(shared);
	atomic_fetch_add(&shared->done, shared->at[number] != 0);
	index = atomic_load(&shared->stop) ? batch->file_count : shared->next;
	shared->at[number] = index < batch->file_count ? index + 1 : 0;
	shared->next += index < batch->file_count;
	pthread_mutex_unlock(&shared->claims);
	return index;
}

/* The running inputs are finished. */
static void
take_no_more(const struct batch *batch)
{
	lock_claims(batch->shared);
	batch->shared->next = batch->file_count;
	pthread_mutex_unlock(&batch->shared->claims);
}

void
batch_error(const struct batch *batch, int status)
{
	int none = 0;

	atomic_compare_exchange_strong(&batch->shared->error, &none, status);
}

static int
make_shared(struct batch *batch)
{
	pthread_mutexattr_t attributes;
	void *map = mmap(NULL, sizeof(*batch->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED) {
		fail(STATUS_HOST, "cannot share memory with the workers: %s",
		     limit_error(errno).text);
		return -STATUS_HOST;
	}
	batch->shared = map;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&batch->shared->claims, &attributes);
	pthread_mutex_init(&batch->shared->out, &attributes);
	pthread_mutexattr_destroy(&attributes);
	return 0;
}

/* Handlers are the process's. */
static atomic_bool *stop_flag;
static pid_t handler_of;

/* SIGTERM, to any process of the batch: the scheduler's goes to all of them. */
static void
on_term(int number)
{
	if (getpid() == handler_of) {
		atomic_store(stop_flag, true);
		return;
	}
	signal(number, SIG_DFL); /* a plugin has forked: ends this child when we return */
	raise(number);
}

static void
take_stop(const struct batch *batch)
{
	const struct sigaction action = { .sa_handler = on_term,
					  .sa_flags = SA_RESTART | SA_ONSTACK };

	stop_flag = &batch->shared->stop;
	handler_of = getpid();
	sigaction(SIGTERM, &action, NULL);
}

/* The status of a batch without a fatal error. */
static int
outcome(const struct batch *batch)
{
	uint64_t left;

	lock_claims(batch->shared);
	left = batch->file_count - batch->shared->next;
	pthread_mutex_unlock(&batch->shared->claims);
	if (!atomic_load(&batch->shared->stop) || !left)
		return atomic_load(&batch->shared->error);
	return fail(STATUS_AGAIN, "batch: SIGTERM: %llu inputs have not run; %s",
		    (unsigned long long)left,
		    batch->resume ? "the same command runs them"
				  : "with --resume FILE, the same command would run only them");
}

static int
start(const struct batch *batch, unsigned number, pid_t *pid)
{
	pid_t parent = getpid();

	*pid = fork();
	if (*pid < 0)
		return fail(STATUS_HOST, "cannot start a worker: %s",
			    limit_error_of(LIMIT_THREAD, errno).text);
	if (*pid)
		return 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(STATUS_HOST);
	handler_of = getpid();
	signal(SIGPIPE, SIG_IGN);
	_exit(batch_work(batch, number));
}

/* True for signals that a fault in the process causes; others come from another process. 0: the
 * handler of crash.c found a plugin at fault. */
static bool
is_crash(int signal)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS };

	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++)
		if (signal == faults[i])
			return true;
	return !signal;
}

/* True if a plugin ended the worker: by a crash or exit(), which crash.c ends with STATUS_PLUGIN,
 * or by _exit(), if its status is none of minivmm's own. */
static bool
left(const struct batch *batch, unsigned number, int status)
{
	return !atomic_load(&batch->shared->gone[number]) &&
	       (status == STATUS_PLUGIN || status <= STATUS_GUEST_MAX);
}

static const char *
cause_of(int signal)
{
	return signal ? strsignal(signal) : "a plugin is at fault";
}

/* The remedy of batch for a worker that the kernel may have killed for want of memory. */
static const char *
fewer(int signal)
{
	return signal == SIGKILL ? ", or use fewer workers (-j)" : "";
}

/* A worker died without an input. 0: another one can take its place. */
static int
died_idle(int signal, bool ready, unsigned *in_a_row)
{
	if (is_crash(signal) && !ready) /* the next one would, too */
		return fail(signal ? STATUS_BUG : STATUS_PLUGIN,
			    "batch: a worker crashed while it built its machine: %s",
			    cause_of(signal));
	if (++*in_a_row > IDLE_DEATHS)
		return fail(STATUS_HOST,
			    "batch: %u workers in a row were killed before they took an input: "
			    "%s%s",
			    *in_a_row, limit_signal(signal).text, fewer(signal));
	log_line(
	    MINIVMM_WARNING, NULL,
	    "batch: a worker was killed before it took an input: %s; another one takes its place",
	    cause_of(signal));
	return 0;
}

/* A worker died: reports its input. 0: the other inputs continue with another worker. */
static int
died(const struct batch *batch, unsigned number, int signal, unsigned *in_a_row)
{
	struct batch_shared *shared = batch->shared;
	enum status fault = signal ? STATUS_BUG : STATUS_PLUGIN;
	bool crash = is_crash(signal), ready = atomic_exchange(&shared->ready[number], false);
	struct batch_line line;
	const char *file;
	uint64_t at;
	int r;

	lock_claims(shared);
	at = shared->at[number];
	shared->at[number] = 0;
	pthread_mutex_unlock(&shared->claims);
	if (!at)
		return died_idle(signal, ready, in_a_row);
	*in_a_row = 0;
	file = batch->files[at - 1];
	if (crash)
		batch_error(batch, fail(fault, "batch: a worker crashed with input %s: %s", file,
					cause_of(signal)));
	else
		batch_error(batch,
			    fail(STATUS_HOST, "batch: a worker was killed with input %s: %s%s",
				 file, limit_signal(signal).text, fewer(signal)));
	atomic_fetch_add(&shared->done, 1);
	r = batch_line_begin(&line, file, crash ? "crash" : "killed",
			     crash ? (int)fault : 128 + signal);
	if (r)
		return r;
	if (signal)
		fprintf(line.out, ",\"signal\":%d", signal);
	return batch_line_end(batch, &line);
}

/* The time until all are done, as in ", 28 s left"; nothing if it is unknown. */
static void
put_left(char *text, size_t size, double seconds)
{
	if (seconds < 120)
		snprintf(text, size, ", %.0f s left", seconds);
	else if (seconds < 120 * 60)
		snprintf(text, size, ", %.0f min left", seconds / 60);
	else
		snprintf(text, size, ", %.0f h left", seconds / 3600);
}

static void
progress(const struct batch *batch, struct progress *line, bool ended)
{
	size_t done = atomic_load(&batch->shared->done), before = batch->before;
	uint64_t elapsed = clock_host() - line->began;
	double rate = (double)done * 1e9 / (double)(elapsed + 1);
	char text[160], left[32] = "";

	if (!batch->resume && isatty(STDOUT_FILENO))
		return;
	if (done && done < batch->file_count)
		put_left(left, sizeof(left), (double)(batch->file_count - done) / rate);
	snprintf(text, sizeof(text), "%zu of %zu, %.0f a second%s, %llu failed", before + done,
		 before + batch->file_count, rate, left,
		 (unsigned long long)atomic_load(&batch->shared->failed));
	if (progress_line(line, text) && ended)
		fputs("\n", stderr);
}

/* Waits for the workers and replaces dead ones while inputs are left. Returns the first error. */
static int
work(const struct batch *batch, unsigned workers)
{
	pid_t pids[BATCH_WORKERS] = { 0 };
	const struct timespec nap = { .tv_nsec = PROGRESS_EVERY };
	struct progress line = { .began = clock_host() };
	unsigned running = 0, in_a_row = 0;
	int first = 0, r, status;
	sigset_t child;
	bool dead;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	take_stop(batch);
	log_machine(false); /* the results do not wait for a reader of stderr for long */
	for (unsigned i = 0; i < workers && !first; i++, running += !first)
		first = start(batch, i, &pids[i]);
	if (first)
		take_no_more(batch);
	while (running) {
		pid_t pid = waitpid(-1, &status, WNOHANG);
		unsigned i = 0;

		if (pid < 0) {
			first = fail(STATUS_BUG, "batch: waitpid: %s", limit_error(errno).text);
			break;
		}
		if (!pid) {
			progress(batch, &line, false);
			sigtimedwait(&child, NULL, &nap);
			continue;
		}
		while (i < workers && pids[i] != pid)
			i++;
		if (i == workers)
			continue;
		running--;
		dead = WIFSIGNALED(status) || left(batch, i, WEXITSTATUS(status));
		r = dead ? died(batch, i, WIFSIGNALED(status) ? WTERMSIG(status) : 0, &in_a_row)
			 : -WEXITSTATUS(status);
		if (!r && dead && !atomic_load(&batch->shared->stop)) {
			r = start(batch, i, &pids[i]);
			running += !r;
		}
		first = first ? first : r;
		if (first)
			take_no_more(batch);
	}
	progress(batch, &line, true);
	return first ? first : outcome(batch);
}

static int
take(struct batch *batch, int option, const char *value, uint64_t *workers)
{
	struct vm_source *source = &batch->source;
	struct why why;

	switch (option) {
	case 'r':
		if (source->restore)
			source->parents[source->parent_count++] = (char *)source->restore;
		source->restore = value;
		return 0;
	case 'j':
		if (parse_u64(value, workers, &why))
			return fail(STATUS_USAGE, "batch: -j %s %s", value, why.text);
		if (!*workers || *workers > BATCH_WORKERS)
			return fail(STATUS_USAGE, "batch: -j %s is not from 1 to %u", value,
				    BATCH_WORKERS);
		return 0;
	case CLI_FROM:
		batch->from = value;
		return 0;
	case CLI_INPUT:
		batch->device = value;
		return 0;
	case CLI_UNTIL:
		batch->until = value;
		return 0;
	case CLI_TIMEOUT:
		return arguments_timeout("batch: ", value, &source->timeout);
	case CLI_LIST:
		batch->list = value;
		return 0;
	case '0':
		batch->null = true;
		return 0;
	case CLI_SHARD:
		return batch_shard(batch, value);
	case CLI_RESUME:
		batch->resume = value;
		return 0;
	case CLI_CHECK:
		batch->check = true;
		return 0;
	case CLI_SET:
		source->set[source->set_count++] = (char *)value;
		return 0;
	case CLI_TRUST:
		source->trust = true;
		return 0;
	default:
		return fail(STATUS_BUG, "batch: an option has no case in the parser");
	}
}

static int
check_arguments(struct batch *batch)
{
	struct stop stop = { .kind = STOP_NONE };
	struct why why;
	int r = batch->until ? stop_parse(&stop, batch->until, &why) : 0;

	batch->until_time = stop.kind == STOP_TIME;
	stop_free(&stop);
	if (r)
		return fail(why_status(&why, STATUS_USAGE), "batch: --until %s %s", batch->until,
			    why.text);
	if (batch->null && !batch->list)
		return fail(STATUS_USAGE, "batch: --null needs --list; add --list FILE");
	if (!batch->source.restore == !batch->from)
		return fail(STATUS_USAGE, "batch: %s",
			    batch->from ? "use -r or --from, not both"
					: "no machine; add -r SNAPSHOT or --from SOCKET");
	if (!batch->device)
		return fail(STATUS_USAGE, "batch: no device for the input; add --input DEVICE");
	if (!batch->file_count)
		return fail(STATUS_USAGE,
			    "batch: no input files; name files or a directory, or add --list FILE");
	return 0;
}

static int
run(struct batch *batch, int argc, char **argv)
{
	uint64_t workers = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
	struct arguments arguments;
	int option = ARGUMENTS_END, r = 0;

	arguments_begin(&arguments, cli_command("batch"), argc, argv);
	while (!r && (option = arguments_next(&arguments)) > 0)
		r = take(batch, option, arguments.value, &workers);
	if (!r && option)
		return -arguments.status;
	for (int i = 0; i < arguments.count && !r; i++)
		r = batch_input(batch, arguments.operands[i]);
	if (!r && batch->list)
		r = batch_list(batch, batch->list, batch->null);
	if (!r)
		r = check_arguments(batch);
	if (!r && batch->from)
		r = batch_from(batch, batch->from);
	if (!r && batch->shards)
		batch_inputs_share(batch);
	if (!r && batch->resume)
		r = batch_resume(batch);
	if (!r)
		r = make_shared(batch);
	if (batch->shards || batch->resume)
		gethostname(batch->host, sizeof(batch->host) - 1);
	if (workers > batch->file_count)
		workers = batch->file_count;
	batch->workers = workers < BATCH_WORKERS ? (unsigned)workers : BATCH_WORKERS;
	return r ? r : work(batch, batch->workers);
}

int
cli_batch(int argc, char **argv)
{
	struct batch batch = { .source.again = true, .out = STDOUT_FILENO, .received.fd = -1 };
	int r, ended;

	batch.source.set = calloc((size_t)argc, sizeof(char *));
	batch.source.parents = calloc((size_t)argc, sizeof(char *));
	if (batch.source.set && batch.source.parents)
		r = run(&batch, argc, argv);
	else
		r = fail_memory("the command line");
	ended = batch_resume_end(&batch);
	r = r ? r : ended;
	free(batch.source.set);
	free(batch.source.parents);
	batch_inputs_free(&batch);
	snapshot_close(&batch.received);
	return -r;
}
