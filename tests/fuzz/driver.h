/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile driver for fuzzers that include a virtio device's source: any bytes in memory and
 * registers, with notifications and changes in turn.
 *
 * An input: a byte, the number of records; a byte of flags; the records, 8 bytes each; the contents
 * of memory. Flags: 1: the driver initializes the device correctly; 2: with all offered features;
 * 128: by the PCI transport. The other flags belong to the target.
 */
#ifndef TESTS_FUZZ_DRIVER_H
#define TESTS_FUZZ_DRIVER_H

#include <stdlib.h>
#include <string.h>

#include "../../plugins/common/queue.h"

#define DRIVER_MEMORY 0x4000u
#define DRIVER_RECORD 8u
#define DRIVER_QUEUES 2u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct driver_input {
	const uint8_t *records, *end; /* of the records */
	const uint8_t *memory;
	size_t length; /* of the contents of memory */
	uint8_t flags;
};

static uint8_t driver_memory[DRIVER_MEMORY];
static bool driver_pci; /* the device is in a slot */

static bool
driver_inside(uint64_t gpa, size_t length)
{
	return gpa <= DRIVER_MEMORY && length <= DRIVER_MEMORY - gpa;
}

static int
driver_memory_read(struct minivmm_device *dev, uint64_t gpa, void *to, size_t length)
{
	if (!driver_inside(gpa, length))
		return -1;
	memcpy(to, driver_memory + gpa, length);
	return 0;
}

static int
driver_memory_write(struct minivmm_device *dev, uint64_t gpa, const void *from, size_t length)
{
	if (!driver_inside(gpa, length))
		return -1;
	memcpy(driver_memory + gpa, from, length);
	return 0;
}

static void
driver_log(struct minivmm_device *dev, uint32_t level, const char *text)
{
}

static void
driver_irq(struct minivmm_device *dev, const struct minivmm_irq *irq, uint32_t operation)
{
}

/* The services of a device that are replaced. */
#define DRIVER_SERVICES                                                                            \
	.size = sizeof(struct minivmm_services), .log = driver_log, .irq = driver_irq,             \
	.memory_read = driver_memory_read, .memory_write = driver_memory_write

static void
driver_access(struct minivmm_device *dev, uint64_t offset, uint32_t width, bool write,
	      uint64_t value)
{
	const struct minivmm_access access = { .offset = offset, .width = width };

	if (driver_pci && write)
		virtio_pci_write(dev, &access, value);
	else if (driver_pci)
		virtio_pci_read(dev, &access, &value);
	else if (write)
		virtio_write(dev, &access, value);
	else
		virtio_read(dev, &access, &value);
}

static void
driver_put(struct minivmm_device *dev, uint64_t offset, uint64_t value)
{
	driver_access(dev, offset, 4, true, value);
}

static void
driver_notify(struct minivmm_device *dev, uint32_t queue)
{
	if (driver_pci)
		driver_put(dev, VIRTIO_PCI_NOTIFY + queue * VIRTIO_PCI_NOTIFY_STEP, queue);
	else
		driver_put(dev, VIRTIO_QUEUE_NOTIFY, queue);
}

/* Returns false if the input is too short for its records. */
static bool
driver_input(const uint8_t *data, size_t size, struct driver_input *input)
{
	size_t records = size < 2 ? 0 : data[0] % 32 * DRIVER_RECORD;

	if (size < 2 + records)
		return false;
	*input = (struct driver_input){ .records = data + 2,
					.end = data + 2 + records,
					.memory = data + 2 + records,
					.length = size - 2 - records,
					.flags = data[1] };
	if (input->length > DRIVER_MEMORY)
		input->length = DRIVER_MEMORY;
	return true;
}

static void
driver_negotiate(struct minivmm_device *dev, uint32_t features)
{
	driver_put(dev, VIRTIO_STATUS, 3);
	driver_put(dev, VIRTIO_DRIVER_FEATURES, features & virtio_offered(dev, minivmm_state(dev)));
	driver_put(dev, VIRTIO_DRIVER_FEATURES_SEL, 1);
	driver_put(dev, VIRTIO_DRIVER_FEATURES, 1);
	driver_put(dev, VIRTIO_STATUS, 11);
	for (uint32_t queue = 0; queue < DRIVER_QUEUES; queue++) {
		driver_put(dev, VIRTIO_QUEUE_SEL, queue);
		driver_put(dev, VIRTIO_QUEUE_NUM, 8);
		driver_put(dev, VIRTIO_QUEUE_DESC_LOW, queue * 0x80);
		driver_put(dev, VIRTIO_QUEUE_DRIVER_LOW, 0x400 + queue * 0x100);
		driver_put(dev, VIRTIO_QUEUE_DEVICE_LOW, 0x800 + queue * 0x100);
		driver_put(dev, VIRTIO_QUEUE_READY, 1);
	}
	driver_put(dev, VIRTIO_STATUS, 15);
}

