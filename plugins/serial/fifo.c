/* SPDX-License-Identifier: BSD-2-Clause */
/* The FIFOs of a 16550A: bytes to and from the stream, and the receive timeout. */
#include <string.h>

#include "serial.h"

/* Without FIFOs, the holding register is a FIFO of one byte. */
static uint8_t
capacity(const struct serial *s)
{
	return s->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

bool
serial_triggered(const struct serial *s)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };

	return s->receive_count >= (s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1);
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

void
serial_restart_timeout(struct minivmm_device *dev)
{
	struct serial *s = minivmm_state(dev);

	if ((s->fcr & FCR_ENABLE) && (s->ier & IER_RECEIVED) && s->receive_count &&
	    !serial_triggered(s) && !s->timeout_pending)
		minivmm_timer_set(dev, TIMER_TIMEOUT, minivmm_now(dev) + timeout(s), 0);
	else
		minivmm_timer_cancel(dev, TIMER_TIMEOUT);
}

void
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

void
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

bool
serial_put(struct minivmm_device *dev, uint8_t value)
{
	struct serial *s = minivmm_state(dev);

	if (s->transmit_count == capacity(s)) {
		if (!s->tx_dropped++)
			minivmm_log(dev, MINIVMM_WARNING,
				    "bytes are lost: the reader of the output is slow, and the "
				    "guest writes without checking THRE");
		return false;
	}
	s->transmit[s->transmit_count++] = value;
	return true;
}

uint8_t
serial_get(struct minivmm_device *dev)
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

void
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

int
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
