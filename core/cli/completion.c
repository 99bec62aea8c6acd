/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minivmm completion: prints candidates for the last word of a command line. The shell scripts pass
 * the words and show the result. A candidate is a line "WORD<tab>HELP"; a word that ends in one of
 * = : . is incomplete. The line ":files EXTENSION" asks the shell to complete a file name after the
 * last = or : of the word.
 *
 * The placeholder in the help (FILE, CONDITION, DEVICE, ...) selects the candidates of a value.
 * Devices are those of the config or snapshot on the command line; their options come from their
 * plugins.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/show.h"
#include "config/config.h"
#include "config/schema.h"
#include "machine/stop.h"
#include "plugin/plugin.h"
#include "snapshot/reader.h"
#include "snapshot/restore.h"
#include "stream/stream.h"
#include "vm/vm.h"

static const char bash_script[] =
    "# bash completion for minivmm\n"
    "_minivmm()\n"
    "{\n"
    "\tlocal line=${COMP_LINE:0:COMP_POINT} breaks= cut= word help extension name\n"
    "\tlocal -a words names=()\n"
    "\tread -ra words <<<\"$line\"\n"
    "\t[[ $line == *[[:space:]] ]] && words+=('')\n"
    "\tlocal last=${words[-1]} part=${words[-1]##*[=:]}\n"
    "\t# bash replaces what is behind the last of these.\n"
    "\t[[ $COMP_WORDBREAKS == *=* ]] && breaks+==\n"
    "\t[[ $COMP_WORDBREAKS == *:* ]] && breaks+=:\n"
    "\t[[ $breaks ]] && cut=${last%\"${last##*[$breaks]}\"}\n"
    "\tCOMPREPLY=()\n"
    "\twhile IFS=$'\\t' read -r word help; do\n"
    "\t\tif [[ $word == :files* ]]; then\n"
    "\t\t\textension=${word#:files}\n"
    "\t\t\tcompopt -o filenames\n"
    "\t\t\t[[ $extension ]] && mapfile -t names < <(\n"
    "\t\t\t\tcompgen -f -X \"!*.${extension# }\" -- \"$part\"\n"
    "\t\t\t\tcompgen -d -- \"$part\")\n"
    "\t\t\t[[ ${names[*]} ]] || mapfile -t names < <(compgen -f -- \"$part\")\n"
    "\t\t\tfor name in \"${names[@]}\"; do\n"
    "\t\t\t\tname=${last%\"$part\"}$name\n"
    "\t\t\t\tCOMPREPLY+=(\"${name#\"$cut\"}\")\n"
    "\t\t\tdone\n"
    "\t\t\treturn\n"
    "\t\tfi\n"
    "\t\t[[ $word == *[=:.] ]] && compopt -o nospace\n"
    "\t\tCOMPREPLY+=(\"${word#\"$cut\"}\")\n"
    "\tdone < <(\"${words[0]/#\\~/$HOME}\" completion -- \"${words[@]:1}\" 2>/dev/null)\n"
    "}\n"
    "complete -F _minivmm minivmm\n";

static const char zsh_script[] =
    "#compdef minivmm\n"
    "# zsh completion for minivmm\n"
    "_minivmm()\n"
    "{\n"
    "\tlocal line word help\n"
    "\tlocal -a whole open texts open_texts\n"
    "\tfor line in ${(f)\"$(_call_program words ${(qq)words[1]} completion -- \\\n"
    "\t\t\t${(qq)${(@Q)words[2,CURRENT-1]}} ${(qq)PREFIX} 2>/dev/null)\"}; do\n"
    "\t\tif [[ $line == :files* ]]; then\n"
    "\t\t\tcompset -P '*[=:]'\n"
    "\t\t\t_files ${${line#:files}:+-g \"*.${line#:files }(-.)\"}\n"
    "\t\t\treturn\n"
    "\t\tfi\n"
    "\t\tword=${line%%$'\\t'*} help=${line#*$'\\t'}\n"
    "\t\tif [[ $word == *[=:.] ]]; then\n"
    "\t\t\topen+=($word) open_texts+=(\"$word  $help\")\n"
    "\t\telse\n"
    "\t\t\twhole+=($word) texts+=(\"$word  $help\")\n"
    "\t\tfi\n"
    "\tdone\n"
    "\t(( $#open )) && compadd -l -S '' -d open_texts -a open\n"
    "\t(( $#whole )) && compadd -l -d texts -a -- whole\n"
    "}\n"
    "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n"
    "\t_minivmm \"$@\"\n"
    "else\n"
    "\tcompdef _minivmm minivmm\n"
    "fi\n";

