/* SPDX-License-Identifier: BSD-2-Clause */
/* The limits of the host, and their remedies. */
#include "base/limit.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/text.h"

#define THREADS "raise pids.max of the cgroup or sysctl kernel.threads-max"

/* The first row for a call and an error counts. */
static const struct limit {
	enum limit_call call; /* LIMIT_OTHER: any */
	int error;
	int resource;       /* RLIMIT_..., of option */
	char option;        /* of ulimit: a cause if it is finite; 0: none */
	bool bytes;         /* its unit */
	const char *remedy; /* for other causes than the ulimit; NULL: there are none */
} limits[] = {
	{ LIMIT_WATCH, EMFILE, .remedy = "raise sysctl fs.inotify.max_user_instances" },
	{ LIMIT_WATCH, ENOSPC, .remedy = "raise sysctl fs.inotify.max_user_watches" },
	{ LIMIT_EPOLL, ENOSPC, .remedy = "raise sysctl fs.epoll.max_user_watches" },
	{ LIMIT_PTY, ENOSPC, .remedy = "raise sysctl kernel.pty.max" },
	{ LIMIT_THREAD, EAGAIN, RLIMIT_NPROC, 'u', false, THREADS },
	{ LIMIT_KVM, EAGAIN, RLIMIT_NPROC, 'u', false, THREADS ": KVM starts a thread" },
	{ LIMIT_KVM, EBUSY,
	  .remedy = "another hypervisor, such as VirtualBox, uses the CPU's extensions: stop it" },
	{ LIMIT_VCPU, EINVAL, .remedy = "KVM takes no more vCPUs: reduce vm.cpus" },
	{ LIMIT_KVM, ENOSPC, .remedy = "KVM's table is full: give the machine fewer devices" },
	{ LIMIT_LOCKED, EAGAIN, RLIMIT_MEMLOCK, 'l', true, NULL },
	{ LIMIT_LOCKED, ENOMEM, RLIMIT_MEMLOCK, 'l', true, "raise memory.max of the cgroup" },
	{ LIMIT_SIGNAL, SIGXCPU, RLIMIT_CPU, 't', false, NULL },
	{ LIMIT_SIGNAL, SIGKILL, RLIMIT_CPU, 't', false,
	  "if the kernel's log says that memory ran out, free memory, or raise memory.max of the "
	  "cgroup" },
	{ LIMIT_OTHER, EMFILE, RLIMIT_NOFILE, 'n', false, NULL },
	{ LIMIT_OTHER, ENFILE, .remedy = "raise sysctl fs.file-max" },
	{ LIMIT_OTHER, ENOMEM, RLIMIT_AS, 'v', true,
	  "free memory, or raise memory.max of the cgroup" },
	{ LIMIT_OTHER, EFBIG, RLIMIT_FSIZE, 'f', true, NULL },
};

static const struct limit *
find(enum limit_call call, int error)
{
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
		if (limits[i].error == error &&
		    (limits[i].call == call ||
		     (limits[i].call == LIMIT_OTHER && call != LIMIT_SIGNAL)))
			return &limits[i];
	return NULL;
}

static const char *
format(const struct limit *limit, rlim_t value, char *buffer, size_t size)
{
	if (value == RLIM_INFINITY)
		return "unlimited";
	if (limit->bytes)
		return format_size(value, buffer, size);
	snprintf(buffer, size, "%llu", (unsigned long long)value);
	return buffer;
}

/* Writes "raise ulimit -n (now 1024, at most 4096)", or "" if the ulimit cannot be the cause. */
static void
ulimit_remedy(const struct limit *limit, char *text, size_t size)
{
	char now[32], most[32];
	struct rlimit r;

	*text = '\0';
	if (!limit->option || getrlimit((__rlimit_resource_t)limit->resource, &r) ||
	    r.rlim_cur == RLIM_INFINITY)
		return;
	snprintf(text, size, "raise ulimit -%c (now %s, at most %s)", limit->option,
		 format(limit, r.rlim_cur, now, sizeof(now)),
		 format(limit, r.rlim_max, most, sizeof(most)));
}

static struct limit_text
remedy(const char *text, const struct limit *limit)
{
	const char *other = limit && limit->remedy ? limit->remedy : "";
	struct limit_text result;
	char first[128] = "";

	if (limit)
		ulimit_remedy(limit, first, sizeof(first));
	snprintf(result.text, sizeof(result.text), "%s%s%s%s%s", text, *first || *other ? "; " : "",
		 first, *first && *other ? ", or " : "", other);
	return result;
}

struct limit_text
limit_error_of(enum limit_call call, int error)
{
	return remedy(strerror(error), find(call, error));
}

struct limit_text
limit_remedy(int error)
{
	return remedy("", find(LIMIT_OTHER, error));
}

struct limit_text
limit_error(int error)
{
	return limit_error_of(LIMIT_OTHER, error);
}

struct limit_text
limit_signal(int signal)
{
	return remedy(strsignal(signal), find(LIMIT_SIGNAL, signal));
}

enum status
limit_status(enum limit_call call, int error, enum status other)
{
	return find(call, error) && error != EFBIG ? STATUS_HOST : other;
}
