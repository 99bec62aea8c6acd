/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands print what they have saved of the machine after its pause, and make room for it before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h" /* before cmocka, which has a macro fail */
#include <cmocka.h>

#include "vm/vm_commands.h"

struct numbers {
	uint8_t bytes[3];
	uint8_t more[1024];
};

static const struct minivmm_field rows[] = {
	MINIVMM_FIELD(struct numbers, bytes),
	MINIVMM_FIELD(struct numbers, more),
	MINIVMM_END,
};

/* A machine that an operator has paused, so that another pause only counts. */
static struct vm vm;
static char text[4096];
static size_t length;

static unsigned moved; /* calls of realloc() in the pause */

/* A sanitizer replaces the allocator. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern void *__libc_realloc(void *old, size_t size);

void *
realloc(void *old, size_t size)
{
	moved += vm.machine.pauses[PAUSE_INSPECT] != 0;
	return __libc_realloc(old, size);
}
#endif

static ssize_t
print(void *cookie, const char *bytes, size_t count)
{
	assert_int_equal(vm.machine.pauses[PAUSE_INSPECT], 0);
	assert_true(count < sizeof(text) - length);
	memcpy(text + length, bytes, count);
	length += count;
	return (ssize_t)count;
}

static void
ended(struct command *command, const char *error)
{
	assert_null(error);
}

static void
device_is_copied_in_the_pause(void **state)
{
	struct numbers numbers = { .bytes = { 0x00, 0x9a, 0xff } };
	struct config_device config = { .name = (char *)"a" };
	struct bus_gate gate = { .concurrent = true };
	struct device device = { .config = &config,
				 .host.gate = &gate,
				 .host.public.state = &numbers,
				 .plugin.descriptor = { .name = "numbers", .fields = rows } };
	struct command command = { .end = ended, .fd = -1 };
	char *words[] = { (char *)"device", (char *)"a", NULL };

	vm.machine.state = MACHINE_PAUSED;
	vm.machine.pauses[PAUSE_OPERATOR] = 1;
	device.all = &vm.devices;
	vm.devices.machine = &vm.machine;
	vm.devices.list = &device;
	vm.devices.count = 1;
	command.reply = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = print });
	assert_non_null(command.reply);
	setvbuf(command.reply, NULL, _IONBF, 0);
	command_device(&vm, &command, 2, words);
	fclose(command.reply);
	assert_non_null(strstr(text, "\"bytes\": \"009aff\""));
	assert_int_equal(moved, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_is_copied_in_the_pause),
	};

	return cmocka_run_group_tests_name("commands", tests, NULL, NULL);
}
