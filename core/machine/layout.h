/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's physical address map: every address that minivmm chooses for a machine. Devices
 * choose theirs in their options. The layout is a PC's, as far as guests expect one.
 *
 *   0x0000000000  +--------------------------------+
 *                 | flat images, as [boot] at says |
 *        0x00400  | BIOS data area                 | two words, for multiboot kernels
 *        0x06000  | GDT of Linux, or what PVH and  |
 *                 | multiboot kernels are handed   |
 *        0x07000  | boot_params                    | Linux
 *        0x20000  | command line                   | Linux
 *        0x9fc00  +--------------------------------+ reserved from here (a PC's EBDA, VGA and BIOS)
 *        0xe0000  | ACPI: RSDP, tables             |
 *        0xf0000  | ACPI: one page per device      |
 *        0xff000  | reset vector, at 0xffff0       |
 *       0x100000  +--------------------------------+
 *                 | kernels, programs              |
 *                 | modules, initrd                | as high as they go
 *                 | page tables, GDT, TSS          | long mode: the end of the first region
 *     0xc0000000  +--------------------------------+ no memory from here with an irqchip
 *                 | devices                        |
 *     0xfec00000  | IOAPIC                         | no memory from here in any machine
 *     0xfee00000  | LAPIC                          |
 *     0xfffbc000  | KVM's identity map and TSS     | Intel
 *   0x0100000000  +--------------------------------+
 *                 | memory that does not fit below |
 *   0x8000000000  +--------------------------------+ the end of what long mode starts with
 */
#ifndef MACHINE_LAYOUT_H
#define MACHINE_LAYOUT_H

#include "base/why.h"
#include "machine/memory.h"

/* Below 1 MiB. */
#define LAYOUT_BIOS_DATA 0x400u /* IBM PC; boot/multiboot.c */
#define LAYOUT_BIOS_DATA_SIZE 0x100u
#define LAYOUT_LINUX_GDT 0x6000u   /* boot/registers.c: Linux wants selectors that ours lacks */
#define LAYOUT_HANDOVER 0x6000u    /* boot/handover.c: strings and structures of PVH, multiboot */
#define LAYOUT_BOOT_PARAMS 0x7000u /* boot/linux.c: Documentation/arch/x86/boot.rst */
#define LAYOUT_CMDLINE 0x20000u    /* boot/linux.c: up to 64 KiB */
#define LAYOUT_LOW_END 0x9fc00u    /* of RAM; boot/kernel.c: kernels get it in their memory map */
#define LAYOUT_ACPI 0xe0000u       /* boot/acpi.c: kernels search 0xe0000-0xfffff (ACPI 5.2.5.1) */
#define LAYOUT_DEVICE_PAGES 0xf0000u /* the tables' end; device/services.c: a page per device */
#define LAYOUT_DEVICE_PAGES_END 0xff000u
#define LAYOUT_RESET_VECTOR 0xffff0u /* boot/acpi.c: SDM volume 3, 10.1.4, in real mode */
#define LAYOUT_HIGH 0x100000u        /* where RAM goes on, and kernels are loaded */

/* Below 4 GiB. */
#define LAYOUT_HOLE 0xc0000000ull /* a PC's devices: layout_memory; KVM has chips at its end */
#define LAYOUT_IOAPIC 0xfec00000u /* boot/acpi.c (MADT); KVM's IOAPIC_DEFAULT_BASE_ADDRESS */
#define LAYOUT_LAPIC 0xfee00000u  /* boot/acpi.c (MADT); SDM volume 3, 11.4.1 */
/* Three pages; the identity map is the page before, KVM's default (KVM_SET_IDENTITY_MAP_ADDR). */
#define LAYOUT_KVM_TSS 0xfffbd000u /* machine.c */

/* Above 4 GiB. */
#define LAYOUT_ABOVE (1ull << 32)      /* the end of the hole */
#define LAYOUT_LONG_END (512ull << 30) /* boot/registers.c: what one PML4 entry maps */

struct layout_range {
	gpa_t at;
	uint64_t size;
};

/*
 * Where a machine's memory lies: one or two ranges, and how many. With an irqchip, memory that
 * begins at 0 skips the hole. whole: do as versions did that knew no hole, unless the memory would
 * then lie over the interrupt controllers. For their snapshots.
 */
uint32_t layout_memory(struct layout_range memory, bool irqchip, bool whole,
		       struct layout_range pieces[2]);

/* Whether memory can lie there: 0, or -1 with a reason like "would lie over ...". long_mode: vCPUs
 * start in it. */
int layout_check_memory(struct layout_range memory, bool irqchip, bool long_mode, struct why *why);

/*
 * The chips that KVM emulates with an irqchip, in port space and in memory. KVM answers accesses to
 * them itself: a device that lies there never sees one.
 */
struct layout_chip {
	uint32_t space; /* MINIVMM_PIO or MINIVMM_MMIO */
	uint64_t first, last;
	const char *name;
};
/* The chip in a range; NULL: there is none. */
const struct layout_chip *layout_chip_at(uint32_t space, uint64_t base, uint64_t length);

#endif
