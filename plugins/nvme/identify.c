/* SPDX-License-Identifier: BSD-2-Clause */
/* Data that the controller returns: identify (NVM Express 1.4, section 5.15), log pages (5.14). */
#include <stdio.h>
#include <string.h>

#include "nvme.h"

#define SECTOR_LOG2 9u
#define MODEL "minivmm NVMe"
#define FIRMWARE "1.0"
#define UUID_BYTES 16u

enum { IDENTIFY_NAMESPACE, IDENTIFY_CONTROLLER, IDENTIFY_ACTIVE, IDENTIFY_DESCRIPTORS };
enum { LOG_ERRORS = 1, LOG_SMART, LOG_FIRMWARE };
#define RETAIN_EVENT (1u << 15)

static void
put(uint8_t *page, uint32_t at, uint64_t value, uint32_t width)
{
	memcpy(page + at, &value, width);
}

/* ASCII fields are padded with blanks. */
static void
put_text(uint8_t *page, uint32_t at, const char *text, uint32_t width)
{
	memset(page + at, ' ', width);
	memcpy(page + at, text, strnlen(text, width));
}

static const char *
serial(struct minivmm_device *dev)
{
	const struct nvme *n = minivmm_state(dev);

	return *n->serial ? n->serial : dev->name;
}

/* A UUID of version 8 (RFC 9562): the same for the same device, another one for each device of a
 * machine. FNV-1a, twice. */
static void
make_uuid(struct minivmm_device *dev, uint8_t uuid[UUID_BYTES])
{
	const char *const texts[] = { dev->name, serial(dev) };

	for (uint32_t half = 0; half < 2; half++) {
		uint64_t hash = 0xcbf29ce484222325 + half;

		for (uint32_t i = 0; i < 2; i++)
			for (const char *c = texts[i];; c++) {
				hash = (hash ^ (uint8_t)*c) * 0x100000001b3;
				if (!*c)
					break;
			}
		memcpy(uuid + 8 * half, &hash, 8);
	}
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x80);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

/* Linux refuses two controllers with one name. */
static void
put_subsystem(struct minivmm_device *dev, uint8_t *page)
{
	static const uint8_t ends[] = { 4, 6, 8, 10 }; /* a hyphen comes before these bytes */
	uint8_t uuid[UUID_BYTES];
	char *at = (char *)page + 768;
	uint32_t next = 0;

	make_uuid(dev, uuid);
	at += sprintf(at, "nqn.2014-08.org.nvmexpress:uuid:");
	for (uint32_t i = 0; i < UUID_BYTES; i++) {
		if (next < sizeof(ends) && ends[next] == i) {
			*at++ = '-';
			next++;
		}
		at += sprintf(at, "%02x", uuid[i]);
	}
}

/* Figure 247. */
static void
identify_controller(struct minivmm_device *dev, uint8_t *page)
{
	put(page, 0, NVME_PCI_VENDOR, 2);
	put(page, 2, NVME_PCI_VENDOR, 2);
	put_text(page, 4, serial(dev), 20);
	put_text(page, 24, MODEL, 40);
	put_text(page, 64, FIRMWARE, 8);
	put(page, 77, NVME_MDTS, 1);
	put(page, 80, NVME_VERSION, 4);
	put(page, 111, 1, 1);     /* an I/O controller */
	put(page, 256, 0x100, 2); /* doorbell buffer config */
	put(page, 258, 3, 1);     /* abort commands - 1 */
	put(page, 259, NVME_EVENTS - 1, 1);
	put(page, 260, 0x03, 1); /* one firmware slot, for reading only */
	put(page, 261, 0x04, 1); /* log pages from an offset on */
	put(page, 262, NVME_ERRORS - 1, 1);
	put(page, 266, NVME_TEMPERATURE, 2); /* warning, critical */
	put(page, 268, NVME_TEMPERATURE + 10, 2);
	put(page, 512, 0x66, 1); /* log2 of the sizes of entries */
	put(page, 513, 0x44, 1);
	put(page, 516, 1, 4);    /* number of namespaces */
	put(page, 520, 0x0c, 2); /* dataset management, write zeroes */
	put(page, 525, 0x07, 1); /* a write cache; a flush of all namespaces */
	put_subsystem(dev, page);
}

/* Figure 245. */
static void
identify_namespace(struct minivmm_device *dev, uint8_t *page)
{
	const struct nvme *n = minivmm_state(dev);
	uint64_t sectors = n->block.bytes >> SECTOR_LOG2;

	put(page, 0, sectors, 8);
	put(page, 8, sectors, 8);
	put(page, 16, sectors, 8);
	put(page, 33, 0x08, 1); /* write zeroes can deallocate */
	put(page, 99, n->block.readonly, 1);
	put(page, 128 + 2, SECTOR_LOG2, 1);
}

