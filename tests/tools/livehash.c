/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks a snapshot of guests/live.S, which documents the rules: the memory must match hash and
 * journal, and both must match the guest's writes, which follow from its initial registers.
 *
 *   livehash SNAPSHOT [LINES]
 *
 * LINES is a file with the guest's output, from before and after the snapshot: the lines "tick N W
 * H" must be consecutive, and H must be the hash of W writes.
 *
 * Prints "N W H ok" in hexadecimal, as the guest does, and exits with 0; or prints the errors and
 * exits with 1.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "snapshot/reader.h"

#define BLOCK 0x8000u
#define PER_PAGE (PAGE_SIZE / 8)
#define WRONG_PRINTED 8

struct block {
	char magic[8];
	uint64_t ticks, writes, hash;
	uint64_t page, before, after, number; /* the journal */
	uint64_t first, pages, seed, random, rate;
};

/* A copy of the guest's algorithm. */
struct model {
	uint64_t *values; /* of each page */
	uint64_t first, pages, random;
	uint64_t value, writes, hash;
};

static uint64_t
factor(uint64_t address)
{
	return ((address >> 11) + 1) * 0x9e3779b97f4a7c15;
}

static void
model_write(struct model *m)
{
	uint64_t page = m->writes++ % m->pages;

	m->value ^= m->value << 13;
	m->value ^= m->value >> 7;
	m->value ^= m->value << 17;
	if (m->random)
		page =
		    (uint64_t)((unsigned __int128)(m->value * 0x2545f4914f6cdd1d) * m->pages >> 64);
	m->hash += (m->value - m->values[page]) * factor(m->first + page * PAGE_SIZE);
	m->values[page] = m->value;
}

static int
model_start(struct model *m, const struct block *b)
{
	*m = (struct model){ .values = calloc(b->pages, sizeof(*m->values)),
			     .first = b->first,
			     .pages = b->pages,
			     .random = b->random,
			     .value = b->seed };
	return m->values ? 0 : -1;
}

/* Reads the value of each page and their hash. The rest of each page must be 0. Returns the number
 * of bad pages, or a negative status. */
static int
read_pages(const struct snapshot *snapshot, const struct block *b, uint64_t *values, uint64_t *hash)
{
	uint64_t *buffer = malloc(SNAPSHOT_CHUNK), in_buffer = SNAPSHOT_CHUNK / PAGE_SIZE;
	int wrong = 0, failed = buffer ? 0 : -1;

	*hash = 0;
	for (uint64_t page = 0; page < b->pages && !failed; page++) {
		uint64_t at = page % in_buffer, address = b->first + page * PAGE_SIZE;
		const uint64_t *words = buffer + at * PER_PAGE;

		if (!at) {
			uint64_t n = b->pages - page < in_buffer ? b->pages - page : in_buffer;

			failed = snapshot_read(snapshot, address, buffer, n * PAGE_SIZE);
			if (failed)
				break;
		}
		values[page] = words[0];
		*hash += words[0] * factor(address);
		if ((words[1] || memcmp(words + 1, words + 2, PAGE_SIZE - 16)) &&
		    wrong++ < WRONG_PRINTED)
			printf("page 0x%" PRIx64 ": not 0 after the value\n", address);
	}
	free(buffer);
	return failed ? failed : wrong;
}

/* Checks the journal against the counts and its page. Stores the hash that memory must have: with
 * the write that the journal holds, if it is in memory. */
static int
check_journal(const struct block *b, const uint64_t *values, uint64_t *hash)
{
	uint64_t page = (b->page - b->first) / PAGE_SIZE;

	*hash = b->hash;
	if (b->number == b->writes)
		return 0;
	if (b->number != b->writes + 1 || b->page % PAGE_SIZE || b->page < b->first ||
	    page >= b->pages) {
		printf("the journal has write 0x%" PRIx64 " to 0x%" PRIx64 ", after 0x%" PRIx64
		       " writes\n",
		       b->number, b->page, b->writes);
		return 1;
	}
	if (values[page] == b->after)
		*hash += (b->after - b->before) * factor(b->page);
	else if (values[page] != b->before) {
		printf("page 0x%" PRIx64 " holds 0x%" PRIx64 ", the journal 0x%" PRIx64
		       " before and 0x%" PRIx64 " after the write\n",
		       b->page, values[page], b->before, b->after);
		return 1;
	}
	return 0;
}

