/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timers and clocks in the kernel. They run while no vCPU runs, so a stop saves them and a resume
 * restores them.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/limit.h"
#include "base/log.h"
#include "kvm/kvm.h"
#include "kvm/kvm_fields.h"

#define LAPIC_ISR 0x100 /* to 0x270: ISR, TMR, IRR; Intel SDM vol. 3, table 11-1 */
#define LAPIC_IRR_END 0x280
#define LAPIC_LVTT 0x320
#define LAPIC_TMICT 0x380
#define LAPIC_TMCCT 0x390
#define PIT_MODE_OFF 5 /* KVM arms no timer for channel 0 in this mode */
#define TRIES 100

static int
msr(struct kvm_vcpu *vcpu, unsigned long call, uint32_t index, uint64_t *value)
{
	union {
		struct kvm_msrs msrs;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} one = { .msrs.nmsrs = 1 };

	one.msrs.entries[0].index = index;
	one.msrs.entries[0].data = *value;
	if (ioctl(vcpu->fd, call, &one) != 1)
		return -1;
	*value = one.msrs.entries[0].data;
	return 0;
}

size_t
kvm_vcpu_own_areas(struct kvm_vcpu *vcpu, struct kvm_area areas[KVM_OWN_AREAS])
{
	/*
	 * Documentation/virt/kvm/x86/msr.rst: bit 0 enables, the other bits are the address. The
	 * sizes are those of pvclock and steal time.
	 */
	static const struct {
		uint32_t msr, size;
	} clocks[KVM_OWN_AREAS] = { { 0x4b564d01, 32 }, { 0x12, 32 }, { 0x4b564d03, 64 } };
	size_t count = 0;

	for (size_t i = 0; i < KVM_OWN_AREAS; i++) {
		uint64_t value = 0;

		if (!msr(vcpu, KVM_GET_MSRS, clocks[i].msr, &value) && value & 1)
			areas[count++] = (struct kvm_area){ value & ~(uint64_t)(i < 2 ? 3 : 63),
							    clocks[i].size };
	}
	return count;
}

/* The guest's TSC is the host's scaled TSC plus this offset. -1 before Linux 5.16. */
static int
tsc_offset(struct kvm_vcpu *vcpu, unsigned long call, uint64_t *offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};

	return ioctl(vcpu->fd, call, &attr);
}

/*
 * Sets the guest's TSC through its offset. A plain write within a second of the expected value
 * would have no effect: KVM treats it as an attempt to synchronise TSCs.
 */
static void
tsc_set(struct kvm_vcpu *vcpu, uint64_t wanted)
{
	uint64_t now = 0, offset;

	if (!msr(vcpu, KVM_GET_MSRS, MSR_TSC, &now) &&
	    !tsc_offset(vcpu, KVM_GET_DEVICE_ATTR, &offset)) {
		offset += wanted - now;
		if (!tsc_offset(vcpu, KVM_SET_DEVICE_ATTR, &offset))
			return;
	}
	msr(vcpu, KVM_SET_MSRS, MSR_TSC, &wanted);
}

/*
 * Enters KVM_RUN with a signal pending. No instruction runs, but KVM moves fired timers, which no
 * ioctl can read, into the LAPIC. The calling thread has the signal blocked.
 */
static int
deliver_pending(struct kvm_vcpu *vcpu)
{
	union {
		struct kvm_signal_mask mask;
		uint8_t room[sizeof(struct kvm_signal_mask) + 8];
	} none = { .mask.len = 8 };
	const struct timespec now = { 0 };
	sigset_t kick;
	int r;

	if (ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &none))
		return fail(STATUS_HOST, "KVM_SET_SIGNAL_MASK: %s", limit_error(errno).text);
	sigemptyset(&kick);
	sigaddset(&kick, KVM_SIGNAL);
	pthread_kill(pthread_self(), KVM_SIGNAL);
	r = kvm_vcpu_run(vcpu);
	sigtimedwait(&kick, NULL, &now);
	ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, NULL);
	if (r != -EINTR && r != -EAGAIN)
		return fail(STATUS_BUG, "vCPU %u ran during a stop: exit %u, %s", vcpu->id,
			    vcpu->run->exit_reason, limit_error(-r).text);
	return 0;
}

static uint32_t
lapic_register(const struct kvm_lapic_state *lapic, uint32_t at)
{
	uint32_t value;

	memcpy(&value, lapic->regs + at, sizeof(value));
	return value;
}

/*
 * Returns whether the timer runs. A one-shot timer at zero has fired, or KVM is about to fire it;
 * setting the LAPIC again would fire it once more.
 */
