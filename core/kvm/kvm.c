/* SPDX-License-Identifier: BSD-2-Clause */
/* Creates, configures and runs a VM and its vCPUs. */
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

#include "base/limit.h"
#include "base/log.h"
#include "kvm/cpuid.h"
#include "kvm/kvm_fields.h"

#define TRIES 100u /* of KVM_CREATE_VM, which a signal interrupts */
#define KVM_PATH "/dev/kvm"
#define ARCH_REQ_XCOMP_GUEST_PERM 0x1025 /* asm/prctl.h, since Linux 5.17 */
#define XFEATURE_XTILE_DATA 18

/* Required capabilities. */
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

static bool
in_group(gid_t gid)
{
	gid_t groups[1024];
	int count = getgroups(sizeof(groups) / sizeof(*groups), groups);

	for (int i = 0; i < count; i++)
		if (groups[i] == gid)
			return true;
	return getegid() == gid;
}

/* The remedy depends on whom the device's mode admits. */
static int
denied(const char *path, const struct stat *st, struct why *why)
{
	const unsigned both = S_IRGRP | S_IWGRP;
	char group[64];

	group_name(st->st_gid, group, sizeof(group));
	if ((st->st_mode & both) != both)
		return why_set(why,
			       "cannot open %s: permission denied; its mode %03o admits no group: "
			       "as root, chgrp kvm %s and chmod 660 %s (permanently: a udev rule), "
			       "and join group kvm",
			       path, st->st_mode & 0777u, path, path);
	if (in_group(st->st_gid))
		return why_set(why,
			       "cannot open %s: permission denied although its group %s is yours; "
			       "check the host's access lists and security modules (getfacl, "
			       "ausearch, dmesg)",
			       path, group);
	return why_set(why,
		       "cannot open %s: permission denied; it belongs to group %s: join it "
		       "(usermod -aG %s USER) and log in again",
		       path, group, group);
}

/* Opens the device. Returns its descriptor, or -1 with the cause and the remedy in why. */
static int
open_device(const char *path, struct why *why)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), error = errno;
	struct stat st;

	if (fd >= 0)
		return fd;
	if (error == ENOENT)
		return why_set(why,
			       "cannot open %s: it does not exist; load kvm_intel or kvm_amd, "
			       "or enable virtualisation in the firmware",
			       path);
	if (error == EACCES && !stat(path, &st))
		return denied(path, &st, why);
	if (error == EPERM)
		return why_set(why,
			       "cannot open %s: the device cgroup of this container or service "
			       "forbids it; start it with --device=%s or DeviceAllow=%s",
			       path, path, path);
	return why_errno(why, error, "cannot open %s", path);
}

static int
check_device(int fd, const char *path, struct why *why)
{
	int version = ioctl(fd, KVM_GET_API_VERSION, 0);

	if (version < 0)
		return why_errno(why, errno, "%s does not answer as KVM", path);
	if (version != KVM_API_VERSION)
		return why_set(why, "%s has KVM API version %d, minivmm needs %d", path, version,
			       KVM_API_VERSION);
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		if (ioctl(fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return why_set(why, "%s lacks %s; use a newer kernel", path,
				       needed[i].name);
	return 0;
}

int
kvm_probe(const char *path, struct why *why)
{
	int fd = open_device(path, why), r;

	if (fd < 0)
		return -1;
	r = check_device(fd, path, why);
	close(fd);
	return r;
}

/* other: as for kvm_open_inherited; NULL: none. */
static int
create_vm(struct kvm *kvm, const struct kvm *other)
{
	struct why why;
	unsigned tries = 0;

	*kvm = (struct kvm){ .fd = -1, .vm = -1 };
	kvm->fd = open_device(KVM_PATH, &why);
	if (kvm->fd < 0 || (!other && check_device(kvm->fd, KVM_PATH, &why)))
		return fail(STATUS_HOST, "%s", why.text);
	do
		kvm->vm = ioctl(kvm->fd, KVM_CREATE_VM, 0);
	while (kvm->vm < 0 && errno == EINTR && ++tries < TRIES);
	if (kvm->vm < 0)
		return fail(STATUS_HOST, "KVM_CREATE_VM: %s",
			    limit_error_of(LIMIT_KVM, errno).text);
	/* AMX: KVM offers tile data only to processes that request it. Fails on other CPUs. */
	syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_GUEST_PERM, XFEATURE_XTILE_DATA);
	return 0;
}

/*
 * Without it, KVM_GET_VCPU_EVENTS does not contain the payload (cr2, dr6) of a pending exception.
 */
static void
enable_payload(struct kvm *kvm)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .args = { 1 } };

	if (kvm->has_payload)
		ioctl(kvm->vm, KVM_ENABLE_CAP, &cap);
}

