/* SPDX-License-Identifier: BSD-2-Clause */
/* What several unit tests need of the host. Included after cmocka.h. */
#ifndef UNIT_HOST_H
#define UNIT_HOST_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A group's setup: the process goes to a new folder. */
static inline int
host_enter_folder(void **state)
{
	char folder[] = "/tmp/minivmm-unit-XXXXXX";

	return !mkdtemp(folder) || chdir(folder);
}

/* Its teardown: the folder is removed. */
static inline int
host_leave_folder(void **state)
{
	char *folder = getcwd(NULL, 0), command[256];
	int r;

	if (!folder || chdir("/"))
		return -1;
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	r = system(command);
	free(folder);
	return r;
}

/* Writes a new file. */
static inline void
host_write_file(const char *path, const void *bytes, size_t length)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
}

/* How many descriptors are open; the count includes its own, so only differences tell. */
static inline unsigned
host_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

#endif
