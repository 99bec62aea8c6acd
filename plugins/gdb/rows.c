/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers that gdb sees, in the order of target.xml. The names and types of gdb's features
 * are in "i386 Features" in the appendix "Target Descriptions" of its manual; the places in the
 * XSAVE area in Intel's manual, volume 1, sections 10.5.1 and 13.4.
 */
#include "registers.h"

#define CORE "org.gnu.gdb.i386.core"
#define SSE "org.gnu.gdb.i386.sse"
#define AVX "org.gnu.gdb.i386.avx"
#define SEGMENTS "org.gnu.gdb.i386.segments"
#define SYSTEM "org.minivmm.system"

#define MEMBER(m) sizeof(((struct registers *)0)->m), .offset = offsetof(struct registers, m)
#define ROW(n, t, f, g, where, bytes, which, m)                                                    \
	{                                                                                          \
		.name = (n), .type = (t), .feature = (f), .group = (g), .in = (where),             \
		.size = (bytes), .set = (which), .stored = MEMBER(m)                               \
	}
#define GENERAL64(n, t) ROW(#n, t, CORE, NULL, IN_AMD64, 8, SET_GENERAL, general.n)
#define GENERAL32(n, t, m)                                                                         \
	{                                                                                          \
		.name = (n), .type = (t), .feature = CORE, .in = IN_I386, .size = 4, .stored = 4,  \
		.set = SET_GENERAL, .offset = offsetof(struct registers, general.m)                \
	}
#define SELECTOR_ROW(n)                                                                            \
	{                                                                                          \
		.name = #n, .type = "int32", .feature = CORE, .in = IN_BOTH, .size = 4,            \
		.set = SET_SYSTEM, .kind = REGISTER_SELECTOR, .stored = MEMBER(system.n.selector)  \
	}
/* Of the XSAVE area: at gdb, there, place, component, in. */
#define X(n, t, f, g, bytes, there, at, bit, where)                                                \
	{                                                                                          \
		.name = (n), .type = (t), .feature = (f), .group = (g), .in = (where),             \
		.size = (bytes), .stored = (there), .set = SET_XSAVE, .component = (bit),          \
		.offset = offsetof(struct registers, xsave) + (at)                                 \
	}
#define ST(i) X("st" #i, "i387_ext", CORE, NULL, 10, 10, 32 + 16 * (i), 0, IN_BOTH)
#define CONTROL(n, there, at) X(n, "int", CORE, "float", 4, there, at, 0, IN_BOTH)
#define XMM(i, where) X("xmm" #i, "vec128", SSE, NULL, 16, 16, 160 + 16 * (i), 1, where)
#define YMM(i, where) X("ymm" #i "h", "uint128", AVX, NULL, 16, 16, 576 + 16 * (i), 2, where)
#define SYSTEM_ROW(n, t, where, bytes, m)                                                          \
	ROW(n, t, SYSTEM, "system", where, bytes, SET_SYSTEM, system.m)
#define MSR_ROW(n, t, i) ROW(n, t, SYSTEM, "system", IN_AMD64, 8, SET_MSRS, msrs[i].value)

