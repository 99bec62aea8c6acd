/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt lines of KVM's PICs and IOAPIC: the sources that can share a line, and the time at
 * which KVM receives a change. On an emulated KVM, too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "machine/irq.h"

#include <cmocka.h>

#include "said.h"

struct bench {
	struct kvm kvm;
	struct irqs irqs;
};

static int
setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	*state = bench;
	return !bench || kvm_open(&bench->kvm) || kvm_irqchip(&bench->kvm) ||
	       irqs_init(&bench->irqs, &bench->kvm);
}

static int
teardown(void **state)
{
	struct bench *bench = *state;

	irqs_free(&bench->irqs);
	kvm_close(&bench->kvm);
	free(bench);
	return 0;
}

static uint32_t
add(struct bench *bench, uint32_t line, bool edge, bool active_low, const char *owner)
{
	int handle = irqs_add(&bench->irqs, line, edge, active_low, "x.ini:1", owner);

	assert_true(handle > 0);
	return (uint32_t)handle;
}

static struct kvm_pic_state
pic(struct bench *bench, uint32_t line)
{
	struct kvm_irqchip chip = { .chip_id =
					line < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE };

	assert_int_equal(ioctl(bench->kvm.vm, KVM_GET_IRQCHIP, &chip), 0);
	return chip.chip.pic;
}

/* The level of the line in the PIC. */
static bool
high(struct bench *bench, uint32_t line)
{
	return pic(bench, line).last_irr >> line % 8 & 1;
}

/* Whether an edge has arrived since the last call. Clears it. */
static bool
edge(struct bench *bench, uint32_t line)
{
	struct kvm_irqchip chip = { .chip_id =
					line < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE };
	bool seen;

	assert_int_equal(ioctl(bench->kvm.vm, KVM_GET_IRQCHIP, &chip), 0);
	seen = chip.chip.pic.irr >> line % 8 & 1;
	chip.chip.pic.irr &= (uint8_t) ~(1u << line % 8);
	assert_int_equal(ioctl(bench->kvm.vm, KVM_SET_IRQCHIP, &chip), 0);
	return seen;
}

static void
one_source(void **state)
{
	struct bench *bench = *state;
	uint32_t line = add(bench, 5, false, false, "a.irq");

	assert_false(high(bench, 5));
	irqs_set(&bench->irqs, line, true);
	assert_true(high(bench, 5));
	assert_true(edge(bench, 5));
	irqs_set(&bench->irqs, line, true); /* no change */
	assert_false(edge(bench, 5));
	irqs_set(&bench->irqs, line, false);
	assert_false(high(bench, 5));
	irqs_set(&bench->irqs, line, false);
	irqs_set(&bench->irqs, line, true);
	assert_true(edge(bench, 5));
}

static void
shared(void **state)
{
	struct bench *bench = *state;
	uint32_t a = add(bench, 10, false, false, "a.irq"),
		 b = add(bench, 10, false, false, "b.irq");
	uint32_t other = add(bench, 11, false, false, "c.irq");

	irqs_set(&bench->irqs, a, true);
	irqs_set(&bench->irqs, b, true);
	assert_true(edge(bench, 10));
	irqs_set(&bench->irqs, a, false);
	assert_true(high(bench, 10));
	irqs_set(&bench->irqs, a, false);
	assert_true(high(bench, 10));
	irqs_set(&bench->irqs, a, true);
	assert_false(edge(bench, 10));
	irqs_set(&bench->irqs, b, false);
	irqs_set(&bench->irqs, a, false);
	assert_false(high(bench, 10));
	assert_false(high(bench, 11));
	irqs_set(&bench->irqs, other, true);
	assert_true(high(bench, 11));
}

static void
pulse(void **state)
{
	struct bench *bench = *state;
	uint32_t line = add(bench, 7, true, false, "a.irq");

	for (int i = 0; i < 3; i++) {
		irqs_pulse(&bench->irqs, line);
		assert_true(edge(bench, 7));
		assert_false(high(bench, 7));
	}
}