int
kvm_open(struct kvm *kvm)
{
	int r = create_vm(kvm, NULL);

	if (r)
		return r;
	r = ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (r < (int)sizeof(struct kvm_run))
		return fail(STATUS_HOST, "KVM_GET_VCPU_MMAP_SIZE: %s", limit_error(errno).text);
	kvm->run_size = (size_t)r;
	r = ioctl(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	kvm->xsave_size = r > (int)sizeof(struct kvm_xsave) ? (size_t)r : sizeof(struct kvm_xsave);
	kvm->has_payload = ioctl(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_EXCEPTION_PAYLOAD) > 0;
	enable_payload(kvm);
	r = ioctl(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2);
	kvm->blocks_irqs = r > 0 && (r & KVM_GUESTDBG_BLOCKIRQ);
	r = kvm_cpuid_init(kvm);
	return r < 0 ? r : kvm_msrs_init(kvm);
}

/* Copies size bytes to malloced memory. NULL: no memory. */
static void *
copy(const void *from, size_t size)
{
	void *to = malloc(size);

	return to ? memcpy(to, from, size) : NULL;
}

int
kvm_open_inherited(struct kvm *kvm, const struct kvm *other)
{
	int r = create_vm(kvm, other);

	if (r)
		return r;
	kvm->run_size = other->run_size;
	kvm->xsave_size = other->xsave_size;
	kvm->has_payload = other->has_payload;
	kvm->blocks_irqs = other->blocks_irqs;
	enable_payload(kvm);
	kvm->cpuid = copy(other->cpuid, sizeof(*other->cpuid) +
					    other->cpuid->nent * sizeof(*other->cpuid->entries));
	kvm->msrs = copy(other->msrs,
			 sizeof(*other->msrs) + other->msrs->nmsrs * sizeof(*other->msrs->indices));
	return kvm->cpuid && kvm->msrs ? 0 : fail_memory("a VM");
}

void
kvm_set_tss(struct kvm *kvm, uint64_t gpa)
{
	/* Only Intel CPUs use it. */
	ioctl(kvm->vm, KVM_SET_TSS_ADDR, (unsigned long)gpa);
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
		    (unsigned long long)size, (unsigned long long)gpa, limit_error(errno).text);
	return 0;
}

int
kvm_ioeventfd(struct kvm *kvm, bool port, uint64_t address, uint32_t width, uint64_t value, int fd,
	      bool assign)
{
	struct kvm_ioeventfd event = {
		.datamatch = value,
		.addr = address,
		.len = width,
		.fd = fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH | (port ? KVM_IOEVENTFD_FLAG_PIO : 0) |
			 (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return ioctl(kvm->vm, KVM_IOEVENTFD, &event);
}

int
kvm_dirty_log(struct kvm *kvm, uint32_t slot, uint64_t *bitmap)
{
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bitmap };

	if (ioctl(kvm->vm, KVM_GET_DIRTY_LOG, &log))
		return fail(STATUS_HOST, "KVM_GET_DIRTY_LOG: slot %u: %s", slot,
			    limit_error(errno).text);
	return 0;
}

int
kvm_irqchip(struct kvm *kvm)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (ioctl(kvm->vm, KVM_CREATE_IRQCHIP, 0))
		return fail(STATUS_HOST, "KVM_CREATE_IRQCHIP: %s", limit_error(errno).text);
	if (ioctl(kvm->vm, KVM_CREATE_PIT2, &pit))
		return fail(STATUS_HOST, "KVM_CREATE_PIT2: %s", limit_error(errno).text);
	kvm->irqchip = true;
	return 0;
}

