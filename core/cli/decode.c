/* SPDX-License-Identifier: BSD-2-Clause */
/* Decodes the XSAVE area, the LAPIC page, MSRs, CPUID and the MP state of a vCPU. */
#include "cli/decode.h"

#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Writes a number of any size as text, "0x0" if it is zero. */
static void
put_hex(struct record_writer *writer, const char *name, const uint8_t *bytes, size_t length)
{
	char text[2 + 2 * 64 + 1] = "0x";
	bool any = false;

	for (size_t i = length; i--;) {
		any |= bytes[i];
		snprintf(text + 2 + 2 * (length - 1 - i), 3, "%02x", bytes[i]);
	}
	record_put_text(writer, name, any ? text : "0x0");
}

static void
put_hex_numbered(struct record_writer *writer, const char *name, unsigned number,
		 const uint8_t *bytes, size_t length)
{
	char numbered[16];

	snprintf(numbered, sizeof(numbered), "%s%u", name, number);
	put_hex(writer, numbered, bytes, length);
}

/* A longer table is not decoded: each component of XSAVE searches it. */
#define CPUID_WORDS_MAX (256u * sizeof(struct kvm_cpuid_entry2) / 4u)

/*
 * Returns a register of a CPUID leaf from the section's array of kvm_cpuid_entry2, or 0 if the leaf
 * is missing.
 */
static uint32_t
cpuid_word(const struct record *entries, uint32_t function, uint32_t index, uint32_t reg)
{
	const uint32_t words = sizeof(struct kvm_cpuid_entry2) / 4;

	for (uint32_t i = 0; i + words <= entries->count; i += words)
		if (record_number(entries, i) == function && record_number(entries, i + 1) == index)
			return (uint32_t)record_number(entries, i + 3 + reg);
	return 0;
}

/* The XSAVE area, and the component offsets from CPUID. */
struct xsave {
	const uint8_t *area;
	size_t length;
	struct record cpuid;
};

#define XSAVE_LEGACY 512u
#define XSAVE_HEADER 64u

static bool
is_zero(const uint8_t *bytes, size_t size)
{
	return !size || (!bytes[0] && !memcmp(bytes, bytes + 1, size - 1));
}

/* The address of a component, or NULL if it is in its initial state or incomplete. The initial
 * state is zeros; the bit of a component that has them is set or clear as the CPU likes. */
static const uint8_t *
component(const struct xsave *xsave, unsigned number, size_t least)
{
	uint32_t size = cpuid_word(&xsave->cpuid, 0xd, number, 0);
	uint32_t offset = cpuid_word(&xsave->cpuid, 0xd, number, 1);
	uint64_t present;

	memcpy(&present, xsave->area + XSAVE_LEGACY, sizeof(present));
	if (!(present >> number & 1) || size < least || offset < XSAVE_LEGACY + XSAVE_HEADER ||
	    offset > xsave->length || size > xsave->length - offset ||
	    is_zero(xsave->area + offset, size))
		return NULL;
	return xsave->area + offset;
}

enum { AVX = 2, OPMASK = 5, ZMM_HI256 = 6, HI16_ZMM = 7, COMPONENTS = 63 };

static void
put_vectors(const struct xsave *xsave, struct record_writer *writer)
{
	const uint8_t *xmm = xsave->area + 160;
	const uint8_t *avx = component(xsave, AVX, 16 * 16);
	const uint8_t *opmask = component(xsave, OPMASK, 8 * 8);
	const uint8_t *high = component(xsave, ZMM_HI256, 16 * 32);
	const uint8_t *upper = component(xsave, HI16_ZMM, 16 * 64);
	size_t left = xsave->length;
	uint8_t vector[64];

	for (unsigned i = 0; i < 16; i++)
		put_hex_numbered(writer, "xmm", i, xmm + 16 * i, 16);
	for (unsigned i = 0; i < 16 && (avx || high); i++) {
		memset(vector, 0, sizeof(vector));
		memcpy(vector, xmm + 16 * i, 16);
		if (avx)
			memcpy(vector + 16, avx + 16 * i, 16);
		put_hex_numbered(writer, "ymm", i, vector, 32);
		if (high) {
			memcpy(vector + 32, high + 32 * i, 32);
			put_hex_numbered(writer, "zmm", i, vector, 64);
		}
	}
	for (unsigned i = 0; i < 16 && upper; i++)
		put_hex_numbered(writer, "zmm", 16 + i, upper + 64 * i, 64);
	for (unsigned i = 0; i < 8 && opmask; i++)
		put_hex_numbered(writer, "k", i, opmask + 8 * i, 8);
	for (unsigned i = 2; i < COMPONENTS; i++) {
		const uint8_t *bytes =
		    i == AVX || (i >= OPMASK && i <= HI16_ZMM) ? NULL : component(xsave, i, 1);
		uint32_t size = cpuid_word(&xsave->cpuid, 0xd, i, 0);
		char name[24];

		if (!bytes || size > left) /* components that overlap could fill the memory */
			continue;
		left -= size;
		snprintf(name, sizeof(name), "component%u", i);
		record_put_bytes(writer, name, bytes, size);
	}
}

