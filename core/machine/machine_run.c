/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs a machine until it ends, and handles its stop condition. */
#include "machine/machine_run.h"

#include "machine/halt.h"

void
machine_stop_arm(struct machine *m)
{
	m->stop_new = true;
	if (m->vcpus[0].halted && m->stop.kind == STOP_HLT)
		m->stop.kind = STOP_NONE;
	if (m->stop.kind == STOP_TIME && m->stop.value > clock_now(&m->clock))
		loop_timer_set(&m->loop, &m->stop_timer, m->stop.value, 0);
	else
		loop_timer_cancel(&m->loop, &m->stop_timer);
}

void
machine_stop_discard_hit(struct machine *m)
{
	if (!m->stop_hit)
		return;
	m->stop_hit = false;
	m->stop.times = m->stop_times;
}

void
machine_stop_set(struct machine *m, const struct stop *stop, const struct stop_handler *handler)
{
	machine_stop_clear(m);
	m->stop = *stop;
	m->stop_times = stop->times;
	m->stop_handler = *handler;
	if (m->vcpus) /* NULL with machine_layout.check */
		machine_stop_arm(m);
}

void
machine_stop_clear(struct machine *m)
{
	stop_free(&m->stop);
	loop_timer_cancel(&m->loop, &m->stop_timer);
	m->stop_handler = (struct stop_handler){ 0 };
	m->stop_hit = false;
}

void
machine_output(struct machine *m, const char *device, const uint8_t *bytes, size_t length)
{
	bool hit;

	if (m->stop.kind != STOP_OUTPUT)
		return;
	pthread_mutex_lock(&m->lock);
	hit = !m->stop_hit && stop_output(&m->stop, device, bytes, length);
	pthread_mutex_unlock(&m->lock);
	if (hit)
		machine_stop_hit(m);
}

void
machine_stop_hit(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	m->stop_hit = true;
	m->may_run = false;
	pthread_mutex_unlock(&m->lock);
	machine_kick(m);
	loop_wake(&m->loop);
}

/* The clock ends the run of a guest that KVM refuses to run: that is the host's error, which is
 * reported, and not what the guest did. 0: it is not so. */
static int
check_refused(struct machine *m)
{
	for (uint32_t i = 0; i < m->vcpu_count; i++)
		if (retry_refused(&m->vcpus[i]))
			return retry_report(&m->vcpus[i]);
	return 0;
}

/* Pauses the machine, removes the stop condition that is hit, and calls its handler. */
static int
at_stop(struct machine *m)
{
	struct stop_handler handler = m->stop_handler;
	int r = machine_pause(m, PAUSE_STOP);

	if (!r && m->stop.kind == STOP_TIME)
		r = check_refused(m);
	while (!r && handler.wait && handler.wait(handler.context))
		r = loop_once(&m->loop, -1);
	m->stop.kind = STOP_NONE;
	m->stop_handler = (struct stop_handler){ 0 };
	m->stop_hit = false;
	for (uint32_t i = 0; i < m->vcpu_count && !r; i++)
		r = vcpu_arm(&m->vcpus[i]);
	if (!r && handler.hit)
		r = handler.hit(handler.context);
	return r ? r : machine_resume(m, PAUSE_STOP);
}

int
machine_run(struct machine *m)
{
	int r = machine_start_threads(m), refused;

	for (uint32_t i = 0; i < m->vcpu_count; i++)
		m->vcpus[i].ran = false;

	log_machine(true);
	machine_stop_arm(m);
	machine_halted(m);
	if (m->kvm.irqchip)
		halt_start(m);
	m->pauses[PAUSE_NOT_RUN] = 0;
	if (!r)
		r = machine_try_resume(m);
	while (!r && !machine_ended(m))
		r = m->stop_hit    ? at_stop(m)
		    : m->debug.hit ? debug_stop(m)
				   : loop_once(&m->loop, -1);
	if (r)
		machine_end(m, CAUSE_ERROR, (uint64_t)-r);
	machine_pause(m, PAUSE_NOT_RUN);
	refused = m->end.cause == CAUSE_TIMEOUT ? check_refused(m) : 0;
	if (refused)
		m->end = (struct machine_end){ CAUSE_ERROR, (uint64_t)-refused };
	/* The access that ended the machine may have hit the condition, too. */
	if (!r && m->stop_hit)
		r = at_stop(m);
	log_machine(false);
	return r;
}
