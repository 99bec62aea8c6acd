/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory in a snapshot as a hex dump, and the code at rip. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "cli/disassemble.h"
#include "cli/inspect.h"
#include "cli/show.h"
#include "snapshot/linear.h"

#define LINE 16u
#define PIECE 65536u /* a multiple of LINE */
#define CODE_SHOWN 16u

/* What to dump. */
struct range {
	const struct snapshot *snapshot;
	struct snapshot_cpu cpu;
	bool linear; /* at is a linear address, which cpu translates; else it is physical */
	uint64_t at, length;
};

static void
dump_line(FILE *out, uint64_t at, const uint8_t *bytes, size_t length)
{
	fprintf(out, "%08llx ", (unsigned long long)at);
	for (size_t i = 0; i < LINE; i++) {
		fputs(i == LINE / 2 ? "  " : " ", out);
		if (i < length)
			fprintf(out, "%02x", bytes[i]);
		else
			fputs("  ", out);
	}
	fputs("  |", out);
	for (size_t i = 0; i < length; i++)
		fputc(bytes[i] >= ' ' && bytes[i] < 0x7f ? bytes[i] : '.', out);
	fputs("|\n", out);
}

/* The state of a dump: repeated lines are one "*". */
struct dump {
	FILE *out;
	uint8_t last[LINE];
	bool any, repeated;
};

static void
dump_piece(struct dump *dump, uint64_t at, const uint8_t *bytes, size_t length)
{
	for (size_t done = 0; done < length; done += LINE) {
		size_t part = length - done < LINE ? length - done : LINE;
		bool same = dump->any && part == LINE && !memcmp(dump->last, bytes + done, LINE);

		if (!same)
			dump_line(dump->out, at + done, bytes + done, part);
		else if (!dump->repeated)
			fputs("*\n", dump->out);
		dump->repeated = same;
		dump->any = true;
		memcpy(dump->last, bytes + done, part);
	}
}

static int
unreadable(const struct range *range, uint64_t at, const struct why *why)
{
	return fail(STATUS_USAGE, "inspect: --dump: cannot read %s at linear address 0x%llx: %s",
		    range->snapshot->path, (unsigned long long)at, why->text);
}

static int
dump(FILE *out, const struct range *range)
{
	struct dump state = { .out = out };
	uint8_t *bytes = malloc(PIECE);
	uint64_t at = range->at, left = range->length;
	int failed = 0;

	if (!bytes)
		return fail_memory("inspect: --dump");
	while (!failed && left) {
		size_t part = left < PIECE ? left : PIECE, there = part;
		struct why why;

		if (range->linear)
			there = snapshot_read_linear(range->snapshot, &range->cpu, at, bytes, part,
						     &why);
		else
			failed = snapshot_read(range->snapshot, at, bytes, part);
		if (failed)
			break;
		dump_piece(&state, at, bytes, there);
		at += there;
		left -= there;
		if (there < part)
			failed = unreadable(range, at, &why);
	}
	if (at != range->at)
		fprintf(out, "%08llx\n", (unsigned long long)at);
	free(bytes);
	return failed;
}

/* Formats the regions as "0x1000 to 0x4fff, ..." for messages. */
static const char *
regions_text(const struct snapshot *snapshot, char *text, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < snapshot->region_count && used < size; i++) {
		const struct snapshot_region *region = snapshot_region(snapshot, i);

		used += (size_t)snprintf(text + used, size - used, "%s0x%llx to 0x%llx",
					 i ? ", " : "", (unsigned long long)region->gpa,
					 (unsigned long long)(region->gpa + region->size - 1));
	}
	return text;
}

static int
check_physical(const struct range *range, const char *address, const char *length)
{
	char text[128] = "";
	uint64_t there = snapshot_extent(range->snapshot, range->at);

	if (range->length <= there)
		return 0;
	regions_text(range->snapshot, text, sizeof(text));
	return fail(STATUS_USAGE, "inspect: --dump %s %s: the memory of %s is %s%s", address,
		    length, range->snapshot->path, text,
		    there ? "; use a smaller length" : "; use an address in it");
}

