/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server of gdb's remote protocol as a tool: its state and its parts. All functions run on the
 * I/O thread, in callbacks.
 *
 *   gdb.c       the descriptor; the client comes and goes, its bytes become packets
 *   packet.c    packets
 *   commands.c  a packet becomes a call
 *   run.c       pause, resume and step; stop replies
 *   registers.c the registers of a vCPU, by gdb's numbers
 *   memory.c    memory, breakpoints
 *   target.c    what the machine is: target.xml and the memory map
 *   monitor.c   commands of the control socket
 *
 * The client's threads 1 to n are vCPUs 0 to n - 1.
 */
#ifndef PLUGINS_GDB_GDB_H
#define PLUGINS_GDB_GDB_H

#include <minivmm/plugin.h>
#include <minivmm/tool.h>

#include "packet.h"

#define GDB_MEMORY (PACKET_MAX / 2) /* bytes of guest memory in a packet */

enum { GDB_INT = 2, GDB_TRAP = 5, GDB_ABRT = 6, GDB_KILL = 9, GDB_SEGV = 11 }; /* signals of gdb */

enum { STREAM_CLIENT };
enum { POST_MORE };
enum { ARCHITECTURE_AMD64, ARCHITECTURE_I386, ARCHITECTURE_I8086 }; /* option architecture */

/* What this tool does with the machine. */
enum gdb_hold {
	GDB_FREE,    /* nothing: it may run */
	GDB_PAUSING, /* has requested a pause */
	GDB_HELD,    /* holds it */
	GDB_STEPPING,
};

/* What the client waits for. Meanwhile its bytes stay in the stream, except while it waits for a
 * stop: then it can interrupt. */
enum gdb_wait {
	GDB_READY,       /* for nothing: it may send a packet */
	GDB_WAIT_PAUSE,  /* its packet needs the paused machine, and is run then */
	GDB_WAIT_RESUME, /* the command "resume" ends others' pause, then action is next */
	GDB_WAIT_STOP,   /* the machine runs, or steps */
	GDB_WAIT_ANSWER, /* of a command */
};

struct gdb_action {
	enum { GDB_CONTINUE, GDB_STEP, GDB_STEP_RANGE } kind;
	uint32_t vcpu;       /* of a step */
	uint64_t start, end; /* of a range: steps while rip is in [start, end) */
};

struct gdb {
	uint32_t architecture; /* option */

	enum gdb_hold hold;
	bool ended;                 /* the machine has */
	bool stale;                 /* breakpoints are set by a client that has gone */
	bool breakpoints;           /* some are set */
	struct minivmm_event stop;  /* the last STOPPED; kind 0: none */
	char refusal[128];          /* why the last request for a pause was refused */
	struct gdb_action action;   /* the last */
	uint64_t command;           /* id of the command that is waited for */
	char *target;               /* target.xml */
	size_t target_length;       /* in bytes */
	uint8_t memory[GDB_MEMORY]; /* of a packet that reads or writes memory */

	/* The client. */
	bool connected;
	bool client;   /* it has sent a byte of the protocol */
	bool detached; /* its last packet was D */
	bool ignored;  /* it has sent something else first: a browser, a port scan */
	enum gdb_wait wait;
	bool no_ack;
	bool names_breakpoints; /* it understands swbreak and hwbreak */
	bool physical;          /* its addresses are guest physical */
	bool interrupted;       /* it has sent Ctrl-C since the machine runs */
	uint32_t vcpu;          /* of g, p, m, ...: Hg */
	uint32_t step_vcpu;     /* of s: Hc */
	uint32_t listed;        /* threads that qfThreadInfo and qsThreadInfo have listed */
	char *console;          /* output of a command, malloced; the rest of it follows an "O" */
	size_t console_at, console_length;
	uint8_t raw[4096]; /* bytes from the stream */
	size_t raw_at, raw_length;
	struct packet_input in;
	struct packet_output out;
};

/* gdb.c: sends and receives until that stalls or the client must wait. */
int gdb_pump(struct minivmm_device *dev);

/* commands.c: runs the packet in g->in. */
void gdb_packet(struct minivmm_device *dev);
/* The number of vCPUs. */
uint32_t gdb_vcpus(struct minivmm_device *dev);

/* run.c: requests a pause, if it is not held. */
void gdb_pause(struct minivmm_device *dev);
/* Continues or steps, also if an operator has paused the machine; the stop reply follows. */
void gdb_run(struct minivmm_device *dev, const struct gdb_action *action);
/* Removes the client's breakpoints and lets the machine run, if it is held; else a pause is
 * requested, at which that is done. */
void gdb_release(struct minivmm_device *dev);
/* The same, and an operator's pause ends. */
void gdb_detach(struct minivmm_device *dev);
/* Replies why the machine has stopped. */
void gdb_stop_reply(struct minivmm_device *dev);
/* The events of the machine. */
int gdb_event(struct minivmm_device *dev, const struct minivmm_event *event);

/* registers.c. Each of the first four sends a reply. */
void gdb_read_registers(struct minivmm_device *dev);
void gdb_write_registers(struct minivmm_device *dev, const char *at);
void gdb_read_register(struct minivmm_device *dev, const char *at);
void gdb_write_register(struct minivmm_device *dev, const char *at);
/* Adds some registers to a stop reply. */
void gdb_expedite(struct minivmm_device *dev, uint32_t vcpu);
/* Set and read rip; linear: with the base of cs. Return 0 or -1. */
int gdb_set_rip(struct minivmm_device *dev, uint32_t vcpu, uint64_t rip);
int gdb_get_rip(struct minivmm_device *dev, uint32_t vcpu, uint64_t *rip, uint64_t *linear);
/* "64-bit, CPL 0": the mode of a vCPU. */
void gdb_mode(struct minivmm_device *dev, uint32_t vcpu, char *text, size_t size);
/* Prints the registers as elements of target.xml. */
void gdb_describe_registers(FILE *out, uint32_t architecture);

/* memory.c: each sends a reply. */
void gdb_read_memory(struct minivmm_device *dev, const char *at);
void gdb_write_memory(struct minivmm_device *dev, const char *at, bool binary);
void gdb_breakpoint(struct minivmm_device *dev, const char *at, bool set);

/* target.c: creates target.xml. Returns 0 or -1. */
int gdb_create_target(struct minivmm_device *dev);
/* qXfer: sends a part of a document. at: behind "qXfer:". */
void gdb_transfer(struct minivmm_device *dev, const char *at);

/* monitor.c: runs a command, whose words are hexadecimal. */
void gdb_monitor(struct minivmm_device *dev, const char *at);
/* The command that the client waits for has ended. */
void gdb_answered(struct minivmm_device *dev, const struct minivmm_event *event);
/* Sends a part of the command's output, or the end of it. */
void gdb_send_console(struct minivmm_device *dev);
/* The client, whose machine runs, gets a line on its console. */
__attribute__((format(printf, 2, 3))) void gdb_say(struct minivmm_device *dev, const char *format,
						   ...);

#endif
