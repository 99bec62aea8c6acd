/* SPDX-License-Identifier: BSD-2-Clause */
/* A tool that does what lines on its stream say, and answers each function and event with a line.
 */
#include <ctype.h>
#include <stdlib.h>

#include "minivmm/tool.h"

struct puppet {
	char line[512], out[65536];
	size_t length, waiting;
	uint64_t unit;
};

/* Queues a line of the answer; the stream takes it when it has room. */
__attribute__((format(printf, 2, 3))) static void
say(struct minivmm_device *dev, const char *format, ...)
{
	struct puppet *p = minivmm_state(dev);
	va_list arguments;
	size_t room = sizeof(p->out) - p->waiting, done;
	int n;

	va_start(arguments, format);
	n = vsnprintf(p->out + p->waiting, room, format, arguments);
	va_end(arguments);
	if (n < 0 || (size_t)n + 1 >= room)
		return;
	p->waiting += (size_t)n;
	p->out[p->waiting++] = '\n';
	done = minivmm_stream_write(dev, 0, p->out, p->waiting);
	memmove(p->out, p->out + done, p->waiting - done);
	p->waiting -= done;
}

static int
writable(struct minivmm_device *dev, uint32_t stream)
{
	struct puppet *p = minivmm_state(dev);
	size_t done = minivmm_stream_write(dev, 0, p->out, p->waiting);

	memmove(p->out, p->out + done, p->waiting - done);
	p->waiting -= done;
	return 0;
}

static void
show_state(struct minivmm_device *dev)
{
	struct minivmm_machine_state s;
	int r = minivmm_machine_state(dev, &s);

	say(dev, "state %d vcpus %u paused %d held %d others %d ended %d memory 0x%llx+0x%llx", r,
	    s.vcpus, s.paused, s.held, s.others, s.ended, (unsigned long long)s.memory[0].start,
	    (unsigned long long)s.memory[0].length);
}

/* "get N", "set N NAME VALUE" for a few registers. */
static void
general(struct minivmm_device *dev, uint32_t vcpu, const char *name, uint64_t value)
{
	struct minivmm_general g;
	int r = minivmm_registers_read(dev, vcpu, MINIVMM_GENERAL, &g, sizeof(g));

	if (!r && name) {
		*(!strcmp(name, "rax")   ? &g.rax
		  : !strcmp(name, "rip") ? &g.rip
					 : &g.rflags) = value;
		r = minivmm_registers_write(dev, vcpu, MINIVMM_GENERAL, &g, sizeof(g));
	}
	if (r)
		say(dev, "%s %d", name ? "set" : "general", r);
	else
		say(dev, "%s 0 rax 0x%llx rbx 0x%llx rip 0x%llx rflags 0x%llx",
		    name ? "set" : "general", (unsigned long long)g.rax, (unsigned long long)g.rbx,
		    (unsigned long long)g.rip, (unsigned long long)g.rflags);
}

static void
system_registers(struct minivmm_device *dev, uint32_t vcpu)
{
	struct minivmm_msr msrs[2] = { { .index = 0xc0000080 }, { .index = 0xc0000101 } };
	struct minivmm_system s, again;
	uint8_t area[576], same[576];
	int r = minivmm_registers_read(dev, vcpu, MINIVMM_SYSTEM, &s, sizeof(s));

	r |= minivmm_registers_write(dev, vcpu, MINIVMM_SYSTEM, &s, sizeof(s));
	r |= minivmm_registers_read(dev, vcpu, MINIVMM_SYSTEM, &again, sizeof(again));
	r |= memcmp(&s, &again, sizeof(s));
	r |= minivmm_registers_read(dev, vcpu, MINIVMM_XSAVE, area, sizeof(area));
	area[160] ^= 0x5a; /* XMM0 */
	area[512] |= 2;    /* XSTATE_BV: SSE */
	r |= minivmm_registers_write(dev, vcpu, MINIVMM_XSAVE, area, sizeof(area));
	r |= minivmm_registers_read(dev, vcpu, MINIVMM_XSAVE, same, sizeof(same));
	r |= memcmp(area, same, 176);
	r |= minivmm_registers_read(dev, vcpu, MINIVMM_MSRS, msrs, sizeof(msrs));
	r |= minivmm_registers_write(dev, vcpu, MINIVMM_MSRS, msrs, sizeof(msrs));
	say(dev, "system %d cs 0x%x base 0x%llx attributes 0x%x cr0 0x%llx efer 0x%llx", r,
	    s.cs.selector, (unsigned long long)s.cs.base, s.cs.attributes,
	    (unsigned long long)s.cr0, (unsigned long long)msrs[0].value);
}

