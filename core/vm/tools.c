/* SPDX-License-Identifier: BSD-2-Clause */
/* Creates and removes tools, and does for them what changes whether the machine runs. */
#include "vm/tools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/text.h"
#include "vm/tool_commands.h"
#include "vm/vm.h"

#define TOOL_OPTION "--tool" /* the file of a place of --tool and "tool add" */

const char *
vm_tool_name(const struct vm_tool *tool)
{
	return tool->config.devices[0].name;
}

static struct vm_tool *
find(const struct vm *vm, const char *name)
{
	struct vm_tool *tool = vm->tools.first;

	while (tool && strcmp(vm_tool_name(tool), name))
		tool = tool->next;
	return tool;
}

/* Makes a tool of a device of a config, whose texts are copied. 0 or a negative status. */
static int
create(struct vm *vm, const struct config_device *from, struct vm_tool **created)
{
	struct vm_tool *tool = calloc(1, sizeof(*tool)), **last = &vm->tools.first;
	const char *path = vm->config.plugin_path, *folder = vm->config.folder;
	struct config_device *to;
	bool copied;
	int r;

	if (!tool)
		return fail_memory("tool %s", from->name);
	config_init(&tool->config);
	tool->vm = vm;
	to = config_device_add(&tool->config, from->name, from->place);
	copied = to && (to->plugin = strdup(from->plugin)) &&
		 (!path || (tool->config.plugin_path = strdup(path))) &&
		 (!folder || (tool->config.folder = strdup(folder)));
	for (size_t i = 0; copied && i < from->option_count; i++)
		copied = !config_option_add(to, from->options[i].key, from->options[i].value,
					    from->options[i].place);
	if (!copied) {
		config_free(&tool->config);
		free(tool);
		return fail_memory("tool %s", from->name);
	}
	to->plugin_place = from->plugin_place;
	while (*last)
		last = &(*last)->next;
	*last = tool;
	tool->created = true;
	r = tool_create(&tool->devices, &vm->devices, &tool->config, &tool_functions);
	if (created)
		*created = tool;
	return r;
}

/* Ends a tool; the machine goes on without it. */
static void
destroy(struct vm_tool *tool)
{
	const volatile bool no_waiting = true;
	struct vm *vm = tool->vm;
	struct vm_tool **at = &vm->tools.first;

	while (*at != tool)
		at = &(*at)->next;
	*at = tool->next;
	if (tool->started)
		devices_stop(&tool->devices, &no_waiting);
	debug_forget(&vm->machine, tool);
	if (tool->holds)
		machine_resume(&vm->machine, PAUSE_TOOL);
	vm_tool_commands_forget(tool);
	devices_destroy(&tool->devices);
	config_free(&tool->config);
	free(tool);
}

static int
start(struct vm_tool *tool)
{
	struct machine *m = &tool->vm->machine;
	int r = devices_start(&tool->devices, MINIVMM_FRESH);

	tool->started = true;
	/* If it asks for a pause, nothing runs before that. */
	if (tool->wish == TOOL_HOLD && machine_settled(m)) {
		machine_pause(m, PAUSE_TOOL);
		tool->holds = true;
	}
	return r;
}

/* Reads "KEY=VALUE,KEY=VALUE" in place. 0 or a negative status. */
static int
read_options(struct config_device *device, char *text)
{
	const struct config_place place = { .file = TOOL_OPTION };
	char *to, *equals;

	while (text && *text) {
		char *option = text;

		for (to = text; *text && (*text != ',' || text[1] == ','); text++) {
			text += *text == ',';
			*to++ = *text;
		}
		text += *text != '\0';
		*to = '\0';
		equals = strchr(option, '=');
		if (!equals || equals == option)
			return fail(STATUS_USAGE,
				    TOOL_OPTION " %s: %s is not KEY=VALUE; write PLUGIN:KEY=VALUE,"
						"KEY=VALUE",
				    device->plugin, option);
		*equals = '\0';
		if (config_option_set(device, option, equals + 1, place))
			return fail_memory(TOOL_OPTION);
	}
	return 0;
}

/* Finds a name for a tool of a plugin: "gdb", "gdb-2". */
static void
name_tool(const struct vm *vm, const char *plugin, char name[32])
{
	const char *slash = strrchr(plugin, '/'), *base = slash ? slash + 1 : plugin;
	int length = (int)strcspn(base, ".");

	if (!length) { /* "./.so" */
		base = "tool";
		length = (int)strlen(base);
	}
	length = length > 24 ? 24 : length;
	snprintf(name, 32, "%.*s", length, base);
	for (unsigned i = 2; find(vm, name); i++)
		snprintf(name, 32, "%.*s-%u", length, base, i);
}

/* Makes a device of a tool's text, which it cuts into words. The device borrows them, except for
 * its options. 0 or a negative status. */
