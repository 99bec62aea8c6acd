/* SPDX-License-Identifier: BSD-2-Clause */
/* The data of a command in guest memory: PRP entries and lists (NVM Express 1.4, section 4.3). */
#include "nvme.h"

#define ENTRY 8u /* bytes of a PRP entry */

/* Adds memory, to the last part if that ends here. */
static void
add_part(struct nvme_part *parts, uint32_t *count, uint64_t gpa, uint32_t length)
{
	struct nvme_part *last = *count ? &parts[*count - 1] : NULL;

	if (last && last->gpa + last->length == gpa)
		last->length += length;
	else
		parts[(*count)++] = (struct nvme_part){ gpa, length };
}

/*
 * Adds the pages of a list. It may begin in the middle of a page, and continues in another one:
 * then the last entry of its page is the address of that. Only the first page can be partial, so
 * that each of the others has 511 entries or more: lists that form a loop end with the length.
 */
static uint16_t
add_list(struct minivmm_device *dev, uint64_t list, uint32_t length, struct nvme_part *parts,
	 uint32_t *count)
{
	uint64_t entries[NVME_PAGE / ENTRY];

	if (list % ENTRY)
		return NVME_PRP_OFFSET;
	while (length) {
		uint32_t room = (NVME_PAGE - (uint32_t)(list % NVME_PAGE)) / ENTRY,
			 left = (length + NVME_PAGE - 1) / NVME_PAGE,
			 here = left <= room ? left : room - 1;
		uint32_t read = here < left ? room : here;

		if (minivmm_memory_read(dev, list, entries, read * ENTRY))
			return NVME_TRANSFER_ERROR;
		for (uint32_t i = 0; i < read; i++)
			if (entries[i] % NVME_PAGE)
				return NVME_PRP_OFFSET;
		for (uint32_t i = 0; i < here; i++) {
			uint32_t part = length < NVME_PAGE ? length : NVME_PAGE;

			add_part(parts, count, entries[i], part);
			length -= part;
		}
		list = entries[read - 1];
	}
	return NVME_SUCCESS;
}

uint16_t
nvme_prp(struct minivmm_device *dev, const struct nvme_command *command, uint32_t length,
	 struct nvme_part parts[NVME_PARTS], uint32_t *count)
{
	uint32_t first = NVME_PAGE - (uint32_t)(command->prp1 % NVME_PAGE);

	*count = 0;
	if (command->prp1 % 4)
		return NVME_PRP_OFFSET;
	first = first < length ? first : length;
	if (first)
		add_part(parts, count, command->prp1, first);
	length -= first;
	if (length > NVME_PAGE)
		return add_list(dev, command->prp2, length, parts, count);
	if (length && command->prp2 % NVME_PAGE)
		return NVME_PRP_OFFSET;
	if (length)
		add_part(parts, count, command->prp2, length);
	return NVME_SUCCESS;
}

static uint16_t
copy(struct minivmm_device *dev, const struct nvme_command *command, bool in, uint8_t *bytes,
     uint32_t length)
{
	struct nvme_part parts[NVME_PARTS];
	uint32_t count;
	uint16_t status = nvme_prp(dev, command, length, parts, &count);

	for (uint32_t i = 0; i < count && !status; i++) {
		if (in ? minivmm_memory_read(dev, parts[i].gpa, bytes, parts[i].length)
		       : minivmm_memory_write(dev, parts[i].gpa, bytes, parts[i].length))
			status = NVME_TRANSFER_ERROR;
		bytes += parts[i].length;
	}
	return status;
}

uint16_t
nvme_copy_out(struct minivmm_device *dev, const struct nvme_command *command, const void *bytes,
	      uint32_t length)
{
	return copy(dev, command, false, (uint8_t *)bytes, length);
}

uint16_t
nvme_copy_in(struct minivmm_device *dev, const struct nvme_command *command, void *bytes,
	     uint32_t length)
{
	return copy(dev, command, true, bytes, length);
}
