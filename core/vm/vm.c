/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds a VM from a config or a snapshot. */
#include "vm/vm.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/magic.h"
#include "base/text.h"
#include "boot/acpi.h"
#include "boot/boot.h"
#include "boot/mp_table.h"
#include "machine/dirty.h"
#include "snapshot/restore.h"

int
vm_descriptor(const char *text, int *fd)
{
	uint64_t number;

	if (strncmp(text, "fd:", 3) || parse_u64(text + 3, &number, NULL) || number > INT32_MAX)
		return -1;
	*fd = (int)number;
	return 0;
}

static int
no_device(const struct vm *vm, const char *set, const char *name)
{
	return fail(STATUS_USAGE, "--set %s: the snapshot has no device %s%s", set, name,
		    did_you_mean(config_device_nearest(&vm->config, name), "").text);
}

/* Applies --set to a snapshot's config: keys that direct the run, and keys of devices, of which the
 * plugin's table decides. */
static int
override(struct vm *vm, const char *set)
{
	const char *equals = strchr(set, '='), *dot;
	struct config_device *device;
	char *name, *key;
	int r = config_direct(&vm->config, set);

	if (r != 1)
		return r;
	r = 0;
	dot = !strncmp(set, "device.", 7) ? strchr(set + 7, '.') : NULL;
	if (!equals || !dot || dot > equals)
		return fail(STATUS_USAGE,
			    "--set %s: a restore keeps the machine as it was saved; you can set "
			    "device.NAME.KEY=VALUE for keys of the host side, and keys of "
			    "snapshot, control "
			    "and plugins",
			    set);
	name = strndup(set + 7, (size_t)(dot - set - 7));
	key = strndup(dot + 1, (size_t)(equals - dot - 1));
	device = name && key ? config_device_find(&vm->config, name) : NULL;
	if (!name || !key)
		r = fail_memory("--set");
	else if (!device)
		r = no_device(vm, set, name);
	else if (config_option_set(device, key, equals + 1,
				   (struct config_place){ .file = CONFIG_SET }))
		r = fail_memory("--set");
	free(name);
	free(key);
	return r;
}

static int
open_snapshot(struct vm *vm, const struct vm_source *source)
{
	const char *from = source->restore;
	int fd = 0, r;

	if (source->branch)
		return branch_open(source->branch, &vm->snapshot);
	if (source->received) {
		vm->snapshot = *source->received;
		return 0;
	}
	if (!from)
		return fail(STATUS_BUG,
			    "cannot build a machine: neither a config nor a snapshot is given");
	if (strcmp(from, "-") && vm_descriptor(from, &fd))
		return snapshot_open_chain(&vm->snapshot, from, source->parents,
					   source->parent_count);
	r = snapshot_receive(&vm->snapshot, fd, from);
	return r ? r : snapshot_open_parents(&vm->snapshot, source->parents, source->parent_count);
}

/* Checks [vm] memory against the machine's address map. */
static int
check_memory(const struct config *config)
{
	char where[512];
	struct why why;

	if (!layout_check_memory((struct layout_range){ config->vm.memory_at, config->vm.memory },
				 config->vm.irqchip, config->cpu.mode == MODE_LONG, &why))
		return 0;
	return fail(STATUS_USAGE, "%s: [vm] memory %s",
		    config_key_where(config->vm.place, "vm", "memory", where, sizeof(where)),
		    why.text);
}

/* Recognises other files that are given to -c. */
static int
is_config(const char *text, size_t length, struct why *why)
{
	const uint8_t *head = (const uint8_t *)text;
	const struct magic *other;
	size_t at = 0;

	if (length >= strlen(SNAPSHOT_MAGIC) &&
	    !memcmp(text, SNAPSHOT_MAGIC, strlen(SNAPSHOT_MAGIC)))
		return why_set(why, "this is a snapshot; restore it with -r");
	if (length >= strlen(STREAM_MAGIC) && !memcmp(text, STREAM_MAGIC, strlen(STREAM_MAGIC)))
		return why_set(why, "this is a snapshot stream; restore it with -r - <FILE");
	if (boot_is_kernel(head, length))
		return why_set(why, "this is a kernel; name it in a config, as [boot] image");
	while (at < length && text[at] && strchr(" \t\r\n", text[at]))
		at++;
	if (at < length && (text[at] == '{' || text[at] == '<'))
		return why_set(why, "this is %s; write an INI file, see minivmm.ini(5)",
			       text[at] == '{' ? "JSON" : "XML");
	other = magic_find(MAGIC_DISK, head, length); /* a config may be a script: "#!" */
	return other ? why_set(why, "this is not a config: it is %s", other->name) : 0;
}

