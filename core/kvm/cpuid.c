/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUID: the table of a fresh vCPU, saving and loading, and the check that this host has the
 * features of a saved table.
 */
#include "kvm/cpuid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/limit.h"
#include "base/log.h"

#define CPUID_MAX 256u /* entries */

static bool
is_topology(const struct kvm_cpuid_entry2 *e)
{
	return e->function == 0xb || e->function == 0x1f;
}

/*
 * KVM reports the topology of the current host CPU. Keep two empty levels: cpuid_topology fills
 * them for the guest.
 */
static void
cpuid_flatten(struct kvm_cpuid2 *cpuid)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (is_topology(e) && e->index > 1)
			continue;
		if (is_topology(e))
			e->eax = e->ebx = e->ecx = 0;
		cpuid->entries[kept++] = *e;
	}
	cpuid->nent = kept;
}

/* The number of bits that represent the numbers below count. */
static uint32_t
bits_for(uint32_t count)
{
	return count > 1 ? 32 - (uint32_t)__builtin_clz(count - 1) : 0;
}

/*
 * Describes one package of single-threaded cores. SDM volume 2, CPUID leaves 1, 4 and 0BH; AMD APM
 * volume 3, E.4.
 */
static void
cpuid_topology(struct kvm_cpuid_entry2 *e, uint32_t id, uint32_t count)
{
	uint32_t bits = bits_for(count);

	if (is_topology(e)) {
		e->edx = id;
		if (count > 1) {
			e->eax = e->index ? bits : 0;
			e->ebx = e->index ? count : 1;
			e->ecx = e->index | (e->index + 1) << 8;
		}
		return;
	}
	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0xffff) | id << 24 | (count & 0xff) << 16;
		e->edx = count > 1 ? e->edx | 1u << 28 : e->edx & ~(1u << 28); /* HTT */
		break;
	case 4: /* caches: all cores share the last level; the other levels are private */
		e->eax &= 0x3fff;
		if (e->eax & 0x1f)
			e->eax |= ((1u << bits) - 1) << 26 |
				  ((e->eax >> 5 & 7) >= 3 ? ((1u << bits) - 1) << 14 : 0);
		break;
	case 0x80000001:
		e->ecx = count > 1 ? e->ecx | 1u << 1 : e->ecx & ~(1u << 1); /* CmpLegacy */
		break;
	case 0x80000008:
		e->ecx = (e->ecx & ~0xf0ffu) | bits << 12 | ((count - 1) & 0xff);
		break;
	case 0x8000001d:
		e->eax &= 0x3fff;
		if ((e->eax & 0x1f) && (e->eax >> 5 & 7) >= 3)
			e->eax |= (count - 1) << 14;
		break;
	case 0x8000001e:
		e->eax = id;
		e->ebx = id & 0xff; /* core with one thread */
		e->ecx = 0;         /* node 0 of one node */
		break;
	}
}

/*
 * Sets the entries that depend on the vCPU, and the features that KVM supports but does not list.
 */
static void
cpuid_complete(struct kvm *kvm, uint32_t id)
{
	bool deadline =
	    kvm->irqchip && ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;

	for (uint32_t i = 0; i < kvm->cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &kvm->cpuid->entries[i];

		cpuid_topology(e, id, kvm->cpus);
		if (e->function == 1)
			e->ecx |= 1u << 31 /* hypervisor */ | (deadline ? 1u << 24 : 0);
	}
}

int
kvm_cpuid_init(struct kvm *kvm)
{
	struct kvm_cpuid2 *cpuid;

	for (uint32_t room = 128; room <= 4096; room *= 2) {
		cpuid = calloc(1, sizeof(*cpuid) + room * sizeof(cpuid->entries[0]));
		if (!cpuid)
			return fail_memory("the CPUID table");
		cpuid->nent = room;
		if (!ioctl(kvm->fd, KVM_GET_SUPPORTED_CPUID, cpuid)) {
			kvm->cpuid = cpuid;
			break;
		}
		free(cpuid);
		if (errno != E2BIG)
			break;
	}
	if (!kvm->cpuid)
		return fail(STATUS_HOST, "KVM_GET_SUPPORTED_CPUID: %s", limit_error(errno).text);
	for (uint32_t i = 0; i < kvm->cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &kvm->cpuid->entries[i];

		if (e->function == 1)
			e->ecx &= ~(1u << 5); /* VMX */
		if (e->function == 0x80000001)
			e->ecx &= ~(1u << 2); /* SVM */
	}
	cpuid_flatten(kvm->cpuid);
	return 0;
}

bool
kvm_cpuid_is_amd(const struct kvm *kvm)
{
	for (uint32_t i = 0; i < kvm->cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &kvm->cpuid->entries[i];

		/* ebx of leaf 0 is the start of the vendor: AuthenticAMD, HygonGenuine */
		if (!e->function)
			return !memcmp(&e->ebx, "Auth", 4) || !memcmp(&e->ebx, "Hygo", 4);
	}
	return false;
}

int
kvm_vcpu_cpuid(struct kvm_vcpu *vcpu)
{
	cpuid_complete(vcpu->kvm, vcpu->id);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, vcpu->kvm->cpuid))
		return fail(STATUS_HOST, "KVM_SET_CPUID2: vCPU %u: %s", vcpu->id,
			    limit_error(errno).text);
	return 0;
}

/* The vCPU's table, malloced; NULL with the reason in why. */
static struct kvm_cpuid2 *
cpuid_get(struct kvm_vcpu *vcpu, struct why *why)
{
	struct kvm_cpuid2 *cpuid =
	    calloc(1, sizeof(*cpuid) + CPUID_MAX * sizeof(cpuid->entries[0]));

	if (!cpuid) {
		why_errno(why, ENOMEM, "cpuid");
		return NULL;
	}
	cpuid->nent = CPUID_MAX;
	if (ioctl(vcpu->fd, KVM_GET_CPUID2, cpuid)) {
		why_errno(why, errno, "KVM_GET_CPUID2");
		free(cpuid);
		return NULL;
	}
	return cpuid;
}