static bool
lapic_timer_runs(const struct kvm_vcpu *vcpu)
{
	const struct kvm_lapic_state *lapic = &vcpu->stopped.lapic;

	switch (lapic_register(lapic, LAPIC_LVTT) >> 17 & 3) {
	case 0:
		return lapic_register(lapic, LAPIC_TMICT) && lapic_register(lapic, LAPIC_TMCCT);
	case 1:
		return lapic_register(lapic, LAPIC_TMICT);
	default:
		return vcpu->stopped.deadline;
	}
}

/*
 * A timer that fires between the reads of LAPIC and deadline would be lost. Repeat until the
 * interrupt state is the same before and after.
 */
static int
lapic_stop(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic_state after;

	for (int i = 0; i < TRIES; i++) {
		if (deliver_pending(vcpu) < 0)
			return -STATUS_BUG;
		vcpu->stopped.deadline = 0;
		if (ioctl(vcpu->fd, KVM_GET_LAPIC, &vcpu->stopped.lapic))
			break;
		msr(vcpu, KVM_GET_MSRS, MSR_TSC_DEADLINE, &vcpu->stopped.deadline);
		if (deliver_pending(vcpu) < 0)
			return -STATUS_BUG;
		if (ioctl(vcpu->fd, KVM_GET_LAPIC, &after))
			break;
		if (!memcmp(vcpu->stopped.lapic.regs + LAPIC_ISR, after.regs + LAPIC_ISR,
			    LAPIC_IRR_END - LAPIC_ISR)) {
			vcpu->stopped.rearm = lapic_timer_runs(vcpu);
			return 0;
		}
	}
	return fail(STATUS_HOST, "KVM_GET_LAPIC: vCPU %u keeps receiving interrupts: %s", vcpu->id,
		    limit_error(errno).text);
}

/*
 * Is channel 0 a one-shot? KVM does not report whether it has fired: it sets count_load_time of the
 * other channels only.
 */
static bool
pit_one_shot(const struct kvm_pit_state2 *pit)
{
	uint8_t mode = pit->channels[0].mode;

	return mode == 0 || mode == 1 || mode == 4;
}

static int
pit_stop(struct kvm *kvm)
{
	struct kvm_pit_state2 off;

	if (ioctl(kvm->vm, KVM_GET_PIT2, &kvm->pit))
		return fail(STATUS_HOST, "KVM_GET_PIT2: %s", limit_error(errno).text);
	/* A one-shot runs on: if it has fired, setting it again would fire it again. */
	kvm->pit_rearm = !pit_one_shot(&kvm->pit);
	if (!kvm->pit_rearm)
		return 0;
	off = kvm->pit;
	off.channels[0].mode = PIT_MODE_OFF;
	if (ioctl(kvm->vm, KVM_SET_PIT2, &off))
		return fail(STATUS_HOST, "KVM_SET_PIT2: %s", limit_error(errno).text);
	return 0;
}

/*
 * Reading one TSC after the other would move them apart at each stop. Read the first TSC only, and
 * derive the others from the differences of the offsets.
 */
static void
tscs_save(struct kvm *kvm)
{
	uint64_t first = 0, offset;
	bool offsets =
	    kvm->vcpu_count > 1 && !tsc_offset(kvm->vcpus[0], KVM_GET_DEVICE_ATTR, &first);

	for (uint32_t i = 0; i < kvm->vcpu_count; i++) {
		struct kvm_vcpu *vcpu = kvm->vcpus[i];

		if (i && offsets && !tsc_offset(vcpu, KVM_GET_DEVICE_ATTR, &offset))
			vcpu->stopped.tsc = kvm->vcpus[0]->stopped.tsc + (offset - first);
		else {
			vcpu->stopped.tsc = 0;
			msr(vcpu, KVM_GET_MSRS, MSR_TSC, &vcpu->stopped.tsc);
		}
	}
}

/* Sets the TSCs with the same differences. */
static void
tscs_set(struct kvm *kvm)
{
	uint64_t first = 0;
	bool offsets;

	tsc_set(kvm->vcpus[0], kvm->vcpus[0]->stopped.tsc);
	offsets = kvm->vcpu_count > 1 && !tsc_offset(kvm->vcpus[0], KVM_GET_DEVICE_ATTR, &first);
	for (uint32_t i = 1; i < kvm->vcpu_count; i++) {
		struct kvm_vcpu *vcpu = kvm->vcpus[i];
		uint64_t offset = first + (vcpu->stopped.tsc - kvm->vcpus[0]->stopped.tsc);

		if (!offsets || tsc_offset(vcpu, KVM_SET_DEVICE_ATTR, &offset))
			tsc_set(vcpu, vcpu->stopped.tsc);
	}
}

