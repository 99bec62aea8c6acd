/* SPDX-License-Identifier: BSD-2-Clause */
/* The gdb plugin pauses, resumes and steps the machine, and reports why it has stopped. */
#include "unit/gdb_bench.h"

/* Matches the beginning of a stop reply. */
static void
expect_stop(const char *reply, const char *begin)
{
	if (strncmp(reply, begin, strlen(begin)))
		fail_msg("\"%s\" does not begin with \"%s\"", reply, begin);
}

static void
pauses_at_the_first_byte(void **state)
{
	bench_turn();
	assert_true(machine_runs());
	bench_bytes("+", 1);
	bench_turn();
	assert_true(machine.held);
	assert_string_equal(bench_reply(), "");
	expect_stop(bench_ask("?"), "T05thread:1;6:");
	assert_string_equal(bench_ask("qC"), "QC1");
}

/* A packet that arrives before the pause waits for it. */
static void
waits_for_the_pause(void **state)
{
	bench_send("m0,2");
	assert_string_equal(bench_reply(), "");
	bench_send("qC");
	assert_string_equal(bench_reply(), "");
	bench_turn();
	assert_string_equal(bench_reply(), "9090");
	assert_string_equal(bench_reply(), "QC1");
}

static void
a_pause_is_refused(void **state)
{
	machine.cannot_pause = "disk0 does not pause";
	assert_string_equal(bench_ask("qC"), "QC1");
	assert_string_equal(bench_ask("?"), "E.the machine cannot be paused: disk0 does not pause");
	assert_true(machine_runs());
	machine.cannot_pause = NULL;
	expect_stop(bench_ask("?"), "T05");
	/* Ctrl-C: the client waits on. */
	bench_ask("c");
	machine.cannot_pause = "disk0 does not pause";
	bench_bytes("\x03", 1);
	bench_turn();
	assert_string_equal(bench_text(bench_reply() + 1), "cannot pause: disk0 does not pause\n");
	assert_string_equal(bench_reply(), "");
	machine.cannot_pause = NULL;
	bench_bytes("\x03", 1);
	bench_turn();
	expect_stop(bench_reply(), "T02thread:1;");
}

static void
steps(void **state)
{
	expect_stop(bench_ask("?"), "T05");
	expect_stop(bench_ask("s"), "T05thread:1;6:");
	assert_int_equal(machine.vcpus[0].general.rip, 0x1001);
	expect_stop(bench_ask("vCont;s:2;c"), "T05thread:2;");
	assert_int_equal(machine.vcpus[0].general.rip, 0x1001);
	expect_stop(bench_ask("vCont;S05:1;c:-1"), "T05thread:1;");
	assert_int_equal(machine.vcpus[0].general.rip, 0x1002);
	expect_stop(bench_ask("s1010"), "T05thread:1;");
	assert_int_equal(machine.vcpus[0].general.rip, 0x1011);
	/* The registers of the reply: rip is 0x10. */
	assert_non_null(strstr(bench_ask("?"), ";10:1110000000000000;"));
}

static void
steps_through_a_range(void **state)
{
	bench_ask("?");
	machine.vcpus[0].general.rip = 0x1000;
	bench_send("vCont;r1000,1008:1;c");
	for (int i = 0; i < 7; i++) {
		bench_turn();
		assert_string_equal(bench_reply(), "");
	}
	bench_turn();
	expect_stop(bench_reply(), "T05thread:1;");
	assert_int_equal(machine.vcpus[0].general.rip, 0x1008);
	/* A loop that does not leave it; then Ctrl-C. */
	memcpy(machine.memory + 0x1008, "\xeb\xfe", 2);
	bench_send("vCont;r1008,100a:1;c");
	for (int i = 0; i < 5; i++)
		bench_turn();
	bench_bytes("\x03", 1);
	bench_turn();
	expect_stop(bench_reply(), "T02thread:1;");
	assert_true(machine.held);
	/* A breakpoint in the range. */
	assert_string_equal(bench_ask("Z0,1008,1"), "OK");
	expect_stop(bench_ask("vCont;r1008,100a:1;c"), "T05thread:1;");
}

/* A step of a vCPU that has halted ends only by Ctrl-C. */
static void
steps_a_halted_vcpu(void **state)
{
	bench_ask("?");
	machine.vcpus[0].halted = true;
	assert_string_equal(bench_ask("s"), "");
	bench_turn();
	bench_bytes("\x03", 1);
	bench_turn();
	expect_stop(bench_reply(), "T02thread:1;");
}

static void
a_step_is_refused(void **state)
{
	bench_ask("?");
	machine.cannot_step = true;
	assert_int_equal(strncmp(bench_ask("s"), "E.cannot step vCPU 0: ", 22), 0);
	expect_stop(bench_ask("?"), "T05");
	machine.cannot_step = false;
	/* After it has begun: the machine runs, so it is paused again. */
	bench_send("s");
	machine.stepping = machine.held = false;
	machine_event(&(struct minivmm_event){ .kind = MINIVMM_NOT_STOPPED, .text = "why" });
	bench_turn();
	assert_string_equal(bench_text(bench_reply() + 1), "cannot step: why\n");
	expect_stop(bench_reply(), "T05thread:1;");
	assert_true(machine.held);
}

