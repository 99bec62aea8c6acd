/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * State that the walks of tests/tools/invisible.c do not cover on every host: state that two runs
 * on one host share (CPUID, the TSC's frequency), state of guests without an irqchip (cr8), and
 * state that not every KVM lets a guest set (XCR0). On an emulated KVM, too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kvm/kvm.h"

/* The leaf with the hypervisor's signature, which does not depend on the host. */
#define SIGNATURE 0x40000000u

struct host {
	struct kvm kvm;
	struct kvm_vcpu vcpu;
};

static int
setup(void **state)
{
	static struct host host;

	*state = &host;
	return kvm_open(&host.kvm) || kvm_vcpu_open(&host.vcpu, &host.kvm, 0) ||
	       kvm_vcpu_cpuid(&host.vcpu);
}

static int
teardown(void **state)
{
	struct host *host = *state;

	kvm_vcpu_close(&host->vcpu);
	kvm_close(&host->kvm);
	return 0;
}

/* The vCPU's state, opened as a record. */
static struct record
save(struct host *host, struct record_writer *writer)
{
	struct record root;

	*writer = (struct record_writer){ 0 };
	assert_int_equal(kvm_vcpu_save(&host->vcpu, writer), 0);
	assert_false(writer->failed);
	assert_int_equal(record_open(writer->data, writer->length, &root, NULL), 0);
	return root;
}

/* The data of an item in a group of it, writable. */
static uint8_t *
item_of(const struct record *root, const char *group_name, const char *name, uint32_t *count)
{
	struct record group, item;

	assert_true(record_find(root, group_name, &group));
	assert_true(record_find(&group, name, &item));
	if (count)
		*count = item.count;
	return (uint8_t *)item.data;
}

/* The CPUID entry with the signature. */
static uint8_t *
signature(const struct record *root)
{
	uint32_t count;
	uint8_t *entries = item_of(root, "cpuid", "entries", &count);

	for (size_t at = 0; at + sizeof(struct kvm_cpuid_entry2) <= count * 4ul;
	     at += sizeof(struct kvm_cpuid_entry2)) {
		uint32_t function;

		memcpy(&function, entries + at, 4);
		if (function == SIGNATURE)
			return entries + at;
	}
	fail_msg("no leaf 0x%x", SIGNATURE);
	return NULL;
}

static void
cpuid_is_restored(void **state)
{
	struct record_writer before, after;
	struct record root = save(*state, &before);
	uint8_t *entry = signature(&root);
	struct why why;

	memcpy(entry + offsetof(struct kvm_cpuid_entry2, ebx), "mini", 4);
	assert_int_equal(kvm_vcpu_load(&((struct host *)*state)->vcpu, &root, &why), 0);
	root = save(*state, &after);
	assert_memory_equal(signature(&root) + offsetof(struct kvm_cpuid_entry2, ebx), "mini", 4);
	record_writer_free(&before);
	record_writer_free(&after);
}

/*
 * A host with TSC scaling uses it; other hosts refuse the snapshot. Neither ignores the frequency.
 */
static void
tsc_frequency_is_restored(void **state)
{
	struct kvm_vcpu *vcpu = &((struct host *)*state)->vcpu;
	struct record_writer before;
	struct record root = save(*state, &before);
	uint64_t khz;
	struct why why;

	memcpy(&khz, item_of(&root, "tsc_khz", "khz", NULL), 8);
	khz += khz / 2;
	memcpy(item_of(&root, "tsc_khz", "khz", NULL), &khz, 8);
	if (kvm_vcpu_load(vcpu, &root, &why))
		assert_non_null(strstr(why.text, "tsc_khz"));
	else
		assert_in_range(ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0), khz - khz / 1000,
				khz + khz / 1000);
	record_writer_free(&before);
}

/*
 * A host with nearly the same frequency runs the guest without scaling, and saves the frequency
 * that the guest knows.
 */
static void
tsc_frequency_does_not_drift(void **state)
{
	struct record_writer before, after;
	struct record root = save(*state, &before);
	uint64_t khz, now;
	struct why why;

	memcpy(&khz, item_of(&root, "tsc_khz", "khz", NULL), 8);
	khz += khz / 8000;
	memcpy(item_of(&root, "tsc_khz", "khz", NULL), &khz, 8);
	assert_int_equal(kvm_vcpu_load(&((struct host *)*state)->vcpu, &root, &why), 0);
	root = save(*state, &after);
	memcpy(&now, item_of(&root, "tsc_khz", "khz", NULL), 8);
	assert_int_equal(now, khz);
	record_writer_free(&before);
	record_writer_free(&after);
}

