/* SPDX-License-Identifier: BSD-2-Clause */
/* The serial port compared with the PC16550D data sheet, register by register. */
#include "../../plugins/serial/serial.c"
#include "../../plugins/serial/fifo.c"

#include "unit/fake_services.h"

static struct fake fake, restored;

static int
setup(void **state)
{
	fake_create(&fake, &serial);
	fake_start(&fake, MINIVMM_FRESH);
	return 0;
}

static int
teardown(void **state)
{
	fake_destroy(&fake);
	fake_destroy(&restored);
	return 0;
}

static uint8_t
in(enum serial_register port)
{
	return fake_read(&fake, port);
}

static void
out(enum serial_register port, uint8_t value)
{
	fake_write(&fake, port, value);
}

static void
assert_output(const char *text)
{
	assert_int_equal(fake.out_length, strlen(text));
	assert_memory_equal(fake.out, text, strlen(text));
}

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

/*
 * Programs 8N1 with this divisor. Returns the time of four characters: 4 * 10 bits of 16 clocks
 * each.
 */
static uint64_t
set_8n1(uint16_t divisor)
{
	out(LCR, 0x83);
	out(DATA, (uint8_t)divisor);
	out(IER, (uint8_t)(divisor >> 8));
	out(LCR, 0x03);
	return 4ull * 10 * 16 * divisor * 1000000000u / 1843200;
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
counts_that_do_not_fit_the_mode_are_refused(void **state)
{
	struct serial *s = fake.device.state;

	s->receive_count = 2;
	assert_int_equal(serial.loaded(&fake.device), -1);
	assert_non_null(strstr(fake.last, "2 bytes received"));
	s->fcr = FCR_ENABLE;
	assert_int_equal(serial.loaded(&fake.device), 0);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(after_reset),
		TEST(unimplemented_bits),
		TEST(divisor_latch),
		TEST(fifo_type),
		TEST(an_empty_receiver_reads_as_zero),
		TEST(receives_in_order),
		TEST(trigger_levels),
		TEST(receive_timeout),
		TEST(timeout_follows_the_line_settings),
		TEST(no_timeout_without_fifos_or_enabled_interrupt),
		TEST(transmit_interrupt),
		TEST(out2_connects_the_line),
		TEST(a_stalled_reader_keeps_thre_clear),
		TEST(a_stalled_reader_without_fifos),
		TEST(fifo_control),
		TEST(loop_back_modem),
		TEST(loop_back_modem_interrupt),
		TEST(loop_back_data),
		TEST(overrun),
		TEST(priorities),
		TEST(restored_in_mid_transmit),
		TEST(restored_in_mid_receive),
		TEST(restored_registers),
		TEST(counts_that_do_not_fit_the_mode_are_refused),
		TEST(reset_lowers_the_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
