/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the gdb plugin with the bytes of a hostile client, of a machine that refuses this or that.
 * The first byte of the input selects what is refused. In the rest, 0xff and the byte behind it are
 * no bytes of the client: the machine advances, the client goes, or it reads what it was sent.
 */
#include "../../plugins/gdb/gdb.c"
#include "../../plugins/gdb/commands.c"
#include "../../plugins/gdb/memory.c"
#include "../../plugins/gdb/monitor.c"
#include "../../plugins/gdb/packet.c"
#include "../../plugins/gdb/registers.c"
#include "../../plugins/gdb/rows.c"
#include "../../plugins/gdb/run.c"
#include "../../plugins/gdb/target.c"
#include "../unit/fake_machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *input, *input_end; /* what the client has sent, not yet read */
static size_t space;                     /* that the client leaves for output */
static bool posted;

static void
log_line(struct minivmm_device *dev, uint32_t level, const char *text)
{
}

static size_t
stream_read(struct minivmm_device *dev, uint32_t stream, void *to, size_t length)
{
	size_t n = (size_t)(input_end - input);

	n = n < length ? n : length;
	if (!n)
		return 0; /* input can be NULL */
	memcpy(to, input, n);
	input += n;
	return n;
}

static size_t
stream_write(struct minivmm_device *dev, uint32_t stream, const void *from, size_t length)
{
	size_t n = length < space ? length : space;
	static uint8_t sink[sizeof(((struct packet_output *)0)->bytes)];

	if (n)
		memcpy(sink, from, n); /* a sanitizer checks the range */
	space -= n;
	return n;
}

static void
post(struct minivmm_device *dev, uint32_t row)
{
	posted = true;
}

static const struct minivmm_services services = {
	.size = sizeof(services),
	.log = log_line,
	.stream_read = stream_read,
	.stream_write = stream_write,
	.post = post,
	.machine_functions = machine_service,
	.memory_read = machine_physical_read,
	.memory_write = machine_physical_write,
};

static void
turn(struct minivmm_device *dev)
{
	machine_turn(dev, &tool);
	for (int i = 0; posted && i < 100; i++) {
		posted = false;
		gdb_ready(dev, 0);
	}
}

/* What is not a byte of the client. */
static void
act_of(struct minivmm_device *dev, uint8_t what)
{
	switch (what % 8) {
	case 0:
		gdb_connected(dev, 0, false);
		gdb_connected(dev, 0, true);
		break;
	case 1:
		space = what;
		break;
	case 2:
		machine.others = !machine.ended;
		break;
	case 3:
		machine_event(&(struct minivmm_event){ .kind = MINIVMM_REPLACED });
		turn(dev);
		break;
	case 4:
		machine.vcpus[what / 8 % MACHINE_VCPUS].halted ^= true;
		break;
	default:
		space = SIZE_MAX;
		gdb_ready(dev, 0);
		turn(dev);
	}
}

static void
refuse_some(uint8_t what)
{
	static const char *const answers[] = { "{}", "{\"a\":[{\"b\":\"c\\u001b\"}],\"d\":1}",
					       "{\"", NULL };

	machine_create();
	machine.cannot_pause = what & 1 ? "why" : NULL;
	machine.cannot_step = what & 2;
	machine.cannot_write_registers = what & 4;
	machine.cannot_break = what & 8;
	machine.others = what & 16;
	machine.answer = answers[what >> 5 & 3];
	memcpy(machine.memory + 0x1000, "\xff\xc0\x88\x03\x90\xeb\xf9", 7);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gdb *g = calloc(1, sizeof(*g));
	struct minivmm_device dev = { .services = &services, .state = g, .name = "gdb" };
	const struct minivmm_start start = { .reason = MINIVMM_FRESH };
	const uint8_t *end = size ? data + size : data;
	bool refuses_pauses;

	if (!g)
		abort();
	refuse_some(size ? *data : 0);
	g->architecture = size ? *data >> 7 : 0;
	space = SIZE_MAX;
	posted = false;
	if (gdb_start(&dev, &start))
		abort();
	gdb_connected(&dev, 0, true);
	for (data += size != 0; data < end;) {
		const uint8_t *mark = memchr(data, 0xff, (size_t)(end - data));

		input = data;
		input_end = mark ? mark : end;
		gdb_ready(&dev, 0);
		turn(&dev);
		data = mark ? mark + 1 : end;
		if (data < end)
			act_of(&dev, *data++);
	}
	/* The client goes: the machine runs, and nothing is left in it. */
	input = input_end;
	gdb_connected(&dev, 0, false);
	refuses_pauses = machine.cannot_pause != NULL;
	machine.cannot_pause = NULL;
	for (int i = 0; i < 3; i++)
		turn(&dev);
	if (!machine.ended && (machine.held || machine.stepping))
		abort();
	if (!machine.ended && machine.breakpoint_count && !refuses_pauses)
		abort();
	gdb_destroy(&dev);
	free(g);
	return 0;
}