/* Registers of the common configuration: virtio 1.2, section 4.1.4.3. */
static void
driver_negotiate_pci(struct minivmm_device *dev, uint32_t features)
{
	driver_put(dev, 20, 3); /* device_status */
	driver_put(dev, 12, features & virtio_offered(dev, minivmm_state(dev)));
	driver_put(dev, 8, 1);
	driver_put(dev, 12, 1);
	driver_put(dev, 20, 11);
	driver_put(dev, 16, DRIVER_QUEUES); /* config_msix_vector */
	for (uint32_t queue = 0; queue < DRIVER_QUEUES; queue++) {
		driver_put(dev, 22, queue);
		driver_put(dev, 24, 8);
		driver_put(dev, 26, queue);
		driver_put(dev, 32, queue * 0x80);
		driver_put(dev, 40, 0x400 + queue * 0x100);
		driver_put(dev, 48, 0x800 + queue * 0x100);
		driver_put(dev, 28, 1);
	}
	driver_put(dev, 20, 15);
}

/* As the core does: fields have their initial values, and a device in a slot has interrupts. */
static void
driver_attach(struct minivmm_device *dev, bool in_slot)
{
	struct virtio *v = minivmm_state(dev);

	driver_pci = in_slot;
	v->config_vector = VIRTIO_NO_VECTOR;
	memset(v->vectors, 0xff, sizeof(v->vectors));
	v->pin.handle = in_slot;
	for (uint32_t i = 0; in_slot && i <= v->kind->queues; i++)
		v->messages[i].handle = 2 + i;
}

/* Initializes the device up to the first notification, of that queue. */
static void
driver_begin(struct minivmm_device *dev, const struct driver_input *input, uint32_t queue)
{
	uint32_t features = input->flags & 2 ? UINT32_MAX : 0;

	driver_attach(dev, input->flags & 128);
	if (input->flags & 1 && driver_pci)
		driver_negotiate_pci(dev, features);
	else if (input->flags & 1)
		driver_negotiate(dev, features);
	memset(driver_memory, 0, sizeof(driver_memory));
	memcpy(driver_memory, input->memory, input->length);
	driver_notify(dev, queue);
}

/* An access through the capability CFG_PCI: 1 byte of its data. */
static void
driver_window(struct minivmm_device *dev, uint32_t offset, uint32_t width, bool write,
	      uint64_t value)
{
	const struct minivmm_capability *row = virtio_capabilities;
	uint32_t at = 16 + (value >> 32 & 3), word = (uint32_t)value;
	uint8_t bytes[20] = { 0 };

	bytes[4] = value >> 39 & 1; /* the BAR */
	memcpy(bytes + 8, &offset, 4);
	memcpy(bytes + 12, &width, 4);
	memcpy(bytes + 16, &word, 4);
	while (!row->read)
		row++;
	if (write)
		row->written(dev, bytes, at, 1);
	else
		row->read(dev, bytes, at, 1, &word);
}

/*
 * A record: the action by bits (1: write a register, 2 and 4: its width, 8: write memory, 16:
 * notify the queue, 128: by CFG_PCI; the others belong to the target); an address; a value. By PCI,
 * addresses are folded to the beginning of each structure, and 0xffff resets the function.
 */
static void
driver_play(struct minivmm_device *dev, const uint8_t *record)
{
	static const uint32_t widths[] = { 1, 2, 4, 8 };
	uint32_t width = widths[record[0] >> 1 & 3], address = record[1] | (uint32_t)record[2] << 8;
	uint64_t offset = address % (VIRTIO_LENGTH - width + 1), value = 0;
	bool write = record[0] & 1;

	memcpy(&value, record + 3, 5);
	if (record[0] & 8) /* the driver writes memory meanwhile */
		driver_memory_write(dev, offset * 4, &value, width);
	else if (!driver_pci)
		driver_access(dev, offset, width, write, value);
	else if (record[0] & 128)
		driver_window(dev, address, width, write, value);
	else if (address == 0xffff)
		virtio_pci_reset(dev);
	else
		driver_access(dev, address & 0x317f, width, write, value);
	driver_notify(dev, record[0] >> 4 & 1);
	if (virtio_loaded(dev))
		abort(); /* the device's state cannot be loaded again */
}

#endif