int
kvm_irq_line(struct kvm *kvm, uint32_t gsi, bool up)
{
	struct kvm_irq_level level = { .irq = gsi, .level = up };

	if (ioctl(kvm->vm, KVM_IRQ_LINE, &level))
		return fail(STATUS_HOST, "KVM_IRQ_LINE: line %u: %s", gsi, limit_error(errno).text);
	return 0;
}

int
kvm_message(struct kvm *kvm, uint64_t address, uint32_t data)
{
	struct kvm_msi message = { .address_lo = (uint32_t)address,
				   .address_hi = (uint32_t)(address >> 32),
				   .data = data };

	if (ioctl(kvm->vm, KVM_SIGNAL_MSI, &message) < 0)
		return fail(STATUS_HOST, "KVM_SIGNAL_MSI: %s", limit_error(errno).text);
	return 0;
}

int
kvm_vcpu_open(struct kvm_vcpu *vcpu, struct kvm *kvm, uint32_t id)
{
	void *run;

	*vcpu = (struct kvm_vcpu){ .kvm = kvm, .fd = -1, .id = id };
	vcpu->fd = ioctl(kvm->vm, KVM_CREATE_VCPU, id);
	if (vcpu->fd < 0)
		return fail(STATUS_HOST, "KVM_CREATE_VCPU %u: %s", id,
			    limit_error_of(LIMIT_VCPU, errno).text);
	run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return fail(STATUS_HOST, "mmap of vCPU %u: %s", id, limit_error(errno).text);
	/* A child would keep the VM alive after the death of this process. */
	madvise(run, kvm->run_size, MADV_DONTFORK);
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
kvm_vcpu_regs(struct kvm_vcpu *vcpu, struct kvm_regs *regs)
{
	if (ioctl(vcpu->fd, KVM_GET_REGS, regs))
		return fail(STATUS_HOST, "KVM_GET_REGS: vCPU %u: %s", vcpu->id,
			    limit_error(errno).text);
	return 0;
}

int
kvm_vcpu_set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *regs)
{
	if (ioctl(vcpu->fd, KVM_SET_REGS, regs))
		return fail(STATUS_HOST, "KVM_SET_REGS: vCPU %u: %s", vcpu->id,
			    limit_error(errno).text);
	return 0;
}

int
kvm_vcpu_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs)
{
	if (ioctl(vcpu->fd, KVM_GET_SREGS, sregs))
		return fail(STATUS_HOST, "KVM_GET_SREGS: vCPU %u: %s", vcpu->id,
			    limit_error(errno).text);
	return 0;
}

int
kvm_vcpu_set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	if (ioctl(vcpu->fd, KVM_SET_SREGS, sregs))
		return fail(STATUS_HOST, "KVM_SET_SREGS: vCPU %u: %s; check the registers of [cpu]",
			    vcpu->id, limit_error(errno).text);
	vcpu->run->cr8 = sregs->cr8; /* without irqchip, KVM reads cr8 from there at each entry */
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
			    limit_error(errno).text);
	*halted =
	    mp.mp_state == KVM_MP_STATE_UNINITIALIZED || mp.mp_state == KVM_MP_STATE_INIT_RECEIVED;
	if (mp.mp_state != KVM_MP_STATE_HALTED)
		return 0;
	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) || ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events))
		return fail(STATUS_HOST, "KVM_GET_VCPU_EVENTS: vCPU %u: %s", vcpu->id,
			    limit_error(errno).text);
	*halted = !(regs.rflags & 0x200) && !events.nmi.pending && !events.nmi.injected &&
		  !events.smi.pending;
	return 0;
}
