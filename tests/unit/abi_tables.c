/* SPDX-License-Identifier: BSD-2-Clause */
/* Invalid tables of plugins are refused, and the message names the row. */
#include "unit/abi_sample.h"

#define NAME_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

#define CONTRADICTIONS(X)                                                                          \
	X(s->registration.abi = 3, "built for ABI 3")                                              \
	X(s->registration.size = 40, "registration is too short")                                  \
	X(s->registration.plugin = NULL, "registration is too short")                              \
	X(s->registration.option_size = 0, "table of options has rows of 0 bytes")                 \
	X(s->registration.register_size = 70000, "table of registers has rows of 70000 bytes")     \
	X(d->name = NULL, "lacks a name, a summary or a state_version")                            \
	X(d->state_version = 0, "lacks a name, a summary or a state_version")                      \
	X(options[1].name = NULL, "options[1] has no name")                                        \
	X(options[1].name = "size", "options[1] defines a second option named size")               \
	X(options[1].name = "wait_input", "streams[0] defines a second option named wait_input")   \
	X(options[1].name = "plugin", "options[1] defines an option named plugin")                 \
	X(options[1].type = 77, "option level has the unknown type 77")                            \
	X(options[1].type = MINIVMM_ENUM, "option level is an enum without values")                \
	X(options[1].offset = 32, "option level lies outside the state")                           \
	X(options[0].offset = 25, "option size lies outside the state")                            \
	X(options[1].offset = 1, "field level overlaps the member of option level")                \
	X(options[1].offset = 23, "field bytes overlaps the member of option level")               \
	X(s->registration.pci_size = 4, "table of pci has rows of 4 bytes")                        \
	X(s->registration.bar_size = 12, "table of bars has rows of 12 bytes")                     \
	X(options[0].type = MINIVMM_STRING, "range at takes its length from size, which is not")   \
	X(ranges[0].space = 3, "ranges[0] has the unknown space 3")                                \
	X((ranges[0].at = NULL, bars[0].range = 1), "ranges[0] has neither .at")                   \
	X(ranges[0].length = 0, "range port has no length")                                        \
	X(ranges[1].length_option = "length", "range at has no length")                            \
	X(ranges[1].widths = 16, "range at has unknown widths 0x10")                               \
	X(streams[0].name = NULL, "streams[0] has no name")                                        \
	X(streams[1].output = NULL, "streams[1] has no name, or neither output nor input")         \
	X(ranges[1].at = "port", "ranges[1] defines a second option named port")                   \
	X(streams[1].output = "input", "streams[1] defines a second option named input")           \
	X(timers[1].fire = NULL, "timers[1] has no name or no fire")                               \
	X(watches[0].ready = NULL, "watches[0] has no name or no ready")                           \
	X(posts[1].name = NULL, "posts[1] has no name or no run")                                  \
	X(timers[1].name = "tick", "timers[1] and timers[0] have the same name, tick")             \
	X(streams[1].name = "line", "streams[1] and streams[0] have the same name, line")          \
	X(watches[1].name = "inotify", "watches[1] and watches[0] have the same name, inotify")    \
	X(posts[1].name = "done", "posts[1] and posts[0] have the same name, done")                \
	X(fields[1].name = "level", "fields[1] and fields[0] have the same name, level")           \
	X(fields[0].type = MINIVMM_SIZE, "fields[0] has no name or no valid type")                 \
	X(fields[0].name = "a b", "field name 'a b' is invalid")                                   \
	X(fields[1].name = "", "field name '' is invalid")                                         \
	X(timers[0].name = "a=b", "timer name 'a=b' is invalid")                                   \
	X(streams[0].name = "\n", "stream name '\n' is invalid")                                   \
	X(options[0].name = NAME_64 NAME_64 NAME_64 NAME_64,                                       \
	  "option name '" NAME_64 "' is invalid")                                                  \
	X(fields[1].count = 17, "field bytes lies outside the state")                              \
	X(fields[1].counter_offset = 25, "field bytes has a counter outside the state")            \
	X(fields[0].flags = MINIVMM_POINTER, "field level lies outside the state")                 \
	X(d->state_size = SIZE_MAX, "its state_size is 18446744073709551615, above 268435456")     \
	X(d->flags = 4, "newer minivmm: the descriptor has the unknown flags 0x4")                 \
	X(options[0].flags = 0x200, "newer minivmm: option size has the unknown flags 0x200")      \
	X(ranges[1].flags |= 0x40, "newer minivmm: range at has the unknown flags 0x40")           \
	X(fields[0].flags = 0x40, "newer minivmm: field level has the unknown flags 0x40")         \
	X(acpi[0].role = 7, "newer minivmm: acpi[0] has the unknown role 7")                       \
	X(acpi[0].page = "Addr", "acpi[0]: page = Addr is not an ACPI name")                       \
	X(acpi[0].page = "ADDRS", "acpi[0]: page = ADDRS is not an ACPI name")                     \
	X(acpi[0].page = "0DDR", "acpi[0]: page = 0DDR is not an ACPI name")                       \
	X(acpi[0].aml_length = 1, "acpi[0] has aml_length but no aml")                             \
	X(acpi[1].hid = NULL, "acpi[1] has no hid")                                                \
	X(acpi[1].hid = "foo bar", "acpi[1]: hid = foo bar is not an ID")                          \
	X(acpi[1].hid = "TOOLONG12345", "acpi[1]: hid = TOOLONG12345 is not an ID")                \
	X(acpi[1].hid = "", "acpi[1]: hid =  is not an ID")                                        \
	X(acpi[1].cid = "a b", "acpi[1]: cid = a b is not an ID")                                  \
	X(options[0].min = 65, "option size: min 0x41 is above its maximum, 0x40")                 \
	X(options[0].initial = "65", "option size: initial = 65 is out of range, 1 to 64")         \
	X(options[0].initial = "no", "option size: initial = no is not a number")                  \
	X((options[1].type = MINIVMM_BOOL, options[1].initial = "2"),                              \
	  "option level: initial = 2 is not one of its values")                                    \
	X((options[0].type = MINIVMM_IRQ, options[0].initial = "24"),                              \
	  "option size: initial = 24 is not one of its values")                                    \
	X(ranges[0].at_initial = "0x10000", "option port: initial = 0x10000 is out of range")      \
	X(ranges[0].at_initial = "here", "option port: initial = here is not a number")            \
	X(options[1].offset = 9, "option level overlaps the member of option size")                \
	X(ranges[0].widths = MINIVMM_W64, "range port of 4 bytes has accesses of 8 bytes")         \
	X(fields[0].initial = 10, "field level: initial 0xa is above its maximum, 0x9")            \
	X((fields[0].max = 0, fields[0].initial = 256),                                            \
	  "field level: initial 0x100 is above its maximum, 0xff")                                 \
	X(fields[0].since = 4, "field level: since 4 is above state_version 3")                    \
	X(fields[0].offset = 18, "field bytes overlaps field level")                               \
	X(fields[1].counter_offset = 16, "field bytes contains its own counter")                   \
	X(fields[1].counter_offset = 8,                                                            \
	  "the counter of field bytes overlaps the member of option")                              \
	X((fields[1].counter_offset = 0, fields[1].counter_type = MINIVMM_U16),                    \
	  "the counter of field bytes overlaps field level")                                       \
	X((fields[0] = fields[1], fields[0].name = "more", fields[0].flags = MINIVMM_POINTER,      \
	   fields[0].count = 0, fields[0].offset = 24, fields[0].counter_offset = 8,               \
	   fields[1].counter_offset = 28, fields[1].counter_type = MINIVMM_U8),                    \
	  "the counter of field bytes overlaps field more")                                        \
	X((fields[0] = fields[1], fields[0].name = "more", fields[0].offset = 4,                   \
	   fields[0].count = 4, fields[0].counter_offset = 25,                                     \
	   fields[0].counter_type = MINIVMM_U8),                                                   \
	  "the counter of field more overlaps field bytes's counter")                              \
	X((fields[1].flags = MINIVMM_POINTER, fields[1].counter_offset = 24),                      \
	  "the counter of field bytes is neither an option nor a member that configure can set")   \
	X((fields[1].flags = MINIVMM_POINTER, fields[1].counter_type = MINIVMM_U32),               \
	  "the counter of field bytes is neither an option nor a member that configure can set")   \
	X(acpi[1].only = "level", "acpi[1]: only = level is not an option of type irq")            \
	X(pci[0].slot = NULL, "pci[0] has no slot, or another one than pci[0]")                    \
	X(pci[1].slot = NULL, "pci[1] has no slot, or another one than pci[0]")                    \
	X(pci[1].slot = "place", "pci[1] has no slot, or another one than pci[0]")                 \
	X((pci[0].slot = pci[1].slot = "size"), "pci[0] defines a second option named size")       \
	X((pci[0].slot = pci[1].slot = "a b"), "option name 'a b' is invalid")                     \
	X(pci[0].slot_initial = "first",                                                           \
	  "option slot: initial = first is neither none, next nor 1 to 31")                        \
	X(pci[0].slot_initial = "0", "option slot: initial = 0 is neither none, next nor 1 to 31") \
	X(pci[0].slot_initial = "32",                                                              \
	  "option slot: initial = 32 is neither none, next nor 1 to 31")                           \
	X(pci[0].vendor = 0, "pci[0] has vendor 0x0 and class 0x0, which no function can have")    \
	X(pci[1].vendor = 0xffff,                                                                  \
	  "pci[1] has vendor 0xffff and class 0x0, which no function can have")                    \
	X(pci[1].class_code = 1 << 24, "pci[1] has vendor 0x1234 and class 0x1000000, which")      \
	X(*(uint8_t *)&pci[1].has_intx = 2, "pci[1]: has_intx is 2, neither true nor false")       \
	X(pci[1].flags = 2, "newer minivmm: pci row of slot has the unknown flags 0x2")            \
	X(bars[1].flags = 1, "newer minivmm: a BAR of slot has the unknown flags 0x1")             \
	X(bars[1].type = 0, "pci[0] has a BAR of the unknown type 0")                              \
	X(bars[1].type = 6, "pci[0] has a BAR of the unknown type 6")                              \
	X(bars[1].number = 6, "pci[0] has no room for a BAR 6")                                    \
	X(bars[1].number = UINT32_MAX, "pci[0] has no room for a BAR 4294967295")                  \
	X(bars[1].number = 0, "pci[0] defines a second BAR 0")                                     \
	X((bars[1].type = MINIVMM_BAR_MEMORY64, bars[1].number = 5),                               \
	  "pci[0] has no room for a BAR 5")                                                        \
	X((bars[1].type = MINIVMM_BAR_ROM), "pci[0] has no room for a BAR 1")                      \
	X((bars[1].type = MINIVMM_BAR_PREFETCHABLE64, bars[0].number = 2),                         \
	  "pci[0] defines a second BAR 1")                                                         \
	X(bars[1].range = 2, "pci[0]: BAR 1 refers to range 2, the table has 2 rows")              \
	X(bars[1].range = UINT32_MAX,                                                              \
	  "pci[0]: BAR 1 refers to range 4294967295, the table has 2 rows")                        \
	X(bars[1].range = 0, "pci[0]: BAR 1 and its range 0 differ in space")                      \
	X(bars[1].type = MINIVMM_BAR_PORTS, "pci[0]: BAR 1 and its range 1 differ in space")       \
	X((bars[0] = bars[1], bars[0].number = 3), "range 1 has 2 BARs; it can have one")          \
	X(pci[1].bars = pci[0].bars, "range 0 has 2 BARs; it can have one")                        \
	X(pci[0].vectors = 2049, "pci[0] has 2049 vectors; at most 2048 are possible")             \
	X((pci[0].vectors = 64, pci[0].flags = MINIVMM_MSI),                                       \
	  "pci[0] has 64 vectors; at most 32 are possible")                                        \
	X((pci[0].vectors = 3, pci[0].flags = MINIVMM_MSI),                                        \
	  "pci[0] has 3 MSI vectors, which is not a power of 2")                                   \
	X(pci[0].vectors_offset = 29, "pci[0]: its vectors lie outside the state")                 \
	X((pci[0].vectors = 2048, pci[0].vectors_offset = UINT32_MAX),                             \
	  "pci[0]: its vectors lie outside the state")                                             \
	X((pci[1].has_intx = true, pci[1].intx_offset = 29),                                       \
	  "pci[1]: its interrupt lies outside the state")                                          \
	X(pci[0].vectors_offset = 2, "pci[0]: its vectors and option level share a member")        \
	X(pci[0].vectors_offset = 20, "pci[0]: its vectors and field bytes share a member")        \
	X(pci[0].vectors_offset = 28, "pci[0]: its vectors and field bytes share a member")        \
	X(pci[0].vectors = 2, "pci[0]: its vectors and option size share a member")                \
	X(pci[0].has_intx = true, "pci[0]: its interrupt and option level share a member")         \
	X((pci[0].has_intx = true, pci[0].intx_offset = 4),                                        \
	  "pci[0]: its interrupt and the vectors of pci[0] share a member")                        \
	X((pci[1].has_intx = true, pci[1].intx_offset = 4),                                        \
	  "pci[1]: its interrupt and the vectors of pci[0] share a member")                        \
	X(d->save = save, "only one of save and load")

