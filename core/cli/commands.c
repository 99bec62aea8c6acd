/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of commands and options, and functions that use it. */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "machine/stop.h"

const struct cli_option cli_run_options[] = {
	{ "config", 'c', "CONFIG", "run the machine that an INI file describes", NULL },
	{ "restore", 'r', "SNAPSHOT", "restore a machine and run it; also - and fd:N",
	  "restore it and run it; --trust: with host files" },
	{ "set", CLI_SET, "KEY=VALUE", "set a key: vm.memory=1M, device.serial0.output=pty",
	  "set a key: vm.memory=1M; --tool gdb: add a tool" },
	{ "until", CLI_UNTIL, "CONDITION", "end there (with --save: after writing the snapshot)",
	  "end there; --timeout TIME (30s): with status 124" },
	{ "save", CLI_SAVE, "FILE", "write a snapshot at the stop condition of --until or --at",
	  "write a snapshot there; with --at, continue" },
	{ "timeout", CLI_TIMEOUT, "TIME", "end after this time (30s), with status 124", "" },
	{ "at", CLI_AT, "CONDITION", "with --save: write the snapshot there and continue", "" },
	{ "branch", CLI_BRANCH, "SOCKET",
	  "with -r, last: run machines that share its memory, as ctl branch",
	  "with -r, last: run machines that share its memory" },
	{ "trust", CLI_TRUST, NULL, "with -r: open host files and sockets that it names", "" },
	{ "tool", CLI_TOOL, "PLUGIN[:KEY=VALUE,...]", "add a tool, such as gdb", "" },
	{ "paused", 'S', NULL, "start paused, until the command resume or a debugger", "" },
	{ "restore-or-start", CLI_RESTORE_OR_START, NULL,
	  "continue from the file of [snapshot], if it exists", "" },
	{ "status", CLI_STATUS, "FILE", "write how the run ended, as a line of JSON",
	  "write how it ended; --registers --trace --symbols" },
	{ "registers", CLI_REGISTERS, NULL, "print the registers at the end", "" },
	{ "check", CLI_CHECK, NULL, "check the config and its plugins, run nothing",
	  "check the config; --log LEVEL: debug; -S: paused" },
	{ "trace", CLI_TRACE, "FILE", "log each port and MMIO access as a line of JSON", "" },
	{ "symbols", CLI_SYMBOLS, "FILE", "name addresses in traces and triple faults", "" },
	{ "log", CLI_LOG, "LEVEL", "error, warn, info, debug", "" },
	{ "help", 'h', NULL, "print the commands and options", "" },
	{ "version", CLI_VERSION, NULL, "print the version", "" },
	{ .id = 0 },
};

static const struct cli_option batch_options[] = {
	{ "restore", 'r', "SNAPSHOT", "the machine; give parents of a diff first", NULL },
	{ "from", CLI_FROM, "SOCKET",
	  "instead of -r: the machine of a control socket, as it is now", NULL },
	{ "input", CLI_INPUT, "DEVICE", "the device that reads the files", NULL },
	{ "list", CLI_LIST, "FILE", "also run the files that its lines name; - is stdin", NULL },
	{ "null", '0', NULL, "with --list: a NUL ends each name, as find -print0 writes", NULL },
	{ "shard", CLI_SHARD, "I/N", "run each N-th input, from the I-th on (1/8 to 8/8)", NULL },
	{ "resume", CLI_RESUME, "FILE", "add the results to a file; skip inputs that have one",
	  NULL },
	{ NULL, 'j', "N", "number of processes; the number of CPUs if not given", NULL },
	{ "until", CLI_UNTIL, "CONDITION", "end a run there, too", NULL },
	{ "timeout", CLI_TIMEOUT, "TIME", "end a run after this time of the VM's clock (500ms)",
	  NULL },
	{ "check", CLI_CHECK, NULL, "compare memory and state with the snapshot after resets",
	  NULL },
	{ "set", CLI_SET, "KEY=VALUE", "as for minivmm -r", NULL },
	{ "trust", CLI_TRUST, NULL, "as for minivmm -r", NULL },
	{ "help", 'h', NULL, "print this", NULL },
	{ .id = 0 },
};

