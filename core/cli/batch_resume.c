/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of batch --resume: the results of earlier runs, to which this one adds. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/json_read.h"
#include "base/limit.h"
#include "base/log.h"
#include "cli/batch.h"

#define LINE_MAX_BYTES ((size_t)8 << 20) /* output: 1 MiB, six bytes for each; and the name */

/* An input by the text of its name, as a reader of its line gets it. */
struct key {
	char *text;   /* malloced; NULL: no memory */
	size_t index; /* in batch->files */
	size_t found; /* lines with this text; counted in the first of equal keys */
	bool done;
};

struct resume {
	struct batch *batch;
	struct key *keys; /* sorted by text, equal ones by index */
	size_t key_count;
	char *line; /* LINE_MAX_BYTES: the bytes that are read, from the beginning of a line on */
	size_t length;
	off_t at;       /* the offset of line in the file */
	uint64_t lines; /* read so far */
};

/* The name as json_text writes it and json_string reads it: bytes that are not UTF-8 change. */
static char *
key_text(const char *name)
{
	char *text = NULL, *key = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	struct json json;
	struct why why;

	if (!out)
		return NULL;
	json_text(out, name, strlen(name));
	if (!fclose(out) && !json_open(text, length, &json, &why))
		key = json_string(&json, &length);
	free(text);
	return key;
}

static int
compare(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int order = strcmp(x->text, y->text);

	return order ? order : (x->index > y->index) - (x->index < y->index);
}

static int
make_keys(struct resume *resume)
{
	const struct batch *batch = resume->batch;
	struct key *keys = calloc(batch->file_count + 1, sizeof(*keys));

	resume->keys = keys;
	if (!keys)
		return fail_memory("the inputs of --resume");
	for (; resume->key_count < batch->file_count; resume->key_count++) {
		keys[resume->key_count] =
		    (struct key){ .text = key_text(batch->files[resume->key_count]),
				  .index = resume->key_count };
		if (!keys[resume->key_count].text)
			return fail_memory("the inputs of --resume");
	}
	qsort(keys, resume->key_count, sizeof(*keys), compare);
	for (size_t i = 1; i < resume->key_count; i++)
		if (!strcmp(keys[i].text, keys[i - 1].text) &&
		    strcmp(batch->files[keys[i].index], batch->files[keys[i - 1].index]))
			return fail(STATUS_USAGE,
				    "batch: --resume cannot tell two inputs apart, whose names "
				    "differ in bytes that are not UTF-8: %s; rename one",
				    batch->files[keys[i].index]);
	return 0;
}

/* A line has this name: one input of the name is done, the next if the name is given again. */
static void
mark(struct resume *resume, const char *text)
{
	size_t low = 0, high = resume->key_count;
	struct key *first;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(resume->keys[middle].text, text) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	first = &resume->keys[low];
	if (low == resume->key_count || strcmp(first->text, text))
		return;
	low += first->found++;
	if (low < resume->key_count && !strcmp(resume->keys[low].text, text))
		resume->keys[low].done = true;
}

/* If the line is a result, marks its input. */
static bool
take_line(struct resume *resume, const char *line, size_t length)
{
	struct json json, file, cause;
	struct why why;
	uint64_t exit;
	char *text;

	if (length < strlen(BATCH_LINE) || memcmp(line, BATCH_LINE, strlen(BATCH_LINE)) ||
	    json_open(line, length, &json, &why) || !json_find(&json, "file", &file) ||
	    !json_find(&json, "cause", &cause) || *cause.at != '"' ||
	    !json_find_u64(&json, "exit", &exit))
		return false;
	text = json_string(&file, &length);
	if (text && strlen(text) == length)
		mark(resume, text);
	free(text);
	return text;
}

static int
foreign(const struct resume *resume)
{
	return fail(STATUS_USAGE,
		    "batch: --resume %s: line %llu is not a result of batch; name another file, or "
		    "remove the line",
		    resume->batch->resume, (unsigned long long)resume->lines);
}

/* Takes the complete lines that are read, and moves the rest to the front. */
static int
take_lines(struct resume *resume)
{
	char *line = resume->line, *end = line + resume->length, *stop;

	while ((stop = memchr(line, '\n', (size_t)(end - line)))) {
		resume->lines++;
		/* An empty line ends one of a worker that was killed. */
		if (stop != line && !take_line(resume, line, (size_t)(stop - line)))
			return foreign(resume);
		line = stop + 1;
	}
	resume->at += line - resume->line;
	resume->length = (size_t)(end - line);
	memmove(resume->line, line, resume->length);
	if (resume->length < LINE_MAX_BYTES)
		return 0;
	resume->lines++;
	return foreign(resume);
}

