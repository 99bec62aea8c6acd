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

/* Limits of getrlimit, each with its option of ulimit. */
static const struct {
	char option;
	bool bytes; /* its unit */
	__rlimit_resource_t resource;
} ulimits[] = {
	{ 'v', true, RLIMIT_AS },      { 'd', true, RLIMIT_DATA },  { 's', true, RLIMIT_STACK },
	{ 'l', true, RLIMIT_MEMLOCK }, { 'f', true, RLIMIT_FSIZE }, { 'u', false, RLIMIT_NPROC },
	{ 'n', false, RLIMIT_NOFILE }, { 't', false, RLIMIT_CPU },
};

/* The first row for a call and an error counts. */
static const struct limit {
	enum limit_call call; /* LIMIT_OTHER: any */
	int error;
	const char *options; /* of ulimit: causes if they are finite; NULL: none */
	const char *remedy;  /* for other causes than the ulimits; NULL: there are none */
} limits[] = {
	{ LIMIT_WATCH, EMFILE, .remedy = "raise sysctl fs.inotify.max_user_instances" },
	{ LIMIT_WATCH, ENOSPC, .remedy = "raise sysctl fs.inotify.max_user_watches" },
	{ LIMIT_EPOLL, ENOSPC, .remedy = "raise sysctl fs.epoll.max_user_watches" },
	{ LIMIT_PTY, ENOSPC, .remedy = "raise sysctl kernel.pty.max" },
	/* glibc reports a lack of memory for the stack of a thread as EAGAIN, too. */
	{ LIMIT_THREAD, EAGAIN, "vdu", THREADS },
	{ LIMIT_KVM, EAGAIN, "u", THREADS ": KVM starts a thread" },
	{ LIMIT_KVM, EBUSY,
	  .remedy = "another hypervisor, such as VirtualBox, uses the CPU's extensions: stop it" },
	{ LIMIT_VCPU, EINVAL, .remedy = "KVM takes no more vCPUs: reduce vm.cpus" },
	{ LIMIT_KVM, ENOSPC, .remedy = "KVM's table is full: give the machine fewer devices" },
	{ LIMIT_LOCKED, EAGAIN, "l", NULL },
	{ LIMIT_LOCKED, ENOMEM, "l", "raise memory.max of the cgroup" },
	{ LIMIT_STACK, ENOMEM, "s", NULL },
	{ LIMIT_SIGNAL, SIGXCPU, "t", NULL },
	{ LIMIT_SIGNAL, SIGKILL, "t",
	  "if the kernel's log says that memory ran out, free memory, or raise memory.max of the "
	  "cgroup" },
	{ LIMIT_OTHER, EMFILE, "n", NULL },
	{ LIMIT_OTHER, ENFILE, .remedy = "raise sysctl fs.file-max" },
	{ LIMIT_OTHER, ENOMEM, "vd", "free memory, or raise memory.max of the cgroup" },
	{ LIMIT_OTHER, EFBIG, "f", NULL },
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
format(bool bytes, rlim_t value, char *buffer, size_t size)
{
	if (value == RLIM_INFINITY)
		return "unlimited";
	if (bytes)
		return format_size(value, buffer, size);
	snprintf(buffer, size, "%llu", (unsigned long long)value);
	return buffer;
}

/* Writes "raise ulimit -n (now 1024, at most 4096)", or "" if no ulimit can be the cause. */
static void
ulimit_remedies(const char *options, char *text, size_t size)
{
	char now[32], most[32];
	struct rlimit r;
	size_t used = 0;

	*text = '\0';
	for (size_t i = 0; i < sizeof(ulimits) / sizeof(*ulimits); i++) {
		if (!strchr(options, ulimits[i].option) || getrlimit(ulimits[i].resource, &r) ||
		    r.rlim_cur == RLIM_INFINITY)
			continue;
		snprintf(text + used, size - used, "%s ulimit -%c (now %s, at most %s)",
			 used ? ", or" : "raise", ulimits[i].option,
			 format(ulimits[i].bytes, r.rlim_cur, now, sizeof(now)),
			 format(ulimits[i].bytes, r.rlim_max, most, sizeof(most)));
		used = strlen(text);
	}
}

static struct limit_text
remedy(const char *text, const struct limit *limit)
{
	const char *other = limit && limit->remedy ? limit->remedy : "";
	struct limit_text result;
	char first[256] = "";

	if (limit && limit->options)
		ulimit_remedies(limit->options, first, sizeof(first));
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
