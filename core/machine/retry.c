/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls KVM_RUN again after a failure, a bounded number of times. */
#include "machine/retry.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#include "base/limit.h"
#include "base/log.h"
#include "machine/clock.h"
#include "machine/vcpu.h"

#define TRIES 100u
#define TRIES_AT_ONCE 10u         /* the others follow after a nap */
#define NAP 10000000              /* ns */
#define CONSECUTIVE 1000000000ull /* ns; a nap on a busy host can take as long */

/* A signal has ended KVM_RUN. It need not be a kick: a kick's signal can arrive after vcpu_unkick.
 */
static _Thread_local volatile sig_atomic_t signalled;

void
retry_signal(int number)
{
	/* Without a handler, the signal would end the process instead of KVM_RUN. */
	signalled = 1;
}

static bool
is_counted(int error)
{
	return error == EINTR || error == EAGAIN || error == ENOMEM;
}

/* Counts a failure; false: there were too many. */
static bool
count(struct vcpu *vcpu, int error)
{
	struct retry *retry = &vcpu->retry;
	uint64_t now = clock_host(), exits = vcpu_exits(vcpu);

	if (exits != atomic_load(&retry->exits) || now - atomic_load(&retry->time) > CONSECUTIVE)
		retry->count = 0;
	atomic_store(&retry->exits, exits);
	atomic_store(&retry->time, now);
	atomic_store(&retry->error, error);
	return ++retry->count < TRIES;
}

/* EAGAIN of a vCPU that waits for INIT or SIPI reports that one has come: no failure. */
static bool
waits(struct vcpu *vcpu)
{
	bool halted;

	return vcpu->kvm.kvm->irqchip && !kvm_vcpu_halted(&vcpu->kvm, &halted) && halted;
}

bool
retry_may(struct vcpu *vcpu, int error)
{
	const struct timespec nap = { .tv_nsec = NAP };
	bool signal = signalled || vcpu_kicked(vcpu);

	signalled = 0;
	if ((error == EINTR && signal) || (error == EAGAIN && waits(vcpu)))
		return true;
	if (!is_counted(error) || !count(vcpu, error))
		return false;
	if (vcpu->retry.count > TRIES_AT_ONCE)
		nanosleep(&nap, NULL); /* a kick ends it */
	return true;
}

bool
retry_refused(const struct vcpu *vcpu)
{
	const struct retry *retry = &vcpu->retry;
	int error = atomic_load(&retry->error);

	/* After SIGSTOP and SIGCONT, KVM_RUN fails once with EINTR. */
	return error && error != EINTR && atomic_load(&retry->exits) == vcpu_exits(vcpu) &&
	       clock_host() - atomic_load(&retry->time) <= CONSECUTIVE;
}

int
retry_report(const struct vcpu *vcpu)
{
	return fail(STATUS_HOST, "vCPU %u cannot run: KVM_RUN: %s", vcpu->kvm.id,
		    limit_error_of(LIMIT_KVM, atomic_load(&vcpu->retry.error)).text);
}
