/* SPDX-License-Identifier: BSD-2-Clause */
/* The section HOST, for messages and inspect. */
#include "snapshot/host.h"

#include <cpuid.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/version.h"

/* Intel SDM vol. 2, CPUID: leaf 1, EAX; AMD APM vol. 3, Fn0000_0001_EAX is the same. */
static void
put_signature(struct record_writer *writer)
{
	uint32_t a, b, c, d, family, model;

	__cpuid(1, a, b, c, d);
	family = a >> 8 & 15;
	model = a >> 4 & 15;
	if (family == 6 || family == 15)
		model |= (a >> 16 & 15) << 4;
	if (family == 15)
		family += a >> 20 & 255;
	record_put_u32(writer, "cpu_family", family);
	record_put_u32(writer, "cpu_model", model);
	record_put_u32(writer, "cpu_stepping", a & 15);
}

static void
put_names(struct record_writer *writer)
{
	uint32_t vendor[4] = { 0 }, brand[13] = { 0 }, a;
	const char *name = (const char *)brand;

	/* Every x86-64 CPU has these leaves. In a VM each CPUID is an exit, so there are no others.
	 */
	__cpuid(0, a, vendor[0], vendor[2], vendor[1]);
	record_put_text(writer, "cpu_vendor", (const char *)vendor);
	for (uint32_t i = 0; i < 3; i++)
		__cpuid(0x80000002 + i, brand[4 * i], brand[4 * i + 1], brand[4 * i + 2],
			brand[4 * i + 3]);
	record_put_text(writer, "cpu_name", name + strspn(name, " "));
}

void
snapshot_host_save(struct record_writer *writer, const char *parent)
{
	struct utsname system;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	record_put_u64(writer, "made", (uint64_t)now.tv_sec);
	record_put_text(writer, "minivmm", MINIVMM_VERSION);
	if (!uname(&system))
		record_put_text(writer, "kernel", system.release);
	record_put_u32(writer, "kvm_api", KVM_API_VERSION);
	put_names(writer);
	put_signature(writer);
	record_put_text(writer, "parent", parent);
}

const char *
snapshot_host_text(const struct record *host, char *buffer, size_t size)
{
	static const char *const keys[] = { "minivmm", "kernel", "cpu_vendor", "cpu_name" };
	static const char *const words[] = { "minivmm ", ", Linux ", ", ", " " };
	size_t length = 0;

	buffer[0] = 0;
	for (size_t i = 0; i < 4; i++) {
		char *text;

		if (record_copy_text(host, keys[i], &text, NULL))
			continue;
		length += (size_t)snprintf(buffer + length, size - length, "%s%s", words[i], text);
		free(text);
		if (length >= size)
			break;
	}
	return buffer;
}
