/* SPDX-License-Identifier: BSD-2-Clause */
/* Habits of other programs: each remedy names options, commands, keys and plugins that exist. */
#include <libgen.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/habits.h"
#include "cli/commands.h"
#include "config/schema.h"
#include "plugin/plugin.h"
#include "stream/stream.h"
#include "vm/vm.h"

#include <cmocka.h>

static const char *
word_after(const char *text, const char *before, char *word, size_t size)
{
	const char *at = strstr(text, before);

	if (!at)
		return NULL;
	at += strlen(before);
	snprintf(word, size, "%.*s", (int)strcspn(at, " ,;="), at);
	return at;
}

static int
has_control(const char *name)
{
	for (const struct command_row *row = vm_commands; row->name; row++)
		if (!strcmp(row->name, name))
			return 1;
	return !strcmp(name, "help") || !strcmp(name, "stats") || !strcmp(name, "top");
}

static int
has_option(const struct cli_option *options, const char *word)
{
	for (const struct cli_option *o = options; o->id; o++)
		if ((word[1] == '-' && o->name && !strcmp(o->name, word + 2)) ||
		    (word[1] == o->id && !word[2]))
			return 1;
	return 0;
}

/* Options after "minivmm COMMAND" are that command's; all others are those of a run. */
static void
check_options(const struct habit *h)
{
	const struct cli_option *options = cli_run_options;
	char copy[256], *rest = copy, *word, *before = NULL;

	snprintf(copy, sizeof(copy), "%s", h->ours);
	while ((word = strsep(&rest, " ,;"))) {
		if (before && !strcmp(before, "minivmm") && *word != '-') {
			assert_non_null(cli_command(word));
			options = cli_command(word)->options;
		}
		/* Options of tar and the like are not ours: this table has none. */
		word[strcspn(word, "=")] = '\0';
		if (*word == '-' && word[1] && !has_option(options, word))
			fail_msg("%s: there is no option %s", h->theirs, word);
		before = word;
	}
}

static bool
has_section(const char *word)
{
	for (size_t i = 0; schema_sections[i]; i++)
		if (!strcmp(schema_sections[i], word))
			return true;
	return false;
}

static void
check_keys(const struct habit *h)
{
	char word[64], section[16], key[32];

	for (const char *at = h->ours; (at = word_after(at, "--set ", word, sizeof(word)));) {
		if (!strncmp(word, "device.NAME.", 12))
			continue;
		if (sscanf(word, "%15[a-z].%31[a-z_]", section, key) != 2)
			fail_msg("%s: --set %s", h->theirs, word);
		if (!schema_find(section, key))
			fail_msg("%s: there is no key %s", h->theirs, word);
	}
	for (const char *at = h->ours; (at = strchr(at, '[')); at++) {
		int found = sscanf(at, "[%15[a-z]] %31[a-z_]", section, key);

		if (found < 1 || (found == 1 && has_section(section)))
			continue;
		if (!strncmp(at, "[device NAME]", 13))
			continue;
		if (!schema_find(section, key))
			fail_msg("%s: there is no key [%s] %s", h->theirs, section, key);
	}
}

static void
remedies_exist(void **state)
{
	char word[64], path[128];

	for (const struct habit *h = habits; h->theirs; h++) {
		check_options(h);
		check_keys(h);
		if (word_after(h->ours, "ctl SOCKET ", word, sizeof(word)) && !has_control(word))
			fail_msg("%s: there is no command %s", h->theirs, word);
		if (h->kind == HABIT_CONTROL && word_after(h->ours, "use ", word, sizeof(word)) &&
		    !has_control(word))
			fail_msg("%s: there is no command %s", h->theirs, word);
		if (word_after(h->ours, "plugin = ", word, sizeof(word)) && strcmp(word, "NAME")) {
			snprintf(path, sizeof(path), "plugins/%s.c", word);
			if (access(path, R_OK)) {
				snprintf(path, sizeof(path), "plugins/%s", word);
				assert_int_equal(access(path, R_OK), 0);
			}
		}
	}
}

static bool
plugin_has(const struct plugin_path *path, const char *name, const char *option)
{
	struct plugin plugin;
	bool has = false;

	if (!plugin_load(&plugin, path, name, ""))
		for (size_t i = 0; i < plugin.all_count; i++)
			has |= !strcmp(plugin_option(&plugin, i)->row.name, option);
	plugin_unload(&plugin);
	return has;
}

/* Some plugin has our option, and no plugin has theirs beside it. */
static void
options_of_devices_exist(void **state)
{
	const char *program = getenv("MINIVMM");
	struct plugin_path path;
	char **names, copy[256], directory[300];
	size_t count;

	/* The plugins of this build lie beside the program. */
	snprintf(copy, sizeof(copy), "%s", program ? program : "./minivmm");
	snprintf(directory, sizeof(directory), "%s/plugins", dirname(copy));
	assert_int_equal(plugin_path_init(&path, directory), 0);
	names = plugin_names(directory, &count);
	assert_true(count > 5);
	for (const struct habit *h = habits; h->theirs; h++) {
		bool some = false;

		for (size_t i = 0; i < count && h->kind == HABIT_DEVICE; i++) {
			char *rest = copy, *word;

			if (!plugin_has(&path, names[i], h->ours))
				continue;
			some = true;
			snprintf(copy, sizeof(copy), "%s", h->theirs);
			while ((word = strsep(&rest, "|")))
				if (plugin_has(&path, names[i], word))
					fail_msg("%s has %s and %s", names[i], word, h->ours);
		}
		if (h->kind == HABIT_DEVICE && !some)
			fail_msg("no plugin has %s", h->ours);
		for (size_t i = 0; i < count && h->kind == HABIT_PLUGIN; i++)
			some |= !strcmp(names[i], h->ours);
		if (h->kind == HABIT_PLUGIN && !some)
			fail_msg("there is no plugin %s", h->ours);
	}
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
	plugin_path_free(&path);
}

/* A row for a word of ours would never be used, or would hide it. */
static void
words_are_not_ours(void **state)
{
	char copy[256], section[16], key[32];
	const char *form;

	for (const struct habit *h = habits; h->theirs; h++) {
		char *rest = copy, *word;

		assert_true(snprintf(copy, sizeof(copy), "%s", h->theirs) < (int)sizeof(copy));
		while ((word = strsep(&rest, "|"))) {
			if (!*word || habit(h->kind, word) != h->ours)
				fail_msg("%s is empty or in two rows", word);
			if (h->kind == HABIT_COMMAND)
				assert_null(cli_command(word));
			else if (h->kind == HABIT_OPTION && has_option(cli_run_options, word))
				fail_msg("%s is an option", word);
			else if (h->kind == HABIT_CONTROL && has_control(word))
				fail_msg("%s is a command", word);
			else if (h->kind == HABIT_SECTION && has_section(word))
				fail_msg("%s is a section", word);
			else if (h->kind == HABIT_KEY)
				assert_true(sscanf(word, "%15[a-z].%31[a-z_]", section, key) == 2 &&
					    !schema_find(section, key));
			for (size_t i = 0; h->kind == HABIT_STREAM && stream_kind_name(i, &form);
			     i++)
				assert_string_not_equal(stream_kind_name(i, &form), word);
		}
	}
	assert_null(habit(HABIT_COMMAND, ""));
	assert_null(habit(HABIT_COMMAND, "ru"));
	assert_null(habit(HABIT_COMMAND, "run|start"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(remedies_exist),
		cmocka_unit_test(options_of_devices_exist),
		cmocka_unit_test(words_are_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
