/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server of gdb's remote protocol: the descriptor, and the connection of the client.
 *
 * The machine is paused at the client's first byte, not when it connects, and only if the byte
 * belongs to the protocol. So neither a port scan stops the machine, nor does a web page that makes
 * a browser send packets inside a request of HTTP control it.
 */
#include <stdlib.h>

#include "gdb.h"

/* Work of one callback: packets and bytes. Then others have their turn. */
#define PACKETS_AT_ONCE 64
#define BYTES_AT_ONCE (4 * PACKET_MAX)

/* Returns whether all is sent. */
static bool
flush(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);
	struct packet_output *out = &g->out;

	if (out->sent < out->length)
		out->sent += minivmm_stream_write(dev, STREAM_CLIENT, out->bytes + out->sent,
						  out->length - out->sent);
	return out->sent == out->length;
}

/* The first byte of a client decides whether it is one. */
static void
accept_client(struct minivmm_device *dev, uint8_t byte)
{
	struct gdb *g = minivmm_state(dev);

	g->client = byte == '$' || byte == '+' || byte == '-' || byte == 3;
	g->ignored = !g->client;
	if (g->ignored)
		minivmm_log(dev, MINIVMM_WARNING,
			    "a client that does not send gdb's remote protocol is ignored until it "
			    "disconnects");
	else
		gdb_pause(dev);
}

/* Ctrl-C. A stopped machine ignores it: it can cross a stop reply on its way. */
static void
interrupt(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);

	if (g->wait != GDB_WAIT_STOP)
		return;
	g->interrupted = true;
	gdb_pause(dev);
}

static void
take_packet(struct minivmm_device *dev, enum packet_event event)
{
	struct gdb *g = minivmm_state(dev);

	packet_clear(&g->out);
	if (!g->no_ack)
		packet_acknowledge(&g->out, event == PACKET_DAMAGED ? '-' : '+');
	if (event == PACKET_LONG)
		packet_error(&g->out, "a packet has more than %u bytes", PACKET_MAX);
	else if (event == PACKET_COMPLETE && g->wait == GDB_READY)
		gdb_packet(dev);
	else if (event == PACKET_COMPLETE && g->in.bytes[0] == 'k')
		gdb_packet(dev); /* without a reply, so that a running machine is no obstacle */
}

static void
take_byte(struct minivmm_device *dev, uint8_t byte, unsigned *packets)
{
	struct gdb *g = minivmm_state(dev);
	enum packet_event event;

	if (!g->client && !g->ignored)
		accept_client(dev, byte);
	if (g->ignored)
		return;
	event = packet_take(&g->in, byte);
	if (event == PACKET_NOTHING)
		return;
	++*packets;
	if (event == PACKET_INTERRUPT)
		interrupt(dev);
	else if (event != PACKET_REPEAT)
		take_packet(dev, event);
	else if (!g->no_ack)
		packet_repeat(&g->out);
}

/* Whether there are bytes in raw, from the stream if it has some. */
static bool
fill(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);

	if (g->raw_at == g->raw_length) {
		g->raw_at = 0;
		g->raw_length = minivmm_stream_read(dev, STREAM_CLIENT, g->raw, sizeof(g->raw));
	}
	return g->raw_at < g->raw_length;
}

int
gdb_pump(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);
	unsigned packets = 0, bytes = 0;

	while (packets < PACKETS_AT_ONCE && bytes < BYTES_AT_ONCE) {
		if (!flush(dev))
			return 0; /* writable continues */
		if (g->console) {
			gdb_send_console(dev);
			packets++;
			continue;
		}
		if (g->wait != GDB_READY && g->wait != GDB_WAIT_STOP)
			return 0; /* an event continues */
		if (!fill(dev))
			return 0; /* readable continues */
		take_byte(dev, g->raw[g->raw_at++], &packets);
		bytes++;
	}
	minivmm_post(dev, POST_MORE);
	return 0;
}

static int
gdb_ready(struct minivmm_device *dev, uint32_t row)
{
	return gdb_pump(dev);
}

static int
gdb_connected(struct minivmm_device *dev, uint32_t stream, bool connected)
{
	struct gdb *g = minivmm_state(dev);

	if (g->client)
		gdb_release(dev);
	free(g->console);
	memset(&g->connected, 0, sizeof(*g) - offsetof(struct gdb, connected));
	g->connected = connected;
	return gdb_pump(dev);
}

static int
gdb_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	return gdb_create_target(dev);
}

static void
gdb_destroy(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);

	free(g->console);
	free(g->target);
}

static const char *const architectures[] = { "amd64", "i386", "i8086", NULL };

static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(ENUM, struct gdb, architecture, "amd64",
			  "what gdb sees: amd64, i386, or i8086 for code of 16 bits",
			  .values = architectures),
	MINIVMM_END,
};

static const struct minivmm_stream streams[] = {
	[STREAM_CLIENT] = { .name = "client",
			    .output = "listen",
			    .input = "input",
			    .readable = gdb_ready,
			    .writable = gdb_ready,
			    .connected = gdb_connected,
			    .help = "the connection of gdb" },
	MINIVMM_END,
};

static const struct minivmm_post posts[] = {
	[POST_MORE] = { .name = "more", .run = gdb_ready, .help = "more packets to take" },
	MINIVMM_END,
};

static const struct minivmm_tool tool = {
	.size = sizeof(tool),
	.event = gdb_event,
};

static const struct minivmm_plugin gdb = {
	.name = "gdb",
	.summary = "a server of gdb's remote protocol",
	.state_version = 1,
	.state_size = sizeof(struct gdb),
	.options = options,
	.streams = streams,
	.posts = posts,
	.start = gdb_start,
	.destroy = gdb_destroy,
	.tool = &tool,
};
MINIVMM_REGISTER(gdb, MINIVMM_TOOLS, MINIVMM_STREAM_EVENTS);
