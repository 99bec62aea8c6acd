/* SPDX-License-Identifier: BSD-2-Clause */
/* Debugging a guest: breakpoints, single steps, translation of addresses, single registers. */
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "base/log.h"
#include "kvm/kvm.h"

/*
 * KVM single-steps with the trap flag. An interrupt during a step would push the flags with the
 * trap flag set; its IRET then causes a debug exception, which kills an unprepared guest.
 */
int
kvm_step_check(const struct kvm *kvm, struct why *why)
{
	if (kvm->blocks_irqs || !kvm->irqchip)
		return 0;
	return why_set(why, "needs a KVM that blocks interrupts during single-stepping "
			    "(KVM_GUESTDBG_BLOCKIRQ, Linux 5.14); use a newer kernel, another "
			    "stop condition, or a machine without irqchip");
}

/* The debug registers 0 to 3 and 7 (Intel's manual, volume 3, section 17.2.4). */
static void
set_points(struct kvm_guest_debug *debug, const struct kvm_debug *how)
{
	static const uint8_t lengths[9] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };

	debug->arch.debugreg[7] = 0x400;
	for (uint32_t i = 0; i < how->count; i++) {
		const struct kvm_debug_point *point = &how->points[i];
		uint64_t length = point->type == KVM_DEBUG_EXECUTE ? 0 : lengths[point->length];

		debug->arch.debugreg[i] = point->linear;
		debug->arch.debugreg[7] |= 2ull << (2 * i) /* global */ |
					   (uint64_t)(point->type | length << 2) << (16 + 4 * i);
	}
}

int
kvm_vcpu_debug(struct kvm_vcpu *vcpu, const struct kvm_debug *how)
{
	struct kvm_guest_debug debug = { 0 };

	if (how->step)
		debug.control |=
		    KVM_GUESTDBG_SINGLESTEP | (vcpu->kvm->blocks_irqs ? KVM_GUESTDBG_BLOCKIRQ : 0);
	if (how->software)
		debug.control |= KVM_GUESTDBG_USE_SW_BP;
	if (how->inject)
		debug.control |= KVM_GUESTDBG_INJECT_BP;
	if (how->count) {
		debug.control |= KVM_GUESTDBG_USE_HW_BP;
		set_points(&debug, how);
	}
	if (debug.control)
		debug.control |= KVM_GUESTDBG_ENABLE;
	if (ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug))
		return fail(STATUS_HOST, "KVM_SET_GUEST_DEBUG: vCPU %u: %s", vcpu->id,
			    limit_error(errno).text);
	return 0;
}

int
kvm_vcpu_translate(struct kvm_vcpu *vcpu, uint64_t linear, uint64_t *gpa)
{
	struct kvm_translation translation = { .linear_address = linear };

	if (ioctl(vcpu->fd, KVM_TRANSLATE, &translation) || !translation.valid)
		return -1;
	*gpa = translation.physical_address;
	return 0;
}

int
kvm_vcpu_code(struct kvm_vcpu *vcpu, uint64_t *gpa)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	uint64_t linear;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) || ioctl(vcpu->fd, KVM_GET_SREGS, &sregs))
		return -1;
	linear = sregs.cs.base + regs.rip;
	if (!(sregs.efer & (1u << 10)))
		linear &= 0xffffffffu;
	return kvm_vcpu_translate(vcpu, linear, gpa);
}

/* The area of a vCPU, from and to a buffer of kvm->xsave_size bytes, which the caller frees. NULL:
 * no memory, or KVM does not give it. */
static void *
get_area(struct kvm_vcpu *vcpu)
{
	size_t size = vcpu->kvm->xsave_size;
	void *area = calloc(1, size);

	if (area && ioctl(vcpu->fd,
			  size > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, area)) {
		free(area);
		area = NULL;
	}
	return area;
}

int
kvm_vcpu_xsave(struct kvm_vcpu *vcpu, void *bytes, size_t size)
{
	size_t known = vcpu->kvm->xsave_size;
	void *area = get_area(vcpu);

	if (!area)
		return -1;
	memset(bytes, 0, size);
	memcpy(bytes, area, size < known ? size : known);
	free(area);
	return 0;
}

int
kvm_vcpu_set_xsave(struct kvm_vcpu *vcpu, const void *bytes, size_t size)
{
	void *area = size <= vcpu->kvm->xsave_size ? get_area(vcpu) : NULL;
	int r;

	if (!area)
		return -1;
	memcpy(area, bytes, size);
	r = ioctl(vcpu->fd, KVM_SET_XSAVE, area) ? -1 : 0;
	free(area);
	return r;
}

static int
msr(struct kvm_vcpu *vcpu, unsigned long call, uint32_t index, uint64_t *value)
{
	union {
		struct kvm_msrs msrs;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} one = { .msrs.nmsrs = 1 };

	one.msrs.entries[0] = (struct kvm_msr_entry){ .index = index, .data = *value };
	if (ioctl(vcpu->fd, call, &one) != 1)
		return -1;
	*value = one.msrs.entries[0].data;
	return 0;
}

int
kvm_vcpu_msr(struct kvm_vcpu *vcpu, uint32_t index, uint64_t *value)
{
	*value = 0;
	return msr(vcpu, KVM_GET_MSRS, index, value);
}

int
kvm_vcpu_set_msr(struct kvm_vcpu *vcpu, uint32_t index, uint64_t value)
{
	return msr(vcpu, KVM_SET_MSRS, index, &value);
}
