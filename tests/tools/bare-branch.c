/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lower bound for branches: a bare machine with the memory of a snapshot forks, and the child
 * makes the KVM calls of a restore on the memory that it inherits, up to the first exit.
 *
 *   bare-branch STATE SNAPSHOT huge|small|file [MIB]
 *
 * clone-speed writes STATE. The guest is tests/bench/rounds.S. Its memory is anonymous, in huge or
 * in small pages, or a private mapping of the snapshot. MIB is the size of a second slot at 4 GiB.
 * The tool fills it, so that a large machine needs no large snapshot. Reads commands, and prints a
 * line for each:
 *
 *   fork      forks: microseconds of fork(2), and from its call to the child's first exit
 *   hold      forks a child that only shares the memory, until release; as fork, but 0
 *   release   ends it; 0
 *   write W   the guest runs with word W ("s", "a"): TSC ticks that it took
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "tools/bare_restore.h"

#define HUGE (2ul << 20)
#define SERIAL_DATA 0x3f8
#define SERIAL_STATUS 0x3fd

static struct bare_state state;
static uint64_t more_size; /* bytes of the second slot */
static void *more;

static double
microseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Maps memory as minivmm does for a new machine. */
static uint8_t *
map_pages(uint64_t size, const char *pages)
{
	uint8_t *start, *memory;

	start = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		err(1, "mmap of guest memory");
	memory = (uint8_t *)(((uintptr_t)start + HUGE - 1) & ~(HUGE - 1));
	if (memory > start)
		munmap(start, (size_t)(memory - start));
	if (start + HUGE > memory)
		munmap(memory + size, (size_t)(start + HUGE - memory));
	madvise(memory, size, strcmp(pages, "huge") ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	return memory;
}

/* Maps the memory of the snapshot, and fills it; NULL: it is the file's. */
static void *
map_memory(int fd, const char *pages)
{
	uint8_t *memory;

	if (!strcmp(pages, "file"))
		return NULL;
	memory = map_pages(state.memory_size, pages);
	for (uint64_t done = 0; done < state.memory_size;) {
		ssize_t n = pread(fd, memory + done, state.memory_size - done,
				  (off_t)(state.memory_offset + done));

		if (n <= 0)
			err(1, "reading guest memory");
		done += (uint64_t)n;
	}
	return memory;
}

static void
add_slot(const struct bare_machine *m)
{
	const struct kvm_userspace_memory_region slot = {
		.slot = 1,
		.guest_phys_addr = 1ull << 32,
		.memory_size = more_size,
		.userspace_addr = (uintptr_t)more,
	};

	if (more)
		BARE_CALL(m->vm, KVM_SET_USER_MEMORY_REGION, &slot);
}

/* Runs to the next exit, an access to a port. */
static struct kvm_run *
next_exit(struct bare_machine *m)
{
	if (ioctl(m->vcpu, KVM_RUN, 0))
		err(1, "KVM_RUN");
	if (m->run->exit_reason != KVM_EXIT_IO)
		errx(1, "KVM exit %u is no access to a port", m->run->exit_reason);
	return m->run;
}

/* Serves the serial port until the guest has answered to a word. */
static uint64_t
talk(struct bare_machine *m, char word)
{
	uint64_t answer = 0;

	for (unsigned bytes = 0; bytes < 8;) {
		struct kvm_run *run = next_exit(m);
		uint8_t *data = (uint8_t *)run + run->io.data_offset;

		if (run->io.direction == KVM_EXIT_IO_IN)
			*data = run->io.port == SERIAL_STATUS ? 1 : (uint8_t)word;
		else if (run->io.port == SERIAL_DATA)
			answer |= (uint64_t)*data << 8 * bytes++;
	}
	return answer;
}

/* In the child: a new machine on the same memory. */
static __attribute__((noreturn)) void
become(const struct bare_machine *parent, volatile double *exited)
{
	struct bare_machine m;

	close(parent->vcpu);
	close(parent->vm);
	close(parent->kvm);
	bare_build_on(&m, &state, parent->memory, -1, BARE_NONE);
	add_slot(&m);
	bare_load(&m, &state);
	bare_resume(&m, &state);
	next_exit(&m);
	*exited = microseconds();
	_exit(0);
}

/* Forks; the child exits once, or sleeps. Prints the times. Returns the child, or 0: it has ended.
 */
static pid_t
branch(const struct bare_machine *m, volatile double *exited, int sleeps)
{
	double began = microseconds(), forked;
	pid_t child = fork();
	int status;

	if (!child && sleeps)
		for (;;)
			pause();
	if (!child)
		become(m, exited);
	forked = microseconds();
	if (child < 0)
		err(1, "fork");
	if (!sleeps && (waitpid(child, &status, 0) != child || status))
		errx(1, "the child has failed");
	printf("%.1f\t%.1f\n", forked - began, sleeps ? 0 : *exited - began);
	return sleeps ? child : 0;
}

int
main(int argc, char **argv)
{
	int from = argc >= 4 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	int fd = argc >= 4 ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
	struct bare_machine machine;
	volatile double *exited;
	char line[64];
	pid_t held = 0;

	if (fd < 0 || read(from, &state, sizeof(state)) != sizeof(state))
		errx(1, "usage: bare-branch STATE SNAPSHOT huge|small|file [MIB]");
	if (argc == 5) {
		more_size = strtoull(argv[4], NULL, 10) << 20;
		more = memset(map_pages(more_size, argv[3]), 1, more_size);
	}
	exited = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (exited == MAP_FAILED)
		err(1, "mmap");
	setvbuf(stdout, NULL, _IOLBF, 0);
	bare_build_on(&machine, &state, map_memory(fd, argv[3]), fd, BARE_NONE);
	add_slot(&machine);
	bare_load(&machine, &state);
	bare_resume(&machine, &state);
	next_exit(&machine);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "write ", 6)) {
			printf("%llu\n", (unsigned long long)talk(&machine, line[6]));
			continue;
		}
		if (held) {
			kill(held, SIGKILL);
			waitpid(held, NULL, 0);
			held = 0;
		}
		if (!strcmp(line, "release\n"))
			puts("0");
		else
			held = branch(&machine, exited, !strcmp(line, "hold\n"));
	}
	if (held)
		kill(held, SIGKILL);
	return 0;
}
