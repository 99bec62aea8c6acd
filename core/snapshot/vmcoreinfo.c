/* SPDX-License-Identifier: BSD-2-Clause */
/* Recognises the VMCOREINFO note in guest memory, and reads its lines. */
#include "snapshot/vmcoreinfo.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "machine/memory.h"
#include "snapshot/reader.h"

#define START_KERNEL_MAP 0xffffffff80000000ull /* of Linux: the kernel's own addresses */
#define RELEASE "OSRELEASE="
#define RELEASE_MAX 65u /* Linux: __NEW_UTS_LEN, with the NUL */

static const uint8_t name[12] = VMCOREINFO_NAME;

_Static_assert(sizeof(Elf64_Nhdr) + sizeof(name) == VMCOREINFO_HEADER, "name is padded to 4");

bool
vmcoreinfo_begins(const uint8_t *page)
{
	Elf64_Nhdr header;

	if (memcmp(page + sizeof(header), name, sizeof(name)) != 0)
		return false;
	memcpy(&header, page, sizeof(header));
	return header.n_namesz == sizeof(VMCOREINFO_NAME) && header.n_type == 0 &&
	       header.n_descsz > 0 && header.n_descsz <= VMCOREINFO_MAX;
}

const char *
vmcoreinfo_value(const struct vmcoreinfo *info, const char *key)
{
	size_t length = strlen(key);

	for (const char *line = info->text; *line;) {
		const char *end = strchr(line, '\n');

		if (!strncmp(line, key, length))
			return line + length;
		if (!end)
			break;
		line = end + 1;
	}
	return NULL;
}

void
vmcoreinfo_release(const struct vmcoreinfo *info, char *to, size_t size)
{
	const char *release = vmcoreinfo_value(info, RELEASE);
	size_t length = release ? strcspn(release, "\n") : 0;

	length = length < size ? length : size - 1;
	memcpy(to, release ? release : "", length);
	to[length] = '\0';
}

uint64_t
vmcoreinfo_offset(const struct vmcoreinfo *info)
{
	const char *offset = vmcoreinfo_value(info, "KERNELOFFSET=");

	return offset ? strtoull(offset, NULL, 16) : 0;
}

/* Whether the text is lines of printable ASCII that begin with the release. */
static bool
is_text(const struct vmcoreinfo *info)
{
	char release[RELEASE_MAX];

	for (size_t i = 0; i < info->length; i++)
		if (info->text[i] != '\n' && (info->text[i] < ' ' || info->text[i] > '~'))
			return false;
	vmcoreinfo_release(info, release, sizeof(release));
	return !strncmp(info->text, RELEASE, strlen(RELEASE)) && *release &&
	       info->text[info->length - 1] == '\n';
}

/*
 * Whether the kernel's uts_namespace is where the text says, with that release. It is a variable of
 * the kernel image, so its physical address follows from phys_base.
 */
static bool
is_true(const struct vmcoreinfo *info, vmcoreinfo_read *read, const void *context)
{
	const char *symbol = vmcoreinfo_value(info, "SYMBOL(init_uts_ns)=");
	const char *base = vmcoreinfo_value(info, "NUMBER(phys_base)=");
	char release[RELEASE_MAX], there[8 * RELEASE_MAX];

	if (!symbol || !base)
		return false;
	vmcoreinfo_release(info, release, sizeof(release));
	return read(context,
		    strtoull(symbol, NULL, 16) - START_KERNEL_MAP +
			(uint64_t)strtoll(base, NULL, 10),
		    there, sizeof(there)) &&
	       memmem(there, sizeof(there), release, strlen(release));
}

bool
vmcoreinfo_take(struct vmcoreinfo *info, uint64_t gpa, vmcoreinfo_read *read, const void *context)
{
	struct vmcoreinfo found = { .length = 0 };
	uint8_t head[VMCOREINFO_HEADER];
	Elf64_Nhdr header;

	if (!read(context, gpa, head, sizeof(head)) || !vmcoreinfo_begins(head))
		return false;
	memcpy(&header, head, sizeof(header));
	if (!read(context, gpa + sizeof(head), found.text, header.n_descsz))
		return false;
	found.length = header.n_descsz;
	found.text[found.length] = '\0';
	if (!is_text(&found) || !is_true(&found, read, context))
		return false;
	*info = found;
	return true;
}

bool
vmcoreinfo_read_snapshot(const void *context, uint64_t gpa, void *to, size_t length)
{
	const struct snapshot *snapshot = context;

	return snapshot_extent(snapshot, gpa) >= length && snapshot_has(snapshot, gpa) &&
	       !snapshot_read(snapshot, gpa, to, length);
}

bool
vmcoreinfo_find(struct vmcoreinfo *info, const struct snapshot *snapshot)
{
	uint8_t *chunk = malloc(SNAPSHOT_CHUNK);
	bool found = false, more = chunk;

	for (size_t i = 0; i < snapshot->region_count; i++) {
		const struct snapshot_region *region = snapshot_region(snapshot, i);

		for (uint64_t at = 0; at < region->size && more && !found; at += SNAPSHOT_CHUNK) {
			uint64_t left = region->size - at;
			size_t size = left < SNAPSHOT_CHUNK ? left : SNAPSHOT_CHUNK;

			if (snapshot_known_zero(snapshot, region->gpa + at, size))
				continue;
			more = vmcoreinfo_read_snapshot(snapshot, region->gpa + at, chunk, size);
			for (size_t page = 0; page < size && more && !found; page += PAGE_SIZE)
				found = vmcoreinfo_begins(chunk + page) &&
					vmcoreinfo_take(info, region->gpa + at + page,
							vmcoreinfo_read_snapshot, snapshot);
		}
	}
	free(chunk);
	return found;
}

static bool
read_memory(const void *context, uint64_t gpa, void *to, size_t length)
{
	return !memory_read(context, gpa, to, length);
}

bool
vmcoreinfo_find_memory(struct vmcoreinfo *info, const struct memory *memory)
{
	uint8_t head[VMCOREINFO_HEADER];
	bool found = false;

	for (uint32_t i = 0; i < memory->count; i++) {
		const struct memory_region *region = memory_region_at(memory, i);

		for (uint64_t at = 0; at < region->size && !found; at += PAGE_SIZE)
			found = read_memory(memory, region->gpa + at, head, sizeof(head)) &&
				vmcoreinfo_begins(head) &&
				vmcoreinfo_take(info, region->gpa + at, read_memory, memory);
	}
	return found;
}
