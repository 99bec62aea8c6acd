/* SPDX-License-Identifier: BSD-2-Clause */
/* Exit statuses of the process. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

/* 0 to 99 are the guest's own statuses. */
enum status {
	STATUS_GUEST_MAX = 99,
	STATUS_SHUTDOWN = 100, /* triple fault */
	STATUS_INTERNAL = 101, /* KVM internal error */
	STATUS_PANIC = 102,    /* guest panic */
	STATUS_USAGE = 110,    /* command line or config */
	STATUS_HOST = 111,     /* /dev/kvm, permissions, memory */
	STATUS_SNAPSHOT = 112, /* invalid or incompatible snapshot */
	STATUS_IO = 113,
	STATUS_BUG = 114,
	STATUS_PLUGIN = 115, /* a plugin is at fault */
	STATUS_AGAIN = 120,  /* ended by SIGTERM; the same command continues the work */
	STATUS_TIMEOUT = 124,
};

#endif
