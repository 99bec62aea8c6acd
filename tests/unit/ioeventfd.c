/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioeventfds that move: KVM has each at its present address and nowhere else, while the machine
 * runs. Whether KVM has one shows as EEXIST for another one at the place. On an emulated KVM, too.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "machine/machine.h"

#include <cmocka.h>

#define WIDTH 4u
#define MANY 64u

static unsigned calls; /* of the kernel, to read or wait */

ssize_t
read(int fd, void *to, size_t length)
{
	calls++;
	return syscall(SYS_read, fd, to, length);
}

int
epoll_wait(int fd, struct epoll_event *events, int most, int timeout)
{
	calls++;
	return (int)syscall(SYS_epoll_wait, fd, events, most, timeout);
}

struct bench {
	struct machine machine;
	struct vm_clock clock;
	struct ioeventfd one, two;
	int probe; /* an eventfd */
	unsigned rings;
	bool busy; /* ready returns false */
};

static bool
ready(struct ioeventfd *ioeventfd)
{
	struct bench *b = ioeventfd->context;

	b->rings++;
	return !b->busy;
}

static void
add(struct bench *b, struct ioeventfd *ioeventfd, uint32_t space, uint64_t address)
{
	*ioeventfd = (struct ioeventfd){
		.ready = ready, .context = b, .space = space, .address = address, .width = WIDTH
	};
	assert_int_equal(ioeventfd_add(&b->machine, ioeventfd), 0);
}

static int
setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	*state = b;
	if (!b || kvm_open(&b->machine.kvm) || loop_init(&b->machine.loop, &b->clock))
		return -1;
	b->probe = eventfd(0, EFD_CLOEXEC);
	add(b, &b->one, MINIVMM_MMIO, IOEVENTFD_UNPLACED);
	return b->probe < 0;
}

static int
teardown(void **state)
{
	struct bench *b = *state;

	while (b->machine.ioeventfds)
		ioeventfd_remove(&b->machine, b->machine.ioeventfds);
	close(b->probe);
	loop_free(&b->machine.loop);
	kvm_close(&b->machine.kvm);
	free(b);
	return 0;
}

/* Whether KVM signals an eventfd at this address. */
static bool
has(struct bench *b, uint32_t space, uint64_t address)
{
	bool port = space == MINIVMM_PIO;

	if (kvm_ioeventfd(&b->machine.kvm, port, address, WIDTH, 0, b->probe, true)) {
		assert_int_equal(errno, EEXIST);
		return true;
	}
	assert_int_equal(kvm_ioeventfd(&b->machine.kvm, port, address, WIDTH, 0, b->probe, false),
			 0);
	return false;
}

static void
assert_at(struct bench *b, uint64_t address)
{
	for (uint64_t at = 0x1000; at <= 0x4000; at += 0x1000)
		assert_int_equal(has(b, MINIVMM_MMIO, at), at == address);
}

static void
moves(void **state)
{
	struct bench *b = *state;

	ioeventfd_place(&b->machine, &b->one, 0x1000);
	assert_at(b, 0); /* the machine has not started */
	ioeventfds_assign(&b->machine, true);
	assert_at(b, 0x1000);
	ioeventfd_place(&b->machine, &b->one, 0x2000);
	assert_at(b, 0x2000);
	ioeventfd_place(&b->machine, &b->one, 0x2000);
	assert_at(b, 0x2000);
	ioeventfd_place(&b->machine, &b->one, IOEVENTFD_UNPLACED);
	assert_at(b, 0);
	ioeventfd_place(&b->machine, &b->one, 0x3000);
	assert_at(b, 0x3000);
	ioeventfd_remove(&b->machine, &b->one);
	assert_at(b, 0);
}

/* One without an address is not given to KVM. */
static void
unplaced(void **state)
{
	struct bench *b = *state;

	ioeventfds_assign(&b->machine, true);
	assert_false(b->one.assigned);
	ioeventfds_assign(&b->machine, false);
	ioeventfds_assign(&b->machine, true);
	assert_false(b->one.assigned);
	ioeventfd_place(&b->machine, &b->one, IOEVENTFD_UNPLACED);
	assert_false(b->one.assigned);
	ioeventfd_place(&b->machine, &b->one, 0x1000);
	assert_at(b, 0x1000);
}

