/* SPDX-License-Identifier: BSD-2-Clause */
/* MSI and MSI-X of a PCI function: PCI Express 5.0, 6.1.4 and 7.7. */
#include <stdlib.h>

#include "base/mutant.h"
#include "pci/function_parts.h"

/* Offsets in the capability of MSI with 64-bit addresses and masks. */
enum { MSI_CONTROL = 2, MSI_ADDRESS = 4, MSI_DATA = 12, MSI_MASK = 16, MSI_PENDING = 20 };
#define MSI_BYTES 24
#define MSI_ENABLE 1u
enum { MSIX_CONTROL = 2, MSIX_TABLE = 4, MSIX_PBA = 8 };
#define MSIX_BYTES 12
#define MSIX_ENABLE (1u << 15)
#define MSIX_MASK_ALL (1u << 14)
#define ENTRY_BYTES 16u

static uint32_t
control(const struct pci_function *f, uint32_t capability)
{
	return capability ? pci_get(f->config, capability + 2, 2) : 0;
}

static bool
msix_on(const struct pci_function *f)
{
	return control(f, f->msix) & MSIX_ENABLE;
}

static bool
msi_on(const struct pci_function *f)
{
	return control(f, f->msi) & MSI_ENABLE;
}

bool
pci_messages_enabled(const struct pci_function *f)
{
	return msix_on(f) || msi_on(f);
}

int
pci_function_msix(struct pci_function *f, uint32_t vectors, uint32_t table_bar,
		  uint32_t table_offset, uint32_t pba_bar, uint32_t pba_offset)
{
	uint8_t bytes[MSIX_BYTES] = { 0 }, writable[MSIX_BYTES] = { 0 };

	if (f->msix || !vectors || vectors > PCI_VECTORS_MAX || table_offset & 7 || pba_offset & 7)
		return -1;
	f->vectors = calloc(vectors, sizeof(*f->vectors));
	if (!f->vectors)
		return -1;
	f->vector_count = vectors;
	for (uint32_t i = 0; i < vectors; i++)
		f->vectors[i].masked = true;
	pci_put(bytes, MSIX_CONTROL, 2, vectors - 1);
	pci_put(writable, MSIX_CONTROL, 2, MSIX_ENABLE | MSIX_MASK_ALL);
	pci_put(bytes, MSIX_TABLE, 4, table_offset | table_bar);
	pci_put(bytes, MSIX_PBA, 4, pba_offset | pba_bar);
	f->msix = pci_function_capability(f, PCI_CAP_MSIX, bytes, writable, sizeof(bytes));
	return f->msix ? 0 : -1;
}

int
pci_function_msi(struct pci_function *f, uint32_t messages)
{
	uint8_t bytes[MSI_BYTES] = { 0 }, writable[MSI_BYTES] = { 0 };

	if (f->msi || !messages || messages > 32 || messages & (messages - 1))
		return -1;
	/* 64-bit addresses, masks, and the logarithm of the number of messages. */
	pci_put(bytes, MSI_CONTROL, 2, 0x180 | (uint32_t)__builtin_ctz(messages) << 1);
	pci_put(writable, MSI_CONTROL, 2, MSI_ENABLE | 7u << 4);
	pci_put(writable, MSI_ADDRESS, 4, 0xfffffffc);
	pci_put(writable, MSI_ADDRESS + 4, 4, 0xffffffff);
	pci_put(writable, MSI_DATA, 2, 0xffff);
	pci_put(writable, MSI_MASK, 4, messages == 32 ? ~0u : (1u << messages) - 1);
	f->msi_count = messages;
	f->msi = pci_function_capability(f, PCI_CAP_MSI, bytes, writable, sizeof(bytes));
	return f->msi ? 0 : -1;
}

/* Returns false if the message stays pending. */
static bool
send(struct pci_function *f, const struct pci_message *message)
{
	if (f->config[PCI_COMMAND] & PCI_BUS_MASTER) {
		bool sent = f->hooks->message(f, message);

		f->waiting |= !sent;
		return sent;
	}
	f->dropped++;
	return true;
}

/* Returns the number of messages that the guest has enabled, at most that of the function. */
static uint32_t
msi_enabled(const struct pci_function *f)
{
	uint32_t enabled = 1u << (control(f, f->msi) >> 4 & 7);

	return enabled > f->msi_count ? f->msi_count : enabled;
}

static bool
send_msi(struct pci_function *f, uint32_t number)
{
	uint32_t low = msi_enabled(f) - 1;
	struct pci_message message = {
		.address = pci_get(f->config, f->msi + MSI_ADDRESS, 4) |
			   (uint64_t)pci_get(f->config, f->msi + MSI_ADDRESS + 4, 4) << 32,
		.data = pci_get(f->config, f->msi + MSI_DATA, 2),
	};

	message.data = (message.data & ~low) | (number & low);
	return send(f, &message);
}

