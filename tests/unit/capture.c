/* SPDX-License-Identifier: BSD-2-Clause */
/* Buffers that a snapshot allocates before the stop are in memory, and the main thread does not
 * free the blocks of a file that is given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define image_write test_image_write
#define dirty_poll test_dirty_poll
#include "snapshot/capture.c" /* before cmocka, which has a macro fail */
#include "snapshot/rounds.c"
#undef image_write
#undef dirty_poll
#include <cmocka.h>

#include "base/fields.h"
#include "unit/host.h"

#define STATE (1u << 20) /* bytes in a field */
#define MANY 3000u       /* pages, fewer than FORK_PAGES */

/* All whole pages of the buffer are present. */
static void
expect_present(const void *room, size_t length)
{
	unsigned char present[4096] = { 0 };
	uintptr_t first = ((uintptr_t)room + PAGE_SIZE - 1) & ~(uintptr_t)(PAGE_SIZE - 1);
	size_t pages = length / PAGE_SIZE - 1;

	assert_in_range(pages, 1, sizeof(present));
	assert_int_equal(mincore((void *)first, pages * PAGE_SIZE, present), 0);
	for (size_t i = 0; i < pages; i++)
		assert_true(present[i] & 1);
}

struct large {
	uint64_t size;
	uint8_t *bytes;
	uint8_t few[3];
};

static const struct minivmm_field rows[] = {
	MINIVMM_FIELD_POINTER(struct large, bytes, size),
	MINIVMM_FIELD(struct large, few),
	MINIVMM_END,
};

#define VCPU (24u << 10) /* bytes of the state of a vCPU, more than today's hosts have */

/* Room for the copies of pages and for the state is allocated and touched before the stop. The
 * state, with unread input, the config and all vCPUs, is then written to it once: it does not move.
 */
static void
room_is_present(void **state)
{
	struct large large = { .size = STATE, .bytes = calloc(1, STATE) };
	struct device_stream stream = { .stream = { .input = calloc(1, STATE),
						    .input_size = STATE,
						    .input_head = STATE / 2,
						    .input_length = STATE } };
	struct device list[4] = { { .host.public.state = &large, .plugin.descriptor.fields = rows },
				  { .host.public.state = &large,
				    .plugin.descriptor.fields = rows } };
	static char text[STATE];
	struct config_option option = { .key = (char *)"output",
					.value = memset(text, 'x', sizeof(text) - 1),
					.place = { .file = "x.ini" } };
	struct config_device in_config = {
		.name = (char *)"a", .plugin = (char *)"b", .options = &option, .option_count = 1
	};
	struct config_device four[4] = { in_config,
					 { .name = (char *)"", .plugin = (char *)"" },
					 { .name = (char *)"", .plugin = (char *)"" },
					 { .name = (char *)"", .plugin = (char *)"" } };
	struct config config = { .devices = four, .device_count = 4, .vm.cpus = KVM_VCPUS };
	const struct minivmm_stream streams[] = { { .name = "console" } };
	struct devices devices = { .list = list, .count = 4, .config = &config };
	struct machine machine = { .vcpu_count = KVM_VCPUS };
	struct capture capture = { .machine = &machine, .devices = &devices };
	struct record_writer *body = &capture.meta.body, *writer;
	const uint8_t *data;

	list[2].streams = &stream;
	list[2].plugin.stream_count = 1;
	list[2].plugin.descriptor.streams = streams;
	list[3].state_size = STATE; /* its plugin has save, and saved that much last time */
	capture.copied = MANY;
	snapshot_meta_add(&capture.meta, SECTION_HOST, 0, 0, "host", 4);
	config_save(&config, snapshot_meta_begin(&capture.meta, SECTION_CONFIG, 0, 0));
	snapshot_meta_end(&capture.meta);
	capture_estimate(&capture);
	capture_make_room(&capture);
	assert_true(capture.copies_max >= MANY);
	expect_present(capture.copies, capture.copies_max * PAGE_SIZE);
	expect_present(body->data, body->capacity);
	data = body->data;
	for (uint32_t i = 0; i < 2; i++) {
		fields_save(rows, &large, snapshot_meta_begin(&capture.meta, SECTION_DEVICE, i, 0));
		snapshot_meta_end(&capture.meta);
	}
	writer = snapshot_meta_begin(&capture.meta, SECTION_DEVICE, 2, 0);
	stream_save(&stream.stream, writer);
	snapshot_meta_end(&capture.meta);
	snapshot_meta_add(&capture.meta, SECTION_DEVICE, 3, 0, NULL, STATE / 8 * 9);
	for (uint32_t i = 0; i < machine.vcpu_count; i++)
		snapshot_meta_add(&capture.meta, SECTION_VCPU, i, 0, NULL, VCPU);
	assert_false(body->failed);
	assert_true(body->length > 5 * STATE && body->length <= body->capacity);
	assert_ptr_equal(body->data, data);
	assert_int_equal(capture.meta.rows[2].offset, 4 + capture.meta.rows[1].length);
	snapshot_meta_free(&capture.meta);
	free(capture.copies);
	free(large.bytes);
	free(stream.stream.input);
}

