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

#include <string.h>

#define FIFO_SIZE 16
#define CLOCK 1843200u /* Hz */

enum serial_register { DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define IER_RECEIVED 0x01
#define IER_TRANSMIT 0x02
#define IER_LINE 0x04
#define IER_MODEM 0x08

#define IIR_MODEM 0x00
#define IIR_NONE 0x01
#define IIR_TRANSMIT 0x02
#define IIR_RECEIVED 0x04
#define IIR_LINE 0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO 0xc0

#define FCR_ENABLE 0x01
#define FCR_CLEAR_RECEIVE 0x02
#define FCR_CLEAR_TRANSMIT 0x04
#define FCR_KEPT 0xc9 /* enable, DMA mode, trigger level */

#define LCR_LENGTH 0x03
#define LCR_STOP 0x04
#define LCR_PARITY 0x08
#define LCR_DLAB 0x80

#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_KEPT 0x1f

#define LSR_DR 0x01
#define LSR_OE 0x02
#define LSR_THRE 0x20
#define LSR_TEMT 0x40

#define MSR_TERI 0x04
#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI 0x40
#define MSR_DCD 0x80

enum { STREAM_LINE };
enum { TIMER_TIMEOUT };

struct serial {
	struct minivmm_irq irq; /* option */
	/* State: see fields below. */
	uint8_t ier, fcr, lcr, mcr, scr;
	uint16_t divisor;
	uint8_t receive[FIFO_SIZE], receive_count;
	uint8_t transmit[FIFO_SIZE], transmit_count;
	uint8_t msr_delta;
	bool overrun;
	bool transmit_pending; /* the THRE interrupt; a read of IIR clears it */
	bool timeout_pending;
	uint64_t tx_dropped; /* bytes dropped because the transmit FIFO was full */
};

/* Without FIFOs, the holding register is a FIFO of one byte. */
static uint8_t
capacity(const struct serial *s)
{
	return s->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static uint8_t
trigger(const struct serial *s)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };

	return s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1;
}

