/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's own state in a snapshot: clock, end, interrupt lines and chips. */
#include "base/mutant.h"
#include "machine/halt.h"
#include "machine/machine_run.h"

/* ns. Deadlines are at most INT64_MAX; the clock must stay below. */
#define TIME_MAX (INT64_MAX / 2)

/* Whether the guest caused the end. A snapshot taken then contains it. */
static bool
by_guest(enum machine_cause cause)
{
	return cause == CAUSE_EXIT || cause == CAUSE_SHUTDOWN || cause == CAUSE_PANIC;
}

int
machine_save(struct machine *m, struct record_writer *writer)
{
	bool saved = by_guest(m->end.cause);
	char device[sizeof(m->deferrals.device)];

	if (deferrals_lost(&m->deferrals, device))
		return fail(STATUS_IO,
			    "cannot save the machine: the access that device %s deferred was "
			    "cancelled, so the guest sees absent hardware; reset the machine",
			    device);
	record_put_u64(writer, "time", clock_now(&m->clock));
	record_put_u32(writer, "end", saved ? m->end.cause : CAUSE_NONE);
	record_put_u64(writer, "status", saved ? m->end.status : 0);
	record_put_bool(writer, "acpi", m->acpi);
	record_begin(writer, "lines", RECORD_GROUP);
	irqs_save(&m->irqs, writer);
	record_end(writer);
	return kvm_vm_save(&m->kvm, writer);
}

int
machine_valid(const struct record *group, bool irqchip, const char *more, struct why *why)
{
	const char *names[KVM_ITEMS + 7] = { more, "time", "end", "status", "acpi", "lines" };
	struct record lines, acpi;
	uint64_t time, end, status;

	names[kvm_vm_items(irqchip, names + 6) + 6] = NULL;
	if (!record_get_u64(group, "end", &end) || !record_get_u64(group, "status", &status) ||
	    (end != CAUSE_NONE && !by_guest((enum machine_cause)end)))
		return why_set(why, "the machine's end is missing or unknown");
	if (!record_get_u64(group, "time", &time) || time > TIME_MAX ||
	    !record_find(group, "lines", &lines) || lines.type != RECORD_GROUP)
		return why_set(why, "the VM's clock or lines are missing or out of range");
	if (!record_find(group, "acpi", &acpi) || acpi.type != RECORD_BOOL || acpi.array)
		return why_set(why, "acpi is missing");
	return kvm_vm_valid(group, irqchip, why) ? -1 : record_only(group, names, why);
}

int
machine_check(struct machine *m, const struct record *group, struct why *why)
{
	struct record lines;

	record_find(group, "lines", &lines);
	return irqs_check(&m->irqs, &lines, why);
}

/* The group has passed machine_valid and machine_check.
 *
 * Loads the lines before the chips. KVM keeps the levels of lines apart from the chips' registers:
 * if a line rose after the registers were loaded, its interrupt would be delivered twice. */
int
machine_load(struct machine *m, const struct record *group, struct why *why)
{
	struct record lines, acpi;
	uint64_t time, end, status;

	if (!record_get_u64(group, "end", &end) || !record_get_u64(group, "status", &status) ||
	    !record_get_u64(group, "time", &time) || !record_find(group, "lines", &lines) ||
	    !record_find(group, "acpi", &acpi))
		return why_set(why, "it is incomplete");
	m->end = (struct machine_end){ .cause = (enum machine_cause)end, .status = status };
	if (!mutant("vm", "time"))
		clock_set(&m->clock, time);
	if (m->halt_timer.armed) /* a reset sets the clock back */
		halt_start(m);
	m->acpi = record_number(&acpi, 0);
	machine_stop_discard_hit(m); /* of before a reset */
	deferrals_forget(&m->deferrals);
	machine_stop_arm(m);
	irqs_load(&m->irqs, &lines);
	return kvm_vm_load(&m->kvm, group, why);
}

void
machine_catch_up(struct machine *m, uint64_t time)
{
	uint64_t now = clock_now(&m->clock);

	if (time > TIME_MAX - now)
		time = TIME_MAX - now;
	clock_set(&m->clock, now + time);
	kvm_advance_time(&m->kvm, time);
}
