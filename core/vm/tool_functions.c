/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions of struct minivmm_machine. */
#include <string.h>

#include "vm/tool_commands.h"
#include "vm/vm.h"

/* The tool of a call; NULL: it was refused. */
static struct vm_tool *
enter(struct minivmm_device *dev, const char *function)
{
	return (struct vm_tool *)tool_enter(dev, function);
}

/* A vCPU whose registers can be read; NULL: none. */
static struct vcpu *
vcpu_of(const struct vm_tool *tool, uint32_t index)
{
	const struct machine *m = &tool->vm->machine;

	return machine_settled(m) && index < m->vcpu_count ? machine_vcpu(m, index) : NULL;
}

/* Whether nothing needs the machine's state as it is. */
static bool
may_change(const struct vm_tool *tool)
{
	const struct machine *m = &tool->vm->machine;

	return !machine_paused_for(m, PAUSE_SNAPSHOT) && !machine_paused_for(m, PAUSE_RESET) &&
	       !machine_paused_for(m, PAUSE_BRANCH);
}

static bool
others_hold(const struct vm_tool *tool)
{
	const struct vm *vm = tool->vm;

	for (int reason = 0; reason < PAUSE_REASONS; reason++)
		if (reason != PAUSE_TOOL &&
		    machine_paused_for(&vm->machine, (enum pause_reason)reason))
			return true;
	for (const struct vm_tool *other = vm->tools.first; other; other = other->next)
		if (other != tool && other->holds)
			return true;
	return false;
}

static int
state(struct minivmm_device *dev, struct minivmm_machine_state *to)
{
	struct vm_tool *tool = enter(dev, "machine_state");
	struct minivmm_machine_state now = { .size = sizeof(now) };
	struct machine *m;

	if (!tool || to->size < offsetof(struct minivmm_machine_state, memory))
		return -1;
	m = &tool->vm->machine;
	now.vcpus = m->vcpu_count;
	now.paused = machine_settled(m);
	now.held = tool->holds;
	now.others = others_hold(tool);
	now.ended = machine_ended(m);
	now.irqchip = machine_irqchip(m);
	for (uint32_t i = 0; i < m->memory.count && i < MINIVMM_MEMORY_RANGES; i++) {
		const struct memory_region *region = memory_region_at(&m->memory, i);

		now.memory[now.memory_ranges++] =
		    (struct minivmm_memory_range){ region->gpa, region->size };
	}
	now.size = to->size < sizeof(now) ? to->size : (uint32_t)sizeof(now);
	memcpy(to, &now, now.size);
	return 0;
}

static int
wish(struct vm_tool *tool, enum tool_wish what)
{
	if (tool->vm->machine.end.cause)
		return -1;
	tool->wish = what;
	tool->tell = what == TOOL_HOLD;
	tools_wake(tool->vm);
	return 0;
}

static int
pause_machine(struct minivmm_device *dev)
{
	struct vm_tool *tool = enter(dev, "machine_pause");

	return !tool || tool->wish == TOOL_HOLD ? -1 : wish(tool, TOOL_HOLD);
}

static int
resume_machine(struct minivmm_device *dev)
{
	struct vm_tool *tool = enter(dev, "machine_resume");

	return !tool || tool->wish != TOOL_HOLD || !tool->holds ? -1 : wish(tool, TOOL_RUN);
}

static int
step_machine(struct minivmm_device *dev, uint32_t vcpu)
{
	struct vm_tool *tool = enter(dev, "machine_step");
	struct machine *m = tool ? &tool->vm->machine : NULL;
	struct why why;

	/* Another tool's step may wait for this tool to resume: there is one at a time. */
	if (!tool || tool->wish != TOOL_HOLD || !tool->holds || others_hold(tool) ||
	    debug_stepper(m) || vcpu >= m->vcpu_count || kvm_step_check(&m->kvm, &why))
		return -1;
	tool->step_vcpu = vcpu;
	return wish(tool, TOOL_STEP);
}

static uint64_t
command(struct minivmm_device *dev, const char *const *words, uint32_t count)
{
	struct vm_tool *tool = enter(dev, "machine_command");

	return tool ? vm_tool_commands_add(tool, words, count) : 0;
}

