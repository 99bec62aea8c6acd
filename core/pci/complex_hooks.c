/* SPDX-License-Identifier: BSD-2-Clause */
/* The hooks of the functions of the complex, and the services of their devices. */
#include "pci/complex_parts.h"

static struct pci_member *
member_of(struct pci_function *function)
{
	return function->context;
}

static void
moved(struct pci_function *function, uint32_t region, const struct pci_region *was)
{
	struct pci_member *member = member_of(function);
	const struct pci_region *now = &function->regions[region];

	if (!member->ranges[region])
		return;
	bus_place(&member->complex->machine->bus, member->ranges[region],
		  now->mapped ? now->base : BUS_UNPLACED);
	if (member->device)
		device_range_moved(member->device, member->ranges[region]);
}

static bool
send_message(struct pci_function *function, const struct pci_message *message)
{
	return irqs_message(&member_of(function)->complex->machine->irqs, message->address,
			    message->data);
}

/* A device is a bus master while one of its functions is. The lock serializes vCPUs that change
 * different functions of one device. */
static void
master_changed(struct pci_function *function, bool master)
{
	struct pci_member *member = member_of(function);
	struct pci_complex *c = member->complex;
	bool any = false;

	if (!member->device)
		return;
	lock_take(&c->masters);
	if (member->master != master) {
		member->master = master;
		for (uint32_t i = 0; i < c->count; i++)
			any |= c->members[i].device == member->device && c->members[i].master;
		device_set_master(member->device, any);
	}
	lock_release(&c->masters);
}

static void
set_line(struct pci_function *function, bool up)
{
	struct pci_member *member = member_of(function);

	irqs_set(&member->complex->machine->irqs, member->line, up);
}

static void
reset_function(struct pci_function *function)
{
	struct pci_member *member = member_of(function);

	if (member->device && member->row->reset)
		device_reset_function(member->device, member->row);
}

/* Returns the row of a watched capability. The rows with callbacks are watched, in their order. */
static const struct minivmm_capability *
watched_row(const struct pci_member *member, uint32_t number)
{
	const struct minivmm_capability *row = member->row->capabilities;

	for (; !row->read && !row->written; row++)
		;
	while (number--)
		for (row++; !row->read && !row->written; row++)
			;
	return row;
}

static void
capability_read(struct pci_function *function, uint32_t number, const uint8_t *bytes,
		uint32_t offset, uint32_t width, uint32_t *value)
{
	struct pci_member *member = member_of(function);

	device_capability_read(member->device, watched_row(member, number), bytes, offset, width,
			       value);
}

static void
capability_written(struct pci_function *function, uint32_t number, const uint8_t *bytes,
		   uint32_t offset, uint32_t width)
{
	struct pci_member *member = member_of(function);

	device_capability_written(member->device, watched_row(member, number), bytes, offset,
				  width);
}

const struct pci_hooks pci_member_hooks = { .moved = moved,
					    .message = send_message,
					    .master = master_changed,
					    .line = set_line,
					    .reset = reset_function,
					    .read = capability_read,
					    .written = capability_written };

/* The services of the devices. */

static int
interrupt(void *context, struct device *device, uint32_t handle,
	  enum minivmm_irq_operation operation, struct why *why)
{
	struct pci_complex *c = context;
	uint32_t index = handle >> 12 & 0x3ff, vector = handle & 0xfff;
	struct pci_member *member = index < c->count ? &c->members[index] : NULL;

	if (!member || member->device != device || vector > member->row->vectors ||
	    (!vector && !member->row->has_intx))
		return why_set(why, "%u is not an interrupt of this device", handle);
	if (!vector) {
		if (operation == MINIVMM_IRQ_PULSE)
			pci_function_intx(&member->function, true);
		pci_function_intx(&member->function, operation == MINIVMM_IRQ_RAISE);
		return 0;
	}
	if (operation != MINIVMM_IRQ_PULSE)
		return why_set(why,
			       "vector %u in slot %u.%u is a message, which has no level to %s; "
			       "use minivmm_irq_pulse()",
			       vector - 1, member->slot, member->number,
			       operation == MINIVMM_IRQ_RAISE ? "raise" : "lower");
	pci_function_notify(&member->function, vector - 1);
	return 0;
}

static void
resume(void *context)
{
	struct pci_complex *c = context;

	for (uint32_t i = 0; i < c->count; i++)
		pci_function_resume(&c->members[i].function);
}

void
pci_complex_set_services(struct pci_complex *c)
{
	c->services = (struct device_pci){ .irq = interrupt, .resume = resume, .context = c };
}