/* The polarity is for tables of the guest: KVM's lines are active high. */
static void
active_low(void **state)
{
	struct bench *bench = *state;
	uint32_t a = add(bench, 9, false, true, "a.irq"), b = add(bench, 9, false, true, "b.irq");

	assert_false(high(bench, 9));
	irqs_set(&bench->irqs, a, true);
	assert_true(high(bench, 9));
	irqs_set(&bench->irqs, b, true);
	irqs_set(&bench->irqs, a, false);
	assert_true(high(bench, 9));
	irqs_set(&bench->irqs, b, false);
	assert_false(high(bench, 9));
}

static void
none(void **state)
{
	struct bench *bench = *state;

	add(bench, 3, false, false, "a.irq");
	irqs_set(&bench->irqs, 0, true);
	irqs_pulse(&bench->irqs, 0);
	irqs_set(&bench->irqs, 2, true); /* no source has this handle */
	irqs_pulse(&bench->irqs, UINT32_MAX);
	for (uint32_t line = 0; line < 16; line++)
		if (line != 0) /* the PIT's line */
			assert_false(high(bench, line));
}

static void
refuses_to_share(void **state)
{
	static const struct {
		bool edge, low;
		bool other_edge, other_low;
		bool fits;
	} cases[] = {
		{ false, false, false, false, true }, { false, true, false, true, true },
		{ true, false, false, false, false }, { false, false, true, false, false },
		{ true, false, true, false, false },  { false, false, false, true, false },
		{ false, true, false, false, false },
	};
	struct bench *bench = *state;

	for (uint32_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct said said;
		const char *text;
		int r;

		add(bench, i + 3, cases[i].edge, cases[i].low, "first.irq");
		said_begin(&said);
		r = irqs_add(&bench->irqs, i + 3, cases[i].other_edge, cases[i].other_low,
			     "x.ini:9", "second.irq");
		text = said_end(&said);
		if (cases[i].fits) {
			assert_true(r > 0);
			assert_string_equal(text, "");
		} else {
			assert_int_equal(r, -STATUS_USAGE);
			SAID(text, "x.ini:9: first.irq and second.irq cannot share line");
		}
	}
}

/* Levels are restored by the owners' names. A line that is not raised stays so. */
static void
save_and_load(void **state)
{
	struct bench *bench = *state, *again = NULL;
	struct record_writer writer = { 0 };
	struct record group;
	struct why why;
	uint32_t a, b;

	a = add(bench, 5, false, false, "a.irq");
	b = add(bench, 5, false, false, "b.irq");
	add(bench, 6, false, false, "c.irq");
	add(bench, 9, false, true, "d.irq");
	irqs_set(&bench->irqs, a, true);
	irqs_set(&bench->irqs, b, true);
	irqs_save(&bench->irqs, &writer);
	assert_false(writer.failed);
	assert_int_equal(record_open(writer.data, writer.length, &group, NULL), 0);

	assert_int_equal(setup((void **)&again), 0);
	/* The same devices in another order. */
	add(again, 9, false, true, "d.irq");
	b = add(again, 5, false, false, "b.irq");
	add(again, 6, false, false, "c.irq");
	a = add(again, 5, false, false, "a.irq");
	assert_int_equal(irqs_check(&again->irqs, &group, &why), 0);
	irqs_load(&again->irqs, &group);
	assert_true(high(again, 5));
	assert_false(high(again, 6));
	assert_false(high(again, 9));
	irqs_defer(&again->irqs, false); /* as when the machine continues */
	irqs_set(&again->irqs, b, false);
	assert_true(high(again, 5));
	irqs_set(&again->irqs, a, false);
	assert_false(high(again, 5));

	add(again, 3, false, false, "e.irq");
	assert_int_equal(irqs_check(&again->irqs, &group, &why), -1);
	assert_string_equal(why.text, "the level of line e.irq is missing");
	teardown((void **)&again);
	record_writer_free(&writer);
}

