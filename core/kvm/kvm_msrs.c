/* SPDX-License-Identifier: BSD-2-Clause */
/* Model-specific registers: the list of MSRs to save, and saving and loading them in batches. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/limit.h"
#include "base/log.h"
#include "base/mutant.h"
#include "kvm/cpuid.h"
#include "kvm/kvm_fields.h"

#define MSR_MTRR_DEF_TYPE 0x2ffu
#define MSR_MC0 0x400u
#define MSR_SYSENTER_ESP 0x175u
#define MSRS_MAX 1024u

/* MTRRs are not in KVM's list but can be set and read (Intel SDM vol. 4, table 2-2). */
static const uint32_t mtrrs[] = { 0x200, 0x201, 0x202, 0x203, 0x204, 0x205, 0x206,
				  0x207, 0x208, 0x209, 0x20a, 0x20b, 0x20c, 0x20d,
				  0x20e, 0x20f, 0x250, 0x258, 0x259, 0x268, 0x269,
				  0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f, MSR_MTRR_DEF_TYPE };

/* AMD's OS-visible workarounds (APM volume 2, appendix A) are not in KVM's list either. */
static const uint32_t osvw[] = { 0xc0010140, 0xc0010141 };

/*
 * MSRs of Hyper-V that contain the host's time, frequencies and run time (Hyper-V TLFS:
 * TIME_REF_COUNT, TSC_FREQUENCY, APIC_FREQUENCY, VP_RUNTIME). The guest does not see Hyper-V.
 */
static const uint32_t hyperv_msrs[] = { 0x40000020, 0x40000022, 0x40000023, 0x40000010 };

static void
remove_hyperv(struct kvm_msr_list *list)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < list->nmsrs; i++) {
		bool out = false;

		for (size_t n = 0; n < sizeof(hyperv_msrs) / sizeof(*hyperv_msrs); n++)
			out |= list->indices[i] == hyperv_msrs[n];
		if (!out)
			list->indices[kept++] = list->indices[i];
	}
	list->nmsrs = kept;
}

static void
add(struct kvm_msr_list *list, uint32_t index)
{
	for (uint32_t i = 0; i < list->nmsrs; i++)
		if (list->indices[i] == index)
			return;
	if (list->nmsrs < MSRS_MAX)
		list->indices[list->nmsrs++] = index;
}

/* The deadline is compared with the TSC, so it must be set after the TSC: last. */
static void
deadline_last(struct kvm_msr_list *list)
{
	for (uint32_t i = 0; i + 1 < list->nmsrs; i++)
		if (list->indices[i] == MSR_TSC_DEADLINE) {
			memmove(&list->indices[i], &list->indices[i + 1],
				(list->nmsrs - i - 1) * sizeof(list->indices[0]));
			list->indices[list->nmsrs - 1] = MSR_TSC_DEADLINE;
			return;
		}
}

int
kvm_msrs_init(struct kvm *kvm)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + MSRS_MAX * sizeof(uint32_t));
	int banks;

	if (!list)
		return fail_memory("the list of MSRs");
	kvm->msrs = list;
	list->nmsrs = MSRS_MAX;
	if (ioctl(kvm->fd, KVM_GET_MSR_INDEX_LIST, list))
		return fail(STATUS_HOST, "KVM_GET_MSR_INDEX_LIST: %s", limit_error(errno).text);
	remove_hyperv(list);
	for (size_t i = 0; i < sizeof(mtrrs) / sizeof(*mtrrs); i++)
		add(list, mtrrs[i]);
	for (size_t i = 0; i < sizeof(osvw) / sizeof(*osvw); i++)
		add(list, osvw[i]);
	/* Machine-check banks have four MSRs each and are not in KVM's list. */
	banks = ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_MCE);
	for (int i = 0; i < banks * 4; i++)
		add(list, MSR_MC0 + (uint32_t)i);
	deadline_last(list);
	return 0;
}

/*
 * On AMD, KVM reads 64 bits of SYSENTER_ESP but accepts 32. The upper half has no effect: SYSENTER
 * exists in legacy mode only (AMD APM volume 2, 6.1.2).
 */
static uint64_t
settable(const struct kvm *kvm, uint32_t index, uint64_t value)
{
	return index == MSR_SYSENTER_ESP && kvm_cpuid_is_amd(kvm) ? (uint32_t)value : value;
}

