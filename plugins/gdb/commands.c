/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packets of the client ("Packets" and "General Query Packets" in gdb's manual). A packet that
 * is not known gets the empty reply.
 */
#include "gdb.h"

static struct packet_output *
out_of(struct minivmm_device *dev)
{
	return &((struct gdb *)minivmm_state(dev))->out;
}

static void
refuse(struct minivmm_device *dev)
{
	packet_reply(out_of(dev), "E01");
}

uint32_t
gdb_vcpus(struct minivmm_device *dev)
{
	struct minivmm_machine_state state;

	return minivmm_machine_state(dev, &state) ? 1 : state.vcpus;
}

/* Parses a thread. 0 and -1 are any and all: the vCPU stays as it is. */
static bool
thread(struct minivmm_device *dev, const char **at, uint32_t *vcpu)
{
	uint64_t number;

	if (packet_char(at, '-'))
		return packet_number(at, &number) && number == 1;
	if (!packet_number(at, &number) || number > gdb_vcpus(dev))
		return false;
	if (number)
		*vcpu = (uint32_t)number - 1;
	return true;
}

static void
command_status(struct minivmm_device *dev, const char *at)
{
	gdb_stop_reply(dev);
}

static void
command_select(struct minivmm_device *dev, const char *at)
{
	struct gdb *g = minivmm_state(dev);
	char what = *at++;
	uint32_t *vcpu = what == 'g' ? &g->vcpu : &g->step_vcpu;

	if ((what != 'g' && what != 'c') || !thread(dev, &at, vcpu) || *at)
		refuse(dev);
	else
		packet_reply(&g->out, "OK");
}

static void
command_alive(struct minivmm_device *dev, const char *at)
{
	uint64_t number;

	if (packet_number(&at, &number) && !*at && number && number <= gdb_vcpus(dev))
		packet_reply(out_of(dev), "OK");
	else
		refuse(dev);
}

/* c and s, with an address; C and S, with a signal, which has no effect here. */
static void
run(struct minivmm_device *dev, const char *at, int kind, bool signal)
{
	struct gdb *g = minivmm_state(dev);
	struct gdb_action action = { .kind = kind, .vcpu = g->step_vcpu };
	uint64_t number;

	if (signal && (!packet_number(&at, &number) || (*at && !packet_char(&at, ';')))) {
		refuse(dev);
		return;
	}
	if (*at && (!packet_number(&at, &number) || *at || gdb_set_rip(dev, g->step_vcpu, number)))
		refuse(dev);
	else
		gdb_run(dev, &action);
}

static void
command_continue(struct minivmm_device *dev, const char *at)
{
	run(dev, at, GDB_CONTINUE, false);
}

static void
command_continue_signal(struct minivmm_device *dev, const char *at)
{
	run(dev, at, GDB_CONTINUE, true);
}

static void
command_step(struct minivmm_device *dev, const char *at)
{
	run(dev, at, GDB_STEP, false);
}

static void
command_step_signal(struct minivmm_device *dev, const char *at)
{
	run(dev, at, GDB_STEP, true);
}

/* An action of vCont with its thread. all: it is for each vCPU. */
static bool
parse_action(struct minivmm_device *dev, const char **at, struct gdb_action *action, bool *all)
{
	char letter = **at;
	bool named;
	uint64_t signal;

	*action = (struct gdb_action){ .kind = letter == 'r'                    ? GDB_STEP_RANGE
					       : letter == 's' || letter == 'S' ? GDB_STEP
										: GDB_CONTINUE };
	if (!letter || !strchr("cCsSr", letter))
		return false;
	++*at;
	if ((letter == 'C' || letter == 'S') && !packet_number(at, &signal))
		return false;
	if (letter == 'r' && (!packet_number(at, &action->start) || !packet_char(at, ',') ||
			      !packet_number(at, &action->end)))
		return false;
	action->vcpu = ((struct gdb *)minivmm_state(dev))->vcpu;
	named = packet_char(at, ':');
	*all = !named || **at == '-';
	return !named || thread(dev, at, &action->vcpu);
}

/*
 * vCont;ACTION[:THREAD]...: the first action that names a vCPU is its. One step makes the others
 * stand until it is done. Not all vCPUs but one can stand while that one continues.
 */
static void
continue_threads(struct minivmm_device *dev, const char *at)
{
	struct gdb_action action, chosen = { 0 };
	bool all, steps = false, runs = false;

	while (packet_char(&at, ';')) {
		if (!parse_action(dev, &at, &action, &all)) {
			refuse(dev);
			return;
		}
		if (action.kind == GDB_CONTINUE) {
			runs |= all || gdb_vcpus(dev) == 1;
		} else if (!steps && !runs) {
			chosen = action;
			steps = true;
		}
	}
	if (*at)
		refuse(dev);
	else if (!steps && !runs)
		packet_error(out_of(dev), "a vCPU cannot run alone: set scheduler-locking off");
	else
		gdb_run(dev, &chosen);
}

static void
command_v(struct minivmm_device *dev, const char *at)
{
	static const char *const quit[] = { "quit" };

	if (!strcmp(at, "Cont?")) {
		packet_reply(out_of(dev), "vCont;c;C;s;S;r");
	} else if (!strncmp(at, "Cont;", 5)) {
		continue_threads(dev, at + 4);
	} else if (!strncmp(at, "Kill;", 5)) {
		minivmm_machine_command(dev, quit, 1);
		packet_reply(out_of(dev), "OK");
	} else {
		packet_reply(out_of(dev), "");
	}
}

static void
command_registers(struct minivmm_device *dev, const char *at)
{
	gdb_read_registers(dev);
}

static void
command_write_memory(struct minivmm_device *dev, const char *at)
{
	gdb_write_memory(dev, at, false);
}

static void
command_write_binary(struct minivmm_device *dev, const char *at)
{
	gdb_write_memory(dev, at, true);
}

static void
command_set_breakpoint(struct minivmm_device *dev, const char *at)
{
	gdb_breakpoint(dev, at, true);
}

static void
command_clear_breakpoint(struct minivmm_device *dev, const char *at)
{
	gdb_breakpoint(dev, at, false);
}

static void
command_detach(struct minivmm_device *dev, const char *at)
{
	gdb_detach(dev);
	packet_reply(out_of(dev), "OK");
}

static void
command_kill(struct minivmm_device *dev, const char *at)
{
	static const char *const quit[] = { "quit" };

	minivmm_machine_command(dev, quit, 1);
}

static void
list_threads(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);
	uint32_t count = gdb_vcpus(dev);

	if (g->listed >= count) {
		packet_reply(&g->out, "l");
		return;
	}
	packet_begin(&g->out);
	for (uint32_t i = 0; i < 1024 && g->listed < count; i++)
		packet_print(&g->out, "%c%x", i ? ',' : 'm', ++g->listed);
	packet_end(&g->out);
}