static void
peek(struct minivmm_device *dev, uint64_t address, uint64_t length)
{
	uint8_t bytes[64];
	char text[129] = "";
	int r = length > sizeof(bytes) ? -1 : minivmm_linear_read(dev, 0, address, bytes, length);

	for (uint64_t i = 0; !r && i < length; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	say(dev, "peek %d%s%s", r, r ? "" : " ", text);
}

static void
command(struct minivmm_device *dev, char *text)
{
	const char *words[32];
	uint32_t count = 0;

	for (char *word = strtok(text, " "); word && count < 32; word = strtok(NULL, " "))
		words[count++] = word;
	say(dev, "command %llu", (unsigned long long)minivmm_machine_command(dev, words, count));
}

static void
point(struct minivmm_device *dev, char *rest, bool set)
{
	struct minivmm_breakpoint b = { 0 };
	char kind[8] = "";
	unsigned long long address = 0;
	unsigned length = 0;

	sscanf(rest, "%7s %llx %u", kind, &address, &length);
	b.kind = !strcmp(kind, "soft")    ? MINIVMM_BREAK_SOFTWARE
		 : !strcmp(kind, "hard")  ? MINIVMM_BREAK_HARDWARE
		 : !strcmp(kind, "write") ? MINIVMM_WATCH_WRITE
		 : !strcmp(kind, "any")   ? MINIVMM_WATCH_ACCESS
					  : 99;
	b.address = address;
	b.length = length;
	say(dev, "%s %d", set ? "break" : "clear",
	    set ? minivmm_breakpoint_set(dev, &b) : minivmm_breakpoint_clear(dev, &b));
}

static void
do_line(struct minivmm_device *dev, char *line)
{
	char *rest = line + strcspn(line, " "), *end;
	uint64_t first, second;
	char name[16] = "";

	if (*rest)
		*rest++ = '\0';
	first = strtoull(rest, &end, 0);
	second = strtoull(end, NULL, 0);
	if (!strcmp(line, "state"))
		show_state(dev);
	else if (!strcmp(line, "pause"))
		say(dev, "pause %d", minivmm_machine_pause(dev));
	else if (!strcmp(line, "resume"))
		say(dev, "resume %d", minivmm_machine_resume(dev));
	else if (!strcmp(line, "step"))
		say(dev, "step %d", minivmm_machine_step(dev, (uint32_t)first));
	else if (!strcmp(line, "general"))
		general(dev, (uint32_t)first, NULL, 0);
	else if (!strcmp(line, "set")) {
		sscanf(rest, "%15s", name);
		general(dev, 0, name, strtoull(rest + strlen(name), NULL, 0));
	} else if (!strcmp(line, "system"))
		system_registers(dev, (uint32_t)first);
	else if (!strcmp(line, "peek"))
		peek(dev, first, second);
	else if (!strcmp(line, "poke")) {
		uint8_t byte = (uint8_t)second;

		say(dev, "poke %d", minivmm_linear_write(dev, 0, first, &byte, 1));
	} else if (!strcmp(line, "break") || !strcmp(line, "clear"))
		point(dev, rest, *line == 'b');
	else if (!strcmp(line, "command"))
		command(dev, rest);
	else
		say(dev, "? %s", line);
}

static int
readable(struct minivmm_device *dev, uint32_t stream)
{
	struct puppet *p = minivmm_state(dev);
	char byte;

	while (minivmm_stream_read(dev, 0, &byte, 1)) {
		if (byte != '\n' && p->length < sizeof(p->line) - 1) {
			p->line[p->length++] = byte;
			continue;
		}
		p->line[p->length] = '\0';
		p->length = 0;
		do_line(dev, p->line);
	}
	return 0;
}

static int
event(struct minivmm_device *dev, const struct minivmm_event *e)
{
	static const char *const reasons[] = { "?", "pause", "step", "breakpoint", "watchpoint" };

	switch (e->kind) {
	case MINIVMM_STOPPED:
		say(dev, "STOPPED %s vcpu %u address 0x%llx", reasons[e->reason], e->vcpu,
		    (unsigned long long)e->address);
		break;
	case MINIVMM_NOT_STOPPED:
		say(dev, "NOT_STOPPED %s", e->text);
		break;
	case MINIVMM_ANSWERED:
		say(dev, "ANSWERED %llu %s", (unsigned long long)e->id,
		    e->error ? e->error : e->text);
		break;
	case MINIVMM_REPLACED:
		say(dev, "REPLACED");
		break;
	case MINIVMM_ENDED:
		say(dev, "ENDED %s %llu", e->text, (unsigned long long)e->status);
		break;
	default:
		say(dev, "event %u", e->kind);
	}
	return 0;
}

static const struct minivmm_stream streams[] = {
	{ .name = "listen",
	  .output = "listen",
	  .input = "input",
	  .readable = readable,
	  .writable = writable,
	  .help = "who pulls the strings" },
	MINIVMM_END,
};

static const struct minivmm_tool tool = { .size = sizeof(tool), .event = event };

static const struct minivmm_plugin puppet = {
	.name = "puppet",
	.summary = "a tool that does what lines on its stream say",
	.state_version = 1,
	.state_size = sizeof(struct puppet),
	.streams = streams,
	.tool = &tool,
};
MINIVMM_REGISTER(puppet, MINIVMM_TOOLS);
