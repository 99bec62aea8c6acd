/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables of the members of KVM's structures. */
#include "kvm/kvm_fields.h"

#include <string.h>

/* The type follows from the size: the kernel's __u64 is not uint64_t. */
#define SIZED(bytes)                                                                               \
	((bytes) == 1   ? MINIVMM_U8                                                               \
	 : (bytes) == 2 ? MINIVMM_U16                                                              \
	 : (bytes) == 4 ? MINIVMM_U32                                                              \
			: MINIVMM_U64)
#define NAMED(structure, text, member)                                                             \
	{                                                                                          \
		.name = text, .type = SIZED(sizeof(((struct structure *)0)->member)),              \
		.offset = (uint32_t)offsetof(struct structure, member)                             \
	}
#define LIMITED(structure, text, member, limit)                                                    \
	{                                                                                          \
		.name = text, .type = SIZED(sizeof(((struct structure *)0)->member)),              \
		.offset = (uint32_t)offsetof(struct structure, member), .max = limit               \
	}
#define ARRAY(structure, text, member)                                                             \
	{                                                                                          \
		.name = text, .type = SIZED(sizeof(((struct structure *)0)->member[0])),           \
		.offset = (uint32_t)offsetof(struct structure, member),                            \
		.count = sizeof(((struct structure *)0)->member) /                                 \
			 sizeof(((struct structure *)0)->member[0])                                \
	}
#define END                                                                                        \
	{                                                                                          \
		0                                                                                  \
	}

/* clang-format off */
#define REGS(X)                                                                                    \
	X(rax)                                                                                     \
	X(rbx) X(rcx) X(rdx) X(rsi) X(rdi) X(rsp) X(rbp) X(r8) X(r9) X(r10) X(r11) X(r12) X(r13)   \
	    X(r14) X(r15) X(rip) X(rflags)
#define SEGMENT(X, seg)                                                                            \
	X(seg.base)                                                                                \
	X(seg.limit) X(seg.selector) X(seg.type) X(seg.present) X(seg.dpl) X(seg.db) X(seg.s)      \
	    X(seg.l) X(seg.g) X(seg.avl) X(seg.unusable)
#define SREGS(X)                                                                                   \
	SEGMENT(X, cs)                                                                             \
	SEGMENT(X, ds) SEGMENT(X, es) SEGMENT(X, fs) SEGMENT(X, gs) SEGMENT(X, ss) SEGMENT(X, tr)  \
	    SEGMENT(X, ldt) X(gdt.base) X(gdt.limit) X(idt.base) X(idt.limit) X(cr0) X(cr2) X(cr3) \
		X(cr4) X(cr8) X(efer) X(apic_base)

#define REG(member) NAMED(kvm_regs, #member, member),
const struct minivmm_field kvm_regs_fields[] = { REGS(REG) END };

#define SREG(member) NAMED(kvm_sregs2, #member, member),
const struct minivmm_field kvm_sregs2_fields[] = {
	SREGS(SREG)
	NAMED(kvm_sregs2, "flags", flags),
	ARRAY(kvm_sregs2, "pdptrs", pdptrs),
	END
};
/* clang-format on */

_Static_assert(offsetof(struct kvm_sregs, apic_base) == offsetof(struct kvm_sregs2, apic_base),
	       "sregs and sregs2 begin alike");

#define NAME(member) #member,
const char *const *
kvm_register_names(void)
{
	static const char *const names[] = { REGS(NAME) SREGS(NAME) NULL };

	return names;
}

int
kvm_register_set(struct kvm_regs *regs, struct kvm_sregs *sregs, const char *name, uint64_t value)
{
	const struct minivmm_field *tables[] = { kvm_regs_fields, kvm_sregs2_fields };
	void *bases[] = { regs, sregs };

	for (int t = 0; t < 2; t++)
		for (const struct minivmm_field *f = tables[t]; f->name; f++)
			if (f->offset <= offsetof(struct kvm_sregs, apic_base) &&
			    !strcmp(f->name, name)) {
				size_t width = record_width((enum record_type)f->type);

				if (width < 8 && value >> (8 * width))
					return -1;
				memcpy((char *)bases[t] + f->offset, &value, width);
				return 0;
			}
	return -1;
}

const struct minivmm_field kvm_debugregs_fields[] = {
	ARRAY(kvm_debugregs, "db", db),
	NAMED(kvm_debugregs, "dr6", dr6),
	NAMED(kvm_debugregs, "dr7", dr7),
	NAMED(kvm_debugregs, "flags", flags),
	END,
};

const struct minivmm_field kvm_mp_state_fields[] = {
	NAMED(kvm_mp_state, "mp_state", mp_state),
	END,
};