uint16_t
nvme_identify(struct minivmm_device *dev, const struct nvme_command *c)
{
	uint8_t page[NVME_PAGE] = { 0 }, cns = c->cdw10 & 0xff;

	switch (cns) {
	case IDENTIFY_NAMESPACE:
		if (c->nsid != NVME_NAMESPACE && c->nsid != NVME_ALL_NAMESPACES)
			return NVME_INVALID_NAMESPACE;
		identify_namespace(dev, page);
		break;
	case IDENTIFY_CONTROLLER:
		identify_controller(dev, page);
		break;
	case IDENTIFY_ACTIVE: /* those above this one */
		if (c->nsid >= 0xfffffffe)
			return NVME_INVALID_NAMESPACE;
		if (c->nsid < NVME_NAMESPACE)
			put(page, 0, NVME_NAMESPACE, 4);
		break;
	case IDENTIFY_DESCRIPTORS:
		if (c->nsid != NVME_NAMESPACE)
			return NVME_INVALID_NAMESPACE;
		put(page, 0, 3, 1); /* a UUID */
		put(page, 1, UUID_BYTES, 1);
		make_uuid(dev, page + 4);
		break;
	default:
		return NVME_INVALID_FIELD;
	}
	return nvme_copy_out(dev, c, page, sizeof(page));
}

/* Figure 196. */
static void
smart(struct minivmm_device *dev, uint8_t *page)
{
	const struct nvme *n = minivmm_state(dev);
	const uint64_t unit = 1000 * BLOCK_SECTOR, hour = 3600ull * 1000000000u;

	put(page, 1, NVME_TEMPERATURE - 30, 2);
	put(page, 3, 100, 1); /* percent of the spare that is available; the threshold */
	put(page, 4, 10, 1);
	put(page, 32, (n->bytes_read + unit - 1) / unit, 8);
	put(page, 48, (n->bytes_written + unit - 1) / unit, 8);
	put(page, 64, n->reads, 8);
	put(page, 80, n->writes, 8);
	put(page, 112, 1, 8); /* power cycles */
	put(page, 128, minivmm_now(dev) / hour, 8);
	put(page, 160, n->media_errors, 8);
	put(page, 176, n->errors, 8);
}

uint16_t
nvme_log_page(struct minivmm_device *dev, const struct nvme_command *c)
{
	struct nvme *n = minivmm_state(dev);
	uint64_t length = ((uint64_t)(c->cdw11 & 0xffff) << 16 | c->cdw10 >> 16) + 1,
		 from = (uint64_t)c->cdw13 << 32 | c->cdw12;
	uint8_t page[512] = { 0 }, id = c->cdw10 & 0xff;
	uint32_t size = sizeof(page);

	switch (id) {
	case LOG_ERRORS:
		size = sizeof(n->error_log);
		memcpy(page, n->error_log, size);
		break;
	case LOG_SMART:
		if (c->nsid && c->nsid != NVME_ALL_NAMESPACES)
			return NVME_INVALID_FIELD;
		smart(dev, page);
		break;
	case LOG_FIRMWARE:
		put(page, 0, 1, 1);
		put_text(page, 8, FIRMWARE, 8);
		break;
	default:
		return NVME_LOG_PAGE;
	}
	if (from % 4 || from > size)
		return NVME_INVALID_FIELD;
	if (id == LOG_ERRORS && !(c->cdw10 & RETAIN_EVENT))
		n->events_reported = 0;
	length = length * 4 < size - from ? length * 4 : size - from;
	return nvme_copy_out(dev, c, page + from, (uint32_t)length);
}

/* Figure 195. */
void
nvme_log_error(struct minivmm_device *dev, uint32_t sq, const struct nvme_command *c,
	       uint16_t status)
{
	struct nvme *n = minivmm_state(dev);
	uint8_t *entry = n->error_log;

	n->errors++;
	n->media_errors += status >> 8 == 2;
	memmove(entry + NVME_ERROR_BYTES, entry, sizeof(n->error_log) - NVME_ERROR_BYTES);
	memset(entry, 0, NVME_ERROR_BYTES);
	put(entry, 0, n->errors, 8);
	put(entry, 8, sq, 2);
	put(entry, 10, c->cid, 2);
	put(entry, 12, (uint64_t)status << 1, 2);
	put(entry, 14, 0xffff, 2); /* the parameter that is wrong: not reported */
	if (sq) {
		put(entry, 16, (uint64_t)c->cdw11 << 32 | c->cdw10, 8);
		put(entry, 24, c->nsid, 4);
	}
}
