/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Damages a snapshot: changes each byte of its metadata in three ways, and truncates the file after
 * each byte. The reader must refuse every result.
 *
 *   damage FILE
 *
 * Prints the number of refusals, or each result that was accepted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "snapshot/reader.h"

static bool
accepted(const uint8_t *bytes, size_t length, uint64_t file_size)
{
	struct snapshot snapshot;
	uint8_t *copy = malloc(length ? length : 1);
	struct why why;
	bool ok;

	if (!copy)
		abort();
	memcpy(copy, bytes, length);
	ok = !snapshot_parse(&snapshot, copy, length, file_size, &why);
	snapshot_close(&snapshot);
	return ok;
}

int
main(int argc, char **argv)
{
	static const uint8_t flips[] = { 0x01, 0x80, 0xff };
	struct snapshot_header header;
	unsigned long refused = 0, wrong = 0;
	uint64_t size;
	size_t length;
	uint8_t *bytes;
	int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;

	if (fd < 0 || pread(fd, &header, sizeof(header), 0) != sizeof(header)) {
		fprintf(stderr, "damage: cannot read %s\n",
			argc == 2 ? argv[1] : "FILE: name a snapshot");
		return 2;
	}
	length = sizeof(header) + header.table_size;
	bytes = malloc(length);
	if (!bytes || pread(fd, bytes, sizeof(header), 0) != sizeof(header) ||
	    pread(fd, bytes + sizeof(header), header.table_size, (off_t)header.table_offset) !=
		(ssize_t)header.table_size) {
		fprintf(stderr, "damage: cannot read %s\n", argv[1]);
		return 2;
	}
	size = header.table_offset + header.table_size;
	if (!accepted(bytes, length, size)) {
		fprintf(stderr, "damage: %s is damaged already\n", argv[1]);
		return 2;
	}
	for (uint64_t i = 0; i < length; i++)
		for (size_t j = 0; j < sizeof(flips); j++, refused++) {
			bytes[i] ^= flips[j];
			if (accepted(bytes, length, size)) {
				printf("byte %llu ^ 0x%02x was accepted\n", (unsigned long long)i,
				       flips[j]);
				wrong++;
			}
			bytes[i] ^= flips[j];
		}
	for (uint64_t i = 0; i < size; i++, refused++)
		if (accepted(bytes, i < length ? i : length, i)) {
			printf("the first %llu bytes were accepted\n", (unsigned long long)i);
			wrong++;
		}
	if (!wrong)
		printf("%lu refused\n", refused);
	free(bytes);
	close(fd);
	return wrong != 0;
}
