/* SPDX-License-Identifier: BSD-2-Clause */
/* The client of the gdb plugin: its connection, memory, threads and gdb's monitor. */
#include "unit/gdb_bench.h"

static void
acknowledges(void **state)
{
	bench_bytes("$qC#b4", 6);
	assert_memory_equal(fake.out, "+$QC1#c5", 8);
	bench_bytes("-", 1);
	bench_turn();
	assert_int_equal(fake.out_length, 15);
	assert_memory_equal(fake.out + 8, "$QC1#c5", 7);
	read_to = fake.out_length;
	bench_bytes("$qC#b5", 6);
	assert_int_equal(fake.out_length, 1);
	assert_memory_equal(fake.out, "-", 1);
	read_to = fake.out_length;
	bench_bytes("$QStartNoAckMode#b0", 19);
	assert_memory_equal(fake.out, "+$OK#9a", 7);
	read_to = fake.out_length;
	bench_bytes("+$qC#b4-", 8);
	assert_int_equal(fake.out_length, 7);
	assert_memory_equal(fake.out, "$QC1#c5", 7);
	/* The next client acknowledges again. */
	read_to = fake.out_length;
	bench_connect(false);
	bench_connect(true);
	bench_bytes("$qC#b4", 6);
	assert_memory_equal(fake.out, "+$QC1#c5", 8);
}

/* A web page makes a browser send packets to this port. */
static void
other_protocols(void **state)
{
	static const char request[] = "POST / HTTP/1.1\r\nHost: x\r\n\r\n+$?#3f$k#6b";

	bench_bytes(request, strlen(request));
	bench_turn();
	assert_int_equal(fake.out_length, 0);
	assert_true(machine_runs());
	assert_string_equal(fake.last, "a client that does not send gdb's remote protocol is "
				       "ignored until it disconnects");
	assert_int_equal(fake.logged, 1);
	bench_connect(false);
	bench_connect(true);
	assert_string_equal(bench_ask("qC"), "QC1");
}

static void
unknown_packets(void **state)
{
	static const char *const packets[] = {
		"",          "!", "R00",  "vMustReplyEmpty", "A",           "QNonStop:1",
		"qSymbol::", "i", "vRun", "qTStatus",        "vFile:open:0"
	};

	for (unsigned i = 0; i < sizeof(packets) / sizeof(*packets); i++) {
		bench_send(packets[i]);
		bench_turn();
		assert_in_range(fake.out_length - read_to, 4, 5);
		assert_string_equal(bench_reply(), "");
	}
	assert_string_equal(bench_ask("qAttached"), "1");
	assert_non_null(strstr(bench_ask("qSupported"), "PacketSize=10000;"));
}

/* A client that does not read gets no further packet run. */
static void
a_slow_client(void **state)
{
	bench_ask("?");
	fake.room = 3;
	bench_send("qC");
	bench_send("M0,1:55");
	bench_turn();
	assert_int_equal(machine.memory[0], 0x90);
	assert_int_equal(fake.out_length, 3);
	fake_make_room(&fake, 100);
	assert_int_equal(machine.memory[0], 0x55);
	assert_string_equal(bench_reply(), "QC1");
	assert_string_equal(bench_reply(), "OK");
}

/* Many packets at once leave time for others. */
static void
a_fast_client(void **state)
{
	char packets[600 * 6 + 1] = "";

	bench_ask("?");
	for (int i = 0; i < 600; i++)
		strcat(packets, "$qC#b4");
	bench_bytes(packets, strlen(packets));
	assert_int_equal(posted, 1);
	assert_in_range(fake.out_length, 8, 100 * 8);
	for (int i = 0; i < 20; i++)
		bench_turn();
	assert_int_equal(fake.out_length, 600 * 8);
}

