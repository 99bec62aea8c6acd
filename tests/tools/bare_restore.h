/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lower bounds for restores, clones and resets: the same KVM calls in the same order, with the
 * state in KVM's structures, without config, sections, checks, devices or threads. One vCPU, no
 * irqchip.
 */
#ifndef TOOLS_BARE_RESTORE_H
#define TOOLS_BARE_RESTORE_H

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define BARE_CPUIDS 256
#define BARE_MSRS 512
#define BARE_TSC 0x10
#define BARE_RING 65536 /* bytes: 4096 pages */

struct bare_msrs {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[BARE_MSRS];
};

/* The state of a machine; the contents of the file STATE. */
struct bare_state {
	uint64_t memory_at, memory_size, memory_offset; /* memory_offset: in the snapshot */
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[BARE_CPUIDS];
	} cpuid;
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct bare_msrs msrs;
	struct kvm_vcpu_events events;
	uint64_t clock;
};

struct bare_machine {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	size_t run_size;
	void *memory;
	struct kvm_dirty_gfn *ring; /* dirty ring; NULL: not used */
	uint64_t tsc;
};

enum bare_tracking { BARE_NONE, BARE_LOG, BARE_RINGS };

static inline void
bare_call(int fd, unsigned long call, const void *argument, const char *name)
{
	if (ioctl(fd, call, argument) < 0)
		err(1, "%s", name);
}
#define BARE_CALL(fd, call, argument) bare_call(fd, call, argument, #call)

static inline void
bare_query_kvm(struct bare_machine *m)
{
	static const int needed[] = {
		KVM_CAP_USER_MEMORY,
		KVM_CAP_IMMEDIATE_EXIT,
		KVM_CAP_DESTROY_MEMORY_REGION_WORKS,
		KVM_CAP_EXT_CPUID,
		KVM_CAP_VCPU_EVENTS,
		KVM_CAP_DEBUGREGS,
		KVM_CAP_XSAVE,
		KVM_CAP_XCRS,
		KVM_CAP_MP_STATE,
		KVM_CAP_SET_GUEST_DEBUG,
	};

	ioctl(m->kvm, KVM_GET_API_VERSION, 0);
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		if (ioctl(m->kvm, KVM_CHECK_EXTENSION, needed[i]) <= 0)
			errx(1, "KVM_CHECK_EXTENSION %d", needed[i]);
}

static inline void
bare_query_vm(struct bare_machine *m)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[BARE_CPUIDS];
	} cpuid;
	static struct {
		struct kvm_msr_list head;
		uint32_t indices[1024];
	} msrs;

	ioctl(m->vm, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	ioctl(m->vm, KVM_CHECK_EXTENSION, KVM_CAP_EXCEPTION_PAYLOAD);
	cpuid.head.nent = BARE_CPUIDS;
	msrs.head.nmsrs = 1024;
	BARE_CALL(m->kvm, KVM_GET_SUPPORTED_CPUID, &cpuid);
	BARE_CALL(m->kvm, KVM_GET_MSR_INDEX_LIST, &msrs);
	ioctl(m->kvm, KVM_CHECK_EXTENSION, KVM_CAP_MCE);
}

/* Creates the VM and the vCPU, and sets its CPUID. memory: the guest's, of a process that has asked
 * KVM all questions; NULL: asks them and maps it from fd. */
static inline void
bare_build_on(struct bare_machine *m, const struct bare_state *s, void *memory, int fd,
	      enum bare_tracking tracking)
{
	struct kvm_enable_cap payload = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .args = { 1 } };
	struct kvm_enable_cap ring = { .cap = KVM_CAP_DIRTY_LOG_RING, .args = { BARE_RING } };
	struct kvm_userspace_memory_region slot = {
		.flags = tracking == BARE_NONE ? 0 : KVM_MEM_LOG_DIRTY_PAGES,
		.guest_phys_addr = s->memory_at,
		.memory_size = s->memory_size,
	};
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[BARE_CPUIDS];
	} shown;

	*m = (struct bare_machine){ .kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC) };
	if (m->kvm < 0)
		err(1, "/dev/kvm");
	if (!memory)
		bare_query_kvm(m);
	m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0);
	if (m->vm < 0)
		err(1, "KVM_CREATE_VM");
	m->run_size = (size_t)ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (!memory)
		bare_query_vm(m);
	ioctl(m->vm, KVM_ENABLE_CAP, &payload);
	ioctl(m->vm, KVM_SET_TSS_ADDR, 0xfffbd000ul);
	if (tracking == BARE_RINGS)
		BARE_CALL(m->vm, KVM_ENABLE_CAP, &ring);
	m->memory = memory ? memory
			   : mmap(NULL, s->memory_size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_NORESERVE, fd, (off_t)s->memory_offset);
	if (m->memory == MAP_FAILED)
		err(1, "mmap of guest memory");
	slot.userspace_addr = (uintptr_t)m->memory;
	BARE_CALL(m->vm, KVM_SET_USER_MEMORY_REGION, &slot);
	m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, 0);
	m->run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	if (m->vcpu < 0 || m->run == MAP_FAILED)
		err(1, "KVM_CREATE_VCPU");
	if (tracking == BARE_RINGS) {
		m->ring = mmap(NULL, BARE_RING, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu,
			       KVM_DIRTY_LOG_PAGE_OFFSET * 4096);
		if (m->ring == MAP_FAILED)
			err(1, "mmap of the dirty ring");
	}
	BARE_CALL(m->vcpu, KVM_SET_CPUID2, &s->cpuid);
	shown.head.nent = BARE_CPUIDS;
	BARE_CALL(m->vcpu, KVM_GET_CPUID2, &shown);
	BARE_CALL(m->vcpu, KVM_SET_CPUID2, &s->cpuid);
	ioctl(m->vcpu, KVM_GET_TSC_KHZ, 0);
}