/* The last line, which has no end: completes it, or removes it. */
static int
repair(const struct resume *resume)
{
	const struct batch *batch = resume->batch;
	size_t begin = strlen(BATCH_LINE);
	struct resume last = *resume;
	int r;

	last.lines++;
	if (!last.length)
		return 0;
	if (take_line(&last, last.line, last.length))
		r = write(batch->out, "\n", 1) == 1 ? 0 : -1;
	else if (memcmp(last.line, BATCH_LINE, last.length < begin ? last.length : begin))
		return foreign(&last);
	else
		r = ftruncate(batch->out, last.at);
	return !r ? 0
		  : fail(status_for(errno, STATUS_IO), "cannot write to %s: %s", batch->resume,
			 limit_error(errno).text);
}

static int
read_lines(struct resume *resume)
{
	const struct batch *batch = resume->batch;
	ssize_t n = 1;
	int r = 0;

	resume->line = malloc(LINE_MAX_BYTES);
	if (!resume->line)
		return fail_memory("the results in %s", batch->resume);
	while (!r && n) {
		n = pread(batch->out, resume->line + resume->length,
			  LINE_MAX_BYTES - resume->length, resume->at + (off_t)resume->length);
		if (n < 0)
			return fail(status_for(errno, STATUS_IO), "cannot read %s: %s",
				    batch->resume, limit_error(errno).text);
		resume->length += (size_t)n;
		r = take_lines(resume);
	}
	return r ? r : repair(resume);
}

/* Removes the inputs that are done from the list. */
static void
skip_done(struct resume *resume)
{
	struct batch *batch = resume->batch;
	size_t left = 0;

	for (size_t i = 0; i < resume->key_count; i++)
		if (resume->keys[i].done) {
			free(batch->files[resume->keys[i].index]);
			batch->files[resume->keys[i].index] = NULL;
		}
	for (size_t i = 0; i < batch->file_count; i++)
		if (batch->files[i])
			batch->files[left++] = batch->files[i];
	batch->before = batch->file_count - left;
	batch->file_count = left;
	if (batch->before)
		log_line(MINIVMM_INFO, NULL,
			 "batch: %s has the results of %zu inputs; %zu are left", batch->resume,
			 batch->before, left);
}

/* An input that is the file of the results would grow while it is read. */
static int
check_inputs(const struct batch *batch)
{
	const char *slash = strrchr(batch->resume, '/'), *name = slash ? slash + 1 : batch->resume;
	struct file_id out = file_identify_fd(batch->out);

	for (size_t i = 0; i < batch->file_count; i++) {
		const char *last = strrchr(batch->files[i], '/');
		struct file_id input;

		if (strcmp(last ? last + 1 : batch->files[i], name))
			continue;
		input = file_identify(batch->files[i]);
		if (file_same(&input, &out))
			return fail(STATUS_USAGE,
				    "batch: --resume %s is an input, too; name a file outside of "
				    "the directory of the inputs",
				    batch->resume);
	}
	return 0;
}

static int
open_results(struct batch *batch)
{
	struct stat st;
	struct why why;

	batch->out = file_open_own(batch->resume, O_APPEND, NULL);
	if (batch->out < 0) {
		file_why(batch->resume, errno, &why);
		return fail(why_status(&why, STATUS_IO), "cannot write the results to %s: %s",
			    batch->resume, why.text);
	}
	if (!fstat(batch->out, &st) && S_ISREG(st.st_mode))
		return 0;
	close(batch->out);
	batch->out = -1;
	return fail(
	    STATUS_USAGE,
	    "batch: --resume %s is not a regular file; leave out --resume to write to a pipe",
	    batch->resume);
}

int
batch_resume(struct batch *batch)
{
	struct resume resume = { .batch = batch };
	int r = open_results(batch);

	if (!r)
		r = check_inputs(batch);
	if (!r)
		r = make_keys(&resume);
	if (!r)
		r = read_lines(&resume);
	if (!r)
		skip_done(&resume);
	for (size_t i = 0; i < resume.key_count; i++)
		free(resume.keys[i].text);
	free(resume.keys);
	free(resume.line);
	return r;
}

int
batch_resume_end(struct batch *batch)
{
	int r = 0;

	if (!batch->resume || batch->out < 0)
		return 0;
	if (fsync(batch->out)) /* what a server has not taken shows now */
		r = fail(status_for(errno, STATUS_IO), "cannot write the results to %s: %s",
			 batch->resume, limit_error(errno).text);
	close(batch->out);
	batch->out = -1;
	return r;
}
