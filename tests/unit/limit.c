/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of limits: each exhausted limit is named together with its remedy. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>

#include "base/limit.h"

#include <cmocka.h>

static const struct {
	enum limit_call call;
	int error;
	const char *words[3]; /* the text has all of them */
	enum status status;   /* of limit_status(..., STATUS_IO) */
} cases[] = {
	{ LIMIT_OTHER,
	  EMFILE,
	  { "Too many open files; ", "ulimit -n (now 64, at most 100)" },
	  111 },
	{ LIMIT_KVM, EMFILE, { "ulimit -n" }, 111 },
	{ LIMIT_PTY, EMFILE, { "ulimit -n" }, 111 },
	{ LIMIT_OTHER, ENFILE, { "fs.file-max" }, 111 },
	{ LIMIT_WATCH, EMFILE, { "fs.inotify.max_user_instances" }, 111 },
	{ LIMIT_WATCH, ENOSPC, { "fs.inotify.max_user_watches" }, 111 },
	{ LIMIT_EPOLL, ENOSPC, { "fs.epoll.max_user_watches" }, 111 },
	{ LIMIT_PTY, ENOSPC, { "kernel.pty.max" }, 111 },
	{ LIMIT_THREAD, EAGAIN, { "ulimit -u", "pids.max", "kernel.threads-max" }, 111 },
	{ LIMIT_KVM, EAGAIN, { "ulimit -u", "pids.max", "KVM starts a thread" }, 111 },
	{ LIMIT_LOCKED, ENOMEM, { "ulimit -l", "memory.max" }, 111 },
	{ LIMIT_KVM, EBUSY, { "another hypervisor" }, 111 },
	{ LIMIT_VCPU, EINVAL, { "reduce vm.cpus" }, 111 },
	{ LIMIT_VCPU, ENOMEM, { "free memory" }, 111 },
	{ LIMIT_KVM, ENOSPC, { "fewer devices" }, 111 },
	{ LIMIT_STACK, ENOMEM, { "Cannot allocate memory" }, 111 },
	{ LIMIT_OTHER, ENOMEM, { "free memory", "memory.max" }, 111 },
	{ LIMIT_OTHER, EFBIG, { "ulimit -f (now 1M, at most 1M)" }, 113 },
	/* Errors that are no limit. */
	{ LIMIT_OTHER, ENOSPC, { "No space left on device" }, 113 },
	{ LIMIT_OTHER, EAGAIN, { "Resource temporarily unavailable" }, 113 },
	{ LIMIT_THREAD, EPERM, { "Operation not permitted" }, 113 },
};

static void
set(__rlimit_resource_t resource, rlim_t now, rlim_t most)
{
	const struct rlimit limit = { now, most };

	assert_int_equal(setrlimit(resource, &limit), 0);
}

static void
names_limit_and_remedy(void **state)
{
	struct rlimit nproc;

	set(RLIMIT_NOFILE, 64, 100);
	set(RLIMIT_FSIZE, 1 << 20, 1 << 20);
	assert_int_equal(getrlimit(RLIMIT_NPROC, &nproc), 0);
	nproc.rlim_cur = nproc.rlim_max = nproc.rlim_max < 100000 ? nproc.rlim_max : 100000;
	set(RLIMIT_NPROC, nproc.rlim_cur, nproc.rlim_max);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct limit_text text = limit_error_of(cases[i].call, cases[i].error);

		assert_true(!strncmp(text.text, strerror(cases[i].error),
				     strlen(strerror(cases[i].error))));
		for (size_t w = 0; w < 3 && cases[i].words[w]; w++)
			if (!strstr(text.text, cases[i].words[w]))
				fail_msg("row %zu: \"%s\" is not in: %s", i, cases[i].words[w],
					 text.text);
		if (cases[i].status == STATUS_IO && cases[i].error != EFBIG)
			assert_string_equal(text.text, strerror(cases[i].error));
		assert_int_equal(limit_status(cases[i].call, cases[i].error, STATUS_IO),
				 cases[i].status);
	}
}

/* An ulimit that is not set is not the cause. */
static void
names_no_limit_that_is_not_set(void **state)
{
	static const struct {
		__rlimit_resource_t resource;
		const char *words;
	} rows[] = { { RLIMIT_AS, "ulimit -v (now 1T, at most unlimited)" },
		     { RLIMIT_DATA, "ulimit -d (now 1T, at most unlimited)" } };
	struct rlimit before;

	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(getrlimit(rows[i].resource, &before), 0);
		if (before.rlim_cur != RLIM_INFINITY)
			continue;
		assert_null(strstr(limit_error(ENOMEM).text, rows[i].words));
		set(rows[i].resource, (rlim_t)1 << 40, before.rlim_max);
		assert_non_null(strstr(limit_error(ENOMEM).text, rows[i].words));
		/* The stack of a thread. */
		assert_non_null(strstr(limit_error_of(LIMIT_THREAD, EAGAIN).text, rows[i].words));
		set(rows[i].resource, before.rlim_cur, before.rlim_max);
	}
	assert_non_null(strstr(limit_remedy(ENOMEM).text, "; free memory"));
	assert_string_equal(limit_remedy(ENOENT).text, "");
}

/* Signals, whose numbers are also those of errors. */
static void
names_limits_of_a_killed_process(void **state)
{
	struct rlimit cpu;

	assert_int_equal(getrlimit(RLIMIT_CPU, &cpu), 0);
	set(RLIMIT_CPU, cpu.rlim_max < 1000 ? cpu.rlim_max : 1000, cpu.rlim_max);
	assert_string_equal(limit_signal(SIGUSR2).text, strsignal(SIGUSR2));
	assert_string_equal(limit_signal(SIGTERM).text, strsignal(SIGTERM));
	assert_non_null(strstr(limit_signal(SIGXCPU).text, "; raise ulimit -t (now "));
	assert_null(strstr(limit_signal(SIGXCPU).text, "ulimit -n"));
	assert_non_null(strstr(limit_signal(SIGKILL).text, "; raise ulimit -t (now "));
	assert_non_null(strstr(limit_signal(SIGKILL).text, "memory.max"));
	set(RLIMIT_CPU, cpu.rlim_cur, cpu.rlim_max);
	if (cpu.rlim_cur == RLIM_INFINITY)
		assert_null(strstr(limit_signal(SIGKILL).text, "ulimit"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_no_limit_that_is_not_set),
		cmocka_unit_test(names_limit_and_remedy),
		cmocka_unit_test(names_limits_of_a_killed_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
