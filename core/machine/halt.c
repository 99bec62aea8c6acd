/* SPDX-License-Identifier: BSD-2-Clause */
/* Ends or stops a machine whose vCPUs have all halted, and polls for halted vCPUs. */
#include "machine/halt.h"

#include "machine/machine.h"

#define POLL_FIRST 20000000ull /* the shortest interval between polls, ns */
#define POLL_LONGEST (16 * POLL_FIRST)
#define COMPUTES 16 /* a vCPU that used 1/16 of the interval as CPU time has not halted */

void
machine_halted(struct machine *m)
{
	bool all = true;

	pthread_mutex_lock(&m->lock);
	for (uint32_t i = 0; i < m->vcpu_count; i++)
		all &= m->vcpus[i].halted;
	all &= !m->stop_hit; /* its handler runs first; the resume checks again */
	pthread_mutex_unlock(&m->lock);
	if (!all)
		return;
	if (m->stop.kind == STOP_HLT)
		machine_stop_hit(m);
	else
		machine_end(m, CAUSE_HLT, 0);
}

/*
 * Checks all vCPUs while the machine is paused: one may have woken another since its own check. If
 * the pause fails because a device cannot finish a request, the next poll tries again.
 */
static void
confirm_halted(struct machine *m)
{
	bool all = !machine_pause(m, PAUSE_INSPECT), halted;

	for (uint32_t i = 0; i < m->vcpu_count && all; i++)
		all = !kvm_vcpu_halted(&m->vcpus[i].kvm, &halted) && halted;
	for (uint32_t i = 0; i < m->vcpu_count && all; i++)
		m->vcpus[i].halted = true;
	machine_resume(m, PAUSE_INSPECT);
}

static void
poll_after(struct machine *m, uint64_t ns)
{
	m->halt_poll = ns;
	loop_timer_set(&m->loop, &m->halt_timer, clock_now(&m->clock) + ns, 0);
}

/*
 * Kicks vCPUs that have had no exit since the last poll, so that each checks whether it has halted.
 * A vCPU whose thread has used CPU time computes; it is not kicked, because a kick costs an exit. A
 * halted vCPU uses some CPU time, too: kernel timers wake its thread. While nothing changes, the
 * interval doubles: of a thousand clones, most are idle.
 */
static void
poll(struct loop_timer *timer, uint64_t periods)
{
	struct machine *m = timer->context;
	uint32_t halted = 0, idle = 0;

	for (uint32_t i = 0; i < m->vcpu_count; i++) {
		struct vcpu *vcpu = &m->vcpus[i];
		uint64_t exits = vcpu_exits(vcpu), cpu_time = vcpu_cpu_time(vcpu);
		bool computes = cpu_time - vcpu->polled_cpu_time >= m->halt_poll / COMPUTES;

		if (computes)
			atomic_store(&vcpu->maybe_halted, false);
		if (exits == vcpu->polled_exits && !vcpu->halted) {
			halted += atomic_load(&vcpu->maybe_halted);
			if (!computes) {
				vcpu_kick(vcpu);
				idle++;
			}
		}
		vcpu->polled_exits = exits;
		vcpu->polled_cpu_time = cpu_time;
	}
	if (idle != m->idle_vcpus)
		poll_after(m, POLL_FIRST);
	else
		poll_after(m, m->halt_poll < POLL_LONGEST ? 2 * m->halt_poll : POLL_LONGEST);
	m->idle_vcpus = idle;
	if (halted == m->vcpu_count && !m->parking)
		confirm_halted(m);
}

void
halt_init(struct machine *m)
{
	m->halt_timer = (struct loop_timer){ .fire = poll, .context = m };
}

void
halt_start(struct machine *m)
{
	poll_after(m, POLL_FIRST);
}
