/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors of the host. One table says which limit an error means, and the remedy: every message
 * about a failed system call ends with the text from here.
 */
#ifndef BASE_LIMIT_H
#define BASE_LIMIT_H

#include <stdbool.h>

#include "base/status.h"

/* What failed: some errors mean another limit than elsewhere. */
enum limit_call {
	LIMIT_OTHER,  /* files, descriptors, memory */
	LIMIT_THREAD, /* a thread or a process is created */
	LIMIT_KVM,    /* an ioctl of KVM, which may start a thread */
	LIMIT_VCPU,   /* a vCPU is created */
	LIMIT_WATCH,  /* inotify */
	LIMIT_EPOLL,  /* a descriptor is added to an epoll set */
	LIMIT_PTY,    /* a pseudo-terminal is created */
	LIMIT_LOCKED, /* memory is locked or registered: mlock, io_uring */
	LIMIT_STACK,  /* the main thread's stack grows */
	LIMIT_SIGNAL, /* no call: the error is a signal that has ended a process */
};

/*
 * Returns the text of an errno and, if it means that a limit of the host is exhausted, the limit,
 * its value and the remedy. Use it in the argument list, in place of strerror:
 * fail(..., "cannot open %s: %s", path, limit_error(errno).text).
 */
struct limit_text {
	char text[320];
};
struct limit_text limit_error_of(enum limit_call call, int error);
struct limit_text limit_error(int error); /* of LIMIT_OTHER */
/* The same without the text of the errno: "; " with the remedy, or "". */
struct limit_text limit_remedy(int error);

/* The text of a signal that has ended another process, and of the limits that this can mean. */
struct limit_text limit_signal(int signal);
/* SIGXCPU in this process, for which the kernel has raised the limit by a second. */
#define LIMIT_CPU_TEXT "the limit of CPU time is exhausted; raise ulimit -t"

/* STATUS_HOST if the error means that a limit of the host is exhausted, except that of a file's
 * size; else other. */
enum status limit_status(enum limit_call call, int error, enum status other);

#endif