struct completion {
	char **words; /* of the line without the program; count words */
	int count;
	const char *word; /* the last word, which is completed */
	struct config config;
	bool restored; /* config is from a snapshot */
};

/* Prints prefix, name and suffix as a candidate if the word is a prefix of them. */
static void
offer(const struct completion *c, const char *prefix, const char *name, const char *suffix,
      const char *help)
{
	size_t length = strlen(c->word);
	char word[512];

	snprintf(word, sizeof(word), "%s%s%s", prefix, name, suffix);
	if (strncmp(word, c->word, length) != 0)
		return;
	printf("%s\t", word);
	if (help)
		show_text(stdout, help, strlen(help));
	putchar('\n');
}

static void
offer_devices(const struct completion *c, const char *prefix, const char *suffix)
{
	for (size_t i = 0; i < c->config.device_count; i++)
		offer(c, prefix, c->config.devices[i].name, suffix, c->config.devices[i].plugin);
}

static void
offer_conditions(const struct completion *c, const char *prefix)
{
	const char *form;
	char output[64];

	for (size_t i = 0; (form = stop_form(i, NULL)); i++) {
		size_t name = strcspn(form, ":");
		char kind[64];

		snprintf(kind, sizeof(kind), "%.*s%s", (int)name, form, form[name] ? ":" : "");
		snprintf(output, sizeof(output), "%soutput:", prefix);
		if (strcmp(kind, "output:") || strncmp(c->word, output, strlen(output)) != 0)
			offer(c, prefix, kind, "", form);
		else
			offer_devices(c, output, ":");
	}
}

static void
offer_levels(const struct completion *c, const char *prefix)
{
	offer(c, prefix, "error", "", "errors only");
	offer(c, prefix, "warn", "", "and warnings");
	offer(c, prefix, "info", "", "and progress");
	offer(c, prefix, "debug", "", "and more");
}

static void
offer_plugins(const struct completion *c, const char *prefix)
{
	struct plugin_path path;

	if (!plugin_path_init(&path, c->config.plugin_path))
		for (size_t i = 0; i < path.count; i++) {
			size_t count;
			char **names = plugin_names(plugin_folder(&path, i), &count);

			for (size_t n = 0; n < count; n++) {
				offer(c, prefix, names[n], "", plugin_folder(&path, i));
				free(names[n]);
			}
			free(names);
		}
	plugin_path_free(&path);
}

static void
offer_values(const struct completion *c, const char *prefix, const char *const *values)
{
	for (size_t i = 0; values && values[i]; i++)
		offer(c, prefix, values[i], "", NULL);
}

static void
offer_files(const char *extension)
{
	printf(":files%s%s\n", *extension ? " " : "", extension);
}

static const char *const bools[] = { "yes", "no", NULL };

/* Completes the value of a key of a section other than [device]. */
static void
offer_schema_value(const struct completion *c, const char *prefix, const char *section,
		   const char *key)
{
	const struct schema_key *row = schema_find(section, key);

	if (!row)
		return;
	if (row->kind == SCHEMA_BOOL)
		offer_values(c, prefix, bools);
	else if (row->kind == SCHEMA_CHOICE)
		offer_values(c, prefix, row->values);
	else if (row->kind == SCHEMA_INPUT || row->kind == SCHEMA_FOLDERS)
		offer_files("");
	else if (!strcmp(section, "snapshot") && !strcmp(key, "at"))
		offer_conditions(c, prefix);
}

static void
offer_streams(const struct completion *c, const char *prefix)
{
	const char *value = c->word + strlen(prefix), *name, *form;

	if (!strncmp(value, "file:", 5) || !strncmp(value, "unix", 4)) {
		if (strchr(value, ':')) {
			offer_files("");
			return;
		}
	}
	for (size_t i = 0; (name = stream_kind_name(i, &form)); i++)
		offer(c, prefix, name, form ? ":" : "", form);
}

static void
offer_option_value(const struct completion *c, const char *prefix, const struct minivmm_option *row)
{
	switch (row->type) {
	case MINIVMM_ENUM:
		offer_values(c, prefix, row->values);
		break;
	case MINIVMM_BOOL:
		offer_values(c, prefix, bools);
		break;
	case MINIVMM_PATH:
		offer_files("");
		break;
	case PLUGIN_STREAM:
		offer_streams(c, prefix);
		break;
	case MINIVMM_IRQ:
		offer(c, prefix, "none", "", row->help);
		break;
	default:
		if (row->initial)
			offer(c, prefix, row->initial, "", row->help);
	}
}

/*
 * Offers the options of a device, or the values of option key. The user has not yet agreed to run
 * code from the config or snapshot, so plugins are loaded by name only, from the host's
 * directories.
 */
