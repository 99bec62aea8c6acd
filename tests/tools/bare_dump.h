/* SPDX-License-Identifier: BSD-2-Clause */
/* Converts the state of a paused machine to struct bare_state. */
#ifndef TOOLS_BARE_DUMP_H
#define TOOLS_BARE_DUMP_H

#include <time.h>

#include "tools/bare_restore.h"
#include "vm/vm.h"

static inline double
microseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Reads all MSRs that the vCPU has. */
static inline void
bare_dump_msrs(struct bare_msrs *msrs, const struct kvm *kvm, int vcpu)
{
	for (uint32_t i = 0; i < kvm->msrs->nmsrs; i++) {
		struct bare_msrs one;

		one.head.nmsrs = 1;
		one.entries[0].index = kvm->msrs->indices[i];
		if (ioctl(vcpu, KVM_GET_MSRS, &one) != 1)
			continue;
		if (one.entries[0].index == BARE_TSC)
			one.entries[0].data = kvm->vcpus[0]->stopped.tsc;
		msrs->entries[msrs->head.nmsrs++] = one.entries[0];
	}
}

static inline void
bare_dump(struct bare_state *s, const struct vm *vm)
{
	const struct kvm *kvm = &vm->machine.kvm;
	int vcpu = kvm->vcpus[0]->fd;

	*s = (struct bare_state){
		.memory_at = vm->machine.memory.regions[0].gpa,
		.memory_size = vm->machine.memory.size,
		.memory_offset = vm->snapshot.header.memory_offset,
		.cpuid.head.nent = BARE_CPUIDS,
		.clock = kvm->clock,
	};
	BARE_CALL(vcpu, KVM_GET_CPUID2, &s->cpuid);
	BARE_CALL(vcpu, KVM_GET_REGS, &s->regs);
	BARE_CALL(vcpu, KVM_GET_SREGS2, &s->sregs);
	BARE_CALL(vcpu, KVM_GET_XSAVE, &s->xsave);
	BARE_CALL(vcpu, KVM_GET_XCRS, &s->xcrs);
	BARE_CALL(vcpu, KVM_GET_DEBUGREGS, &s->debugregs);
	BARE_CALL(vcpu, KVM_GET_VCPU_EVENTS, &s->events);
	bare_dump_msrs(&s->msrs, kvm, vcpu);
}

#endif