int
kvm_cpuid_save(struct kvm_vcpu *vcpu, struct record_writer *writer)
{
	struct why why;
	struct kvm_cpuid2 *cpuid = cpuid_get(vcpu, &why);

	if (!cpuid)
		return fail(STATUS_HOST, "%s", why.text);
	record_put(writer, "entries", RECORD_U32, cpuid->entries,
		   cpuid->nent * sizeof(cpuid->entries[0]) / 4, true);
	free(cpuid);
	return 0;
}

/* Reads a table from a record into malloced memory; NULL with the reason in why. */
static struct kvm_cpuid2 *
cpuid_of(const struct record *group, struct why *why)
{
	const size_t words = sizeof(struct kvm_cpuid_entry2) / 4;
	struct kvm_cpuid2 *cpuid;
	struct record item;

	if (!record_find(group, "entries", &item) || item.type != RECORD_U32 || !item.array ||
	    item.count % words || item.count / words > CPUID_MAX) {
		why_set(why, "cpuid: not a list of entries");
		return NULL;
	}
	cpuid = calloc(1, sizeof(*cpuid) + item.count * 4ul);
	if (!cpuid) {
		why_errno(why, ENOMEM, "cpuid");
		return NULL;
	}
	cpuid->nent = (uint32_t)(item.count / words);
	memcpy(cpuid->entries, item.data, item.count * 4ul);
	return cpuid;
}

int
kvm_cpuid_load(struct kvm_vcpu *vcpu, const struct record *group, struct why *why)
{
	struct kvm_cpuid2 *cpuid = cpuid_of(group, why);
	int r = 0;

	if (!cpuid)
		return -1;
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid))
		r = why_errno(why, errno, "cpuid: KVM_SET_CPUID2 refused it");
	free(cpuid);
	return r;
}

/*
 * Feature words on which a guest may rely. A host that lacks one of their bits cannot run the
 * guest.
 */
#define WORD(name) offsetof(struct kvm_cpuid_entry2, name)
static const struct {
	uint32_t function, index, offset;
	uint32_t dynamic; /* bits that follow the guest's CR4 */
	const char *name;
} features[] = {
	{ 1, 0, WORD(ecx), 1u << 27 /* OSXSAVE */, "1.ecx" },
	{ 1, 0, WORD(edx), 0, "1.edx" },
	{ 6, 0, WORD(eax), 0, "6.eax" },
	{ 7, 0, WORD(ebx), 0, "7.ebx" },
	{ 7, 0, WORD(ecx), 1u << 4 /* OSPKE */, "7.ecx" },
	{ 7, 0, WORD(edx), 0, "7.edx" },
	{ 7, 1, WORD(eax), 0, "7.1.eax" },
	{ 7, 1, WORD(ebx), 0, "7.1.ebx" },
	{ 7, 1, WORD(ecx), 0, "7.1.ecx" },
	{ 7, 1, WORD(edx), 0, "7.1.edx" },
	{ 7, 2, WORD(edx), 0, "7.2.edx" },
	{ 0xd, 0, WORD(eax), 0, "d.eax" },
	{ 0xd, 1, WORD(eax), 0, "d.1.eax" },
	{ 0x14, 0, WORD(ebx), 0, "14.ebx" },
	{ 0x14, 0, WORD(ecx), 0, "14.ecx" },
	{ 0x40000001, 0, WORD(eax), 0, "40000001.eax" },
	{ 0x80000001, 0, WORD(ecx), 0, "80000001.ecx" },
	{ 0x80000001, 0, WORD(edx), 0, "80000001.edx" },
	{ 0x80000007, 0, WORD(edx), 0, "80000007.edx" },
	{ 0x80000008, 0, WORD(ebx), 0, "80000008.ebx" },
	{ 0x80000021, 0, WORD(eax), 0, "80000021.eax" },
};

static uint32_t
feature_word(const struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index, uint32_t offset)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return *(const uint32_t *)((const char *)&cpuid->entries[i] + offset);
	return 0;
}

int
kvm_check(struct kvm *kvm, const struct record *vcpu, struct why *why)
{
	struct kvm_cpuid2 *cpuid, *visible = NULL;
	struct record group;
	int r = 0;

	if (!record_find(vcpu, "cpuid", &group))
		return why_set(why, "cpuid is missing");
	cpuid = cpuid_of(&group, why);
	if (!cpuid)
		return -1;
	/* The CPU may show a guest more features than KVM lists, where CPUID is not intercepted. */
	if (kvm_vcpu_cpuid(kvm->vcpus[0]))
		r = why_set(why, "cpuid: cannot read this host's table");
	else if (!(visible = cpuid_get(kvm->vcpus[0], why)))
		r = -1;
	for (size_t i = 0; i < sizeof(features) / sizeof(*features) && !r; i++) {
		uint32_t guest = feature_word(cpuid, features[i].function, features[i].index,
					      features[i].offset);
		uint32_t host = feature_word(kvm->cpuid, features[i].function, features[i].index,
					     features[i].offset) |
				feature_word(visible, features[i].function, features[i].index,
					     features[i].offset);

		if (guest & ~host & ~features[i].dynamic)
			r = why_set(
			    why,
			    "cpuid: this host lacks CPU features that the guest uses: %s is "
			    "0x%08x, on this host 0x%08x",
			    features[i].name, guest, host);
	}
	free(visible);
	free(cpuid);
	return r;
}