static void
offer_device(const struct completion *c, const char *prefix, const struct config_device *device,
	     const char *key)
{
	struct plugin_path path;
	struct plugin plugin = { 0 };
	int r = plugin_path_init(&path, NULL);

	if (!r)
		r = !device->plugin || strchr(device->plugin, '/')
			? -1
			: plugin_load(&plugin, &path, device->plugin, "");
	for (size_t i = 0; !r && i < plugin.all_count; i++) {
		const struct minivmm_option *row = &plugin_option(&plugin, i)->row;

		if (c->restored && !(row->flags & MINIVMM_HOST) && row->type != MINIVMM_PATH)
			continue;
		if (!key)
			offer(c, prefix, row->name, "=", row->help);
		else if (!strcmp(row->name, key))
			offer_option_value(c, prefix, row);
	}
	plugin_unload(&plugin);
	plugin_path_free(&path);
}

/* KEY=VALUE of --set. */
static void
offer_set(const struct completion *c, const char *prefix)
{
	const char *text = c->word + strlen(prefix), *equals = strchr(text, '=');
	char whole[512], section[64] = "", name[64] = "", key[64] = "";

	snprintf(whole, sizeof(whole), "%.*s", equals ? (int)(equals + 1 - c->word) : 0, c->word);
	if (sscanf(text, "device.%63[^.=].%63[^=]", name, key) >= 1 &&
	    strlen(text) > strlen("device.") + strlen(name)) {
		struct config_device *device =
		    config_device_find((struct config *)&c->config, name);

		if (!equals)
			snprintf(whole, sizeof(whole), "%sdevice.%s.", prefix, name);
		if (device)
			offer_device(c, whole, device, equals ? key : NULL);
		return;
	}
	if (equals) {
		if (sscanf(text, "%63[^.=].%63[^=]", section, key) == 2)
			offer_schema_value(c, whole, section, key);
		return;
	}
	for (const struct schema_key *row = schema; row->section; row++) {
		bool directs = !strcmp(row->section, "snapshot") ||
			       !strcmp(row->section, "control") || !strcmp(row->section, "plugins");

		snprintf(name, sizeof(name), "%s.%s", row->section, row->name);
		if (directs || !c->restored)
			offer(c, prefix, name, "=", row->help);
	}
	snprintf(whole, sizeof(whole), "%sdevice.", prefix);
	offer_devices(c, whole, ".");
}

static void
offer_ctl_commands(const struct completion *c)
{
	for (const struct command_row *row = vm_commands; row->name; row++)
		offer(c, "", row->name, "", row->help);
	offer(c, "", "help", "", "list the commands");
	offer(c, "", "stats", "", "exits and accesses per second");
}

/* Completes a value by its placeholder: "FILE", "[full|diff]". */
static void
offer_value(const struct completion *c, const char *prefix, const char *kind)
{
	static const struct {
		const char *kind, *extension;
	} files[] = {
		{ "CONFIG", "ini" },
		{ "SNAPSHOT", "snap" },
		{ "FILE", "" },
		{ "SOCKET", "sock" },
	};
	char name[64], *rest = name, *choice;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(kind + (*kind == '['), ".]"),
		 kind + (*kind == '['));
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (!strcmp(name, files[i].kind))
			offer_files(files[i].extension);
	if (!strcmp(name, "KEY=VALUE"))
		offer_set(c, prefix);
	else if (!strcmp(name, "CONDITION"))
		offer_conditions(c, prefix);
	else if (!strcmp(name, "LEVEL"))
		offer_levels(c, prefix);
	else if (!strcmp(name, "DEVICE"))
		offer_devices(c, prefix, "");
	else if (!strcmp(name, "PLUGIN"))
		offer_plugins(c, prefix);
	else if (!strcmp(name, "COMMAND"))
		offer_ctl_commands(c);
	else if (strchr(name, '|'))
		while ((choice = strsep(&rest, "|")))
			offer(c, prefix, choice, "", NULL);
}

/*
 * Copies the operand with that index of a usage like "SNAPSHOT... -o FILE" into buffer. Options and
 * their values are not operands. Returns false if there are fewer operands.
 */
static bool
operand(const char *usage, int index, char *buffer, size_t size)
{
	bool value = false;

	*buffer = '\0';
	for (const char *at = usage; *(at += strspn(at, " "));) {
		size_t length = strcspn(at, " ");
		bool option = *at == '-' || !strncmp(at, "[-", 2);

		if (!option && !value) {
			snprintf(buffer, size, "%.*s", (int)length, at);
			if (!index-- || strstr(buffer, "..."))
				return true;
		}
		value = option && at[length - 1] != ']';
		at += length;
	}
	return false;
}

