/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For unit tests of disks whose requests take long: the host's fallocate() is replaced by one that
 * waits until the test lets it return. Includes the sources of the disk.
 */
#ifndef TESTS_GATE_H
#define TESTS_GATE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_changed = PTHREAD_COND_INITIALIZER;
static unsigned gate_open;           /* calls that may return */
static unsigned gate_in;             /* calls that have begun */
static uint64_t cleared, cleared_to; /* bytes; the end of the last call: all calls are in order */
static bool ordered;

static int
gated_fallocate(int fd, int mode, off_t at, off_t length)
{
	pthread_mutex_lock(&gate_lock);
	gate_in++;
	pthread_cond_broadcast(&gate_changed);
	while (!gate_open)
		pthread_cond_wait(&gate_changed, &gate_lock);
	gate_open -= gate_open != UINT32_MAX;
	ordered &= (uint64_t)at == cleared_to || !at;
	cleared_to = (uint64_t)at + (uint64_t)length;
	cleared += (uint64_t)length;
	pthread_mutex_unlock(&gate_lock);
	return 0;
}

#define fallocate gated_fallocate
#include "unit/fake_disk.h"
#undef fallocate
#include "unit/fake_services.h"

static void
gate_reset(void)
{
	gate_open = gate_in = 0;
	cleared = cleared_to = 0;
	ordered = true;
}

static void
gate(unsigned open)
{
	pthread_mutex_lock(&gate_lock);
	gate_open = open;
	pthread_cond_broadcast(&gate_changed);
	pthread_mutex_unlock(&gate_lock);
}

/* Waits until that many calls have begun. */
static void
until_in(unsigned calls)
{
	pthread_mutex_lock(&gate_lock);
	while (gate_in < calls)
		pthread_cond_wait(&gate_changed, &gate_lock);
	assert_int_equal(gate_in, calls);
	pthread_mutex_unlock(&gate_lock);
}

#endif
