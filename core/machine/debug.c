/* SPDX-License-Identifier: BSD-2-Clause */
/* Breakpoints, watchpoints and single steps. */
#include "machine/debug.h"

#include <stdlib.h>

#include "base/log.h"
#include "machine/machine.h"
#include "machine/machine_run.h"

#define DEBUG_EXCEPTION 1
#define BREAKPOINT_EXCEPTION 3
#define DR6_POINTS 0xfu
#define POINTS_MAX 4096u

void
debug_init(struct machine *m, void (*stopped)(void *context), void *context)
{
	m->debug.stopped = stopped;
	m->debug.context = context;
}

void
debug_free(struct machine *m)
{
	free(m->debug.points);
	m->debug = (struct debug){ 0 };
}

/* Whether the stop condition has a debug register, which is the first. */
static bool
stop_has_register(const struct machine *m)
{
	return m->stop.kind == STOP_RIP && !m->stop_hit;
}

/* The point of an owner; NULL: none. */
static struct debug_point *
find(struct machine *m, const void *owner, const struct minivmm_breakpoint *b)
{
	for (size_t i = 0; i < m->debug.count; i++) {
		struct debug_point *p = &m->debug.points[i];

		if (p->owner == owner && p->kind == b->kind && p->linear == b->address &&
		    (p->kind <= MINIVMM_BREAK_HARDWARE || p->length == b->length))
			return p;
	}
	return NULL;
}

/* The number of debug registers in use. The stop condition may get one at any time. */
static uint32_t
registers_used(const struct machine *m)
{
	uint32_t used = m->stop.kind == STOP_RIP;

	for (size_t i = 0; i < m->debug.count; i++)
		used += !debug_is_software(&m->debug.points[i]);
	return used;
}

bool
debug_reported(struct machine *m, enum kvm_reports what)
{
	signed char *known = &m->debug.reports[what];

	if (!*known)
		*known = kvm_reports(&m->kvm, what) ? 1 : -1;
	return *known > 0;
}

static bool
is_valid(const struct minivmm_breakpoint *b)
{
	switch (b->kind) {
	case MINIVMM_BREAK_SOFTWARE:
	case MINIVMM_BREAK_HARDWARE:
		return true;
	case MINIVMM_WATCH_WRITE:
	case MINIVMM_WATCH_ACCESS:
		return b->length && b->length <= 8 && !(b->length & (b->length - 1)) &&
		       !(b->address & (b->length - 1));
	default:
		return false;
	}
}

/* Whether a point can have a debug register, and KVM reports it. */
static bool
has_register(struct machine *m, const struct debug_point *point)
{
	return registers_used(m) < KVM_DEBUG_POINTS &&
	       debug_reported(m, point->kind == MINIVMM_BREAK_HARDWARE ? KVM_REPORTS_EXECUTE
								       : KVM_REPORTS_WRITE);
}

int
debug_set(struct machine *m, const void *owner, const struct minivmm_breakpoint *b)
{
	struct debug *d = &m->debug;
	struct debug_point point = { .owner = owner,
				     .linear = b->address,
				     .length = b->length,
				     .kind = (enum minivmm_breakpoint_kind)b->kind };

	if (!is_valid(b) || b->vcpu >= m->vcpu_count)
		return -1;
	if (find(m, owner, b))
		return 0;
	if (debug_is_software(&point) ? debug_place(m, &point, &m->vcpus[b->vcpu])
				      : !has_register(m, &point))
		return -1;
	if (d->count == d->room) {
		size_t room = d->room ? 2 * d->room : 16;
		struct debug_point *more =
		    room <= POINTS_MAX ? realloc(d->points, room * sizeof(*more)) : NULL;

		if (!more)
			return -1;
		d->points = more;
		d->room = room;
	}
	d->points[d->count++] = point;
	d->armed = true;
	return 0;
}

int
debug_clear(struct machine *m, const void *owner, const struct minivmm_breakpoint *b)
{
	struct debug_point *point = find(m, owner, b);

	if (!point)
		return -1;
	*point = m->debug.points[--m->debug.count];
	return 0;
}

void
debug_clear_all(struct machine *m, const void *owner)
{
	for (size_t i = m->debug.count; i--;)
		if (m->debug.points[i].owner == owner)
			m->debug.points[i] = m->debug.points[--m->debug.count];
}

void
debug_step(struct machine *m, const void *owner, uint32_t vcpu)
{
	m->debug.stepper = owner;
	m->debug.step_vcpu = vcpu;
	m->debug.armed = true;
	for (uint32_t i = 0; i < m->vcpu_count; i++)
		m->vcpus[i].held = i != vcpu;
}

/* All vCPUs run again when the machine resumes. */
static void
end_step(struct machine *m)
{
	m->debug.stepper = NULL;
	for (uint32_t i = 0; i < m->vcpu_count; i++)
		m->vcpus[i].held = false;
}

void
debug_end_step(struct machine *m, const void *owner)
{
	if (m->debug.stepper == owner)
		end_step(m);
}

void
debug_forget(struct machine *m, const void *owner)
{
	debug_clear_all(m, owner);
	debug_end_step(m, owner);
	pthread_mutex_lock(&m->lock);
	for (uint32_t i = 0; i < m->vcpu_count; i++)
		if (m->vcpus[i].hit.owner == owner)
			m->vcpus[i].hit = (struct debug_hit){ 0 };
	pthread_mutex_unlock(&m->lock);
}

const void *
debug_stepper(const struct machine *m)
{
	return m->debug.stepper;
}

const struct debug_hit *
debug_hit(const struct machine *m, uint32_t vcpu)
{
	return &m->vcpus[vcpu].hit;
}

