/* SPDX-License-Identifier: BSD-2-Clause */
/* The serial port's FIFOs and receive timeout compared with the PC16550D data sheet. */
#include "unit/serial_bench.h"

/* Linux's autoconfig: an EFR, or a FIFO of 64 bytes, would be another chip. */
static void
fifo_type(void **state)
{
	assert_int_equal(in(IIR_FCR) >> 6, 0);
	out(IIR_FCR, 0x01);
	assert_int_equal(in(IIR_FCR) >> 6, 3);
	out(LCR, 0xbf);
	assert_int_equal(in(IIR_FCR), 0xc1);
	out(LCR, 0x80);
	out(IIR_FCR, 0x21);
	assert_int_equal(in(IIR_FCR), 0xc1);
	out(LCR, 0);
	out(IIR_FCR, 0);
	assert_int_equal(in(IIR_FCR), 0x01);
}

static void
an_empty_receiver_reads_as_zero(void **state)
{
	assert_int_equal(in(DATA), 0);
	fake_send(&fake, "\xa5", 1);
	assert_int_equal(in(DATA), 0xa5);
	assert_int_equal(in(DATA), 0);
	assert_int_equal(in(LSR), 0x60);
}

static void
receives_in_order(void **state)
{
	char bytes[300];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	for (int fifo = 0; fifo < 2; fifo++) {
		out(IIR_FCR, fifo ? 0x01 : 0x00);
		fake_send(&fake, bytes, sizeof(bytes));
		/* The host keeps the bytes that do not fit into the chip. */
		assert_int_equal(fake_stream_readable(&fake.device, 0),
				 sizeof(bytes) - (fifo ? 16 : 1));
		for (size_t i = 0; i < sizeof(bytes); i++) {
			assert_int_equal(in(LSR), 0x61);
			assert_int_equal(in(DATA), (uint8_t)i);
		}
		assert_int_equal(in(LSR), 0x60);
	}
}

/* The line, with OUT2 and the interrupt enabled, at each trigger level. */
static void
trigger_levels(void **state)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };

	out(MCR, MCR_OUT2);
	out(IER, IER_RECEIVED);
	for (uint8_t i = 0; i < 4; i++) {
		out(IIR_FCR, (uint8_t)(i << 6 | 0x07));
		for (int n = 1; n <= 16; n++) {
			fake_send(&fake, "r", 1);
			assert_int_equal(fake.line, n >= levels[i]);
			assert_int_equal(in(IIR_FCR), n >= levels[i] ? 0xc4 : 0xc1);
		}
		for (int n = 15; n >= 0; n--) {
			assert_int_equal(in(DATA), 'r');
			assert_int_equal(fake.line, n >= levels[i]);
		}
	}
	/* Without FIFOs the level has no effect. */
	out(IIR_FCR, 0xc0);
	fake_send(&fake, "r", 1);
	assert_int_equal(in(IIR_FCR), 0x04);
	assert_true(fake.line);
}

static void
receive_timeout(void **state)
{
	uint64_t ns = set_8n1(1);

	out(MCR, MCR_OUT2);
	out(IER, IER_RECEIVED);
	out(IIR_FCR, 0x81);
	fake_send(&fake, "abc", 3);
	fake_pass(&fake, ns - 1);
	assert_false(fake.line);
	fake_send(&fake, "d", 1); /* starts again */
	fake_pass(&fake, ns - 1);
	assert_false(fake.line);
	fake_pass(&fake, 1);
	assert_true(fake.line);
	assert_int_equal(in(IIR_FCR), 0xcc);
	assert_int_equal(in(IIR_FCR), 0xcc); /* reading IIR does not clear it */
	assert_int_equal(in(DATA), 'a');     /* reading a byte does */
	assert_false(fake.line);
	assert_int_equal(in(IIR_FCR), 0xc1);
	fake_pass(&fake, ns);
	assert_int_equal(in(IIR_FCR), 0xcc);
	fake_send(&fake, "efghij", 6); /* 9 bytes: above the level, which has priority */
	assert_int_equal(in(IIR_FCR), 0xc4);
	out(IIR_FCR, 0x83);
	assert_false(fake.line);
	fake_pass(&fake, 10 * ns);
	assert_false(fake.line); /* no byte waits */
}