static void
memory(void **state)
{
	char packet[200];

	bench_ask("?");
	memcpy(machine.memory + 0xfffc, "\1\2\3\4", 4);
	assert_string_equal(bench_ask("mfffc,4"), "01020304");
	assert_string_equal(bench_ask("mfffc,8"), "01020304"); /* as far as it goes */
	assert_string_equal(bench_ask("m10000,1"), "E14");
	assert_string_equal(bench_ask("m0,0"), "");
	assert_string_equal(bench_ask("mffffffffffffffff,2"), "E01");
	assert_int_equal(strlen(bench_ask("m9000,ffffffff")), 2 * 0x7000);
	assert_string_equal(bench_ask("M100,4:deadBEEF"), "OK");
	assert_memory_equal(machine.memory + 0x100, "\xde\xad\xbe\xef", 4);
	assert_string_equal(bench_ask("Mfffe,4:00000000"), "E14");
	assert_string_equal(bench_ask("mfffc,4"), "01020304");
	assert_string_equal(bench_ask("M100,4:000000"), "E01");
	assert_string_equal(bench_ask("M100,4:0000000000"), "E01");
	assert_string_equal(bench_ask("M100,2:0g00"), "E01");
	assert_string_equal(bench_ask("X100,0:"), "OK");
	assert_string_equal(bench_ask("X100,3:a}\x03z"), "OK");
	assert_memory_equal(machine.memory + 0x100, "a#z\xef", 4);
	assert_string_equal(bench_ask("X100,4:a}\x03z"), "E01");
	for (const char *const *p =
		 (const char *const[]){ "m", "m0", "m0,", "m0,1,", "m,1", "M0,1", "X0,1", NULL };
	     *p; p++)
		assert_string_equal(bench_ask(*p), "E01");
	snprintf(packet, sizeof(packet), "M0,8:%016x", 0);
	assert_string_equal(bench_ask(packet), "OK");
}

static void
physical_memory(void **state)
{
	assert_string_equal(bench_ask("qqemu.PhyMemMode"), "0");
	assert_non_null(strstr(bench_ask("qXfer:memory-map:read::0,1000"),
			       "start=\"0x8000000000000000\" length=\"0x8000000000000000\""));
	assert_string_equal(bench_ask("Qqemu.PhyMemMode:1"), "OK");
	assert_string_equal(bench_ask("qqemu.PhyMemMode"), "1");
	assert_non_null(
	    strstr(bench_ask("qXfer:memory-map:read::0,1000"), "start=\"0x0\" length=\"0x10000\""));
	assert_string_equal(bench_ask("m100,2"), "9090");
	assert_string_equal(bench_ask("M100,2:1122"), "OK");
	assert_int_equal(machine.memory[0x101], 0x22);
	assert_string_equal(bench_ask("Qqemu.PhyMemMode:2"), "E01");
	bench_connect(false);
	bench_connect(true);
	assert_string_equal(bench_ask("qqemu.PhyMemMode"), "0");
}

static void
threads(void **state)
{
	struct minivmm_system *s = &machine.vcpus[1].system;

	assert_string_equal(bench_ask("qfThreadInfo"), "m1,2");
	assert_string_equal(bench_ask("qsThreadInfo"), "l");
	assert_string_equal(bench_ask("qfThreadInfo"), "m1,2");
	assert_string_equal(bench_ask("T2"), "OK");
	assert_string_equal(bench_ask("T3"), "E01");
	assert_string_equal(bench_ask("T0"), "E01");
	assert_string_equal(bench_ask("Hg2"), "OK");
	assert_string_equal(bench_ask("qC"), "QC2");
	assert_string_equal(bench_ask("Hg3"), "E01");
	assert_string_equal(bench_ask("Hg0"), "OK");
	assert_string_equal(bench_ask("Hc-1"), "OK");
	assert_string_equal(bench_ask("Hx1"), "E01");
	assert_string_equal(bench_ask("H"), "E01");
	assert_string_equal(bench_text(bench_ask("qThreadExtraInfo,1")), "vCPU 0: 64-bit, CPL 0");
	s->cs.attributes = 0x40fb;
	s->ss.attributes = 0xc0f3;
	assert_string_equal(bench_text(bench_ask("qThreadExtraInfo,2")), "vCPU 1: 32-bit, CPL 3");
	s->cs.attributes = 0xfb;
	assert_string_equal(bench_text(bench_ask("qThreadExtraInfo,2")), "vCPU 1: 16-bit, CPL 3");
	s->cr0 = 0x10;
	assert_string_equal(bench_text(bench_ask("qThreadExtraInfo,2")), "vCPU 1: real mode");
	assert_string_equal(bench_ask("qThreadExtraInfo,3"), "E01");
}

