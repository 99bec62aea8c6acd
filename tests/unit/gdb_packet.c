/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets of gdb's remote protocol, as "Overview" of its manual describes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../plugins/gdb/packet.c"

static struct packet_input in;
static struct packet_output out;

static int
setup(void **state)
{
	memset(&in, 0, sizeof(in));
	memset(&out, 0, sizeof(out));
	return 0;
}

/* Takes all bytes. Returns the last event that is not NOTHING. */
static enum packet_event
take(const char *text)
{
	enum packet_event last = PACKET_NOTHING, event;

	for (; *text; text++) {
		event = packet_take(&in, (uint8_t)*text);
		last = event == PACKET_NOTHING ? last : event;
	}
	return last;
}

static const char *
sent(void)
{
	static char text[512];

	assert_in_range(out.length, 0, sizeof(text) - 1);
	memcpy(text, out.bytes, out.length);
	text[out.length] = '\0';
	return text;
}

static void
takes_packets(void **state)
{
	assert_int_equal(take("+$qC#b4"), PACKET_COMPLETE);
	assert_string_equal(in.bytes, "qC");
	assert_int_equal(take("$#00"), PACKET_COMPLETE);
	assert_int_equal(in.length, 0);
	assert_int_equal(take("garbage"), PACKET_NOTHING);
	assert_int_equal(take("$?#3F"), PACKET_COMPLETE);
	/* Byte by byte: the event comes with the last one. */
	for (const char *c = "$g#6"; *c; c++)
		assert_int_equal(packet_take(&in, (uint8_t)*c), PACKET_NOTHING);
	assert_int_equal(packet_take(&in, '7'), PACKET_COMPLETE);
}

static void
removes_escapes(void **state)
{
	static const char packet[] = "$X}\x03}\x04}]}\n#";
	uint8_t sum = 0;
	char end[3];

	for (const char *c = packet + 1; *c != '#'; c++)
		sum = (uint8_t)(sum + (uint8_t)*c);
	snprintf(end, sizeof(end), "%02x", sum);
	take(packet);
	assert_int_equal(take(end), PACKET_COMPLETE);
	assert_int_equal(in.length, 5);
	assert_memory_equal(in.bytes, "X#$}*", 5);
}

static void
damaged_packets(void **state)
{
	assert_int_equal(take("$qC#b5"), PACKET_DAMAGED);
	assert_int_equal(take("$qC#zz"), PACKET_DAMAGED);
	assert_int_equal(take("$qC#b4"), PACKET_COMPLETE);
	/* A packet that has lost its end does not swallow the next one. */
	assert_int_equal(take("$qSuppor$qC#b4"), PACKET_COMPLETE);
	assert_string_equal(in.bytes, "qC");
	assert_int_equal(take("$qC#$qC#b4"), PACKET_COMPLETE);
}

static void
bytes_between_packets(void **state)
{
	assert_int_equal(take("\x03"), PACKET_INTERRUPT);
	assert_int_equal(take("-"), PACKET_REPEAT);
	assert_int_equal(take("+"), PACKET_NOTHING);
	assert_int_equal(take("$\x03-#30"), PACKET_COMPLETE); /* contents */
}

static void
long_packets(void **state)
{
	uint8_t sum = 0;
	char end[4];

	for (unsigned extra = 0; extra < 2; extra++) {
		take("$");
		sum = 0;
		for (unsigned i = 0; i < PACKET_MAX + extra; i++) {
			assert_int_equal(packet_take(&in, 'x'), PACKET_NOTHING);
			sum = (uint8_t)(sum + 'x');
		}
		snprintf(end, sizeof(end), "#%02x", sum);
		assert_int_equal(take(end), extra ? PACKET_LONG : PACKET_COMPLETE);
		assert_int_equal(in.length, PACKET_MAX);
	}
}

