/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Merges layers without a name, so that a machine can be branched any number of times. A thread
 * copies a run of frozen layers to one new file while the machine runs:
 *
 *     disk.img <--- 1 <--- 2 <--- 3 <-+- 4    the machine
 *                                     '- 5    its last branch
 *
 *     disk.img <----- 1+2 <------ 3 <-+- 4
 *
 * The new file has the content of the run, and the id of its last layer, so the layers above do not
 * notice. Nothing that other machines use is changed: those that stand on the old files keep them.
 * The next stop puts the new file into the chain. The thread may run during a pause, and a fork(2)
 * of the machine is not affected: between its first and its last instruction, which the I/O thread
 * waits for, it only reads, writes and closes files. It takes no lock, logs nothing, and allocates
 * nothing. A merge needs space until the old files are closed, and gives up before the guest's own
 * writes could lack it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* F_OFD_GETLK */
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "disk.h"

#define CROWDED (DISK_LAYERS / 2) /* layers, from which on those in use are merged, too */
#define COPY_CLUSTERS 64u         /* clusters that are copied at once */

void
disk_lock_beginning(const struct disk_layer *layer)
{
	struct flock l = {
		.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = DISK_BEGINNING, .l_len = 1
	};

	fcntl(layer->fd, F_OFD_SETLK, &l); /* without it, the layer may be copied needlessly */
}

/* Whether another machine began on this layer, and may return there. */
static bool
is_beginning(const struct disk_layer *layer)
{
	struct flock l = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = DISK_BEGINNING, .l_len = 1
	};

	return !fcntl(layer->fd, F_OFD_GETLK, &l) && l.l_type != F_UNLCK;
}

static bool
may_merge(const struct disk *disk, uint32_t i)
{
	const struct disk_layer *layer = &disk->layers[i];

	return layer->overlay && !layer->path && layer->fd >= 0 &&
	       (disk->count >= CROWDED || !is_beginning(layer));
}

/*
 * Finds layers to merge: adjacent ones that no other machine began on, and not across the beginning
 * of this one. Those that are more than twice as large as all above them in the run stay out of it,
 * so that each cluster is copied a logarithmic number of times. Returns their number; 0: none.
 */
static uint32_t
find_run(const struct disk *disk, uint32_t *first)
{
	uint32_t end = disk->count - 1, begin, next;

	for (begin = 1; begin < end; begin = next) {
		uint64_t above = 0;

		for (next = begin;
		     next < end && may_merge(disk, next) && (next == begin || next != disk->origin);
		     next++)
			above += disk->layers[next].clusters;
		if (next == begin)
			next++;
		*first = begin;
		for (uint32_t i = begin; i + 1 < next; i++) {
			above -= disk->layers[i].clusters;
			if (disk->layers[i].clusters <= 2 * above)
				return next - i;
			*first = i + 1;
		}
	}
	return 0;
}

static bool
contains(const struct disk_layer *layer, uint64_t cluster)
{
	return layer->present[cluster / 8] >> cluster % 8 & 1;
}

/* The uppermost layer of the run that contains a cluster; NULL: none. */
static struct disk_layer *
merged_from(const struct disk_merge *m, uint64_t cluster)
{
	for (uint32_t i = m->count; i--;)
		if (contains(&m->from[i], cluster))
			return &m->from[i];
	return NULL;
}

static bool
is_zero(const uint8_t *bytes, uint64_t length)
{
	return !*bytes && !memcmp(bytes, bytes + 1, length - 1);
}