const struct minivmm_field kvm_events_fields[] = {
	NAMED(kvm_vcpu_events, "exception.injected", exception.injected),
	NAMED(kvm_vcpu_events, "exception.nr", exception.nr),
	NAMED(kvm_vcpu_events, "exception.has_error_code", exception.has_error_code),
	NAMED(kvm_vcpu_events, "exception.pending", exception.pending),
	NAMED(kvm_vcpu_events, "exception.error_code", exception.error_code),
	NAMED(kvm_vcpu_events, "exception.has_payload", exception_has_payload),
	NAMED(kvm_vcpu_events, "exception.payload", exception_payload),
	NAMED(kvm_vcpu_events, "interrupt.injected", interrupt.injected),
	NAMED(kvm_vcpu_events, "interrupt.nr", interrupt.nr),
	NAMED(kvm_vcpu_events, "interrupt.soft", interrupt.soft),
	NAMED(kvm_vcpu_events, "interrupt.shadow", interrupt.shadow),
	NAMED(kvm_vcpu_events, "nmi.injected", nmi.injected),
	NAMED(kvm_vcpu_events, "nmi.pending", nmi.pending),
	NAMED(kvm_vcpu_events, "nmi.masked", nmi.masked),
	NAMED(kvm_vcpu_events, "sipi_vector", sipi_vector),
	NAMED(kvm_vcpu_events, "flags", flags),
	NAMED(kvm_vcpu_events, "smi.smm", smi.smm),
	NAMED(kvm_vcpu_events, "smi.pending", smi.pending),
	NAMED(kvm_vcpu_events, "smi.smm_inside_nmi", smi.smm_inside_nmi),
	NAMED(kvm_vcpu_events, "smi.latched_init", smi.latched_init),
	NAMED(kvm_vcpu_events, "triple_fault.pending", triple_fault.pending),
	END,
};

const struct minivmm_field kvm_lapic_fields[] = {
	ARRAY(kvm_lapic_state, "regs", regs),
	END,
};

const struct minivmm_field kvm_xcrs_fields[] = {
	LIMITED(kvm_xcrs, "nr_xcrs", nr_xcrs, 1),
	NAMED(kvm_xcrs, "flags", flags),
	NAMED(kvm_xcrs, "xcr", xcrs[0].xcr),
	NAMED(kvm_xcrs, "xcr0", xcrs[0].value),
	END,
};

#define CHANNEL(n)                                                                                 \
	NAMED(kvm_pit_state2, "channel" #n ".count", channels[n].count),                           \
	    NAMED(kvm_pit_state2, "channel" #n ".latched_count", channels[n].latched_count),       \
	    NAMED(kvm_pit_state2, "channel" #n ".count_latched", channels[n].count_latched),       \
	    NAMED(kvm_pit_state2, "channel" #n ".status_latched", channels[n].status_latched),     \
	    NAMED(kvm_pit_state2, "channel" #n ".status", channels[n].status),                     \
	    NAMED(kvm_pit_state2, "channel" #n ".read_state", channels[n].read_state),             \
	    NAMED(kvm_pit_state2, "channel" #n ".write_state", channels[n].write_state),           \
	    NAMED(kvm_pit_state2, "channel" #n ".write_latch", channels[n].write_latch),           \
	    NAMED(kvm_pit_state2, "channel" #n ".rw_mode", channels[n].rw_mode),                   \
	    NAMED(kvm_pit_state2, "channel" #n ".mode", channels[n].mode),                         \
	    NAMED(kvm_pit_state2, "channel" #n ".bcd", channels[n].bcd),                           \
	    NAMED(kvm_pit_state2, "channel" #n ".gate", channels[n].gate),                         \
	    NAMED(kvm_pit_state2, "channel" #n ".count_load_time", channels[n].count_load_time)

const struct minivmm_field kvm_pit_fields[] = {
	CHANNEL(0), CHANNEL(1), CHANNEL(2), NAMED(kvm_pit_state2, "flags", flags), END,
};

const struct minivmm_field kvm_clock_fields[] = {
	NAMED(kvm_clock_data, "clock", clock),
	NAMED(kvm_clock_data, "flags", flags),
	NAMED(kvm_clock_data, "realtime", realtime),
	NAMED(kvm_clock_data, "host_tsc", host_tsc),
	END,
};

#define PIC(member) NAMED(kvm_irqchip, #member, chip.pic.member)
const struct minivmm_field kvm_pic_fields[] = {
	PIC(last_irr),
	PIC(irr),
	PIC(imr),
	PIC(isr),
	PIC(priority_add),
	PIC(irq_base),
	PIC(read_reg_select),
	PIC(poll),
	PIC(special_mask),
	PIC(init_state),
	PIC(auto_eoi),
	PIC(rotate_on_auto_eoi),
	PIC(special_fully_nested_mode),
	PIC(init4),
	PIC(elcr),
	PIC(elcr_mask),
	END,
};

const struct minivmm_field kvm_ioapic_fields[] = {
	NAMED(kvm_irqchip, "base_address", chip.ioapic.base_address),
	NAMED(kvm_irqchip, "ioregsel", chip.ioapic.ioregsel),
	NAMED(kvm_irqchip, "id", chip.ioapic.id),
	NAMED(kvm_irqchip, "irr", chip.ioapic.irr),
	ARRAY(kvm_irqchip, "redirtbl", chip.ioapic.redirtbl),
	END,
};