/* Without the in-kernel LAPIC, KVM takes CR8 from kvm_run at every entry. */
static void
cr8_is_restored(void **state)
{
	struct kvm_vcpu *vcpu = &((struct host *)*state)->vcpu;
	struct record_writer before;
	struct record root;
	struct why why;

	vcpu->run->cr8 = 5;
	root = save(*state, &before);
	vcpu->run->cr8 = 0;
	assert_int_equal(kvm_vcpu_load(vcpu, &root, &why), 0);
	assert_int_equal(vcpu->run->cr8, 5);
	record_writer_free(&before);
}

static void
xcr0_is_restored(void **state)
{
	const uint64_t x87_and_sse = 3;
	struct record_writer before, after;
	struct record root = save(*state, &before);
	struct why why;

	memcpy(item_of(&root, "xcrs", "xcr0", NULL), &x87_and_sse, 8);
	assert_int_equal(kvm_vcpu_load(&((struct host *)*state)->vcpu, &root, &why), 0);
	root = save(*state, &after);
	assert_memory_equal(item_of(&root, "xcrs", "xcr0", NULL), &x87_and_sse, 8);
	record_writer_free(&before);
	record_writer_free(&after);
}

/* kvm-clock continues from the saved value. */
static void
clock_is_restored(void **state)
{
	struct kvm *kvm = &((struct host *)*state)->kvm;
	const uint64_t hour = 3600000000000;
	struct record_writer writer = { 0 };
	struct record root;
	uint64_t now;
	struct why why;

	assert_int_equal(kvm_vm_save(kvm, &writer), 0);
	assert_int_equal(record_open(writer.data, writer.length, &root, NULL), 0);
	memcpy(item_of(&root, "clock", "clock", NULL), &hour, 8);
	kvm->stopped = true;
	assert_int_equal(kvm_vm_load(kvm, &root, &why), 0);
	assert_int_equal(kvm_resume(kvm), 0);
	record_writer_free(&writer);
	writer = (struct record_writer){ 0 };
	assert_int_equal(kvm_vm_save(kvm, &writer), 0);
	assert_int_equal(record_open(writer.data, writer.length, &root, NULL), 0);
	memcpy(&now, item_of(&root, "clock", "clock", NULL), 8);
	assert_in_range(now, hour, hour + hour / 60);
	record_writer_free(&writer);
}

static int
setup_irqchip(void **state)
{
	static struct host host;

	*state = &host;
	return kvm_open(&host.kvm) || kvm_irqchip(&host.kvm) ||
	       kvm_vcpu_open(&host.vcpu, &host.kvm, 0) || kvm_vcpu_cpuid(&host.vcpu);
}

/* A vCPU in HLT that waits for an interrupt. */
static void
mp_state_is_restored(void **state)
{
	const uint32_t halted = KVM_MP_STATE_HALTED;
	const uint64_t rip = 0x1000; /* at the reset vector KVM treats a load as a reset */
	struct record_writer before, after;
	struct record root = save(*state, &before);
	struct why why;

	memcpy(item_of(&root, "regs", "rip", NULL), &rip, 8);
	memcpy(item_of(&root, "mp_state", "mp_state", NULL), &halted, 4);
	assert_int_equal(kvm_vcpu_load(&((struct host *)*state)->vcpu, &root, &why), 0);
	root = save(*state, &after);
	assert_memory_equal(item_of(&root, "mp_state", "mp_state", NULL), &halted, 4);
	record_writer_free(&before);
	record_writer_free(&after);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(cpuid_is_restored, setup, teardown),
		cmocka_unit_test_setup_teardown(tsc_frequency_is_restored, setup, teardown),
		cmocka_unit_test_setup_teardown(tsc_frequency_does_not_drift, setup, teardown),
		cmocka_unit_test_setup_teardown(cr8_is_restored, setup, teardown),
		cmocka_unit_test_setup_teardown(xcr0_is_restored, setup, teardown),
		cmocka_unit_test_setup_teardown(mp_state_is_restored, setup_irqchip, teardown),
		cmocka_unit_test_setup_teardown(clock_is_restored, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