/* Copies clusters of one layer. Zeros stay holes. 0, or -1 with errno. */
static int
copy_clusters(struct disk *disk, struct disk_layer *from, uint64_t first, uint64_t count,
	      uint8_t *buffer)
{
	struct disk_layer *into = &disk->merge.into;
	uint64_t at = first * DISK_CLUSTER, length = count * DISK_CLUSTER;
	struct iovec piece = { buffer, 0 };

	piece.iov_len = length = length < disk->bytes - at ? length : disk->bytes - at;
	if (from->store->transfer(from, DISK_READ, &piece, 1, from->data + at))
		return -1;
	for (uint64_t i = 0; i < count; i++)
		into->present[(first + i) / 8] |= (uint8_t)(1u << (first + i) % 8);
	into->clusters += count;
	if (is_zero(buffer, length))
		return 0;
	piece = (struct iovec){ buffer, length };
	return into->store->transfer(into, DISK_WRITE, &piece, 1, into->data + at);
}

/* Whether the file system has space for twice this number of clusters: the guest may write as many
 * in the meantime. True if the file system does not report its space. */
static bool
has_space(const struct disk_layer *into, uint64_t clusters)
{
	struct statfs fs;
	uint64_t bytes;

	return fstatfs(into->fd, &fs) || !fs.f_blocks ||
	       __builtin_mul_overflow(fs.f_bavail, fs.f_frsize ? fs.f_frsize : fs.f_bsize,
				      &bytes) ||
	       bytes / DISK_CLUSTER / 2 >= clusters;
}

/* The clusters of all layers of the run together. */
static uint64_t
count_clusters(const struct disk *disk)
{
	const struct disk_merge *m = &disk->merge;
	uint64_t count = 0;

	for (uint64_t i = 0; i * 8 * DISK_CLUSTER < disk->bytes; i++) {
		unsigned bits = 0;

		for (uint32_t k = 0; k < m->count; k++)
			bits |= m->from[k].present[i];
		count += (unsigned)__builtin_popcount(bits);
	}
	return count;
}

static int
copy_run(struct disk *disk, uint8_t *buffer)
{
	struct disk_merge *m = &disk->merge;
	uint64_t clusters = (disk->bytes + DISK_CLUSTER - 1) / DISK_CLUSTER, next;
	uint64_t left = count_clusters(disk);

	for (uint64_t c = 0; c < clusters; c = next) {
		struct disk_layer *from = merged_from(m, c);

		for (next = c + 1;
		     next < clusters && next - c < COPY_CLUSTERS && merged_from(m, next) == from;
		     next++)
			;
		errno = atomic_load(&m->cancelled) ? ECANCELED : 0;
		if (!errno && from && !has_space(&m->into, left))
			errno = ENOSPC;
		if (errno || (from && copy_clusters(disk, from, c, next - c, buffer)))
			return -1;
		left -= from ? next - c : 0;
	}
	return overlay_write_present(disk, &m->into);
}

/* Closing a file that has no name frees its space, which may take long. */
static void
close_files(struct disk_merge *m)
{
	for (uint32_t i = 0; i < m->retired_count; i++) {
		m->retired[i].store->close(&m->retired[i]);
		m->retired[i].fd = -1;
	}
}

static void
free_retired(struct disk_merge *m)
{
	for (uint32_t i = 0; i < m->retired_count; i++)
		disk_layer_close(&m->retired[i]);
	free(m->retired);
	m->retired = NULL;
	m->retired_count = 0;
}

static void
await(sem_t *semaphore)
{
	while (sem_wait(semaphore) && errno == EINTR)
		;
}

static void *
merge_main(void *argument)
{
	struct disk *disk = argument;
	struct disk_merge *m = &disk->merge;

	sem_post(&m->begun);
	close_files(m);
	if (m->count)
		m->error = copy_run(disk, m->buffer) ? errno : 0;
	atomic_store(&m->ended, true);
	await(&m->joined); /* the end of a thread takes locks */
	return NULL;
}

