/* SPDX-License-Identifier: BSD-2-Clause */
/* One VM and its vCPUs: the ioctls that build and run them. */
#include "kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "kvm/kvm_fields.h"

#define KVM_PATH "/dev/kvm"
#define ARCH_REQ_XCOMP_GUEST_PERM 0x1025 /* asm/prctl.h of Linux 5.17 */
#define XFEATURE_XTILE_DATA 18

/* Capabilities without which nothing runs, and what they are for. */
static const struct {
	int cap;
	const char *name;
} needed[] = {
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, "KVM_CAP_DESTROY_MEMORY_REGION_WORKS" },
	{ KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
	{ KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS" },
	{ KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS" },
	{ KVM_CAP_XSAVE, "KVM_CAP_XSAVE" },
	{ KVM_CAP_XCRS, "KVM_CAP_XCRS" },
	{ KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE" },
	{ KVM_CAP_SET_GUEST_DEBUG, "KVM_CAP_SET_GUEST_DEBUG" },
};

static const char *
group_name(gid_t gid, char *buffer, size_t size)
{
	struct group group, *found = NULL;
	char strings[1024];

	if (!getgrgid_r(gid, &group, strings, sizeof(strings), &found) && found)
		snprintf(buffer, size, "%s", found->gr_name);
	else
		snprintf(buffer, size, "%u", gid);
	return buffer;
}

/* Why open(2) of the device failed, and the remedy. */
static const char *
open_trouble(const char *path, int error, char *buffer, size_t size)
{
	char group[64];
	struct stat st;

	if (error == ENOENT)
		snprintf(buffer, size,
			 "cannot open %s: it does not exist; load kvm_intel or kvm_amd, or turn on "
			 "virtualisation in the firmware",
			 path);
	else if (error == EACCES && !stat(path, &st))
		snprintf(buffer, size,
			 "cannot open %s: permission denied; it belongs to group %s: join it "
			 "(usermod -aG %s USER) and log in again",
			 path, group_name(st.st_gid, group, sizeof(group)), group);
	else
		snprintf(buffer, size, "cannot open %s: %s", path, strerror(error));
	return buffer;
}

static const char *
device_trouble(int fd, const char *path, char *buffer, size_t size)
{
	int version = ioctl(fd, KVM_GET_API_VERSION, 0);

	if (version < 0)
		snprintf(buffer, size, "%s does not answer as KVM: %s", path, strerror(errno));
	else if (version != KVM_API_VERSION)
		snprintf(buffer, size, "%s has KVM API version %d, needed is %d", path, version,
			 KVM_API_VERSION);
	else {
		for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
			if (ioctl(fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0) {
				snprintf(buffer, size,
					 "%s is too old: it lacks %s; use a newer kernel", path,
					 needed[i].name);
				return buffer;
			}
		return NULL;
	}
	return buffer;
}

const char *
kvm_probe(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	const char *trouble;

	if (fd < 0)
		return open_trouble(path, errno, buffer, size);
	trouble = device_trouble(fd, path, buffer, size);
	close(fd);
	return trouble;
}

static bool
is_topology(const struct kvm_cpuid_entry2 *e)
{
	return e->function == 0xb || e->function == 0x1f;
}

/* The levels of topology are the host's, of the CPU that asks: two remain, empty, for the guest's own. */
static void
cpuid_flatten(struct kvm_cpuid2 *cpuid)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (is_topology(e) && e->index > 1)
			continue;
		if (is_topology(e))
			e->eax = e->ebx = e->ecx = 0;
		cpuid->entries[kept++] = *e;
	}
	cpuid->nent = kept;
}

/* How many bits number so many. */
static uint32_t
bits_for(uint32_t count)
{
	return count > 1 ? 32 - (uint32_t)__builtin_clz(count - 1) : 0;
}

/* One package of cores with a thread each (SDM volume 2, CPUID leaves 1, 4 and 0BH; AMD APM volume 3, E.4). */
static void
cpuid_topology(struct kvm_cpuid_entry2 *e, uint32_t id, uint32_t count)
{
	uint32_t bits = bits_for(count);

	if (is_topology(e)) {
		e->edx = id;
		if (count > 1) {
			e->eax = e->index ? bits : 0;
			e->ebx = e->index ? count : 1;
			e->ecx = e->index | (e->index + 1) << 8;
		}
		return;
	}
	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0xffff) | id << 24 | (count & 0xff) << 16;
		e->edx = count > 1 ? e->edx | 1u << 28 : e->edx & ~(1u << 28); /* HTT */
		break;
	case 4: /* caches: the last level is shared by all, the others by none */
		e->eax &= 0x3fff;
		if (e->eax & 0x1f)
			e->eax |= ((1u << bits) - 1) << 26 |
				  ((e->eax >> 5 & 7) >= 3 ? ((1u << bits) - 1) << 14 : 0);
		break;
	case 0x80000001:
		e->ecx = count > 1 ? e->ecx | 1u << 1 : e->ecx & ~(1u << 1); /* CmpLegacy */
		break;
	case 0x80000008:
		e->ecx = (e->ecx & ~0xf0ffu) | bits << 12 | ((count - 1) & 0xff);
		break;
	case 0x8000001d:
		e->eax &= 0x3fff;
		if ((e->eax & 0x1f) && (e->eax >> 5 & 7) >= 3)
			e->eax |= (count - 1) << 14;
		break;
	case 0x8000001e:
		e->eax = id;
		e->ebx = id & 0xff; /* core, of one thread */
		e->ecx = 0;         /* node 0 of one */
		break;
	}
}

