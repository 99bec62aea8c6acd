/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of words that users of other programs type. */
#include "base/habits.h"

#include <stddef.h>
#include <string.h>

#define RUN "use minivmm -c CONFIG, or minivmm -r SNAPSHOT"
#define DISK "add a [device NAME] with plugin = virtio-blk and path = FILE to the config"
#define NET "add a [device NAME] with plugin = virtio-net to the config"
#define SERIAL "add a [device NAME] with plugin = serial and output = stdio to the config"
#define CONTROL "use --set control.socket=PATH and minivmm ctl PATH help"
#define NO_FIRMWARE                                                                                \
	"leave it out: there is no firmware; name a kernel in the config, [boot] image, or use "   \
	"--set boot.image=FILE"
#define NO_DISPLAY "leave it out: there is no display; plugin = serial is the console"
#define DEFAULT "leave it out: it is always so"

const struct habit habits[] = {
	/* docker, lkvm, virsh */
	{ HABIT_COMMAND, "run|start|boot|launch|create|up|exec", RUN },
	{ HABIT_COMMAND, "stop|kill|quit|shutdown|poweroff|halt|down|destroy|rm",
	  "use minivmm ctl SOCKET quit" },
	{ HABIT_COMMAND, "pause|suspend", "use minivmm ctl SOCKET pause" },
	{ HABIT_COMMAND, "resume|unpause|cont|continue", "use minivmm ctl SOCKET resume" },
	{ HABIT_COMMAND, "reset|reboot|restart", "use minivmm ctl SOCKET reset" },
	{ HABIT_COMMAND, "ps|ls|machines", "use minivmm list" },
	{ HABIT_COMMAND, "status|stat|info", "use minivmm ctl SOCKET status" },
	{ HABIT_COMMAND, "branch|clone|fork", "use minivmm ctl SOCKET branch NEWSOCKET" },
	{ HABIT_COMMAND, "stats", "use minivmm ctl SOCKET stats" },
	{ HABIT_COMMAND, "top", "use minivmm ctl SOCKET top" },
	{ HABIT_COMMAND, "debug|registers", "use minivmm ctl SOCKET registers" },
	{ HABIT_COMMAND, "save|snapshot|savevm|checkpoint|commit",
	  "use minivmm ctl SOCKET snapshot FILE" },
	{ HABIT_COMMAND, "restore|load|loadvm", "use minivmm -r SNAPSHOT" },
	{ HABIT_COMMAND, "vmcore|coredump|dump-guest-memory|gcore",
	  "use minivmm core SNAPSHOT -o FILE" },
	{ HABIT_COMMAND, "show|dump|describe", "use minivmm inspect SNAPSHOT" },
	{ HABIT_COMMAND, "compare|cmp", "use minivmm diff SNAPSHOT SNAPSHOT" },
	{ HABIT_COMMAND, "merge|rebase|squash", "use minivmm flatten SNAPSHOT... -o FILE" },
	{ HABIT_COMMAND, "check|validate|lint|test", "use minivmm -c CONFIG --check" },
	{ HABIT_COMMAND, "fuzz|forkserver",
	  "use minivmm batch -r SNAPSHOT --input DEVICE FILE..." },
	{ HABIT_COMMAND, "devices|plugin|dump-plugin", "use minivmm plugins" },
	{ HABIT_COMMAND, "setup|kvm-ok", "use minivmm doctor" },
	{ HABIT_COMMAND, "version", "use minivmm --version" },

	/* QEMU, lkvm */
	{ HABIT_OPTION, "-kernel|--kernel|-k",
	  "name it in the config, [boot] image, or use --set boot.image=FILE" },
	{ HABIT_OPTION, "--firmware|-bios|-boot|-pflash|-L", NO_FIRMWARE },
	{ HABIT_OPTION, "-append|--append|--params|-p|--cmdline",
	  "use --set boot.cmdline=TEXT, or [boot] cmdline in the config" },
	{ HABIT_OPTION, "-initrd|--initrd|-i",
	  "use --set boot.initrd=FILE, or [boot] initrd in the config" },
	{ HABIT_OPTION, "-m|--memory|-memory|--mem|--ram",
	  "use --set vm.memory=512M, or [vm] memory in the config" },
	{ HABIT_OPTION, "-mem-path|--mem-path",
	  "use --set vm.memory_file=FILE, or [vm] memory_file in the config" },
	{ HABIT_OPTION, "-smp|--smp|--cpus|--vcpus|--cpu",
	  "use --set vm.cpus=2 --set vm.irqchip=on, or [vm] cpus and irqchip in the config" },
	{ HABIT_OPTION,
	  "-drive|--drive|-blockdev|--disk|-disk|-d|--image|-hda|-hdb|-hdc|-hdd|-cdrom|-sd", DISK },
	{ HABIT_OPTION, "-netdev|-nic|-net|--net|--network|-n|--tap", NET },
	{ HABIT_OPTION, "-device|--device",
	  "add a [device NAME] to the config; minivmm plugins lists the plugins" },
	{ HABIT_OPTION, "-serial|--serial|--console|--tty|-chardev", SERIAL },
	{ HABIT_OPTION, "-rtc", "add a [device NAME] with plugin = rtc to the config" },
	{ HABIT_OPTION,
	  "-usb|-usbdevice|-audio|-audiodev|-soundhw|-virtfs|-fsdev|-tpmdev|-watchdog",
	  "leave it out: there is no such device; minivmm plugins lists those there are" },
	{ HABIT_OPTION, "-s|-gdb|--gdb", "use --tool gdb:listen=tcp-listen:127.0.0.1:1234" },
	{ HABIT_OPTION, "-trace|--strace", "use --trace FILE" },
	{ HABIT_OPTION, "-runas|-chroot|-sandbox|-run-with|--uid|--gid|-u|--user",
	  "start it as that user, or as a service: it needs only access to /dev/kvm" },
	{ HABIT_OPTION, "-pidfile|--pidfile|-P|--pid-file",
	  "let a service manager keep the process ID: it stays in the foreground" },
	{ HABIT_OPTION, "--rng", "add a [device NAME] with plugin = virtio-rng to the config" },
	{ HABIT_OPTION, "--balloon",
	  "add a [device NAME] with plugin = virtio-balloon to the config" },
	{ HABIT_OPTION, "--vsock", "add a [device NAME] with plugin = virtio-vsock to the config" },
	{ HABIT_OPTION, "-monitor|-qmp|-mon|--api-sock|--api-socket|--socket", CONTROL },
	{ HABIT_OPTION, "-nographic|--nographic|-display|--display|-vga|-vnc|-spice|-sdl|-gtk",
	  NO_DISPLAY },
	{ HABIT_OPTION,
	  "-enable-kvm|--enable-kvm|-accel|-machine|-M|-cpu|-nodefaults|-no-user-config", DEFAULT },
	{ HABIT_OPTION, "-no-reboot|--no-reboot", DEFAULT },
	{ HABIT_OPTION, "-no-shutdown", "leave it out: the process ends with the machine" },
	{ HABIT_OPTION, "-no-acpi", "add acpi=off to [boot] cmdline in the config" },
	{ HABIT_OPTION, "-loadvm|-incoming|--restore-from|--load", "use -r SNAPSHOT" },
	{ HABIT_OPTION, "-snapshot|--snapshot",
	  "set temporary = yes in the [device NAME] of the disk with plugin = virtio-blk" },
	{ HABIT_OPTION, "-daemonize|--daemonize|--daemon|--detach|--background",
	  "start it with & or as a service: it stays in the foreground" },
	{ HABIT_OPTION, "-D|--trace-file", "use --trace FILE" },
	{ HABIT_OPTION, "-v|--verbose|--debug", "use --log debug" },
	{ HABIT_OPTION, "-q|--quiet|--log-level|--level|--loglevel", "use --log LEVEL" },
	{ HABIT_OPTION, "-version|-V", "use --version" },
	{ HABIT_OPTION, "-help|-?", "use --help" },
	/* Firecracker, crosvm */
	{ HABIT_OPTION, "--config-file|--conf|-conf|--cfg|-f|--file|-readconfig", "use -c CONFIG" },
	{ HABIT_OPTION, "--no-api|--no-seccomp", DEFAULT },
	{ HABIT_OPTION, "--id|--name|-name|-uuid",
	  "leave it out: the path of its control socket identifies a machine" },
	{ HABIT_OPTION, "--metrics-path|--metrics",
	  "use --status FILE, or minivmm ctl SOCKET stats" },
	/* nbdkit */
	{ HABIT_OPTION, "--dump-plugin|--dump-config", "use minivmm plugins" },
	{ HABIT_OPTION, "--filter|--plugin",
	  "add a [device NAME] with plugin = NAME to the config" },
	{ HABIT_OPTION, "--dry-run|--validate|-t", "use --check" },
	{ HABIT_OPTION, "--output|--out", "use --set device.NAME.output=file:PATH" },

	/* the monitors of QEMU and virsh */
	{ HABIT_CONTROL, "stop|suspend|halt", "use pause; quit ends the machine" },
	{ HABIT_CONTROL, "cont|continue|c|unpause|start|run", "use resume" },
	{ HABIT_CONTROL, "info|stat|state|ps|query-status|uptime", "use status" },
	{ HABIT_CONTROL, "q|exit|kill|shutdown|poweroff|system_powerdown|terminate|destroy",
	  "use quit" },
	{ HABIT_CONTROL, "system_reset|reboot|restart", "use reset" },
	{ HABIT_CONTROL, "savevm|save|dump|migrate|checkpoint", "use snapshot FILE" },
	{ HABIT_CONTROL, "dump-guest-memory|vmcore|coredump|gcore", "use core FILE" },
	{ HABIT_CONTROL, "loadvm|load|restore", "use reset, or start minivmm -r SNAPSHOT" },
	{ HABIT_CONTROL, "abort|migrate_cancel", "use cancel" },
	{ HABIT_CONTROL, "x|xp|memsave|pmemsave|peek", "use memory ADDRESS LENGTH" },
	{ HABIT_CONTROL, "regs|cpu|cpus|r", "use registers" },
	{ HABIT_CONTROL, "qtree|lspci|device_list", "use devices" },
	{ HABIT_CONTROL, "break|b|breakpoint|step|s|stepi|si|next", "use until CONDITION" },
	{ HABIT_CONTROL, "?|h", "use help" },

	/* sections */
	{ HABIT_SECTION, "machine-config|machine|config|domain|general|main", "use [vm]" },
	{ HABIT_SECTION, "boot-source|kernel|image", "use [boot]" },
	{ HABIT_SECTION, "drive|drives|disk|disks|blk|block|storage",
	  "use [device NAME] with plugin = virtio-blk" },
	{ HABIT_SECTION, "network-interfaces|network|net|nic|netdev",
	  "use [device NAME] with plugin = virtio-net" },
	{ HABIT_SECTION, "serial|chardev|console|uart", "use [device NAME] with plugin = serial" },
	{ HABIT_SECTION, "vsock", "use [device NAME] with plugin = virtio-vsock" },
	{ HABIT_SECTION, "balloon", "use [device NAME] with plugin = virtio-balloon" },
	{ HABIT_SECTION, "entropy|rng", "use [device NAME] with plugin = virtio-rng" },
	{ HABIT_SECTION, "memory|mem|ram", "use [vm] memory" },
	{ HABIT_SECTION, "smp|smp-opts|cpus|vcpus", "use [vm] cpus" },
	{ HABIT_SECTION, "accel|kvm", DEFAULT },
	{ HABIT_SECTION, "logger|log|logging", "use --log LEVEL" },
	{ HABIT_SECTION, "metrics|stats", "use --status FILE, or minivmm ctl SOCKET stats" },
	{ HABIT_SECTION, "monitor|qmp|api|api-sock", "use [control]" },

	/* plugins */
	{ HABIT_PLUGIN, "blk|disk|block|drive|ide-hd|virtio-blk-pci|virtio-blk-device|virtio-scsi",
	  "virtio-blk" },
	{ HABIT_PLUGIN, "net|nic|tap|user|e1000|rtl8139|virtio-net-pci|virtio-net-device",
	  "virtio-net" },
	{ HABIT_PLUGIN, "vsock|vhost-vsock|vhost-vsock-pci|vhost-vsock-device", "virtio-vsock" },
	{ HABIT_PLUGIN, "rng|entropy|virtio-rng-pci|virtio-rng-device", "virtio-rng" },
	{ HABIT_PLUGIN, "balloon|virtio-balloon-pci|virtio-balloon-device", "virtio-balloon" },
	{ HABIT_PLUGIN, "console|hvc|virtconsole|virtio-serial|virtio-serial-device",
	  "virtio-console" },
	{ HABIT_PLUGIN, "uart|16550|16550a|ns16550a|isa-serial|8250", "serial" },
	{ HABIT_PLUGIN, "isa-debug-exit", "debug-exit" },
	{ HABIT_PLUGIN, "cmos|mc146818|mc146818rtc", "rtc" },
	{ HABIT_PLUGIN, "keyboard|kbd", "i8042" },

	/* keys */
	{ HABIT_KEY, "boot.kernel|boot.kernel_image_path|boot.file|boot.path|vm.kernel|vm.image",
	  "use [boot] image" },
	{ HABIT_KEY,
	  "boot.append|boot.args|boot.boot_args|boot.params|boot.command_line|vm.cmdline",
	  "use [boot] cmdline" },
	{ HABIT_KEY, "boot.initramfs|boot.ramdisk|boot.initrd_path|vm.initrd",
	  "use [boot] initrd" },
	{ HABIT_KEY, "boot.module", "use [boot] modules" },
	{ HABIT_KEY, "boot.address|boot.entry|boot.load_address|boot.start", "use [boot] at" },
	{ HABIT_KEY, "vm.mem|vm.ram|vm.memory_size|vm.mem_size_mib|vm.m", "use [vm] memory" },
	{ HABIT_KEY, "vm.smp|vm.vcpus|vm.vcpu_count|vm.cpu|vm.cores|cpu.count|cpu.cpus|cpu.smp",
	  "use [vm] cpus" },
	{ HABIT_KEY, "vm.apic|vm.ioapic|vm.pic|vm.lapic", "use [vm] irqchip" },
	{ HABIT_KEY, "vm.mem_path|vm.memory_backend", "use [vm] memory_file" },
	{ HABIT_KEY, "control.path|control.qmp|control.monitor|control.unix|vm.socket",
	  "use [control] socket" },
	{ HABIT_KEY, "plugins.dir|plugins.directory|plugins.folder|plugins.paths",
	  "use [plugins] path" },
	{ HABIT_KEY, "snapshot.path|snapshot.name|snapshot.to", "use [snapshot] file" },
	{ HABIT_KEY, "snapshot.when|snapshot.until|snapshot.condition", "use [snapshot] at" },

	/* options of devices */
	{ HABIT_DEVICE, "file|image|filename|disk|drive|path_on_host|source|src|dev", "path" },
	{ HABIT_DEVICE, "ro|read_only|read-only|is_read_only", "readonly" },
	{ HABIT_DEVICE, "snapshot|discard_writes|volatile", "temporary" },
	{ HABIT_DEVICE, "macaddr|mac_address|guest_mac|hwaddr|ether", "mac" },
	{ HABIT_DEVICE, "netdev|tap|ifname|host_dev_name|interface|mode|bridge", "backend" },
	{ HABIT_DEVICE, "hostfwd|hostforward|port_forward|publish", "forward" },
	{ HABIT_DEVICE, "guest_cid|guest-cid", "cid" },
	{ HABIT_DEVICE, "uds_path|socket_path", "path" },
	{ HABIT_DEVICE, "iobase|io|ioport|io_port|base_port", "port" },
	{ HABIT_DEVICE, "addr|base|mmio|mmio_base|base_address", "address" },
	{ HABIT_DEVICE, "interrupt|gsi|irq_line", "irq" },
	{ HABIT_DEVICE, "chardev|console|stdout|log|out", "output" },
	{ HABIT_DEVICE, "stdin|in", "input" },
	{ HABIT_DEVICE, "num-queues|num_queues|mq|queue_count", "queues" },
	{ HABIT_DEVICE, "aio|io_engine|engine", "io" },

	/* their values; "use raw" alone would give the guest the bytes of the container */
	{ HABIT_VALUE,
	  "format=qcow2|format=qcow|format=qed|format=vmdk|format=vdi|format=vpc|format=vhdx",
	  "convert the image to raw with qemu-img, and leave format out" },

	/* chardevs of QEMU */
	{ HABIT_STREAM, "mon|chardev", "use stdio; Ctrl-A x ends the machine" },
	{ HABIT_STREAM, "null", "use none" },
	{ HABIT_STREAM, "socket", "use unix:PATH, or unix-listen:PATH for a server" },
	{ HABIT_STREAM, "telnet", "use tcp-listen:HOST:PORT" },
	{ HABIT_STREAM, "vc|sdl|pipe", "use pty" },
	{ HABIT_STREAM, "stdout|-|console|con|tty", "use stdio" },
	{ HABIT_STREAM, "path", "use file:PATH" },
	{ .theirs = NULL },
};

/* Returns whether one of the words in list equals word. */
static int
listed(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = list; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
		if (strcspn(at, "|") == length && !memcmp(at, word, length))
			return 1;
	return 0;
}

const char *
habit(enum habit_kind kind, const char *word)
{
	for (const struct habit *h = habits; h->theirs; h++)
		if (h->kind == kind && *word && listed(h->theirs, word))
			return h->ours;
	return NULL;
}