/* Returns the pending, enabled interrupt of the highest priority. */
static uint8_t
interrupt(const struct serial *s)
{
	if ((s->ier & IER_LINE) && s->overrun)
		return IIR_LINE;
	if ((s->ier & IER_RECEIVED) && s->receive_count >= trigger(s))
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

/* Returns the time of four characters at the divisor's rate, in ns. */
static uint64_t
timeout(const struct serial *s)
{
	uint64_t length = 5 + (s->lcr & LCR_LENGTH);
	uint64_t half_bits = 2 * (1 + length + (s->lcr & LCR_PARITY ? 1 : 0) + 1);

	if (s->lcr & LCR_STOP)
		half_bits += length == 5 ? 1 : 2;
	return 4 * half_bits * 8 * (s->divisor ? s->divisor : 1) * 1000000000u / CLOCK;
}

/* Restarts the receive timeout after a byte has arrived or was read. It runs while the FIFO holds
 * bytes below the trigger level. */
static void
serial_restart_timeout(struct minivmm_device *dev)
{
	struct serial *s = minivmm_state(dev);

	if ((s->fcr & FCR_ENABLE) && (s->ier & IER_RECEIVED) && s->receive_count &&
	    s->receive_count < trigger(s) && !s->timeout_pending)
		minivmm_timer_set(dev, TIMER_TIMEOUT, minivmm_now(dev) + timeout(s), 0);
	else
		minivmm_timer_cancel(dev, TIMER_TIMEOUT);
}

/* Fills the receive FIFO from the stream. In loopback mode the line is disconnected and input
 * waits. */
static void
serial_pull(struct minivmm_device *dev)
{
	struct serial *s = minivmm_state(dev);
	size_t room = (size_t)(capacity(s) - s->receive_count), n;

	if ((s->mcr & MCR_LOOP) || !room)
		return;
	n = minivmm_stream_read(dev, STREAM_LINE, s->receive + s->receive_count, room);
	if (!n)
		return;
	s->receive_count += (uint8_t)n;
	serial_restart_timeout(dev);
}

/* Writes the transmit FIFO to the stream, or in loopback mode to the receive FIFO. */
static void
serial_push(struct minivmm_device *dev)
{
	struct serial *s = minivmm_state(dev);
	uint8_t done = s->transmit_count;

	if (!done)
		return;
	if (s->mcr & MCR_LOOP) {
		uint8_t room = (uint8_t)(capacity(s) - s->receive_count);
		uint8_t n = done < room ? done : room;

		memcpy(s->receive + s->receive_count, s->transmit, n);
		s->receive_count += n;
		s->overrun |= n < done;
		serial_restart_timeout(dev);
	} else
		done = (uint8_t)minivmm_stream_write(dev, STREAM_LINE, s->transmit, done);
	s->transmit_count -= done;
	memmove(s->transmit, s->transmit + done, s->transmit_count);
	if (!s->transmit_count)
		s->transmit_pending = true;
}

static void
serial_write_data(struct minivmm_device *dev, uint8_t value)
{
	struct serial *s = minivmm_state(dev);

	if (s->transmit_count == capacity(s)) {
		if (!s->tx_dropped++)
			minivmm_log(dev, MINIVMM_WARNING,
				    "bytes are lost: the reader of the output is slow, and the "
				    "guest writes without checking THRE");
		return;
	}
	s->transmit[s->transmit_count++] = value;
	/* Lower the line first: if the FIFO empties at once, the interrupt controller needs a new
	 * edge. */
	s->transmit_pending = false;
	serial_update(dev);
	serial_push(dev);
}

static uint8_t
serial_read_data(struct minivmm_device *dev)
{
	struct serial *s = minivmm_state(dev);
	uint8_t value = s->receive[0];

	if (!s->receive_count)
		return 0;
	memmove(s->receive, s->receive + 1, --s->receive_count);
	s->timeout_pending = false;
	serial_restart_timeout(dev);
	serial_pull(dev);
	return value;
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

static void
serial_write_fcr(struct minivmm_device *dev, uint8_t value)
{
	struct serial *s = minivmm_state(dev);
	bool switched = (value ^ s->fcr) & FCR_ENABLE;

	/* The other bits are written only if the enable bit is set. */
	s->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
	if (switched || ((value & FCR_ENABLE) && (value & FCR_CLEAR_RECEIVE))) {
		s->receive_count = 0;
		s->timeout_pending = false;
	}
	if ((switched || ((value & FCR_ENABLE) && (value & FCR_CLEAR_TRANSMIT))) &&
	    s->transmit_count) {
		s->transmit_count = 0;
		s->transmit_pending = true;
	}
	serial_restart_timeout(dev);
	serial_pull(dev);
}

/* Returns the modem lines: in loopback mode those of MCR, else those of a modem that is always
 * ready. */
static uint8_t
modem_lines(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
			 (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void
serial_write_mcr(struct minivmm_device *dev, uint8_t value)
{
	struct serial *s = minivmm_state(dev);
	uint8_t before = modem_lines(s), changed;

	s->mcr = value & MCR_KEPT;
	changed = before ^ modem_lines(s);
	s->msr_delta |= (changed >> 4) & ~MSR_TERI;
	if (changed & before & MSR_RI) /* TERI: only the trailing edge of RI counts */
		s->msr_delta |= MSR_TERI;
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
	return msr;
}

static int
serial_read(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t *value)
{
	struct serial *s = minivmm_state(dev);
	bool divisor = s->lcr & LCR_DLAB;

	switch ((enum serial_register)access->offset) {
	case DATA:
		*value = divisor ? s->divisor & 0xff : serial_read_data(dev);
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
	serial_push(dev);
	serial_pull(dev);
	serial_update(dev);
	return 0;
}

static int
serial_loaded(struct minivmm_device *dev)
{
	struct serial *s = minivmm_state(dev);

	if (s->receive_count <= capacity(s) && s->transmit_count <= capacity(s))
		return 0;
	minivmm_error(dev,
		      "the FIFOs are off and hold one byte each, but the state has %u bytes "
		      "received and %u to transmit; the snapshot is damaged",
		      s->receive_count, s->transmit_count);
	return -1;
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION(struct serial, irq, "none", "interrupt line; 4 for a PC's first port"),
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
	.state_version = 1,
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
MINIVMM_REGISTER(serial);