/* Runs a line of gdb's monitor. Returns its output. */
static const char *
monitor(const char *line)
{
	static char text[4096];
	char packet[2048] = "qRcmd,";
	const char *reply;

	for (size_t i = 0; line[i]; i++)
		snprintf(packet + 6 + 2 * i, 3, "%02x", (uint8_t)line[i]);
	text[0] = '\0';
	for (reply = bench_ask(packet); *reply == 'O' && reply[1] != 'K'; reply = bench_reply())
		strcat(text, bench_text(reply + 1));
	assert_string_equal(reply, "OK");
	return text;
}

static void
monitor_commands(void **state)
{
	machine.answer =
	    "{\"state\":\"paused\",\"time\":\"0x1f\",\"devices\":[{\"name\":\"a\\\"b\","
	    "\"empty\":[]},{\"x\":[1,2]}],\"text\":\"a\\u001b[2J\\n\"}";
	assert_string_equal(monitor("device \"serial 0\"  x"), "state: paused\n"
							       "time: 0x1f\n"
							       "devices:\n"
							       "  -\n"
							       "    name: a\"b\n"
							       "    empty: none\n"
							       "  -\n"
							       "    x:\n"
							       "      - 1\n"
							       "      - 2\n"
							       "text: a\\u001b[2J\\n\n");
	assert_string_equal(machine.words, " device serial 0 x");
	machine.answer = NULL;
	assert_string_equal(monitor("snapshot /x"), "error: it is refused\n");
	machine.answer = "{}";
	assert_string_equal(monitor("pause"), "");
	assert_non_null(strstr(monitor("help"), "monitor physical"));
	assert_string_equal(machine.words, " help");
	assert_string_equal(monitor("physical on"), "addresses of memory are guest physical\n");
	assert_string_equal(bench_ask("qqemu.PhyMemMode"), "1");
	assert_string_equal(monitor("physical off"), "addresses of memory are linear\n");
	assert_string_equal(monitor("physical x"), "error: usage: monitor physical [on|off]\n");
	assert_string_equal(monitor("a \"b"),
			    "error: a quote is open, or there are too many words\n");
	assert_string_equal(bench_ask("qRcmd,6"), "E01");
	assert_string_equal(bench_ask("qRcmd,zz"), "E01");
}

/* Long output comes in parts; broken JSON is printed somehow. */
static void
monitor_output(void **state)
{
	static const char *const broken[] = { "{\"a",
					      "{\"a\":",
					      "{\"a\":[",
					      "{]",
					      "{,,",
					      "{\"a\\",
					      "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[1",
					      "[1]",
					      "",
					      "{:::}}}}",
					      "{\"a\":\"b" };
	char *text = malloc(30000), *at = text + sprintf(text, "{\"x\":\"");
	size_t parts = 0, length = 0;
	const char *reply;

	memset(at, 'y', 20000);
	strcpy(at + 20000, "\"}");
	machine.answer = text;
	for (reply = bench_ask("qRcmd,61"); reply[1] != 'K'; reply = bench_reply(), parts++)
		length += strlen(reply) / 2;
	assert_int_equal(parts, 3);
	assert_int_equal(length, 20000 + 4);
	free(text);
	for (unsigned i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
		machine.answer = broken[i];
		monitor("x");
	}
}

/* An answer that comes when the next client is there is not its. */
static void
a_late_answer(void **state)
{
	machine.answer = "{\"late\":1}";
	bench_send("qRcmd,61");
	bench_connect(false);
	bench_connect(true);
	bench_turn();
	assert_string_equal(bench_ask("qC"), "QC1");
	assert_string_equal(bench_reply(), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(acknowledges),    TEST(other_protocols), TEST(unknown_packets),
		TEST(a_slow_client),   TEST(a_fast_client),   TEST(memory),
		TEST(physical_memory), TEST(threads),         TEST(monitor_commands),
		TEST(monitor_output),  TEST(a_late_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
