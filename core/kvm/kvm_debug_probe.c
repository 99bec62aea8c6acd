/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds out which debug events this host's KVM reports, with a VM of one page. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm/kvm.h"

#define PAGE 4096u
#define CODE 0x800u /* in the page */
#define TRIES 100u  /* of a KVM_RUN that a signal interrupts */

/* INT3, whose handler is HLT: a KVM that does not report it halts. */
static void
write_code(uint8_t *page)
{
	static const uint8_t code[] = { 0xcc, 0xf4 };
	const uint16_t vector[] = { CODE + 1, 0 };

	memcpy(page + CODE, code, sizeof(code));
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
run(int vcpu, const struct kvm_run *run)
{
	const struct kvm_guest_debug debug = { .control =
						   KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP };
	int r = ioctl(vcpu, KVM_SET_GUEST_DEBUG, &debug);

	if (r)
		return false;
	for (unsigned i = 0; i < TRIES; i++) {
		r = ioctl(vcpu, KVM_RUN, 0);
		if (!r || (errno != EINTR && errno != EAGAIN))
			break;
	}
	return !r && run->exit_reason == KVM_EXIT_DEBUG && run->debug.arch.exception == 3;
}

bool
kvm_reports_int3(const struct kvm *kvm)
{
	int vm = ioctl(kvm->fd, KVM_CREATE_VM, 0), vcpu = -1;
	uint8_t *page =
	    mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct kvm_userspace_memory_region region = { .memory_size = PAGE,
							    .userspace_addr = (uintptr_t)page };
	struct kvm_run *area = MAP_FAILED;
	bool reports = false;

	if (vm >= 0 && page != MAP_FAILED) {
		write_code(page);
		if (!ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000) &&
		    !ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region))
			vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
		if (vcpu >= 0)
			area =
			    mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
		reports = area != MAP_FAILED && set_registers(vcpu) && run(vcpu, area);
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