static void
describe_thread(struct minivmm_device *dev, const char *at)
{
	struct gdb *g = minivmm_state(dev);
	char text[64], mode[40];
	uint32_t vcpu = 0;

	if (!thread(dev, &at, &vcpu) || *at) {
		refuse(dev);
		return;
	}
	gdb_mode(dev, vcpu, mode, sizeof(mode));
	snprintf(text, sizeof(text), "vCPU %u: %s", vcpu, mode);
	packet_begin(&g->out);
	packet_hex(&g->out, text, strlen(text));
	packet_end(&g->out);
}

static void
announce(struct minivmm_device *dev, const char *features)
{
	struct gdb *g = minivmm_state(dev);

	g->names_breakpoints =
	    strstr(features, "swbreak+") != NULL && strstr(features, "hwbreak+") != NULL;
	packet_begin(&g->out);
	packet_print(&g->out,
		     "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;"
		     "qXfer:memory-map:read+;vContSupported+;swbreak+;hwbreak+",
		     PACKET_MAX);
	packet_end(&g->out);
}

/* QEMU's packets: whether addresses are physical. */
static void
physical_mode(struct minivmm_device *dev, const char *at)
{
	struct gdb *g = minivmm_state(dev);

	if (at[0] == '\0' || (at[0] != '0' && at[0] != '1') || at[1]) {
		refuse(dev);
		return;
	}
	g->physical = at[0] == '1';
	packet_reply(&g->out, "OK");
}