/* What is this vCPU's, and what KVM offers beside what it lists. */
static void
cpuid_complete(struct kvm *kvm, uint32_t id)
{
	bool deadline =
	    kvm->irqchip && ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;

	for (uint32_t i = 0; i < kvm->cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &kvm->cpuid->entries[i];

		cpuid_topology(e, id, kvm->cpus);
		if (e->function == 1)
			e->ecx |= 1u << 31 /* hypervisor */ | (deadline ? 1u << 24 : 0);
	}
}

/* What the host offers a guest, without nested virtualisation, whose state is not saved. */
static int
cpuid_init(struct kvm *kvm)
{
	struct kvm_cpuid2 *cpuid;

	for (uint32_t room = 128; room <= 4096; room *= 2) {
		cpuid = calloc(1, sizeof(*cpuid) + room * sizeof(cpuid->entries[0]));
		if (!cpuid)
			return fail(STATUS_HOST, "no memory for the CPUID table");
		cpuid->nent = room;
		if (!ioctl(kvm->fd, KVM_GET_SUPPORTED_CPUID, cpuid)) {
			kvm->cpuid = cpuid;
			break;
		}
		free(cpuid);
		if (errno != E2BIG)
			break;
	}
	if (!kvm->cpuid)
		return fail(STATUS_HOST, "KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
	for (uint32_t i = 0; i < kvm->cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &kvm->cpuid->entries[i];

		if (e->function == 1)
			e->ecx &= ~(1u << 5); /* VMX */
		if (e->function == 0x80000001)
			e->ecx &= ~(1u << 2); /* SVM */
	}
	cpuid_flatten(kvm->cpuid);
	return 0;
}

int
kvm_open(struct kvm *kvm)
{
	char text[256];
	const char *trouble;
	int r;

	*kvm = (struct kvm){ .fd = -1, .vm = -1 };
	kvm->fd = open(KVM_PATH, O_RDWR | O_CLOEXEC);
	if (kvm->fd < 0)
		return fail(STATUS_HOST, "%s", open_trouble(KVM_PATH, errno, text, sizeof(text)));
	trouble = device_trouble(kvm->fd, KVM_PATH, text, sizeof(text));
	if (trouble)
		return fail(STATUS_HOST, "%s", trouble);
	do
		kvm->vm = ioctl(kvm->fd, KVM_CREATE_VM, 0);
	while (kvm->vm < 0 && errno == EINTR);
	if (kvm->vm < 0)
		return fail(STATUS_HOST, "KVM_CREATE_VM: %s", strerror(errno));
	r = ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (r < (int)sizeof(struct kvm_run))
		return fail(STATUS_HOST, "KVM_GET_VCPU_MMAP_SIZE: %s", strerror(errno));
	kvm->run_size = (size_t)r;
	/* AMX's tile data is offered to guests of processes that have asked; elsewhere this fails. */
	syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_GUEST_PERM, XFEATURE_XTILE_DATA);
	r = ioctl(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	kvm->xsave_size = r > (int)sizeof(struct kvm_xsave) ? (size_t)r : sizeof(struct kvm_xsave);
	/* Without it a pending exception's payload (cr2, dr6) would not be in the events. */
	if (ioctl(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_EXCEPTION_PAYLOAD) > 0) {
		struct kvm_enable_cap cap = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .args = { 1 } };

		ioctl(kvm->vm, KVM_ENABLE_CAP, &cap);
	}
	/* Intel's real-mode emulation wants a place outside the guest's memory; others ignore it. */
	ioctl(kvm->vm, KVM_SET_TSS_ADDR, 0xfffbd000ul);
	r = ioctl(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2);
	kvm->blocks_irqs = r > 0 && (r & KVM_GUESTDBG_BLOCKIRQ);
	r = cpuid_init(kvm);
	return r < 0 ? r : kvm_msrs_init(kvm);
}