/*
 * Between kvm_stop and kvm_go KVM receives no changes. Afterwards it receives all of them, also in
 * a machine that loads the state saved in between.
 */
static void
deferred(void **state)
{
	struct bench *bench = *state, *again = NULL;
	struct record_writer writer = { 0 };
	struct record group;
	struct why why;
	uint32_t rises = add(bench, 5, false, false, "a.irq"),
		 falls = add(bench, 6, false, false, "b.irq"),
		 pulses = add(bench, 7, true, false, "c.irq"),
		 changes_its_mind = add(bench, 10, false, false, "d.irq");

	irqs_set(&bench->irqs, falls, true);
	irqs_defer(&bench->irqs, true);
	irqs_set(&bench->irqs, rises, true);
	irqs_set(&bench->irqs, falls, false);
	irqs_pulse(&bench->irqs, pulses);
	irqs_set(&bench->irqs, changes_its_mind, true);
	irqs_set(&bench->irqs, changes_its_mind, false);
	assert_false(high(bench, 5));
	assert_true(high(bench, 6));
	assert_false(edge(bench, 7));
	irqs_save(&bench->irqs, &writer);
	assert_int_equal(record_open(writer.data, writer.length, &group, NULL), 0);

	irqs_defer(&bench->irqs, false);
	assert_true(high(bench, 5));
	assert_false(high(bench, 6));
	assert_true(edge(bench, 7));
	assert_false(edge(bench, 10));
	irqs_defer(&bench->irqs, true); /* no change */
	irqs_defer(&bench->irqs, false);
	assert_false(edge(bench, 7));

	assert_int_equal(setup((void **)&again), 0);
	add(again, 5, false, false, "a.irq");
	add(again, 6, false, false, "b.irq");
	add(again, 7, true, false, "c.irq");
	add(again, 10, false, false, "d.irq");
	assert_int_equal(irqs_check(&again->irqs, &group, &why), 0);
	irqs_load(&again->irqs, &group);
	assert_false(high(again, 5)); /* the levels of the loaded chips */
	assert_true(high(again, 6));
	assert_false(edge(again, 7));
	irqs_defer(&again->irqs, false);
	assert_true(high(again, 5));
	assert_false(high(again, 6));
	assert_true(edge(again, 7));
	assert_false(edge(again, 10));
	teardown((void **)&again);
	record_writer_free(&writer);
}

/* A snapshot can be written of all sources that there can be. */
static void
sources_fit_into_a_snapshot(void **state)
{
	struct bench *bench = *state;
	struct record_writer writer = { 0 };
	char owner[300] = "";
	struct said said;

	for (uint32_t i = 1; i < RECORD_ITEMS; i++) {
		snprintf(owner, sizeof(owner), "a%u.irq", i);
		add(bench, 5, false, false, owner);
	}
	said_begin(&said);
	assert_int_equal(irqs_add(&bench->irqs, 5, false, false, "x.ini:9", "b.irq"),
			 -STATUS_USAGE);
	SAID(said_end(&said), "x.ini:9: b.irq is one interrupt source too many for a snapshot: "
			      "at most 4095; use none");
	memset(owner, 'x', 256);
	said_begin(&said);
	assert_int_equal(irqs_add(&bench->irqs, 5, false, false, "x.ini:9", owner), -STATUS_USAGE);
	SAID(said_end(&said), "is too long for a snapshot");
	irqs_defer(&bench->irqs, true);
	irqs_set(&bench->irqs, 1, true);
	record_begin(&writer, "lines", RECORD_GROUP);
	irqs_save(&bench->irqs, &writer);
	record_end(&writer);
	assert_false(writer.failed);
	record_writer_free(&writer);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(sources_fit_into_a_snapshot),
		TEST(one_source),
		TEST(shared),
		TEST(pulse),
		TEST(active_low),
		TEST(none),
		TEST(refuses_to_share),
		TEST(save_and_load),
		TEST(deferred),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
