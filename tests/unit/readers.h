/* SPDX-License-Identifier: BSD-2-Clause */
/* Every command that reads a snapshot, as a function, for tests of what it costs. */
#ifndef UNIT_READERS_H
#define UNIT_READERS_H

#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "snapshot/crc.h"
#include "snapshot/reader.h"
#include "vm/vm.h"

/* Files in a directory of the test. Mutable, as main's arguments are. */
struct reading {
	char *path, *other; /* the snapshot, and another one for diff */
	char *flat, *core;  /* what flatten and core write */
	char *stream;       /* the snapshot as a stream */
	char *plugins;      /* "plugins.path=..." */
};

static inline void
reader_verify(const struct reading *r)
{
	char *argv[] = { (char *)"verify", r->path, NULL };

	cli_verify(2, argv);
}

static inline void
reader_inspect(const struct reading *r)
{
	char *argv[] = { (char *)"inspect", r->path, NULL };

	cli_inspect(2, argv);
}

static inline void
reader_json(const struct reading *r)
{
	char *argv[] = { (char *)"inspect", (char *)"--json", r->path, NULL };

	cli_inspect(3, argv);
}

static inline void
reader_map(const struct reading *r)
{
	char *argv[] = { (char *)"inspect", (char *)"--map", r->path, NULL };

	cli_inspect(3, argv);
}

static inline void
reader_dump(const struct reading *r)
{
	char *argv[] = { (char *)"inspect", (char *)"--dump", (char *)"rip",
			 (char *)"64K",     r->path,          NULL };

	cli_inspect(5, argv);
}

static inline void
reader_diff_json(const struct reading *r)
{
	char *argv[] = { (char *)"diff",
			 (char *)"--json",
			 (char *)"--hex",
			 (char *)"--guest",
			 r->path,
			 r->other,
			 NULL };

	cli_diff(6, argv);
}

static inline void
reader_diff(const struct reading *r)
{
	char *argv[] = { (char *)"diff", r->path, r->other, NULL };

	cli_diff(3, argv);
}

static inline void
reader_core(const struct reading *r)
{
	char *argv[] = { (char *)"core", r->path, (char *)"-o", r->core, NULL };

	cli_core(4, argv);
}

static inline void
reader_flatten(const struct reading *r)
{
	char *argv[] = { (char *)"flatten", r->path, (char *)"-o", r->flat, NULL };

	cli_flatten(4, argv);
}

/* Everything that precedes KVM. again: as batch does. */
static inline void
reader_vm(const struct reading *r, bool again)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	char *set = r->plugins;
	const struct vm_source source = {
		.restore = r->path, .again = again, .check = true, .set = &set, .set_count = 1
	};

	if (!vm)
		err(2, "calloc");
	vm_build(vm, &source);
	vm_destroy(vm);
	free(vm);
}

static inline void
reader_restore(const struct reading *r)
{
	reader_vm(r, false);
}

static inline void
reader_batch(const struct reading *r)
{
	reader_vm(r, true);
}

/* As -r - does. */
static inline void
reader_receive(const struct reading *r)
{
	struct snapshot snapshot;
	int fd = open(r->stream, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err(2, "%s", r->stream);
	snapshot_receive(&snapshot, fd, "stream");
	snapshot_close(&snapshot);
	close(fd);
}

static const struct reader {
	const char *name;
	void (*run)(const struct reading *reading);
} readers[] = {
	{ "verify", reader_verify },       { "inspect", reader_inspect },
	{ "inspect --json", reader_json }, { "diff", reader_diff },
	{ "inspect --map", reader_map },   { "diff --json --hex --guest", reader_diff_json },
	{ "inspect --dump", reader_dump }, { "flatten", reader_flatten },
	{ "restore", reader_restore },     { "batch", reader_batch },
	{ "-r -", reader_receive },        { "core", reader_core },
};
#define READERS (sizeof(readers) / sizeof(*readers))

static inline void
reader_put(int to, const void *bytes, size_t length)
{
	if (write(to, bytes, length) != (ssize_t)length)
		err(2, "a stream");
}

static inline void
reader_put_frame(int to, uint64_t offset, const uint8_t *bytes, uint32_t length)
{
	struct stream_frame frame = { .offset = offset, .length = length };

	frame.checksum = crc32c(crc32c(0, &frame, sizeof(frame)), bytes, length);
	reader_put(to, &frame, sizeof(frame));
	reader_put(to, bytes, length);
}

/* Writes the snapshot as a stream, without its holes, in frames of some bytes, at most 64 KiB. */
static inline void
reader_make_stream(const struct reading *r, size_t some)
{
	static uint8_t bytes[65536];
	int from = open(r->path, O_RDONLY | O_CLOEXEC);
	int to = open(r->stream, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	off_t at = 0;
	ssize_t n;

	if (from < 0 || to < 0)
		err(2, "%s", r->stream);
	reader_put(to, STREAM_MAGIC, 8);
	reader_put_frame(to, 1ull << 40, bytes, 0);
	while ((at = lseek(from, at, SEEK_DATA)) >= 0 && (n = read(from, bytes, some)) > 0) {
		reader_put_frame(to, (uint64_t)at, bytes, (uint32_t)n);
		at += n;
	}
	reader_put_frame(to, (uint64_t)lseek(from, 0, SEEK_END), bytes, 0);
	close(from);
	close(to);
}

#endif
