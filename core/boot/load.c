/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads what [boot] names: an image file, flat, ELF or Linux, or code from the config itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "boot/boot.h"
#include "boot/file.h"

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
load_elf(const struct boot_file *file, struct memory *memory, struct boot_entry *entry)
{
	uint8_t *image = malloc(file->length + 1);
	int status;

	if (!image)
		return fail(STATUS_HOST, "reading the image %s: no memory for %llu bytes",
			    file->name, (unsigned long long)file->length);
	status = boot_file_read(file, 0, image, file->length);
	if (!status)
		status = boot_elf(file->name, image, file->length, memory, entry);
	free(image);
	return status;
}

/* What the file is: Linux says so in its setup header, ELF in its first bytes; all else is flat. */
static enum config_format
format_of(const struct boot_file *file)
{
	uint8_t head[1024];
	ssize_t length = pread(file->fd, head, sizeof(head), 0);

	if (length > 0 && boot_is_linux(head, (size_t)length))
		return FORMAT_LINUX;
	if (length >= 4 && !memcmp(head, ELF_MAGIC, 4))
		return FORMAT_ELF;
	return FORMAT_FLAT;
}

static int
load_file(const struct config *config, const char *where, const struct boot_file *file,
	  struct memory *memory, struct boot_entry *entry)
{
	enum config_format format = config->boot.format;
	uint8_t *place;

	if (format == FORMAT_AUTO)
		format = format_of(file);
	if (format != FORMAT_LINUX && (config->boot.initrd || config->boot.cmdline))
		return fail(STATUS_USAGE, "%s: image %s takes no %s: it is no Linux kernel", where,
			    file->name, config->boot.initrd ? "initrd" : "cmdline");
	if (format == FORMAT_LINUX)
		return boot_linux(config, file, memory, entry);
	if (format == FORMAT_ELF)
		return load_elf(file, memory, entry);
	place = flat_place(config, where, file->name, file->length, memory, entry);
	return place ? boot_file_read(file, 0, place, file->length) : -STATUS_USAGE;
}

int
boot_check_image(const struct config *config)
{
	return config->boot.image && access(config->boot.image, R_OK)
		   ? boot_file_missing(config, config->boot.image, "image")
		   : 0;
}

int
boot_load(const struct config *config, struct memory *memory, struct boot_entry *entry)
{
	char buffer[256];
	const char *where = config_where(config->boot.place, buffer, sizeof(buffer));
	struct boot_file file;
	int status;

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
	status = boot_file_open(&file, config->boot.image, "image", config);
	if (status)
		return status;
	status = load_file(config, where, &file, memory, entry);
	boot_file_close(&file);
	return status;
}
