/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads a config from a file or from memory and applies --set. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/nearby.h"
#include "config/schema.h"

#define FILE_MAX (1u << 20) /* bytes; a config has a few hundred */

int
config_read_text(struct config *config, const char *name, const char *folder, const char *text,
		 size_t length, char *const *overrides, size_t override_count)
{
	struct ini ini = { .count = 0 };
	int status, r;

	config_init(config);
	config->file = strdup(name);
	if (!config->file)
		return fail_memory("%s", name);
	config->folder = folder && *folder ? strdup(folder) : NULL;
	if (folder && *folder && !config->folder)
		return fail_memory("%s", name);
	status = ini_read(&ini, config->file, text, length);
	for (size_t i = 0; i < override_count && status != -STATUS_HOST; i++) {
		r = config_override(&ini, overrides[i]);
		status = r ? r : status;
	}
	/* After a lack of memory the text is incomplete: checking it would report false errors. */
	r = status == -STATUS_HOST ? status : config_build(config, &ini);
	ini_free(&ini);
	return r ? r : status;
}

/* Reads at most FILE_MAX + 1 bytes into malloced memory. NULL with errno on failure. */
static char *
read_all(int fd, size_t *length)
{
	size_t room = 4096;
	char *text = malloc(room), *more;
	ssize_t n = 1;

	*length = 0;
	while (text && *length <= FILE_MAX && n) {
		if (*length == room) {
			room = 2 * room < FILE_MAX + 1 ? 2 * room : FILE_MAX + 1;
			more = realloc(text, room);
			if (!more)
				break;
			text = more;
		}
		n = read(fd, text + *length, room - *length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && !fcntl(fd, F_SETFL, 0))
			continue; /* a pipe with a writer: wait */
		if (n < 0)
			break;
		*length += (size_t)n;
	}
	if (text && (!n || *length > FILE_MAX))
		return text;
	free(text);
	return NULL;
}

/*
 * Reads a whole file into malloced memory. After reporting an error, returns NULL with the status
 * in *failed.
 */
static char *
read_file(const char *path, config_check *check, size_t *length, int *failed)
{
	int fd = file_open(path, FILE_READ); /* nonblocking: a named pipe may have no writer */
	char *text = NULL;
	struct stat st;
	struct why why;

	*failed = -STATUS_USAGE;
	*length = 0;
	if (fd < 0 || fstat(fd, &st)) {
		int error = errno;

		*failed =
		    fail(status_for(error, STATUS_USAGE), "reading the config %s: %s%s", path,
			 limit_error(error).text, nearby(path, error, "; check the name").text);
	} else if (S_ISDIR(st.st_mode)) {
		fail(STATUS_USAGE, "reading the config %s: it is a directory; name a file in it",
		     path);
	} else if (!(text = read_all(fd, length))) {
		*failed = fail(errno == ENOMEM ? STATUS_HOST : STATUS_USAGE,
			       "reading the config %s: %s", path, limit_error(errno).text);
	} else if (!*length && S_ISFIFO(st.st_mode)) {
		fail(STATUS_USAGE, "reading the config %s: it is a pipe without a writer", path);
	} else if (check && check(text, *length, &why)) {
		fail(STATUS_USAGE, "reading the config %s: %s", path, why.text);
	} else if (*length > FILE_MAX) {
		fail(STATUS_USAGE, "reading the config %s: it exceeds 1 MiB, the limit of a config",
		     path);
	} else {
		*failed = 0;
	}
	if (fd >= 0)
		close(fd);
	if (!*failed)
		return text;
	free(text);
	return NULL;
}

int
config_read(struct config *config, const char *path, config_check *check, char *const *overrides,
	    size_t override_count)
{
	const char *slash = strrchr(path, '/');
	char *text, *folder = NULL;
	size_t length;
	int status;

	config_init(config);
	text = read_file(path, check, &length, &status);
	if (!text)
		return status;
	if (slash) {
		folder = strndup(path, slash == path ? 1 : (size_t)(slash - path));
		if (!folder) {
			free(text);
			return fail_memory("reading the config %s", path);
		}
	}
	status = config_read_text(config, path, folder, text, length, overrides, override_count);
	free(folder);
	free(text);
	return status;
}
