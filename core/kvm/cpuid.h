/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID, for use within kvm/: the host's table, and saving and loading a vCPU's table. */
#ifndef KVM_CPUID_H
#define KVM_CPUID_H

#include "kvm/kvm.h"

/*
 * Reads the supported table (KVM_GET_SUPPORTED_CPUID) into kvm->cpuid. Removes nested
 * virtualisation, whose state is not saved, and the host's topology. 0 or a negative status.
 */
int kvm_cpuid_init(struct kvm *kvm);

/* Returns whether the host's CPU is an AMD or a Hygon. */
bool kvm_cpuid_is_amd(const struct kvm *kvm);

/* Save and load a vCPU's table as the item "entries" of the group. */
int kvm_cpuid_save(struct kvm_vcpu *vcpu, struct record_writer *writer);
int kvm_cpuid_load(struct kvm_vcpu *vcpu, const struct record *group, struct why *why);

#endif
