/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a vCPU and of the VM's chips as records. Each row of a table is a pair of ioctls.
 * The order of the rows is the order of loading; the comments give its reasons.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/limit.h"
#include "base/log.h"
#include "base/mutant.h"
#include "kvm/cpuid.h"
#include "kvm/kvm.h"
#include "kvm/kvm_fields.h"

/* One kind of state: a KVM structure with named members, or a pair of functions. */
struct state {
	const char *name;
	unsigned long get, set; /* ioctls */
	size_t size;
	const struct minivmm_field *fields;
	int (*save)(struct kvm_vcpu *vcpu, struct record_writer *writer);
	int (*load)(struct kvm_vcpu *vcpu, const struct record *group, struct why *why);
	const char *items[3]; /* names of the items that save writes */
	bool irqchip;         /* exists only with the in-kernel irqchip */
	bool fixed;           /* not loaded after a vCPU has run */
	uint32_t id;          /* of the chip, for KVM_GET_IRQCHIP */
};

union state_buffer { /* the largest structure with fields */
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	struct kvm_debugregs debugregs;
	struct kvm_mp_state mp_state;
	struct kvm_vcpu_events events;
	struct kvm_lapic_state lapic;
	struct kvm_xcrs xcrs;
	struct kvm_pit_state2 pit;
	struct kvm_clock_data clock;
	struct kvm_irqchip chip;
};

static int
tsc_khz_save(struct kvm_vcpu *vcpu, struct record_writer *writer)
{
	int khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);

	record_put_u64(writer, "khz", vcpu->khz ? vcpu->khz : khz > 0 ? (uint64_t)khz : 0);
	return 0;
}

/*
 * Scales the TSC only if the hosts differ by more than 250 ppm: scaling is slow and not always
 * available. khz stays the original frequency, so that small differences of several hosts do not
 * accumulate.
 */
static int
tsc_khz_load(struct kvm_vcpu *vcpu, const struct record *group, struct why *why)
{
	uint64_t khz;
	int host_khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);

	if (!record_get_u64(group, "khz", &khz) || khz > INT32_MAX)
		return why_set(why, "tsc_khz: khz is missing or invalid");
	vcpu->khz = khz;
	if (!khz || host_khz <= 0 || llabs((long long)khz - host_khz) * 4000 <= host_khz)
		return 0;
	if (ioctl(vcpu->fd, KVM_SET_TSC_KHZ, (unsigned long)khz))
		return why_set(
		    why,
		    "tsc_khz: the guest's TSC runs at %llu kHz, this host's at %d, and KVM cannot "
		    "scale it: %s",
		    (unsigned long long)khz, host_khz, limit_error(errno).text);
	return 0;
}

static int
cr8_save(struct kvm_vcpu *vcpu, struct record_writer *writer)
{
	record_put_u64(writer, "cr8", vcpu->run->cr8);
	return 0;
}

static int
cr8_load(struct kvm_vcpu *vcpu, const struct record *group, struct why *why)
{
	uint64_t cr8;

	if (!record_get_u64(group, "cr8", &cr8) || cr8 > 15)
		return why_set(why, "cr8: missing or above 15");
	vcpu->run->cr8 = cr8;
	return 0;
}

static int
xsave_save(struct kvm_vcpu *vcpu, struct record_writer *writer)
{
	size_t size = vcpu->kvm->xsave_size;
	void *area = calloc(1, size);
	int r = 0;

	if (!area)
		return fail_memory("to save XSAVE");
	if (ioctl(vcpu->fd, size > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, area))
		r = fail(STATUS_HOST, "KVM_GET_XSAVE2: %s", limit_error(errno).text);
	else
		record_put_bytes(writer, "area", area, size);
	free(area);
	return r;
}

static int
xsave_load(struct kvm_vcpu *vcpu, const struct record *group, struct why *why)
{
	size_t size = vcpu->kvm->xsave_size, length;
	const uint8_t *bytes;
	void *area;
	int r = 0;

	if (!record_get_bytes(group, "area", &bytes, &length) || length < sizeof(struct kvm_xsave))
		return why_set(why, "xsave: area is missing or too short");
	for (size_t i = size; i < length; i++)
		if (bytes[i])
			return why_set(why,
				       "xsave: the guest's area has %zu bytes, this host's has %zu",
				       length, size);
	area = calloc(1, size);
	if (!area)
		return why_errno(why, ENOMEM, "xsave");
	memcpy(area, bytes, length < size ? length : size);
	if (ioctl(vcpu->fd, KVM_SET_XSAVE, area))
		r = why_errno(why, errno, "xsave: KVM_SET_XSAVE refused it");
	free(area);
	return r;
}

/*
 * All of a vCPU, in the order of loading. Saving uses the same order. It reads MP_STATE before the
 * registers, because reading MP_STATE may accept an INIT or SIPI, and events last, because the
 * other reads may raise an event.
 */
