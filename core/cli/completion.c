/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minivmm completion: prints candidates for the last word of a command line. The shell scripts pass
 * the words and show the result. A candidate is a line "WORD<tab>HELP"; a word that ends in one of
 * = : . is incomplete. The line ":files EXTENSION" asks the shell to complete a file name after the
 * last = or : of the word.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/offer.h"
#include "cli/show.h"
#include "config/config.h"
#include "snapshot/reader.h"
#include "snapshot/restore.h"
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
    "\t\tprintf -v word %q \"${word#\"$cut\"}\"\n"
    "\t\tCOMPREPLY+=(\"$word\")\n"
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

static void
offer_operand(const struct completion *c, const char *usage, int index)
{
	char kind[64];

	if (cli_operand(usage, index, kind, sizeof(kind)))
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
			offer_word(c, "--", o->name, "", o->help);
		else
			offer_word(c, "-", letter, "", o->help);
	}
}

/* Arguments of a command of the control socket. */
static void
offer_ctl_operand(const struct completion *c, const char *name, int index)
{
	if (!strcmp(name, "stats"))
		offer_word(c, "", "--watch", "", "until Ctrl-C");
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
	bool branches = false; /* sockets follow */
	char prefix[64];

	/* Parses the words before the last one. */
	for (int i = command ? 1 : 0; i < c->count - 1; i++) {
		const struct cli_option *o = find_option(options, c->words[i]);
		const char *text = strchr(c->words[i], '=');

		branches |= o && o->id == CLI_BRANCH;
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
	else if (branches)
		offer_value(c, "", "SOCKET");
	else if (command)
		offer_operand(c, command->operands, operands);
	else if (c->count == 1) {
		for (command = cli_commands; command->name; command++)
			if (command->help)
				offer_word(c, "", command->name, "", command->help);
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
