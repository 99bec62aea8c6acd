/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's physical address map: all addresses that minivmm chooses. Devices take theirs from
 * their options. The map follows a PC's where guests expect that.
 *
 *   0x0000000000  +--------------------------------+
 *                 | flat images, at [boot] at      |
 *        0x00400  | BIOS data area                 | two words, for multiboot kernels
 *        0x06000  | Linux's GDT, or the data for   |
 *                 | PVH and multiboot kernels      |
 *        0x07000  | boot_params                    | Linux
 *        0x20000  | command line                   | Linux
 *        0x9fc00  +--------------------------------+ reserved from here (a PC's EBDA, VGA and BIOS)
 *                 | MP table                       | up to 2 KiB
 *        0xe0000  | ACPI: RSDP, tables             |
 *        0xf0000  | ACPI: one page per device      |
 *        0xff000  | reset vector, at 0xffff0       |
 *       0x100000  +--------------------------------+
 *                 | kernels, programs              |
 *                 | modules, initrd                | as high as possible
 *                 | page tables, GDT, TSS          | long mode: the end of the first region
 *     0xc0000000  +--------------------------------+ with an irqchip, memory skips this to 4 GiB
 *                 | devices                        |
 *     0xfec00000  | IOAPIC                         | no memory from here to 4 GiB
 *     0xfee00000  | LAPIC                          |
 *     0xfffbc000  | KVM's identity map and TSS     | Intel
 *   0x0100000000  +--------------------------------+
 *                 | the rest of memory             |
 *   0x8000000000  +--------------------------------+ the end of the first page tables' map
 */
#ifndef MACHINE_LAYOUT_H
#define MACHINE_LAYOUT_H

#include "base/why.h"
#include "machine/memory.h"

/* Below 1 MiB. */
#define LAYOUT_BIOS_DATA 0x400u /* IBM PC; boot/multiboot.c */
#define LAYOUT_BIOS_DATA_SIZE 0x100u
#define LAYOUT_LINUX_GDT 0x6000u   /* boot/registers.c: with Linux's selectors */
#define LAYOUT_HANDOVER 0x6000u    /* boot/handover.c: strings and structures of PVH, multiboot */
#define LAYOUT_BOOT_PARAMS 0x7000u /* boot/linux.c: Documentation/arch/x86/boot.rst */
#define LAYOUT_CMDLINE 0x20000u    /* boot/linux.c: up to 64 KiB */
#define LAYOUT_LOW_END 0x9fc00u    /* of RAM; boot/kernel.c: kernels get it in their memory map */
#define LAYOUT_MP_TABLE                                                                            \
	0x9fc00u             /* boot/mp_table.c: kernels search the last KiB of RAM below 640 KiB */
#define LAYOUT_ACPI 0xe0000u /* boot/acpi.c: kernels search 0xe0000-0xfffff (ACPI 5.2.5.1) */
#define LAYOUT_DEVICE_PAGES 0xf0000u /* the tables' end; device/services.c: a page per device */
#define LAYOUT_DEVICE_PAGES_END 0xff000u
#define LAYOUT_RESET_VECTOR 0xffff0u /* boot/acpi.c: SDM volume 3, 10.1.4, in real mode */
#define LAYOUT_HIGH 0x100000u        /* RAM continues; kernels are loaded here */

/* Below 4 GiB. */
#define LAYOUT_HOLE 0xc0000000ull /* for devices; KVM's chips are at its end */
/* With a PCI device: ECAM of bus 0, and from its end to the IOAPIC the window for BARs. */
#define LAYOUT_PCI_ECAM 0xe0000000u
#define LAYOUT_PCI_CONFIG 0xcf8u  /* ports of config accesses: PCI Local Bus 3.0, 3.2.2.3.2 */
#define LAYOUT_PCI_PORTS 0x1000u  /* from here on, ports of BARs */
#define LAYOUT_IOAPIC 0xfec00000u /* boot/acpi.c (MADT); KVM's IOAPIC_DEFAULT_BASE_ADDRESS */
#define LAYOUT_LAPIC 0xfee00000u  /* boot/acpi.c (MADT); SDM volume 3, 11.4.1 */
/* Three pages. The page before is the identity map, KVM's default (KVM_SET_IDENTITY_MAP_ADDR). */
#define LAYOUT_KVM_TSS 0xfffbd000u /* machine.c */

/* Above 4 GiB. */
#define LAYOUT_ABOVE (1ull << 32) /* the end of the hole */
#define LAYOUT_PCI_ABOVE_END                                                                       \
	(1ull << 39)                   /* of the window for large BARs, which any CPU reaches      \
					*/
#define LAYOUT_LONG_END (512ull << 30) /* boot/registers.c: one PML4 entry maps this */

struct layout_range {
	gpa_t at;
	uint64_t size; /* bytes */
};

/*
 * Splits the machine's memory into ranges and returns their number, 1 or 2. With an irqchip, memory
 * that begins at 0 skips the hole. no_hole: memory that ends below the interrupt controllers stays
 * one range, as in snapshots of versions without the hole.
 */
uint32_t layout_memory(struct layout_range memory, bool irqchip, bool no_hole,
		       struct layout_range pieces[2]);

/* Checks the place of memory: 0, or -1 with a reason ("would overlap ..."). long_mode: the vCPUs
 * start in long mode. */
int layout_check_memory(struct layout_range memory, bool irqchip, bool long_mode, struct why *why);

/* A chip that KVM emulates with an irqchip. KVM handles accesses to it: a device at the same
 * address never sees one. */
/*
 * The name of a port that every PC has and that stock kernels use without looking first, or NULL.
 * If no device claims it, an access is normal.
 */
const char *layout_pc_port(uint64_t port);

struct layout_chip {
	uint32_t space;       /* MINIVMM_PIO or MINIVMM_MMIO */
	uint64_t first, last; /* port or guest physical address */
	const char *name;
};
/* The chip with this number, from 0; NULL: there are no more. */
const struct layout_chip *layout_chip_number(size_t number);
/* The first chip that overlaps [base, base + length), or NULL. */
const struct layout_chip *layout_chip_at(uint32_t space, uint64_t base, uint64_t length);

#endif
