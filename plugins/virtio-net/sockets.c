/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sockets of libslirp, which it opens and closes at any time. After each event, libslirp lists
 * the descriptors and events that it waits for, and the epoll set is updated. The card's timer
 * serves libslirp's timeouts.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user.h"

#define READY 64    /* events per epoll_wait() */
#define DUE 900u    /* ms; slirp_pollfds_fill() lowers this if libslirp has a timeout */
#define MS 1000000u /* ns */
#define IDLE_MS                                                                                    \
	240000u /* SO_EXPIRE of libslirp: it ends a UDP or ICMP flow that is idle so long          \
		 */
#define FLOWS_MOST 128u
#define ACCEPT_AGAIN 100u /* ms, as in core/machine/listener.c */

static void
user_forget_events(struct user *u, int fd)
{
	if (fd < 0 || (size_t)fd >= u->fd_count || !u->fds[fd].events)
		return;
	epoll_ctl(u->epoll, EPOLL_CTL_DEL, fd, NULL);
	u->fds[fd].events = u->fds[fd].ready = 0;
}

/* The number may soon belong to another descriptor. */
void
user_unregister_fd(int fd, void *opaque)
{
	struct user *u = opaque;

	user_forget_events(u, fd);
	if (fd >= 0 && (size_t)fd < u->fd_count && u->fds[fd].kind != USER_CLOSED) {
		u->open[u->fds[fd].kind]--;
		u->fds[fd].kind = USER_CLOSED;
	}
}

/* Grows both tables for a descriptor. Returns false without memory. */
static bool
user_room(struct user *u, size_t fd)
{
	if (fd >= u->fd_count) {
		size_t count = fd + 64;
		struct user_fd *fds = realloc(u->fds, count * sizeof(*fds));

		if (!fds)
			return false;
		memset(fds + u->fd_count, 0, (count - u->fd_count) * sizeof(*fds));
		u->fds = fds;
		u->fd_count = count;
	}
	if (u->listed == u->room) {
		int *list = realloc(u->list, (u->room + 64) * sizeof(*list));

		if (!list)
			return false;
		u->list = list;
		u->room += 64;
	}
	return true;
}

/* libslirp's flags correspond to those of poll(), with other values. */
static const struct {
	int slirp;
	uint32_t epoll;
} poll_flags[] = {
	{ SLIRP_POLL_IN, EPOLLIN },   { SLIRP_POLL_OUT, EPOLLOUT }, { SLIRP_POLL_PRI, EPOLLPRI },
	{ SLIRP_POLL_ERR, EPOLLERR }, { SLIRP_POLL_HUP, EPOLLHUP },
};
#define FLAGS (sizeof(poll_flags) / sizeof(*poll_flags))

static enum user_kind
user_kind_of(int fd)
{
	socklen_t size = sizeof(int);
	int type = 0;

	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
	return type == SOCK_STREAM ? USER_STREAM : USER_DATAGRAMS;
}

static bool
user_listens(int fd)
{
	socklen_t size = sizeof(int);
	int listens = 0;

	return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) && listens;
}

static void
user_count(struct user *u, int fd)
{
	struct user_fd *f = &u->fds[fd];

	if (f->kind != USER_CLOSED)
		return;
	u->open[f->kind = user_kind_of(fd)]++;
	f->listens = user_listens(fd);
}

/* libslirp's callback for some of its descriptors; the others appear when it waits for them. */
void
user_register_fd(int fd, void *opaque)
{
	struct user *u = opaque;

	if (fd >= 0 && user_room(u, (size_t)fd))
		user_count(u, fd);
}

/* libslirp's callback for each descriptor that it waits for. libslirp passes the result to
 * user_get_revents(). */
static int
user_add_poll(int fd, int events, void *opaque)
{
	struct user *u = opaque;
	struct epoll_event event = { .data.fd = fd };
	struct user_fd *f;

	if (fd < 0 || !user_room(u, (size_t)fd))
		return -1;
	f = &u->fds[fd];
	user_count(u, fd);
	if (f->listens && minivmm_now(u->dev) < u->accept_at)
		return -1;
	for (size_t i = 0; i < FLAGS; i++)
		if (events & poll_flags[i].slirp)
			event.events |= poll_flags[i].epoll;
	if (f->events != event.events &&
	    epoll_ctl(u->epoll, f->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event)) {
		minivmm_error(u->dev, "cannot add a socket to the epoll set: %s",
			      minivmm_error_text(u->dev, MINIVMM_CALL_EPOLL, errno).text);
		return -1;
	}
	f->events = event.events;
	f->round = u->round;
	if (!f->listed) {
		f->listed = true;
		u->list[u->listed++] = fd;
	}
	return fd;
}

