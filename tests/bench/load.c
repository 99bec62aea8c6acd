/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest with a stock kernel does while its disk or network is measured. Linked statically,
 * it runs in an initramfs that has no libraries.
 *
 *   load read|write DISK SIZE random|sequential DEPTH MS|REQUESTSx
 *       requests of SIZE bytes, DEPTH at once, past the page cache
 *   load send|receive ADDRESS PORT MS
 *       a TCP stream; what was sent has arrived at the end
 *
 * Begins nothing more after MS milliseconds, or after that many requests (2000x). Prints one line:
 * what, how many bytes, and the nanoseconds that they took.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_MAX 64
#define PART 65536u
#define LARGE ((size_t)2 << 20) /* a large page */

struct disk {
	int file;
	bool write, random;
	uint64_t size, places; /* of a request; how many there are on the disk */
	uint64_t next;
	unsigned char *data; /* one request's after the other */
};

static uint64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t
ms(const char *text)
{
	return strtoull(text, NULL, 0) * 1000000;
}

static void
say(const char *what, uint64_t bytes, uint64_t start)
{
	printf("%s %llu %llu\n", what, (unsigned long long)bytes,
	       (unsigned long long)(now() - start));
}

/* Where the next request goes: the same places in each run (Knuth's generator, TAOCP 3.3.4). */
static uint64_t
place(struct disk *d)
{
	uint64_t at = d->next;

	if (!d->random) {
		d->next = (at + 1) % d->places;
		return at * d->size;
	}
	d->next = at * 6364136223846793005u + 1442695040888963407u;
	return (d->next >> 33) % d->places * d->size;
}

static void
submit(struct disk *d, aio_context_t queue, struct iocb *request, uint64_t number)
{
	memset(request, 0, sizeof(*request));
	request->aio_data = number;
	request->aio_fildes = (uint32_t)d->file;
	request->aio_lio_opcode = d->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
	request->aio_buf = (uint64_t)(d->data + number * d->size);
	request->aio_nbytes = d->size;
	request->aio_offset = (int64_t)place(d);
	if (syscall(SYS_io_submit, queue, 1, &request) != 1)
		err(1, "io_submit");
}

/* Whether to begin another request: limit is "MS" or "REQUESTSx". */
static bool
goes_on(const char *limit, uint64_t asked, uint64_t start)
{
	return strchr(limit, 'x') ? asked < strtoull(limit, NULL, 0) : now() - start < ms(limit);
}

static void
move(struct disk *d, const char *what, uint64_t depth, const char *limit)
{
	struct iocb requests[DEPTH_MAX];
	struct io_event events[DEPTH_MAX];
	aio_context_t queue = 0;
	uint64_t asked = 0, done = 0, start;

	if (syscall(SYS_io_setup, DEPTH_MAX, &queue))
		err(1, "io_setup");
	start = now();
	for (; asked < depth; asked++)
		submit(d, queue, &requests[asked], asked);
	while (done < asked) {
		long got = syscall(SYS_io_getevents, queue, 1, DEPTH_MAX, events, NULL);

		if (got < 1)
			err(1, "io_getevents");
		done += (uint64_t)got;
		for (long i = 0; i < got; i++) {
			if (events[i].res != (int64_t)d->size)
				errx(1, "a request ended with %lld", (long long)events[i].res);
			if (goes_on(limit, asked, start)) {
				submit(d, queue, &requests[events[i].data], events[i].data);
				asked++;
			}
		}
	}
	say(what, done * d->size, start);
}

/*
 * In large pages, where the guest has some left: how many segments a request is of, and whether the
 * driver has to cut it, would else be chance.
 */
static unsigned char *
buffers(size_t size)
{
	size_t all = (size + LARGE - 1) / LARGE * LARGE;
	uintptr_t data;
	void *mapped =
	    mmap(NULL, all + LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mapped == MAP_FAILED)
		err(1, "mmap");
	data = ((uintptr_t)mapped + LARGE - 1) / LARGE * LARGE;
	madvise((void *)data, all, MADV_HUGEPAGE);
	return memset((void *)data, 1, all);
}

static void
disk(char **argv)
{
	struct disk d = { .write = !strcmp(argv[1], "write"),
			  .random = !strcmp(argv[4], "random"),
			  .size = strtoull(argv[3], NULL, 0) };
	uint64_t depth = strtoull(argv[5], NULL, 0);
	off_t length;

	if (!d.size || !depth || depth > DEPTH_MAX)
		errx(2, "a size of 0, or a depth that is not 1 to %d", DEPTH_MAX);
	d.file = open(argv[2], (d.write ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	length = d.file < 0 ? -1 : lseek(d.file, 0, SEEK_END);
	if (length < (off_t)d.size)
		err(1, "%s", argv[2]);
	d.places = (uint64_t)length / d.size;
	d.data = buffers(depth * d.size);
	move(&d, argv[1], depth, argv[6]);
}

static void
stream(char **argv)
{
	static unsigned char part[PART];
	struct sockaddr_in peer = { .sin_family = AF_INET,
				    .sin_port = htons((uint16_t)atoi(argv[3])) };
	uint64_t moved = 0, start;
	bool send = !strcmp(argv[1], "send");
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ssize_t n = 1;

	if (inet_pton(AF_INET, argv[2], &peer.sin_addr) != 1)
		errx(2, "%s is no address", argv[2]);
	if (s < 0 || connect(s, (struct sockaddr *)&peer, sizeof(peer)))
		err(1, "%s:%s", argv[2], argv[3]);
	start = now();
	while (n > 0 && now() - start < ms(argv[4])) {
		n = send ? write(s, part, PART) : read(s, part, PART);
		moved += n > 0 ? (uint64_t)n : 0;
	}
	if (n <= 0)
		err(1, "after %llu bytes", (unsigned long long)moved);
	/* The peer hangs up when it has read everything. */
	if (send && (shutdown(s, SHUT_WR) || read(s, part, 1) != 0))
		err(1, "no end");
	say(argv[1], moved, start);
}

int
main(int argc, char **argv)
{
	if (argc == 7 && (!strcmp(argv[1], "read") || !strcmp(argv[1], "write")))
		disk(argv);
	else if (argc == 5 && (!strcmp(argv[1], "send") || !strcmp(argv[1], "receive")))
		stream(argv);
	else
		errx(2, "usage: load read|write DISK SIZE random|sequential DEPTH MS|REQUESTSx, "
			"or load send|receive ADDRESS PORT MS");
	return 0;
}