static void
command_q(struct minivmm_device *dev, const char *at)
{
	struct gdb *g = minivmm_state(dev);

	if (!strncmp(at, "Supported", 9)) {
		announce(dev, at);
	} else if (!strncmp(at, "Xfer:", 5)) {
		gdb_transfer(dev, at + 5);
	} else if (!strcmp(at, "C")) {
		packet_begin(&g->out);
		packet_print(&g->out, "QC%x", g->vcpu + 1);
		packet_end(&g->out);
	} else if (!strcmp(at, "fThreadInfo")) {
		g->listed = 0;
		list_threads(dev);
	} else if (!strcmp(at, "sThreadInfo")) {
		list_threads(dev);
	} else if (!strncmp(at, "ThreadExtraInfo,", 16)) {
		describe_thread(dev, at + 16);
	} else if (!strncmp(at, "Rcmd,", 5)) {
		gdb_monitor(dev, at + 5);
	} else if (!strcmp(at, "qemu.PhyMemMode")) {
		packet_reply(&g->out, g->physical ? "1" : "0");
	} else {
		packet_reply(&g->out, !strncmp(at, "Attached", 8) ? "1" : "");
	}
}

static void
command_set(struct minivmm_device *dev, const char *at)
{
	struct gdb *g = minivmm_state(dev);

	if (!strcmp(at, "StartNoAckMode")) {
		packet_reply(&g->out, "OK");
		g->no_ack = true;
	} else if (!strncmp(at, "qemu.PhyMemMode:", 16)) {
		physical_mode(dev, at + 16);
	} else {
		packet_reply(&g->out, "");
	}
}

/* Whether a query shows or changes the paused machine. */
static bool
query_needs_pause(const char *at)
{
	return !strncmp(at, "ThreadExtraInfo,", 16);
}

static const struct command {
	char letter;
	bool paused; /* the machine must be */
	void (*run)(struct minivmm_device *dev, const char *at);
} commands[] = {
	{ '?', true, command_status },
	{ 'c', true, command_continue },
	{ 'C', true, command_continue_signal },
	{ 'D', false, command_detach },
	{ 'g', true, command_registers },
	{ 'G', true, gdb_write_registers },
	{ 'H', false, command_select },
	{ 'k', false, command_kill },
	{ 'm', true, gdb_read_memory },
	{ 'M', true, command_write_memory },
	{ 'p', true, gdb_read_register },
	{ 'P', true, gdb_write_register },
	{ 'q', false, command_q },
	{ 'Q', false, command_set },
	{ 's', true, command_step },
	{ 'S', true, command_step_signal },
	{ 'T', false, command_alive },
	{ 'v', false, command_v },
	{ 'X', true, command_write_binary },
	{ 'z', true, command_clear_breakpoint },
	{ 'Z', true, command_set_breakpoint },
};

void
gdb_packet(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);
	const char *at = (const char *)g->in.bytes;
	const struct command *c = NULL;
	bool paused;

	g->detached = false;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (commands[i].letter == *at)
			c = &commands[i];
	if (!c || !*at) {
		packet_reply(&g->out, "");
		return;
	}
	paused =
	    c->paused || (*at == 'q' && query_needs_pause(at + 1)) || !strncmp(at, "vCont;", 6);
	if (!paused || g->hold == GDB_HELD) {
		c->run(dev, at + 1);
		return;
	}
	gdb_pause(dev);
	if (g->hold == GDB_FREE)
		packet_error(&g->out,
			     g->ended ? "the machine has ended" : "the machine cannot be paused");
	else
		g->wait = GDB_WAIT_PAUSE;
}