static int
user_get_revents(int fd, void *opaque)
{
	const struct user *u = opaque;
	int events = 0;

	for (size_t i = 0; fd >= 0 && i < FLAGS; i++)
		if (u->fds[fd].ready & poll_flags[i].epoll)
			events |= poll_flags[i].slirp;
	return events;
}

/* Updates the epoll set and the timer to what libslirp waits for now. */
static void
user_update_polls(struct user *u)
{
	uint32_t ms = DUE;
	size_t kept = 0;
	uint64_t due;

	u->round++;
	memset(u->sent, 0, sizeof(u->sent));
	slirp_pollfds_fill(u->slirp, &ms, user_add_poll, u);
	for (size_t i = 0; i < u->listed; i++) {
		struct user_fd *f = &u->fds[u->list[i]];

		if (f->round == u->round) {
			u->list[kept++] = u->list[i];
			continue;
		}
		user_forget_events(u, u->list[i]);
		f->listed = false;
	}
	u->listed = kept;
	due = minivmm_now(u->dev);
	if (due < u->accept_at && ms > ACCEPT_AGAIN)
		ms = ACCEPT_AGAIN;
	due += (uint64_t)ms * MS;
	if (ms < DUE && (!u->due || due < u->due)) {
		u->due = due;
		minivmm_timer_set(u->dev, NET_TIMER_BACKEND, due, 0);
	}
}

/* Whether a caller from the host can be accepted. Without a descriptor for it, or above the limit,
 * the listener would be ready without end: it is left out for a while. */
static bool
user_accepts(struct user *u)
{
	int spare = u->open[USER_STREAM] < u->most ? dup(u->epoll) : -1;

	if (spare >= 0)
		close(spare);
	else
		u->accept_at = minivmm_now(u->dev) + ACCEPT_AGAIN * MS;
	return spare >= 0;
}

bool
user_ready(void *backend, uint32_t pair, uint32_t events)
{
	struct user *u = backend;
	struct epoll_event ready[READY];
	int count = epoll_wait(u->epoll, ready, READY, 0);

	for (int i = 0; i < count; i++) {
		struct user_fd *f = &u->fds[ready[i].data.fd];

		f->ready = f->listens && !user_accepts(u) ? 0 : ready[i].events;
	}
	slirp_pollfds_poll(u->slirp, 0, user_get_revents, u);
	for (int i = 0; i < count; i++)
		u->fds[ready[i].data.fd].ready = 0;
	user_update_polls(u);
	return true;
}

/* Runs libslirp's timeouts, and the effects of packets that the guest has sent. */
void
user_settle(void *backend)
{
	struct user *u = backend;

	slirp_pollfds_poll(u->slirp, 1, user_get_revents, u);
	user_update_polls(u);
}

void
user_limit(struct user *u)
{
	struct rlimit limit;

	u->idle = IDLE_MS;
	u->most = FLOWS_MOST;
	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur / 8 < u->most)
		u->most = (size_t)limit.rlim_cur / 8;
}

/*
 * libslirp has no call that ends a flow. But it ends those of datagrams that have been idle for
 * IDLE_MS by its clock, and asks us for the time: for a moment the clock is so far ahead that the
 * flows which have been idle for half of that end, then for a quarter, and so on. Each jump makes
 * one tick of TCP's timers, so the search begins where the last one ended.
 */
static void
user_end_oldest(struct user *u)
{
	u->idle = u->idle < IDLE_MS / 4 ? 2 * u->idle + 1 : IDLE_MS / 2;
	for (;; u->idle /= 2) {
		u->ahead = (IDLE_MS - u->idle) * MS;
		user_settle(u);
		if (u->open[USER_DATAGRAMS] <= u->most / 2 || !u->idle)
			break;
	}
	u->ahead = 0;
	user_settle(u);
}

bool
user_admits(struct user *u, enum user_kind kind)
{
	if (kind == USER_CLOSED || u->open[kind] + ++u->sent[kind] <= u->most)
		return true;
	user_settle(u);
	if (kind == USER_DATAGRAMS && u->open[kind] >= u->most)
		user_end_oldest(u);
	return u->open[kind] + ++u->sent[kind] <= u->most;
}

void
user_timer(void *backend)
{
	struct user *u = backend;

	u->due = 0;
	user_settle(u);
}
