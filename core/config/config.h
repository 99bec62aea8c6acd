/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads INI text and --set overrides into one checked struct. This module does not know plugins'
 * options: a device's keys stay text, with their places, and the plugin's table checks them.
 *
 * Syntax: [SECTION] or [device NAME], then lines KEY = VALUE that start at column one. A line that
 * begins with ';' or '#' is a comment. Within a line, ';' after a blank begins a comment, so that
 * no value contains " ;". Lines have at most 198 bytes. Blanks around keys and values are removed.
 * Duplicate sections and keys are errors.
 *
 * Input paths (image, plugins) are relative to the directory of the INI file. Output paths
 * (memory_file, the snapshot) and all paths from --set are relative to the current directory.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/record.h"
#include "base/why.h"

/*
 * The origin of a value, for "file:line: " in messages. line is 0 if the value comes from --set or
 * from a snapshot. file is borrowed: it belongs to the config or is a constant.
 */
struct config_place {
	const char *file;
	unsigned line;
};
#define CONFIG_SET "--set" /* the file of a place of --set */

struct config_option {
	char *key, *value;
	struct config_place place;
	bool used; /* set by config_option_find; the option is unknown if it stays false */
};

/* Plain data. */
struct config_device {
	char *name, *plugin;
	char *plugin_path; /* absolute; set by config_find_paths(). NULL: not found */
	struct config_place place, plugin_place;
	struct config_option *options; /* all keys but plugin */
	size_t option_count;
};

struct config_module { /* [module NAME]. Plain data. */
	char *name;
	char *file; /* resolved path */
	char *args; /* NULL: none */
	struct config_place place, file_place;
};

struct config_register { /* [cpu] rax = 2 */
	char *name;
	uint64_t value;
	struct config_place place;
};

enum config_mode { MODE_REAL, MODE_PROTECTED, MODE_LONG };
enum config_format {
	FORMAT_AUTO,
	FORMAT_FLAT,
	FORMAT_ELF,
	FORMAT_LINUX,
	FORMAT_MULTIBOOT,
	FORMAT_PVH
};
enum config_then { THEN_RESUME, THEN_EXIT };
enum config_method {                 /* how a live snapshot is written; see minivmm.ini(5) */
		     METHOD_AUTO,    /* precopy; fork if the guest writes too fast */
		     METHOD_PRECOPY, /* always copy the remaining pages during the stop */
		     METHOD_FORK,    /* stop at once and fork */
		     METHOD_PAUSE,   /* stop until all is written */
};
extern const char *const config_methods[]; /* their names; ends with NULL */
enum config_clock { CONFIG_CLOCK_RESUME, CONFIG_CLOCK_WALL };
enum config_on_term { ON_TERM_END, ON_TERM_SAVE };
enum config_generation { GENERATION_NEW, GENERATION_KEEP };

/*
 * The checked config, plain data: each value is valid and the values fit together. Only the machine
 * checks whether [vm] memory overlaps other ranges. The comments give the default of each member.
 */
struct config {
	struct {
		uint64_t memory;           /* bytes, page-aligned, not 0; 64K */
		uint64_t memory_at;        /* guest physical address, page-aligned; 0 */
		char *memory_file;         /* NULL: anonymous */
		uint32_t cpus;             /* 1 */
		bool irqchip;              /* no */
		bool dirty_log;            /* no */
		struct config_place place; /* of memory */
	} vm;
	struct {
		char *image;               /* resolved path; NULL: none. Excludes code */
		enum config_format format; /* auto */
		uint64_t at;               /* start of memory */
		uint8_t *code;             /* decoded hex; NULL: none */
		size_t code_length;
		/*
		 * For Linux, PVH and multiboot kernels; NULL: none. cmdline and cmdline_file
		 * exclude each other.
		 */
		char *initrd, *cmdline, *cmdline_file;
		char *modules;             /* PATH[:PATH], resolved; not for Linux */
		bool mp_table;             /* yes */
		struct config_place place; /* of image or code */
		struct config_place initrd_place, cmdline_place, cmdline_file_place, modules_place;
	} boot;
	struct {
		enum config_mode mode;          /* real; ELF: that of its class */
		struct config_place mode_place; /* file NULL: not given */
		struct config_register *registers;
		size_t register_count;
	} cpu;
	struct {                                   /* settings of a run; never saved */
		char *at;                          /* a stop condition; NULL: none */
		char *file;                        /* set if at is, or on_term is save */
		enum config_on_term on_term;       /* end */
		enum config_then then;             /* resume */
		enum config_method method;         /* auto */
		enum config_generation generation; /* of a restored machine: new */
		enum config_clock clock;           /* of a restored machine: resume */
		struct config_place place;         /* of at */
	} snapshot;
	struct {              /* settings of a run; never saved */
		char *socket; /* path; NULL: none */
		char *name;   /* see base/runtime.h; NULL: none */
		struct config_place place;
	} control;
	char *plugin_path; /* DIR[:DIR], resolved; NULL: none */
	/* Of a PVH or multiboot kernel, behind those of boot.modules; not saved. */
	struct config_module *modules;
	size_t module_count;
	struct config_device *devices;
	size_t device_count;
	struct config_device *tools; /* [tool NAME]; not saved */
	size_t tool_count;
	char *file;        /* as the user gave it */
	char *folder;      /* the base of relative input paths; NULL: the current directory */
	char *folder_path; /* absolute; set by config_find_paths(). NULL: not found */
};