static int
clocks_save(struct kvm *kvm)
{
	struct kvm_clock_data clock = { 0 };

	if (ioctl(kvm->vm, KVM_GET_CLOCK, &clock))
		return fail(STATUS_HOST, "KVM_GET_CLOCK: %s", limit_error(errno).text);
	kvm->clock = clock.clock;
	if (kvm->vcpu_count)
		tscs_save(kvm);
	return 0;
}

int
kvm_stop(struct kvm *kvm)
{
	int r;

	if (kvm->stopped)
		return 0;
	r = clocks_save(kvm);
	if (!r && kvm->irqchip)
		r = pit_stop(kvm);
	kvm->stopped = true;
	return r;
}

int
kvm_vcpu_stop(struct kvm_vcpu *vcpu)
{
	return vcpu->kvm->irqchip ? lapic_stop(vcpu) : 0;
}

int
kvm_resume(struct kvm *kvm)
{
	struct kvm_clock_data clock = { .clock = kvm->clock };

	kvm->ran = true; /* the caller is about to run vCPUs */
	if (!kvm->stopped)
		return 0;
	kvm->stopped = false;
	if (ioctl(kvm->vm, KVM_SET_CLOCK, &clock))
		return fail(STATUS_HOST, "KVM_SET_CLOCK: %s", limit_error(errno).text);
	if (kvm->irqchip && kvm->pit_rearm && ioctl(kvm->vm, KVM_SET_PIT2, &kvm->pit))
		return fail(STATUS_HOST, "KVM_SET_PIT2: %s", limit_error(errno).text);
	if (kvm->vcpu_count)
		tscs_set(kvm);
	for (uint32_t i = 0; i < kvm->vcpu_count; i++) {
		struct kvm_vcpu *vcpu = kvm->vcpus[i];

		if (kvm->irqchip && vcpu->stopped.rearm) {
			if (ioctl(vcpu->fd, KVM_SET_LAPIC, &vcpu->stopped.lapic))
				return fail(STATUS_HOST, "KVM_SET_LAPIC: vCPU %u: %s", vcpu->id,
					    limit_error(errno).text);
			if (vcpu->stopped.deadline)
				msr(vcpu, KVM_SET_MSRS, MSR_TSC_DEADLINE, &vcpu->stopped.deadline);
		}
		/*
		 * Tells a guest with kvm-clock about the pause. EINVAL: the guest has no kvm-clock.
		 */
		ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
	}
	return 0;
}

void
kvm_advance_time(struct kvm *kvm, uint64_t time)
{
	kvm->clock += time;
	for (uint32_t i = 0; i < kvm->vcpu_count; i++) {
		int khz = ioctl(kvm->vcpus[i]->fd, KVM_GET_TSC_KHZ, 0);

		if (khz > 0)
			kvm->vcpus[i]->stopped.tsc +=
			    (uint64_t)((unsigned __int128)time * (unsigned)khz / 1000000);
	}
}

bool
kvm_time_get(unsigned long get, struct kvm *kvm, struct kvm_vcpu *vcpu, void *buffer)
{
	if (!kvm->stopped)
		return false;
	if (get == KVM_GET_LAPIC)
		*(struct kvm_lapic_state *)buffer = vcpu->stopped.lapic;
	else if (get == KVM_GET_PIT2)
		*(struct kvm_pit_state2 *)buffer = kvm->pit;
	else if (get == KVM_GET_CLOCK)
		*(struct kvm_clock_data *)buffer = (struct kvm_clock_data){ .clock = kvm->clock };
	else
		return false;
	return true;
}

void
kvm_time_set(unsigned long set, struct kvm *kvm, struct kvm_vcpu *vcpu, void *buffer)
{
	if (set == KVM_SET_LAPIC) {
		vcpu->stopped.lapic = *(struct kvm_lapic_state *)buffer;
		vcpu->stopped.rearm = true;
	} else if (set == KVM_SET_PIT2) {
		kvm->pit = *(struct kvm_pit_state2 *)buffer;
		kvm->pit_rearm = true;
		((struct kvm_pit_state2 *)buffer)->channels[0].mode = PIT_MODE_OFF;
	} else if (set == KVM_SET_CLOCK)
		kvm->clock = ((struct kvm_clock_data *)buffer)->clock;
}
