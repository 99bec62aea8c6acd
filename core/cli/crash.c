/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last words of a crash: which device, which callback, at which offset. Signal handlers are the process's, so what
 * they need is static here.
 */
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "machine/bus.h"
#include "machine/memory.h"
#include "plugin/stream.h"

static struct stream_hub *crash_hub;
static const struct memory *crash_memory;
static const char *crash_memory_name;

static void
say(const char *text)
{
	ssize_t n = write(STDERR_FILENO, text, strlen(text));

	(void)n;
}

static void
say_hex(uint64_t value)
{
	char text[19] = "0x", *p = text + 2;
	int digits = 1;

	while (digits < 16 && value >> (4 * digits))
		digits++;
	while (digits--)
		*p++ = "0123456789abcdef"[value >> (4 * digits) & 15];
	*p = '\0';
	say(text);
}

/* A file that somebody truncates under our mapping is a SIGBUS. */
static bool
in_guest_memory(const void *address)
{
	for (uint32_t i = 0; crash_memory && i < crash_memory->count; i++) {
		const struct memory_region *r = &crash_memory->regions[i];

		if ((const uint8_t *)address >= r->host &&
		    (const uint8_t *)address < r->host + r->size)
			return true;
	}
	return false;
}

static void
crashed(int number, siginfo_t *info, void *context)
{
	if (crash_hub)
		stream_terminal_restore(crash_hub);
	say("minivmm: ");
	say(number == SIGBUS ? "SIGBUS" : number == SIGSEGV ? "SIGSEGV" : "crash");
	say(" at ");
	say_hex((uintptr_t)info->si_addr);
	if (number == SIGBUS && in_guest_memory(info->si_addr)) {
		say(": guest memory's file was cut short by somebody: ");
		say(crash_memory_name ? crash_memory_name : "?");
	}
	if (bus_current.callback) {
		say(" in device ");
		say(bus_current.device->name);
		say(", callback ");
		say(bus_current.callback);
		say(", offset ");
		say_hex(bus_current.offset);
		say(": the plugin is at fault");
	}
	say("\n");
	/* SA_RESETHAND: returning would run into it again, and die of it; so does this, at once. */
	raise(number);
}

void
crash_install(struct stream_hub *hub, const struct memory *memory, const char *memory_name)
{
	const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	struct sigaction action = { .sa_sigaction = crashed,
				    .sa_flags = SA_SIGINFO | SA_RESETHAND };

	crash_hub = hub;
	crash_memory = memory;
	crash_memory_name = memory_name;
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaction(signals[i], &action, NULL);
}