/* The address that a register holds. Its segment's base is added, except in long mode. */
static bool
register_at(struct range *range, const char *name)
{
	static const struct {
		const char *name, *base;
	} segments[] = { { "rip", "cs.base" }, { "rsp", "ss.base" }, { "rbp", "ss.base" } };
	const struct snapshot_cpu *cpu = &range->cpu;
	const char *base = "ds.base";
	uint64_t offset = 0;

	range->linear = strcmp(name, "cr3") != 0;
	if (!range->linear) {
		range->at = cpu->cr3 & 0x000ffffffffff000ull;
		return true;
	}
	if (record_get_u64(&cpu->sregs, name, &range->at))
		return true; /* gdt.base, cr2: linear addresses */
	if (!record_get_u64(&cpu->regs, name, &range->at))
		return false;
	for (size_t i = 0; i < sizeof(segments) / sizeof(*segments); i++)
		if (!strcmp(segments[i].name, name))
			base = segments[i].base;
	if (snapshot_cpu_bits(cpu) != 64 && record_get_u64(&cpu->sregs, base, &offset))
		range->at = (uint32_t)(range->at + offset);
	return true;
}

static int
parse_range(struct range *range, const char *address, const char *length)
{
	bool cpu = snapshot_cpu(range->snapshot, 0, &range->cpu);
	struct why why;

	range->linear = cpu && !strncmp(address, "linear:", 7);
	if (range->linear ? parse_size(address + 7, &range->at, &why)
			  : parse_size(address, &range->at, &why)) {
		if (range->linear || (*address >= '0' && *address <= '9'))
			return fail(STATUS_USAGE, "inspect: --dump %s %s", address, why.text);
		if (!cpu || !register_at(range, address))
			return fail(STATUS_USAGE,
				    "inspect: --dump %s: it is neither an address, such as 0x1000 "
				    "or linear:0x1000, nor a register, such as rip or gdt.base",
				    address);
	}
	if (parse_size(length, &range->length, &why))
		return fail(STATUS_USAGE, "inspect: --dump %s %s: the length %s", address, length,
			    why.text);
	if (!range->length)
		return fail(STATUS_USAGE, "inspect: --dump %s %s: the length is 0", address,
			    length);
	return range->linear ? 0 : check_physical(range, address, length);
}

int
inspect_dump(FILE *out, const struct snapshot *snapshot, const char *address, const char *length)
{
	struct range range = { .snapshot = snapshot };
	int failed = parse_range(&range, address, length);

	return failed ? failed : dump(out, &range);
}

static void
put_instruction(void *context, const char *text)
{
	fprintf(context, "    %s\n", text);
}

static bool
same_code(const struct inspect_code *a, const struct inspect_code *b)
{
	return a->at == b->at && a->length == b->length && a->bits == b->bits &&
	       !memcmp(a->bytes, b->bytes, a->length);
}

void
inspect_code(FILE *out, const struct snapshot *snapshot, uint32_t vcpu, struct inspect_code *last)
{
	struct inspect_code code = { 0 };
	struct snapshot_cpu cpu;
	struct why why;

	if (!snapshot_cpu(snapshot, vcpu, &cpu))
		return;
	code.at = snapshot_cpu_code(&cpu);
	code.bits = snapshot_cpu_bits(&cpu);
	code.length =
	    snapshot_read_linear(snapshot, &cpu, code.at, code.bytes, sizeof(code.bytes), &why);
	fputs("  at rip:", out);
	for (size_t i = 0; i < code.length && i < CODE_SHOWN; i++)
		fprintf(out, " %02x", code.bytes[i]);
	if (!code.length) {
		fputc(' ', out);
		show_text(out, why.text, strlen(why.text));
	}
	fputc('\n', out);
	if (!same_code(&code, last))
		disassemble(code.bytes, code.length, code.at, code.bits, NULL, put_instruction,
			    out);
	*last = code;
}