#define NUMBER(change, words) +1

static const char *
contradict(struct sample *s, int number)
{
	struct minivmm_plugin *d = (struct minivmm_plugin *)s->built[DESCRIPTOR];
	struct minivmm_option *options = (struct minivmm_option *)s->built[OPTION];
	struct minivmm_range *ranges = (struct minivmm_range *)s->built[RANGE];
	struct minivmm_timer *timers = (struct minivmm_timer *)s->built[TIMER];
	struct minivmm_stream *streams = (struct minivmm_stream *)s->built[STREAM];
	struct minivmm_watch *watches = (struct minivmm_watch *)s->built[WATCH];
	struct minivmm_post *posts = (struct minivmm_post *)s->built[POST];
	struct minivmm_field *fields = (struct minivmm_field *)s->built[FIELD];
	struct minivmm_acpi *acpi = (struct minivmm_acpi *)s->built[ACPI];
	struct minivmm_pci *pci = (struct minivmm_pci *)s->built[PCI];
	struct minivmm_bar *bars = (struct minivmm_bar *)s->built[BAR];
	int i = 0;

#define CASE(change, words)                                                                        \
	if (i++ == number) {                                                                       \
		change;                                                                            \
		return words;                                                                      \
	}
	CONTRADICTIONS(CASE)
	return NULL;
}

