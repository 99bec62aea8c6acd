/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of code addresses: at rip of a vCPU, and on its stack. */
#include <inttypes.h>
#include <string.h>

#include "cli/inspect.h"
#include "cli/show.h"
#include "snapshot/linear.h"

#define WORDS 256u /* of the stack that are searched */
#define SHOWN 16u

static void
put_name(FILE *out, const char *before, const char *name)
{
	fputs(before, out);
	show_text(out, name, strlen(name));
	fputc('\n', out);
}

/* The linear address of the stack. Its segment's base is added, except in long mode. */
static uint64_t
stack_of(const struct snapshot_cpu *cpu)
{
	uint64_t rsp = 0, base = 0;

	record_get_u64(&cpu->regs, "rsp", &rsp);
	if (snapshot_cpu_bits(cpu) == 64)
		return rsp;
	record_get_u64(&cpu->sregs, "ss.base", &base);
	return (uint32_t)(base + rsp);
}

void
inspect_stack(FILE *out, const struct snapshot *snapshot, uint32_t vcpu,
	      const struct symbols *symbols)
{
	uint8_t stack[WORDS * 8];
	struct snapshot_cpu cpu;
	char text[256], before[64];
	size_t length, width;
	unsigned shown = 0;
	struct why why;
	uint64_t at;

	if (!snapshot_cpu(snapshot, vcpu, &cpu))
		return;
	if (symbols_text(symbols, snapshot_cpu_code(&cpu), text, sizeof(text)))
		put_name(out, "  in ", text);
	at = stack_of(&cpu);
	width = snapshot_cpu_bits(&cpu) / 8;
	length = snapshot_read_linear(snapshot, &cpu, at, stack, WORDS * width, &why);
	for (size_t i = 0; i + width <= length && shown < SHOWN; i += width) {
		uint64_t word = 0;

		memcpy(&word, stack + i, width);
		if (!symbols_text(symbols, word, text, sizeof(text)))
			continue;
		snprintf(before, sizeof(before), "    0x%" PRIx64 ": ", at + i);
		if (!shown++)
			fputs("  on the stack\n", out);
		put_name(out, before, text);
	}
}
