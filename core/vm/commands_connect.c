/* SPDX-License-Identifier: BSD-2-Clause */
/* The command connect: passes a client's socket to a device. */
#include <stdlib.h>

#include "base/socket.h"
#include "base/text.h"
#include "device/device_connect.h"
#include "vm/vm_commands.h"

/* A command that waits for the guest's answer. */
struct connecting {
	struct command *command;
	struct device *device;
	uint64_t id;   /* of device_connect() */
	uint64_t port; /* for messages */
};

static void
answered(void *context, const char *error)
{
	struct connecting *c = context;

	if (error)
		command_fail(c->command, "cannot connect to port %llu of %s: %s",
			     (unsigned long long)c->port, device_name(c->device), error);
	else
		command_done(c->command);
	free(c);
}

/* The client is gone. A device that has its socket finds out by itself. */
static void
left(struct command *command)
{
	struct connecting *c = command->context;

	if (!device_connect_cancel(c->device, c->id))
		return;
	free(c);
	command_fail(command, "%s", "");
}

static void
connect_port(struct device *device, struct command *command, uint64_t port)
{
	struct connecting *c = calloc(1, sizeof(*c));

	if (c) {
		*c = (struct connecting){ .command = command, .device = device, .port = port };
		c->id = device_connect(device, command->fd, port, answered, c);
	}
	if (!c || !c->id) {
		free(c);
		command_fail(command, "no memory");
		return;
	}
	command_take_fd(command); /* it is the device's */
	command->left = left;
	command->context = c;
}

static void
connect_line(struct device *device, struct command *command)
{
	struct why why;

	if (device_connect_line(device, command->fd, &why)) {
		command_fail(command, "cannot connect to %s: %s", device_name(device), why.text);
		return;
	}
	command_take_fd(command);
	command_done(command);
}

void
command_connect(void *context, struct command *command, int argc, char **argv)
{
	struct vm *vm = context;
	struct device *device = vm_command_device(vm, command, argv[1]);
	bool ports = device && device_has_ports(device);
	uint64_t port = 0;
	struct why why;

	if (!device)
		return;
	if (ports && argc < 3)
		command_fail(command, "%s has ports: use connect %s PORT", argv[1], argv[1]);
	else if (!ports && argc > 2)
		command_fail(command, "%s has no ports: use connect %s", argv[1], argv[1]);
	else if (ports && parse_u64(argv[2], &port, &why))
		command_fail(command, "port %s %s", argv[2], why.text);
	else if (command->fd < 0)
		command_fail(command, "connect needs a connected unix stream socket, passed with "
				      "the request; minivmm ctl does that");
	else if (socket_check_passed(command->fd, &why))
		command_fail(command, "cannot connect to %s: %s", argv[1], why.text);
	else if (ports)
		connect_port(device, command, port);
	else
		connect_line(device, command);
}
