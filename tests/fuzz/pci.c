/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes PCI functions, the root complex and the bus as a hostile driver and a busy device, and the
 * section PCIF with changed bytes. The registers that the guest can read are the model: the bus has
 * what the BARs say, a message goes out once and never while it is masked, the line has its level,
 * and a machine that loads the state reads the same.
 *
 * An input: records of 8 bytes: an action (4 bits) and the width, a function, an offset, a value.
 */
#include "pci_machine.h"

#define RECORD 8u
#define RECORDS_MOST 256u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The model: what follows from the registers. */

static uint32_t
control(struct pci_function *f, uint32_t capability)
{
	return capability ? pci_function_read(f, capability + 2, 2) : 0;
}

static bool
msix_on(struct pci_function *f)
{
	return control(f, f->msix) >> 15;
}

static bool
msi_on(struct pci_function *f)
{
	return control(f, f->msi) & 1;
}

/* Counts the messages that go out now. */
static void
expect_messages(struct pci_function *f)
{
	struct extra *e = extra_of(f);
	bool masters = pci_function_read(f, PCI_COMMAND, 2) & PCI_BUS_MASTER;
	uint32_t sent = 0;

	if (masters && machine_of(f)->paused)
		return;
	if (msix_on(f)) {
		for (uint32_t i = 0; i < f->vector_count; i++)
			if (e->vectors[i] && !(control(f, f->msix) >> 14 & 1) &&
			    !pci_msix_read(f, 16 * i + 12, 4)) {
				e->vectors[i] = false;
				sent++;
			}
	} else if (msi_on(f)) {
		uint32_t now = e->msi & ~pci_function_read(f, f->msi + 16, 4);

		e->msi &= ~now;
		sent = (uint32_t)__builtin_popcount(now);
	}
	e->expected += masters ? sent : 0;
}

static void
expect_notified(struct pci_function *f, uint32_t vector)
{
	struct extra *e = extra_of(f);
	uint32_t enabled = 1u << (control(f, f->msi) >> 4 & 7);

	if (msix_on(f) && vector < f->vector_count)
		e->vectors[vector] = true;
	else if (msi_on(f))
		e->msi |= 1u << vector % (enabled < f->msi_count ? enabled : f->msi_count);
	expect_messages(f);
}

static void
check_messages(struct pci_function *f)
{
	struct extra *e = extra_of(f);

	must(e->sent == e->expected);
	for (uint32_t i = 0; i < f->vector_count; i++)
		must(!(f->vectors[i].message.address & 3));
	for (uint32_t i = 0; i < f->vector_count; i += 64) {
		uint64_t pending = 0;

		for (uint32_t v = i; v < f->vector_count && v < i + 64; v++)
			pending |= (uint64_t)e->vectors[v] << (v - i);
		must(pci_pba_read(f, i / 8, 8) == pending);
	}
	must(!f->msi || pci_function_read(f, f->msi + 20, 4) == e->msi);
}

static void
check_registers(struct pci_function *f)
{
	struct extra *e = extra_of(f);
	uint32_t command = pci_function_read(f, PCI_COMMAND, 2);
	uint32_t status = pci_function_read(f, PCI_STATUS, 2);

	must(pci_function_read(f, PCI_VENDOR, 4) == 0x56781234);
	must(pci_function_read(f, PCI_REVISION, 4) == 0x00ff0000);
	must(!(command & ~(uint32_t)(7 | PCI_NO_INTX)));
	must(status == (PCI_STATUS_LIST | (e->intx ? PCI_STATUS_INTX : 0)));
	must(e->line == (e->intx && !(command & PCI_NO_INTX) && !msix_on(f) && !msi_on(f)));
	must(e->master == !!(command & PCI_BUS_MASTER));
}

/* The address of a BAR that decodes; BUS_UNPLACED: it does not. */
static uint64_t
place_of(struct pci_function *f, uint32_t region)
{
	uint32_t at = region == PCI_ROM ? PCI_ROM_ADDRESS : PCI_BAR0 + 4 * region;
	uint32_t low = pci_function_read(f, at, 4), command = pci_function_read(f, PCI_COMMAND, 2);
	uint64_t high = region == 2 ? pci_function_read(f, at + 4, 4) : 0;

	if (!(command >> (region != 1) & 1) || (region == PCI_ROM && !(low & 1)))
		return BUS_UNPLACED;
	return (high << 32 | low) & ~(region == PCI_ROM ? 2047ull : region == 1 ? 3ull : 15ull);
}

/* The range that has an address, by the rules of bus_place(). */
static const struct bus_range *
expect_found(const struct bus_space *space, uint64_t address)
{
	const struct bus_range *best = NULL;
	bool is_ports = space->ports;

	for (uint32_t i = 0; i < space->count; i++) {
		const struct bus_range *r = &space->ranges[i];
		bool inside = address - r->base < r->length;

		if (r->base == BUS_UNPLACED || address < r->base || (is_ports && !inside))
			continue;
		if (is_ports ? !best || best >= space->ranges + space->fixed
			     : !best || r->base > best->base ||
				   (r->base == best->base && r->length >= best->length))
			best = r;
	}
	return best && address - best->base < best->length ? best : NULL;
}