static int last_closed_by; /* the thread that has closed a file without a name */

/* Takes the place of the C library's. */
int
close(int fd)
{
	struct stat st;

	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && !st.st_nlink)
		last_closed_by = gettid();
	return (int)syscall(SYS_close, fd);
}

/* A snapshot fails or is cancelled. */
static void
the_writer_frees_what_is_given_up(void **state)
{
	struct devices devices = { .count = 0 };
	struct capture capture = { .devices = &devices,
				   .result = { .status = -STATUS_IO, .method = METHOD_PAUSE },
				   .event.fd = eventfd(0, EFD_CLOEXEC) };

	pthread_mutex_init(&capture.lock, NULL);
	pthread_cond_init(&capture.changed, NULL);
	assert_int_equal(output_open(&capture.output, "file"), 0);
	assert_int_equal(pthread_create(&capture.thread, NULL, writer, &capture), 0);
	assert_int_equal(pthread_join(capture.thread, NULL), 0);
	assert_int_equal(capture.phase, CAPTURE_ENDED);
	assert_int_not_equal(last_closed_by, 0);
	assert_int_not_equal(last_closed_by, gettid());
	last_closed_by = 0;
	output_close(&capture.output);
	assert_int_equal(last_closed_by, 0);
	snapshot_meta_free(&capture.meta);
	free(capture.copies);
	close(capture.event.fd);
}

int
test_image_write(struct image *image, const uint64_t *pages)
{
	return 0;
}

/* Each round finds as many pages: a device writes them all the time. */
int
test_dirty_poll(struct machine *machine, uint64_t *pages)
{
	for (uint64_t i = 0; i < MANY; i++)
		pages[i / 64] |= 1ull << i % 64;
	return 0;
}

static void
pages_that_stay_dirty_have_room(void **state)
{
	struct machine machine = { .memory.size = 4096ull * PAGE_SIZE };
	struct capture capture = { .machine = &machine,
				   .since = calloc(64, sizeof(uint64_t)),
				   .todo = calloc(64, sizeof(uint64_t)),
				   .result.method = METHOD_AUTO };

	assert_int_equal(capture_before_stop(&capture), 0);
	assert_int_equal(capture_todo_count(&capture), MANY);
	assert_in_range(capture.copies_max, MANY, FORK_PAGES);
	expect_present(capture.copies, capture.copies_max * PAGE_SIZE);
	free(capture.copies);
	free(capture.since);
	free(capture.todo);
}

/* Finding them takes as long as the fork. */
static void
a_fork_finds_its_pages_before_the_stop(void **state)
{
	struct config config = { .device_count = 0 };
	struct devices devices = { .config = &config };
	struct machine machine = { .vcpu_count = 0 };
	struct capture capture = { .machine = &machine,
				   .devices = &devices,
				   .since = calloc(1, sizeof(uint64_t)),
				   .todo = calloc(1, sizeof(uint64_t)),
				   .result.method = METHOD_FORK,
				   .event.fd = eventfd(0, EFD_CLOEXEC) };

	pthread_mutex_init(&capture.lock, NULL);
	pthread_cond_init(&capture.changed, NULL);
	assert_int_equal(output_open(&capture.output, "file"), 0);
	assert_int_equal(pthread_create(&capture.thread, NULL, writer, &capture), 0);
	pthread_mutex_lock(&capture.lock);
	while (capture.phase != CAPTURE_WANTS_STOP)
		pthread_cond_wait(&capture.changed, &capture.lock);
	pthread_mutex_unlock(&capture.lock);
	assert_true(capture.todo_left);
	assert_int_equal(capture.result.rounds, 0);
	capture.result.status = -STATUS_IO;
	phase_set(&capture, CAPTURE_STOPPED);
	assert_int_equal(pthread_join(capture.thread, NULL), 0);
	output_close(&capture.output);
	snapshot_meta_free(&capture.meta);
	free(capture.copies);
	free(capture.since);
	free(capture.todo);
	close(capture.event.fd);
}

/* Looking at each page of the memory takes as long as the rest of a reset. */
static void
a_reset_finds_changes_before_the_stop(void **state)
{
	struct machine machine = { .memory.size = PAGE_SIZE };
	struct snapshot snapshot = { .header.memory_size = PAGE_SIZE,
				     .fd = memfd_create("snapshot", MFD_CLOEXEC) };
	struct reset reset;

	assert_int_equal(ftruncate(snapshot.fd, PAGE_SIZE), 0);
	assert_int_equal(reset_init(&reset, &snapshot, NULL, &machine, NULL), 0);
	assert_true(dirty_on(&machine));
	assert_true(reset.known);
	reset_free(&reset);
	dirty_free(&machine);
	close(snapshot.fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(room_is_present),
					    cmocka_unit_test(a_reset_finds_changes_before_the_stop),
					    cmocka_unit_test(pages_that_stay_dirty_have_room),
					    cmocka_unit_test(
						a_fork_finds_its_pages_before_the_stop),
					    cmocka_unit_test(the_writer_frees_what_is_given_up) };

	return cmocka_run_group_tests_name("capture", tests, host_enter_folder, host_leave_folder);
}
