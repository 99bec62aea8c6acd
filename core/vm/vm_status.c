/* SPDX-License-Identifier: BSD-2-Clause */
/* The replies to status and devices. */
#include "vm/vm_status.h"

#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "vm/vm_commands.h"

/* Exits with a name in the reply; the others are summed up as "other". */
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
	uint64_t other = machine_exits(m), n;

	fputs(",\"exits\":{", out);
	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++) {
		n = exits_of(m, reasons[i].reason);
		other -= n < other ? n : other;
		fprintf(out, "\"%s\":%llu,", reasons[i].name, (unsigned long long)n);
	}
	fprintf(out, "\"other\":%llu}", (unsigned long long)other);
}

void
vm_status_counts(FILE *out, const struct device *device)
{
	const struct bus_gate *gate = device_gate(device);
	unsigned long long lost;

	fprintf(out, "\"reads\":%llu,\"writes\":%llu,\"failures\":%llu,\"refused\":%llu",
		(unsigned long long)atomic_load(&gate->reads),
		(unsigned long long)atomic_load(&gate->writes),
		(unsigned long long)atomic_load(&gate->failures),
		(unsigned long long)atomic_load(&gate->refused));
	lost = device_unmastered(device) + pci_complex_dropped(device);
	if (device_slot(device))
		fprintf(out, ",\"not_master\":%llu", lost);
}

void
vm_status_devices(FILE *out, const struct vm *vm)
{
	fputc('[', out);
	for (size_t i = 0; i < vm->devices.count; i++) {
		const struct device *device = devices_at(&vm->devices, i);
		const struct bus_gate *gate = device_gate(device);

		fprintf(out, "%s{\"name\":\"%s\",\"plugin\":", i ? "," : "", device_name(device));
		json_text(out, device_plugin(device), strlen(device_plugin(device)));
		fputc(',', out);
		vm_status_counts(out, device);
		fprintf(out, ",\"slow\":%llu}", (unsigned long long)atomic_load(&gate->slow));
	}
	fputc(']', out);
}

/* Pages written per second since the last poll; null while pages are not tracked. */
static void
write_dirty(FILE *out, struct vm *vm)
{
	uint64_t now = clock_host(), before = vm->dirty_polled;
	int64_t pages = capture_poll_dirty(&vm->capture);

	fputs(",\"dirty_pages_per_second\":", out);
	vm->dirty_polled = pages < 0 ? 0 : now;
	if (pages < 0 || !before || now == before)
		fputs("null", out);
	else
		fprintf(out, "%.0f", (double)pages * 1e9 / (double)(now - before));
}

static void
write_snapshot(FILE *out, const struct vm *vm)
{
	uint64_t done, total;
	char id[33];

	if (vm->capture.base.known)
		fprintf(out, ",\"base\":\"%s\"", snapshot_id_text(vm->capture.base.id, id));
	if (vm_core_progress(vm, &done, &total))
		fprintf(out, ",\"core\":{\"done_bytes\":%llu,\"total_bytes\":%llu}",
			(unsigned long long)done, (unsigned long long)total);
	if (!capture_progress(&vm->capture, &done, &total))
		return;
	fputs(",\"snapshot\":{\"file\":", out);
	json_text(out, vm->capture.request.path, strlen(vm->capture.request.path));
	fprintf(out, ",\"done_bytes\":%llu,\"total_bytes\":%llu}", (unsigned long long)done,
		(unsigned long long)total);
}

struct callbacks {
	FILE *out;
	bool any;
};

static void
write_callback(void *context, const struct watchdog_slow *slow)
{
	struct callbacks *list = context;

	fprintf(list->out, "%s{\"device\":\"%s\",\"callback\":", list->any ? "," : "",
		slow->device);
	json_text(list->out, slow->callback, strlen(slow->callback));
	fputs(",\"seconds\":", list->out);
	json_decimal(list->out, (uint64_t)(slow->seconds * 1e9), 1000000000);
	fputc('}', list->out);
	list->any = true;
}

/* The callbacks that take longer than a second now. */
static void
write_callbacks(FILE *out, struct vm *vm)
{
	struct callbacks list = { .out = out };

	fputs(",\"slow_callbacks\":[", out);
	watchdog_each(&vm->machine.watchdog, write_callback, &list);
	fputc(']', out);
}

void
vm_status(FILE *out, struct vm *vm)
{
	struct machine *m = &vm->machine;

	fprintf(out, ",\"state\":\"%s\",\"uptime_ns\":", machine_running(m) ? "running" : "paused");
	json_hex(out, clock_now(&m->clock));
	fprintf(out, ",\"pid\":%d", getpid());
	if (vm->source.branch)
		fprintf(out, ",\"parent\":%d", branch_parent(vm->source.branch));
	fputs(",\"vcpus\":[", out);
	for (uint32_t i = 0; i < m->vcpu_count; i++) {
		const struct vcpu *vcpu = machine_vcpu(m, i);

		fprintf(out, "%s{\"id\":%u,\"halted\":%s,\"exits\":%llu,\"cpu_ns\":", i ? "," : "",
			i, vcpu->halted ? "true" : "false", (unsigned long long)vcpu_exits(vcpu));
		json_hex(out, vcpu_cpu_time(vcpu));
		fputc('}', out);
	}
	fputc(']', out);
	write_exits(out, m);
	fprintf(out, ",\"memory_bytes\":%llu,\"unanswered\":%llu",
		(unsigned long long)m->memory.size,
		(unsigned long long)atomic_load(&m->bus.unclaimed));
	write_dirty(out, vm);
	write_snapshot(out, vm);
	if (vm->until) {
		fputs(",\"until\":", out);
		json_text(out, vm->until_text, strlen(vm->until_text));
	}
	write_callbacks(out, vm);
	fputs(",\"devices\":", out);
	vm_status_devices(out, vm);
}
