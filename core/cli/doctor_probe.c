/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs small machines to find out what this host's KVM can run: a KVM in software has every
 * capability and may still emulate too little of a CPU. Each machine is a process of this program,
 * which can be killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/status.h"
#include "base/text.h"
#include "cli/doctor.h"
#include "machine/clock.h"

#define CODE_SECONDS 5
#define LINUX_SECONDS 20 /* as tests/linux/where; MINIVMM_PROBE_SECONDS overrides both */
#define OUTPUT 65536u    /* bytes of output to look at */
#define TRIES 10u        /* of a machine whose time passed while this process was stopped */

/* What has become of a machine. */
struct probe {
	int status;        /* STATUS_HOST: not tried, see message; -1: it has not ended in time */
	bool found;        /* it has printed the text */
	char message[512]; /* its first message, or "" */
};

/* Each prints P on the serial port and halts: mov $0x3f8,%dx; mov $'P',%al; out %al,%dx; hlt. */
#define CODE_16 "[boot]\ncode = ba f8 03 b0 50 ee f4\n"
#define CODE_32 "[boot]\ncode = 66 ba f8 03 b0 50 ee f4\n"

/*
 * It prints P after its own LAPIC has interrupted it: a gate for vector 0x20 at 0x8100 to the
 * handler, lidt; movl $0x1ff,0xfee000f0; movl $0x44020,0xfee00300; sti; a loop until the byte at
 * 0x8200 is not 0. The handler: movb $1,0x8200; iret.
 */
#define CODE_IRET                                                                                  \
	"[cpu]\nmode = protected\nrsp = 0x9000\n[boot]\ncode = "                                   \
	"e8000000005805510000008cc9c1e11009c1890d00810000c70504810000008e00006800800000666807010f" \
	"011c24c705f000e0feff010000c7050003e0fe20400400fb803d008200000074f766baf803b050eefaf4c605" \
	"0082000001cf\n"

static const struct {
	const char *name, *config, *until;
	bool chips; /* it needs the interrupt controllers */
} codes[] = {
	{ "real mode", CODE_16, NULL, false },
	{ "protected mode", "[cpu]\nmode = protected\n" CODE_32, NULL, false },
	{ "long mode", "[cpu]\nmode = long\n" CODE_32, NULL, false },
	{ "interrupt controllers", "[cpu]\nmode = long\n" CODE_32, NULL, true },
	{ "single steps", CODE_16, "step:3", false },
	{ "interrupts and iret", CODE_IRET, NULL, true },
};

static unsigned
seconds(unsigned usual)
{
	const char *text = getenv("MINIVMM_PROBE_SECONDS");
	uint64_t number;

	return text && !parse_u64(text, &number, NULL) && number && number < 1000 ? (unsigned)number
										  : usual;
}

/*
 * Starts the machine of a config, with its output and messages in *output. option and value: one
 * more option, or NULL. limit: seconds after which it ends by itself, for nobody else ends it if
 * this process is killed. Returns its process, or -1 with errno.
 */
static pid_t
start(const char *config, const char *option, const char *value, unsigned limit, int *output)
{
	char path[32], timeout[16], *arguments[] = { (char *)"minivmm",
						     (char *)"-c",
						     path,
						     (char *)"--log",
						     (char *)"error",
						     (char *)"--timeout",
						     timeout,
						     (char *)option,
						     (char *)value,
						     NULL };
	int file = memfd_create("doctor", 0), ends[2] = { -1, -1 };
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;
	int error;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	snprintf(timeout, sizeof(timeout), "%us", limit);
	if (file >= 0 && dprintf(file, "%s", config) > 0 && !pipe2(ends, O_CLOEXEC) &&
	    !posix_spawn_file_actions_init(&actions)) {
		posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
		posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
		posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
		errno = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, arguments, environ);
		if (errno)
			pid = -1;
		posix_spawn_file_actions_destroy(&actions);
	}
	error = errno;
	if (file >= 0)
		close(file);
	if (ends[1] >= 0)
		close(ends[1]);
	if (pid < 0 && ends[0] >= 0)
		close(ends[0]);
	*output = ends[0];
	errno = error;
	return pid;
}

/* Copies the first message in the output, without its end. */
static void
take_message(const char *output, size_t length, char *message, size_t size)
{
	static const char begin[] = "minivmm: ";
	const char *at = memmem(output, length, begin, strlen(begin)), *end;

	*message = '\0';
	if (!at)
		return;
	at += strlen(begin);
	length -= (size_t)(at - output);
	end = memchr(at, '\n', length);
	snprintf(message, size, "%.*s", (int)(end ? (size_t)(end - at) : length), at);
}

/* Waits for the end of a process whose output has ended. Returns its status. */
static int
wait_for(pid_t pid, struct probe *probe)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	snprintf(probe->message, sizeof(probe->message), "its process was killed: %s",
		 limit_signal(WTERMSIG(status)).text);
	return STATUS_HOST;
}

