/* SPDX-License-Identifier: BSD-2-Clause */
/* The words of a request. */
#include <string.h>

#include "control/control.h"

#define BLANKS " \t\r"

/* Reads a word in quotes, which *at is behind, into the same place; *at is behind it then. */
static const char *
quoted(char **at)
{
	char *from = *at, *to = *at;

	for (; *from != '"'; *to++ = *from++) {
		if (*from == '\\' && *++from != '"' && *from != '\\')
			return "in quotes, \\ stands before \" or \\ only";
		if (!*from)
			return "a quote is not closed";
	}
	if (from[1] && !strchr(BLANKS, from[1]))
		return "a blank is missing behind a quote";
	*to = '\0';
	*at = from + 1;
	return NULL;
}

const char *
control_words(char *line, char **words, int *count)
{
	const char *wrong = NULL;
	char *at = line;

	*count = 0;
	words[0] = NULL;
	while (*(at += strspn(at, BLANKS))) {
		if (*count == CONTROL_WORDS)
			return "more than 64 words";
		if (*at == '"') {
			words[*count] = ++at;
			wrong = quoted(&at);
		} else {
			words[*count] = at;
			at += strcspn(at, BLANKS "\"");
			if (*at == '"')
				wrong = "a quote inside a word; put quotes around all of it, and "
					"\\\" for this one";
		}
		if (wrong) {
			words[*count] = NULL;
			return wrong;
		}
		if (*at)
			*at++ = '\0';
		words[++*count] = NULL;
	}
	return *count ? NULL : "no command; help lists them";
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
