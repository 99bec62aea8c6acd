/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pause, resume, step; and the replies that tell the client why the machine has stopped.
 *
 * All vCPUs stop and run together. A step runs one of them.
 */
#include "gdb.h"

static int
clear_breakpoints(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);
	const struct minivmm_breakpoint all = { 0 };

	g->stale = false;
	if (!g->breakpoints)
		return 0;
	g->breakpoints = false;
	return minivmm_breakpoint_clear(dev, &all);
}

void
gdb_pause(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);

	if (g->hold == GDB_HELD || g->hold == GDB_PAUSING || minivmm_machine_pause(dev))
		return;
	if (g->hold == GDB_FREE)
		g->hold = GDB_PAUSING;
}

/* Ends the pause of this tool. */
static void
resume(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);

	minivmm_machine_resume(dev);
	g->hold = GDB_FREE;
	g->interrupted = false;
}

void
gdb_release(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);

	if (g->hold == GDB_HELD) {
		clear_breakpoints(dev);
		resume(dev);
		return;
	}
	g->stale = g->breakpoints;
	if (g->stale || g->hold == GDB_STEPPING)
		gdb_pause(dev);
}

static uint64_t
command_resume(struct minivmm_device *dev)
{
	static const char *const words[] = { "resume" };

	return minivmm_machine_command(dev, words, 1);
}

void
gdb_detach(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);
	struct minivmm_machine_state state;

	if (!minivmm_machine_state(dev, &state) && state.others)
		command_resume(dev);
	g->detached = true;
	gdb_release(dev);
}

/* Does g->action. Returns 0 or -1. */
static int
act(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);

	if (g->action.kind == GDB_CONTINUE) {
		resume(dev);
	} else {
		if (minivmm_machine_step(dev, g->action.vcpu))
			return -1;
		g->hold = GDB_STEPPING;
	}
	g->wait = GDB_WAIT_STOP;
	return 0;
}

static void
act_or_fail(struct minivmm_device *dev, const char *error)
{
	struct gdb *g = minivmm_state(dev);

	g->wait = GDB_READY;
	if (act(dev))
		packet_error(&g->out, "cannot step vCPU %u: %s", g->action.vcpu,
			     error ? error
				   : "another tool or a snapshot has paused the machine, or this "
				     "KVM cannot step");
}

void
gdb_run(struct minivmm_device *dev, const struct gdb_action *action)
{
	struct gdb *g = minivmm_state(dev);
	struct minivmm_machine_state state;

	g->action = *action;
	g->interrupted = false;
	g->command = 0;
	if (!minivmm_machine_state(dev, &state) && state.others)
		g->command = command_resume(dev);
	if (g->command)
		g->wait = GDB_WAIT_RESUME;
	else
		act_or_fail(dev, NULL);
}

/* What gdb calls the reason of a stop. */
static void
put_reason(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);
	const struct minivmm_event *stop = &g->stop;
	uint64_t rip, linear;

	if (stop->reason == MINIVMM_STOP_WATCHPOINT) {
		packet_print(&g->out, "%swatch:%llx;",
			     stop->breakpoint == MINIVMM_WATCH_ACCESS ? "a" : "",
			     (unsigned long long)stop->address);
		return;
	}
	/* gdb looks for its breakpoint at rip, and continues if it finds none. In a segment with a
	 * base it would not find it: there a breakpoint is a plain trap. */
	if (stop->reason == MINIVMM_STOP_BREAKPOINT && g->names_breakpoints &&
	    !gdb_get_rip(dev, stop->vcpu, &rip, &linear) && rip == stop->address)
		packet_text(&g->out,
			    stop->breakpoint == MINIVMM_BREAK_HARDWARE ? "hwbreak:;" : "swbreak:;");
}

void
gdb_stop_reply(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);
	bool interrupted = g->interrupted && (g->stop.reason == MINIVMM_STOP_PAUSE ||
					      g->stop.reason == MINIVMM_STOP_STEP);

	g->interrupted = false;
	packet_begin(&g->out);
	packet_print(&g->out, "T%02xthread:%x;", interrupted ? GDB_INT : GDB_TRAP, g->vcpu + 1);
	put_reason(dev);
	gdb_expedite(dev, g->vcpu);
	packet_end(&g->out);
}