/* Layout: Intel SDM volume 1, 13.4. KVM never uses the compacted format. */
static bool
put_fpu(const struct record *vcpu, const struct record *group, struct record_writer *writer)
{
	static const struct {
		const char *name;
		unsigned offset;
		enum record_type type;
	} fields[] = {
		{ "fcw", 0, RECORD_U16 },         { "fsw", 2, RECORD_U16 },
		{ "ftw", 4, RECORD_U8 },          { "fop", 6, RECORD_U16 },
		{ "fip", 8, RECORD_U64 },         { "fdp", 16, RECORD_U64 },
		{ "mxcsr", 24, RECORD_U32 },      { "mxcsr_mask", 28, RECORD_U32 },
		{ "xstate_bv", 512, RECORD_U64 },
	};
	struct xsave xsave = { 0 };
	struct record cpuid;

	if (!record_get_bytes(group, "area", &xsave.area, &xsave.length) ||
	    xsave.length < XSAVE_LEGACY + XSAVE_HEADER)
		return false;
	if (record_find(vcpu, "cpuid", &cpuid) && cpuid.type == RECORD_GROUP &&
	    record_find(&cpuid, "entries", &cpuid) && cpuid.type == RECORD_U32 &&
	    cpuid.count <= CPUID_WORDS_MAX)
		xsave.cpuid = cpuid;
	record_begin(writer, "fpu", RECORD_GROUP);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		record_put(writer, fields[i].name, fields[i].type, xsave.area + fields[i].offset, 1,
			   false);
	for (unsigned i = 0; i < 8; i++)
		put_hex_numbered(writer, "st", i, xsave.area + 32 + 16 * i, 10);
	put_vectors(&xsave, writer);
	record_end(writer);
	return true;
}

/* The registers of the LAPIC page, 16 bytes apart (Intel SDM volume 3, table 11-1). */
static const char *const lapic_names[64] = {
	[0x02] = "id",
	[0x03] = "version",
	[0x08] = "tpr",
	[0x09] = "apr",
	[0x0a] = "ppr",
	[0x0b] = "eoi",
	[0x0c] = "rrd",
	[0x0d] = "ldr",
	[0x0e] = "dfr",
	[0x0f] = "svr",
	[0x10] = "isr",
	[0x18] = "tmr",
	[0x20] = "irr",
	[0x28] = "esr",
	[0x2f] = "lvt_cmci",
	[0x30] = "icr_low",
	[0x31] = "icr_high",
	[0x32] = "lvt_timer",
	[0x33] = "lvt_thermal",
	[0x34] = "lvt_performance",
	[0x35] = "lvt_lint0",
	[0x36] = "lvt_lint1",
	[0x37] = "lvt_error",
	[0x38] = "timer_initial_count",
	[0x39] = "timer_current_count",
	[0x3e] = "timer_divide",
};

static bool
put_lapic(const struct record *vcpu, const struct record *group, struct record_writer *writer)
{
	const uint8_t *page;
	size_t length;

	if (!record_get_bytes(group, "regs", &page, &length) || length != KVM_APIC_REG_SIZE)
		return false;
	record_begin(writer, "lapic", RECORD_GROUP);
	for (unsigned i = 0; i < 64; i++) {
		uint32_t words[8];
		char name[8];

		if (i == 0x10 || i == 0x18 || i == 0x20) { /* 256 bits, one per vector */
			for (unsigned j = 0; j < 8; j++)
				memcpy(&words[j], page + 16 * (i + j), 4);
			record_put(writer, lapic_names[i], RECORD_U32, words, 8, true);
			i += 7;
			continue;
		}
		memcpy(words, page + 16 * i, 4);
		snprintf(name, sizeof(name), "0x%x", 16 * i);
		if (lapic_names[i] || words[0])
			record_put_u32(writer, lapic_names[i] ? lapic_names[i] : name, words[0]);
	}
	record_end(writer);
	return true;
}