/*
 * Reads and checks a config. overrides: the KEY=VALUE of each --set ("vm.memory=1M",
 * "device.serial0.output=file:x"), which replace values of the file. Prints every error, not only
 * the first, as "FILE:LINE: ERROR" with the nearest valid name. Returns 0, or the negative status
 * of the last error; config then contains the valid values, and its member file is set if the file
 * was read. Call config_free in any case.
 *
 * check, or NULL, inspects the file's bytes before they are parsed. It returns 0, or -1 with the
 * reason in why if they are not a config.
 */
typedef int config_check(const char *text, size_t length, struct why *why);
int config_read(struct config *config, const char *path, config_check *check,
		char *const *overrides, size_t override_count);

/*
 * Reads a config from memory. name replaces the file name in messages. Relative paths are resolved
 * against folder.
 */
int config_read_text(struct config *config, const char *name, const char *folder, const char *text,
		     size_t length, char *const *overrides, size_t override_count);
/* Sets the defaults. */
void config_init(struct config *config);
void config_free(struct config *config);

/*
 * Writes the part of a config that a snapshot contains: the guest's part of [vm], the devices with
 * their options, and the directory of the INI file. The user of a loaded config decides whether to
 * trust its paths.
 */
void config_save(const struct config *config, struct record_writer *writer);
/*
 * Finds the absolute paths that config_save writes, before the machine runs: a save, for which the
 * guest stands, then calls nothing on the host, whose file systems may be slow or gone. Without
 * this call, config_save finds them itself.
 */
void config_find_paths(struct config *config);
/*
 * Loads a saved config into an uninitialised struct and checks everything. Returns 0, or -1 with
 * the reason in why. Call config_free in any case.
 */
int config_load(struct config *config, const struct record *group, struct why *why);

/* Returns a device's option, or NULL. Marks it used. */
struct config_option *config_option_find(struct config_device *device, const char *key);
struct config_device *config_device_find(const struct config *config, const char *name);
/* The name of the most similar device, or NULL. */
const char *config_device_nearest(const struct config *config, const char *name);
/*
 * Adds a device without plugin and options. Invalidates pointers to other devices. NULL: no memory.
 */
struct config_device *config_device_add(struct config *config, const char *name,
					struct config_place place);
/* The same for a tool. */
struct config_device *config_tool_add(struct config *config, const char *name,
				      struct config_place place);
/*
 * Sets a key of [snapshot], [control] or [plugins], given as "SECTION.KEY=VALUE". These settings of
 * a run may also change a loaded config. Reports errors. Returns 0, a negative status, or 1 if the
 * text names another section.
 */
int config_direct(struct config *config, const char *text);
/*
 * config_option_set adds or replaces an option of a device; config_option_add adds one that the
 * device does not have, without a search. Return 0, or -1: no memory.
 */
int config_option_add(struct config_device *device, const char *key, const char *value,
		      struct config_place place);
int config_option_set(struct config_device *device, const char *key, const char *value,
		      struct config_place place);
/* Replaces the value by a malloced one, which the option owns then; its place stays. */
void config_option_replace(struct config_option *option, char *value);

/*
 * Resolves the path of an input that the config names at place: relative to the config's directory,
 * or to the current directory if --set gave it. Malloced; NULL: no memory.
 */
char *config_resolve(const struct config *config, struct config_place place, const char *path);

/* Formats a place as "configs/x.ini:12", or as the bare file name if line is 0. Returns buffer. */
const char *config_where(struct config_place place, char *buffer, size_t size);
/* Formats the place of a key's value: "x.ini:3", or "--set vm.memory" for a value from --set. */
const char *config_key_where(struct config_place place, const char *section, const char *key,
			     char *buffer, size_t size);
/* The same for an option of a device or a tool, which kind names: "x.ini:3" or "--set
 * device.serial0.port". */
const char *config_option_where(struct config_place place, const char *kind, const char *name,
				const char *key, char *buffer, size_t size);
/* Formats the place of a key of [boot]. */
const char *config_boot_where(const struct config *config, const char *key, char *buffer,
			      size_t size);

#endif