/* Whether a step of a range has not left it yet, and has begun the next one. */
static bool
steps_on(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);
	uint64_t rip, linear;

	if (g->action.kind != GDB_STEP_RANGE || g->stop.reason != MINIVMM_STOP_STEP ||
	    g->interrupted || gdb_get_rip(dev, g->action.vcpu, &rip, &linear) ||
	    rip < g->action.start || rip >= g->action.end)
		return false;
	return !act(dev);
}

static void
stopped(struct minivmm_device *dev, const struct minivmm_event *event)
{
	struct gdb *g = minivmm_state(dev);

	g->hold = GDB_HELD;
	g->stop = *event;
	if (g->stop.reason != MINIVMM_STOP_PAUSE)
		g->vcpu = g->step_vcpu = g->stop.vcpu;
	if (!g->client || g->detached) {
		clear_breakpoints(dev);
		resume(dev);
		return;
	}
	if (g->stale) /* a client has come before the last one's were removed */
		clear_breakpoints(dev);
	if (g->wait == GDB_WAIT_PAUSE) {
		g->wait = GDB_READY;
		gdb_packet(dev);
	} else if (g->wait == GDB_WAIT_STOP && !steps_on(dev)) {
		g->wait = GDB_READY;
		gdb_stop_reply(dev);
	}
}

/* The machine runs. */
static void
not_stopped(struct minivmm_device *dev, const char *why)
{
	struct gdb *g = minivmm_state(dev);
	bool step = g->hold == GDB_STEPPING;

	g->hold = GDB_FREE;
	if (!g->client)
		return;
	if (g->wait == GDB_WAIT_PAUSE) {
		g->wait = GDB_READY;
		packet_error(&g->out, "the machine cannot be paused: %s", why);
	} else if (g->wait == GDB_WAIT_STOP) {
		gdb_say(dev, "cannot %s: %s\n", step ? "step" : "pause", why);
		if (step)
			gdb_pause(dev); /* the stop reply is due */
		else
			g->interrupted = false;
	}
}

/* The machine has ended: with a status as a process exits, or with a signal. */
static void
put_end(struct minivmm_device *dev, const char *cause, uint64_t status)
{
	static const struct {
		const char *cause;
		unsigned signal; /* 0: none */
	} ends[] = { { "exit", 0 },
		     { "hlt", 0 },
		     { "shutdown", GDB_SEGV },
		     { "panic", GDB_ABRT },
		     { "internal", GDB_ABRT },
		     { "error", GDB_ABRT } };
	struct gdb *g = minivmm_state(dev);
	unsigned signal = GDB_KILL;

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		if (!strcmp(ends[i].cause, cause))
			signal = ends[i].signal;
	packet_begin(&g->out);
	if (signal)
		packet_print(&g->out, "X%02x", signal);
	else
		packet_print(&g->out, "W%02llx", (unsigned long long)status);
	packet_end(&g->out);
}

static void
ended(struct minivmm_device *dev, const struct minivmm_event *event)
{
	struct gdb *g = minivmm_state(dev);
	const char *cause = event->text ? event->text : "unknown";

	g->ended = true;
	g->hold = GDB_FREE;
	g->breakpoints = g->stale = false;
	if (g->wait == GDB_WAIT_STOP || g->wait == GDB_WAIT_RESUME) {
		gdb_say(dev, "the machine has ended: %s\n", cause);
		put_end(dev, cause, event->status);
	} else if (g->wait != GDB_READY && g->client) {
		packet_error(&g->out, "the machine has ended: %s", cause);
	}
	g->wait = GDB_READY;
}

int
gdb_event(struct minivmm_device *dev, const struct minivmm_event *event)
{
	struct gdb *g = minivmm_state(dev);

	switch ((enum minivmm_event_kind)event->kind) {
	case MINIVMM_STOPPED:
		stopped(dev, event);
		break;
	case MINIVMM_NOT_STOPPED:
		not_stopped(dev, event->text ? event->text : "no reason is known");
		break;
	case MINIVMM_ANSWERED:
		if (!g->command || event->id != g->command)
			break; /* of a client that has gone */
		g->command = 0;
		if (g->wait == GDB_WAIT_RESUME)
			act_or_fail(dev, event->error);
		else if (g->wait == GDB_WAIT_ANSWER)
			gdb_answered(dev, event);
		break;
	case MINIVMM_ENDED:
		ended(dev, event);
		break;
	case MINIVMM_REPLACED: /* nothing of the machine is kept here */
		break;
	}
	return gdb_pump(dev);
}
