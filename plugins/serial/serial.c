/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 16550A serial port: National Semiconductor's PC16550D data sheet, with a PC's wiring.
 *
 * Transmission takes no time: the transmit FIFO is written to the stream at once. Input stays in
 * the stream until the receive FIFO has room, so a slow guest loses no bytes. While the stream is
 * full, THRE stays clear. The divisor affects only the receive timeout. The data bits, parity and
 * break bits of LCR are stored and have no other effect.
 */
#include <minivmm/plugin.h>

#include "serial.h"

/* Returns the pending, enabled interrupt of the highest priority. */
static uint8_t
interrupt(const struct serial *s)
{
	if ((s->ier & IER_LINE) && s->overrun)
		return IIR_LINE;
	if ((s->ier & IER_RECEIVED) && serial_triggered(s))
		return IIR_RECEIVED;
	if ((s->ier & IER_RECEIVED) && s->timeout_pending)
		return IIR_TIMEOUT;
	if ((s->ier & IER_TRANSMIT) && s->transmit_pending)
		return IIR_TRANSMIT;
	if ((s->ier & IER_MODEM) && s->msr_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

/* Sets the interrupt line. On a PC, OUT2 connects the chip's interrupt to the bus. */
static void
serial_update(struct minivmm_device *dev)
{
	struct serial *s = minivmm_state(dev);

	minivmm_irq_set(dev, &s->irq, (s->mcr & MCR_OUT2) && interrupt(s) != IIR_NONE);
}

static void
serial_write_data(struct minivmm_device *dev, uint8_t value)
{
	struct serial *s = minivmm_state(dev);

	if (!serial_put(dev, value))
		return;
	/* Lower the line first: if the FIFO empties at once, the interrupt controller needs a new
	 * edge. */
	s->transmit_pending = false;
	serial_update(dev);
	serial_push(dev);
}

static void
serial_write_ier(struct minivmm_device *dev, uint8_t value)
{
	struct serial *s = minivmm_state(dev);
	uint8_t risen = value & ~s->ier;

	s->ier = value & 0x0f;
	if ((risen & IER_TRANSMIT) && !s->transmit_count)
		s->transmit_pending = true;
	if (risen & IER_RECEIVED)
		serial_restart_timeout(dev);
}

/* Returns the modem lines: in loopback mode those of MCR, else those of a modem that is ready. */
static uint8_t
modem_lines(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return s->carrier == CARRIER_ALWAYS || s->dcd ? MSR_CTS | MSR_DSR | MSR_DCD
							      : MSR_CTS;
	return (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
			 (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

/* Notes which lines are no longer as before. */
static void
modem_changed(struct serial *s, uint8_t before)
{
	uint8_t changed = before ^ modem_lines(s);

	s->msr_delta |= (changed >> 4) & ~MSR_TERI;
	if (changed & before & MSR_RI) /* TERI: only the trailing edge of RI counts */
		s->msr_delta |= MSR_TERI;
}

/*
 * The carrier follows the other end of the stream. Between two reads of MSR it changes once: a
 * driver sees that a client has gone even if the next one has come since.
 */
static void
follow_carrier(struct serial *s)
{
	uint8_t before = modem_lines(s);

	if (s->carrier != CARRIER_CONNECTED || s->dcd == s->connected ||
	    s->msr_delta & MSR_DCD >> 4)
		return;
	s->dcd = s->connected;
	modem_changed(s, before);
}

static void
serial_write_mcr(struct minivmm_device *dev, uint8_t value)
{
	struct serial *s = minivmm_state(dev);
	uint8_t before = modem_lines(s);

	s->mcr = value & MCR_KEPT;
	modem_changed(s, before);
	serial_push(dev);
	serial_pull(dev);
}

static int
serial_write(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t wide)
{
	struct serial *s = minivmm_state(dev);
	uint8_t value = (uint8_t)wide;
	bool divisor = s->lcr & LCR_DLAB;

	switch ((enum serial_register)access->offset) {
	case DATA:
		if (divisor)
			s->divisor = (uint16_t)((s->divisor & 0xff00) | value);
		else
			serial_write_data(dev, value);
		break;
	case IER:
		if (divisor)
			s->divisor = (uint16_t)((s->divisor & 0x00ff) | value << 8);
		else
			serial_write_ier(dev, value);
		break;
	case IIR_FCR:
		serial_write_fcr(dev, value);
		break;
	case LCR:
		s->lcr = value;
		break;
	case MCR:
		serial_write_mcr(dev, value);
		break;
	case LSR: /* writes are for factory tests */
	case MSR:
		break;
	case SCR:
		s->scr = value;
		break;
	}
	serial_update(dev);
	return 0;
}

static uint8_t
serial_read_iir(struct serial *s)
{
	uint8_t iir = interrupt(s);

	if (iir == IIR_TRANSMIT)
		s->transmit_pending = false;
	return s->fcr & FCR_ENABLE ? iir | IIR_FIFO : iir;
}

static uint8_t
serial_read_lsr(struct serial *s)
{
	uint8_t lsr = (uint8_t)((s->receive_count ? LSR_DR : 0) | (s->overrun ? LSR_OE : 0) |
				(s->transmit_count ? 0 : LSR_THRE | LSR_TEMT));

	s->overrun = false;
	return lsr;
}

static uint8_t
serial_read_msr(struct serial *s)
{
	uint8_t msr = modem_lines(s) | s->msr_delta;

	s->msr_delta = 0;
	follow_carrier(s);
	return msr;
}

static int
serial_read(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t *value)
{
	struct serial *s = minivmm_state(dev);
	bool divisor = s->lcr & LCR_DLAB;

	switch ((enum serial_register)access->offset) {
	case DATA:
		*value = divisor ? s->divisor & 0xff : serial_get(dev);
		break;
	case IER:
		*value = divisor ? s->divisor >> 8 : s->ier;
		break;
	case IIR_FCR:
		*value = serial_read_iir(s);
		break;
	case LCR:
		*value = s->lcr;
		break;
	case MCR:
		*value = s->mcr;
		break;
	case LSR:
		*value = serial_read_lsr(s);
		break;
	case MSR:
		*value = serial_read_msr(s);
		break;
	case SCR:
		*value = s->scr;
		break;
	}
	serial_update(dev);
	return 0;
}

static int
serial_readable(struct minivmm_device *dev, uint32_t stream)
{
	serial_pull(dev);
	serial_update(dev);
	return 0;
}

static int
serial_writable(struct minivmm_device *dev, uint32_t stream)
{
	serial_push(dev);
	serial_update(dev);
	return 0;
}

/* A client of a socket has come or gone: as a modem's carrier, or a null modem cable's. A restored
 * machine has lost the clients of the saved one: the guest sees that the line was cut. */
static int
serial_connected(struct minivmm_device *dev, uint32_t stream, bool connected)
{
	struct serial *s = minivmm_state(dev);

	s->connected = connected;
	if (s->fresh && s->carrier == CARRIER_CONNECTED) /* no change since the power came on */
		s->dcd = connected;
	s->fresh = false;
	follow_carrier(s);
	serial_update(dev);
	return 0;
}

static int
serial_timed_out(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	struct serial *s = minivmm_state(dev);

	s->timeout_pending = s->receive_count;
	serial_update(dev);
	return 0;
}

/* Continues a transmission that was in progress at the snapshot: no other event would. */
static int
serial_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	((struct serial *)minivmm_state(dev))->fresh = start->reason == MINIVMM_FRESH;
	serial_push(dev);
	serial_pull(dev);
	serial_update(dev);
	return 0;
}

static const char *const carriers[] = { "always", "connected", NULL };

static const struct minivmm_option options[] = {
	MINIVMM_OPTION(struct serial, irq, "none", "interrupt line; 4 for a PC's first port"),
	MINIVMM_OPTION_AS(ENUM, struct serial, carrier, "always",
			  "DCD and DSR: always set, or while output and input are connected",
			  .values = carriers),
	MINIVMM_END,
};

static const struct minivmm_register registers[] = {
	{ DATA, "RBR", "THR" }, { IER, "IER", NULL }, { IIR_FCR, "IIR", "FCR" },
	{ LCR, "LCR", NULL },   { MCR, "MCR", NULL }, { LSR, "LSR", NULL },
	{ MSR, "MSR", NULL },   { SCR, "SCR", NULL }, MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0x3f8",
	  .length = 8,
	  .widths = MINIVMM_W8,
	  .read = serial_read,
	  .write = serial_write,
	  .registers = registers,
	  .help = "first of the eight ports" },
	MINIVMM_END,
};

static const struct minivmm_timer timers[] = {
	[TIMER_TIMEOUT] = { .name = "timeout",
			    .fire = serial_timed_out,
			    .help = "receive timeout, four characters' time" },
	MINIVMM_END,
};

static const struct minivmm_stream streams[] = {
	[STREAM_LINE] = { .name = "line",
			  .output = "output",
			  .input = "input",
			  .readable = serial_readable,
			  .writable = serial_writable,
			  .connected = serial_connected,
			  .help = "the serial line" },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct serial, ier, .max = 0x0f, .help = "IER"),
	MINIVMM_FIELD(struct serial, fcr, .max = FCR_KEPT,
		      .help = "FCR: enable, DMA mode, trigger level"),
	MINIVMM_FIELD(struct serial, lcr, .help = "LCR"),
	MINIVMM_FIELD(struct serial, mcr, .max = MCR_KEPT, .help = "MCR"),
	MINIVMM_FIELD(struct serial, scr, .help = "SCR"),
	MINIVMM_FIELD(struct serial, divisor, .initial = 12,
		      .help = "DLL and DLM; initially 9600 baud, as a BIOS sets it"),
	MINIVMM_FIELD_COUNTED(struct serial, receive, receive_count, .help = "receive FIFO"),
	MINIVMM_FIELD_COUNTED(struct serial, transmit, transmit_count, .help = "transmit FIFO"),
	MINIVMM_FIELD(struct serial, msr_delta, .max = 0x0f,
		      .help = "MSR: lines that have changed"),
	MINIVMM_FIELD(struct serial, dcd, .since = 2,
		      .help = "MSR: DCD and DSR, if carrier = connected"),
	MINIVMM_FIELD(struct serial, overrun, .help = "LSR: overrun error"),
	MINIVMM_FIELD(struct serial, transmit_pending, .help = "THRE interrupt pending"),
	MINIVMM_FIELD(struct serial, timeout_pending, .help = "receive timeout interrupt pending"),
	MINIVMM_FIELD(struct serial, tx_dropped, .flags = MINIVMM_FREE_RUNNING,
		      .help = "bytes lost because the reader was slow"),
	MINIVMM_END,
};

static const struct minivmm_acpi acpi[] = {
	{ .hid = "PNP0501" }, /* 16550A-compatible COM port */
	MINIVMM_END,
};

static const struct minivmm_plugin serial = {
	.name = "serial",
	.summary = "a 16550A serial port",
	.state_version = 2,
	.state_size = sizeof(struct serial),
	.options = options,
	.ranges = ranges,
	.timers = timers,
	.streams = streams,
	.fields = fields,
	.acpi = acpi,
	.start = serial_start,
	.loaded = serial_loaded,
};
MINIVMM_REGISTER(serial, MINIVMM_STREAM_EVENTS);