static void
breakpoints(void **state)
{
	bench_ask("qSupported:swbreak+;hwbreak+");
	bench_ask("?");
	machine.vcpus[0].general.rip = 0x1000;
	machine.vcpus[1].general.rip = 0x3000;
	assert_string_equal(bench_ask("Z0,1010,1"), "OK");
	assert_string_equal(bench_ask("Z1,3008,1"), "OK");
	expect_stop(bench_ask("c"), "T05thread:2;hwbreak:;");
	assert_string_equal(bench_ask("qC"), "QC2");
	assert_string_equal(bench_ask("z1,3008,1"), "OK");
	expect_stop(bench_ask("vCont;c"), "T05thread:1;swbreak:;");
	assert_int_equal(machine.vcpus[0].general.rip, 0x1010);
	assert_string_equal(bench_ask("z0,1010,1"), "OK");
	assert_string_equal(bench_ask("z0,1010,1"), "E01");
	assert_string_equal(bench_ask("Z0,fffff,1"), "E01");
	assert_int_equal(machine.breakpoint_count, 0);
}

/* A software breakpoint that the host refuses becomes a hardware one. */
static void
other_breakpoints(void **state)
{
	bench_ask("qSupported:swbreak+;hwbreak+");
	bench_ask("?");
	machine.vcpus[0].general.rip = 0x1000;
	machine.cannot_break = true;
	assert_string_equal(bench_ask("Z0,1010,1"), "OK");
	assert_int_equal(machine.breakpoints[0].kind, MINIVMM_BREAK_HARDWARE);
	expect_stop(bench_ask("c"), "T05thread:1;hwbreak:;");
	assert_string_equal(bench_ask("z0,1010,1"), "OK");
	assert_int_equal(machine.breakpoint_count, 0);
	assert_string_equal(bench_ask("z0,1010,1"), "E01");
}

/* gdb looks for a breakpoint at rip; in a segment with a base it is elsewhere. */
static void
breakpoints_in_a_segment(void **state)
{
	struct machine_vcpu *v = &machine.vcpus[0];
	uint64_t rip, linear;

	bench_ask("qSupported:swbreak+;hwbreak+");
	bench_ask("?");
	v->system.cr0 = 0x10;
	v->system.efer = 0;
	v->system.cs.base = 0xf0000;
	v->general.rip = 0xfff0;
	assert_int_equal(gdb_get_rip(&fake.device, 0, &rip, &linear), 0);
	assert_int_equal(linear, 0xffff0);
	v->system.cs.base = 0x100;
	machine.held = false;
	machine_stop(
	    MINIVMM_STOP_BREAKPOINT, 0,
	    &(struct minivmm_breakpoint){ .address = 0x100f0, .kind = MINIVMM_BREAK_SOFTWARE });
	bench_turn();
	expect_stop(bench_ask("?"), "T05thread:1;6:");
}

static void
watchpoints(void **state)
{
	bench_ask("?");
	memcpy(machine.memory + 0x1000, "\x88\x03\xeb\xfc", 4);
	machine.vcpus[0].general.rip = 0x1000;
	machine.vcpus[0].general.rbx = 0x3006;
	/* 2 bytes, and 4. */
	assert_string_equal(bench_ask("Z2,3006,6"), "OK");
	assert_int_equal(machine.breakpoint_count, 2);
	assert_int_equal(machine.breakpoints[1].address, 0x3008);
	assert_int_equal(machine.breakpoints[1].length, 4);
	expect_stop(bench_ask("c"), "T05thread:1;watch:3006;");
	/* Four debug registers: nothing is left of one that does not fit. */
	assert_string_equal(bench_ask("Z4,4001,6"), "E01");
	assert_int_equal(machine.breakpoint_count, 2);
	assert_string_equal(bench_ask("z2,3006,6"), "OK");
	assert_int_equal(machine.breakpoint_count, 0);
	assert_string_equal(bench_ask("Z4,3006,1"), "OK");
	expect_stop(bench_ask("c"), "T05thread:1;awatch:3006;");
	assert_string_equal(bench_ask("Z3,3006,1"), "");
	assert_string_equal(bench_ask("Z2,3000,ffffffff"), "E01");
	assert_string_equal(bench_ask("Z2,3000,0"), "E01");
	assert_string_equal(bench_ask("Z2,fffffffffffffff8,9"), "E01");
}