static void
offer_operand(const struct completion *c, const char *usage, int index)
{
	char kind[64];

	if (operand(usage, index, kind, sizeof(kind)))
		offer_value(c, "", kind);
}

/* The option of a word like "--set", "--set=..." or "-c", or NULL. */
static const struct cli_option *
find_option(const struct cli_option *options, const char *word)
{
	for (const struct cli_option *o = options; o->id; o++) {
		size_t length = o->name ? strlen(o->name) : 0;

		if (length && !strncmp(word, "--", 2) && !strncmp(word + 2, o->name, length) &&
		    (!word[2 + length] || word[2 + length] == '='))
			return o;
		if (*word == '-' && word[1] == o->id && !word[2])
			return o;
	}
	return NULL;
}

static void
offer_options(const struct completion *c, const struct cli_option *options)
{
	char letter[2] = "";

	for (const struct cli_option *o = options; o->id; o++) {
		*letter = o->id < CLI_SET ? (char)o->id : '\0';
		if (o->name)
			offer(c, "--", o->name, "", o->help);
		else
			offer(c, "-", letter, "", o->help);
	}
}

/* Arguments of a command of the control socket. */
static void
offer_ctl_operand(const struct completion *c, const char *name, int index)
{
	if (!strcmp(name, "stats"))
		offer(c, "", "--watch", "", "until Ctrl-C");
	for (const struct command_row *row = vm_commands; row->name; row++)
		if (!strcmp(row->name, name))
			offer_operand(c, row->usage + strlen(name), index);
}

/* Reads the config or snapshot on the command line. Ignores its errors. */
static void
read_machine(struct completion *c, const struct cli_option *option, const char *value)
{
	struct snapshot snapshot;
	struct stat st;

	if (stat(value, &st) || !S_ISREG(st.st_mode)) /* reading a pipe would wait for a writer */
		return;
	config_free(&c->config);
	c->config = (struct config){ 0 };
	c->restored = option->id == 'r';
	if (!c->restored)
		config_read(&c->config, value, NULL, NULL, 0);
	else {
		if (!snapshot_open(&snapshot, value))
			snapshot_config(&snapshot, &c->config);
		snapshot_close(&snapshot);
	}
}

static void
complete(struct completion *c)
{
	const struct cli_command *command = c->count > 1 ? cli_command(c->words[0]) : NULL;
	const struct cli_option *options = command ? command->options : cli_run_options,
				*value = NULL;
	const char *ctl = NULL, *equals;
	int operands = 0, ctl_operands = 0;
	char prefix[64];

	/* Parses the words before the last one. */
	for (int i = command ? 1 : 0; i < c->count - 1; i++) {
		const struct cli_option *o = find_option(options, c->words[i]);
		const char *text = strchr(c->words[i], '=');

		if (o && o->value && !text) {
			if (i + 2 == c->count)
				value = o;
			else
				text = c->words[++i] - 1;
		}
		if (o && text && (o->id == 'c' || o->id == 'r'))
			read_machine(c, o, text + 1);
		if (o || *c->words[i] == '-')
			continue;
		if (++operands == 2)
			ctl = c->words[i];
		ctl_operands += operands > 2;
	}
	if (value) {
		offer_value(c, "", value->value);
		return;
	}
	equals = strncmp(c->word, "--", 2) ? NULL : strchr(c->word, '=');
	value = equals ? find_option(options, c->word) : NULL;
	if (value && value->value) {
		snprintf(prefix, sizeof(prefix), "--%s=", value->name);
		offer_value(c, prefix, value->value);
	} else if (command && command->run == cli_ctl && ctl)
		offer_ctl_operand(c, ctl, ctl_operands);
	else if (*c->word == '-')
		offer_options(c, options);
	else if (command)
		offer_operand(c, command->operands, operands);
	else if (c->count == 1) {
		for (command = cli_commands; command->name; command++)
			if (command->help)
				offer(c, "", command->name, "", command->help);
		offer_options(c, options);
	} else
		offer_options(c, options);
}

int
cli_completion(int argc, char **argv)
{
	struct completion c = { .words = argv + 2, .count = argc - 2 };

	if (argc == 2 && !strcmp(argv[1], "--help"))
		cli_help("completion");
	else if (argc == 2 && !strcmp(argv[1], "bash"))
		fputs(bash_script, stdout);
	else if (argc == 2 && !strcmp(argv[1], "zsh"))
		fputs(zsh_script, stdout);
	else if (argc > 2 && !strcmp(argv[1], "--")) {
		c.word = argv[argc - 1];
		complete(&c);
		config_free(&c.config);
	} else
		return -fail(STATUS_USAGE, "completion: use minivmm completion bash, or zsh");
	return -show_end(stdout);
}