static const struct cli_option ctl_options[] = {
	{ "json", CLI_JSON, NULL, "print the reply as a line of JSON", NULL },
	{ "user", CLI_USER, "USER", "accept a machine of this user (name or number), too", NULL },
	{ "help", 'h', NULL, "print this", NULL },
	{ .id = 0 },
};

static const struct cli_option list_options[] = {
	{ "json", CLI_JSON, NULL, "print a line of JSON", NULL },
	{ "watch", CLI_WATCH, NULL, "print them each second, until Ctrl-C", NULL },
	{ "help", 'h', NULL, "print this", NULL },
	{ .id = 0 },
};

static const struct cli_option inspect_options[] = {
	{ "json", CLI_JSON, NULL, "print the same as JSON", NULL },
	{ "map", CLI_MAP, NULL, "show the use of memory", NULL },
	{ NULL, 'o', "FILE", "with --map: write to a file; NAME.svg is an image", NULL },
	{ "symbols", CLI_SYMBOLS, "FILE", "name rip and the stack: an ELF file or a System.map",
	  NULL },
	{ "dump", CLI_DUMP, "ADDRESS LENGTH", "print memory; also from rip, linear:ADDRESS", NULL },
	{ "help", 'h', NULL, "print this", NULL },
	{ .id = 0 },
};

static const struct cli_option diff_options[] = {
	{ "hex", CLI_HEX, NULL, "print the bytes that differ, side by side", NULL },
	{ "lines", CLI_LINES, "N", "with --hex: at most N lines of bytes (256); 0: all", NULL },
	{ "guest", CLI_GUEST, NULL, "leave out what differs in each snapshot, such as clocks",
	  NULL },
	{ "json", CLI_JSON, NULL, "print the same as JSON", NULL },
	{ "help", 'h', NULL, "print this", NULL },
	{ .id = 0 },
};

static const struct cli_option flatten_options[] = {
	{ NULL, 'o', "FILE", "the file to write", NULL },
	{ "help", 'h', NULL, "print this", NULL },
	{ .id = 0 },
};

static const struct cli_option core_options[] = {
	{ NULL, 'o', "FILE", "the file to write; - is stdout", NULL },
	{ "help", 'h', NULL, "print this", NULL },
	{ .id = 0 },
};

static const struct cli_option plugins_options[] = {
	{ "mdoc", CLI_MDOC, NULL, "print the tables as sections of a manual page", NULL },
	{ "help", 'h', NULL, "print this", NULL },
	{ .id = 0 },
};

static const struct cli_option new_plugin_options[] = {
	{ "pci", CLI_PCI, NULL, "a PCI device: a BAR, a message, DMA", NULL },
	{ "help", 'h', NULL, "print this", NULL },
	{ .id = 0 },
};

static const struct cli_option no_options[] = {
	{ "help", 'h', NULL, "print this", NULL },
	{ .id = 0 },
};

