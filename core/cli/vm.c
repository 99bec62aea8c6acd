/* SPDX-License-Identifier: BSD-2-Clause */
/* Building a VM from a config or a snapshot. */
#include "cli/vm.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "boot/boot.h"

/* --set for a restore: only a device's keys, and where plugins are; the plugin's table decides which of them. */
static int
override(struct vm *vm, const char *set)
{
	const char *equals = strchr(set, '='), *dot;
	struct config_device *device;
	char *name, *key;
	int r = 0;

	if (!strncmp(set, "plugins.path=", 13)) {
		free(vm->config.plugin_path);
		vm->config.plugin_path = strdup(set + 13);
		return vm->config.plugin_path ? 0 : fail(STATUS_HOST, "no memory for --set");
	}
	dot = !strncmp(set, "device.", 7) ? strchr(set + 7, '.') : NULL;
	if (!equals || !dot || dot > equals)
		return fail(
		    STATUS_USAGE,
		    "--set %s: a restored machine is as it was; only device.NAME.KEY=VALUE of the "
		    "host's side can be set",
		    set);
	name = strndup(set + 7, (size_t)(dot - set - 7));
	key = strndup(dot + 1, (size_t)(equals - dot - 1));
	device = name && key ? config_device_find(&vm->config, name) : NULL;
	if (!name || !key)
		r = fail(STATUS_HOST, "no memory for --set");
	else if (!device)
		r = fail(STATUS_USAGE, "--set %s: the snapshot has no device %s", set, name);
	else if (config_option_set(device, key, equals + 1,
				   (struct config_place){ .file = "--set" }))
		r = fail(STATUS_HOST, "no memory for --set");
	free(name);
	free(key);
	return r;
}

static int
read_config(struct vm *vm, const struct vm_source *source)
{
	int r;

	if (source->config)
		return config_read(&vm->config, source->config, source->set, source->set_count);
	r = snapshot_open(&vm->snapshot, source->restore);
	if (!r)
		r = snapshot_config(&vm->snapshot, &vm->config);
	for (size_t i = 0; i < source->set_count && !r; i++)
		r = override(vm, source->set[i]);
	return r;
}

/* A fresh machine: the image in memory, the first vCPU's registers. */
static int
boot(struct vm *vm, bool check)
{
	struct machine *m = &vm->machine;
	struct boot_entry entry = { 0 };
	/* As after a reset, for a check without KVM. */
	struct kvm_sregs sregs = { .cs.limit = 0xffff };
	struct kvm_regs regs = { 0 };
	int r = boot_load(&vm->config, &m->memory, &entry);

	for (uint32_t i = 0; i < m->vcpu_count && !r; i++)
		r = kvm_vcpu_cpuid(&m->vcpus[i].kvm);
	if (!r && !check)
		r = kvm_vcpu_sregs(&m->vcpus[0].kvm, &sregs);
	if (!r)
		r = boot_registers(&vm->config, &entry, &m->memory, &regs, &sregs);
	if (r || check)
		return r;
	r = kvm_vcpu_set_sregs(&m->vcpus[0].kvm, &sregs);
	if (!r)
		r = kvm_vcpu_set_regs(&m->vcpus[0].kvm, &regs);
	irqs_rest(&m->irqs);
	return r;
}

int
vm_build(struct vm *vm, const struct vm_source *source)
{
	bool restored = source->restore != NULL;
	int r;

	*vm = (struct vm){ .snapshot = { .fd = -1 } };
	r = read_config(vm, source);
	if (r)
		return r;
	vm->built = true;
	r = machine_create(&vm->machine, &(struct machine_layout){
					     .memory = vm->config.vm.memory,
					     .memory_at = vm->config.vm.memory_at,
					     .memory_file = vm->config.vm.memory_file,
					     .snapshot_fd = vm->snapshot.fd,
					     .snapshot_offset = vm->snapshot.header.memory_offset,
					     .cpus = vm->config.vm.cpus,
					     .irqchip = vm->config.vm.irqchip,
					     .dirty_log = vm->config.vm.dirty_log,
					     .check = source->check,
					 });
	if (!r)
		r = devices_create(&vm->devices, &vm->machine, &vm->config, restored,
				   source->trust);
	if (!r && !restored)
		r = boot(vm, source->check);
	else if (!r && !source->check)
		r = snapshot_load(&vm->snapshot, &vm->machine, &vm->devices);
	return r;
}

void
vm_destroy(struct vm *vm)
{
	if (vm->built) {
		if (!clock_now(&vm->machine.clock)) /* it never ran */
			memory_unmake(&vm->machine.memory);
		machine_join(&vm->machine);
		devices_destroy(&vm->devices);
		machine_destroy(&vm->machine);
	}
	snapshot_close(&vm->snapshot);
	config_free(&vm->config);
}
