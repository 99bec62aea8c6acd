/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory: regions of guest physical addresses backed by host memory, and the one checked way
 * into them. */
#ifndef MACHINE_MEMORY_H
#define MACHINE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE 4096u

typedef uint64_t gpa_t;

struct memory_region {
	gpa_t gpa;
	uint64_t size; /* bytes, whole pages */
	uint8_t *host;
	uint64_t
	    offset; /* in the memory image of a snapshot: regions lie there one after the other */
};

#define MEMORY_REGIONS 4

struct memory {
	struct memory_region regions[MEMORY_REGIONS];
	uint32_t count;
	uint64_t size; /* of all regions */
};

/* Adds anonymous memory, or a shared mapping of a file (made and sized when missing), or a private
 * one of fd. */
int memory_add(struct memory *memory, gpa_t gpa, uint64_t size);
int memory_add_file(struct memory *memory, gpa_t gpa, uint64_t size, const char *path);
int memory_add_private(struct memory *memory, gpa_t gpa, uint64_t size, int fd,
		       uint64_t file_offset);
void memory_free(struct memory *memory);

/* The host address of [gpa, gpa + length), or NULL when not all of it is in one region. */
void *memory_at(const struct memory *memory, gpa_t gpa, uint64_t length);
/* Checked copies; 0, or -1 when not all of it is memory (nothing copied). May cross regions that
 * touch. */
int memory_read(const struct memory *memory, gpa_t gpa, void *to, size_t length);
int memory_write(struct memory *memory, gpa_t gpa, const void *from, size_t length);

#endif
