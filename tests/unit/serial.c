/* SPDX-License-Identifier: BSD-2-Clause */
/* The serial port's registers compared with the PC16550D data sheet, one by one. */
#include "unit/serial_bench.h"

/* Table II of the data sheet, and the divisor set by a PC's BIOS. */
static void
after_reset(void **state)
{
	assert_int_equal(in(IER), 0);
	assert_int_equal(in(IIR_FCR), 0x01);
	assert_int_equal(in(LCR), 0);
	assert_int_equal(in(MCR), 0);
	assert_int_equal(in(LSR), 0x60);
	assert_int_equal(in(MSR)&0x0f, 0);
	assert_int_equal(in(SCR), 0);
	assert_false(fake.line);
	out(LCR, 0x80);
	assert_int_equal(in(DATA), 12);
	assert_int_equal(in(IER), 0);
}

static void
unimplemented_bits(void **state)
{
	out(IER, 0xff);
	assert_int_equal(in(IER), 0x0f);
	out(MCR, 0xff);
	assert_int_equal(in(MCR), 0x1f);
	for (int value = 0; value < 256; value++) {
		out(SCR, (uint8_t)value);
		assert_int_equal(in(SCR), value);
		out(LCR, (uint8_t)value);
		assert_int_equal(in(LCR), value);
	}
	out(LCR, 0);
	out(LSR, 0xff);
	out(MSR, 0xff);
	assert_int_equal(in(LSR), 0x60);
}

static void
divisor_latch(void **state)
{
	out(IER, 0x05);
	out(LCR, 0x83);
	out(DATA, 0x34);
	out(IER, 0x12);
	assert_int_equal(in(DATA), 0x34);
	assert_int_equal(in(IER), 0x12);
	out(LCR, 0x03);
	assert_int_equal(in(IER), 0x05);
	assert_int_equal(fake.out_length, 0);
	out(DATA, 'x');
	assert_output("x");
	out(LCR, 0x83);
	assert_int_equal(in(DATA), 0x34);
}

static void
transmit_interrupt(void **state)
{
	out(MCR, MCR_OUT2);
	out(IER, IER_TRANSMIT); /* enabling it while THR is empty raises it */
	assert_true(fake.line);
	assert_int_equal(in(IIR_FCR), 0x02); /* reading IIR clears it */
	assert_int_equal(in(IIR_FCR), 0x01);
	assert_false(fake.line);
	fake.rises = 0;
	for (int i = 0; i < 3; i++)
		out(DATA, (uint8_t)('a' + i)); /* each byte is sent at once: an edge for each */
	assert_int_equal(fake.rises, 3);
	assert_int_equal(in(IIR_FCR), 0x02);
	out(IER, IER_TRANSMIT); /* enabled already: no edge */
	assert_int_equal(in(IIR_FCR), 0x01);
	assert_output("abc");
}

static void
out2_connects_the_line(void **state)
{
	out(IER, IER_TRANSMIT);
	assert_false(fake.line);
	out(MCR, MCR_OUT2);
	assert_true(fake.line);
	out(MCR, 0);
	assert_false(fake.line);
	assert_int_equal(in(IIR_FCR), 0x02); /* IIR has it nevertheless */
}

/* The four outputs of MCR return as inputs, with their deltas; RI has a delta at its end only. */
static void
loop_back_modem(void **state)
{
	assert_int_equal(in(MSR), 0xb0);
	out(MCR, 0x1a); /* the sequence of Linux: LOOP, OUT2, RTS */
	assert_int_equal(in(MSR)&0xf0, 0x90);
	assert_int_equal(in(MSR), 0x90);
	out(MCR, MCR_LOOP);
	assert_int_equal(in(MSR), 0x09);
	for (uint8_t lines = 0; lines < 16; lines++) {
		uint8_t msr;

		out(MCR, MCR_LOOP | lines);
		msr = in(MSR);
		assert_int_equal(!!(msr & MSR_CTS), !!(lines & MCR_RTS));
		assert_int_equal(!!(msr & MSR_DSR), !!(lines & MCR_DTR));
		assert_int_equal(!!(msr & MSR_RI), !!(lines & MCR_OUT1));
		assert_int_equal(!!(msr & MSR_DCD), !!(lines & MCR_OUT2));
	}
	out(MCR, MCR_LOOP);
	in(MSR);
	out(MCR, MCR_LOOP | MCR_OUT1);
	assert_int_equal(in(MSR), 0x40);
	out(MCR, MCR_LOOP);
	assert_int_equal(in(MSR), 0x04);
	assert_int_equal(in(MSR), 0x00);
}

static void
loop_back_modem_interrupt(void **state)
{
	out(MCR, MCR_LOOP | MCR_OUT2);
	in(MSR);
	out(IER, IER_MODEM);
	assert_false(fake.line);
	out(MCR, MCR_LOOP | MCR_OUT2 | MCR_DTR);
	assert_true(fake.line);
	assert_int_equal(in(IIR_FCR), 0x00);
	assert_int_equal(in(MSR), 0xa2);
	assert_false(fake.line);
	assert_int_equal(in(IIR_FCR), 0x01);
}

static void
connect_line(bool connected)
{
	assert_int_equal(streams[STREAM_LINE].connected(&fake.device, STREAM_LINE, connected), 0);
}