static int
read_tool(const struct vm *vm, char *text, char name[32], struct config_device *device)
{
	char *options = strchr(text, ':');

	if (options)
		*options++ = '\0';
	if (!*text) {
		fail(STATUS_USAGE, TOOL_OPTION " names no plugin; write PLUGIN:KEY=VALUE,...");
		return -STATUS_USAGE;
	}
	name_tool(vm, text, name);
	device->name = name;
	device->plugin = text;
	return read_options(device, options);
}

struct vm_tool *
vm_tool_add(struct vm *vm, const char *text)
{
	const struct config_place place = { .file = TOOL_OPTION };
	struct config_device device = { .place = place, .plugin_place = place };
	char *copy = strdup(text), name[32];
	struct vm_tool *tool = NULL;
	int r;

	if (!copy) {
		fail_memory(TOOL_OPTION);
		return NULL;
	}
	r = read_tool(vm, copy, name, &device);
	if (!r)
		r = create(vm, &device, &tool);
	if (!r && tool && vm->tools.can_run)
		r = start(tool);
	if (r && tool) {
		destroy(tool);
		tool = NULL;
	}
	for (size_t i = 0; i < device.option_count; i++) {
		free(device.options[i].key);
		free(device.options[i].value);
	}
	free(device.options);
	free(copy);
	return tool;
}

/* Makes the machine do what the tool wants. */
static void
do_wish(struct vm_tool *tool)
{
	struct minivmm_event event = { .kind = MINIVMM_STOPPED,
				       .size = sizeof(event),
				       .reason = MINIVMM_STOP_PAUSE };
	struct machine *m = &tool->vm->machine;

	if (tool->wish != TOOL_HOLD && tool->holds) {
		tool->holds = false;
		if (tool->wish == TOOL_STEP)
			debug_step(m, tool, tool->step_vcpu);
		machine_resume(m, PAUSE_TOOL);
	} else if (tool->wish == TOOL_HOLD && tool->tell) {
		tool->tell = false;
		if (!tool->holds && machine_pause(m, PAUSE_TOOL) && machine_running(m)) {
			machine_resume(m, PAUSE_TOOL);
			/* A step that is under way goes on. */
			tool->wish = debug_stepper(m) == tool ? TOOL_STEP : TOOL_RUN;
			event.kind = MINIVMM_NOT_STOPPED;
			event.text = fail_text();
		} else {
			tool->holds = true;
			debug_end_step(m, tool);
		}
		tool_event(&tool->devices, &event);
	}
}

/* Carries out the tools' requests. */
static void
work(struct loop_source *source, uint32_t events)
{
	struct vm *vm = source->context;
	uint64_t count;

	if (read(source->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_line(MINIVMM_DEBUG, NULL, "eventfd: %s", limit_error(errno).text);
	for (struct vm_tool *tool = vm->tools.first; tool; tool = tool->next) {
		if (!tool->started)
			continue;
		do_wish(tool);
		if (tool->replace) {
			tool->replace = false;
			tool_event(&tool->devices,
				   &(struct minivmm_event){ .kind = MINIVMM_REPLACED,
							    .size = sizeof(struct minivmm_event) });
		}
		vm_tool_commands_work(tool);
	}
}

/* The owner of a vCPU's hit holds the machine, and gets the event. */
static void
tell_hit(struct vm *vm, uint32_t vcpu)
{
	const struct debug_hit *hit = debug_hit(&vm->machine, vcpu);
	const struct minivmm_event event = { .kind = MINIVMM_STOPPED,
					     .size = sizeof(event),
					     .reason = hit->reason,
					     .vcpu = vcpu,
					     .address = hit->address,
					     .breakpoint = hit->kind };

	for (struct vm_tool *tool = vm->tools.first; tool; tool = tool->next) {
		if (tool != hit->owner)
			continue;
		if (!tool->holds)
			machine_pause(&vm->machine, PAUSE_TOOL);
		tool->holds = true;
		tool->wish = TOOL_HOLD;
		tool->tell = false;
		tool_event(&tool->devices, &event);
	}
}

/*
 * vCPUs have hit breakpoints or watchpoints, or one has done its step. A breakpoint is hit again
 * when its vCPU continues. So one tool gets the event, if there is no other kind of hit: it can
 * step over it, since no other tool holds the machine.
 */
static void
on_stopped(void *context)
{
	struct vm *vm = context;
	uint32_t count = vm->machine.vcpu_count, breakpoints = 0, others = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t reason = debug_hit(&vm->machine, i)->reason;

		breakpoints += reason == MINIVMM_STOP_BREAKPOINT;
		if (!reason || reason == MINIVMM_STOP_BREAKPOINT)
			continue;
		tell_hit(vm, i);
		others++;
	}
	for (uint32_t n = 0; breakpoints && !others && n < count; n++) {
		uint32_t i = (vm->tools.next_vcpu + n) % count;

		if (debug_hit(&vm->machine, i)->reason != MINIVMM_STOP_BREAKPOINT)
			continue;
		tell_hit(vm, i);
		vm->tools.next_vcpu = i + 1;
		break;
	}
}

void
tools_wake(struct vm *vm)
{
	const uint64_t one = 1;

	if (vm->tools.work.fd >= 0 && write(vm->tools.work.fd, &one, sizeof(one)) < 0)
		log_line(MINIVMM_DEBUG, NULL, "eventfd: %s", limit_error(errno).text);
}

int
tools_create(struct vm *vm)
{
	int first = 0, r;

	for (size_t i = 0; i < vm->config.tool_count; i++) {
		r = create(vm, &vm->config.tools[i], NULL);
		first = first ? first : r;
	}
	for (size_t i = 0; i < vm->source.tool_count; i++)
		if (!vm_tool_add(vm, vm->source.tools[i]))
			first = first ? first : -STATUS_USAGE;
	return first;
}

int
tools_start(struct vm *vm)
{
	struct loop_source *work_source = &vm->tools.work;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), r = 0;

	*work_source =
	    (struct loop_source){ .fd = -1, .ready = work, .context = vm, .outer = true };
	if (fd < 0 || loop_add(&vm->machine.loop, work_source, fd, EPOLLIN)) {
		r = fail(STATUS_HOST, "cannot wait for tools: %s", limit_error(errno).text);
		if (fd >= 0)
			close(fd);
		return r;
	}
	debug_init(&vm->machine, on_stopped, vm);
	vm->tools.can_run = true;
	for (struct vm_tool *tool = vm->tools.first; tool && !r; tool = tool->next)
		r = start(tool);
	return r;
}

