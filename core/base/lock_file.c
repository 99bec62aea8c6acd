/* SPDX-License-Identifier: BSD-2-Clause */
/* Lock files beside the files that they stand for. */
#include "base/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/file_lock.h"

#define TRIES 100 /* another process may remove its lock file between our open and lock */

/* Opens and locks the lock file. Returns 1 if its owner has removed it meanwhile. */
static int
try(struct lock_file *file, struct place *place, const struct lock_file_words *words,
    struct why *why)
{
	int fd = place_open_file(place, O_RDWR | O_CREAT | O_NONBLOCK, 0600), r = -1;
	char owner[FILE_LOCK_PROCESS];
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		why_errno(why, errno, "cannot open its lock file %s", place->name);
	else if (!S_ISREG(st.st_mode) || place_is_trap(place, &st, true))
		why_set(why,
			"its lock file %s belongs to another user or is not a regular "
			"file; remove that or name another %s",
			place->name, words->name);
	else if (st.st_size) /* it is removed at the end, and those of minivmm are empty */
		why_set(why,
			"%s would be its lock file, but is not empty, so it is another "
			"file; rename that or name another %s",
			place->name, words->name);
	else if (file_lock(fd, false))
		why_set(why, "%s %s; stop it or name another %s",
			file_lock_owner(fd, owner, sizeof(owner)), words->uses, words->name);
	else
		r = !place_names(place, &st);
	if (r) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	made_file_set(&file->made, place, &st);
	file->fd = fd;
	return 0;
}

int
lock_file_take(struct lock_file *file, const struct place *of, const struct lock_file_words *words,
	       struct why *why)
{
	struct place place;
	int r = 1;

	*file = (struct lock_file){ .fd = -1 };
	if (place_beside(&place, of, ".lock"))
		return why_errno(why, errno, "cannot open its directory");
	for (int i = 0; i < TRIES && r == 1; i++)
		r = try(file, &place, words, why);
	if (r == 1)
		why_set(why, "other processes use its lock file; name another %s", words->name);
	place_close(&place);
	return r ? -1 : 0;
}

void
lock_file_remove(struct lock_file *file)
{
	made_file_remove(&file->made);
	if (file->fd > 0)
		close(file->fd);
	*file = (struct lock_file){ .fd = -1 };
}