static inline void
bare_build(struct bare_machine *m, const struct bare_state *s, int fd, enum bare_tracking tracking)
{
	bare_build_on(m, s, NULL, fd, tracking);
}

static inline uint64_t
bare_tsc(struct bare_machine *m)
{
	struct bare_msrs one;

	one.head.nmsrs = 1;
	one.entries[0].index = BARE_TSC;
	BARE_CALL(m->vcpu, KVM_GET_MSRS, &one);
	return one.entries[0].data;
}

/* KVM_SET_MSRS stops at an MSR that it refuses. As minivmm does, this reads that MSR and continues.
 */
static inline void
bare_set_msrs(struct bare_machine *m, const struct bare_msrs *msrs)
{
	static struct bare_msrs rest;
	struct bare_msrs one;

	for (uint32_t done = 0; done < msrs->head.nmsrs; done++) {
		int n;

		rest.head.nmsrs = msrs->head.nmsrs - done;
		memcpy(rest.entries, msrs->entries + done,
		       rest.head.nmsrs * sizeof(rest.entries[0]));
		n = ioctl(m->vcpu, KVM_SET_MSRS, &rest);
		if (n < 0)
			err(1, "KVM_SET_MSRS");
		done += (uint32_t)n;
		if (done < msrs->head.nmsrs) {
			one.head.nmsrs = 1;
			one.entries[0] = msrs->entries[done];
			BARE_CALL(m->vcpu, KVM_GET_MSRS, &one);
		}
	}
}

static inline void
bare_load(struct bare_machine *m, const struct bare_state *s)
{
	struct kvm_clock_data clock = { .clock = s->clock };

	BARE_CALL(m->vcpu, KVM_SET_REGS, &s->regs);
	BARE_CALL(m->vcpu, KVM_SET_SREGS2, &s->sregs);
	m->run->cr8 = s->sregs.cr8;
	BARE_CALL(m->vcpu, KVM_SET_XSAVE, &s->xsave);
	BARE_CALL(m->vcpu, KVM_SET_XCRS, &s->xcrs);
	BARE_CALL(m->vcpu, KVM_SET_DEBUGREGS, &s->debugregs);
	bare_set_msrs(m, &s->msrs);
	BARE_CALL(m->vcpu, KVM_SET_VCPU_EVENTS, &s->events);
	BARE_CALL(m->vm, KVM_SET_CLOCK, &clock);
	for (uint32_t i = 0; i < s->msrs.head.nmsrs; i++)
		if (s->msrs.entries[i].index == BARE_TSC)
			m->tsc = s->msrs.entries[i].data;
}

/* Sets the clock and the TSC to the state's values, as before a KVM_RUN. */
static inline void
bare_resume(struct bare_machine *m, const struct bare_state *s)
{
	struct kvm_clock_data clock = { .clock = s->clock };
	uint64_t offset;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};
	uint64_t now;

	BARE_CALL(m->vm, KVM_SET_CLOCK, &clock);
	now = bare_tsc(m);
	BARE_CALL(m->vcpu, KVM_GET_DEVICE_ATTR, &attr);
	offset += m->tsc - now;
	BARE_CALL(m->vcpu, KVM_SET_DEVICE_ATTR, &attr);
	ioctl(m->vcpu, KVM_KVMCLOCK_CTRL, 0);
}

/* Runs to the next exit, which must be a write to the port. */
static inline void
bare_run(struct bare_machine *m, uint16_t port)
{
	if (ioctl(m->vcpu, KVM_RUN, 0))
		err(1, "KVM_RUN");
	if (m->run->exit_reason != KVM_EXIT_IO || m->run->io.port != port)
		errx(1, "KVM exit %u is not the write to port 0x%x", m->run->exit_reason, port);
}

/* Completes the access and reads the clocks, as a pause does. */
static inline void
bare_stop(struct bare_machine *m)
{
	struct kvm_clock_data clock;

	m->run->immediate_exit = 1;
	if (!ioctl(m->vcpu, KVM_RUN, 0) || errno != EINTR)
		errx(1, "KVM_RUN does not stop");
	m->run->immediate_exit = 0;
	BARE_CALL(m->vm, KVM_GET_CLOCK, &clock);
	bare_tsc(m);
}

/* Reads the state that bare_load sets. Call bare_stop first. */
static inline void
bare_save(struct bare_machine *m, struct bare_state *s)
{
	BARE_CALL(m->vcpu, KVM_GET_REGS, &s->regs);
	BARE_CALL(m->vcpu, KVM_GET_SREGS2, &s->sregs);
	BARE_CALL(m->vcpu, KVM_GET_XSAVE, &s->xsave);
	BARE_CALL(m->vcpu, KVM_GET_XCRS, &s->xcrs);
	BARE_CALL(m->vcpu, KVM_GET_DEBUGREGS, &s->debugregs);
	BARE_CALL(m->vcpu, KVM_GET_MSRS, &s->msrs);
	BARE_CALL(m->vcpu, KVM_GET_VCPU_EVENTS, &s->events);
}

static inline void
bare_destroy(struct bare_machine *m, const struct bare_state *s)
{
	if (m->ring)
		munmap(m->ring, BARE_RING);
	munmap(m->run, m->run_size);
	close(m->vcpu);
	close(m->vm);
	close(m->kvm);
	munmap(m->memory, s->memory_size);
}

#endif