/* A snapshot does not say where code comes from; the machine of a branch has loaded it. */
static int
inherit_plugin_path(struct vm *vm)
{
	const struct branch *branch = vm->source.branch;
	const char *path = branch ? branch_config(branch)->plugin_path : NULL;

	if (path && !(vm->config.plugin_path = strdup(path)))
		return fail_memory("the path of plugins");
	return 0;
}

/* A run that continues: the sections of its config that direct a run, and are not saved. */
static void
take_own(struct vm *vm)
{
	struct config *own = &vm->own;

	vm->config.snapshot = own->snapshot;
	own->snapshot.at = own->snapshot.file = NULL;
	vm->config.control = own->control;
	own->control.socket = own->control.name = NULL;
	free(vm->config.plugin_path);
	vm->config.plugin_path = own->plugin_path;
	own->plugin_path = NULL;
}

/*
 * A run that continues has the --set of its first start. Whether this one concerns the run, or
 * changes a device's option; if not, the machine is as it says.
 */
static bool
changes(const struct vm *vm, const char *set)
{
	const char *equals = strchr(set, '=');
	size_t length = equals ? (size_t)(equals - set) : 0;

	if (strncmp(set, "device.", 7))
		return false; /* take_own has it, or it is of the saved machine */
	for (size_t i = 0; i < vm->config.device_count; i++) {
		const struct config_device *device = &vm->config.devices[i];
		size_t name = strlen(device->name);

		if (length < 8 + name || strncmp(set + 7, device->name, name) ||
		    set[7 + name] != '.')
			continue;
		for (size_t j = 0; j < device->option_count; j++)
			if (!strncmp(device->options[j].key, set + 8 + name, length - 8 - name) &&
			    !device->options[j].key[length - 8 - name])
				return strcmp(device->options[j].value, equals + 1) != 0;
	}
	return true;
}

static int
read_config(struct vm *vm, const struct vm_source *source)
{
	bool found = false;
	int r = 0, more;

	if (source->config) {
		r = config_read(&vm->config, source->config, is_config, source->set,
				source->set_count);
		more = check_memory(&vm->config);
		r = r ? r : more;
	}
	if (!r && source->continues && !source->check)
		r = vm_find_saved(vm, &found);
	if (r || (source->config && !found))
		return r;
	r = open_snapshot(vm, source);
	if (!r)
		r = snapshot_config(&vm->snapshot, &vm->config);
	if (!r)
		r = inherit_plugin_path(vm);
	if (!r && source->config)
		take_own(vm);
	for (size_t i = 0; i < source->set_count && !r; i++)
		if (!source->config || changes(vm, source->set[i]))
			r = override(vm, source->set[i]);
	return r ? r : snapshot_check(&vm->snapshot, &vm->config);
}

/* Writes what a kernel finds in memory: ACPI, and the MP table for kernels without ACPI. */
static int
kernel_tables(struct vm *vm)
{
	uint32_t cpus = vm->config.vm.cpus;
	int r = acpi_write(&vm->machine, &vm->devices, cpus);

	return r || !vm->config.boot.mp_table ? r
					      : mp_table_write(&vm->machine, &vm->devices, cpus);
}

/* Loads the image into a fresh machine and sets the first vCPU's registers. */
static int
boot(struct vm *vm, bool check)
{
	struct machine *m = &vm->machine;
	struct boot_entry entry = { 0 };
	/* The value after a reset, for a check without KVM. */
	struct kvm_sregs sregs = { .cs.limit = 0xffff };
	struct kvm_regs regs = { 0 };
	int r = boot_load(&vm->config, &m->memory, &entry);

	if (r)
		boot_check_registers(&vm->config);
	else if (entry.protocol != BOOT_RAW && machine_irqchip(m))
		r = kernel_tables(vm);
	if (!r)
		r = machine_cpuid(m);
	if (!r && !check)
		r = vcpu_registers(machine_vcpu(m, 0), NULL, &sregs);
	if (!r)
		r = boot_registers(&vm->config, &entry, &m->memory, &regs, &sregs);
	if (r || check)
		return r;
	return vcpu_set_registers(machine_vcpu(m, 0), &regs, &sregs);
}

/*
 * After a mistake in the config's text: checks the rest, without KVM and without memory. The
 * mistake may concern memory or interrupt controllers, so nothing is checked against those.
 */
static int
check_rest(struct vm *vm)
{
	int r = machine_create(&vm->machine, &(struct machine_layout){
						 .image_fd = -1, .irqchip = true, .check = true });

	vm->built = true;
	boot_check_image(&vm->config);
	boot_check_registers(&vm->config);
	if (!r)
		devices_create(&vm->devices, &vm->machine, &vm->config, 0, NULL, NULL, NULL);
	return -STATUS_USAGE;
}

/* A devices_check. */
static int
check_device(void *context, size_t index)
{
	struct vm *vm = context;

	return snapshot_check_device(&vm->snapshot, &vm->devices, (uint32_t)index);
}

