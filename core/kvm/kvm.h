/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The KVM API: all KVM ioctls are issued here. A thin layer over one VM, its vCPUs, and their state
 * as records. It does not know devices.
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
	int fd, vm;      /* /dev/kvm and the VM; -1: not open */
	size_t run_size; /* bytes of a vCPU's struct kvm_run */
	size_t xsave_size;
	bool irqchip;
	bool has_payload; /* of exceptions: KVM_CAP_EXCEPTION_PAYLOAD */
	bool blocks_irqs; /* KVM blocks interrupts during single-stepping */
	bool stopped;     /* between kvm_stop and kvm_resume */
	/*
	 * Set by kvm_resume. From then on, CPUID and TSC frequency of the vCPUs are fixed, and a
	 * load skips them.
	 */
	bool ran;
	struct kvm_pit_state2 pit;
	bool pit_rearm; /* kvm_resume must set it */
	uint64_t clock;
	struct kvm_vcpu *vcpus[KVM_VCPUS];
	uint32_t vcpu_count;
	struct kvm_cpuid2 *cpuid;  /* supported by the host */
	uint32_t cpus;             /* the final number of vCPUs */
	struct kvm_msr_list *msrs; /* the MSRs to save, in the order of loading */
};

struct kvm_vcpu {
	struct kvm *kvm;
	int fd;
	uint32_t id;
	struct kvm_run *run;
	uint64_t khz; /* TSC frequency of the host where the guest started; 0: KVM's value */
	struct {      /* timer state, valid while stopped */
		struct kvm_lapic_state lapic;
		uint64_t tsc, deadline;
		bool rearm; /* kvm_resume must set it, and the LAPIC */
	} stopped;
};

/*
 * Opens /dev/kvm, checks the requirements and creates a VM. Returns 0 or a negative status; call
 * kvm_close in any case.
 */
int kvm_open(struct kvm *kvm);
/* The same, for a process that has inherited the struct of another VM by fork(2): takes over what
 * KVM has answered about the host, which costs more than to create the VM. */
int kvm_open_inherited(struct kvm *kvm, const struct kvm *other);
void kvm_close(struct kvm *kvm);
/*
 * Sets the address of three pages for KVM's TSS, outside guest memory. KVM needs them to emulate
 * real mode on Intel CPUs. Call before creating vCPUs.
 */
void kvm_set_tss(struct kvm *kvm, uint64_t gpa);

/*
 * Checks whether this host can run a machine. Returns 0, or -1 with the cause and the remedy in
 * why.
 */
int kvm_probe(const char *path, struct why *why);

/*
 * Adds a memory slot: size bytes of host memory at gpa. Call before kvm_irqchip; the other order
 * costs milliseconds.
 */
int kvm_memory(struct kvm *kvm, uint32_t slot, uint64_t gpa, uint64_t size, void *host,
	       bool dirty_log);
/*
 * Adds (assign) or removes an ioeventfd: a write of value, width bytes wide, at a port or address
 * signals fd instead of causing an exit. Prints nothing. Returns 0, or -1 with errno.
 */
int kvm_ioeventfd(struct kvm *kvm, bool port, uint64_t address, uint32_t width, uint64_t value,
		  int fd, bool assign);
/*
 * Stores in bitmap, one bit per page of the slot, the pages that the guest wrote since the last
 * call. bitmap has (pages + 63) / 64 words.
 */
int kvm_dirty_log(struct kvm *kvm, uint32_t slot, uint64_t *bitmap);

/* Creates PICs, IOAPIC, LAPICs and PIT in the kernel. Call before creating vCPUs. */
int kvm_irqchip(struct kvm *kvm);
int kvm_irq_line(struct kvm *kvm, uint32_t gsi, bool up);
/* Delivers a message-signalled interrupt (KVM_SIGNAL_MSI). A message that no LAPIC takes is no
 * error. 0 or a negative status. Any thread. */
int kvm_message(struct kvm *kvm, uint64_t address, uint32_t data);