const struct cli_command cli_commands[] = {
	{ "ctl", cli_ctl, "SOCKET COMMAND [ARGUMENT...]", "SOCKET COMMAND",
	  "control a running machine; help lists the commands",
	  "Sends a command to a running machine through its control socket and prints the\n"
	  "reply.\n"
	  "  help               list the commands of the machine\n"
	  "  snapshot - ...     write the snapshot to stdout, and the reply to stderr\n"
	  "  connect DEVICE [PORT]\n"
	  "                     join stdin and stdout with a port of a vsock (connect vsock0 22)\n"
	  "                     or with a serial line (connect serial0)\n"
	  "  stats [--watch]    print exits and accesses per second; --watch: until Ctrl-C\n"
	  "  top                show vCPUs and devices as bars, until Ctrl-C\n"
	  "Exit: 0 done, 1 the machine refused or failed, 113 there was no reply\n",
	  ctl_options },
	{ "list", cli_list, "[SOCKET...]", NULL, "list your machines; tree: which are branches",
	  "Lists the machines that have a name ([control] name), or those of the sockets:\n"
	  "process, parent, state, memory that is shared and that is not, VM time.\n",
	  list_options },
	{ "tree", cli_tree, "[SOCKET...]", NULL, NULL,
	  "Prints the machines of minivmm list; branches stand below their machine.\n",
	  no_options },
	{ "inspect", cli_inspect, "SNAPSHOT...", "SNAPSHOT",
	  "print its contents; --json for programs",
	  "Prints the contents of a snapshot: registers, devices, memory map.\n", inspect_options },
	{ "batch", cli_batch, "-r SNAPSHOT --input DEVICE [FILE...]", "-r SNAPSHOT",
	  "run it for each of many input files; --from SOCKET",
	  "Runs the machine once for each file, which is the input of the device's stream,\n"
	  "and resets the machine in place between the runs. Prints a line of JSON for\n"
	  "each run: cause, exit status, output, times in ns. SIGTERM ends it when the\n"
	  "current runs have ended.\n"
	  "Exit: 0 if all have run, with any results; 110 or 113 if a file could not be\n"
	  "read; 120 after SIGTERM.\n",
	  batch_options },
	{ "diff", cli_diff, "SNAPSHOT SNAPSHOT", "A B", "print the differences of two snapshots",
	  "Prints the differences of two snapshots: registers, device fields, pages.\n"
	  "Exit: 0 there are none, 1 there are some, 2 an error.\n",
	  diff_options },
	{ "flatten", cli_flatten, "SNAPSHOT... -o FILE", "A B -o C",
	  "merge snapshots into one that needs no parent",
	  "Writes the last snapshot as a full one, which needs no parent. It contains all\n"
	  "pages from the other snapshots and from files in their directory.\n",
	  flatten_options },
	{ "core", cli_core, "SNAPSHOT... -o FILE", "A -o C",
	  "write it as a core file for gdb, crash and drgn",
	  "Writes a snapshot as an ELF core file: registers, memory and, for Linux, VMCOREINFO.\n"
	  "Zero pages are holes of the file. SNAPSHOT - is stdin.\n"
	  "  gdb PROGRAM FILE          a guest without an operating system\n"
	  "  crash VMLINUX FILE        Linux; VMLINUX has the kernel's debug symbols\n"
	  "  drgn -c FILE -s VMLINUX\n"
	  "of a running machine: minivmm ctl SOCKET core FILE\n",
	  core_options },
	{ "verify", cli_verify, "SNAPSHOT", NULL, "check every checksum, memory included",
	  "Checks every checksum of a snapshot, memory included.\n", no_options },
	{ "plugins", cli_plugins, "[PLUGIN]", NULL,
	  "list plugins, or print one's options and state",
	  "Lists the plugins and their directories, or prints the options, ranges and state\n"
	  "of one.\n",
	  plugins_options },
	{ "new-plugin", cli_new_plugin, "NAME", NULL,
	  "write NAME.c, a plugin to start from; also --pci",
	  "Writes NAME.c, a small plugin to start from, to the current directory.\n",
	  new_plugin_options },
	{ "doctor", cli_doctor, "[KERNEL]", NULL,
	  "check whether this host can run it; print remedies",
	  "Checks KVM, userfaultfd and the plugin directories, runs code in each mode of the\n"
	  "CPU, boots a Linux kernel (KERNEL, or that of the host), and\n"
	  "prints a remedy for each failure.\n"
	  "Exit: 0 if machines can run here, even if not with Linux; else 111\n",
	  no_options },
	{ "completion", cli_completion, "bash|zsh", NULL, NULL,
	  "Prints a script that completes minivmm's command line. make install installs it.\n"
	  "Otherwise use:\n"
	  "  eval \"$(minivmm completion bash)\"\n",
	  no_options },
	{ .name = NULL },
};