/* Puts the devices' ranges on the bus, and PCI devices into their slots. */
static int
connect_devices(struct vm *vm, bool fresh)
{
	int r = pci_complex_create(&vm->pci, &vm->machine, &vm->devices);

	if (!r)
		r = bus_seal(&vm->machine.bus);
	return r ? r : pci_complex_start(&vm->pci, fresh);
}

static int
build_machine(struct vm *vm)
{
	const struct snapshot *root = &vm->snapshot;
	struct machine_layout layout;

	while (root->parent)
		root = root->parent;
	layout = (struct machine_layout){
		.memory_file = vm->config.vm.memory_file,
		.image_fd = root->fd,
		.image_offset = root->header.memory_offset,
		.inherited = vm->source.branch ? branch_machine(vm->source.branch) : NULL,
		.cpus = vm->config.vm.cpus,
		.irqchip = vm->config.vm.irqchip,
		.dirty_log = vm->config.vm.dirty_log,
		.track =
		    root != &vm->snapshot || vm->source.again ||
		    (vm->source.branch && dirty_on(branch_capture(vm->source.branch)->machine)),
		.check = vm->source.check,
	};
	layout_memory((struct layout_range){ vm->config.vm.memory_at, vm->config.vm.memory },
		      vm->config.vm.irqchip, vm->snapshot.region_count == 1, layout.memory);
	return machine_create(&vm->machine, &layout);
}

/* Boots, or loads the snapshot's state. */
static int
fill_machine(struct vm *vm)
{
	if (!vm_restored(vm))
		return boot(vm, vm->source.check);
	return vm->source.check ? 0 : snapshot_load(&vm->snapshot, &vm->machine, &vm->devices);
}

static int
make_capture(struct vm *vm)
{
	int r;

	vm->can_capture = true;
	config_find_paths(&vm->config);
	r = capture_init(&vm->capture, &vm->machine, &vm->devices);
	if (!r && vm->source.branch)
		r = capture_branched(&vm->capture, branch_capture(vm->source.branch));
	if (!r && vm->source.restore)
		capture_restored(&vm->capture, &vm->snapshot);
	if (!r && vm->source.restore && vm_saves_on_term(vm))
		vm_replaces_saved(vm);
	/* Before the first run: no page has been written yet. */
	if (!r && vm->source.again)
		r = reset_init(&vm->reset, &vm->snapshot, NULL, &vm->machine, &vm->devices);
	return r;
}

int
vm_build(struct vm *vm, const struct vm_source *source)
{
	bool restored;
	int r, tools;

	*vm = (struct vm){ .source = *source, .snapshot = { .fd = -1 } };
	vm->tools.work.fd = -1;
	source = &vm->source; /* a run that continues changes it */
	r = read_config(vm, source);
	restored = vm_restored(vm);
	if (!r && vm_saves_on_term(vm) && !source->again && !source->check && !source->held)
		r = vm_lock_saved(vm);
	if (r == -STATUS_USAGE && !restored && vm->config.file)
		return check_rest(vm);
	if (r)
		return r;
	/* Every run begins in the same state, these two included. */
	if (source->again) {
		vm->config.snapshot.generation = GENERATION_KEEP;
		vm->config.snapshot.clock = CONFIG_CLOCK_RESUME;
	}
	vm->built = true;
	r = build_machine(vm);
	if (!r)
		r = devices_create(
		    &vm->devices, &vm->machine, &vm->config,
		    (restored ? DEVICES_RESTORED : 0) | (source->trust ? DEVICES_TRUSTED : 0) |
			(source->held ? DEVICES_HELD : 0) | (source->again ? DEVICES_DETACHED : 0),
		    source->branch ? branch_devices(source->branch) : NULL,
		    restored ? check_device : NULL, vm);
	if (!r)
		r = connect_devices(vm, !restored);
	if (r == -STATUS_USAGE && !restored) {
		boot_check_image(&vm->config);
		boot_check_registers(&vm->config);
	} else if (!r)
		r = fill_machine(vm);
	/* A machine that could not be built has no tools. */
	if (vm->devices.machine && !source->again && !source->held && !source->branch) {
		tools = tools_create(vm);
		r = r ? r : tools;
	}
	return r || source->check ? r : make_capture(vm);
}

void
vm_destroy(struct vm *vm)
{
	if (vm->built) {
		machine_join(&vm->machine);
		tools_free(vm);
		reset_free(&vm->reset);
		if (vm->can_capture)
			capture_free(&vm->capture);
		devices_destroy(&vm->devices); /* whose threads may send messages until then */
		pci_complex_free(&vm->pci);
		machine_destroy(&vm->machine);
	}
	snapshot_close(&vm->snapshot);
	config_free(&vm->config);
	config_free(&vm->own);
	free(vm->parents);
	lock_file_remove(&vm->saved);
}