static int
general(struct vcpu *vcpu, struct minivmm_general *g, bool write)
{
	struct kvm_regs r;

	/* The members have the same order, except for rsp and rbp. */
	if (write) {
		r = (struct kvm_regs){ .rax = g->rax,
				       .rbx = g->rbx,
				       .rcx = g->rcx,
				       .rdx = g->rdx,
				       .rsi = g->rsi,
				       .rdi = g->rdi,
				       .rsp = g->rsp,
				       .rbp = g->rbp,
				       .r8 = g->r8,
				       .r9 = g->r9,
				       .r10 = g->r10,
				       .r11 = g->r11,
				       .r12 = g->r12,
				       .r13 = g->r13,
				       .r14 = g->r14,
				       .r15 = g->r15,
				       .rip = g->rip,
				       .rflags = g->rflags };
		return vcpu_set_registers(vcpu, &r, NULL);
	}
	if (vcpu_registers(vcpu, &r, NULL))
		return -1;
	*g = (struct minivmm_general){ .rax = r.rax,
				       .rbx = r.rbx,
				       .rcx = r.rcx,
				       .rdx = r.rdx,
				       .rsi = r.rsi,
				       .rdi = r.rdi,
				       .rsp = r.rsp,
				       .rbp = r.rbp,
				       .r8 = r.r8,
				       .r9 = r.r9,
				       .r10 = r.r10,
				       .r11 = r.r11,
				       .r12 = r.r12,
				       .r13 = r.r13,
				       .r14 = r.r14,
				       .r15 = r.r15,
				       .rip = r.rip,
				       .rflags = r.rflags };
	return 0;
}

static struct minivmm_segment
segment_from(const struct kvm_segment *s)
{
	return (struct minivmm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.attributes = (uint16_t)(s->type | s->s << 4 | s->dpl << 5 | s->present << 7 |
					 s->avl << 12 | s->l << 13 | s->db << 14 | s->g << 15)
	};
}

static struct kvm_segment
segment_to(const struct minivmm_segment *s, const struct kvm_segment *before)
{
	uint16_t a = s->attributes;

	return (struct kvm_segment){ .base = s->base,
				     .limit = s->limit,
				     .selector = s->selector,
				     .type = a & 15,
				     .s = a >> 4 & 1,
				     .dpl = a >> 5 & 3,
				     .present = a >> 7 & 1,
				     .avl = a >> 12 & 1,
				     .l = a >> 13 & 1,
				     .db = a >> 14 & 1,
				     .g = a >> 15 & 1,
				     .unusable = before->unusable && !(a >> 7 & 1) };
}

static int
system_registers(struct vcpu *vcpu, struct minivmm_system *s, bool write)
{
	struct kvm_sregs k;

	if (vcpu_registers(vcpu, NULL, &k))
		return -1;
	if (write) {
#define SEGMENT(to, from) k.to = segment_to(&s->from, &k.to)
		SEGMENT(cs, cs), SEGMENT(ds, ds), SEGMENT(es, es), SEGMENT(fs, fs);
		SEGMENT(gs, gs), SEGMENT(ss, ss), SEGMENT(tr, tr), SEGMENT(ldt, ldt);
#undef SEGMENT
		k.gdt.base = s->gdt_base, k.gdt.limit = s->gdt_limit;
		k.idt.base = s->idt_base, k.idt.limit = s->idt_limit;
		k.cr0 = s->cr0, k.cr2 = s->cr2, k.cr3 = s->cr3, k.cr4 = s->cr4, k.cr8 = s->cr8;
		k.efer = s->efer;
		return vcpu_set_registers(vcpu, NULL, &k);
	}
	*s = (struct minivmm_system){ .cs = segment_from(&k.cs),
				      .ds = segment_from(&k.ds),
				      .es = segment_from(&k.es),
				      .fs = segment_from(&k.fs),
				      .gs = segment_from(&k.gs),
				      .ss = segment_from(&k.ss),
				      .tr = segment_from(&k.tr),
				      .ldt = segment_from(&k.ldt),
				      .gdt_base = k.gdt.base,
				      .idt_base = k.idt.base,
				      .cr0 = k.cr0,
				      .cr2 = k.cr2,
				      .cr3 = k.cr3,
				      .cr4 = k.cr4,
				      .cr8 = k.cr8,
				      .efer = k.efer,
				      .gdt_limit = k.gdt.limit,
				      .idt_limit = k.idt.limit };
	return 0;
}