static bool
put_msrs(const struct record *vcpu, const struct record *group, struct record_writer *writer)
{
	struct record index, value;

	if (!record_find(group, "index", &index) || index.type != RECORD_U32 ||
	    !record_find(group, "value", &value) || value.type != RECORD_U64 ||
	    index.count != value.count || index.count > RECORD_ITEMS)
		return false;
	record_begin(writer, "msrs", RECORD_GROUP);
	for (uint32_t i = 0; i < index.count; i++) {
		uint32_t number = (uint32_t)record_number(&index, i);
		const char *known = msr_name(number);
		char name[64];

		snprintf(name, sizeof(name), "0x%x%s%s", number, known ? "." : "",
			 known ? known : "");
		record_put_u64(writer, name, record_number(&value, i));
	}
	record_end(writer);
	return true;
}

/* Writes an item for each leaf that is not all zero: eax, ebx, ecx, edx. */
static bool
put_cpuid(const struct record *vcpu, const struct record *group, struct record_writer *writer)
{
	const uint32_t words = sizeof(struct kvm_cpuid_entry2) / 4;
	struct record entries;

	if (!record_find(group, "entries", &entries) || entries.type != RECORD_U32 ||
	    entries.count % words || entries.count > CPUID_WORDS_MAX)
		return false;
	record_begin(writer, "cpuid", RECORD_GROUP);
	for (uint32_t i = 0; i < entries.count; i += words) {
		uint32_t registers[4], any = 0;
		char name[32];

		snprintf(name, sizeof(name), "0x%x.%u", (unsigned)record_number(&entries, i),
			 (unsigned)record_number(&entries, i + 1));
		for (uint32_t j = 0; j < 4; j++)
			any |= registers[j] = (uint32_t)record_number(&entries, i + 3 + j);
		if (any)
			record_put(writer, name, RECORD_U32, registers, 4, true);
	}
	record_end(writer);
	return true;
}

static bool
put_mp_state(const struct record *vcpu, const struct record *group, struct record_writer *writer)
{
	static const char *const names[] = {
		[KVM_MP_STATE_RUNNABLE] = "runnable",
		[KVM_MP_STATE_UNINITIALIZED] = "uninitialized",
		[KVM_MP_STATE_INIT_RECEIVED] = "init received",
		[KVM_MP_STATE_HALTED] = "halted",
		[KVM_MP_STATE_SIPI_RECEIVED] = "sipi received",
		[KVM_MP_STATE_STOPPED] = "stopped",
	};
	uint64_t state;

	if (!record_get_u64(group, "mp_state", &state) || state >= sizeof(names) / sizeof(*names))
		return false;
	record_put_text(writer, "mp_state", names[state]);
	return true;
}

static const struct {
	const char *name;
	bool (*put)(const struct record *vcpu, const struct record *group,
		    struct record_writer *writer);
} packed[] = {
	{ "xsave", put_fpu },   { "lapic", put_lapic },       { "msrs", put_msrs },
	{ "cpuid", put_cpuid }, { "mp_state", put_mp_state },
};

static void
view_item(struct view *view, const struct record *vcpu, const struct record *item)
{
	for (size_t i = 0; i < sizeof(packed) / sizeof(packed[0]); i++)
		if (record_is(item, packed[i].name) && item->type == RECORD_GROUP &&
		    packed[i].put(vcpu, item, &view->writer))
			return;
	record_put_item(&view->writer, item);
}

/* CPUID goes last because it is long and seldom needed. */
int
view_vcpu(struct view *view, const struct record *vcpu)
{
	struct record item;
	size_t position = 0;

	while (record_next(vcpu, &position, &item))
		if (!record_is(&item, "cpuid"))
			view_item(view, vcpu, &item);
	if (record_find(vcpu, "cpuid", &item))
		view_item(view, vcpu, &item);
	if (view->writer.failed ||
	    record_open(view->writer.data, view->writer.length, &view->root, NULL))
		return -1;
	return 0;
}

void
view_free(struct view *view)
{
	record_writer_free(&view->writer);
}