static void
check_address(struct machine_of_pci *m, uint32_t space, uint64_t address)
{
	const struct bus_space *s =
	    space == MINIVMM_PIO ? &m->machine.bus.pio : &m->machine.bus.mmio;
	const struct bus_range *expected, *found;
	uint64_t offset;

	if (space == MINIVMM_PIO && address >= BUS_PORTS)
		return;
	expected = expect_found(s, address);
	found = bus_find(&m->machine.bus, space, address, 1, &offset);
	must(!found == !expected);
	if (found)
		must(found->base == expected->base && found->length == expected->length &&
		     offset == address - found->base);
}

static void
check_places(struct machine_of_pci *m, uint32_t i)
{
	for (uint32_t r = 0; r < PCI_REGIONS; r++) {
		struct bus_range *range = m->extras[i].ranges[r];
		uint32_t space = r == 1 ? MINIVMM_PIO : MINIVMM_MMIO;

		if (!range)
			continue;
		must(range->base == place_of(&m->members[i].function, r));
		if (range->base == BUS_UNPLACED)
			continue;
		check_address(m, space, range->base);
		check_address(m, space, range->base + range->length - 1);
		check_address(m, space, range->base + range->length);
	}
}

static void
check(struct machine_of_pci *m)
{
	for (uint32_t i = 0; i < FUNCTIONS; i++) {
		check_messages(&m->members[i].function);
		check_registers(&m->members[i].function);
		check_places(m, i);
	}
	check_address(m, MINIVMM_PIO, 0x3f8);
	check_address(m, MINIVMM_MMIO, 0xfed00000);
}

/* Saving and loading. */

static void
save(struct machine_of_pci *m, struct record_writer *writer)
{
	*writer = (struct record_writer){ 0 };
	pci_complex_save(&m->complex, writer);
	record_finish(writer);
	must(!writer->failed);
}

/* Loads a group if it is valid. Then the model is what the guest can read. */
static bool
load(struct machine_of_pci *m, const uint8_t *bytes, size_t length)
{
	struct record group;
	struct why why;

	if (record_open(bytes, length, &group, &why) ||
	    pci_complex_valid(&m->complex, &group, &why))
		return false;
	m->paused = true;
	pci_complex_load(&m->complex, &group);
	for (uint32_t i = 0; i < FUNCTIONS; i++) {
		struct pci_function *f = &m->members[i].function;
		struct extra *e = &m->extras[i];

		e->intx = pci_function_read(f, PCI_STATUS, 2) & PCI_STATUS_INTX;
		e->msi = f->msi ? pci_function_read(f, f->msi + 20, 4) : 0;
		for (uint32_t v = 0; v < f->vector_count; v++)
			e->vectors[v] = pci_pba_read(f, v / 32 * 4, 4) >> v % 32 & 1;
		/* The section of the lines has the level. */
		e->line = e->intx && !(pci_function_read(f, PCI_COMMAND, 2) & PCI_NO_INTX) &&
			  !msix_on(f) && !msi_on(f);
	}
	return true;
}

static void
resume(struct machine_of_pci *m)
{
	m->paused = false;
	for (uint32_t i = 0; i < FUNCTIONS; i++) {
		pci_function_resume(&m->members[i].function);
		expect_messages(&m->members[i].function);
	}
}

static void
same_function(struct pci_function *a, struct pci_function *b)
{
	for (uint32_t at = 0; at < PCI_EXTENDED; at += 4)
		must(pci_function_read(a, at, 4) == pci_function_read(b, at, 4));
	for (uint32_t at = 0; at < 16 * a->vector_count; at += 8)
		must(pci_msix_read(a, at, 8) == pci_msix_read(b, at, 8));
	for (uint32_t at = 0; at < (a->vector_count + 63) / 64 * 8; at += 8)
		must(pci_pba_read(a, at, 8) == pci_pba_read(b, at, 8));
}

/* A machine that loads the state of this one reads the same, and saves the same. */
static void
check_round_trip(struct machine_of_pci *m)
{
	struct machine_of_pci *twin = &machines[1];
	struct record_writer saved, again;

	save(m, &saved);
	must(load(twin, saved.data, saved.length));
	check(twin);
	must(pci_root_port_read(&m->complex.root, 0, 4) ==
	     pci_root_port_read(&twin->complex.root, 0, 4));
	for (uint32_t i = 0; i < FUNCTIONS; i++)
		same_function(&m->members[i].function, &twin->members[i].function);
	save(twin, &again);
	must(saved.length == again.length);
	/* The status is computed when it is read. */
	must(load(twin, again.data, again.length));
	resume(twin);
	check(twin);
	record_writer_free(&saved);
	record_writer_free(&again);
}