int kvm_vcpu_open(struct kvm_vcpu *vcpu, struct kvm *kvm, uint32_t id);
void kvm_vcpu_close(struct kvm_vcpu *vcpu);
/* Gives a fresh vCPU the host's CPUID, with the vCPU's number as APIC ID. Main thread. */
int kvm_vcpu_cpuid(struct kvm_vcpu *vcpu);

/*
 * KVM_RUN. Returns 0 after an exit, which vcpu->run describes; -EINTR or -EAGAIN without exit;
 * otherwise -errno. Prints nothing. Hot path.
 */
static inline int
kvm_vcpu_run(struct kvm_vcpu *vcpu)
{
	return ioctl(vcpu->fd, KVM_RUN, 0) ? -errno : 0;
}

int kvm_vcpu_regs(struct kvm_vcpu *vcpu, struct kvm_regs *regs);
int kvm_vcpu_set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *regs);
int kvm_vcpu_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs);
int kvm_vcpu_set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs);
/*
 * Stores the guest physical address of the instruction at rip. Returns -1 if it is not mapped.
 * Prints nothing.
 */
int kvm_vcpu_code(struct kvm_vcpu *vcpu, uint64_t *gpa);
/*
 * Stores whether the vCPU cannot run again on its own: it waits for INIT or SIPI, or is in HLT
 * (with the in-kernel irqchip) with interrupts disabled and without a pending NMI or SMI. 0 or a
 * negative status.
 */
int kvm_vcpu_halted(struct kvm_vcpu *vcpu, bool *halted);

/*
 * Checks whether single-stepping is safe for the guest. Returns 0, or -1 with a reason like "needs
 * ...".
 */
int kvm_step_check(const struct kvm *kvm, struct why *why);
/* A use of a debug register, with the value of its R/W bits in DR7. Plain data. */
enum kvm_debug_type { KVM_DEBUG_EXECUTE = 0, KVM_DEBUG_WRITE = 1, KVM_DEBUG_ACCESS = 3 };
struct kvm_debug_point {
	uint64_t linear;
	enum kvm_debug_type type;
	uint32_t length; /* of a write or an access: 1, 2, 4 or 8 bytes */
};
#define KVM_DEBUG_POINTS 4u
/* What causes KVM_EXIT_DEBUG. Zeros: nothing. Plain data. */
struct kvm_debug {
	bool step;     /* each instruction */
	bool software; /* INT3 */
	bool inject;   /* not an exit: the guest gets a breakpoint exception (#BP) now */
	uint32_t count;
	struct kvm_debug_point points[KVM_DEBUG_POINTS];
};
/* Sets guest debugging. The vCPU is stopped, or the caller is its thread. 0 or a negative status.
 */
int kvm_vcpu_debug(struct kvm_vcpu *vcpu, const struct kvm_debug *how);
/*
 * Whether KVM_EXIT_DEBUG reports an event at CPL 0. Runs a small VM: it takes about a millisecond.
 * A KVM in a nested or a software guest may deliver the exception to the guest instead, or lose it.
 * Main thread.
 */
enum kvm_reports { KVM_REPORTS_INT3, KVM_REPORTS_EXECUTE, KVM_REPORTS_WRITE, KVM_REPORTS };
bool kvm_reports(const struct kvm *kvm, enum kvm_reports what);
/* Stores the guest physical address of a linear address. Returns -1 if it is not mapped. Prints
 * nothing. The vCPU is stopped, or the caller is its thread. */
int kvm_vcpu_translate(struct kvm_vcpu *vcpu, uint64_t linear, uint64_t *gpa);
/*
 * Read and write the beginning of the XSAVE area, in the standard format, and an MSR. A read beyond
 * the area gets zeros. Return 0 or -1; print nothing. The vCPU is stopped.
 */
int kvm_vcpu_xsave(struct kvm_vcpu *vcpu, void *bytes, size_t size);
int kvm_vcpu_set_xsave(struct kvm_vcpu *vcpu, const void *bytes, size_t size);
int kvm_vcpu_msr(struct kvm_vcpu *vcpu, uint32_t index, uint64_t *value);
int kvm_vcpu_set_msr(struct kvm_vcpu *vcpu, uint32_t index, uint64_t value);

