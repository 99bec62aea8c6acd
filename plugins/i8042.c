/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PC's keyboard controller, with the functions that kernels use: commands, self-tests, both ports
 * and the line that resets the machine. No keyboard and no mouse is attached. Source: IBM PS/2
 * Hardware Interface Technical Reference (1990), "Keyboard and Auxiliary Device Controller".
 *
 * The initial state is that after a BIOS: self-test passed, both ports usable. A byte stays in the
 * output buffer until the guest reads it; the controller drops bytes that it produces before that.
 */
#include <minivmm/plugin.h>

enum { DATA, COMMAND }; /* ranges */

/* Bits of the status register. */
#define OUTPUT_FULL 0x01u
#define SYSTEM 0x04u      /* self-test passed */
#define WAS_COMMAND 0x08u /* the last write was a command */
#define UNLOCKED 0x10u
#define FROM_AUX 0x20u
#define TIMED_OUT 0x40u

/* The command byte. */
#define INTERRUPT 0x01u
#define AUX_INTERRUPT 0x02u
#define SYSTEM_FLAG 0x04u
#define DISABLE 0x10u
#define AUX_DISABLE 0x20u
#define TRANSLATE 0x40u

/* The output port. */
#define NO_RESET 0x01u
#define A20 0x02u
#define OUTPUT_FULL_LINE 0x10u
#define AUX_FULL_LINE 0x20u

/* The controller's answer to a byte for a port without a device, with TIMED_OUT. */
#define NO_DEVICE 0xfeu

struct i8042 {
	uint8_t reset; /* option */
	struct minivmm_irq irq, aux_irq;
	/* state */
	uint8_t status, control, output; /* output: the buffer, or the last byte read from it */
	uint8_t port;                    /* the output port, without the buffer's lines */
	uint8_t command;                 /* a command that waits for its byte; 0: none */
	uint8_t ram[32];                 /* control is byte 0 of this memory, kept apart */
};

/* Sets both interrupt lines from the output buffer and the command byte. */
static void
i8042_interrupts(struct minivmm_device *dev)
{
	const struct i8042 *k = minivmm_state(dev);
	bool full = k->status & OUTPUT_FULL, aux = k->status & FROM_AUX;

	minivmm_irq_set(dev, &k->irq, full && !aux && k->control & INTERRUPT);
	minivmm_irq_set(dev, &k->aux_irq, full && aux && k->control & AUX_INTERRUPT);
}

static void
i8042_put(struct minivmm_device *dev, uint8_t byte, uint8_t from)
{
	struct i8042 *k = minivmm_state(dev);

	if (k->status & OUTPUT_FULL)
		return;
	k->output = byte;
	k->status = (uint8_t)((k->status & ~(FROM_AUX | TIMED_OUT)) | OUTPUT_FULL | from);
	i8042_interrupts(dev);
}

static void
i8042_output_port(struct minivmm_device *dev, uint8_t value)
{
	struct i8042 *k = minivmm_state(dev);

	k->port = value & (uint8_t) ~(OUTPUT_FULL_LINE | AUX_FULL_LINE);
	if (!(value & NO_RESET))
		minivmm_exit(dev, k->reset);
}

static void
i8042_control(struct minivmm_device *dev, uint8_t value)
{
	struct i8042 *k = minivmm_state(dev);

	k->control = value;
	k->status = (uint8_t)((k->status & ~SYSTEM) | (value & SYSTEM_FLAG ? SYSTEM : 0));
	i8042_interrupts(dev);
}

static uint8_t
i8042_lines(const struct i8042 *k)
{
	uint8_t full = k->status & FROM_AUX ? AUX_FULL_LINE : OUTPUT_FULL_LINE;

	return (uint8_t)(k->port | (k->status & OUTPUT_FULL ? full : 0));
}

/* Runs a command that takes no byte. */
static void
i8042_do(struct minivmm_device *dev, uint8_t command)
{
	struct i8042 *k = minivmm_state(dev);

	switch (command) {
	case 0xa7:
		i8042_control(dev, k->control | AUX_DISABLE);
		break;
	case 0xa8:
		i8042_control(dev, k->control & (uint8_t)~AUX_DISABLE);
		break;
	case 0xa9: /* test both ports: no error */
	case 0xab:
		i8042_put(dev, 0, 0);
		break;
	case 0xaa:
		k->status |= SYSTEM;
		k->control |= SYSTEM_FLAG | DISABLE | AUX_DISABLE;
		i8042_put(dev, 0x55, 0);
		break;
	case 0xad:
		i8042_control(dev, k->control | DISABLE);
		break;
	case 0xae:
		i8042_control(dev, k->control & (uint8_t)~DISABLE);
		break;
	case 0xc0: /* the input port: keyboard not locked */
		i8042_put(dev, 0x80, 0);
		break;
	case 0xd0:
		i8042_put(dev, i8042_lines(k), 0);
		break;
	case 0xe0: /* clock and data lines: no devices */
		i8042_put(dev, 0, 0);
		break;
	}
}