/* KVM_GET_MSRS stops at the first MSR that this vCPU lacks; continue behind it. */
int
kvm_msrs_save(struct kvm_vcpu *vcpu, struct record_writer *writer)
{
	const struct kvm_msr_list *list = vcpu->kvm->msrs;
	struct kvm_msrs *msrs =
	    calloc(1, sizeof(*msrs) + list->nmsrs * sizeof(struct kvm_msr_entry));
	uint32_t *indices = calloc(list->nmsrs, sizeof(*indices));
	uint64_t *values = calloc(list->nmsrs, sizeof(*values));
	uint32_t next = 0, got = 0;
	int r = -1;

	while (msrs && indices && values && next < list->nmsrs) {
		msrs->nmsrs = list->nmsrs - next;
		for (uint32_t i = 0; i < msrs->nmsrs; i++)
			msrs->entries[i].index = list->indices[next + i];
		r = ioctl(vcpu->fd, KVM_GET_MSRS, msrs);
		if (r < 0)
			break;
		for (int i = 0; i < r; i++) {
			indices[got] = msrs->entries[i].index;
			values[got++] =
			    settable(vcpu->kvm, msrs->entries[i].index, msrs->entries[i].data);
		}
		next += (uint32_t)r + 1; /* skips the MSR that this vCPU lacks */
	}
	if (r < 0)
		r = fail(STATUS_HOST, "KVM_GET_MSRS: %s", limit_error(errno).text);
	else {
		for (uint32_t i = 0; i < got && vcpu->kvm->stopped; i++) {
			if (indices[i] == MSR_TSC)
				values[i] = vcpu->stopped.tsc;
			if (indices[i] == MSR_TSC_DEADLINE)
				values[i] = vcpu->stopped.deadline;
		}
		record_put(writer, "index", RECORD_U32, indices, got, true);
		record_put(writer, "value", RECORD_U64, values, got, true);
		r = 0;
	}
	free(msrs);
	free(indices);
	free(values);
	return r;
}

/* Returns whether the MSR already has the value, so that a refused write does no harm. */
static bool
msr_equals(struct kvm_vcpu *vcpu, const struct kvm_msr_entry *entry)
{
	union {
		struct kvm_msrs msrs;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} one = { .msrs.nmsrs = 1 };

	one.msrs.entries[0].index = entry->index;
	return ioctl(vcpu->fd, KVM_GET_MSRS, &one) == 1 && one.msrs.entries[0].data == entry->data;
}

uint64_t
kvm_vcpu_wall_clock(const struct record *group)
{
	struct record msrs, index, value;

	if (!record_find(group, "msrs", &msrs) || msrs.type != RECORD_GROUP ||
	    !record_find(&msrs, "index", &index) || !record_find(&msrs, "value", &value) ||
	    index.type != RECORD_U32 || value.type != RECORD_U64 || index.count != value.count)
		return 0;
	for (uint32_t i = 0; i < index.count; i++)
		if (record_number(&index, i) == MSR_KVM_WALL_CLOCK)
			return record_number(&value, i);
	return 0;
}

/*
 * A deadline of 0 means that the timer is off or has fired. Its interrupt is then in the LAPIC's
 * IRR, because kvm_vcpu_stop delivers it before a save.
 */
int
kvm_msrs_load(struct kvm_vcpu *vcpu, const struct record *group, struct why *why)
{
	struct record index, value;
	struct kvm_msrs *msrs;
	int r = 0;

	if (!record_find(group, "index", &index) || !record_find(group, "value", &value) ||
	    index.type != RECORD_U32 || value.type != RECORD_U64 || index.count != value.count ||
	    index.count > MSRS_MAX)
		return why_set(why, "msrs: not a list of indices and values");
	msrs = calloc(1, sizeof(*msrs) + index.count * sizeof(struct kvm_msr_entry));
	if (!msrs)
		return why_errno(why, ENOMEM, "msrs");
	for (uint32_t i = 0; i < index.count; i++) {
		if (record_number(&index, i) == MSR_TSC)
			vcpu->stopped.tsc = record_number(&value, i);
		if (record_number(&index, i) == MSR_TSC_DEADLINE)
			vcpu->stopped.deadline = record_number(&value, i);
	}
	/*
	 * KVM_SET_MSRS stops at the first MSR that it refuses. Continue behind it if it already has
	 * the value.
	 */
	for (uint32_t done = 0; done < index.count && !r; done++) {
		msrs->nmsrs = index.count - done;
		for (uint32_t i = 0; i < msrs->nmsrs; i++)
			msrs->entries[i] = (struct kvm_msr_entry){
				.index = (uint32_t)record_number(&index, done + i),
				.data = record_number(&value, done + i),
			};
		r = ioctl(vcpu->fd, KVM_SET_MSRS, msrs);
		if (r < 0) {
			why_errno(why, errno, "msrs: KVM_SET_MSRS");
			break;
		}
		done += (uint32_t)r;
		if (done < index.count && !msr_equals(vcpu, &msrs->entries[r]))
			r = why_set(why, "msrs: this host refuses 0x%llx in MSR 0x%x",
				    (unsigned long long)msrs->entries[r].data,
				    msrs->entries[r].index);
		else
			r = 0;
	}
	free(msrs);
	return r;
}