/*
 * Sets a register by its name in the KVM API's structures: rax, rip, rflags, cr0, cs.base,
 * cs.selector, efer, ... Returns -1 if the name is unknown or the value does not fit.
 * kvm_register_names returns all names, ending with NULL.
 */
int kvm_register_set(struct kvm_regs *regs, struct kvm_sregs *sregs, const char *name,
		     uint64_t value);
const char *const *kvm_register_names(void);

/*
 * Save and load the state of a stopped vCPU (without pending access) and of the VM (PIT, clock,
 * PICs, IOAPIC) as records in a group. A load sets all of it in the order that KVM requires. It
 * returns -1 if an item is invalid or this host cannot take it; why names the item. kvm_check
 * compares a saved vCPU's CPUID with the host's, without loading it.
 */
int kvm_vcpu_save(struct kvm_vcpu *vcpu, struct record_writer *writer);
int kvm_vcpu_load(struct kvm_vcpu *vcpu, const struct record *group, struct why *why);
int kvm_vm_save(struct kvm *kvm, struct record_writer *writer);
int kvm_vm_load(struct kvm *kvm, const struct record *group, struct why *why);
int kvm_check(struct kvm *kvm, const struct record *vcpu, struct why *why);
/*
 * The names of the groups that a save writes, with or without the irqchip. Returns their number.
 * The valid functions check the groups without a KVM: each is there and has the items of this
 * version, no others. An unknown item is state that a load would lose. Return 0, or -1 with the
 * reason in why.
 */
#define KVM_ITEMS 16u
uint32_t kvm_vcpu_items(bool irqchip, const char *names[KVM_ITEMS]);
uint32_t kvm_vm_items(bool irqchip, const char *names[KVM_ITEMS]);
int kvm_vcpu_valid(const struct record *group, bool irqchip, struct why *why);
int kvm_vm_valid(const struct record *group, bool irqchip, struct why *why);

/*
 * TSC, kvm-clock, and the LAPIC and PIT timers run while no vCPU runs. kvm_stop saves their values
 * and stops the PIT. kvm_resume restores them, so that no time passes for the guest; it skips
 * one-shot timers that have fired, because KVM would fire them again. While stopped, a save reads
 * the saved values and a load replaces them. During both calls no vCPU runs and no interrupt line
 * changes.
 *
 * kvm_vcpu_stop follows kvm_stop on each vCPU's own thread, with KVM_SIGNAL blocked. It delivers
 * pending timer interrupts to the LAPIC, where a save can read them.
 */
int kvm_stop(struct kvm *kvm);
int kvm_vcpu_stop(struct kvm_vcpu *vcpu);
int kvm_resume(struct kvm *kvm);
/* While stopped: advances the guest's time by time ns. */
void kvm_advance_time(struct kvm *kvm, uint64_t time);

/*
 * The areas of guest memory where KVM writes the time and the steal time. KVM writes them whenever
 * a vCPU's state is loaded. Fills areas and returns their number, at most KVM_OWN_AREAS.
 */
#define KVM_OWN_AREAS 3
struct kvm_area {
	uint64_t gpa, size;
};
size_t kvm_vcpu_own_areas(struct kvm_vcpu *vcpu, struct kvm_area areas[KVM_OWN_AREAS]);

/*
 * The guest physical address of the wall clock of a saved vCPU (Documentation/virt/kvm/x86/msr.rst,
 * MSR_KVM_WALL_CLOCK); 0: none. KVM writes the wall clock again when the vCPU is loaded.
 */
#define KVM_WALL_CLOCK_SIZE 12
uint64_t kvm_vcpu_wall_clock(const struct record *group);

/* The signal that interrupts KVM_RUN. vCPU threads have a handler for it. */
#define KVM_SIGNAL SIGUSR1

#endif