static const struct state vcpu_states[] = {
	{ .name = "cpuid",
	  .save = kvm_cpuid_save,
	  .load = kvm_cpuid_load,
	  .items = { "entries" },
	  .fixed = true }, /* determines valid values of the others */
	{ .name = "tsc_khz",
	  .save = tsc_khz_save,
	  .load = tsc_khz_load,
	  .items = { "khz" },
	  .fixed = true }, /* before the value of the TSC */
	{ .name = "mp_state",
	  .get = KVM_GET_MP_STATE,
	  .set = KVM_SET_MP_STATE,
	  .size = sizeof(struct kvm_mp_state),
	  .fields = kvm_mp_state_fields,
	  .irqchip = true },
	{ .name = "regs", /* before events: clears pending exceptions */
	  .get = KVM_GET_REGS,
	  .set = KVM_SET_REGS,
	  .size = sizeof(struct kvm_regs),
	  .fields = kvm_regs_fields },
	{ .name = "sregs", /* before lapic: contains the APIC base */
	  .get = KVM_GET_SREGS2,
	  .set = KVM_SET_SREGS2,
	  .size = sizeof(struct kvm_sregs2),
	  .fields = kvm_sregs2_fields },
	{ .name = "cr8",
	  .save = cr8_save,
	  .load = cr8_load,
	  .items = { "cr8" } }, /* KVM reads it from kvm_run at each entry */
	{ .name = "xsave", .save = xsave_save, .load = xsave_load, .items = { "area" } },
	{ .name = "xcrs",
	  .get = KVM_GET_XCRS,
	  .set = KVM_SET_XCRS,
	  .size = sizeof(struct kvm_xcrs),
	  .fields = kvm_xcrs_fields },
	{ .name = "debugregs",
	  .get = KVM_GET_DEBUGREGS,
	  .set = KVM_SET_DEBUGREGS,
	  .size = sizeof(struct kvm_debugregs),
	  .fields = kvm_debugregs_fields },
	{ .name = "lapic", /* before msrs: the TSC deadline needs a configured LAPIC */
	  .get = KVM_GET_LAPIC,
	  .set = KVM_SET_LAPIC,
	  .size = sizeof(struct kvm_lapic_state),
	  .fields = kvm_lapic_fields,
	  .irqchip = true },
	{ .name = "msrs",
	  .save = kvm_msrs_save,
	  .load = kvm_msrs_load,
	  .items = { "index", "value" } },
	{ .name = "events", /* last */
	  .get = KVM_GET_VCPU_EVENTS,
	  .set = KVM_SET_VCPU_EVENTS,
	  .size = sizeof(struct kvm_vcpu_events),
	  .fields = kvm_events_fields },
	{ 0 },
};

/* The VM's chips, in the order of loading. */
static const struct state vm_states[] = {
	{ .name = "pit",
	  .get = KVM_GET_PIT2,
	  .set = KVM_SET_PIT2,
	  .size = sizeof(struct kvm_pit_state2),
	  .fields = kvm_pit_fields,
	  .irqchip = true },
	{ .name = "clock",
	  .get = KVM_GET_CLOCK,
	  .set = KVM_SET_CLOCK,
	  .size = sizeof(struct kvm_clock_data),
	  .fields = kvm_clock_fields },
	/*
	 * The slave first: a fresh slave masks nothing, so a raised line makes it request an
	 * interrupt from the master. Its saved state ends the request, and the master's saved state
	 * removes it there.
	 */
	{ .name = "pic_slave",
	  .get = KVM_GET_IRQCHIP,
	  .set = KVM_SET_IRQCHIP,
	  .size = sizeof(struct kvm_irqchip),
	  .fields = kvm_pic_fields,
	  .irqchip = true,
	  .id = KVM_IRQCHIP_PIC_SLAVE },
	{ .name = "pic_master",
	  .get = KVM_GET_IRQCHIP,
	  .set = KVM_SET_IRQCHIP,
	  .size = sizeof(struct kvm_irqchip),
	  .fields = kvm_pic_fields,
	  .irqchip = true,
	  .id = KVM_IRQCHIP_PIC_MASTER },
	{ .name = "ioapic",
	  .get = KVM_GET_IRQCHIP,
	  .set = KVM_SET_IRQCHIP,
	  .size = sizeof(struct kvm_irqchip),
	  .fields = kvm_ioapic_fields,
	  .irqchip = true,
	  .id = KVM_IRQCHIP_IOAPIC },
	{ 0 },
};

static int
state_save(const struct state *state, struct kvm *kvm, struct kvm_vcpu *vcpu,
	   struct record_writer *writer)
{
	int fd = vcpu ? vcpu->fd : kvm->vm;
	union state_buffer buffer = { 0 };
	int r = 0;

