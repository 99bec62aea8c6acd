/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words that users of QEMU, Firecracker, kvmtool, nbdkit and docker type, with our equivalents.
 * A message about an unknown word ends with its row. tests/unit/habits.c checks that each option,
 * command, key and plugin that a row names exists.
 */
#ifndef BASE_HABITS_H
#define BASE_HABITS_H

enum habit_kind {
	HABIT_COMMAND, /* the first word of a command line */
	HABIT_OPTION,  /* of a run, with its dashes */
	HABIT_CONTROL, /* a command of the control socket */
	HABIT_SECTION, /* of a config */
	HABIT_KEY,     /* SECTION.KEY */
	HABIT_PLUGIN,  /* the name of a plugin; ours: the name of one of ours */
	HABIT_DEVICE,  /* an option of a device; ours: the option, which some plugins have */
	HABIT_VALUE,   /* OPTION=VALUE of a device, where the option is a choice */
	HABIT_STREAM,  /* the kind of a stream: the text before ':' */
};

/* Plain data. */
struct habit {
	enum habit_kind kind;
	const char *theirs; /* words with '|' between them */
	const char *ours;   /* an imperative */
};

extern const struct habit habits[]; /* ends with a row without theirs */

/* Returns our equivalent of a word, or NULL if nobody is known to type it. */
const char *habit(enum habit_kind kind, const char *word);

#endif