static void
sends_packets(void **state)
{
	packet_acknowledge(&out, '+');
	packet_reply(&out, "OK");
	assert_string_equal(sent(), "+$OK#9a");
	packet_begin(&out);
	packet_print(&out, "QC%x", 26);
	packet_hex(&out, "\x01\xfe", 2);
	assert_int_equal(packet_binary(&out, "a}$#*", 5), 5);
	packet_end(&out);
	assert_memory_equal(out.bytes + 7, "$QC1a01fea}]}\x04}\x03}\x0a#", 19);
	assert_int_equal(take(sent() + 7), PACKET_COMPLETE);
	assert_string_equal(in.bytes, "QC1a01fea}$#*");
}

/* The last packet again, and no other. */
static void
repeats(void **state)
{
	packet_reply(&out, "OK");
	packet_reply(&out, "E01");
	out.sent = out.length;
	packet_repeat(&out);
	assert_string_equal(sent() + out.sent, "$E01#a6");
}

/* gdb prints the text of an error as it is: characters of the protocol do not get there. */
static void
errors(void **state)
{
	packet_error(&out, "cannot %s", "$#}*");
	assert_int_equal(take(sent()), PACKET_COMPLETE);
	assert_string_equal(in.bytes, "E.cannot ????");
}

static void
replies_have_a_limit(void **state)
{
	static uint8_t bytes[sizeof(out.bytes)];

	packet_begin(&out);
	packet_hex(&out, bytes, PACKET_MAX / 2);
	packet_end(&out);
	assert_int_equal(out.length, PACKET_MAX + 4);
	/* Behind it there is room for a stop reply. */
	packet_reply(&out, "T05");
	assert_memory_equal(out.bytes + PACKET_MAX + 4, "$T05#b9", 7);
	packet_clear(&out);
	packet_begin(&out);
	packet_hex(&out, bytes, sizeof(bytes) / 2);
	packet_end(&out);
	assert_string_equal(sent(), "$E.reply too long#e1");
	/* Binary data is cut. */
	packet_clear(&out);
	memset(bytes, '#', sizeof(bytes));
	packet_begin(&out);
	assert_in_range(packet_binary(&out, bytes, sizeof(bytes)), PACKET_MAX / 2 - 2,
			PACKET_MAX / 2);
	packet_end(&out);
	assert_in_range(out.length, PACKET_MAX - 4, PACKET_MAX + 4);
	/* A client that reads nothing: what no longer fits is dropped. */
	for (unsigned i = 0; i < PACKET_SPARE; i++) {
		packet_acknowledge(&out, '+');
		packet_reply(&out, "T05");
	}
	assert_in_range(out.length, 0, sizeof(out.bytes));
}

static void
parses_numbers(void **state)
{
	const char *at = "ffFFffffffffffff,0:x";
	uint64_t value;
	uint8_t bytes[2];

	assert_true(packet_number(&at, &value));
	assert_int_equal(value, UINT64_MAX);
	assert_false(packet_char(&at, ';'));
	assert_true(packet_char(&at, ','));
	assert_true(packet_number(&at, &value));
	assert_int_equal(value, 0);
	assert_true(packet_char(&at, ':'));
	assert_false(packet_number(&at, &value));
	at = "10000000000000000";
	assert_false(packet_number(&at, &value));
	at = "a55A";
	assert_true(packet_bytes(&at, bytes, 2));
	assert_memory_equal(bytes, "\xa5\x5a", 2);
	assert_int_equal(*at, '\0');
	at = "a5f";
	assert_false(packet_bytes(&at, bytes, 2));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(takes_packets, setup),
		cmocka_unit_test_setup(removes_escapes, setup),
		cmocka_unit_test_setup(damaged_packets, setup),
		cmocka_unit_test_setup(bytes_between_packets, setup),
		cmocka_unit_test_setup(long_packets, setup),
		cmocka_unit_test_setup(sends_packets, setup),
		cmocka_unit_test_setup(repeats, setup),
		cmocka_unit_test_setup(errors, setup),
		cmocka_unit_test_setup(replies_have_a_limit, setup),
		cmocka_unit_test_setup(parses_numbers, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
