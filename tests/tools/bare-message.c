/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lower bound for a device's message: a loop around KVM_RUN that calls KVM at once, without
 * lookup, lock, masks or checks. It runs tests/bench/message.S.
 *
 *   bare-message IMAGE COUNT msi|irqfd [thread]
 *     msi     KVM_SIGNAL_MSI sends a message
 *     irqfd   an eventfd does, which KVM_IRQFD binds to an entry of the routing table
 *     thread  another thread sends it while the guest halts; prints for each the nanoseconds from
 *             the call to the exit of the guest's handler. Else the vCPU's thread sends it when
 *             the guest rings.
 *
 * Fails after a minute.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MEMORY_AT 0x1000
#define MEMORY 0x10000
#define CPUID_MAX 256
#define CARD 0xd0000000u /* the registers to which the guest writes */
#define RING 1u          /* offset: send a message; 0: the handler runs */
#define END_PORT 0xf4
#define GSI 24u /* behind those of the IOAPIC */
#define MESSAGE_ADDRESS 0xfee00000u
#define MESSAGE_DATA 0x30u
#define PATIENCE 60u  /* seconds for the run */
#define GAP_NS 200000 /* between two messages of the thread: the guest halts again */

static struct {
	int kvm, vm, vcpu, event;
	struct kvm_run *run;
	bool thread;
	uint32_t count;
	atomic_uint handled;           /* messages whose handler has exited */
	atomic_uint_least64_t sent_at; /* of the last message, in ns */
} m;

static void
call(int fd, unsigned long request, const void *argument, const char *name)
{
	if (ioctl(fd, request, argument) < 0)
		err(1, "%s", name);
}
#define CALL(fd, request, argument) call(fd, request, argument, #request)

static uint64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void
load(const char *image)
{
	struct kvm_userspace_memory_region slot = { .guest_phys_addr = MEMORY_AT,
						    .memory_size = MEMORY };
	void *memory =
	    mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open(image, O_RDONLY | O_CLOEXEC);

	if (memory == MAP_FAILED || fd < 0 || read(fd, memory, MEMORY) <= 0)
		err(1, "%s", image);
	close(fd);
	slot.userspace_addr = (uintptr_t)memory;
	CALL(m.vm, KVM_SET_USER_MEMORY_REGION, &slot);
}

static void
set_cpuid(void)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[CPUID_MAX];
	} cpuid = { .head = { .nent = CPUID_MAX } };

	CALL(m.kvm, KVM_GET_SUPPORTED_CPUID, &cpuid);
	CALL(m.vcpu, KVM_SET_CPUID2, &cpuid);
}

static void
set_registers(void)
{
	const struct kvm_segment data = { .limit = 0xffffffff,
					  .selector = 0x10,
					  .type = 3,
					  .present = 1,
					  .db = 1,
					  .s = 1,
					  .g = 1 };
	struct kvm_regs regs = {
		.rip = MEMORY_AT, .rbx = CARD, .rcx = m.count, .rdi = m.thread, .rflags = 2
	};
	struct kvm_sregs sregs = { 0 };

	CALL(m.vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs = sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cs.selector = 8;
	sregs.cs.type = 11;
	sregs.cr0 |= 1;
	CALL(m.vcpu, KVM_SET_SREGS, &sregs);
	CALL(m.vcpu, KVM_SET_REGS, &regs);
}

static void
bind_event(void)
{
	static struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} table = { .head = { .nr = 1 },
		    .entry = { .gsi = GSI,
			       .type = KVM_IRQ_ROUTING_MSI,
			       .u.msi = { .address_lo = MESSAGE_ADDRESS, .data = MESSAGE_DATA } } };
	struct kvm_irqfd bind = { .gsi = GSI };

	m.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m.event < 0)
		err(1, "eventfd");
	bind.fd = (uint32_t)m.event;
	CALL(m.vm, KVM_SET_GSI_ROUTING, &table);
	CALL(m.vm, KVM_IRQFD, &bind);
}

static void
build(const char *image, bool irqfd)
{
	m.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	m.vm = m.kvm < 0 ? -1 : ioctl(m.kvm, KVM_CREATE_VM, 0);
	if (m.vm < 0)
		err(1, "KVM_CREATE_VM");
	load(image);
	CALL(m.vm, KVM_CREATE_IRQCHIP, NULL);
	m.vcpu = ioctl(m.vm, KVM_CREATE_VCPU, 0);
	m.run = mmap(NULL, (size_t)ioctl(m.kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
		     MAP_SHARED, m.vcpu, 0);
	if (m.vcpu < 0 || m.run == MAP_FAILED)
		err(1, "KVM_CREATE_VCPU");
	set_cpuid();
	set_registers();
	m.event = -1;
	if (irqfd)
		bind_event();
}

static void
send_message(void)
{
	static const struct kvm_msi message = { .address_lo = MESSAGE_ADDRESS,
						.data = MESSAGE_DATA };
	static const uint64_t one = 1;

	if (m.event < 0)
		CALL(m.vm, KVM_SIGNAL_MSI, &message);
	else if (write(m.event, &one, sizeof(one)) != sizeof(one))
		err(1, "eventfd");
}

static void *
sender(void *argument)
{
	const struct timespec gap = { .tv_nsec = GAP_NS };

	for (uint32_t i = 0; i < m.count; i++) {
		nanosleep(&gap, NULL);
		atomic_store(&m.sent_at, now());
		send_message();
		while (atomic_load(&m.handled) == i)
			nanosleep(&gap, NULL);
	}
	return NULL;
}

/* The guest's first ring tells the thread that it is ready. */
static void
rung(void)
{
	pthread_t thread;

	if (!m.thread)
		send_message();
	else if (pthread_create(&thread, NULL, sender, NULL) || pthread_detach(thread))
		errx(1, "pthread_create");
}

static void
handled(void)
{
	if (m.thread)
		printf("%llu\n", (unsigned long long)(now() - atomic_load(&m.sent_at)));
	atomic_fetch_add(&m.handled, 1);
}

static void
run(void)
{
	struct kvm_run *run = m.run;

	for (;;) {
		if (ioctl(m.vcpu, KVM_RUN, 0))
			err(1, "KVM_RUN");
		if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.phys_addr == CARD + RING)
			rung();
		else if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.phys_addr == CARD)
			handled();
		else if (run->exit_reason == KVM_EXIT_IO && run->io.port == END_PORT)
			return;
		else
			errx(1, "KVM exit %u", run->exit_reason);
	}
}

int
main(int argc, char **argv)
{
	m.count = argc >= 4 ? (uint32_t)strtoul(argv[2], NULL, 0) : 0;
	m.thread = argc == 5 && !strcmp(argv[4], "thread");
	if (!m.count || argc != 4 + m.thread ||
	    (strcmp(argv[3], "msi") && strcmp(argv[3], "irqfd")))
		errx(2, "usage: bare-message IMAGE COUNT msi|irqfd [thread]");
	build(argv[1], !strcmp(argv[3], "irqfd"));
	alarm(PATIENCE);
	run();
	if (atomic_load(&m.handled) != m.count)
		errx(1, "%u of %u messages arrived", atomic_load(&m.handled), m.count);
	return 0;
}
