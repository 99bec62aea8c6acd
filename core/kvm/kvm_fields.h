/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables of the members of KVM's structures, and declarations that the files of kvm/ share. */
#ifndef KVM_KVM_FIELDS_H
#define KVM_KVM_FIELDS_H

#include "base/fields.h"
#include "kvm/kvm.h"

extern const struct minivmm_field kvm_regs_fields[];
extern const struct minivmm_field kvm_sregs2_fields[];
extern const struct minivmm_field kvm_debugregs_fields[];
extern const struct minivmm_field kvm_mp_state_fields[];
extern const struct minivmm_field kvm_events_fields[];
extern const struct minivmm_field kvm_lapic_fields[];
extern const struct minivmm_field kvm_xcrs_fields[];
extern const struct minivmm_field kvm_pit_fields[];
extern const struct minivmm_field kvm_clock_fields[];
extern const struct minivmm_field kvm_pic_fields[];
extern const struct minivmm_field kvm_ioapic_fields[];

#define MSR_TSC 0x10u
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_KVM_WALL_CLOCK 0x11u /* its other number is 0x4b564d00 */

/*
 * The list of MSRs to save, in the order of loading: KVM's list, the MTRRs and the machine-check
 * banks.
 */
int kvm_msrs_init(struct kvm *kvm);
int kvm_msrs_save(struct kvm_vcpu *vcpu, struct record_writer *writer);
int kvm_msrs_load(struct kvm_vcpu *vcpu, const struct record *group, struct why *why);

/*
 * While stopped, kvm_time_get replaces an ioctl that reads timer state by the saved state; it
 * returns false if the ioctl must be called. Before an ioctl that sets timer state, kvm_time_set
 * replaces the saved state, and keeps the PIT off. buffer: the ioctl's structure.
 */
bool kvm_time_get(unsigned long get, struct kvm *kvm, struct kvm_vcpu *vcpu, void *buffer);
void kvm_time_set(unsigned long set, struct kvm *kvm, struct kvm_vcpu *vcpu, void *buffer);

#endif
