/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads a config from a text. */
#ifndef TESTS_CONFIG_BENCH_H
#define TESTS_CONFIG_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h" /* before cmocka's macro fail */
#include "config/config.h"

#include <cmocka.h>

#include "unit/said.h"

/* Reads text as conf/x.ini. Returns the status and the messages. */
static inline int
read_config(struct config *config, struct said *said, const char *text, size_t length,
	    const char *const *set)
{
	size_t count = 0;
	int status;

	while (set && set[count])
		count++;
	said_begin(said);
	status =
	    config_read_text(config, "conf/x.ini", "conf", text, length, (char *const *)set, count);
	said_end(said);
	return status;
}

static inline void
read_good(struct config *config, const char *text, const char *const *set)
{
	struct said said;

	assert_int_equal(read_config(config, &said, text, strlen(text), set), 0);
	assert_string_equal(said.text, "");
}

/* A text that sets everything. */
static const char everything[] = "\xef\xbb\xbf; a comment\n"
				 "# another, longer than any line may be .......................\n"
				 "  ; indented comments are fine\n"
				 "\n"
				 "[vm]\n"
				 "memory = 1M ; inline\n"
				 "memory_at=0x2000\r\n"
				 "memory_file\t=\tram.img\n"
				 "cpus = 1\n"
				 "irqchip = on\n"
				 "dirty_log = yes\n"
				 "[boot] ; comment\n"
				 "image = ../guests/simple.bin\n"
				 "format = flat\n"
				 "at = 0x3000\n"
				 "[ cpu ]\n"
				 "mode = long\n"
				 "rax = 2\n"
				 "cs.base = 0x10\n"
				 "[snapshot]\n"
				 "at = output:serial0:a;b=c\n"
				 "file = simple.snap\n"
				 "then = exit\n"
				 "[plugins]\n"
				 "path = a:/b::c/d\n"
				 "[device   serial0]\n"
				 "plugin = serial\n"
				 "port = 0x3f8\n"
				 "input =\n"
				 "[device my-dev_2]\n"
				 "plugin = ./mine.so";

#endif
