/* SPDX-License-Identifier: BSD-2-Clause */
/* The members of KVM's structures by name, and what state.c and its neighbours share. */
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
#define MSR_KVM_WALL_CLOCK 0x11u /* KVM has one of them, by two numbers: this, and 0x4b564d00 */

/* The list of MSRs to save: KVM's own, the MTRRs and the machine-check banks, in the order of
 * setting. */
int kvm_msrs_init(struct kvm *kvm);
int kvm_msrs_save(struct kvm_vcpu *vcpu, struct record_writer *writer);
int kvm_msrs_load(struct kvm_vcpu *vcpu, const struct record *group, struct why *why);

/*
 * Between stop and go: get gives what was taken, in the ioctl's place, or false where that is to be
 * called; set, called before the ioctl, replaces what was taken (and keeps the PIT off). buffer: of
 * the ioctl's structure.
 */
bool kvm_time_get(unsigned long get, struct kvm *kvm, struct kvm_vcpu *vcpu, void *buffer);
void kvm_time_set(unsigned long set, struct kvm *kvm, struct kvm_vcpu *vcpu, void *buffer);

#endif