static enum kvm_debug_type
type_of(const struct debug_point *point)
{
	return point->kind == MINIVMM_BREAK_HARDWARE ? KVM_DEBUG_EXECUTE
	       : point->kind == MINIVMM_WATCH_WRITE  ? KVM_DEBUG_WRITE
						     : KVM_DEBUG_ACCESS;
}

/* Whether a point takes a debug register when the machine resumes. A step, for which one vCPU
 * executes one instruction, passes all breakpoints. */
static bool
takes_register(const struct machine *m, const struct debug_point *point)
{
	return !debug_is_software(point) &&
	       !(m->debug.stepper && point->kind == MINIVMM_BREAK_HARDWARE);
}

void
debug_add_points(const struct machine *m, struct kvm_debug *how)
{
	for (size_t i = 0; i < m->debug.count; i++) {
		const struct debug_point *p = &m->debug.points[i];

		if (debug_is_software(p))
			how->software = true;
		else if (takes_register(m, p) && how->count < KVM_DEBUG_POINTS)
			how->points[how->count++] =
			    (struct kvm_debug_point){ p->linear, type_of(p), p->length };
	}
}

int
debug_arm(struct vcpu *vcpu, bool step)
{
	struct machine *m = vcpu->machine;
	struct kvm_debug how = { .step = step || debug_steps(vcpu) };

	vcpu->after_hlt = 0;
	/* A vCPU that steps over the breakpoint of the stop condition does not have it. */
	if (stop_has_register(m) && !vcpu->stepping)
		how.points[how.count++] =
		    (struct kvm_debug_point){ m->stop.value, KVM_DEBUG_EXECUTE, 1 };
	debug_add_points(m, &how);
	return kvm_vcpu_debug(&vcpu->kvm, &how);
}

void
debug_step_hlt(struct vcpu *vcpu)
{
	struct machine *m = vcpu->machine;
	struct kvm_debug how = { 0 };
	struct vcpu_code code;

	if (vcpu_code(vcpu, &code))
		return;
	debug_add_points(m, &how);
	if (machine_irqchip(m)) {
		if (how.count == KVM_DEBUG_POINTS)
			return; /* KVM's own step */
		vcpu->after_hlt = code.at + 1;
		how.points[how.count++] =
		    (struct kvm_debug_point){ vcpu->after_hlt, KVM_DEBUG_EXECUTE, 1 };
	}
	if (kvm_vcpu_debug(&vcpu->kvm, &how))
		machine_end(m, CAUSE_ERROR, STATUS_HOST);
}

void
debug_report(struct vcpu *vcpu, const struct debug_point *point)
{
	struct machine *m = vcpu->machine;
	struct debug_hit hit = { .reason = MINIVMM_STOP_STEP, .owner = m->debug.stepper };

	if (point)
		hit = (struct debug_hit){ .reason = point->kind <= MINIVMM_BREAK_HARDWARE
							? MINIVMM_STOP_BREAKPOINT
							: MINIVMM_STOP_WATCHPOINT,
					  .address = point->linear,
					  .kind = point->kind,
					  .owner = point->owner };
	pthread_mutex_lock(&m->lock);
	vcpu->hit = hit;
	m->debug.hit = true;
	m->may_run = false;
	pthread_mutex_unlock(&m->lock);
	machine_kick(m);
	loop_wake(&m->loop);
}

/* The owner's point in a debug register; NULL: the register is the stop condition's. */
static const struct debug_point *
point_at(const struct vcpu *vcpu, uint32_t number)
{
	const struct machine *m = vcpu->machine;
	uint32_t at = stop_has_register(m) && !vcpu->stepping;

	for (size_t i = 0; i < m->debug.count; i++)
		if (takes_register(m, &m->debug.points[i]) && at++ == number)
			return &m->debug.points[i];
	return NULL;
}

bool
debug_exit(struct vcpu *vcpu)
{
	const struct kvm_debug_exit_arch *arch = &vcpu->kvm.run->debug.arch;
	bool handled = false;

	if (arch->exception == BREAKPOINT_EXCEPTION) {
		debug_int3(vcpu, arch->pc);
		return true;
	}
	if (vcpu->after_hlt && arch->pc == vcpu->after_hlt) {
		debug_stepped(vcpu);
		return true;
	}
	for (uint32_t i = 0; i < KVM_DEBUG_POINTS && !handled; i++) {
		const struct debug_point *p = arch->dr6 >> i & 1 ? point_at(vcpu, i) : NULL;

		if (!p)
			continue;
		debug_report(vcpu, p);
		handled = true;
	}
	if (!handled && debug_steps(vcpu) && !(arch->dr6 & DR6_POINTS)) {
		debug_stepped(vcpu);
		/* It may count for the stop condition step:N, too. */
		handled = vcpu->machine->stop.kind != STOP_STEP;
	}
	return handled;
}

void
debug_stepped(struct vcpu *vcpu)
{
	if (vcpu->hit.reason == 0)
		debug_report(vcpu, NULL);
}

bool
debug_steps(const struct vcpu *vcpu)
{
	const struct debug *d = &vcpu->machine->debug;

	return d->stepper && d->step_vcpu == vcpu->kvm.id;
}

int
debug_stop(struct machine *m)
{
	/* A device that cannot finish its requests has logged so; the vCPUs are stopped. */
	machine_pause(m, PAUSE_TOOL);
	m->debug.hit = false;
	end_step(m);
	if (m->debug.stopped)
		m->debug.stopped(m->debug.context);
	for (uint32_t i = 0; i < m->vcpu_count; i++)
		m->vcpus[i].hit = (struct debug_hit){ 0 };
	return machine_resume(m, PAUSE_TOOL);
}