static int
i8042_write_command(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct i8042 *k = minivmm_state(dev);
	uint8_t command = (uint8_t)value;

	k->status |= WAS_COMMAND;
	k->command = 0;
	if (command >= 0xf0) { /* pulses lines of the output port low */
		if (!(command & NO_RESET))
			minivmm_exit(dev, k->reset);
	} else if (command == 0x20)
		i8042_put(dev, k->control, 0);
	else if (command > 0x20 && command < 0x40)
		i8042_put(dev, k->ram[command & 31], 0);
	else if ((command >= 0x60 && command < 0x80) || (command >= 0xd1 && command <= 0xd4))
		k->command = command;
	else
		i8042_do(dev, command);
	return 0;
}

static int
i8042_write_data(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct i8042 *k = minivmm_state(dev);
	uint8_t byte = (uint8_t)value, command = k->command;

	k->status &= (uint8_t)~WAS_COMMAND;
	k->command = 0;
	switch (command) {
	case 0: /* to the keyboard; this enables its port */
		i8042_control(dev, k->control & (uint8_t)~DISABLE);
		i8042_put(dev, NO_DEVICE, TIMED_OUT);
		break;
	case 0x60:
		i8042_control(dev, byte);
		break;
	case 0xd1:
		i8042_output_port(dev, byte);
		break;
	case 0xd2: /* as if the keyboard or the mouse had sent it */
		i8042_put(dev, byte, 0);
		break;
	case 0xd3:
		i8042_put(dev, byte, FROM_AUX);
		break;
	case 0xd4:
		i8042_control(dev, k->control & (uint8_t)~AUX_DISABLE);
		i8042_put(dev, NO_DEVICE, TIMED_OUT | FROM_AUX);
		break;
	default:
		k->ram[command & 31] = byte;
	}
	return 0;
}

static int
i8042_read_data(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	struct i8042 *k = minivmm_state(dev);

	*value = k->output;
	k->status &= (uint8_t) ~(OUTPUT_FULL | FROM_AUX | TIMED_OUT);
	i8042_interrupts(dev);
	return 0;
}

static int
i8042_read_status(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	*value = ((const struct i8042 *)minivmm_state(dev))->status;
	return 0;
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION(struct i8042, irq, "none", "interrupt line of the keyboard; 1 in a PC"),
	MINIVMM_OPTION(struct i8042, aux_irq, "none", "interrupt line of the mouse; 12 in a PC"),
	MINIVMM_OPTION(struct i8042, reset, "0", "exit status after a reset by the guest",
		       .max = 99),
	MINIVMM_END,
};

static const struct minivmm_register data_registers[] = {
	{ 0, "DATA", NULL },
	MINIVMM_END,
};

static const struct minivmm_register command_registers[] = {
	{ 0, "STATUS", "COMMAND" },
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0x60",
	  .length = 1,
	  .widths = MINIVMM_W8,
	  .read = i8042_read_data,
	  .write = i8042_write_data,
	  .registers = data_registers,
	  .help = "data port" },
	{ .space = MINIVMM_PIO,
	  .at = "command_port",
	  .at_initial = "0x64",
	  .length = 1,
	  .widths = MINIVMM_W8,
	  .read = i8042_read_status,
	  .write = i8042_write_command,
	  .registers = command_registers,
	  .help = "status and command port" },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct i8042, status, .initial = SYSTEM | WAS_COMMAND | UNLOCKED,
		      .help = "STATUS"),
	MINIVMM_FIELD(struct i8042, control,
		      .initial = INTERRUPT | SYSTEM_FLAG | AUX_DISABLE | TRANSLATE,
		      .help = "command byte"),
	MINIVMM_FIELD(struct i8042, output, .help = "output buffer"),
	MINIVMM_FIELD(struct i8042, port, .initial = 0xcf, .help = "output port"),
	MINIVMM_FIELD(struct i8042, command, .help = "command that waits for its byte; 0: none"),
	MINIVMM_FIELD(struct i8042, ram, .help = "the controller's RAM"),
	MINIVMM_END,
};

static const struct minivmm_acpi acpi[] = {
	{ .hid = "PNP0303", .role = MINIVMM_ACPI_KEYBOARD },
	{ .hid = "PNP0F13", .only = "aux_irq" },
	MINIVMM_END,
};

static const struct minivmm_plugin i8042 = {
	.name = "i8042",
	.summary = "a PC's keyboard controller, without a keyboard, that can reset the machine",
	.state_version = 1,
	.state_size = sizeof(struct i8042),
	.options = options,
	.ranges = ranges,
	.fields = fields,
	.acpi = acpi,
};
MINIVMM_REGISTER(i8042);