static bool
msix_masked(const struct pci_function *f, uint32_t vector)
{
	return (control(f, f->msix) & MSIX_MASK_ALL) || f->vectors[vector].masked;
}

static void
send_vector(struct pci_function *f, uint32_t vector)
{
	struct pci_vector *v = &f->vectors[vector];

	if (v->pending && !msix_masked(f, vector))
		v->pending = !send(f, &v->message);
}

static void
send_pending_msi(struct pci_function *f)
{
	uint32_t masks;

	if (!msi_on(f) || msix_on(f))
		return;
	masks = pci_get(f->config, f->msi + MSI_MASK, 4);
	for (uint32_t i = 0; i < f->msi_count; i++)
		if (f->msi_pending & ~masks & 1u << i) {
			f->msi_pending &= send_msi(f, i) ? ~(1u << i) : ~0u;
		}
}

static void
send_pending(struct pci_function *f)
{
	f->waiting = false;
	send_pending_msi(f);
	for (uint32_t i = 0; i < f->vector_count && msix_on(f); i++)
		send_vector(f, i);
}

bool
pci_function_notify(struct pci_function *f, uint32_t vector)
{
	bool enabled;

	pthread_mutex_lock(&f->lock);
	if (f->waiting)
		send_pending(f);
	enabled = pci_messages_enabled(f);
	if (msix_on(f) && vector < f->vector_count) {
		f->vectors[vector].pending = true;
		send_vector(f, vector);
	} else if (msi_on(f)) {
		/* A vector that the guest has not enabled shares an enabled one, and its mask. */
		f->msi_pending |= 1u << (vector & (msi_enabled(f) - 1));
		send_pending_msi(f);
	}
	pthread_mutex_unlock(&f->lock);
	return enabled;
}

void
pci_function_resume(struct pci_function *f)
{
	pthread_mutex_lock(&f->lock);
	if (f->waiting && !mutant("pci", "deferred"))
		send_pending(f);
	pthread_mutex_unlock(&f->lock);
}

void
pci_refresh_pending(struct pci_function *f)
{
	if (f->msi)
		pci_put(f->config, f->msi + MSI_PENDING, 4, f->msi_pending);
}

void
pci_messages_changed(struct pci_function *f)
{
	send_pending(f);
}

void
pci_messages_reset(struct pci_function *f)
{
	f->msi_pending = 0;
	for (uint32_t i = 0; i < f->vector_count; i++)
		f->vectors[i] = (struct pci_vector){ .masked = true };
}

/* Returns the entry of an access; NULL if there is none or the access is not aligned. */
static struct pci_vector *
entry_at(const struct pci_function *f, uint32_t offset, uint32_t width)
{
	return offset / ENTRY_BYTES < f->vector_count && !(offset & (width - 1))
		   ? &f->vectors[offset / ENTRY_BYTES]
		   : NULL;
}

uint64_t
pci_msix_read(struct pci_function *f, uint32_t offset, uint32_t width)
{
	const struct pci_vector *v = entry_at(f, offset, width);
	uint32_t entry[4] = { 0 };
	uint64_t value = 0;

	pthread_mutex_lock(&f->lock);
	if (v) {
		entry[0] = (uint32_t)v->message.address;
		entry[1] = (uint32_t)(v->message.address >> 32);
		entry[2] = v->message.data;
		entry[3] = v->masked;
		value = entry[offset % ENTRY_BYTES / 4];
		if (width == 8)
			value |= (uint64_t)entry[offset % ENTRY_BYTES / 4 + 1] << 32;
	}
	pthread_mutex_unlock(&f->lock);
	return value;
}

static void
write_entry(struct pci_vector *v, uint32_t word, uint32_t value)
{
	switch (word) {
	case 0:
		v->message.address = (v->message.address & ~0xffffffffull) | (value & ~3u);
		break;
	case 1:
		v->message.address = (uint32_t)v->message.address | (uint64_t)value << 32;
		break;
	case 2:
		v->message.data = value;
		break;
	default:
		v->masked = value & 1;
	}
}

void
pci_msix_write(struct pci_function *f, uint32_t offset, uint32_t width, uint64_t value)
{
	struct pci_vector *v = entry_at(f, offset, width);

	pthread_mutex_lock(&f->lock);
	if (v) {
		write_entry(v, offset % ENTRY_BYTES / 4, (uint32_t)value);
		if (width == 8)
			write_entry(v, offset % ENTRY_BYTES / 4 + 1, (uint32_t)(value >> 32));
		send_pending(f);
	}
	pthread_mutex_unlock(&f->lock);
}

uint64_t
pci_pba_read(struct pci_function *f, uint32_t offset, uint32_t width)
{
	uint64_t value = 0;

	pthread_mutex_lock(&f->lock);
	for (uint32_t i = 0; i < 8 * width; i++) {
		uint32_t vector = 8 * offset + i;

		if (vector < f->vector_count && f->vectors[vector].pending)
			value |= 1ull << i;
	}
	pthread_mutex_unlock(&f->lock);
	return value;
}
