/* SPDX-License-Identifier: BSD-2-Clause */
/* The texts of a device's options and the members that they set. Shared by the files of the module.
 */
#ifndef DEVICE_DEVICE_VALUES_H
#define DEVICE_DEVICE_VALUES_H

#include "device/device.h"

/* The text of an option from the config, or its initial value. */
struct option_text {
	const char *text; /* NULL: not given, and no initial value */
	struct config_place place;
	bool by_user; /* from the config */
};

/* Returns the text of an option. It borrows from the config and the plugin. */
struct option_text device_option_text(struct device *device, const struct minivmm_option *row);
/* Logs "PLACE: device NAME: OPTION " and the formatted text. Returns -STATUS_USAGE. */
__attribute__((format(printf, 4, 5))) int device_option_error(struct device *device,
							      const struct minivmm_option *row,
							      struct config_place place,
							      const char *format, ...);
/* Parses a number of any number type and checks the limits of the row and of the type. Returns 0 or
 * a negative status, logged. */
int device_option_number(struct device *device, const struct minivmm_option *row,
			 const struct option_text *given, uint64_t *value);
/* Returns the path to open, malloced; NULL: no memory. A path from the config is relative to the
 * config, an initial value to the current folder; a URI is unchanged. */
char *device_option_resolve(struct device *device, const char *path,
			    const struct option_text *given);
/* Is it a path that depends on a directory, and no URI? */
bool device_option_relative(const char *path);
/* Refuses a host resource that is named in a snapshot, unless --set repeats it or --trust allows
 * it. Returns 0, or -STATUS_SNAPSHOT after logging the error. */
int device_option_check_trust(struct device *device, const struct minivmm_option *row,
			      const struct option_text *given);
/* Parses the text and sets the member. given->text is not NULL. Returns 0 or a negative status,
 * logged. */
int device_option_set(struct device *device, const struct minivmm_option *row,
		      const struct option_text *given);
/* Checks an option that is set against its flags MINIVMM_UNIQUE and MINIVMM_RAW, in device_flags.c.
 * Returns 0 or a negative status, logged. */
int device_option_flags(struct device *device, const struct minivmm_option *row,
			const struct option_text *given);
/* The value of a number option in the state, for the length of a range. */
uint64_t device_option_value(const struct device *device, const char *name);

#endif
