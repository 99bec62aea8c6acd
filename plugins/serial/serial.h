/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 16550A serial port: its state, and its FIFOs. Without FIFOs (FCR_ENABLE is clear), the holding
 * registers are FIFOs of one byte. All functions run under the device's lock; the caller sets the
 * interrupt line afterwards.
 */
#ifndef PLUGINS_SERIAL_SERIAL_H
#define PLUGINS_SERIAL_SERIAL_H

#include <minivmm/plugin.h>

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
enum { CARRIER_ALWAYS, CARRIER_CONNECTED }; /* option carrier */
enum { TIMER_TIMEOUT };

struct serial {
	struct minivmm_irq irq; /* option */
	uint32_t carrier;       /* option: CARRIER_... */
	bool fresh, connected;  /* no snapshot has the state yet; the other end is there */
	/* State: see fields below. */
	uint8_t ier, fcr, lcr, mcr, scr;
	uint16_t divisor;
	uint8_t receive[FIFO_SIZE], receive_count;
	uint8_t transmit[FIFO_SIZE], transmit_count;
	uint8_t msr_delta;
	bool dcd; /* and DSR, with CARRIER_CONNECTED */
	bool overrun;
	bool transmit_pending; /* the THRE interrupt; a read of IIR clears it */
	bool timeout_pending;
	uint64_t tx_dropped; /* bytes dropped because the transmit FIFO was full */
};

/* Fills the receive FIFO from the stream. In loopback mode the line is disconnected and input
 * waits. */
void serial_pull(struct minivmm_device *dev);
/* Takes a byte from the receive FIFO; 0 if it is empty. */
uint8_t serial_get(struct minivmm_device *dev);
/* Whether the receive FIFO has reached its trigger level. */
bool serial_triggered(const struct serial *s);
/* Restarts the receive timeout after a byte has arrived or was read. It runs while the FIFO holds
 * bytes below the trigger level. */
void serial_restart_timeout(struct minivmm_device *dev);

/* Puts a byte into the transmit FIFO. Returns false if it is full: the byte is dropped. */
bool serial_put(struct minivmm_device *dev, uint8_t value);
/* Writes the transmit FIFO to the stream, or in loopback mode to the receive FIFO. */
void serial_push(struct minivmm_device *dev);

/* Writes FCR: enables or clears the FIFOs. */
void serial_write_fcr(struct minivmm_device *dev, uint8_t value);
/* The plugin's loaded: checks that the FIFOs hold no more than their size. */
int serial_loaded(struct minivmm_device *dev);

#endif
