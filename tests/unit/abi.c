/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plugin ABI across versions. An older plugin has a shorter descriptor and shorter rows than
 * this host, a newer plugin has longer ones.
 */
#include "unit/abi_sample.h"

/* Asserts that the adopted table has the plugin's bytes, and zeros where the plugin has none. */
static void
same_rows(const struct sample *s, enum kind kind, const void *adopted)
{
	size_t ours = kinds[kind].size, known = s->sizes[kind] < ours ? s->sizes[kind] : ours;

	for (size_t i = 0; i < ROWS; i++) {
		const uint8_t *row = (const uint8_t *)adopted + i * ours;
		const uint8_t *given = (const uint8_t *)rows_of(s, kind) + i * ours;

		if (kind == RANGE) { /* the table inside is a copy */
			assert_memory_equal(row, given, offsetof(struct minivmm_range, registers));
			assert_int_equal(!((const struct minivmm_range *)row)->registers,
					 !((const struct minivmm_range *)given)->registers);
			continue;
		}
		if (kind == PCI) { /* so is this one, in the middle of the row */
			struct minivmm_pci *copy = (struct minivmm_pci *)(uintptr_t)row;

			assert_int_equal(!copy->bars, !((const struct minivmm_pci *)given)->bars);
			copy->bars = ((const struct minivmm_pci *)given)->bars;
		}
		assert_memory_equal(row, given, known);
		for (size_t b = known; b < ours; b++)
			assert_int_equal(row[b], 0);
	}
	for (size_t b = 0; b < ours; b++)
		assert_int_equal(((const uint8_t *)adopted)[ROWS * ours + b], 0);
}

static void
assert_adopted(struct sample *s)
{
	const struct minivmm_plugin *d = &s->plugin.descriptor;
	const bool new = s->sizes[DESCRIPTOR] >= kinds[DESCRIPTOR].size;
	const char *reason = adopt(s);

	if (reason)
		fail_msg("%s", reason);
	same_rows(s, OPTION, d->options);
	same_rows(s, RANGE, d->ranges);
	same_rows(s, REGISTER, d->ranges[0].registers);
	same_rows(s, TIMER, d->timers);
	same_rows(s, STREAM, d->streams);
	same_rows(s, WATCH, d->watches);
	same_rows(s, POST, d->posts);
	same_rows(s, FIELD, d->fields);
	/* The oldest descriptor ends before acpi and pci. */
	if (new) {
		same_rows(s, ACPI, d->acpi);
		same_rows(s, BAR, d->pci[0].bars);
		same_rows(s, PCI, d->pci);
	} else {
		assert_null(d->acpi);
		assert_null(d->pci);
	}
	assert_int_equal(s->plugin.pci_count, new ? ROWS : 0);
	assert_int_equal(s->plugin.option_count, ROWS);
	assert_int_equal(s->plugin.range_count, ROWS);
	assert_int_equal(s->plugin.timer_count, ROWS);
	assert_int_equal(s->plugin.stream_count, ROWS);
	assert_int_equal(s->plugin.watch_count, ROWS);
	assert_int_equal(s->plugin.post_count, ROWS);
	assert_int_equal(s->plugin.field_count, ROWS);
	assert_string_equal(d->name, "sample");
	assert_int_equal(d->state_version, 3);
	assert_ptr_equal(d->stop, stop);
	assert_null(d->save);
	assert_null(d->loaded);
	/* size, level, port, at, output, input, wait_input, log; slot */
	assert_int_equal(s->plugin.all_count, 8 + new);
}

/* Adopts samples whose sizes differ from the host's by deltas: each kind alone, then all kinds. */
static void
other_sizes(const int *deltas)
{
	for (int only = -1; only < KINDS; only++) {
		struct sample *s = sample_new();

		for (int k = 0; k < KINDS; k++)
			if (only < 0 || only == k)
				s->sizes[k] = (uint32_t)((int)kinds[k].size + deltas[k]);
		build_all(s);
		assert_adopted(s);
		sample_free(s);
	}
}

static void
this_abi(void **state)
{
	other_sizes((const int[KINDS]){ 0 });
}

static void
newer_plugin(void **state)
{
	int deltas[KINDS];

	for (int more = 8; more <= 64; more += 56) {
		for (int k = 0; k < KINDS; k++)
			deltas[k] = more;
		other_sizes(deltas);
	}
}

static void
older_plugin(void **state)
{
	int deltas[KINDS];

	for (int k = 0; k < KINDS; k++)
		deltas[k] = (int)kinds[k].old_size - (int)kinds[k].size;
	other_sizes(deltas);
}

/* The message names the row and the byte of an unknown member that is in use. */
static void
newer_member_in_use(void **state)
{
	for (int k = 0; k < KINDS; k++)
		for (size_t row = 0; row < (k == DESCRIPTOR ? 1 : ROWS); row++) {
			struct sample *s = sample_new();
			char place[32], byte[32];
			const char *reason;

			s->sizes[k] += 24;
			build_all(s);
			s->built[k][row * s->sizes[k] + kinds[k].size + 16] = 1;
			reason = adopt(s);
			snprintf(place, sizeof(place), k == DESCRIPTOR ? "%s" : "%s[%zu]",
				 kinds[k].name, row);
			snprintf(byte, sizeof(byte), "at byte %u", kinds[k].size + 16);
			if (!reason || !strstr(reason, "needs a newer minivmm") ||
			    !strstr(reason, place) || !strstr(reason, byte))
				fail_msg("%s: %s", place, reason ? reason : "loaded");
			sample_free(s);
		}
}

/* A longer registration has sizes of tables that this host does not know. It is accepted if the
 * descriptor does not use these tables. */
static void
longer_registration(void **state)
{
	struct {
		struct minivmm_registration registration;
		uint32_t more[4];
	} longer = { .more = { 8, 16, 24, 32 } };
	struct sample *s = sample_new();

	build_all(s);
	longer.registration = s->registration;
	longer.registration.size = sizeof(longer);
	assert_int_equal(plugin_adopt(&s->plugin, &longer.registration, &s->why), 0);
	sample_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(this_abi),
		cmocka_unit_test(newer_plugin),
		cmocka_unit_test(older_plugin),
		cmocka_unit_test(newer_member_in_use),
		cmocka_unit_test(longer_registration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
