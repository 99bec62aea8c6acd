/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the config reader with any text. A config that it accepts must be saved and loaded without
 * a change.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/config.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	log_set_level((enum minivmm_level) - 1); /* messages are expected */
	return 0;
}

static void
check_saved(const struct config *config)
{
	struct record_writer first = { 0 }, second = { 0 };
	struct config loaded;
	struct record root;
	struct why why;

	config_save(config, &first);
	if (first.failed) { /* a key that no plugin can have */
		record_writer_free(&first);
		return;
	}
	if (record_open(first.data, first.length, &root, NULL) || config_load(&loaded, &root, &why))
		abort();
	config_save(&loaded, &second);
	if (second.failed || first.length != second.length ||
	    memcmp(first.data, second.data, first.length))
		abort();
	config_free(&loaded);
	record_writer_free(&first);
	record_writer_free(&second);
}

/* The text before the first form feed is one --set; the rest, or all, is the config. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, '\f', size) : NULL;
	size_t length = end ? (size_t)(end - data) : 0;
	char *set = strndup((const char *)data, length);
	const char *text = (const char *)data + (end ? length + 1 : 0);
	struct config config;

	if (!config_read_text(&config, "fuzz.ini", "folder", text,
			      size - (size_t)(text - (const char *)data), &set, end ? 1 : 0))
		check_saved(&config);
	config_free(&config);
	free(set);
	return 0;
}
