/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lower bound for `make bench`: runs guests/simple.bin with the necessary KVM calls only, without
 * config, plugins, threads or the checks of a VMM.
 *
 *   bare [-c] IMAGE
 *     -c  set the vCPU's CPUID, as a VMM for any guest must; simple.bin does not read it
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY_AT 0x1000
#define MEMORY 0x4000
#define CPUID_MAX 256

static void
load(const char *image, void *memory)
{
	int fd = open(image, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, memory, MEMORY) <= 0)
		err(1, "%s", image);
	close(fd);
}

static void
set_cpuid(int kvm, int vcpu)
{
	struct kvm_cpuid2 *cpuid =
	    calloc(1, sizeof(*cpuid) + CPUID_MAX * sizeof(cpuid->entries[0]));

	if (!cpuid)
		err(1, "no memory");
	cpuid->nent = CPUID_MAX;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) || ioctl(vcpu, KVM_SET_CPUID2, cpuid))
		err(1, "KVM_SET_CPUID2");
	free(cpuid);
}

static void
set_registers(int vcpu)
{
	struct kvm_regs regs = { .rip = MEMORY_AT, .rax = 2, .rbx = 2, .rflags = 2 };
	struct kvm_sregs sregs;

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs))
		err(1, "KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_REGS, &regs))
		err(1, "KVM_SET_REGS");
}

/* Runs until the guest halts. Its output goes to stdout. */
static void
run_guest(int vcpu, struct kvm_run *run)
{
	for (;;) {
		if (ioctl(vcpu, KVM_RUN, 0))
			err(1, "KVM_RUN");
		if (run->exit_reason == KVM_EXIT_HLT)
			return;
		if (run->exit_reason != KVM_EXIT_IO)
			errx(1, "KVM exit %u", run->exit_reason);
		putchar(((uint8_t *)run)[run->io.data_offset]);
	}
}

int
main(int argc, char **argv)
{
	void *memory =
	    mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region slot = {
		.guest_phys_addr = MEMORY_AT,
		.memory_size = MEMORY,
		.userspace_addr = (uintptr_t)memory,
	};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm, vcpu;
	int with_cpuid = argc == 3 && !strcmp(argv[1], "-c");
	struct kvm_run *run;

	if (argc != 2 + with_cpuid || memory == MAP_FAILED || kvm < 0)
		err(1, "/dev/kvm");
	load(argv[1 + with_cpuid], memory);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0 || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot))
		err(1, "KVM_CREATE_VM");
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
		   MAP_SHARED, vcpu, 0);
	if (vcpu < 0 || run == MAP_FAILED)
		err(1, "KVM_CREATE_VCPU");
	if (with_cpuid)
		set_cpuid(kvm, vcpu);
	set_registers(vcpu);
	run_guest(vcpu, run);
	return 0;
}
