/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory and breakpoints for gdb. Addresses are linear, those of memory also physical. */
#include "gdb.h"

#define PAGE 4096u
#define WATCHPOINTS                                                                                \
	4 /* what one of gdb's can become: pieces that the debug registers can watch               \
	   */

static int
copy(struct minivmm_device *dev, uint64_t address, void *bytes, size_t length, bool write)
{
	struct gdb *g = minivmm_state(dev);

	if (g->physical)
		return write ? minivmm_memory_write(dev, address, bytes, length)
			     : minivmm_memory_read(dev, address, bytes, length);
	return write ? minivmm_linear_write(dev, g->vcpu, address, bytes, length)
		     : minivmm_linear_read(dev, g->vcpu, address, bytes, length);
}

/* Reads up to the first page that is not there. Returns the number of bytes. */
static size_t
read_pages(struct minivmm_device *dev, uint64_t address, uint8_t *to, size_t length)
{
	size_t done = 0;

	if (!copy(dev, address, to, length, false))
		return length;
	while (done < length) {
		size_t page = PAGE - (size_t)((address + done) % PAGE);
		size_t n = page < length - done ? page : length - done;

		if (copy(dev, address + done, to + done, n, false))
			break;
		done += n;
	}
	return done;
}

/* ADDRESS,LENGTH. The end of the range is at most that of the address space. */
static bool
range(const char **at, uint64_t *address, uint64_t *length)
{
	if (!packet_number(at, address) || !packet_char(at, ',') || !packet_number(at, length))
		return false;
	return !*length || *address <= UINT64_MAX - (*length - 1);
}

void
gdb_read_memory(struct minivmm_device *dev, const char *at)
{
	struct gdb *g = minivmm_state(dev);
	uint64_t address, length;
	size_t done;

	if (!range(&at, &address, &length) || *at) {
		packet_reply(&g->out, "E01");
		return;
	}
	if (length > GDB_MEMORY) /* gdb asks for the rest */
		length = GDB_MEMORY;
	done = read_pages(dev, address, g->memory, (size_t)length);
	if (length && !done) {
		packet_reply(&g->out, "E14");
		return;
	}
	packet_begin(&g->out);
	packet_hex(&g->out, g->memory, done);
	packet_end(&g->out);
}

void
gdb_write_memory(struct minivmm_device *dev, const char *at, bool binary)
{
	struct gdb *g = minivmm_state(dev);
	const char *end = (const char *)g->in.bytes + g->in.length;
	uint64_t address, length;
	const uint8_t *bytes = g->memory;

	if (!range(&at, &address, &length) || !packet_char(&at, ':') ||
	    length != (uint64_t)(end - at) / (binary ? 1 : 2)) {
		packet_reply(&g->out, "E01");
		return;
	}
	if (binary)
		bytes = (const uint8_t *)at;
	else if (!packet_bytes(&at, g->memory, (size_t)length) || at != end) {
		packet_reply(&g->out, "E01");
		return;
	}
	if (length && copy(dev, address, (void *)bytes, (size_t)length, true))
		packet_reply(&g->out, "E14");
	else
		packet_reply(&g->out, "OK");
}

static int
change(struct minivmm_device *dev, const struct minivmm_breakpoint *breakpoint, bool set)
{
	struct gdb *g = minivmm_state(dev);

	if (!set)
		return minivmm_breakpoint_clear(dev, breakpoint);
	if (minivmm_breakpoint_set(dev, breakpoint))
		return -1;
	g->breakpoints = true;
	return 0;
}

/* A software breakpoint that the host refuses becomes a hardware one: the guest has not mapped the
 * address yet, or the instruction is shorter than what would replace it. */
static int
change_breakpoint(struct minivmm_device *dev, struct minivmm_breakpoint *breakpoint, bool set)
{
	int result = change(dev, breakpoint, set);

	if (result && breakpoint->kind == MINIVMM_BREAK_SOFTWARE) {
		breakpoint->kind = MINIVMM_BREAK_HARDWARE;
		result = change(dev, breakpoint, set);
	}
	return result;
}

/* Splits a watchpoint into aligned pieces of 1, 2, 4 or 8 bytes. Returns their number, or 0 if that
 * is more than the debug registers. */
static unsigned
split_watchpoint(const struct minivmm_breakpoint *whole, uint64_t length,
		 struct minivmm_breakpoint pieces[WATCHPOINTS])
{
	uint64_t at = whole->address;
	unsigned count = 0;

	while (length) {
		uint32_t size = 8;

		while (size > length || at % size)
			size /= 2;
		if (count == WATCHPOINTS)
			return 0;
		pieces[count] = *whole;
		pieces[count].address = at;
		pieces[count++].length = size;
		at += size;
		length -= size;
	}
	return count;
}

static int
change_watchpoint(struct minivmm_device *dev, const struct minivmm_breakpoint *whole,
		  uint64_t length, bool set)
{
	struct minivmm_breakpoint pieces[WATCHPOINTS];
	unsigned count = split_watchpoint(whole, length, pieces), i;
	int result = count ? 0 : -1;

	for (i = 0; i < count; i++) {
		if (!change(dev, &pieces[i], set))
			continue;
		result = -1;
		if (set)
			break;
	}
	while (set && result && i--)
		change(dev, &pieces[i], false);
	return result;
}

void
gdb_breakpoint(struct minivmm_device *dev, const char *at, bool set)
{
	static const uint32_t kinds[] = { MINIVMM_BREAK_SOFTWARE, MINIVMM_BREAK_HARDWARE,
					  MINIVMM_WATCH_WRITE, 0, MINIVMM_WATCH_ACCESS };
	struct gdb *g = minivmm_state(dev);
	struct minivmm_breakpoint breakpoint = { .vcpu = g->vcpu };
	unsigned type = (unsigned)(uint8_t)*at - '0';
	uint64_t length;
	int result;

	if (type >= sizeof(kinds) / sizeof(*kinds) || !kinds[type]) {
		packet_reply(&g->out, ""); /* 3: this CPU cannot watch reads without writes */
		return;
	}
	at++;
	breakpoint.kind = kinds[type];
	if (!packet_char(&at, ',') || !range(&at, &breakpoint.address, &length) || *at) {
		packet_reply(&g->out, "E01");
		return;
	}
	if (breakpoint.kind <= MINIVMM_BREAK_HARDWARE)
		result = change_breakpoint(dev, &breakpoint, set);
	else
		result = change_watchpoint(dev, &breakpoint, length, set);
	packet_reply(&g->out, result ? "E01" : "OK");
}