static int
start_thread(struct disk *disk)
{
	struct disk_merge *m = &disk->merge;
	sigset_t all, before;

	sigfillset(&all);
	/* A blocked SIGSEGV or SIGBUS would kill the process without a message. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	atomic_store(&m->ended, false);
	atomic_store(&m->cancelled, false);
	m->error = 0;
	m->has_begun = false;
	sem_init(&m->begun, 0, 0);
	sem_init(&m->joined, 0, 0);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	m->running = !pthread_create(&m->thread, NULL, merge_main, disk);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return m->running ? 0 : -1;
}

static void
join(struct disk_merge *m)
{
	sem_post(&m->joined);
	pthread_join(m->thread, NULL);
	sem_destroy(&m->begun);
	sem_destroy(&m->joined);
	m->running = false;
	free_retired(m);
}

/* Drops a merge that has not been used. */
static void
drop_merge(struct disk_merge *m)
{
	if (m->count)
		disk_layer_close(&m->into);
	free(m->from);
	free(m->buffer);
	m->from = NULL;
	m->buffer = NULL;
	m->count = 0;
}

/* Creates the file that the run is copied to. */
static int
begin_merge(struct disk *disk, uint32_t first, uint32_t count)
{
	struct disk_merge *m = &disk->merge;

	m->from = malloc(count * sizeof(*m->from));
	m->buffer = malloc((size_t)COPY_CLUSTERS * DISK_CLUSTER);
	if (m->from && m->buffer) {
		memcpy(m->from, &disk->layers[first], count * sizeof(*m->from));
		m->first = first;
		if (!disk_create_merged(disk, &m->into, disk->layers[first - 1].id,
					m->from[count - 1].id))
			m->count = count;
	}
	if (m->count)
		return 0;
	drop_merge(m);
	return -1;
}

/* Joins a thread that has ended. The layers keep their number if it has failed. */
static void
join_ended(struct disk *disk)
{
	struct disk_merge *m = &disk->merge;

	if (!m->running || !atomic_load(&m->ended))
		return;
	join(m);
	free(m->buffer);
	m->buffer = NULL;
	if (m->error)
		minivmm_log(disk->dev, MINIVMM_WARNING, "cannot merge %u layers of the disk: %s",
			    m->count,
			    minivmm_error_text(disk->dev, MINIVMM_CALL_OTHER, m->error).text);
	if (m->error)
		drop_merge(m);
}

void
disk_merge_start(struct disk *disk)
{
	struct disk_merge *m = &disk->merge;
	uint32_t first, count;

	if (!m->wanted)
		return;
	join_ended(disk);
	if (m->running)
		return;
	m->wanted = false;
	if (!m->count) {
		count = find_run(disk, &first);
		if (count && begin_merge(disk, first, count))
			count = 0;
		if ((count || m->retired_count) && start_thread(disk))
			drop_merge(m);
	}
}

/* Whether the layers of the run are where they were, and have no name yet. */
static bool
is_current(const struct disk *disk)
{
	const struct disk_merge *m = &disk->merge;

	for (uint32_t i = 0; i < m->count; i++)
		if (disk->layers[m->first + i].fd != m->from[i].fd ||
		    disk->layers[m->first + i].path)
			return false;
	return true;
}

void
disk_merge_use(struct disk *disk)
{
	struct disk_merge *m = &disk->merge;

	if (m->running && !m->has_begun) /* the begin of a thread takes locks */
		await(&m->begun);
	m->has_begun = true;
	join_ended(disk);
	if (m->running || !m->count)
		return;
	if (!is_current(disk) || m->retired) {
		drop_merge(m);
		return;
	}
	m->retired = m->from;
	m->retired_count = m->count;
	disk->layers[m->first] = m->into;
	memmove(&disk->layers[m->first + 1], &disk->layers[m->first + m->count],
		(disk->count - m->first - m->count) * sizeof(*disk->layers));
	disk->count -= m->count - 1;
	if (m->first < disk->origin)
		disk->origin -= m->count - 1;
	m->from = NULL;
	m->count = 0;
}

void
disk_merge_end(struct disk *disk)
{
	struct disk_merge *m = &disk->merge;

	atomic_store(&m->cancelled, true);
	if (m->running)
		join(m);
	drop_merge(m);
	free_retired(m);
}