/* 5 bits with 1.5 stop bits, 8 with parity and 2, and a divisor of 0, which must not divide. */
static void
timeout_follows_the_line_settings(void **state)
{
	static const struct {
		uint8_t lcr;
		uint16_t divisor;
		uint64_t half_bits;
	} cases[] = { { 0x00, 1, 14 },      { 0x04, 1, 15 },  { 0x03, 12, 20 }, { 0x07, 12, 22 },
		      { 0x0f, 0xffff, 24 }, { 0x1b, 96, 22 }, { 0x03, 0, 20 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t divisor = cases[i].divisor ? cases[i].divisor : 1;
		uint64_t ns = cases[i].half_bits * 4 * 8 * divisor * 1000000000u / 1843200;

		set_8n1(cases[i].divisor);
		out(LCR, cases[i].lcr);
		out(IER, IER_RECEIVED);
		out(IIR_FCR, 0x47);
		fake_send(&fake, "a", 1);
		fake_pass(&fake, ns - 1);
		assert_int_equal(in(IIR_FCR), 0xc1);
		fake_pass(&fake, 1);
		assert_int_equal(in(IIR_FCR), 0xcc);
	}
}

static void
no_timeout_without_fifos_or_enabled_interrupt(void **state)
{
	set_8n1(1);
	out(IER, IER_RECEIVED);
	out(IIR_FCR, 0);
	fake_send(&fake, "ab", 2);
	fake_pass(&fake, 1000000000);
	assert_int_equal(in(IIR_FCR), 0x04);
	out(IIR_FCR, 0x41);
	out(IER, 0);
	fake_send(&fake, "c", 1);
	fake_pass(&fake, 1000000000);
	assert_int_equal(in(IIR_FCR), 0xc1);
	out(IER, IER_RECEIVED); /* now FIFOs are enabled */
	fake_pass(&fake, 1000000000);
	assert_int_equal(in(IIR_FCR), 0xcc);
}

static void
a_stalled_reader_keeps_thre_clear(void **state)
{
	out(MCR, MCR_OUT2);
	out(IER, IER_TRANSMIT);
	out(IIR_FCR, 0x01);
	in(IIR_FCR);
	fake.room = 2;
	for (int i = 0; i < 18; i++)
		out(DATA, (uint8_t)('a' + i)); /* the host takes 2 bytes, 16 stay */
	assert_int_equal(in(LSR), 0);
	assert_int_equal(in(IIR_FCR), 0xc1);
	assert_false(fake.line);
	out(DATA, '!');
	out(DATA, '!');
	assert_int_equal(((struct serial *)fake.device.state)->tx_dropped, 2);
	assert_int_equal(fake.logged, 1);
	fake_make_room(&fake, 15);
	assert_int_equal(in(LSR), 0);
	assert_false(fake.line);
	fake_make_room(&fake, 100);
	assert_int_equal(in(LSR), 0x60);
	assert_true(fake.line);
	assert_int_equal(in(IIR_FCR), 0xc2);
	assert_output("abcdefghijklmnopqr");
}

static void
a_stalled_reader_without_fifos(void **state)
{
	fake.room = 0;
	out(DATA, 'a');
	assert_int_equal(in(LSR), 0);
	out(DATA, 'b');
	assert_int_equal(((struct serial *)fake.device.state)->tx_dropped, 1);
	fake_make_room(&fake, 5);
	out(DATA, 'c');
	assert_output("ac");
}

static void
fifo_control(void **state)
{
	fake.room = 0;
	out(IIR_FCR, 0xc1);
	out(DATA, 't');
	fake_send(&fake, "rr", 2);
	out(IIR_FCR, 0xc3); /* clears the receiver only */
	assert_int_equal(in(LSR), 0x00);
	fake_send(&fake, "r", 1);
	out(IIR_FCR, 0xc5); /* clears the transmitter only */
	assert_int_equal(in(LSR), 0x61);
	out(DATA, 't');
	out(IIR_FCR, 0x06); /* off: clears both, whatever the other bits are */
	assert_int_equal(in(LSR), 0x60);
	out(DATA, 't');
	fake_send(&fake, "r", 1);
	out(IIR_FCR, 0x06); /* off as before: these bits are not written */
	assert_int_equal(in(LSR), 0x01);
	out(IIR_FCR, 0x01); /* on: clears both */
	assert_int_equal(in(LSR), 0x60);
	/* Bytes that wait at the host follow the cleared ones. */
	fake_send(&fake, "0123456789abcdefXYZ", 19);
	out(IIR_FCR, 0x03);
	assert_int_equal(in(DATA), 'X');
}

/* The 17th byte, or without FIFOs the second, is lost; OE is set once. */
static void
overrun(void **state)
{
	for (int fifo = 0; fifo < 2; fifo++) {
		int size = fifo ? 16 : 1;

		out(IIR_FCR, (uint8_t)fifo);
		out(MCR, MCR_LOOP | MCR_OUT2);
		out(IER, IER_LINE);
		for (int i = 0; i < size; i++)
			out(DATA, (uint8_t)i);
		assert_false(fake.line);
		out(DATA, 99);
		assert_true(fake.line);
		assert_int_equal(in(IIR_FCR)&0x0f, 0x06);
		assert_int_equal(in(LSR), 0x63);
		assert_int_equal(in(LSR), 0x61);
		assert_false(fake.line);
		for (int i = 0; i < size; i++)
			assert_int_equal(in(DATA), i);
		assert_int_equal(in(LSR), 0x60);
	}
}

/* Some VMMs wait for another access after a restore in mid-transmit, and the port is stuck. */
static void
restored_in_mid_transmit(void **state)
{
	out(MCR, MCR_OUT2);
	out(IER, IER_TRANSMIT);
	out(IIR_FCR, 0x01);
	in(IIR_FCR);
	fake.room = 0;
	for (int i = 0; i < 5; i++)
		out(DATA, (uint8_t)('a' + i));
	assert_false(fake.line);
	fake_restore(&restored, &fake);
	fake_start(&restored, MINIVMM_RESTORED);
	assert_int_equal(restored.out_length, 5);
	assert_memory_equal(restored.out, "abcde", 5);
	assert_true(restored.line);
	assert_int_equal(fake_read(&restored, LSR), 0x60);
	assert_int_equal(fake_read(&restored, IIR_FCR), 0xc2);
}

/* Bytes in the FIFO and at the host, a running time-out, a raised line. */
static void
restored_in_mid_receive(void **state)
{
	uint64_t ns = set_8n1(3);

	out(MCR, MCR_OUT2);
	out(IER, IER_RECEIVED);
	out(IIR_FCR, 0x81);
	fake_send(&fake, "abc", 3);
	fake_pass(&fake, ns / 2);
	fake_restore(&restored, &fake);
	fake_start(&restored, MINIVMM_RESTORED);
	fake_pass(&restored, ns - ns / 2 - 1);
	assert_false(restored.line);
	fake_pass(&restored, 1);
	assert_true(restored.line);
	assert_int_equal(fake_read(&restored, IIR_FCR), 0xcc);
	fake_send(&restored, "defghijklmnopqrstuvwxyz", 23);
	fake_destroy(&fake);
	fake_restore(&fake, &restored);
	fake_start(&fake, MINIVMM_RESTORED);
	assert_true(fake.line);
	for (int i = 'a'; i <= 'z'; i++)
		assert_int_equal(in(DATA), i);
	assert_int_equal(in(LSR), 0x60);
}

static void
counts_that_do_not_fit_the_mode_are_refused(void **state)
{
	struct serial *s = fake.device.state;

	s->receive_count = 2;
	assert_int_equal(serial.loaded(&fake.device), -1);
	assert_non_null(strstr(fake.last, "2 bytes received"));
	s->fcr = FCR_ENABLE;
	assert_int_equal(serial.loaded(&fake.device), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fifo_type),
		TEST(an_empty_receiver_reads_as_zero),
		TEST(receives_in_order),
		TEST(trigger_levels),
		TEST(receive_timeout),
		TEST(timeout_follows_the_line_settings),
		TEST(no_timeout_without_fifos_or_enabled_interrupt),
		TEST(a_stalled_reader_keeps_thre_clear),
		TEST(a_stalled_reader_without_fifos),
		TEST(fifo_control),
		TEST(overrun),
		TEST(restored_in_mid_transmit),
		TEST(restored_in_mid_receive),
		TEST(counts_that_do_not_fit_the_mode_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