/* A pause, a trace: it has none while the machine stops, and all at their new addresses after. */
static void
pauses(void **state)
{
	struct bench *b = *state;

	ioeventfd_place(&b->machine, &b->one, 0x1000);
	ioeventfds_assign(&b->machine, true);
	ioeventfds_assign(&b->machine, false);
	assert_at(b, 0);
	ioeventfds_assign(&b->machine, true);
	assert_at(b, 0x1000);
	ioeventfds_assign(&b->machine, false);
	ioeventfd_place(&b->machine, &b->one, 0x4000); /* a load */
	assert_at(b, 0);
	ioeventfds_assign(&b->machine, true);
	assert_at(b, 0x4000);
}

/* The guest puts two BARs at one address: one of them is an access that exits until both move. */
static void
refused(void **state)
{
	struct bench *b = *state;

	add(b, &b->two, MINIVMM_MMIO, 0x2000);
	ioeventfd_place(&b->machine, &b->one, 0x1000);
	ioeventfds_assign(&b->machine, true);
	ioeventfd_place(&b->machine, &b->one, 0x2000);
	assert_at(b, 0x2000);
	assert_true(b->two.assigned && !b->one.assigned);
	ioeventfd_place(&b->machine, &b->one, 0x3000); /* takes nothing from the other */
	assert_true(has(b, MINIVMM_MMIO, 0x2000) && has(b, MINIVMM_MMIO, 0x3000));
	ioeventfd_place(&b->machine, &b->one, 0x2000);
	ioeventfd_place(&b->machine, &b->two, 0x4000);
	assert_at(b, 0x4000);
	ioeventfds_assign(&b->machine, false);
	ioeventfds_assign(&b->machine, true);
	assert_true(b->one.assigned && b->two.assigned);
	assert_true(has(b, MINIVMM_MMIO, 0x2000) && has(b, MINIVMM_MMIO, 0x4000));
}

static void
values_and_spaces(void **state)
{
	struct bench *b = *state;

	add(b, &b->two, MINIVMM_PIO, IOEVENTFD_UNPLACED);
	ioeventfds_assign(&b->machine, true);
	ioeventfd_place(&b->machine, &b->one, 0x1000);
	ioeventfd_place(&b->machine, &b->two, 0x1000);
	assert_true(b->one.assigned && b->two.assigned);
	ioeventfd_place(&b->machine, &b->two, 0x2000);
	assert_false(has(b, MINIVMM_PIO, 0x1000));
	assert_true(has(b, MINIVMM_PIO, 0x2000));
	assert_at(b, 0x1000);
	ioeventfd_remove(&b->machine, &b->two);
	add(b, &b->two, MINIVMM_MMIO, IOEVENTFD_UNPLACED);
	b->two.value = 1;
	ioeventfd_place(&b->machine, &b->two, 0x1000);
	assert_true(b->two.assigned);
}

/* An event that has come stays when the ioeventfd moves, and until its owner takes it. */
static void
events(void **state)
{
	struct bench *b = *state;
	uint64_t count = 3;

	ioeventfds_assign(&b->machine, true);
	ioeventfd_place(&b->machine, &b->one, 0x1000);
	assert_int_equal(write(b->one.source.fd, &count, sizeof(count)), sizeof(count));
	ioeventfd_place(&b->machine, &b->one, IOEVENTFD_UNPLACED);
	b->busy = true;
	ioeventfds_poll(&b->machine);
	assert_int_equal(b->rings, 1);
	b->busy = false;
	ioeventfds_poll(&b->machine);
	assert_int_equal(b->rings, 2);
	ioeventfds_poll(&b->machine);
	assert_int_equal(b->rings, 2);
}

/* A pause asks for the events of all at once. */
static void
polls_all_at_once(void **state)
{
	struct bench *b = *state;
	struct ioeventfd many[MANY];
	uint64_t count = 1;

	for (uint32_t i = 0; i < MANY; i++)
		add(b, &many[i], MINIVMM_MMIO, IOEVENTFD_UNPLACED);
	calls = 0;
	ioeventfds_poll(&b->machine);
	assert_int_equal(b->rings, 0);
	assert_int_equal(calls, 1);
	for (uint32_t i = 0; i < MANY; i += MANY / 2)
		assert_int_equal(write(many[i].source.fd, &count, sizeof(count)), sizeof(count));
	calls = 0;
	ioeventfds_poll(&b->machine);
	assert_int_equal(b->rings, 2);
	assert_in_range(calls, 4, 5);
	for (uint32_t i = 0; i < MANY; i++)
		ioeventfd_remove(&b->machine, &many[i]);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(moves),
		TEST(unplaced),
		TEST(pauses),
		TEST(refused),
		TEST(values_and_spaces),
		TEST(events),
		TEST(polls_all_at_once),
	};

	return cmocka_run_group_tests_name("ioeventfd", tests, NULL, NULL);
}
