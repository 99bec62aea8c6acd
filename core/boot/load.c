/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads what [boot] names: an image file, flat or ELF, or code from the config itself. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "boot/boot.h"

#define ELF_MAGIC "\177ELF"

const char *
boot_memory_text(const struct memory *memory, char *buffer, size_t size)
{
	size_t used = 0;

	snprintf(buffer, size, "none");
	for (uint32_t i = 0; i < memory->count && used < size; i++) {
		const struct memory_region *r = &memory->regions[i];

		used += (size_t)snprintf(buffer + used, size - used, "%s0x%llx-0x%llx",
					 i ? ", " : "", (unsigned long long)r->gpa,
					 (unsigned long long)(r->gpa + r->size - 1));
	}
	return buffer;
}

/* The place of a flat image of length bytes, or NULL after an error. */
static uint8_t *
flat_place(const struct config *config, const char *where, const char *what, uint64_t length,
	   const struct memory *memory, struct boot_entry *entry)
{
	uint8_t *place = length ? memory_at(memory, config->boot.at, length) : NULL;
	char text[160];

	if (!length)
		fail(STATUS_USAGE, "%s: %s is empty: there is nothing to run", where, what);
	else if (!place)
		fail(STATUS_USAGE,
		     "%s: %s: %llu bytes at 0x%llx do not fit into memory, which is %s: "
		     "set [vm] memory or [boot] at",
		     where, what, (unsigned long long)length, (unsigned long long)config->boot.at,
		     boot_memory_text(memory, text, sizeof(text)));
	*entry = (struct boot_entry){ .entry = config->boot.at, .end = config->boot.at + length };
	return place;
}

static int
read_all(int fd, uint8_t *to, uint64_t length, const char *name)
{
	for (uint64_t done = 0; done < length;) {
		ssize_t n = pread(fd, to + done, length - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(STATUS_IO, "reading the image %s: %s", name, strerror(errno));
		if (n == 0)
			return fail(STATUS_IO,
				    "reading the image %s: it ended after %llu of %llu bytes: "
				    "is it being written?",
				    name, (unsigned long long)done, (unsigned long long)length);
		done += (uint64_t)n;
	}
	return 0;
}

static int
load_elf(int fd, const char *name, uint64_t length, struct memory *memory, struct boot_entry *entry)
{
	uint8_t *image = malloc(length);
	int status;

	if (!image)
		return fail(STATUS_HOST, "reading the image %s: no memory for %llu bytes", name,
			    (unsigned long long)length);
	status = read_all(fd, image, length, name);
	if (!status)
		status = boot_elf(name, image, length, memory, entry);
	free(image);
	return status;
}

static int
load_open_file(const struct config *config, const char *where, int fd, struct memory *memory,
	       struct boot_entry *entry)
{
	const char *name = config->boot.image;
	enum config_format format = config->boot.format;
	char magic[4] = { 0 };
	struct stat st;
	uint8_t *place;

	if (fstat(fd, &st))
		return fail(STATUS_IO, "%s: image %s: %s", where, name, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(STATUS_USAGE, "%s: image %s is %s, not a file", where, name,
			    S_ISDIR(st.st_mode) ? "a directory" : "a device, pipe or socket");
	if (format == FORMAT_AUTO) {
		bool elf = pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
			   !memcmp(magic, ELF_MAGIC, sizeof(magic));

		format = elf ? FORMAT_ELF : FORMAT_FLAT;
	}
	if (format == FORMAT_ELF)
		return load_elf(fd, name, (uint64_t)st.st_size, memory, entry);
	place = flat_place(config, where, name, (uint64_t)st.st_size, memory, entry);
	return place ? read_all(fd, place, (uint64_t)st.st_size, name) : -STATUS_USAGE;
}

static int
no_image(const struct config *config)
{
	int error = errno;
	char where[256];

	return fail(status_for(error, STATUS_USAGE), "%s: opening the image %s: %s%s",
		    config_where(config->boot.place, where, sizeof(where)), config->boot.image,
		    strerror(error), error == ENOENT ? ": is it built?" : "");
}

int
boot_check_image(const struct config *config)
{
	return config->boot.image && access(config->boot.image, R_OK) ? no_image(config) : 0;
}

int
boot_load(const struct config *config, struct memory *memory, struct boot_entry *entry)
{
	char buffer[256];
	const char *where = config_where(config->boot.place, buffer, sizeof(buffer));
	int fd, status;

	if (config->boot.code) {
		uint8_t *place =
		    flat_place(config, where, "code", config->boot.code_length, memory, entry);

		if (!place)
			return -STATUS_USAGE;
		memcpy(place, config->boot.code, config->boot.code_length);
		return 0;
	}
	if (!config->boot.image) {
		/* What to run may be in the memory's file already. */
		if (config->vm.memory_file) {
			*entry = (struct boot_entry){ .entry = config->boot.at };
			return 0;
		}
		return fail(STATUS_USAGE,
			    "%s: there is nothing to run: give [boot] an image or code",
			    config->file);
	}
	fd = open(config->boot.image, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* it may be a pipe */
	if (fd < 0)
		return no_image(config);
	status = load_open_file(config, where, fd, memory, entry);
	close(fd);
	return status;
}