static void
contradictions(void **state)
{
	for (int i = 0; i < 0 CONTRADICTIONS(NUMBER); i++) {
		struct sample *s = sample_new();
		const char *words, *reason;

		build_all(s);
		words = contradict(s, i);
		reason = adopt(s);
		if (!reason || !strstr(reason, words))
			fail_msg("\"%s\" expected: %s", words, reason ? reason : "loaded");
		sample_free(s);
	}
}

/* Terms of a device in AML, and the offset of the first that is no named object; -1: none. */
static const struct {
	uint8_t bytes[24];
	uint32_t length;
	int bad;
} amls[] = {
	{ { 0x08, 'A', 'B', 'C', '0', 0x01 }, 6, -1 }, /* Name (ABC0, One) */
	{ { 0x08, '_', 'U', 'I', 'D', 0x0a, 5, 0x08, 'B', 'C', 'D', 'E', 0x0d, 'x', 0 }, 15, -1 },
	{ { 0x08, 'A', 'B', 'C', 'D', 0x12, 0x03, 0x01, 0x00 }, 9, -1 }, /* a package */
	{ { 0x14, 0x06, 'M', 'E', 'T', 'H', 0x00 }, 7, -1 },             /* Method */
	{ { 0x14, 0x07, 'M', 'E', 'T', 'H', 0x00, 0xff }, 8, -1 },       /* its terms are skipped */
	{ { 0x5b, 0x82, 0x05, 'D', 'E', 'V', '0' }, 7, -1 },             /* Device */
	{ { 0x5b, 0x80, 'R', 'E', 'G', '0', 0x01, 0x0b, 0, 1, 0x0a, 4 }, 12, -1 },
	{ { 0xff, 0xff, 0x10, 0x05 }, 4, 0 },                          /* no object */
	{ { 0x08, 'A', 'B', 'C', '0' }, 5, 0 },                        /* no value */
	{ { 0x08, 'a', 'b', 'c', '0', 0x01 }, 6, 0 },                  /* no name */
	{ { 0x08, 'A', 'B', 'C', '0', 0x0c, 1, 2 }, 8, 0 },            /* a cut number */
	{ { 0x08, 'A', 'B', 'C', '0', 0x0d, 'x' }, 7, 0 },             /* a text without end */
	{ { 0x08, 'A', 'B', 'C', '0', 0x01, 0x14, 0x3f, 'M' }, 9, 6 }, /* longer than all */
	{ { 0x14, 0xff, 0xff, 0xff, 0xff, 'A' }, 6, 0 },
	{ { 0x10, 0x00 }, 2, 0 },
	{ { 0x5b }, 1, 0 },
};

