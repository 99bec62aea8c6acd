/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds out which debug events this host's KVM reports, with a VM of one page. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm/kvm.h"

#define PAGE 4096u
#define CODE 0x800u /* in the page; so are the next two */
#define DATA 0x900u
#define HALT 0xa00u
#define TRIES 100u /* of a KVM_RUN that a signal interrupts */

/* Each ends with HLT, if KVM does not report what comes before. */
static const struct {
	uint8_t code[8];
	uint64_t control, dr0, dr7;
	uint32_t exception;
} probes[] = {
	[KVM_REPORTS_INT3] = { { 0xcc, 0xf4 }, KVM_GUESTDBG_USE_SW_BP, 0, 0, 3 },
	[KVM_REPORTS_EXECUTE] = { { 0x90, 0xf4 }, KVM_GUESTDBG_USE_HW_BP, CODE, 0x402, 1 },
	/* mov %al,DATA */
	[KVM_REPORTS_WRITE] = { { 0xa2, DATA & 0xff, DATA >> 8, 0xf4 },
				KVM_GUESTDBG_USE_HW_BP,
				DATA,
				0x10402,
				1 },
};

/* The handler of INT3 and of the debug exception is the HLT. */
static void
write_code(uint8_t *page, enum kvm_reports what)
{
	const uint16_t vector[] = { HALT, 0 };

	memcpy(page + CODE, probes[what].code, sizeof(probes[what].code));
	page[HALT] = 0xf4;
	memcpy(page + 1 * sizeof(vector), vector, sizeof(vector));
	memcpy(page + 3 * sizeof(vector), vector, sizeof(vector));
}

static bool
set_registers(int vcpu)
{
	struct kvm_regs regs = { .rip = CODE, .rsp = CODE, .rflags = 2 };
	struct kvm_sregs sregs;

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs))
		return false;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	return !ioctl(vcpu, KVM_SET_SREGS, &sregs) && !ioctl(vcpu, KVM_SET_REGS, &regs);
}

static bool
run(int vcpu, const struct kvm_run *run, enum kvm_reports what)
{
	const struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | (uint32_t)probes[what].control,
		.arch.debugreg = { [0] = probes[what].dr0, [7] = probes[what].dr7 }
	};
	int r = ioctl(vcpu, KVM_SET_GUEST_DEBUG, &debug);

	if (r)
		return false;
	for (unsigned i = 0; i < TRIES; i++) {
		r = ioctl(vcpu, KVM_RUN, 0);
		if (!r || (errno != EINTR && errno != EAGAIN))
			break;
	}
	return !r && run->exit_reason == KVM_EXIT_DEBUG &&
	       run->debug.arch.exception == probes[what].exception;
}

bool
kvm_reports(const struct kvm *kvm, enum kvm_reports what)
{
	int vm = ioctl(kvm->fd, KVM_CREATE_VM, 0), vcpu = -1;
	uint8_t *page =
	    mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct kvm_userspace_memory_region region = { .memory_size = PAGE,
							    .userspace_addr = (uintptr_t)page };
	struct kvm_run *area = MAP_FAILED;
	bool reports = false;

	if (vm >= 0 && page != MAP_FAILED) {
		write_code(page, what);
		if (!ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000) &&
		    !ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region))
			vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
		if (vcpu >= 0)
			area =
			    mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
		reports = area != MAP_FAILED && set_registers(vcpu) && run(vcpu, area, what);
	}
	if (area != MAP_FAILED)
		munmap(area, kvm->run_size);
	if (vcpu >= 0)
		close(vcpu);
	if (vm >= 0)
		close(vm);
	if (page != MAP_FAILED)
		munmap(page, PAGE);
	return reports;
}