void
kvm_close(struct kvm *kvm)
{
	if (kvm->vm >= 0)
		close(kvm->vm);
	if (kvm->fd >= 0)
		close(kvm->fd);
	free(kvm->cpuid);
	free(kvm->msrs);
	*kvm = (struct kvm){ .fd = -1, .vm = -1 };
}

int
kvm_memory(struct kvm *kvm, uint32_t slot, uint64_t gpa, uint64_t size, void *host, bool dirty_log)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = dirty_log ? KVM_MEM_LOG_DIRTY_PAGES : 0,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	if (ioctl(kvm->vm, KVM_SET_USER_MEMORY_REGION, &region))
		return fail(
		    STATUS_HOST,
		    "KVM_SET_USER_MEMORY_REGION: 0x%llx bytes of guest memory at 0x%llx: %s",
		    (unsigned long long)size, (unsigned long long)gpa, strerror(errno));
	return 0;
}

int
kvm_bind(struct kvm *kvm, bool port, uint64_t address, uint32_t width, uint64_t value, int fd,
	 bool bound)
{
	struct kvm_ioeventfd event = {
		.datamatch = value,
		.addr = address,
		.len = width,
		.fd = fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH | (port ? KVM_IOEVENTFD_FLAG_PIO : 0) |
			 (bound ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return ioctl(kvm->vm, KVM_IOEVENTFD, &event);
}

int
kvm_dirty_log(struct kvm *kvm, uint32_t slot, uint64_t *bitmap)
{
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bitmap };

	if (ioctl(kvm->vm, KVM_GET_DIRTY_LOG, &log))
		return fail(STATUS_HOST, "KVM_GET_DIRTY_LOG: slot %u: %s", slot, strerror(errno));
	return 0;
}

int
kvm_irqchip(struct kvm *kvm)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (ioctl(kvm->vm, KVM_CREATE_IRQCHIP, 0))
		return fail(STATUS_HOST, "KVM_CREATE_IRQCHIP: %s", strerror(errno));
	if (ioctl(kvm->vm, KVM_CREATE_PIT2, &pit))
		return fail(STATUS_HOST, "KVM_CREATE_PIT2: %s", strerror(errno));
	kvm->irqchip = true;
	return 0;
}

int
kvm_irq_line(struct kvm *kvm, uint32_t gsi, bool up)
{
	struct kvm_irq_level level = { .irq = gsi, .level = up };

	if (ioctl(kvm->vm, KVM_IRQ_LINE, &level))
		return fail(STATUS_HOST, "KVM_IRQ_LINE: line %u: %s", gsi, strerror(errno));
	return 0;
}

int
kvm_vcpu_open(struct kvm_vcpu *vcpu, struct kvm *kvm, uint32_t id)
{
	void *run;

	*vcpu = (struct kvm_vcpu){ .kvm = kvm, .fd = -1, .id = id };
	vcpu->fd = ioctl(kvm->vm, KVM_CREATE_VCPU, id);
	if (vcpu->fd < 0)
		return fail(STATUS_HOST, "KVM_CREATE_VCPU %u: %s", id, strerror(errno));
	run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return fail(STATUS_HOST, "mmap of vCPU %u: %s", id, strerror(errno));
	vcpu->run = run;
	kvm->vcpus[kvm->vcpu_count++] = vcpu;
	return 0;
}

void
kvm_vcpu_close(struct kvm_vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->kvm->run_size);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	vcpu->run = NULL;
	vcpu->fd = -1;
}

int
kvm_vcpu_cpuid(struct kvm_vcpu *vcpu)
{
	cpuid_complete(vcpu->kvm, vcpu->id);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, vcpu->kvm->cpuid))
		return fail(STATUS_HOST, "KVM_SET_CPUID2: vCPU %u: %s", vcpu->id, strerror(errno));
	return 0;
}