static void
aml_terms(void **state)
{
	for (size_t i = 0; i < sizeof(amls) / sizeof(*amls); i++) {
		struct sample *s = sample_new();
		char words[64] = "";
		const char *reason;

		s->acpi[0].aml = amls[i].bytes;
		s->acpi[0].aml_length = amls[i].length;
		build_all(s);
		reason = adopt(s);
		if (amls[i].bad >= 0)
			snprintf(words, sizeof(words),
				 "acpi[0]: aml has no named object at byte %d", amls[i].bad);
		if (reason ? !*words || !strstr(reason, words) : *words != '\0')
			fail_msg("case %zu: \"%s\" expected: %s", i, words,
				 reason ? reason : "loaded");
		sample_free(s);
	}
}

static int
event(struct minivmm_device *dev, const struct minivmm_event *e)
{
	return 0;
}

/* As in a newer header. */
struct later_tool {
	struct minivmm_tool tool;
	uint64_t later;
};
static const struct later_tool good_tool = { { sizeof(struct minivmm_tool), event }, 0 };
static const struct later_tool tools[] = {
	{ { sizeof(struct minivmm_tool), NULL }, 0 },
	{ { 0, event }, 0 },
	{ { sizeof(struct minivmm_tool) - 1, event }, 0 },
	{ { UINT32_MAX, event }, 0 },
	{ { sizeof(struct later_tool), event }, 1 },
	{ { sizeof(struct later_tool), event }, 0 },
};

