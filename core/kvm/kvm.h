/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only place that issues KVM ioctls. Thin: one VM, its vCPUs, their state as records. Knows
 * nothing of devices.
 */
#ifndef KVM_KVM_H
#define KVM_KVM_H

#include <errno.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "base/record.h"
#include "base/why.h"

#define KVM_VCPUS 64

struct kvm {
	int fd, vm;      /* /dev/kvm and the VM; -1: not there */
	size_t run_size; /* of a vCPU's struct kvm_run */
	size_t xsave_size;
	bool irqchip;
	bool blocks_irqs; /* while it single-steps */
	bool stopped;     /* between kvm_stop and kvm_go */
	/* Since kvm_go: CPUID and TSC frequency of the vCPUs are fixed; a load does not set them.
	 */
	bool ran;
	struct kvm_pit_state2 pit;
	bool pit_put_back; /* kvm_go is to */
	uint64_t clock;
	struct kvm_vcpu *vcpus[KVM_VCPUS];
	uint32_t vcpu_count;
	struct kvm_cpuid2 *cpuid;  /* what the host offers */
	uint32_t cpus;             /* vCPUs that there will be */
	struct kvm_msr_list *msrs; /* all that are saved, in the order in which they are set back */
};

struct kvm_vcpu {
	struct kvm *kvm;
	int fd;
	uint32_t id;
	struct kvm_run *run;
	uint64_t
	    khz; /* of the TSC, as the guest took it when it started elsewhere; 0: what KVM says */
	struct { /* what time does to a vCPU, while stopped */
		struct kvm_lapic_state lapic;
		uint64_t tsc, deadline;
		bool put_back; /* kvm_go is to, with the LAPIC */
	} stopped;
};

/* Opens /dev/kvm, checks what is needed, creates a VM. Returns 0 or a negative status; close in any
 * case. */
int kvm_open(struct kvm *kvm);
void kvm_close(struct kvm *kvm);
/*
 * Three pages for KVM's own TSS, outside the guest's memory: KVM needs it to emulate real mode on
 * Intel CPUs. Before the vCPUs.
 */
void kvm_set_tss(struct kvm *kvm, uint64_t gpa);

/* Whether this host can run a machine: 0, or -1 with the cause and the remedy in why. */
int kvm_probe(const char *path, struct why *why);

/* A memory slot: host memory of size bytes at gpa. Call before kvm_irqchip: the order costs
 * milliseconds. */
int kvm_memory(struct kvm *kvm, uint32_t slot, uint64_t gpa, uint64_t size, void *host,
	       bool dirty_log);
/*
 * A write of value, width bytes wide, at a port or an address signals an eventfd instead of being
 * an exit; or no longer does. Says nothing: 0, or -1 with errno.
 */
int kvm_ioeventfd(struct kvm *kvm, bool port, uint64_t address, uint32_t width, uint64_t value,
		  int fd, bool bound);
/* Fills bitmap, a bit per page of the slot that the guest wrote since the last call; (pages + 63) /
 * 64 words. */
int kvm_dirty_log(struct kvm *kvm, uint32_t slot, uint64_t *bitmap);

/* In-kernel PICs, IOAPIC, LAPICs and PIT. Before the vCPUs. */
int kvm_irqchip(struct kvm *kvm);
int kvm_irq_line(struct kvm *kvm, uint32_t gsi, bool up);

int kvm_vcpu_open(struct kvm_vcpu *vcpu, struct kvm *kvm, uint32_t id);
void kvm_vcpu_close(struct kvm_vcpu *vcpu);
/* Gives a fresh vCPU the host's CPUID, with its own number as APIC id. Main thread. */
int kvm_vcpu_cpuid(struct kvm_vcpu *vcpu);

/* KVM_RUN. 0: an exit is in vcpu->run; -EINTR, -EAGAIN: none; else -errno, nothing said. Hot
 * path. */
static inline int
kvm_vcpu_run(struct kvm_vcpu *vcpu)
{
	return ioctl(vcpu->fd, KVM_RUN, 0) ? -errno : 0;
}

