/* SPDX-License-Identifier: BSD-2-Clause */
/* [snapshot] on_term = save: SIGTERM writes a snapshot, from which a later run continues. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"
#include "vm/vm.h"

#define TRIES 10u /* pauses, of 2 s at most, that a device may refuse */

/* The file to which SIGTERM saves. */
static const char *
file_of(const struct vm *vm)
{
	return vm->own.snapshot.file ? vm->own.snapshot.file : vm->config.snapshot.file;
}

int
vm_lock_saved(struct vm *vm)
{
	static const struct lock_file_words words = { "has it in use", "file" };
	const char *file = file_of(vm);
	struct place place;
	struct why why;
	int fd, r;

	if (vm->saved.fd > 0)
		return 0;
	if (!file || !*file || !vm_descriptor(file, &fd))
		return fail(STATUS_USAGE, "[snapshot] on_term = save needs a file; add "
					  "[snapshot] file = PATH, or --set snapshot.file=PATH");
	if (place_open(&place, file))
		return fail(status_for(errno, STATUS_IO), "[snapshot] file = %s: %s", file,
			    limit_error(errno).text);
	r = lock_file_take(&vm->saved, &place, &words, &why);
	place_close(&place);
	return r ? fail(why_status(&why, STATUS_IO), "[snapshot] file = %s: %s", file, why.text)
		 : 0;
}

/* The section [snapshot] of a restore: only --set can give it. */
static int
read_own(struct vm *vm)
{
	int r = 0;

	config_init(&vm->own);
	for (size_t i = 0; i < vm->source.set_count && r >= 0; i++)
		r = config_direct(&vm->own, vm->source.set[i]);
	return r < 0 ? r : 0;
}

/* Whether the file is a snapshot to continue from. With a config, nobody says --trust: then the
 * file must be ours. */
static int
look(const struct vm *vm, const char *file, bool *found)
{
	struct stat st;

	*found = !stat(file, &st);
	if (!*found && errno != ENOENT)
		return fail(status_for(errno, STATUS_IO), "cannot read snapshot %s: %s", file,
			    limit_error(errno).text);
	*found = *found && st.st_size; /* an empty file is replaced, as by any snapshot */
	if (*found && vm->source.config && st.st_uid != geteuid() && st.st_uid)
		return fail(STATUS_SNAPSHOT,
			    "snapshot %s belongs to another user; restore it with -r, and --trust "
			    "if you trust it",
			    file);
	return 0;
}

/* Changes the source from a first start to a restore of the file. */
static int
restore(struct vm *vm, const char *file)
{
	struct vm_source *source = &vm->source;
	size_t count = source->parent_count;

	vm->parents = calloc(count + 1, sizeof(*vm->parents));
	if (!vm->parents)
		return fail_memory("the parents of snapshot %s", file);
	for (size_t i = 0; i < count; i++)
		vm->parents[i] = source->parents[i];
	if (source->restore)
		vm->parents[count++] = (char *)source->restore;
	source->parents = vm->parents;
	source->parent_count = count;
	source->restore = file;
	/* It has the host files of this config. */
	source->trust |= source->config != NULL;
	return 0;
}

int
vm_find_saved(struct vm *vm, bool *found)
{
	bool fresh = vm->source.config;
	const char *file;
	int r = fresh ? 0 : read_own(vm);

	file = file_of(vm);
	if (!r && !file)
		return fail(STATUS_USAGE, "--restore-or-start needs [snapshot] file, which names "
					  "the snapshot; add on_term = save, too");
	if (!r)
		r = vm_lock_saved(vm);
	if (!r)
		r = look(vm, file, found);
	if (r || !*found)
		return r;
	if (fresh) {
		vm->own = vm->config;
		vm->config = (struct config){ .device_count = 0 };
	}
	r = restore(vm, file);
	if (!r)
		log_line(MINIVMM_INFO, NULL, "the machine continues from %s", file);
	return r;
}

void
vm_replaces_saved(struct vm *vm)
{
	struct file_id origin = file_identify(vm->source.restore);
	struct file_id file = file_identify(vm->config.snapshot.file);

	if (file_same(&origin, &file))
		capture_replaces(&vm->capture, &vm->snapshot);
}

static bool
poll_save(void *context)
{
	const struct vm *vm = context;
	uint64_t done = 0, total = 0;

	return vm->stop.poll && capture_progress(&vm->capture, &done, &total) &&
	       (total || capture_in_devices(&vm->capture)) &&
	       vm->stop.poll(vm->stop.context, done, total);
}

/* A diff where there is a parent. */
static int
write_saved(struct vm *vm)
{
	struct capture_request request = { .path = vm->config.snapshot.file,
					   .fd = -1,
					   .track = true,
					   .poll = poll_save,
					   .context = vm };
	int r = 0;

	request.diff = capture_can_diff(&vm->capture, request.path);
	r = capture_now(&vm->capture, &request, NULL);
	/* The host may not report which pages have changed: then there is no parent. */
	if (r && request.diff && !capture_can_diff(&vm->capture, request.path)) {
		request.diff = false;
		r = capture_now(&vm->capture, &request, NULL);
	}
	if (vm->stop.poll)
		vm->stop.poll(vm->stop.context, 0, 0);
	return r;
}

void
vm_save_on_term(struct vm *vm)
{
	struct machine *m = &vm->machine;
	int r = -1;

	if (machine_ended(m))
		return;
	vm->patient = true;
	capture_end(&vm->capture); /* a client's: its machine ends */
	for (unsigned i = 0; i < TRIES && r && !machine_ended(m); i++) {
		r = machine_pause(m, PAUSE_SNAPSHOT);
		if (r)
			machine_resume(m, PAUSE_SNAPSHOT);
	}
	if (!r && !machine_ended(m))
		r = write_saved(vm);
	vm->patient = false;
	if (!machine_ended(m)) { /* else the guest was faster, or a failed pause has ended it */
		vm->saved_status = r ? -r : STATUS_AGAIN;
		if (!r)
			log_line(MINIVMM_INFO, NULL,
				 "SIGTERM: snapshot written to %s; --restore-or-start continues "
				 "from it",
				 vm->config.snapshot.file);
		machine_end(m, CAUSE_SIGNAL, SIGTERM);
	}
	machine_resume(m, PAUSE_SNAPSHOT);
}