/* The tables and callbacks that a tool cannot have, as members of struct minivmm_plugin, and the
 * members of the tools above. */
static const struct {
	size_t keep;                   /* offset of the member that stays; 0: none */
	const struct later_tool *tool; /* NULL: outside of any file */
	const char *words;             /* NULL: it is loaded */
} tool_cases[] = {
#define MEMBER(name) offsetof(struct minivmm_plugin, name)
	{ 0, &good_tool, NULL },
	{ MEMBER(ranges), &good_tool, "it is a tool and has ranges, which only a device" },
	{ MEMBER(fields), &good_tool, "it is a tool and has fields" },
	{ MEMBER(acpi), &good_tool, "it is a tool and has acpi" },
	{ MEMBER(pause), &good_tool, "it is a tool and has pause" },
	{ MEMBER(resume), &good_tool, "it is a tool and has resume" },
	{ MEMBER(capture), &good_tool, "it is a tool and has capture" },
	{ MEMBER(loaded), &good_tool, "it is a tool and has loaded" },
	{ 0, NULL, "its tool is not in its file" },
	{ 0, &tools[0], "it is a tool without an event" },
	{ 0, &tools[1], "or tool.size is not sizeof(struct minivmm_tool)" },
	{ 0, &tools[2], "or tool.size is not sizeof(struct minivmm_tool)" },
	{ 0, &tools[3], "or tool.size is not sizeof(struct minivmm_tool)" },
	{ 0, &tools[4], "it needs a newer minivmm: tool uses a member at byte 16" },
	{ 0, &tools[5], NULL },
};

static void
tools_are_checked(void **state)
{
	static const size_t members[] = { MEMBER(ranges), MEMBER(fields), MEMBER(acpi),
					  MEMBER(pause),  MEMBER(resume), MEMBER(capture),
					  MEMBER(loaded), MEMBER(pci),    MEMBER(save),
					  MEMBER(load),   MEMBER(connect) };
	static const uint64_t present = 1;
	for (size_t i = 0; i < sizeof(tool_cases) / sizeof(*tool_cases); i++) {
		struct sample *s = sample_new();
		const char *words = tool_cases[i].words, *reason;
		uint8_t *d;

		build_all(s);
		d = s->built[DESCRIPTOR];
		for (size_t m = 0; m < sizeof(members) / sizeof(*members); m++) {
			void **member = (void **)(d + members[m]);

			if (members[m] != tool_cases[i].keep)
				*member = NULL;
			else if (!*member)
				*member = (void *)stop;
		}
		((struct minivmm_plugin *)d)->tool =
		    tool_cases[i].tool ? &tool_cases[i].tool->tool
				       : (const struct minivmm_tool *)(uintptr_t)present;
		reason = adopt(s);
		if (words ? !reason || !strstr(reason, words) : reason != NULL)
			fail_msg("case %zu: %s expected: %s", i, words ? words : "loaded",
				 reason ? reason : "loaded");
		sample_free(s);
	}
}

static void
endless_table(void **state)
{
	struct sample *s = sample_new();

	build_all(s);
	free(s->built[POST]);
	s->built[POST] = malloc(5000 * sizeof(struct minivmm_post));
	assert_non_null(s->built[POST]);
	memset(s->built[POST], 1, 5000 * sizeof(struct minivmm_post));
	((struct minivmm_plugin *)s->built[DESCRIPTOR])->posts =
	    (struct minivmm_post *)s->built[POST];
	assert_non_null(strstr(adopt(s), "table of posts has no end; end it with MINIVMM_END"));
	sample_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contradictions),
		cmocka_unit_test(aml_terms),
		cmocka_unit_test(tools_are_checked),
		cmocka_unit_test(endless_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
