/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Candidates for the completion of a word. Functions that offer something print the candidates that
 * begin with the word, as completion.c describes them, to stdout.
 */
#ifndef CLI_OFFER_H
#define CLI_OFFER_H

#include "config/config.h"

struct completion {
	char **words; /* of the line without the program; count words */
	int count;
	const char *word; /* the last word, which is completed */
	struct config config;
	bool restored; /* config is from a snapshot */
};

/* Offers prefix, name and suffix as one word. help may be NULL. */
void offer_word(const struct completion *completion, const char *prefix, const char *name,
		const char *suffix, const char *help);
/*
 * Offers the values that a placeholder in the help stands for: "FILE", "[full|diff]". prefix is the
 * part of the word before the value, like "--set=".
 */
void offer_value(const struct completion *completion, const char *prefix, const char *kind);

#endif
