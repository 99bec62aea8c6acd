/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The config: INI text and --set overrides in, one plain, checked struct out. What a plugin's
 * options may hold is not known here: a device's keys stay text, with the place they came from, for
 * the plugin's table to check.
 *
 * The text: [SECTION] or [device NAME], then lines KEY = VALUE that start at column one. A line
 * that begins with ';' or '#' is a comment; in a line, ';' after a blank begins one, so that no
 * value holds " ;". Lines are at most 198 bytes long; blanks around keys and values do not count.
 * Each section is there once and each key once.
 *
 * Paths of what is read (image, plugins) are relative to the folder of the INI file, those of what
 * is written (memory_file, the snapshot) to the current folder, as is all that --set gives.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/record.h"
#include "base/why.h"

/* Where a value came from, for "file:line: " before a message; line 0: not from a line ("--set", a
 * snapshot). file is borrowed: the config's, or a constant. */
struct config_place {
	const char *file;
	unsigned line;
};
#define CONFIG_SET "--set" /* the file of a place that --set is */

struct config_option {
	char *key, *value;
	struct config_place place;
	bool used; /* set by who consumed it; what stays unused is unknown */
};

/* Plain data. */
struct config_device {
	char *name, *plugin;
	struct config_place place, plugin_place;
	struct config_option *options; /* all keys but plugin */
	size_t option_count;
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
enum config_method {                 /* how a running machine is written: see minivmm.ini(5) */
		     METHOD_AUTO,    /* precopy, or fork when that does not catch up */
		     METHOD_PRECOPY, /* however many pages are left for the stop */
		     METHOD_FORK,    /* stop at once */
		     METHOD_PAUSE,   /* stopped until all is written */
};
extern const char *const config_methods[]; /* their names; ended by NULL */
enum config_clock { CONFIG_CLOCK_RESUME, CONFIG_CLOCK_WALL };
enum config_generation { GENERATION_NEW, GENERATION_KEEP };

/*
 * Plain data. Checked, each value and what they say together; but what [vm] memory may lie over is
 * for the machine to check. Beside each member its value when not given.
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
		char *image; /* path, resolved; NULL: none. Never both image and code */
		enum config_format format; /* auto */
		uint64_t at;               /* where memory begins */
		uint8_t *code;             /* decoded hex; NULL: none */
		size_t code_length;
		/* For a kernel of Linux, PVH or multiboot; NULL: none. Never both cmdline and its
		 * file. */
		char *initrd, *cmdline, *cmdline_file;
		char *modules;             /* PATH[:PATH], resolved; not for Linux */
		struct config_place place; /* of image or code */
		struct config_place initrd_place, cmdline_place, cmdline_file_place, modules_place;
	} boot;
	struct {
		enum config_mode mode; /* real */
		struct config_register *registers;
		size_t register_count;
	} cpu;
	struct {                                   /* directs a run; never stored in a snapshot */
		char *at;                          /* a POINT as text; NULL: none */
		char *file;                        /* given if at is */
		enum config_then then;             /* resume */
		enum config_method method;         /* auto */
		enum config_generation generation; /* of a restored machine: new */
		enum config_clock clock;           /* likewise: resume */
		struct config_place place;         /* of at */
	} snapshot;
	struct {              /* likewise */
		char *socket; /* path; NULL: none */
		struct config_place place;
	} control;
	char *plugin_path; /* DIR[:DIR], resolved; NULL: none */
	struct config_device *devices;
	size_t device_count;
	char *file;   /* as given */
	char *folder; /* that paths of what is read are relative to; NULL: the current one */
};

/*
 * Reads and checks a config. overrides: "KEY=VALUE" of --set, applied over it ("vm.memory=1M",
 * "device.serial0.output=file:x"). Every mistake is said, as "FILE:LINE: what, and the nearest
 * thing that is right". Returns 0, or a negative status after the last of them; what was right is
 * in config then all the same, and its member file is set if there was a text to read. The caller
 * frees config in any case. check, or NULL, is given the file's bytes before they are parsed: it
 * returns 0, or -1 with why if they are no config.
 */
typedef int config_check(const char *text, size_t length, struct why *why);
int config_read(struct config *config, const char *path, config_check *check,
		char *const *overrides, size_t override_count);

/* The same for text that is not in a file; name stands for the file's. Relative paths are taken
 * from folder. */
int config_read_text(struct config *config, const char *name, const char *folder, const char *text,
		     size_t length, char *const *overrides, size_t override_count);
/* A config in which nothing is given. */
void config_init(struct config *config);
void config_free(struct config *config);

/*
 * As a snapshot holds it: what [vm] says of the guest, the devices with their options, and the
 * folder of the INI file. What the paths in a loaded config name is for who uses them to trust.
 */
void config_save(const struct config *config, struct record_writer *writer);
/* Into a struct that holds nothing. Checks everything. Returns 0, or -1 with the reason in why; the
 * caller frees config in any case. */
int config_load(struct config *config, const struct record *group, struct why *why);

/* The value of a device's key, or NULL. Marks it used. */
struct config_option *config_option_find(struct config_device *device, const char *key);
struct config_device *config_device_find(struct config *config, const char *name);
/* The name of the device that was most likely meant, or NULL. */
const char *config_device_nearest(const struct config *config, const char *name);
/* Adds a device without plugin and options; NULL: no memory. Invalidates pointers to others. */
struct config_device *config_device_add(struct config *config, const char *name,
					struct config_place place);
/* Sets a key of [snapshot], [control] or [plugins], "SECTION.KEY=VALUE": what directs a run may be
 * said of a loaded config too. Says what is wrong; 0 or a negative status; 1: the text names no
 * such section. */
int config_direct(struct config *config, const char *text);
/* Adds or replaces a key of a device. Returns 0, or -1: no memory. */
int config_option_set(struct config_device *device, const char *key, const char *value,
		      struct config_place place);

/* The path of something to read that the config names there: relative to the config's folder, or to
 * the current one when --set gave it. Malloced; NULL: no memory. */
char *config_resolve(const struct config *config, struct config_place place, const char *path);

/* "configs/x.ini:12" in a buffer of the caller's; the bare file when there is no line. */
const char *config_where(struct config_place place, char *buffer, size_t size);
/* The place of a key's value: "x.ini:3", or "--set vm.memory" for what --set gave. */
const char *config_key_where(struct config_place place, const char *section, const char *key,
			     char *buffer, size_t size);
/* The same for a key of [boot], by its name. */
const char *config_boot_where(const struct config *config, const char *key, char *buffer,
			      size_t size);

#endif