static const char conditions_and_statuses[] =
    " (:N: the Nth time)\n"
    "Exit: 0-99 the guest's, 100 triple fault, 101 KVM error, 110 usage, 111 host,\n"
    "      112 snapshot, 113 I/O. See minivmm(1), minivmm.ini(5). Keys: Ctrl-A h\n";

const struct cli_command *
cli_command(const char *name)
{
	for (const struct cli_command *c = cli_commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

/* Prints the forms of stop conditions, at most 80 columns a line. */
static void
put_conditions(void)
{
	const char *form;
	int column = printf("CONDITION:");
	bool nth;

	for (size_t i = 0; (form = stop_form(i, &nth)); i++) {
		if (column + (int)strlen(form) + (nth ? 4 : 0) >= 80)
			column = printf("\n          ") - 1;
		column += printf(" %s%s", form, nth ? "[:N]" : "");
	}
}

static void
put_run_option(const struct cli_option *o)
{
	const char *value = o->value ? o->value : "";
	char words[64];

	if (o->line && !*o->line)
		return;
	if (o->id < CLI_SET)
		snprintf(words, sizeof(words), "minivmm -%c %s", o->id, value);
	else
		snprintf(words, sizeof(words), "  --%s %s", o->name, value);
	printf("  %-26s %s\n", words, o->line ? o->line : o->help);
}

static void
put_option(const struct cli_option *o)
{
	char words[64], letter[8] = "";

	if (o->id == 'h')
		return;
	if (o->id < CLI_SET)
		snprintf(letter, sizeof(letter), "-%c%s", o->id, o->name ? ", " : "");
	snprintf(words, sizeof(words), "%s%s%s%s%s", letter, o->name ? "--" : "",
		 o->name ? o->name : "", o->value ? " " : "", o->value ? o->value : "");
	printf("  %-22s %s\n", words, o->help);
}

void
cli_help(const char *name)
{
	const struct cli_command *c = name ? cli_command(name) : NULL;
	char words[64];

	if (c) {
		printf("usage: minivmm %s%s%s%s\n%s", c->name,
		       c->options == no_options ? "" : " [OPTION...]", *c->operands ? " " : "",
		       c->operands, c->about);
		for (const struct cli_option *o = c->options; o->id; o++)
			put_option(o);
		return;
	}
	puts("minivmm: a small virtual machine monitor; every device is a plugin");
	for (const struct cli_option *o = cli_run_options; o->id; o++)
		put_run_option(o);
	for (c = cli_commands; c->name; c++) {
		if (!c->help)
			continue;
		snprintf(words, sizeof(words), "minivmm %s %s", c->name,
			 c->line ? c->line : c->operands);
		printf("  %-26s %s\n", words, c->help);
	}
	put_conditions();
	fputs(conditions_and_statuses, stdout);
}

bool
cli_repeats(const struct cli_option *option)
{
	return !option->value || option->id == CLI_SET || option->id == CLI_TOOL ||
	       option->id == 'r';
}

const char *
cli_dash(const struct cli_option *option)
{
	static const struct {
		int id;
		const char *instead;
	} outputs[] = {
		{ CLI_SAVE, "use fd:1" },         { CLI_STATUS, "use /dev/stdout" },
		{ CLI_TRACE, "use /dev/stdout" }, { CLI_RESUME, "leave it out to write to stdout" },
		{ 'o', "name a file" },
	};

	if (option == core_options)
		return NULL;
	for (size_t i = 0; i < sizeof(outputs) / sizeof(*outputs); i++)
		if (outputs[i].id == option->id)
			return outputs[i].instead;
	return NULL;
}

bool
cli_operand(const char *usage, int index, char *buffer, size_t size)
{
	bool value = false;

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
	*buffer = '\0';
	return false;
}