void
tools_stop(struct vm *vm)
{
	const struct minivmm_event event = { .kind = MINIVMM_ENDED,
					     .size = sizeof(event),
					     .text = machine_cause_name(vm->machine.end.cause),
					     .status = vm->machine.end.status };
	const volatile bool no_waiting = true;

	for (struct vm_tool *tool = vm->tools.first; tool; tool = tool->next) {
		if (!tool->started)
			continue;
		tool_event(&tool->devices, &event);
		devices_stop(&tool->devices, &no_waiting);
		tool->started = false;
	}
}

void
tools_free(struct vm *vm)
{
	int fd = vm->tools.work.fd;

	while (vm->tools.first)
		destroy(vm->tools.first);
	if (vm->tools.can_run) {
		loop_remove(&vm->machine.loop, &vm->tools.work);
		close(fd);
	}
	vm->tools.can_run = false;
}

void
tools_replaced(struct vm *vm)
{
	for (struct vm_tool *tool = vm->tools.first; tool; tool = tool->next)
		tool->replace = true;
	if (vm->tools.first)
		tools_wake(vm);
}

const char *
tools_unparked(const struct vm *vm)
{
	for (const struct vm_tool *tool = vm->tools.first; tool; tool = tool->next)
		if (device_runs_in_pause(devices_at(&tool->devices, 0)))
			return vm_tool_name(tool);
	return NULL;
}

static void
list(const struct vm *vm, FILE *out)
{
	const char *comma = "";

	fputs(",\"tools\":[", out);
	for (const struct vm_tool *tool = vm->tools.first; tool; tool = tool->next) {
		const char *name = vm_tool_name(tool),
			   *plugin = device_plugin(devices_at(&tool->devices, 0));

		fprintf(out, "%s{\"name\":", comma);
		json_text(out, name, strlen(name));
		fputs(",\"plugin\":", out);
		json_text(out, plugin, strlen(plugin));
		fprintf(out, ",\"holds\":%s}", tool->holds ? "true" : "false");
		comma = ",";
	}
	fputc(']', out);
}

/* Ends a tool while the machine is paused: the guest must leave its breakpoints. */
static void
remove_tool(struct vm *vm, struct command *command, struct vm_tool *tool)
{
	struct machine *m = &vm->machine;
	bool refused = machine_pause(m, PAUSE_INSPECT) && machine_running(m);

	if (refused)
		command_fail(command, "%s", fail_text());
	else
		destroy(tool);
	machine_resume(m, PAUSE_INSPECT);
	if (!refused)
		command_done(command);
}

void
command_tool(void *context, struct command *command, int argc, char **argv)
{
	struct vm *vm = context;
	struct vm_tool *tool;

	if (argc == 2 && !strcmp(argv[1], "list"))
		list(vm, command->reply);
	else if (argc == 3 && !strcmp(argv[1], "add")) {
		tool = vm_tool_add(vm, argv[2]);
		if (!tool) {
			command_fail(command, "%s", fail_text());
			return;
		}
		fputs(",\"tool\":", command->reply);
		json_text(command->reply, vm_tool_name(tool), strlen(vm_tool_name(tool)));
	} else if (argc == 3 && !strcmp(argv[1], "remove")) {
		tool = find(vm, argv[2]);
		if (!tool) {
			command_fail(command, "there is no tool %s; tool list shows them", argv[2]);
			return;
		}
		if (vm_tool_is_caller(tool, command)) {
			command_fail(command, "tool %s cannot remove itself", argv[2]);
			return;
		}
		remove_tool(vm, command, tool);
		return;
	} else {
		command_fail(command, "use tool list, tool add PLUGIN[:KEY=VALUE,...], or tool "
				      "remove NAME");
		return;
	}
	command_done(command);
}