static int
check_memory(const struct snapshot *snapshot, const struct block *b)
{
	struct model model;
	uint64_t *values = calloc(b->pages, sizeof(*values)), hash = 0, expected;
	int wrong = model_start(&model, b) || !values;

	wrong = wrong || read_pages(snapshot, b, values, &hash);
	if (!wrong) {
		wrong = check_journal(b, values, &expected);
		if (!wrong && hash != expected) {
			printf("memory has the hash 0x%016" PRIx64 ", the guest 0x%016" PRIx64 "\n",
			       hash, expected);
			wrong = 1;
		}
		while (model.writes < b->writes)
			model_write(&model);
		if (model.hash != b->hash) {
			printf("after 0x%" PRIx64 " writes the hash is 0x%016" PRIx64
			       ", not 0x%016" PRIx64 "\n",
			       b->writes, model.hash, b->hash);
			wrong++;
		}
		if (hash != b->hash) /* the write of the journal is in memory */
			model_write(&model);
		for (uint64_t i = 0, printed = 0; i < b->pages && printed < WRONG_PRINTED; i++)
			if (values[i] != model.values[i]) {
				printf("page 0x%" PRIx64 " holds 0x%" PRIx64 ", not 0x%" PRIx64
				       "\n",
				       b->first + i * PAGE_SIZE, values[i], model.values[i]);
				wrong++;
				printed++;
			}
	}
	free(model.values);
	free(values);
	return wrong;
}

static int
check_lines(const char *path, const struct block *b)
{
	FILE *file = fopen(path, "r");
	struct model model = { 0 };
	uint64_t tick, writes, hash, last = 0;
	char line[256];
	int wrong = !file || model_start(&model, b);

	if (!file)
		printf("cannot read %s\n", path);
	while (!wrong && fgets(line, sizeof(line), file)) {
		if (!strchr(line, '\n')) /* the last line, cut by the snapshot */
			break;
		if (sscanf(line, "tick %" SCNx64 " %" SCNx64 " %" SCNx64, &tick, &writes, &hash) !=
		    3)
			continue;
		if ((last && tick != last + 1) || writes < model.writes) {
			printf("after tick 0x%" PRIx64 " and write 0x%" PRIx64 ": %s", last,
			       model.writes, line);
			wrong = 1;
		}
		last = tick;
		while (model.writes < writes)
			model_write(&model);
		if (!wrong && model.hash != hash) {
			printf("the hash should be 0x%016" PRIx64 ": %s", model.hash, line);
			wrong = 1;
		}
	}
	if (!wrong && !last) {
		printf("%s has no ticks\n", path);
		wrong = 1;
	}
	if (file)
		fclose(file);
	free(model.values);
	return wrong;
}

int
main(int argc, char **argv)
{
	struct snapshot snapshot;
	struct block b;
	int wrong;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: livehash SNAPSHOT [LINES]\n");
		return 2;
	}
	wrong = snapshot_open_chain(&snapshot, argv[1], NULL, 0) ||
		snapshot_read(&snapshot, BLOCK, &b, sizeof(b));
	if (!wrong &&
	    (memcmp(b.magic, "minilive", sizeof(b.magic)) || !b.pages || b.pages > 1u << 20)) {
		printf("%s: not a snapshot of guests/live.S, or taken before its first "
		       "instructions\n",
		       argv[1]);
		wrong = 1;
	}
	wrong = wrong || check_memory(&snapshot, &b) || (argc > 2 && check_lines(argv[2], &b));
	if (!wrong)
		printf("%08" PRIx64 " %016" PRIx64 " %016" PRIx64 " ok\n", b.ticks, b.writes,
		       b.hash);
	snapshot_close(&snapshot);
	return wrong ? 1 : 0;
}