int
kvm_vcpu_regs(struct kvm_vcpu *vcpu, struct kvm_regs *regs)
{
	if (ioctl(vcpu->fd, KVM_GET_REGS, regs))
		return fail(STATUS_HOST, "KVM_GET_REGS: vCPU %u: %s", vcpu->id, strerror(errno));
	return 0;
}

int
kvm_vcpu_set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *regs)
{
	if (ioctl(vcpu->fd, KVM_SET_REGS, regs))
		return fail(STATUS_HOST, "KVM_SET_REGS: vCPU %u: %s", vcpu->id, strerror(errno));
	return 0;
}

int
kvm_vcpu_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs)
{
	if (ioctl(vcpu->fd, KVM_GET_SREGS, sregs))
		return fail(STATUS_HOST, "KVM_GET_SREGS: vCPU %u: %s", vcpu->id, strerror(errno));
	return 0;
}

int
kvm_vcpu_set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	if (ioctl(vcpu->fd, KVM_SET_SREGS, sregs))
		return fail(STATUS_HOST,
			    "KVM_SET_SREGS: vCPU %u: %s; do the registers of [cpu] fit together?",
			    vcpu->id, strerror(errno));
	vcpu->run->cr8 = sregs->cr8; /* without irqchip KVM takes it from there at every entry */
	return 0;
}

int
kvm_vcpu_halted(struct kvm_vcpu *vcpu, bool *halted)
{
	struct kvm_mp_state mp;
	struct kvm_regs regs;
	struct kvm_vcpu_events events;

	*halted = false;
	if (ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp))
		return fail(STATUS_HOST, "KVM_GET_MP_STATE: vCPU %u: %s", vcpu->id,
			    strerror(errno));
	*halted =
	    mp.mp_state == KVM_MP_STATE_UNINITIALIZED || mp.mp_state == KVM_MP_STATE_INIT_RECEIVED;
	if (mp.mp_state != KVM_MP_STATE_HALTED)
		return 0;
	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) || ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events))
		return fail(STATUS_HOST, "KVM_GET_VCPU_EVENTS: vCPU %u: %s", vcpu->id,
			    strerror(errno));
	*halted = !(regs.rflags & 0x200) && !events.nmi.pending && !events.nmi.injected &&
		  !events.smi.pending;
	return 0;
}

/*
 * KVM steps with the trap flag, which an interrupt on the way would push with the other flags: its handler returns into
 * a debug exception that nobody has asked for, and a guest that is not prepared dies of that.
 */
const char *
kvm_step_trouble(const struct kvm *kvm)
{
	return kvm->blocks_irqs || !kvm->irqchip
		   ? NULL
		   : "needs a KVM that holds interrupts back meanwhile (KVM_GUESTDBG_BLOCKIRQ, "
		     "Linux 5.14): use a newer kernel, another point, or a machine without irqchip";
}

int
kvm_vcpu_debug(struct kvm_vcpu *vcpu, enum kvm_debug how, uint64_t linear)
{
	struct kvm_guest_debug debug = { 0 };

	if (how == KVM_DEBUG_STEP)
		debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |
				(vcpu->kvm->blocks_irqs ? KVM_GUESTDBG_BLOCKIRQ : 0);
	else if (how == KVM_DEBUG_BREAK) {
		debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
		debug.arch.debugreg[0] = linear;
		debug.arch.debugreg[7] = 0x402; /* G0, execute, 1 byte */
	}
	if (ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug))
		return fail(STATUS_HOST, "KVM_SET_GUEST_DEBUG: vCPU %u: %s", vcpu->id,
			    strerror(errno));
	return 0;
}

int
kvm_vcpu_code(struct kvm_vcpu *vcpu, uint64_t *gpa)
{
	struct kvm_translation translation = { 0 };
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) || ioctl(vcpu->fd, KVM_GET_SREGS, &sregs))
		return -1;
	translation.linear_address = sregs.cs.base + regs.rip;
	if (!(sregs.efer & (1u << 10)))
		translation.linear_address &= 0xffffffffu;
	if (ioctl(vcpu->fd, KVM_TRANSLATE, &translation) || !translation.valid)
		return -1;
	*gpa = translation.physical_address;
	return 0;
}
