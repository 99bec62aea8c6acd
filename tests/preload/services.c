/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A layer between the program and its plugins. In configure and start, it makes a call of one
 * device fail: the call with number FAIL_CALL, from 1, of the device FAIL_DEVICE. After the last
 * service call of a callback comes the callback's own result, as one more call. With FAIL_COUNT,
 * prints the number of calls of each device at exit: "calls NAME NUMBER".
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <minivmm/plugin.h>

#define PLUGINS 32
#define DEVICES 32

static struct plugin {
	struct minivmm_registration registration;
	struct minivmm_plugin copy;
	const struct minivmm_plugin *real;
} plugins[PLUGINS];
static unsigned plugin_count;

static struct seen {
	char name[64];
	unsigned calls;
} seen[DEVICES];
static unsigned device_count;

/* Only the main thread calls services in configure and start. */
static const struct minivmm_services *real;
static struct seen *current;

__attribute__((destructor)) static void
tell(void)
{
	for (unsigned i = 0; getenv("FAIL_COUNT") && i < device_count; i++)
		dprintf(2, "calls %s %u\n", seen[i].name, seen[i].calls);
}

static struct seen *
find(const char *name)
{
	for (unsigned i = 0; i < device_count; i++)
		if (!strcmp(seen[i].name, name))
			return &seen[i];
	if (device_count == DEVICES)
		abort();
	snprintf(seen[device_count].name, sizeof(seen->name), "%s", name);
	return &seen[device_count++];
}

static bool
fails(void)
{
	const char *device = getenv("FAIL_DEVICE"), *call = getenv("FAIL_CALL");

	current->calls++;
	return device && call && !strcmp(current->name, device) &&
	       current->calls == strtoul(call, NULL, 10);
}

/* One service: fails with a result, or calls the real one. */
#define SERVICE(type, name, parameters, arguments, failure)                                        \
	static type name##_service parameters                                                      \
	{                                                                                          \
		return fails() ? failure : real->name arguments;                                   \
	}
#define DEV struct minivmm_device *dev
SERVICE(int, memory_read, (DEV, uint64_t gpa, void *to, size_t n), (dev, gpa, to, n), -1)
SERVICE(int, memory_write, (DEV, uint64_t gpa, const void *from, size_t n), (dev, gpa, from, n), -1)
SERVICE(int, memory_discard, (DEV, uint64_t gpa, uint64_t n), (dev, gpa, n), -1)
SERVICE(void *, memory_map, (DEV, uint64_t gpa, size_t n), (dev, gpa, n), NULL)
SERVICE(void, timer_set, (DEV, uint32_t row, uint64_t at, uint64_t period), (dev, row, at, period),
	(void)0)
SERVICE(void, irq, (DEV, const struct minivmm_irq *irq, uint32_t operation), (dev, irq, operation),
	(void)0)
SERVICE(void, post, (DEV, uint32_t row), (dev, row), (void)0)
SERVICE(size_t, stream_readable, (DEV, uint32_t row), (dev, row), 0)
SERVICE(size_t, stream_read, (DEV, uint32_t row, void *to, size_t n), (dev, row, to, n), 0)
SERVICE(size_t, stream_writable, (DEV, uint32_t row), (dev, row), 0)
SERVICE(size_t, stream_write, (DEV, uint32_t row, const void *from, size_t n), (dev, row, from, n),
	0)
SERVICE(int, watch, (DEV, uint32_t row, int fd, uint32_t events), (dev, row, fd, events), -1)
SERVICE(int, bind_write, (DEV, const struct minivmm_bind *bind), (dev, bind), -1)
SERVICE(int, option_set, (DEV, const char *option, const char *value), (dev, option, value), -1)
SERVICE(uint64_t, acpi_page, (DEV), (dev), 0)

/* Calls a callback with a table of services that can fail. */
#define CALLED(dev, call)                                                                          \
	({                                                                                         \
		static struct minivmm_services table; /* a thread may read it later */             \
		int result;                                                                        \
		real = (dev)->services;                                                            \
		table = *real;                                                                     \
		current = find((dev)->name);                                                       \
		table.memory_read = memory_read_service;                                           \
		table.memory_write = memory_write_service;                                         \
		table.memory_discard = memory_discard_service;                                     \
		table.memory_map = memory_map_service;                                             \
		table.timer_set = timer_set_service;                                               \
		table.irq = irq_service;                                                           \
		table.post = post_service;                                                         \
		table.stream_readable = stream_readable_service;                                   \
		table.stream_read = stream_read_service;                                           \
		table.stream_writable = stream_writable_service;                                   \
		table.stream_write = stream_write_service;                                         \
		table.watch = watch_service;                                                       \
		table.bind_write = bind_write_service;                                             \
		table.option_set = option_set_service;                                             \
		table.acpi_page = acpi_page_service;                                               \
		(dev)->services = &table;                                                          \
		result = (call);                                                                   \
		(dev)->services = real;                                                            \
		fails() ? -1 : result;                                                             \
	})

/* The callbacks of each plugin: its number must be a constant. */
#define CALLBACKS(n)                                                                               \
	static int configure_##n(DEV)                                                              \
	{                                                                                          \
		return CALLED(dev,                                                                 \
			      plugins[n].real->configure ? plugins[n].real->configure(dev) : 0);   \
	}                                                                                          \
	static int start_##n(DEV, const struct minivmm_start *start)                               \
	{                                                                                          \
		return CALLED(dev,                                                                 \
			      plugins[n].real->start ? plugins[n].real->start(dev, start) : 0);    \
	}
/* clang-format off */
#define EACH(X) \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) \
	X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29)   \
	X(30) X(31)
/* clang-format on */
EACH(CALLBACKS)
#define CONFIGURE(n) configure_##n,
#define START(n) start_##n,
static int (*const configures[])(DEV) = { EACH(CONFIGURE) };
static int (*const starts[])(DEV, const struct minivmm_start *start) = { EACH(START) };

/* Replaces a registration. */
static const void *
replace(const struct minivmm_registration *found)
{
	struct plugin *p = &plugins[plugin_count];

	if (!found || plugin_count == PLUGINS)
		return found;
	p->registration = *found;
	p->real = found->plugin;
	p->copy = *found->plugin;
	p->copy.configure = configures[plugin_count];
	p->copy.start = starts[plugin_count];
	p->registration.plugin = &p->copy;
	plugin_count++;
	return &p->registration;
}

/* A sanitizer looks up libc's functions before any of them works: that is a tail call, since the
 * result for RTLD_NEXT depends on the caller. */
void *
dlsym(void *handle, const char *name)
{
	static void *(*next)(void *handle, const char *name);

	if (!next)
		next = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
	if (!next)
		next = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
	if (handle == RTLD_NEXT || handle == RTLD_DEFAULT || strcmp(name, "minivmm_registration"))
		return next(handle, name);
	return (void *)replace(next(handle, name));
}