/* Runs a machine until it prints text or ends, see start(). */
static void
run_once(const char *config, const char *option, const char *value, unsigned limit,
	 const char *text, struct probe *probe)
{
	char *bytes = malloc(OUTPUT);
	uint64_t end = clock_host() + limit * 1000000000ull, now;
	size_t length = 0;
	int output = -1;
	pid_t pid = bytes ? start(config, option, value, limit, &output) : -1;
	bool ended = false;

	*probe = (struct probe){ .status = pid < 0 ? STATUS_HOST : -1 };
	if (pid < 0)
		snprintf(probe->message, sizeof(probe->message), "cannot start a process: %s",
			 limit_error_of(LIMIT_THREAD, errno).text);
	while (pid >= 0 && !ended && (now = clock_host()) < end && length < OUTPUT) {
		struct pollfd ready = { .fd = output, .events = POLLIN };
		ssize_t n;

		if (poll(&ready, 1, (int)((end - now) / 1000000) + 1) <= 0)
			continue;
		n = read(output, bytes + length, OUTPUT - length);
		ended = !n || (n < 0 && errno != EINTR);
		length += n > 0 ? (size_t)n : 0;
		probe->found = memmem(bytes, length, text, strlen(text)) != NULL;
		if (probe->found && option && !strcmp(option, "--set"))
			break; /* a kernel does not end by itself */
	}
	if (pid >= 0) {
		int status;

		take_message(bytes, length, probe->message, sizeof(probe->message));
		if (!ended)
			kill(pid, SIGKILL);
		close(output);
		status = wait_for(pid, probe);
		probe->status = ended ? status : -1;
	}
	free(bytes);
}

/* True if a SIGCONT, which is blocked, has come since the last call. */
static bool
was_continued(const sigset_t *continued)
{
	const struct timespec now = { 0 };

	return sigtimedwait(continued, NULL, &now) == SIGCONT;
}

/* Runs a machine, again if its time passed while this process was stopped, as by Ctrl-Z. */
static void
run(const char *config, const char *option, const char *value, unsigned limit, const char *text,
    struct probe *probe)
{
	sigset_t continued, before;
	unsigned tries = 0;

	sigemptyset(&continued);
	sigaddset(&continued, SIGCONT);
	sigprocmask(SIG_BLOCK, &continued, &before);
	do {
		was_continued(&continued); /* that was before this try */
		run_once(config, option, value, limit, text, probe);
	} while (probe->status && !probe->found && was_continued(&continued) && ++tries < TRIES);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

bool
doctor_probe_code(char *text, size_t size)
{
	char good[128] = "", bad[128] = "", config[512];
	struct probe probe;

	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		char *list;

		snprintf(config, sizeof(config),
			 "[vm]\nmemory = 64K\nirqchip = %s\n%s[device serial0]\nplugin = serial\n"
			 "output = stdio\n",
			 codes[i].chips ? "on" : "off", codes[i].config);
		run(config, codes[i].until ? "--until" : NULL, codes[i].until,
		    seconds(CODE_SECONDS), "P", &probe);
		if (probe.status == STATUS_HOST) { /* a limit: KVM has not seen the code */
			snprintf(text, size, "%s cannot be tried: %s", codes[i].name,
				 probe.message);
			return false;
		}
		list = !probe.status && (probe.found || codes[i].until) ? good : bad;
		snprintf(list + strlen(list), sizeof(good) - strlen(list), "%s%s",
			 *list ? ", " : "", codes[i].name);
	}
	snprintf(text, size, "%s%s%s%s%s", good, *good && *bad ? "; " : "",
		 *bad ? "this KVM fails with: " : "", bad,
		 *bad ? "; use another host, or, in the source tree, tests/svm/run" : "");
	return !*bad;
}

/*
 * Why a file cannot be tried, from the message of its run. The user has no config: a message about
 * a line of ours means that the file cannot be used with it, and a remedy that changes it is left
 * out.
 */
static const char *
refusal(char *message)
{
	static const char ours[] = "/proc/self/fd/", key[] = "--set boot.image: ";
	char *remedy = strstr(message, "; ");

	if (!*message || !strncmp(message, ours, strlen(ours)))
		return "it is not a Linux kernel; name a bzImage or an unpacked vmlinux";
	for (; remedy; remedy = strstr(remedy + 1, "; "))
		if (strstr(remedy, "[boot]") || strstr(remedy, "[vm]")) {
			*remedy = '\0';
			break;
		}
	return message + (strncmp(message, key, strlen(key)) ? 0 : strlen(key));
}

bool
doctor_probe_linux(const char *kernel, char *text, size_t size)
{
	static const char config[] =
	    "[vm]\nmemory = 256M\nirqchip = on\n[boot]\ncmdline = console=ttyS0 panic=-1\n"
	    "[device serial0]\nplugin = serial\nirq = 4\noutput = stdio\n"
	    "[device power]\nplugin = power\n";
	unsigned limit = seconds(LINUX_SECONDS);
	struct probe probe = { .status = -1 };
	char *image;

	/* A path in the config would be relative to the config. */
	if (asprintf(&image, "boot.image=%s", kernel) >= 0) {
		run(config, "--set", image, limit, "Unable to mount root", &probe);
		free(image);
	}
	if (probe.found)
		snprintf(text, size, "%s boots until it looks for its root file system", kernel);
	else if (probe.status == STATUS_USAGE) /* missing, or no kernel: KVM has not seen it */
		snprintf(text, size, "%s cannot be tried: %s", kernel, refusal(probe.message));
	else if (probe.status == STATUS_HOST)
		snprintf(text, size, "%s cannot be tried: %s", kernel, probe.message);
	else
		snprintf(text, size,
			 "%s does not boot on this KVM within %u s; use another host, or, in the "
			 "source tree, tests/svm/run, which runs a command on a KVM that QEMU "
			 "emulates",
			 kernel, limit);
	return probe.found;
}

const char *
doctor_host_kernel(char *buffer, size_t size)
{
	static const char *const forms[] = { "/boot/vmlinuz-%s", "/lib/modules/%s/vmlinuz",
					     "/boot/vmlinuz", "/vmlinuz" };
	struct utsname name;

	if (uname(&name))
		return NULL;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		snprintf(buffer, size, forms[i], name.release);
		if (!access(buffer, R_OK))
			return buffer;
	}
	return NULL;
}
