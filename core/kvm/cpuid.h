/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID within kvm/: the host's table, and its part of a vCPU's record. See kvm.h for the rest. */
#ifndef KVM_CPUID_H
#define KVM_CPUID_H

#include "kvm/kvm.h"

/*
 * Reads into kvm->cpuid what the host supports (KVM_GET_SUPPORTED_CPUID), without nested
 * virtualisation, whose state is not saved, and without the host's topology. 0 or a negative
 * status.
 */
int kvm_cpuid_init(struct kvm *kvm);

/* True when the host's CPU is an AMD or a Hygon. */
bool kvm_cpuid_is_amd(const struct kvm *kvm);

/* The table of a vCPU as the item "entries" of the open group, and back. */
int kvm_cpuid_save(struct kvm_vcpu *vcpu, struct record_writer *writer);
int kvm_cpuid_load(struct kvm_vcpu *vcpu, const struct record *group, struct why *why);

#endif
