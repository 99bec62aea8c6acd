/* SPDX-License-Identifier: BSD-2-Clause */
/* Splits a request into words. */
#include <string.h>

#include "control/control.h"

#define BLANKS " \t\r"

/* Unquotes a word in place. *at: after the opening quote; then after the closing one. */
static int
quoted(char **at, struct why *why)
{
	char *from = *at, *to = *at;

	for (; *from != '"'; *to++ = *from++) {
		if (*from == '\\' && *++from != '"' && *from != '\\')
			return why_set(why, "in quotes, \\ must precede \" or \\");
		if (!*from)
			return why_set(why, "a quote is not closed");
	}
	if (from[1] && !strchr(BLANKS, from[1]))
		return why_set(why, "a blank must follow a closing quote");
	*to = '\0';
	*at = from + 1;
	return 0;
}

int
control_words(char *line, char **words, int *count, struct why *why)
{
	char *at = line;
	int r = 0;

	*count = 0;
	words[0] = NULL;
	while (*(at += strspn(at, BLANKS))) {
		if (*count == CONTROL_WORDS)
			return why_set(why, "more than 512 words");
		if (*at == '"') {
			words[*count] = ++at;
			r = quoted(&at, why);
		} else {
			words[*count] = at;
			at += strcspn(at, BLANKS "\"");
			if (*at == '"')
				r = why_set(
				    why, "a quote inside a word: quote the whole word, and write "
					 "this one as \\\"");
		}
		if (r) {
			words[*count] = NULL;
			return r;
		}
		if (*at)
			*at++ = '\0';
		words[++*count] = NULL;
	}
	return *count ? 0 : why_set(why, "no command; help lists them");
}

void
control_put_word(FILE *out, const char *word)
{
	if (*word && !strpbrk(word, BLANKS "\"")) {
		fputs(word, out);
		return;
	}
	putc('"', out);
	for (; *word; word++) {
		if (*word == '"' || *word == '\\')
			putc('\\', out);
		putc(*word, out);
	}
	putc('"', out);
}