const struct register_row register_rows[] = {
	GENERAL64(rax, "int64"),
	GENERAL64(rbx, "int64"),
	GENERAL64(rcx, "int64"),
	GENERAL64(rdx, "int64"),
	GENERAL64(rsi, "int64"),
	GENERAL64(rdi, "int64"),
	GENERAL64(rbp, "data_ptr"),
	GENERAL64(rsp, "data_ptr"),
	GENERAL64(r8, "int64"),
	GENERAL64(r9, "int64"),
	GENERAL64(r10, "int64"),
	GENERAL64(r11, "int64"),
	GENERAL64(r12, "int64"),
	GENERAL64(r13, "int64"),
	GENERAL64(r14, "int64"),
	GENERAL64(r15, "int64"),
	GENERAL64(rip, "code_ptr"),
	GENERAL32("eax", "int32", rax),
	GENERAL32("ecx", "int32", rcx),
	GENERAL32("edx", "int32", rdx),
	GENERAL32("ebx", "int32", rbx),
	GENERAL32("esp", "data_ptr", rsp),
	GENERAL32("ebp", "data_ptr", rbp),
	GENERAL32("esi", "int32", rsi),
	GENERAL32("edi", "int32", rdi),
	GENERAL32("eip", "code_ptr", rip),
	{ .name = "eflags",
	  .type = "i386_eflags",
	  .feature = CORE,
	  .in = IN_BOTH,
	  .size = 4,
	  .stored = 4,
	  .set = SET_GENERAL,
	  .offset = offsetof(struct registers, general.rflags) },
	SELECTOR_ROW(cs),
	SELECTOR_ROW(ss),
	SELECTOR_ROW(ds),
	SELECTOR_ROW(es),
	SELECTOR_ROW(fs),
	SELECTOR_ROW(gs),
	ST(0),
	ST(1),
	ST(2),
	ST(3),
	ST(4),
	ST(5),
	ST(6),
	ST(7),
	CONTROL("fctrl", 2, 0),
	CONTROL("fstat", 2, 2),
	{ .name = "ftag",
	  .type = "int",
	  .feature = CORE,
	  .group = "float",
	  .in = IN_BOTH,
	  .size = 4,
	  .stored = 1,
	  .set = SET_XSAVE,
	  .kind = REGISTER_TAGS,
	  .offset = offsetof(struct registers, xsave) + 4 },
	CONTROL("fiseg", 2, 12),
	CONTROL("fioff", 4, 8),
	CONTROL("foseg", 2, 20),
	CONTROL("fooff", 4, 16),
	CONTROL("fop", 2, 6),
	XMM(0, IN_BOTH),
	XMM(1, IN_BOTH),
	XMM(2, IN_BOTH),
	XMM(3, IN_BOTH),
	XMM(4, IN_BOTH),
	XMM(5, IN_BOTH),
	XMM(6, IN_BOTH),
	XMM(7, IN_BOTH),
	XMM(8, IN_AMD64),
	XMM(9, IN_AMD64),
	XMM(10, IN_AMD64),
	XMM(11, IN_AMD64),
	XMM(12, IN_AMD64),
	XMM(13, IN_AMD64),
	XMM(14, IN_AMD64),
	XMM(15, IN_AMD64),
	X("mxcsr", "i386_mxcsr", SSE, "vector", 4, 4, 24, 1, IN_BOTH),
	YMM(0, IN_BOTH),
	YMM(1, IN_BOTH),
	YMM(2, IN_BOTH),
	YMM(3, IN_BOTH),
	YMM(4, IN_BOTH),
	YMM(5, IN_BOTH),
	YMM(6, IN_BOTH),
	YMM(7, IN_BOTH),
	YMM(8, IN_AMD64),
	YMM(9, IN_AMD64),
	YMM(10, IN_AMD64),
	YMM(11, IN_AMD64),
	YMM(12, IN_AMD64),
	YMM(13, IN_AMD64),
	YMM(14, IN_AMD64),
	YMM(15, IN_AMD64),
	ROW("fs_base", "int", SEGMENTS, NULL, IN_AMD64, 8, SET_SYSTEM, system.fs.base),
	ROW("gs_base", "int", SEGMENTS, NULL, IN_AMD64, 8, SET_SYSTEM, system.gs.base),
	MSR_ROW("k_gs_base", "data_ptr", MSR_KERNEL_GS_BASE),
	SYSTEM_ROW("cr0", "cr0_flags", IN_BOTH, 8, cr0),
	SYSTEM_ROW("cr2", "data_ptr", IN_AMD64, 8, cr2),
	SYSTEM_ROW("cr3", "int64", IN_AMD64, 8, cr3),
	SYSTEM_ROW("cr4", "cr4_flags", IN_BOTH, 8, cr4),
	SYSTEM_ROW("cr8", "int64", IN_AMD64, 8, cr8),
	SYSTEM_ROW("efer", "efer_flags", IN_BOTH, 8, efer),
	MSR_ROW("star", "int64", MSR_STAR),
	MSR_ROW("lstar", "code_ptr", MSR_LSTAR),
	MSR_ROW("cstar", "code_ptr", MSR_CSTAR),
	MSR_ROW("fmask", "int64", MSR_FMASK),
	SYSTEM_ROW("cs_base", "int64", IN_BOTH, 8, cs.base),
	SYSTEM_ROW("ss_base", "int64", IN_BOTH, 8, ss.base),
	SYSTEM_ROW("ds_base", "int64", IN_BOTH, 8, ds.base),
	SYSTEM_ROW("es_base", "int64", IN_BOTH, 8, es.base),
	SYSTEM_ROW("fs_base", "int64", IN_I386, 8, fs.base),
	SYSTEM_ROW("gs_base", "int64", IN_I386, 8, gs.base),
	SYSTEM_ROW("cr2", "int64", IN_I386, 8, cr2),
	SYSTEM_ROW("cr3", "int64", IN_I386, 8, cr3),
	SYSTEM_ROW("gdt_base", "int64", IN_BOTH, 8, gdt_base),
	SYSTEM_ROW("gdt_limit", "int32", IN_BOTH, 4, gdt_limit),
	SYSTEM_ROW("idt_base", "int64", IN_BOTH, 8, idt_base),
	SYSTEM_ROW("idt_limit", "int32", IN_BOTH, 4, idt_limit),
	SYSTEM_ROW("ldt", "int32", IN_BOTH, 4, ldt.selector),
	SYSTEM_ROW("ldt_base", "int64", IN_BOTH, 8, ldt.base),
	SYSTEM_ROW("tr", "int32", IN_BOTH, 4, tr.selector),
	SYSTEM_ROW("tr_base", "int64", IN_BOTH, 8, tr.base),
};
const size_t register_row_count = sizeof(register_rows) / sizeof(*register_rows);