/* Loads the machine's state with some bytes changed. */
static void
load_changed(struct machine_of_pci *m, uint32_t offset, uint32_t value)
{
	struct record_writer saved;

	save(m, &saved);
	for (uint32_t i = 0; i < 4 && saved.length; i++)
		saved.data[(offset + i) % saved.length] ^= (uint8_t)(value >> 8 * i);
	if (load(m, saved.data, saved.length)) {
		check(m);
		check_round_trip(m);
	}
	record_writer_free(&saved);
}

/* The actions. */

struct record_of_input {
	uint32_t width, function, offset, value;
};

/* An offset in config space, more often one of a register that does something. */
static uint32_t
config_offset(const struct pci_function *f, uint32_t offset)
{
	const uint32_t registers[] = {
		PCI_COMMAND,   PCI_BAR0,      PCI_BAR0 + 4,    PCI_BAR0 + 8,
		PCI_BAR0 + 12, PCI_BAR0 + 16, PCI_ROM_ADDRESS, PCI_INTERRUPT_LINE,
		f->msi,        f->msi + 16,   f->msix,         f->express + 8,
		f->msi + 4,    f->msi + 8,    f->msi + 12,     PCI_COMMAND
	};

	return offset & 0x8000 ? registers[offset & 15] + (offset >> 4 & 3) : offset & 0xfff;
}

static void
write_config(struct machine_of_pci *m, const struct record_of_input *r, bool by_ports)
{
	struct pci_member *member = &m->members[r->function];
	struct pci_root *root = &m->complex.root;
	uint32_t at = config_offset(&member->function, r->offset);
	uint32_t place = member->slot << 3 | member->number;

	if (by_ports) {
		pci_root_port_write(root, 0, 4, 1u << 31 | place << 8 | (at & 0xfc));
		pci_root_port_write(root, 4 + (at & 3), r->width, r->value);
	} else {
		pci_root_ecam_write(root, place << 12 | (at & 0xfff), r->width, r->value);
	}
	expect_messages(&member->function);
}

static void
read_config(struct machine_of_pci *m, const struct record_of_input *r)
{
	const uint32_t none = r->width == 4 ? UINT32_MAX : (1u << 8 * r->width) - 1;
	struct pci_root *root = &m->complex.root;
	uint32_t at = (r->function << 16 | r->offset) & 0x1fffff;
	uint32_t value = pci_root_ecam_read(root, at, r->width);

	must(!(value & ~none));
	must(value == none || (at >> 12 == 0 || at >> 12 == 8 || at >> 12 == 11));
	pci_root_port_read(root, r->offset & 7, r->width);
}

/* The width of an access to MSI-X is 4 or 8 bytes; the upper half has the value, too. */
static void
write_table(struct machine_of_pci *m, const struct record_of_input *r)
{
	struct pci_function *f = &m->members[r->function].function;
	uint32_t at = r->offset % (f->vector_count ? 16 * f->vector_count + 32 : 64);

	pci_msix_write(f, at, r->width < 4 ? 4 : 8, r->value | (uint64_t)r->value << 32);
	pci_msix_read(f, at, 8);
	pci_pba_read(f, at, 8);
	expect_messages(f);
}

static void
play(struct machine_of_pci *m, uint32_t action, const struct record_of_input *r)
{
	struct pci_function *f = &m->members[r->function].function;

	switch (action) {
	case 0:
		pci_root_port_write(&m->complex.root, r->offset & 7, r->width, r->value);
		for (uint32_t i = 0; i < FUNCTIONS; i++)
			expect_messages(&m->members[i].function);
		break;
	case 1:
		read_config(m, r);
		break;
	case 2:
	case 3:
	case 4:
		write_config(m, r, action == 2);
		break;
	case 5:
	case 6:
		write_table(m, r);
		break;
	case 7:
	case 8:
		pci_function_notify(f, r->value % 80);
		expect_notified(f, r->value % 80);
		break;
	case 9:
		extra_of(f)->intx = r->value & 1;
		pci_function_intx(f, r->value & 1);
		break;
	case 10:
		m->paused = true;
		break;
	case 11:
		resume(m);
		break;
	case 12:
		check_round_trip(m);
		break;
	case 13:
		load_changed(m, r->offset, r->value);
		break;
	default:
		check_address(m, action == 14 ? MINIVMM_PIO : MINIVMM_MMIO,
			      action == 14 ? r->offset
					   : (uint64_t)r->value << 12 | (r->offset & 0xfff));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine_of_pci *m = &machines[0];

	begin(m);
	begin(&machines[1]);
	for (uint32_t i = 0; i < RECORDS_MOST && size >= RECORD; i++, data += RECORD) {
		struct record_of_input r = { .width = 1u << data[0] / 16 % 3,
					     .function = data[1] % FUNCTIONS,
					     .offset = data[2] | (uint32_t)data[3] << 8 };

		memcpy(&r.value, data + 4, 4);
		play(m, data[0] % 16, &r);
		check(m);
		size -= RECORD;
	}
	check_round_trip(m);
	return 0;
}
