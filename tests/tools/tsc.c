/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests whether this KVM gives a guest the TSC that is set. Exits with 0, or with 77 if the guest
 * always sees the host's TSC.
 */
#include <stdio.h>

#include "kvm/kvm.h"

#define MSR_TSC 0x10u
#define FAR (1ull << 50)

int
main(void)
{
	union {
		struct kvm_msrs msrs;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} one = { .msrs.nmsrs = 1 };
	uint64_t offset = FAR;
	struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL,
					.attr = KVM_VCPU_TSC_OFFSET,
					.addr = (uintptr_t)&offset };
	struct kvm_vcpu vcpu;
	struct kvm kvm;
	int status;

	if (kvm_open(&kvm) || kvm_vcpu_open(&vcpu, &kvm, 0))
		return 1;
	one.msrs.entries[0].index = MSR_TSC;
	if (ioctl(vcpu.fd, KVM_SET_DEVICE_ATTR, &attr)) {
		one.msrs.entries[0].data = FAR;
		ioctl(vcpu.fd, KVM_SET_MSRS, &one);
	}
	status = ioctl(vcpu.fd, KVM_GET_MSRS, &one) != 1 ? 1
		 : one.msrs.entries[0].data >= FAR       ? 0
							 : 77;
	kvm_vcpu_close(&vcpu);
	kvm_close(&kvm);
	return status;
}
