/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm doctor: checks this host and prints a remedy for each failure. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/limit.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/doctor.h"
#include "kvm/kvm.h"
#include "plugin/plugin.h"

/* Text that a message contains is escaped already; to escape it again as a message changes nothing.
 */
static void
line(const char *verdict, const char *what, const char *text)
{
	char shown[4096];

	escape_text(shown, sizeof(shown), text, strlen(text));
	printf("%-4s %-14s %s\n", verdict, what, shown);
}

static bool
check_kvm(void)
{
	char text[256];
	struct why why;
	struct kvm kvm;
	int r = kvm_probe("/dev/kvm", &why);

	line(r ? "NO" : "ok", "kvm",
	     r ? why.text : "/dev/kvm opens and has all required capabilities");
	if (r || kvm_open(&kvm))
		return false;
	snprintf(text, sizeof(text), "%u MSRs, XSAVE area of %zu bytes, %u CPUID entries",
		 kvm.msrs->nmsrs, kvm.xsave_size, kvm.cpuid->nent);
	line("ok", "state", text);
	kvm_close(&kvm);
	return true;
}

/* Other monitors need userfaultfd for live snapshots. */
static void
check_userfaultfd(void)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd = device >= 0 ? ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC)
			     : (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	line(fd >= 0 ? "ok" : "-", "userfaultfd", "not needed: live snapshots use KVM's dirty log");
	if (fd >= 0)
		close(fd);
	if (device >= 0)
		close(device);
}

static bool
check_plugins(void)
{
	struct plugin_path path;
	struct plugin plugin;
	bool good = false;
	char text[512];
	int r = 0;

	if (plugin_path_init(&path, NULL))
		return false;
	for (size_t i = 0; i < path.count; i++) {
		bool there = !access(plugin_folder(&path, i), R_OK | X_OK);

		snprintf(text, sizeof(text), "%s%s%s", plugin_folder(&path, i), there ? "" : ": ",
			 there ? "" : limit_error(errno).text);
		line(there ? "ok" : "-", "plugins", text);
		good |= there;
	}
	if (good) {
		r = plugin_load(&plugin, &path, "serial", "");
		good = !r;
	}
	if (!good)
		line("NO", "plugins",
		     r == -STATUS_HOST
			 ? fail_text()
			 : "serial is in none of them; run make, or set MINIVMM_PLUGIN_PATH to its "
			   "directory");
	else {
		line("ok", "plugins", plugin.path);
		plugin_unload(&plugin);
	}
	plugin_path_free(&path);
	return good;
}

/* A machine that cannot run Linux may be all that the user needs: the verdict is not the status. */
static void
check_guests(const char *kernel)
{
	char path[512], text[1024];

	line(doctor_probe_code(text, sizeof(text)) ? "ok" : "NO", "guests", text);
	fflush(stdout);
	if (!kernel)
		kernel = doctor_host_kernel(path, sizeof(path));
	if (kernel)
		line(doctor_probe_linux(kernel, text, sizeof(text)) ? "ok" : "NO", "linux", text);
	else
		line("-", "linux",
		     "not checked: no kernel of this host can be read; name a bzImage: minivmm "
		     "doctor KERNEL");
}

int
cli_doctor(int argc, char **argv)
{
	struct arguments arguments;
	bool kvm, plugins;

	arguments_begin(&arguments, cli_command("doctor"), argc, argv);
	if (arguments_only_operands(&arguments))
		return arguments.status;
	kvm = check_kvm();
	check_userfaultfd();
	plugins = check_plugins();
	if (kvm && plugins)
		check_guests(arguments.operands[0]);
	return kvm && plugins ? 0 : STATUS_HOST;
}
