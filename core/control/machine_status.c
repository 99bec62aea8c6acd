/* SPDX-License-Identifier: BSD-2-Clause */
/* The answers to status and devices. */
#include "control/machine_status.h"

#include <string.h>

#include "base/json.h"
#include "control/drive.h"

/* The exits that have a name here; the rest is "other". */
static const struct {
	uint32_t reason;
	const char *name;
} reasons[] = {
	{ KVM_EXIT_IO, "pio" },      { KVM_EXIT_MMIO, "mmio" }, { KVM_EXIT_HLT, "hlt" },
	{ KVM_EXIT_DEBUG, "debug" }, { KVM_EXIT_INTR, "intr" },
};

static uint64_t
exits_of(const struct machine *m, uint32_t reason)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < m->vcpu_count; i++)
		sum +=
		    atomic_load_explicit(&machine_vcpu(m, i)->exits[reason], memory_order_relaxed);
	return sum;
}

static void
write_exits(FILE *out, const struct machine *m)
{
	uint64_t other = 0, n;

	for (uint32_t i = 0; i < m->vcpu_count; i++)
		other += vcpu_exits(machine_vcpu(m, i));
	fputs(",\"exits\":{", out);
	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++) {
		n = exits_of(m, reasons[i].reason);
		other -= n < other ? n : other;
		fprintf(out, "\"%s\":%llu,", reasons[i].name, (unsigned long long)n);
	}
	fprintf(out, "\"other\":%llu}", (unsigned long long)other);
}

void
control_status_devices(FILE *out, const struct drive *d)
{
	fputc('[', out);
	for (size_t i = 0; i < d->devices->count; i++) {
		const struct device *device = devices_at(d->devices, i);
		const struct bus_gate *gate = device->gate;

		fprintf(out, "%s{\"name\":\"%s\",\"plugin\":", i ? "," : "", device->public.name);
		json_text(out, device_plugin(device), strlen(device_plugin(device)));
		fprintf(out, ",\"reads\":%llu,\"writes\":%llu,\"failures\":%llu}",
			(unsigned long long)atomic_load(&gate->reads),
			(unsigned long long)atomic_load(&gate->writes),
			(unsigned long long)atomic_load(&gate->failures));
	}
	fputc(']', out);
}

/* Pages a second since the last look; null while nothing is tracked. */
static void
write_dirty(FILE *out, struct drive *d)
{
	uint64_t now = clock_host(), before = d->looked;
	int64_t pages = capture_look(d->capture);

	fputs(",\"dirty_pages_per_second\":", out);
	d->looked = pages < 0 ? 0 : now;
	if (pages < 0 || !before || now == before)
		fputs("null", out);
	else
		fprintf(out, "%.0f", (double)pages * 1e9 / (double)(now - before));
}

static void
write_snapshot(FILE *out, const struct drive *d)
{
	uint64_t done, total;
	char id[33];

	if (d->capture->base.known)
		fprintf(out, ",\"base\":\"%s\"", snapshot_id_text(d->capture->base.id, id));
	if (!capture_progress(d->capture, &done, &total))
		return;
	fputs(",\"snapshot\":{\"file\":", out);
	json_text(out, d->capture->request.path, strlen(d->capture->request.path));
	fprintf(out, ",\"done_bytes\":%llu,\"total_bytes\":%llu}", (unsigned long long)done,
		(unsigned long long)total);
}

void
control_status(FILE *out, struct drive *d)
{
	struct machine *m = d->machine;

	fprintf(out, ",\"state\":\"%s\",\"uptime_ns\":%llu,\"vcpus\":[",
		m->state == MACHINE_RUNNING ? "running" : "paused",
		(unsigned long long)clock_now(&m->clock));
	for (uint32_t i = 0; i < m->vcpu_count; i++) {
		const struct vcpu *vcpu = machine_vcpu(m, i);

		fprintf(out, "%s{\"id\":%u,\"halted\":%s,\"exits\":%llu}", i ? "," : "", i,
			vcpu->halted ? "true" : "false", (unsigned long long)vcpu_exits(vcpu));
	}
	fputc(']', out);
	write_exits(out, m);
	fprintf(out, ",\"memory_bytes\":%llu,\"unanswered\":%llu",
		(unsigned long long)m->memory.size, (unsigned long long)atomic_load(&m->bus.stray));
	write_dirty(out, d);
	write_snapshot(out, d);
	if (d->point) {
		fputs(",\"until\":", out);
		json_text(out, d->point, strlen(d->point));
	}
	fputs(",\"devices\":", out);
	control_status_devices(out, d);
}