/* DCD and DSR follow the other end, with their deltas and the interrupt. */
static void
carrier(void **state)
{
	connect_line(false); /* by default a modem is always there */
	assert_int_equal(in(MSR), 0xb0);
	((struct serial *)fake.device.state)->carrier = CARRIER_CONNECTED;
	fake_start(&fake, MINIVMM_FRESH);
	connect_line(false); /* as the core does after a start: no change for the guest */
	assert_int_equal(in(MSR), 0x10);
	out(MCR, MCR_OUT2);
	out(IER, IER_MODEM);
	assert_false(fake.line);
	connect_line(true);
	assert_true(fake.line);
	assert_int_equal(in(IIR_FCR), IIR_MODEM);
	assert_int_equal(in(MSR), 0xba);
	assert_false(fake.line);
	/* A client goes and another one comes: the driver sees both. */
	fake.rises = 0;
	connect_line(false);
	connect_line(true);
	assert_int_equal(in(MSR), 0x1a);
	assert_true(fake.line);
	assert_int_equal(in(MSR), 0xba);
	assert_false(fake.line);
	assert_int_equal(in(MSR), 0xb0);
	/* In loopback mode, MSR shows other lines. */
	out(MCR, MCR_LOOP);
	in(MSR);
	connect_line(false);
	assert_int_equal(in(MSR), 0x00);
	out(MCR, 0);
	assert_int_equal(in(MSR)&0xf0, 0x10);
}

/* A restored port hears of its new process's connections: the same, or the line was cut. */
static void
carrier_of_a_restored_port(void **state)
{
	struct serial *s = fake.device.state;

	s->carrier = CARRIER_CONNECTED;
	s->dcd = true;
	fake_start(&fake, MINIVMM_RESTORED);
	connect_line(true);
	assert_int_equal(in(MSR), 0xb0);
	fake_start(&fake, MINIVMM_RESTORED);
	connect_line(false);
	assert_int_equal(in(MSR), 0x1a);
	assert_int_equal(in(MSR), 0x10);
}

static void
loop_back_data(void **state)
{
	out(MCR, MCR_LOOP);
	out(DATA, 'a');
	assert_int_equal(in(LSR), 0x61);
	fake_send(&fake, "host", 4); /* the input is disconnected: the byte waits */
	assert_int_equal(in(DATA), 'a');
	assert_int_equal(in(LSR), 0x60);
	assert_int_equal(fake.out_length, 0);
	out(MCR, 0);
	assert_int_equal(in(DATA), 'h');
	assert_int_equal(in(DATA), 'o');
}

/* Table IV: line status, received data, time-out, transmitter, modem; each is served in turn. */
static void
priorities(void **state)
{
	uint64_t ns = set_8n1(1);

	out(IIR_FCR, 0x41);
	out(MCR, MCR_LOOP | MCR_OUT2);
	out(IER, 0x0f);
	out(MCR, MCR_LOOP | MCR_OUT2 | MCR_RTS);
	for (int i = 0; i < 17; i++)
		out(DATA, (uint8_t)i);
	assert_int_equal(in(IIR_FCR), 0xc6);
	in(LSR);
	assert_int_equal(in(IIR_FCR), 0xc4);
	for (int i = 0; i < 13; i++)
		in(DATA);
	assert_int_equal(in(IIR_FCR),
			 0xc2); /* three bytes wait: below the level, before the time-out */
	out(DATA, 0);
	in(DATA);
	fake_pass(&fake, ns);
	assert_int_equal(in(IIR_FCR), 0xcc);
	in(DATA);
	assert_true(fake.line);
	assert_int_equal(in(IIR_FCR), 0xc2);
	assert_int_equal(in(IIR_FCR), 0xc0);
	assert_true(fake.line);
	in(MSR);
	assert_int_equal(in(IIR_FCR), 0xc1);
	assert_false(fake.line);
}

/* Every field is restored to a value that is not its initial one. */
static void
restored_registers(void **state)
{
	out(LCR, 0x80);
	out(DATA, 0x21);
	out(IER, 0x43);
	out(LCR, 0x1a);
	out(SCR, 0x5c);
	out(IIR_FCR, 0xc9);
	out(MCR, MCR_LOOP | MCR_OUT1);
	for (int i = 0; i < 17; i++)
		out(DATA, (uint8_t)i);
	out(IER, 0x0f);
	fake_restore(&restored, &fake);
	fake_start(&restored, MINIVMM_RESTORED);
	fake_assert_same(&fake, &restored);
	for (int port = 7; port >= 0; port--)
		assert_int_equal(fake_read(&restored, (uint64_t)port),
				 in((enum serial_register)port));
	fake_write(&restored, LCR, 0x80);
	assert_int_equal(fake_read(&restored, DATA), 0x21);
	assert_int_equal(fake_read(&restored, IER), 0x43);
}

static void
reset_lowers_the_line(void **state)
{
	out(MCR, MCR_OUT2);
	out(IER, 0x0f);
	out(IIR_FCR, 0x41);
	fake_send(&fake, "a", 1);
	assert_true(fake.line);
	fake_reset(&fake);
	assert_false(fake.line);
	after_reset(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(after_reset),
		TEST(unimplemented_bits),
		TEST(divisor_latch),
		TEST(transmit_interrupt),
		TEST(out2_connects_the_line),
		TEST(loop_back_modem),
		TEST(loop_back_modem_interrupt),
		TEST(carrier),
		TEST(carrier_of_a_restored_port),
		TEST(loop_back_data),
		TEST(priorities),
		TEST(restored_registers),
		TEST(reset_lowers_the_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