static void
continues_and_interrupts(void **state)
{
	bench_ask("?");
	assert_string_equal(bench_ask("c"), "");
	assert_true(machine_runs());
	/* What a client sends meanwhile has no effect. */
	assert_string_equal(bench_ask("g"), "");
	bench_bytes("\x03\x03", 2);
	bench_turn();
	expect_stop(bench_reply(), "T02thread:1;");
	/* Too late: the machine stands already. */
	bench_bytes("\x03", 1);
	bench_turn();
	assert_string_equal(bench_reply(), "");
	assert_string_equal(bench_ask("vCont;c:1"),
			    "E.a vCPU cannot run alone: set scheduler-locking off");
	assert_true(machine.held);
}

/* -S, or "ctl pause": c and s end it, by the command. */
static void
operators_pause(void **state)
{
	machine.others = true;
	expect_stop(bench_ask("?"), "T05");
	expect_stop(bench_ask("s"), "T05thread:1;");
	assert_string_equal(machine.words, " resume");
	assert_int_equal(machine.vcpus[0].general.rip, 0x1001);
	machine.others = true;
	assert_string_equal(bench_ask("c"), "");
	assert_true(machine_runs());
	/* The operator's pause is no stop for the client. */
	machine.others = true;
	bench_turn();
	assert_string_equal(bench_reply(), "");
}

static void
the_end(void **state)
{
	bench_ask("?");
	bench_ask("c");
	machine.ended = true;
	machine_event(
	    &(struct minivmm_event){ .kind = MINIVMM_ENDED, .text = "exit", .status = 42 });
	bench_turn();
	assert_string_equal(bench_text(bench_reply() + 1), "the machine has ended: exit\n");
	assert_string_equal(bench_reply(), "W2a");
	assert_string_equal(bench_ask("m0,1"), "E.the machine has ended");
	assert_string_equal(bench_ask("qC"), "QC1");
}

static void
the_end_by_a_triple_fault(void **state)
{
	bench_ask("?");
	bench_ask("c");
	machine.ended = true;
	machine_event(&(struct minivmm_event){ .kind = MINIVMM_ENDED, .text = "shutdown" });
	bench_turn();
	bench_reply();
	assert_string_equal(bench_reply(), "X0b");
}

static void
kills(void **state)
{
	bench_ask("?");
	bench_ask("c");
	bench_ask("k");
	assert_string_equal(bench_reply(), "X09");
	assert_string_equal(machine.words, " quit");
	assert_true(machine.ended);
}

static void
detaches(void **state)
{
	bench_ask("?");
	assert_string_equal(bench_ask("Z0,1010,1"), "OK");
	machine.others = true;
	assert_string_equal(bench_ask("D"), "OK");
	assert_true(machine_runs());
	assert_int_equal(machine.breakpoint_count, 0);
	bench_bytes("+", 1);
	bench_turn();
	assert_true(machine_runs());
	/* The same connection can debug again. */
	expect_stop(bench_ask("?"), "T05");
	assert_true(machine.held);
}

static void
the_client_goes(void **state)
{
	/* From a stop. An operator's pause stays. */
	bench_ask("?");
	bench_ask("Z0,1010,1");
	machine.others = true;
	bench_connect(false);
	bench_turn();
	assert_false(machine.held);
	assert_true(machine.others);
	assert_int_equal(machine.breakpoint_count, 0);
	machine.others = false;
	/* While the machine runs: it is paused, to remove breakpoints. */
	bench_connect(true);
	bench_ask("?");
	bench_ask("Z0,8000,1");
	bench_ask("c");
	bench_connect(false);
	assert_int_equal(machine.breakpoint_count, 1);
	bench_turn();
	assert_int_equal(machine.breakpoint_count, 0);
	assert_true(machine_runs());
	/* While it steps. */
	bench_connect(true);
	bench_ask("?");
	machine.vcpus[0].halted = true;
	bench_ask("s");
	bench_connect(false);
	bench_turn();
	assert_true(machine_runs());
	assert_false(machine.stepping);
	/* Before the pause. */
	bench_connect(true);
	bench_send("?");
	bench_connect(false);
	bench_turn();
	assert_true(machine_runs());
	assert_int_equal(machine.event_count, 0);
}

/* The next client comes before the breakpoints of the last one are removed. */
static void
another_client(void **state)
{
	bench_ask("?");
	bench_ask("Z0,8000,1");
	bench_ask("c");
	bench_connect(false);
	bench_connect(true);
	expect_stop(bench_ask("?"), "T05");
	assert_int_equal(machine.breakpoint_count, 0);
	assert_true(machine.held);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pauses_at_the_first_byte),
		TEST(waits_for_the_pause),
		TEST(a_pause_is_refused),
		TEST(steps),
		TEST(steps_through_a_range),
		TEST(steps_a_halted_vcpu),
		TEST(a_step_is_refused),
		TEST(breakpoints),
		TEST(other_breakpoints),
		TEST(breakpoints_in_a_segment),
		TEST(watchpoints),
		TEST(continues_and_interrupts),
		TEST(operators_pause),
		TEST(the_end),
		TEST(the_end_by_a_triple_fault),
		TEST(kills),
		TEST(detaches),
		TEST(the_client_goes),
		TEST(another_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