	record_begin(writer, state->name, RECORD_GROUP);
	if (state->fields) {
		if (state->get == KVM_GET_IRQCHIP)
			buffer.chip.chip_id = state->id;
		if (!kvm_time_get(state->get, kvm, vcpu, &buffer) && ioctl(fd, state->get, &buffer))
			r = fail(STATUS_HOST, "cannot save the state of %s: %s", state->name,
				 limit_error(errno).text);
		fields_save(state->fields, &buffer, writer);
	} else
		r = state->save(vcpu, writer);
	record_end(writer);
	return r;
}

static uint32_t
items(const struct state *states, bool irqchip, const char *names[KVM_ITEMS])
{
	uint32_t count = 0;

	for (const struct state *s = states; s->name; s++)
		if (!s->irqchip || irqchip)
			names[count++] = s->name;
	return count;
}

uint32_t
kvm_vcpu_items(bool irqchip, const char *names[KVM_ITEMS])
{
	return items(vcpu_states, irqchip, names);
}

uint32_t
kvm_vm_items(bool irqchip, const char *names[KVM_ITEMS])
{
	return items(vm_states, irqchip, names);
}
_Static_assert(sizeof(vcpu_states) / sizeof(*vcpu_states) <= KVM_ITEMS &&
		   sizeof(vm_states) / sizeof(*vm_states) <= KVM_ITEMS,
	       "callers have arrays of KVM_ITEMS names");

static int
state_of(const struct state *state, const struct record *parent, struct record *group,
	 struct why *why)
{
	if (record_find(parent, state->name, group) && group->type == RECORD_GROUP)
		return 0;
	return why_set(why, "%s is missing", state->name);
}

static int
valid(const struct state *states, const struct record *parent, bool irqchip, struct why *why)
{
	const union state_buffer buffer = { 0 };
	struct record group;

	for (const struct state *s = states; s->name; s++) {
		if (s->irqchip && !irqchip)
			continue;
		if (state_of(s, parent, &group, why))
			return -1;
		if (s->fields ? fields_check(s->fields, &buffer, &group, 1, why)
			      : record_only(&group, s->items, why))
			return why_prefix(why, "%s: ", s->name);
	}
	return 0;
}

int
kvm_vcpu_valid(const struct record *group, bool irqchip, struct why *why)
{
	return valid(vcpu_states, group, irqchip, why);
}

int
kvm_vm_valid(const struct record *group, bool irqchip, struct why *why)
{
	return valid(vm_states, group, irqchip, why);
}

static int
state_load(const struct state *state, struct kvm *kvm, struct kvm_vcpu *vcpu,
	   const struct record *parent, struct why *why)
{
	int fd = vcpu ? vcpu->fd : kvm->vm;
	union state_buffer buffer = { 0 };
	struct record group;

	if (mutant("ioctl", state->name))
		return 0;
	if (state_of(state, parent, &group, why))
		return -1;
	if (!state->fields)
		return state->load(vcpu, &group, why);
	if (fields_load(state->fields, &buffer, &group, 1, why))
		return why_prefix(why, "%s: ", state->name);
	if (state->set == KVM_SET_IRQCHIP)
		buffer.chip.chip_id = state->id;
	else if (state->set == KVM_SET_VCPU_EVENTS)
		/*
		 * KVM keeps members that are not marked valid: without the flag, a pending NMI
		 * would stay.
		 */
		buffer.events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	else if (state->set == KVM_SET_CLOCK)
		buffer.clock.flags = 0; /* continue from the value, ignore the wall clock */
	kvm_time_set(state->set, kvm, vcpu, &buffer);
	if (ioctl(fd, state->set, &buffer))
		return why_errno(why, errno, "%s: ioctl 0x%lx refused it", state->name, state->set);
	return 0;
}

int
kvm_vcpu_save(struct kvm_vcpu *vcpu, struct record_writer *writer)
{
	int r = 0;

	for (const struct state *s = vcpu_states; s->name && !r; s++)
		if (!s->irqchip || vcpu->kvm->irqchip)
			r = state_save(s, vcpu->kvm, vcpu, writer);
	return r;
}

int
kvm_vcpu_load(struct kvm_vcpu *vcpu, const struct record *group, struct why *why)
{
	vcpu->kvm->stopped = true; /* until kvm_resume */
	for (const struct state *s = vcpu_states; s->name; s++)
		if ((!s->irqchip || vcpu->kvm->irqchip) && !(s->fixed && vcpu->kvm->ran) &&
		    state_load(s, vcpu->kvm, vcpu, group, why))
			return -1;
	return 0;
}

int
kvm_vm_save(struct kvm *kvm, struct record_writer *writer)
{
	int r = 0;

	for (const struct state *s = vm_states; s->name && !r; s++)
		if (!s->irqchip || kvm->irqchip)
			r = state_save(s, kvm, NULL, writer);
	return r;
}

int
kvm_vm_load(struct kvm *kvm, const struct record *group, struct why *why)
{
	for (const struct state *s = vm_states; s->name; s++)
		if ((!s->irqchip || kvm->irqchip) && state_load(s, kvm, NULL, group, why))
			return -1;
	return 0;
}