static int
registers(struct minivmm_device *dev, uint32_t index, uint32_t set, void *values, size_t size,
	  bool write)
{
	struct vm_tool *tool = enter(dev, write ? "registers_write" : "registers_read");
	struct vcpu *vcpu = tool ? vcpu_of(tool, index) : NULL;
	struct minivmm_msr *msrs = values;
	int r = 0;

	if (!vcpu || (write && !may_change(tool)))
		return -1;
	switch (set) {
	case MINIVMM_GENERAL:
		r = size == sizeof(struct minivmm_general) ? general(vcpu, values, write) : -1;
		break;
	case MINIVMM_SYSTEM:
		r = size == sizeof(struct minivmm_system) ? system_registers(vcpu, values, write)
							  : -1;
		break;
	case MINIVMM_XSAVE:
		r = write ? vcpu_set_xsave(vcpu, values, size) : vcpu_xsave(vcpu, values, size);
		break;
	case MINIVMM_MSRS:
		if (size % sizeof(*msrs))
			return -1;
		for (size_t i = 0; i < size / sizeof(*msrs) && !r; i++)
			r = write ? vcpu_set_msr(vcpu, msrs[i].index, msrs[i].value)
				  : vcpu_msr(vcpu, msrs[i].index, &msrs[i].value);
		break;
	default:
		return -1;
	}
	return r ? -1 : 0;
}

/* Calls with the parts of a linear range that are in one page each. 0, or -1: a part is no memory.
 */
static int
each_page(const struct vm_tool *tool, struct vcpu *vcpu, uint64_t address, uint8_t *bytes,
	  size_t length,
	  int (*call)(struct memory *memory, gpa_t gpa, uint8_t *bytes, size_t length))
{
	struct memory *memory = &tool->vm->machine.memory;
	gpa_t gpa;

	while (length) {
		size_t part = PAGE_SIZE - address % PAGE_SIZE;

		part = part < length ? part : length;
		if (vcpu_translate(vcpu, address, &gpa) || call(memory, gpa, bytes, part))
			return -1;
		address += part;
		bytes += part;
		length -= part;
	}
	return 0;
}

static int
is_memory(struct memory *memory, gpa_t gpa, uint8_t *bytes, size_t length)
{
	return memory_covers(memory, gpa, length) ? 0 : -1;
}

static int
read_part(struct memory *memory, gpa_t gpa, uint8_t *bytes, size_t length)
{
	return memory_read(memory, gpa, bytes, length);
}

static int
write_part(struct memory *memory, gpa_t gpa, uint8_t *bytes, size_t length)
{
	return memory_write(memory, gpa, bytes, length);
}

static int
linear(struct minivmm_device *dev, uint32_t index, uint64_t address, void *bytes, size_t length,
       bool write)
{
	struct vm_tool *tool = enter(dev, write ? "linear_write" : "linear_read");
	struct vcpu *vcpu = tool ? vcpu_of(tool, index) : NULL;

	if (!vcpu || (write && !may_change(tool)) ||
	    each_page(tool, vcpu, address, bytes, length, is_memory))
		return -1;
	return each_page(tool, vcpu, address, bytes, length, write ? write_part : read_part);
}

static int
breakpoint(struct minivmm_device *dev, const struct minivmm_breakpoint *given, bool set)
{
	struct vm_tool *tool = enter(dev, set ? "breakpoint_set" : "breakpoint_clear");
	const size_t known = offsetof(struct minivmm_breakpoint, vcpu) + sizeof(given->vcpu);
	struct machine *m;

	if (!tool || given->size < known || !machine_settled(&tool->vm->machine))
		return -1;
	m = &tool->vm->machine;
	if (set)
		return debug_set(m, tool, given);
	if (given->kind)
		return debug_clear(m, tool, given);
	debug_clear_all(m, tool);
	return 0;
}

const struct minivmm_machine tool_functions = {
	.size = sizeof(tool_functions),
	.state = state,
	.pause = pause_machine,
	.resume = resume_machine,
	.step = step_machine,
	.command = command,
	.registers = registers,
	.linear = linear,
	.breakpoint = breakpoint,
};
