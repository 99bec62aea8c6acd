/* SPDX-License-Identifier: BSD-2-Clause */
/* --trace: each line is one write(2), also from several threads; each is JSON. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json_read.h"
#include "machine/trace.h"

#include <cmocka.h>

#define THREADS 4
#define LINES 200u /* per thread; all of them fit into the pipe */

static struct trace trace;
static struct vm_clock vm_clock;

static void *
writer(void *argument)
{
	/* A plugin may name its registers as it likes. */
	static const struct minivmm_register registers[] = { { .read = "a\"\n\x1b\xc2\x9b" },
							     { .read = NULL } };
	static const struct minivmm_range row = { .registers = registers };
	struct minivmm_device device = { .name = "a" };
	const struct bus_range range = { .device = &device, .row = &row };
	struct trace_access access = {
		.clock = &vm_clock, .vcpu = *(uint32_t *)argument, .width = 1, .range = &range
	};

	for (uint32_t i = 0; i < LINES; i++)
		trace_access(&trace, &access);
	return NULL;
}

/* A pipe in packet mode returns the bytes of one write for each read. */
static void
one_write_for_each_line(void **state)
{
	uint64_t number, vcpu, lines[THREADS] = { 0 };
	uint32_t vcpus[THREADS];
	pthread_t threads[THREADS];
	struct json root, name;
	char path[32], line[4096];
	int fds[2];

	assert_int_equal(pipe2(fds, O_DIRECT | O_CLOEXEC), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, 1 << 20) > 0 || fcntl(fds[1], F_GETPIPE_SZ) > 0);
	snprintf(path, sizeof(path), "/dev/fd/%d", fds[1]);
	assert_int_equal(trace_open(&trace, path, NULL), 0);
	for (uint32_t i = 0; i < THREADS; i++) {
		vcpus[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, writer, &vcpus[i]), 0);
	}
	for (uint32_t i = 0; i < THREADS * LINES; i++) {
		ssize_t n = read(fds[0], line, sizeof(line));

		assert_true(n > 1);
		assert_true(memchr(line, '\n', (size_t)n) == line + n - 1);
		assert_int_equal(json_open(line, (size_t)n, &root, NULL), 0);
		assert_true(json_find_u64(&root, "n", &number) && number == i + 1);
		assert_true(json_find_u64(&root, "vcpu", &vcpu) && vcpu < THREADS);
		assert_true(json_find(&root, "register", &name));
		lines[vcpu]++;
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(lines[i], LINES);
	}
	assert_int_equal(trace_close(&trace), 0);
	close(fds[0]);
	close(fds[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(one_write_for_each_line) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
