/* SPDX-License-Identifier: BSD-2-Clause */
/* The ranges of the root complex on the bus: config accesses and MSI-X tables. */
#include "machine/layout.h"
#include "pci/complex_parts.h"

static struct pci_complex *
complex_of(struct minivmm_device *dev)
{
	return (struct pci_complex *)dev;
}

static int
ecam_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	*value = pci_root_ecam_read(&complex_of(dev)->root, (uint32_t)a->offset, a->width);
	return 0;
}

static int
ecam_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	pci_root_ecam_write(&complex_of(dev)->root, (uint32_t)a->offset, a->width, (uint32_t)value);
	return 0;
}

static int
ports_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	*value = pci_root_port_read(&complex_of(dev)->root, (uint32_t)a->offset, a->width);
	return 0;
}

static int
ports_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	pci_root_port_write(&complex_of(dev)->root, (uint32_t)a->offset, a->width, (uint32_t)value);
	return 0;
}

static int
msix_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	struct pci_member *member = (struct pci_member *)dev;
	uint32_t at = (uint32_t)a->offset;

	*value = at < member->table_bytes
		     ? pci_msix_read(&member->function, at, a->width)
		     : pci_pba_read(&member->function, at - member->table_bytes, a->width);
	return 0;
}

static int
msix_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct pci_member *member = (struct pci_member *)dev;

	if (a->offset < member->table_bytes)
		pci_msix_write(&member->function, (uint32_t)a->offset, a->width, value);
	return 0;
}

#define CONFIG_WIDTHS (MINIVMM_W8 | MINIVMM_W16 | MINIVMM_W32)
const struct minivmm_range pci_ecam_row = { .space = MINIVMM_MMIO,
					    .length = PCI_ECAM_BYTES,
					    .widths = CONFIG_WIDTHS,
					    .read = ecam_read,
					    .write = ecam_write,
					    .help = "config space" };
const struct minivmm_range pci_ports_row = { .space = MINIVMM_PIO,
					     .length = PCI_PORTS,
					     .widths = CONFIG_WIDTHS,
					     .read = ports_read,
					     .write = ports_write,
					     .help = "config accesses" };
const struct minivmm_range pci_msix_row = { .space = MINIVMM_MMIO,
					    .widths = MINIVMM_W32 | MINIVMM_W64,
					    .read = msix_read,
					    .write = msix_write,
					    .help = "MSI-X table and pending bits" };

void
pci_host_init(struct service_host *host, const char *name, struct bus_gate *gate)
{
	*host = (struct service_host){ .public = { .name = name, .size = sizeof(host->public) },
				       .gate = gate,
				       .plugin = "of PCI" };
}

int
pci_add_range(struct pci_complex *c, struct service_host *host, const struct minivmm_range *row,
	      uint64_t base, uint64_t length)
{
	struct bus_range range = {
		.base = base, .length = length, .device = &host->public, .row = row, .gate = c->gate
	};

	return base == BUS_UNPLACED ? bus_add_unplaced(&c->machine->bus, &range, "pci")
				    : bus_add(&c->machine->bus, &range, "pci");
}
