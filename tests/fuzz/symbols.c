/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzzes the reader of symbols: ELF files and System.map. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("symbols", MFD_CLOEXEC);
	char path[32], text[64];
	struct symbols symbols;
	struct why why;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!symbols_open(&symbols, path, &why))
		for (size_t i = 0; i < symbols.count; i++) {
			const struct symbol *s = &symbols.list[i];

			if (i && s[-1].at > s->at)
				abort(); /* not sorted */
			symbols_text(&symbols, s->at, text, sizeof(text));
			symbols_text(&symbols, s->end - 1, text, sizeof(text));
			symbols_text(&symbols, s->end, text, sizeof(text));
		}
	symbols_free(&symbols);
	close(fd);
	return 0;
}