int kvm_vcpu_regs(struct kvm_vcpu *vcpu, struct kvm_regs *regs);
int kvm_vcpu_set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *regs);
int kvm_vcpu_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs);
int kvm_vcpu_set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs);
/* Guest physical address of the instruction at rip; -1: not mapped. Says nothing. */
int kvm_vcpu_code(struct kvm_vcpu *vcpu, uint64_t *gpa);
/* Halted (HLT with the in-kernel irqchip), and nothing pending that could wake it but an
 * interrupt. */
int kvm_vcpu_halted(struct kvm_vcpu *vcpu, bool *halted);

/* Whether the guest can be single-stepped without harm: 0, or -1 with a reason like "needs ...". */
int kvm_step_check(const struct kvm *kvm, struct why *why);
/* Guest debugging: break before the instruction at a linear address, or after each instruction, or
 * neither. */
enum kvm_debug { KVM_DEBUG_OFF, KVM_DEBUG_STEP, KVM_DEBUG_BREAK };
int kvm_vcpu_debug(struct kvm_vcpu *vcpu, enum kvm_debug how, uint64_t linear);

/*
 * Sets a register by its name as in the KVM API's structures: rax, rip, rflags, cr0, cs.base,
 * cs.selector, efer, ... kvm_register_names: all of them, NULL-terminated. -1: no such register.
 */
int kvm_register_set(struct kvm_regs *regs, struct kvm_sregs *sregs, const char *name,
		     uint64_t value);
const char *const *kvm_register_names(void);

/*
 * The state of a stopped vCPU (no access pending) and of the VM (PIT, clock, PICs, IOAPIC) as
 * records in the open group. Load: all of it, in the order that KVM needs; -1 when an item is
 * unfit, why says which and what this host has. kvm_vcpu_check looks at what can be checked without
 * a VM: CPUID and MSRs of the host.
 */
int kvm_vcpu_save(struct kvm_vcpu *vcpu, struct record_writer *writer);
int kvm_vcpu_load(struct kvm_vcpu *vcpu, const struct record *group, struct why *why);
int kvm_vm_save(struct kvm *kvm, struct record_writer *writer);
int kvm_vm_load(struct kvm *kvm, const struct record *group, struct why *why);
int kvm_check(struct kvm *kvm, const struct record *vcpu, struct why *why);

/*
 * What runs on in the kernel while no vCPU runs: TSC, kvm-clock, LAPIC and PIT timers. Stopping
 * takes their values and stops the PIT; kvm_go puts them back, so that no time passes for the
 * guest, but for timers that have fired once and for all: KVM would fire them again. While stopped,
 * save gives the values taken, and load replaces them. No vCPU runs; nothing raises a line.
 * kvm_vcpu_stop follows kvm_stop on each vCPU's own thread, with KVM_SIGNAL blocked: it lets what a
 * timer has fired be delivered, where save can see it.
 */
int kvm_stop(struct kvm *kvm);
int kvm_vcpu_stop(struct kvm_vcpu *vcpu);
int kvm_go(struct kvm *kvm);
/* While stopped: as if so much time (ns) had passed. */
void kvm_catch_up(struct kvm *kvm, uint64_t time);

/*
 * Where in guest memory KVM itself writes what time it is, and how much was stolen: it does so
 * whenever the state of a vCPU is loaded. Fills areas and returns how many, at most KVM_OWN_AREAS.
 */
#define KVM_OWN_AREAS 3
struct kvm_area {
	uint64_t gpa, size;
};
size_t kvm_vcpu_own_areas(struct kvm_vcpu *vcpu, struct kvm_area areas[KVM_OWN_AREAS]);

/*
 * Where a saved vCPU's guest has asked for the time of day once
 * (Documentation/virt/kvm/x86/msr.rst, MSR_KVM_WALL_CLOCK); 0: nowhere. KVM writes it there again
 * when the vCPU is loaded, unasked.
 */
#define KVM_WALL_CLOCK_SIZE 12
uint64_t kvm_vcpu_wall_clock(const struct record *group);

/* The signal that ends a KVM_RUN; vCPU threads have a handler for it. */
#define KVM_SIGNAL SIGUSR1

#endif
