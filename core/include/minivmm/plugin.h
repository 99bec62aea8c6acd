/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minivmm/plugin.h: the interface between minivmm and a device plugin. minivmm-plugin(3) is the
 * manual.
 *
 * A plugin is one shared object that exports one symbol, defined by MINIVMM_REGISTER(descriptor).
 * The descriptor is a constant struct minivmm_plugin: a few callbacks and nine tables (options,
 * ranges, timers, streams, watches, posts, fields, acpi, pci). The core reads the tables and does
 * the work: it parses options, places ranges, keeps time, moves bytes, and saves, loads, checks,
 * prints and compares the fields in snapshots.
 *
 * Phases of a device, in order; each callback is optional:
 *
 *   (creation: the state is zeroed, options and initial values of fields are filled in)
 *   configure    check options that depend on each other; allocate the memory of POINTER fields
 *   (a restore fills in the fields here, then calls loaded)
 *   start        the machine is about to run: open host resources; streams, timers, irqs and
 *                memory work from here on. In a pause, pause follows
 *   pause/resume around every stop of the machine; idempotent
 *   capture      a snapshot of the paused machine is taken: files of the host stay unchanged
 *   stop         the machine will not run again; streams still accept bytes
 *   destroy      free the resources of configure and start
 *
 * Threads: callbacks of one device never run at the same time, unless the descriptor has
 * MINIVMM_CONCURRENT. Range handlers run on a vCPU's thread, all others on the I/O thread. A
 * callback never blocks: one that takes longer than a second is reported.
 *
 * A thread of the plugin is parked during a pause: it sleeps, holds no lock, and changes nothing.
 * It waits for work in sem_wait(3), without a lock; pause returns MINIVMM_PENDING if it has work,
 * and when that is done, the thread releases its locks and calls minivmm_paused(). See the worker
 * in minivmm-plugin(3). A thread that serves a deferred capture works until minivmm_captured().
 *
 * Services: the line "Where" of a service names its phases and threads. "In callbacks" includes
 * range handlers; "on any thread" includes threads that the plugin has created. The host refuses a
 * call in another phase, on another thread or with an invalid argument: the call has no effect, a
 * message names device and service, and the call is counted. It returns -1, NULL or 0.
 *
 * Results: a callback returns 0, or calls minivmm_error() and returns -1; some may return
 * MINIVMM_PENDING. Other values are reserved: the host rejects them and takes them for -1. A
 * failure of configure or start ends the machine. After a failure of pause, save or capture, no
 * snapshot is written; after a failure of load or loaded, the restore fails. Other failures are
 * counted and the machine continues: for a range handler, the guest sees the behaviour of absent
 * hardware (a read returns all ones, a write is dropped).
 *
 * Compatibility: rows and the descriptor grow only at their ends. The host reads a plugin's tables
 * with the plugin's row size and takes missing members as zero. Zero in a new member therefore
 * always selects the old behaviour.
 */
#ifndef MINIVMM_PLUGIN_H
#define MINIVMM_PLUGIN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
/* In C, designated initialisers can leave out members; some C++ compilers warn. Before C++20, they
 * are an extension. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#if __cplusplus < 202002L
#pragma GCC diagnostic ignored "-Wc++20-extensions"
#endif
/* Some functions have the name of a struct: C++ takes that for its constructor. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
extern "C" {
#endif

#define MINIVMM_ABI 2 /* changes only when old plugins can no longer be supported */

struct minivmm_services;
struct minivmm_machine; /* this and the next: see minivmm/tool.h */
struct minivmm_tool;
struct minivmm_writer;
struct minivmm_reader;

/* One instance of a plugin. The host creates and frees it. */
struct minivmm_device {
	const struct minivmm_services *services;
	void *state;      /* the plugin's struct, state_size bytes */
	const char *name; /* of the instance: "serial0" */
	uint32_t size;    /* of this struct, in bytes */
};

/* The type of a row's value; the comment names the C type of the member. */
enum minivmm_type {
	MINIVMM_U8 = 1,   /* uint8_t */
	MINIVMM_U16,      /* uint16_t */
	MINIVMM_U32,      /* uint32_t */
	MINIVMM_U64,      /* uint64_t */
	MINIVMM_BOOL,     /* bool: yes, no, on, off, true, false, 1, 0 */
	MINIVMM_SIZE,     /* uint64_t, in bytes: 64K, 1M, 2G */
	MINIVMM_ADDRESS,  /* uint64_t, guest physical */
	MINIVMM_PORT,     /* uint16_t */
	MINIVMM_DURATION, /* uint64_t, in ns: 10us, 5ms, 2s */
	MINIVMM_ENUM,     /* uint32_t, an index into the row's values */
	MINIVMM_STRING,   /* const char *, owned by the core, valid until destroy */
	MINIVMM_PATH,     /* const char *, like STRING; absolute, or relative to the current folder;
			     a URI (scheme://...) is unchanged */
	MINIVMM_IRQ,      /* struct minivmm_irq: a line number or none */
};

/* An interrupt line or none. Calls for none do nothing. */
struct minivmm_irq {
	uint32_t handle; /* owned by the host; 0: none */
};

/* Flags of rows. */
#define MINIVMM_HOST                                                                               \
	0x1u /* option: names a host resource; it can change at a restore. There a string other    \
	      * than "none" needs --set or --trust, like a path. */
#define MINIVMM_EDGE                                                                               \
	0x2u /* option of type irq: edge-triggered, and not shared. An edge is a pulse, or a       \
	      * raise followed by a lower. */
#define MINIVMM_ACTIVE_LOW 0x4u /* option of type irq: active low in the tables of the guest */
#define MINIVMM_OPTIONAL 0x8u   /* range: absent if its "at" option is not given */
#define MINIVMM_POINTER                                                                            \
	0x10u /* field: the member points to an array; the counter holds its number of elements */
#define MINIVMM_FREE_RUNNING 0x20u /* field: counts host events; equal runs can differ in it */
#define MINIVMM_UNIQUE                                                                             \
	0x40u /* option of type string: no two devices of a machine can have the same value. The   \
	       * empty string is no value. */
#define MINIVMM_RAW                                                                                \
	0x80u /* option of type path: the bytes of the file are used as they are. The host warns   \
	       * about a file in another program's format, unless the option "format" is given. */
#define MINIVMM_NO_SLOT                                                                            \
	0x100u /* option, range: only of a device without a slot. In a slot it is absent, and an   \
		* error if it is given. */

/* A key of the device's [device NAME] section. Use MINIVMM_OPTION. */
struct minivmm_option {
	const char *name;
	uint32_t type;             /* enum minivmm_type */
	uint32_t offset;           /* of the member in the state */
	const char *initial;       /* the value if the key is not given; NULL: it is required */
	const char *help;          /* one line */
	uint32_t flags;            /* MINIVMM_HOST, _EDGE, _ACTIVE_LOW, _UNIQUE, _RAW, _NO_SLOT */
	uint64_t min, max;         /* of a number; max 0: the maximum of the type */
	const char *const *values; /* of an enum, NULL-terminated */
};

/* A guest access to a range. Written by the host, read by the plugin; can grow. */
struct minivmm_access {
	uint64_t offset;  /* from the start of the range; offset + width is inside the range */
	uint32_t width;   /* in bytes; one of the range's widths */
	uint32_t range;   /* index of the row */
	uint32_t vcpu;    /* index of the vCPU */
	uint32_t size;    /* of this struct, in bytes */
	uint64_t address; /* the address of the range + offset */
};

/* The names of a register, for traces: "serial0 THR <- '4'". */
struct minivmm_register {
	uint64_t offset;
	const char *read, *write; /* write NULL: the same as read */
};

enum minivmm_space { MINIVMM_PIO = 1, MINIVMM_MMIO = 2 };

/* The access widths of a range. A wider access is split into the widest of these; a narrower one is
 * refused. */
#define MINIVMM_W8 0x1u
#define MINIVMM_W16 0x2u
#define MINIVMM_W32 0x4u
#define MINIVMM_W64 0x8u

/* A range of ports or of guest physical addresses. */
struct minivmm_range {
	uint32_t space; /* enum minivmm_space */
	uint32_t flags; /* MINIVMM_OPTIONAL, MINIVMM_NO_SLOT */
	const char *at; /* name of the option for its address; the core creates this option. NULL:
			   it has only a BAR */
	const char *at_initial;    /* initial value of that option; NULL: it is required */
	uint64_t length;           /* in bytes; not used with length_option */
	const char *length_option; /* the option (u8 to u64, size) with the length, or NULL */
	uint32_t widths; /* MINIVMM_W8, ...; 0: all widths from 1 to 8 bytes, also 3, 5, 6, 7 */
	/* The handlers of accesses. value: in the low width bytes. NULL: a read returns all ones, a
	 * write is dropped. */
	int (*read)(struct minivmm_device *dev, const struct minivmm_access *access,
		    uint64_t *value);
	int (*write)(struct minivmm_device *dev, const struct minivmm_access *access,
		     uint64_t value);
	const struct minivmm_register
	    *registers; /* ends with one whose read and write are NULL; can be NULL */
	const char *help;
};

/* A timer. The core keeps its deadline and saves it. */
struct minivmm_timer {
	const char *name;
	/* timer: index of the row. periods: number of periods since the last call; 1 for a timer
	 * without period. */
	int (*fire)(struct minivmm_device *dev, uint32_t timer, uint64_t periods);
	const char *help;
};

/*
 * A byte channel to the host. One or two options, which the core creates, select the other end:
 * none, stdio, file:PATH, pty, unix:PATH, unix-listen:PATH, tcp:HOST:PORT, tcp-listen:HOST:PORT;
 * for output also stderr, for input also hex:DIGITS and text:TEXT. A bidirectional output (pty,
 * unix, tcp) is also the input if input is not given.
 */
struct minivmm_stream {
	const char *name;
	const char *output,
	    *input; /* names of the options; NULL: the stream does not have this direction */
	const char *output_initial, *input_initial; /* NULL: none */
	/* There are bytes to read. Called again only after minivmm_stream_read() has returned fewer
	 * bytes than requested, or minivmm_stream_readable() has returned 0. Of a large file, a
	 * call gets a part. */
	int (*readable)(struct minivmm_device *dev, uint32_t stream);
	/* There is room again, after minivmm_stream_write() has accepted only a part. */
	int (*writable)(struct minivmm_device *dev, uint32_t stream);
	const char *help;
	/*
	 * The other end has come or gone: a client of a listening socket, a terminal, the end of
	 * the input. Called once after each start, before the vCPUs run, and then at each change.
	 * A snapshot does not contain connections: the call after the start tells a restored device
	 * whether its new process has one. connected: each end that the options name is there. It
	 * stays true until the device has read all that the other end has sent; the next client is
	 * reported after false. NULL: nothing to do.
	 */
	int (*connected)(struct minivmm_device *dev, uint32_t stream, bool connected);
};

/* A descriptor of the plugin for which the I/O thread waits. */
struct minivmm_watch {
	const char *name;
	int (*ready)(struct minivmm_device *dev, uint32_t watch,
		     uint32_t events); /* EPOLLIN, EPOLLOUT, ... */
	const char *help;
};

/* Work that a thread of the plugin passes to the I/O thread. */
struct minivmm_post {
	const char *name;
	int (*run)(struct minivmm_device *dev, uint32_t post);
	const char *help;
};

/* A member of the state that a snapshot contains. Use MINIVMM_FIELD. */
struct minivmm_field {
	const char *name;
	uint32_t type;           /* MINIVMM_U8 to MINIVMM_BOOL: of one element */
	uint32_t offset;         /* of the member in the state */
	uint32_t count;          /* the maximum number of elements of an array; 0: not an array */
	uint32_t flags;          /* MINIVMM_POINTER, MINIVMM_FREE_RUNNING */
	uint32_t counter_offset; /* of the member that holds the number of elements */
	uint32_t counter_type;   /* MINIVMM_U8 to MINIVMM_U64; 0: there is no counter, all elements
				    count */
	uint64_t initial;        /* of each element */
	uint64_t max;   /* the largest value that a load accepts; 0: the maximum of the type */
	uint32_t since; /* first state version that has it; a load of an older one sets the initial
			   value */
	const char *help;
};

/*
 * RESET: a restored machine has run and is now back at its snapshot. The state has been loaded in
 * place, as in a restore (load must free the memory that it replaces). Resources that the first
 * start opened are still open.
 */
enum minivmm_start_reason { MINIVMM_FRESH = 1, MINIVMM_RESTORED, MINIVMM_RESET };

/* Why the device starts. Written by the host; can grow. */
struct minivmm_start {
	uint32_t reason;        /* enum minivmm_start_reason */
	uint8_t generation[16]; /* random: different at the first start and at each restore */
	uint32_t size;          /* of this struct, in bytes */
	/* MINIVMM_RESTORED: not 0 if the machine is a branch: a copy of one that runs on. Check
	 * size before you read it. */
	uint32_t branch;
};

#define MINIVMM_BRANCH_PATH 32u /* bytes */

/* A program of the host connects to a port of the device. Written by the host; can grow. */
struct minivmm_connect {
	uint64_t id;   /* for minivmm_connected(); never used again */
	uint64_t port; /* as the operator gave it */
	int32_t fd;    /* the program's end: a nonblocking unix stream socket */
	uint32_t size; /* of this struct, in bytes */
};

/* Descriptor flags. */
#define MINIVMM_CONCURRENT                                                                         \
	0x1u /* callbacks of the device may run at the same time on several threads */
#define MINIVMM_UNPARKED                                                                           \
	0x2u /* a thread of the plugin, or of a library of it, is not parked during a pause: the   \
	      * process of the machine cannot be duplicated there by fork(2) */

/*
 * The role of a device in the guest's ACPI tables. A row of struct minivmm_acpi describes the
 * device there, with the id by which a driver finds it and with all its ranges and interrupts
 * (ACPI 6.5, section 6.1.5).
 */
enum minivmm_acpi_role {
	MINIVMM_ACPI_DEVICE, /* an ordinary device */
	/* Switches the machine off: its first range of ports has the one-byte registers
	 * MINIVMM_POWER_... (sections 4.8.3.7 and 4.8.3.6). */
	MINIVMM_ACPI_POWER,
	/* A PC's keyboard controller; a PC's real-time clock with the century at 0x32. The FADT
	 * reports them to kernels (section 5.2.9.3). */
	MINIVMM_ACPI_KEYBOARD,
	MINIVMM_ACPI_CLOCK,
};

struct minivmm_acpi {
	const char *hid; /* "PNP0501", "LNRO0005"; NULL: the device has only a role */
	const char *cid; /* of a compatible device, or NULL */
	uint32_t role;   /* enum minivmm_acpi_role */
	/* Name of an option of type irq, for a second id of the device: the row has this interrupt
	 * and no range, and is left out if the interrupt is none. NULL: the row has all ranges, and
	 * all interrupts without such a row. */
	const char *only;
	const char *ddn; /* another name by which drivers know the device, or NULL */
	/* Not NULL: reserve a page of guest memory for the device. A package with this name
	 * contains its address, low half and high half; minivmm_acpi_page() returns it. */
	const char *page;
	/* Not 0: at each edge of the device's interrupt, a generic event device notifies drivers
	 * with this value (section 5.6.9). The interrupt is not a resource of the device, which
	 * then has no ranges. */
	uint32_t event;
	uint32_t aml_length; /* of aml, in bytes */
	const uint8_t *aml;  /* more terms of the device in ACPI machine language, or NULL */
};

/* What a BAR of a PCI function is (PCI Express 5.0, section 7.5.1.2). */
enum minivmm_bar_type {
	MINIVMM_BAR_MEMORY32 = 1,
	MINIVMM_BAR_MEMORY64, /* takes the next number, too */
	MINIVMM_BAR_PREFETCHABLE64,
	MINIVMM_BAR_PORTS,
	MINIVMM_BAR_ROM, /* the expansion ROM; its number is 0 */
};

/* A BAR through which the guest reaches one of the device's ranges. */
struct minivmm_bar {
	uint32_t type;   /* enum minivmm_bar_type */
	uint32_t number; /* 0 to 5 */
	uint32_t range;  /* index of the row in ranges */
	uint32_t flags;  /* none yet */
};

/*
 * A capability of a PCI function (PCI Express 5.0, section 7.5.3): the core writes its id and its
 * link, and behind them bytes. The guest can change the bits that are set in writable.
 */
struct minivmm_capability {
	uint32_t id;             /* 1 to 255; 9: vendor-specific */
	uint32_t length;         /* of bytes and writable */
	const uint8_t *bytes;    /* initial contents */
	const uint8_t *writable; /* NULL: none */
	/*
	 * For a capability that is more than its bytes. read: the guest reads width bytes at
	 * offset, from the id on; *value is what they contain. written: it has written them. bytes:
	 * the contents now, from the id on. On the vCPU's thread, as range handlers. NULL: nothing
	 * to do.
	 */
	int (*read)(struct minivmm_device *dev, const uint8_t *bytes, uint32_t offset,
		    uint32_t width, uint32_t *value);
	int (*written)(struct minivmm_device *dev, const uint8_t *bytes, uint32_t offset,
		       uint32_t width);
};

/*
 * A function of a PCI device: one row for each, the first is function 0. An option selects the
 * slot. The core owns config space, BARs, masks and pending bits, and saves them. Without bus
 * mastering, the device's services for memory fail and its messages are dropped.
 */
struct minivmm_pci {
	const char *slot; /* name of the option for the slot, which the core creates; the rows of a
			     device have the same */
	const char *slot_initial; /* "none", "next", "3"; NULL: it is required */
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* class << 16 | subclass << 8 | interface */
	uint8_t revision;
	bool has_intx;                  /* an interrupt pin */
	const struct minivmm_bar *bars; /* ends with MINIVMM_END; can be NULL */
	/* Offsets in the state: of an array of vectors members of type struct minivmm_irq, for
	 * messages, which minivmm_irq_pulse() sends; of one for the interrupt pin. */
	uint32_t vectors, vectors_offset; /* vectors 0: no messages */
	uint32_t intx_offset;
	uint32_t flags; /* MINIVMM_MSI */
	/* The guest resets the function; then the core resets what it owns. */
	int (*reset)(struct minivmm_device *dev);
	const char *help;
	const struct minivmm_capability *capabilities; /* ends with MINIVMM_END; can be NULL */
};
#define MINIVMM_MSI 0x1u /* messages by MSI, at most 32, instead of MSI-X */

#define MINIVMM_POWER_CONTROL 0 /* bits 2 to 4: the sleep type; bit 5: enter it now */
#define MINIVMM_POWER_STATUS 1
#define MINIVMM_POWER_RESET 2
#define MINIVMM_POWER_OFF 5 /* the sleep type of power-off */

/* The descriptor. Static and constant. */
struct minivmm_plugin {
	const char *name;                     /* the NAME in "plugin = NAME" and NAME.so */
	const char *summary;                  /* one line */
	uint32_t state_version;               /* 1; increment when fields are added */
	uint32_t flags;                       /* MINIVMM_CONCURRENT, MINIVMM_UNPARKED */
	size_t state_size;                    /* of the plugin's struct, in bytes */
	const struct minivmm_option *options; /* each table ends with MINIVMM_END, or is NULL */
	const struct minivmm_range *ranges;
	const struct minivmm_timer *timers;
	const struct minivmm_stream *streams;
	const struct minivmm_watch *watches;
	const struct minivmm_post *posts;
	const struct minivmm_field *fields;
	int (*configure)(struct minivmm_device *dev);
	int (*start)(struct minivmm_device *dev, const struct minivmm_start *start);
	int (*pause)(
	    struct minivmm_device *dev); /* 0, or MINIVMM_PENDING: minivmm_paused() follows */
	int (*resume)(struct minivmm_device *dev);
	int (*stop)(struct minivmm_device *dev);
	void (*destroy)(struct minivmm_device *dev);
	/* For state that fields cannot describe. NULL: only the fields are saved. save must not
	 * change the state. */
	int (*save)(struct minivmm_device *dev, struct minivmm_writer *writer);
	int (*load)(struct minivmm_device *dev, struct minivmm_reader *reader, uint32_t version);
	/* After a load: check fields that depend on each other, compute members that are not
	 * fields. */
	int (*loaded)(struct minivmm_device *dev);
	const struct minivmm_acpi *acpi;
	/*
	 * A snapshot of the paused machine is being taken; save comes next. State of the device in
	 * host files must stay unchanged for a restore of the snapshot. The device therefore
	 * continues in another file. It sets the file's name in the snapshot with
	 * minivmm_option_set(), and lists the files that must be on the disk before the snapshot is
	 * valid with minivmm_capture_file().
	 */
	int (*capture)(struct minivmm_device *dev);
	const struct minivmm_pci *pci;
	/* ns; a capture that is deferred for longer fails the snapshot. 0: it is never deferred. */
	uint64_t capture_deadline;
	/*
	 * A program of the host connects to a port: ctl SOCKET connect DEVICE PORT. Returns 0: it
	 * is connected. MINIVMM_PENDING: minivmm_connected() follows, when the guest has answered.
	 * In both cases the plugin owns connect->fd from now on, and closes it after a refusal;
	 * after -1, the host closes it. Pass MSG_DONTWAIT: the program can clear O_NONBLOCK. A
	 * snapshot does not contain connections. NULL: the device has no ports.
	 */
	int (*connect)(struct minivmm_device *dev, const struct minivmm_connect *connect);
	/* Not NULL: the plugin is a tool, which is no part of the guest's machine: see
	 * minivmm/tool.h. */
	const struct minivmm_tool *tool;
};

/* pause: requests are in flight; minivmm_paused() follows. read, write: the access is deferred;
 * minivmm_complete() follows. capture: it is deferred; minivmm_captured() follows. connect:
 * minivmm_connected() follows. */
#define MINIVMM_PENDING 1

/* The end of every table. */
#ifdef __cplusplus
#define MINIVMM_END                                                                                \
	{                                                                                          \
	}
#else
#define MINIVMM_END                                                                                \
	{                                                                                          \
		0                                                                                  \
	}
#endif

/* A guest write that can arrive as an event. Written by the plugin; can grow: zero the members that
 * you do not set. */
struct minivmm_bind {
	uint32_t range, width; /* index of the row; in bytes */
	uint64_t offset, value;
	uint32_t watch; /* index of the row whose ready is called */
	uint32_t size;  /* of this struct; minivmm_bind_write() sets it */
};

#define MINIVMM_FILE_NEW 0x1u /* minivmm_file_open: fail if the file exists */

enum minivmm_level { MINIVMM_ERROR, MINIVMM_WARNING, MINIVMM_INFO, MINIVMM_DEBUG };
enum minivmm_irq_operation { MINIVMM_IRQ_RAISE, MINIVMM_IRQ_LOWER, MINIVMM_IRQ_PULSE };

/*
 * The services of the host. Use the inline functions below, which are the documented interface. A
 * layer in between (a filter, a process boundary) passes its own table. The function of a
 * service that was added later checks the size. Behind the last member, the host's table has spare
 * entries that refuse the call with the plugin's name.
 */
struct minivmm_services {
	uint32_t size;      /* of this table; a member beyond it does not exist */
	uint32_t abi;       /* MINIVMM_ABI of the host */
	uint32_t log_level; /* lines of a higher enum minivmm_level are not printed; can change */
	uint32_t reserved;
	void (*log)(struct minivmm_device *dev, uint32_t level, const char *text);
	uint64_t (*now)(struct minivmm_device *dev);
	void (*random)(struct minivmm_device *dev, void *bytes, size_t length);
	void (*irq)(struct minivmm_device *dev, const struct minivmm_irq *irq, uint32_t operation);
	int (*memory_read)(struct minivmm_device *dev, uint64_t gpa, void *to, size_t length);
	int (*memory_write)(struct minivmm_device *dev, uint64_t gpa, const void *from,
			    size_t length);
	void (*timer_set)(struct minivmm_device *dev, uint32_t timer, uint64_t deadline,
			  uint64_t period);
	void (*timer_cancel)(struct minivmm_device *dev, uint32_t timer);
	size_t (*stream_readable)(struct minivmm_device *dev, uint32_t stream);
	size_t (*stream_read)(struct minivmm_device *dev, uint32_t stream, void *to, size_t length);
	size_t (*stream_writable)(struct minivmm_device *dev, uint32_t stream);
	size_t (*stream_write)(struct minivmm_device *dev, uint32_t stream, const void *from,
			       size_t length);
	int (*watch)(struct minivmm_device *dev, uint32_t watch, int fd, uint32_t events);
	void (*post)(struct minivmm_device *dev, uint32_t post);
	void (*exit)(struct minivmm_device *dev, uint64_t status);
	void (*paused)(struct minivmm_device *dev);
	int (*instruction)(struct minivmm_device *dev, const struct minivmm_access *access,
			   uint64_t *rip);
	int (*save_fields)(struct minivmm_device *dev, struct minivmm_writer *writer);
	int (*load_fields)(struct minivmm_device *dev, struct minivmm_reader *reader,
			   uint32_t version);
	int (*put)(struct minivmm_writer *writer, const char *name, uint32_t type,
		   const void *values, size_t count, bool array);
	int (*put_begin)(struct minivmm_writer *writer, const char *name, bool list);
	int (*put_end)(struct minivmm_writer *writer);
	int (*get)(struct minivmm_reader *reader, const char *name, uint32_t type, void *values,
		   size_t maximum, size_t *count);
	int (*get_begin)(struct minivmm_reader *reader, const char *name, size_t *elements);
	int (*get_next)(struct minivmm_reader *reader);
	int (*get_end)(struct minivmm_reader *reader);
	int (*option_set)(struct minivmm_device *dev, const char *option, const char *value);
	int (*capture_file)(struct minivmm_device *dev, int fd);
	void *(*memory_map)(struct minivmm_device *dev, uint64_t gpa, size_t length);
	void (*memory_unmap)(struct minivmm_device *dev, uint64_t gpa, size_t written);
	int (*bind_write)(struct minivmm_device *dev, const struct minivmm_bind *bind);
	uint64_t (*acpi_page)(struct minivmm_device *dev);
	void (*panic)(struct minivmm_device *dev);
	int (*memory_discard)(struct minivmm_device *dev, uint64_t gpa, uint64_t length);
	bool (*may_wait)(struct minivmm_device *dev);
	int (*file_open)(struct minivmm_device *dev, const char *path, uint32_t flags);
	int (*socket_listen)(struct minivmm_device *dev, const char *path, uint32_t backlog);
	int (*socket_connect)(struct minivmm_device *dev, const char *path);
	uint64_t (*memory_size)(struct minivmm_device *dev);
	void (*error_text)(struct minivmm_device *dev, uint32_t call, int error, char *text,
			   size_t size);
	bool (*has)(struct minivmm_device *dev, const char *feature);
	uint64_t (*defer)(struct minivmm_device *dev, const struct minivmm_access *access);
	int (*complete)(struct minivmm_device *dev, uint64_t access, uint64_t value);
	uint64_t (*capture_defer)(struct minivmm_device *dev);
	int (*captured)(struct minivmm_device *dev, uint64_t capture, const char *error);
	int (*branch_file)(struct minivmm_device *dev, int fd, char *path, size_t size);
	int (*connected)(struct minivmm_device *dev, uint64_t connect, const char *error);
	int (*branch_obstacle)(struct minivmm_device *dev, const char *why);
	const struct minivmm_machine *(*machine_functions)(struct minivmm_device *dev);
};

/* Whether the host's table has a member, from a pointer to the table. */
#define MINIVMM_HAS_SERVICE(table, member)                                                         \
	((table)->size >= offsetof(struct minivmm_services, member) + sizeof((table)->member) &&   \
	 (table)->member)

/* Returns the plugin's struct. Not a service: it works everywhere. */
static inline void *
minivmm_state(const struct minivmm_device *dev)
{
	return dev->state;
}

/* The text of a line of the log. A longer one loses its end. */
#define MINIVMM_LINE 8192 /* bytes */

/* Prints one line to the log, with the device's name as prefix. While the machine runs, the number
 * of lines per second is limited. Where: in any phase, on any thread. */
__attribute__((format(printf, 3, 4))) static inline void
minivmm_log(struct minivmm_device *dev, enum minivmm_level level, const char *format, ...)
{
	char text[MINIVMM_LINE];
	va_list arguments;

	if (level <= MINIVMM_DEBUG &&
	    (uint32_t)level > __atomic_load_n(&dev->services->log_level, __ATOMIC_RELAXED))
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	dev->services->log(dev, (uint32_t)level, text);
}

/* Prints an error in one line: operation, object, cause and remedy. The callback then returns -1.
 * Where: in any phase, on any thread. */
__attribute__((format(printf, 2, 3))) static inline void
minivmm_error(struct minivmm_device *dev, const char *format, ...)
{
	char text[MINIVMM_LINE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	dev->services->log(dev, MINIVMM_ERROR, text);
}

/* Returns the VM's clock in ns. It is 0 when the machine first starts, stops while the machine is
 * paused, and continues after a restore. Where: in any phase, on any thread. */
static inline uint64_t
minivmm_now(struct minivmm_device *dev)
{
	return dev->services->now(dev);
}

/* Stores random bytes; do not use them as secrets. The state of the generator is saved: a restored
 * machine continues the same sequence. Where: from start to stop, in callbacks. */
static inline void
minivmm_random(struct minivmm_device *dev, void *bytes, size_t length)
{
	dev->services->random(dev, bytes, length);
}

/*
 * Interrupt lines. A line is up while a device that shares it has raised it. The core owns the
 * levels and saves them: a load must not change them. Repeated calls of raise or lower have no
 * effect. A PCI message has no level: raise and lower of one are refused, use
 * minivmm_irq_pulse(). Where: from start to stop, on any thread.
 */
static inline void
minivmm_irq_raise(struct minivmm_device *dev, const struct minivmm_irq *irq)
{
	dev->services->irq(dev, irq, MINIVMM_IRQ_RAISE);
}

static inline void
minivmm_irq_lower(struct minivmm_device *dev, const struct minivmm_irq *irq)
{
	dev->services->irq(dev, irq, MINIVMM_IRQ_LOWER);
}

static inline void
minivmm_irq_set(struct minivmm_device *dev, const struct minivmm_irq *irq, bool up)
{
	dev->services->irq(dev, irq, up ? MINIVMM_IRQ_RAISE : MINIVMM_IRQ_LOWER);
}

/* Makes one edge, up and down, of a line with MINIVMM_EDGE; or sends a message. */
static inline void
minivmm_irq_pulse(struct minivmm_device *dev, const struct minivmm_irq *irq)
{
	dev->services->irq(dev, irq, MINIVMM_IRQ_PULSE);
}

/*
 * Copy from and to guest memory, by guest physical address. Return 0; or -1, with nothing copied
 * and no message, if a part of [gpa, gpa + length) is not memory: the device decides what it
 * reports to the guest. Where: from start to stop, in callbacks.
 */
static inline int
minivmm_memory_read(struct minivmm_device *dev, uint64_t gpa, void *to, size_t length)
{
	return dev->services->memory_read(dev, gpa, to, length);
}

static inline int
minivmm_memory_write(struct minivmm_device *dev, uint64_t gpa, const void *from, size_t length)
{
	return dev->services->memory_write(dev, gpa, from, length);
}

/*
 * Map guest memory, for system calls that read or write it. Returns the address of [gpa, gpa +
 * length), or NULL if it is not memory in one piece. Unmap each mapping before the device is
 * paused, and pass the number of bytes from its start that may have been written.
 * Where: from start to stop except in a pause, on any thread.
 */
static inline void *
minivmm_memory_map(struct minivmm_device *dev, uint64_t gpa, size_t length)
{
	return dev->services->memory_map(dev, gpa, length);
}

/* Where: from start to destroy, on any thread. */
static inline void
minivmm_memory_unmap(struct minivmm_device *dev, uint64_t gpa, size_t written)
{
	dev->services->memory_unmap(dev, gpa, written);
}

/*
 * Discards the contents of pages that the guest does not need: they become zeros, take no space in
 * a snapshot, and the host gets the memory back where possible. gpa and length are multiples of
 * 4096. Returns 0; or -1, with nothing done, if a part of the range is not memory.
 * Where: from start to stop, in callbacks.
 */
static inline int
minivmm_memory_discard(struct minivmm_device *dev, uint64_t gpa, uint64_t length)
{
	return dev->services->memory_discard(dev, gpa, length);
}

/* What has failed with an errno: some errors mean another limit of the host than elsewhere. */
enum minivmm_call {
	MINIVMM_CALL_OTHER,  /* files, descriptors, memory */
	MINIVMM_CALL_THREAD, /* a thread or a process is created; pthread_create returns the errno
			      */
	MINIVMM_CALL_EPOLL,  /* a descriptor is added to an epoll set */
	MINIVMM_CALL_LOCKED, /* memory is locked, or registered with io_uring */
};

struct minivmm_text {
	char text[320];
};

/*
 * Returns the text of an errno, for messages: that of strerror(3) and, if it means that a limit of
 * the host is exhausted, the limit and the remedy. Keeps errno. Use it in the argument list:
 * minivmm_error(dev, "cannot open %s: %s", path,
 *               minivmm_error_text(dev, MINIVMM_CALL_OTHER, errno).text).
 * Where: in any phase, on any thread.
 */
static inline struct minivmm_text
minivmm_error_text(struct minivmm_device *dev, enum minivmm_call call, int error)
{
	const struct minivmm_services *s = dev->services;
	struct minivmm_text text = { "" };

	if (MINIVMM_HAS_SERVICE(s, error_text))
		s->error_text(dev, (uint32_t)call, error, text.text, sizeof(text.text));
	else /* an older host */
		strncpy(text.text, strerror(error), sizeof(text.text) - 1);
	return text;
}

/*
 * Returns the size of guest memory in bytes. UINT64_MAX: unknown, because a config with mistakes is
 * checked, or the host is older than this function. Where: in any phase, on any thread.
 */
static inline uint64_t
minivmm_memory_size(struct minivmm_device *dev)
{
	const struct minivmm_services *s = dev->services;

	return MINIVMM_HAS_SERVICE(s, memory_size) ? s->memory_size(dev) : UINT64_MAX;
}

/*
 * Timers, by index of their row. deadline: on the VM's clock, in ns; a deadline in the past fires
 * at once. period: in ns; 0: the timer fires once. The core saves and restores timers.
 * Where: from start to stop, in callbacks.
 */
static inline void
minivmm_timer_set(struct minivmm_device *dev, uint32_t timer, uint64_t deadline, uint64_t period)
{
	dev->services->timer_set(dev, timer, deadline, period);
}

static inline void
minivmm_timer_cancel(struct minivmm_device *dev, uint32_t timer)
{
	dev->services->timer_cancel(dev, timer);
}

/* Streams, by index of their row. They never block: read copies the bytes that are there, write
 * accepts the bytes for which there is room. All return a number of bytes.
 * Where: from start to stop, in callbacks. */
static inline size_t
minivmm_stream_readable(struct minivmm_device *dev, uint32_t stream)
{
	return dev->services->stream_readable(dev, stream);
}

static inline size_t
minivmm_stream_read(struct minivmm_device *dev, uint32_t stream, void *to, size_t length)
{
	return dev->services->stream_read(dev, stream, to, length);
}

static inline size_t
minivmm_stream_writable(struct minivmm_device *dev, uint32_t stream)
{
	return dev->services->stream_writable(dev, stream);
}

static inline size_t
minivmm_stream_write(struct minivmm_device *dev, uint32_t stream, const void *from, size_t length)
{
	return dev->services->stream_write(dev, stream, from, length);
}

/*
 * Makes the I/O thread wait for a descriptor. The plugin owns the descriptor. fd -1 ends the watch:
 * end it before you close the descriptor. A hang-up is reported repeatedly until the watch ends.
 * While the machine is paused, ready is not called. Watches are not saved: start of a restored
 * device must watch again. A range handler uses a post. Returns 0, or -1 after an error message.
 * Where: from start to stop, in callbacks on the I/O thread.
 */
static inline int
minivmm_watch(struct minivmm_device *dev, uint32_t watch, int fd, uint32_t events)
{
	return dev->services->watch(dev, watch, fd, events);
}

/*
 * Allows this write to arrive as an event (an ioeventfd). Then the I/O thread calls the watch's
 * ready, once for several writes, instead of the range's write on the vCPU's thread, and the vCPU
 * does not wait. The host chooses between ready and write (a trace shows each write), so both must
 * do the same. A snapshot does not contain pending events: start must check for work that the guest
 * has requested before the snapshot. With reason RESET, the writes are bound already. Returns 0, or
 * -1 after an error message. Where: in start, in callbacks on the I/O thread.
 */
static inline int
minivmm_bind_write(struct minivmm_device *dev, const struct minivmm_bind *bind)
{
	struct minivmm_bind sized = *bind;

	sized.size = sizeof(sized);
	return dev->services->bind_write(dev, &sized);
}

/*
 * Makes the I/O thread call the post's run soon; calls before that run count as one. A snapshot
 * does not contain pending posts: start of a restored device must post again. Where: from start to
 * stop, on any thread.
 */
static inline void
minivmm_post(struct minivmm_device *dev, uint32_t post)
{
	dev->services->post(dev, post);
}

/* Ends the machine soon; status is the guest's exit status.
 * Where: from start to stop, in callbacks. */
static inline void
minivmm_exit(struct minivmm_device *dev, uint64_t status)
{
	dev->services->exit(dev, status);
}

/* Ends the machine soon and reports a panic of the guest.
 * Where: from start to stop, in callbacks. */
static inline void
minivmm_panic(struct minivmm_device *dev)
{
	dev->services->panic(dev);
}

/*
 * Ends a pause that has returned MINIVMM_PENDING, or is about to: all requests in flight have
 * finished. A host without MINIVMM_PARKED_THREADS allows it only on the I/O thread.
 * Where: from start to stop, on any thread.
 */
static inline void
minivmm_paused(struct minivmm_device *dev)
{
	dev->services->paused(dev);
}

/*
 * Whether the caller may do work that takes more than some milliseconds, like a system call on a
 * file: it is not on the I/O thread, on which all devices and the control socket depend, and no
 * pause waits for it. Ask before each piece of the work. If the answer is no, pass the rest to a
 * thread of the plugin. A host without this service answers yes.
 * Where: in any phase, on any thread.
 */
static inline bool
minivmm_may_wait(struct minivmm_device *dev)
{
	const struct minivmm_services *s = dev->services;

	return MINIVMM_HAS_SERVICE(s, may_wait) ? s->may_wait(dev) : true;
}

/*
 * Features of the host, by name: for a plugin that works without them, too. One that does not lists
 * them in MINIVMM_REGISTER(), and older hosts refuse it by the feature's name.
 */
#define MINIVMM_DEFERRED_ACCESS "deferred-access" /* minivmm_defer(), minivmm_complete() */
#define MINIVMM_HAS_PCI "pci"                     /* the table pci */
#define MINIVMM_STREAM_EVENTS "stream-events"     /* connected of a stream */
#define MINIVMM_DEFERRED_CAPTURE                                                                   \
	"deferred-capture" /* minivmm_capture_defer(), minivmm_captured() */
#define MINIVMM_PARKED_THREADS                                                                     \
	"parked-threads"                  /* minivmm_paused() on any thread, MINIVMM_UNPARKED */
#define MINIVMM_CONNECTIONS "connections" /* connect of the descriptor, minivmm_connected() */
#define MINIVMM_TOOLS "tools"             /* tool of the descriptor */

/* Whether the host has a feature. Where: in any phase, on any thread. */
static inline bool
minivmm_has(struct minivmm_device *dev, const char *feature)
{
	const struct minivmm_services *s = dev->services;

	return MINIVMM_HAS_SERVICE(s, has) && s->has(dev, feature);
}

/*
 * Defers the access for which the handler was called. The handler then returns MINIVMM_PENDING, and
 * only the vCPU of the access waits, without the device's lock, for minivmm_complete(). A pause
 * waits for it, too, and is refused with the device's name after a second. A reset and the end of
 * the machine cancel the access. Returns the id of the access, which is never used again; or 0: the
 * call was refused, or the host is older than this function.
 * Where: while the guest runs, in range handlers.
 */
static inline uint64_t
minivmm_defer(struct minivmm_device *dev, const struct minivmm_access *access)
{
	const struct minivmm_services *s = dev->services;

	return MINIVMM_HAS_SERVICE(s, defer) ? s->defer(dev, access) : 0;
}

/*
 * Completes a deferred access, also before its handler has returned. value: of a read, in the low
 * width bytes. Returns 0; or -1: the access was cancelled, or was completed before.
 * Where: from start to stop, on any thread.
 */
static inline int
minivmm_complete(struct minivmm_device *dev, uint64_t access, uint64_t value)
{
	const struct minivmm_services *s = dev->services;

	return MINIVMM_HAS_SERVICE(s, complete) ? s->complete(dev, access, value) : -1;
}

/*
 * Changes the value of an option with MINIVMM_HOST in later snapshots; the member does not change.
 * Returns 0, or -1 after an error message.
 * Where: from start to stop and in capture, in callbacks on the I/O thread.
 */
static inline int
minivmm_option_set(struct minivmm_device *dev, const char *option, const char *value)
{
	return dev->services->option_set(dev, option, value);
}

/*
 * The snapshot becomes valid only after fdatasync(2) of this file or folder, which runs while the
 * machine continues. The plugin owns the descriptor. Returns 0, or -1 after an error message.
 * Where: in capture, in callbacks on the I/O thread.
 */
static inline int
minivmm_capture_file(struct minivmm_device *dev, int fd)
{
	return dev->services->capture_file(dev, fd);
}

/*
 * Defers the capture, for state that another process has. capture then returns MINIVMM_PENDING.
 * The machine stays paused, without callbacks of its devices, until minivmm_captured() has been
 * called for each deferred capture; save follows. The operator's cancel, quit and reset, a signal,
 * and the deadline of the descriptor cancel it: the snapshot fails, and resume, start (after a
 * reset) or stop follows. Returns the id of the capture, which is never used again; or 0: the call
 * was refused, or the host is older than this function.
 * Where: in capture, in callbacks on the I/O thread.
 */
static inline uint64_t
minivmm_capture_defer(struct minivmm_device *dev)
{
	const struct minivmm_services *s = dev->services;

	return MINIVMM_HAS_SERVICE(s, capture_defer) ? s->capture_defer(dev) : 0;
}

/*
 * Ends a deferred capture, also before the callback has returned. error: why it has failed, in one
 * line for the operator; NULL: the state is complete. Returns 0; or -1: the capture was cancelled,
 * or was ended before. Where: from start to stop and in capture, on any thread.
 */
static inline int
minivmm_captured(struct minivmm_device *dev, uint64_t capture, const char *error)
{
	const struct minivmm_services *s = dev->services;

	return MINIVMM_HAS_SERVICE(s, captured) ? s->captured(dev, capture, error) : -1;
}

/*
 * Answers a connect that has returned MINIVMM_PENDING, or is about to. error: why the guest or the
 * device refuses, in one line for the operator; NULL: the connection is established. Returns 0; or
 * -1: the machine was reset or has ended, or the answer was given before.
 * Where: from start to stop, on any thread.
 */
static inline int
minivmm_connected(struct minivmm_device *dev, uint64_t connect, const char *error)
{
	const struct minivmm_services *s = dev->services;

	return MINIVMM_HAS_SERVICE(s, connected) ? s->connected(dev, connect, error) : -1;
}

/*
 * Opens a file that the device writes, for reading and writing. Open inputs of the user, like
 * disks, with open(2). A new file has mode 0600. The path may not be a symbolic link. The file is
 * locked (flock) until it is closed: no other machine can open it this way. flags:
 * MINIVMM_FILE_NEW, or 0 to open or create. Returns a descriptor, which the plugin owns; or -1:
 * with errno EEXIST and no message if a new file exists already, otherwise after an error message.
 * If the machine cannot start, the core removes the new files.
 * Where: from start to stop and in capture, in callbacks on the I/O thread.
 */
static inline int
minivmm_file_open(struct minivmm_device *dev, const char *path, uint32_t flags)
{
	return dev->services->file_open(dev, path, flags);
}

/*
 * In a capture for a branch, keeps a duplicate of fd open for the new machines, and stores the path
 * by which they can open the file in start, at most MINIVMM_BRANCH_PATH bytes with the NUL: for a
 * file without a name. fd -1: keeps nothing. Returns 1; 0: the capture is for a snapshot; -1 after
 * an error message. Where: in capture, in callbacks on the I/O thread.
 */
static inline int
minivmm_branch_file(struct minivmm_device *dev, int fd, char path[MINIVMM_BRANCH_PATH])
{
	const struct minivmm_services *s = dev->services;

	return MINIVMM_HAS_SERVICE(s, branch_file)
		   ? s->branch_file(dev, fd, path, MINIVMM_BRANCH_PATH)
		   : 0;
}

/*
 * Says why the machine cannot be branched, and how it can ("its disk has 128 layers: ..."), at most
 * 255 bytes; NULL: it can, as at the beginning. A branch is then refused before the machine stops.
 * The host copies the text. Returns 0 or -1. Where: from start to stop and in capture, in callbacks
 * on the I/O thread.
 */
static inline int
minivmm_branch_obstacle(struct minivmm_device *dev, const char *why)
{
	const struct minivmm_services *s = dev->services;

	return MINIVMM_HAS_SERVICE(s, branch_obstacle) ? s->branch_obstacle(dev, why) : 0;
}

/*
 * Listens on a unix socket. The last component of the path has at most 85 bytes. The host replaces
 * the socket of a dead process, refuses one that another machine uses, and removes the files after
 * destroy. With reason RESET, the socket is open already. Returns a nonblocking descriptor, which
 * the plugin owns, or -1 after an error message. Where: in start, in callbacks on the I/O thread.
 */
static inline int
minivmm_socket_listen(struct minivmm_device *dev, const char *path, uint32_t backlog)
{
	return dev->services->socket_listen(dev, path, backlog);
}

/* Connects to a unix socket. Returns a nonblocking descriptor, which the plugin owns, or -1 with
 * errno and no message. Where: from start to stop, in callbacks. */
static inline int
minivmm_socket_connect(struct minivmm_device *dev, const char *path)
{
	return dev->services->socket_connect(dev, path);
}

/*
 * Returns the guest physical address of the page (4096 bytes, initially zeros) that a row of the
 * device's acpi requests; 0 if the guest has no ACPI tables, or if too many devices request a page.
 * Where: from start to stop, in callbacks.
 */
static inline uint64_t
minivmm_acpi_page(struct minivmm_device *dev)
{
	return dev->services->acpi_page(dev);
}

/*
 * Stores rip as KVM reports it at this exit. For a read it is the address of the instruction, for a
 * write that of the next one; for OUT it depends on the host. This costs a system call. Returns 0
 * or -1. Where: while the guest runs, in range handlers.
 */
static inline int
minivmm_instruction(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t *rip)
{
	return dev->services->instruction(dev, access, rip);
}

/* Save and load the fields, as the core does for a plugin without save and load.
 * Where: in save, in callbacks on the I/O thread. */
static inline int
minivmm_save_fields(struct minivmm_device *dev, struct minivmm_writer *writer)
{
	return dev->services->save_fields(dev, writer);
}

/* Where: in load, in callbacks on the I/O thread. */
static inline int
minivmm_load_fields(struct minivmm_device *dev, struct minivmm_reader *reader, uint32_t version)
{
	return dev->services->load_fields(dev, reader, version);
}

/*
 * Named values, arrays (of U8 to BOOL), groups and lists of groups, nested up to 15 deep, at most
 * 4096 values in a group.
 *
 * save: put values by name. For a list: put_begin(list); for each element put_begin(NULL), values,
 * put_end; then put_end.
 * load: get values by name, in any order. get_begin stores the number of elements of a list,
 * get_next enters the next element. get fails, with an error message, if the value is missing, has
 * another type, or has more than maximum elements. A value that load has not read is an error, too.
 * Where: in save, in callbacks on the I/O thread.
 */
static inline int
minivmm_put_u64(struct minivmm_device *dev, struct minivmm_writer *writer, const char *name,
		uint64_t value)
{
	return dev->services->put(writer, name, MINIVMM_U64, &value, 1, false);
}

static inline int
minivmm_put_array(struct minivmm_device *dev, struct minivmm_writer *writer, const char *name,
		  enum minivmm_type type, const void *values, size_t count)
{
	return dev->services->put(writer, name, type, values, count, true);
}

static inline int
minivmm_put_begin(struct minivmm_device *dev, struct minivmm_writer *writer, const char *name,
		  bool list)
{
	return dev->services->put_begin(writer, name, list);
}

static inline int
minivmm_put_end(struct minivmm_device *dev, struct minivmm_writer *writer)
{
	return dev->services->put_end(writer);
}

/* Where: in load, in callbacks on the I/O thread. */
static inline int
minivmm_get_u64(struct minivmm_device *dev, struct minivmm_reader *reader, const char *name,
		uint64_t *value)
{
	return dev->services->get(reader, name, MINIVMM_U64, value, 1, NULL);
}

static inline int
minivmm_get_array(struct minivmm_device *dev, struct minivmm_reader *reader, const char *name,
		  enum minivmm_type type, void *values, size_t maximum, size_t *count)
{
	return dev->services->get(reader, name, type, values, maximum, count);
}

static inline int
minivmm_get_begin(struct minivmm_device *dev, struct minivmm_reader *reader, const char *name,
		  size_t *elements)
{
	return dev->services->get_begin(reader, name, elements);
}

static inline int
minivmm_get_next(struct minivmm_device *dev, struct minivmm_reader *reader)
{
	return dev->services->get_next(reader);
}

static inline int
minivmm_get_end(struct minivmm_device *dev, struct minivmm_reader *reader)
{
	return dev->services->get_end(reader);
}

/* Returns the machine's functions for a tool; NULL: the host is older than tools. Use those of
 * minivmm/tool.h. Where: from start to stop, in callbacks on the I/O thread. */
static inline const struct minivmm_machine *
minivmm_machine_functions(struct minivmm_device *dev)
{
	const struct minivmm_services *s = dev->services;

	return MINIVMM_HAS_SERVICE(s, machine_functions) ? s->machine_functions(dev) : NULL;
}

#ifdef __cplusplus
}
#pragma GCC diagnostic pop
#endif

/* The macros with _ at the end take a further empty argument: a macro with "..." needs one. */

/*
 * MINIVMM_OPTION(struct foo, member, initial, help, ...): a row whose type is the member's C type;
 * more designated initialisers (.flags, .min, .max) may follow. MINIVMM_OPTION_AS(SIZE, ...) names
 * the type where the C type leaves a choice: SIZE, ADDRESS, DURATION (uint64_t), PORT (uint16_t),
 * ENUM (uint32_t, with .values), PATH (const char *). A member of the wrong C type does not
 * compile.
 */
#define MINIVMM_OPTION(structure, member, initial_text, ...)                                       \
	MINIVMM_OPTION_(structure, member, initial_text, __VA_ARGS__, )
#define MINIVMM_OPTION_(structure, member, initial_text, help_text, ...)                           \
	{                                                                                          \
		.name = #member, .type = MINIVMM_OPTION_TYPE(structure, member),                   \
		.offset = (uint32_t)offsetof(structure, member), .initial = (initial_text),        \
		.help = (help_text), __VA_ARGS__                                                   \
	}

#define MINIVMM_OPTION_AS(kind, structure, member, initial_text, ...)                              \
	MINIVMM_OPTION_AS_(kind, structure, member, initial_text, __VA_ARGS__, )
#define MINIVMM_OPTION_AS_(kind, structure, member, initial_text, help_text, ...)                  \
	{                                                                                          \
		.name = #member, .type = MINIVMM_AS(kind, structure, member),                      \
		.offset = (uint32_t)offsetof(structure, member), .initial = (initial_text),        \
		.help = (help_text), __VA_ARGS__                                                   \
	}

/*
 * MINIVMM_FIELD(struct foo, member, ...): a number, a bool, or an array of them; .initial, .max,
 * .since, .help may follow. MINIVMM_FIELD_COUNTED(struct foo, array, counter): only the first
 * counter elements are saved, and a load sets the counter, which is no option.
 * MINIVMM_FIELD_POINTER(struct foo, pointer, counter): pointer points to counter elements that
 * configure has allocated; counter is an option, or a member that configure sets and that is no
 * field. A load of another number of elements is refused. .help may follow both. A member of
 * another kind does not compile.
 */
#define MINIVMM_FIELD(structure, ...) MINIVMM_FIELD_(structure, __VA_ARGS__, )
#define MINIVMM_FIELD_(structure, member, ...)                                                     \
	{                                                                                          \
		.name = #member, .type = MINIVMM_FIELD_TYPE(structure, member),                    \
		.offset = (uint32_t)offsetof(structure, member),                                   \
		.count = MINIVMM_COUNT_OF(structure, member), __VA_ARGS__                          \
	}

#define MINIVMM_FIELD_COUNTED(structure, member, ...)                                              \
	MINIVMM_FIELD_COUNTED_(structure, member, __VA_ARGS__, )
#define MINIVMM_FIELD_COUNTED_(structure, member, counter, ...)                                    \
	{                                                                                          \
		.name = #member, .type = MINIVMM_ARRAY_TYPE(structure, member),                    \
		.offset = (uint32_t)offsetof(structure, member),                                   \
		.count = MINIVMM_COUNT_OF(structure, member),                                      \
		.counter_offset = (uint32_t)offsetof(structure, counter),                          \
		.counter_type = MINIVMM_COUNTER_TYPE(structure, counter), __VA_ARGS__              \
	}

#define MINIVMM_FIELD_POINTER(structure, member, ...)                                              \
	MINIVMM_FIELD_POINTER_(structure, member, __VA_ARGS__, )
#define MINIVMM_FIELD_POINTER_(structure, member, counter, ...)                                    \
	{                                                                                          \
		.name = #member, .type = MINIVMM_POINTER_TYPE(structure, member),                  \
		.offset = (uint32_t)offsetof(structure, member), .flags = MINIVMM_POINTER,         \
		.counter_offset = (uint32_t)offsetof(structure, counter),                          \
		.counter_type = MINIVMM_COUNTER_TYPE(structure, counter), __VA_ARGS__              \
	}

/* The errors of the compiler for a member of another type. */
#define MINIVMM_NO_OPTION                                                                          \
	"an option is uint8_t to uint64_t, bool, const char * or struct minivmm_irq"
#define MINIVMM_NO_FIELD                                                                           \
	"a field is uint8_t to uint64_t, bool, or an array of one; MINIVMM_FIELD_POINTER is for "  \
	"pointers"
#define MINIVMM_NO_ARRAY "MINIVMM_FIELD_COUNTED is for an array of uint8_t to uint64_t or bool"
#define MINIVMM_NO_POINTER "MINIVMM_FIELD_POINTER is for a pointer to uint8_t to uint64_t or bool"
#define MINIVMM_NO_COUNTER "a counter is uint8_t to uint64_t"

#ifndef __cplusplus
/* Evaluates to value. The compiler reports text if the condition is false. */
#define MINIVMM_ASSURED(value, condition, text)                                                    \
	((uint32_t)((value) + 0 * sizeof(struct {                                                  \
				      _Static_assert(condition, text);                             \
				      char nothing;                                                \
			      })))
/* The type of a number, or 0. */
#define MINIVMM_NUMBER_OF(structure, member)                                                       \
	_Generic(&((structure *)0)->member, uint8_t *: MINIVMM_U8, uint16_t *: MINIVMM_U16,        \
		 uint32_t *: MINIVMM_U32, uint64_t *: MINIVMM_U64, bool *: MINIVMM_BOOL, default: 0)
/* The element type of an array or a pointer, or 0. An array decays to a pointer here. */
#define MINIVMM_ELEMENT_OF(structure, member)                                                      \
	_Generic(((structure *)0)->member, uint8_t *: MINIVMM_U8, uint16_t *: MINIVMM_U16,         \
		 uint32_t *: MINIVMM_U32, uint64_t *: MINIVMM_U64, bool *: MINIVMM_BOOL, default: 0)
#define MINIVMM_IS_POINTER(structure, member)                                                      \
	_Generic(&((structure *)0)->member, uint8_t * * : 1, uint16_t * * : 1, uint32_t * * : 1,   \
		 uint64_t * * : 1, bool ** : 1, default : 0)
#define MINIVMM_OTHER_OF(structure, member)                                                        \
	_Generic(&((structure *)0)->member, const char **: MINIVMM_STRING,                         \
		 struct minivmm_irq *: MINIVMM_IRQ, default: 0)
#define MINIVMM_OPTION_TYPE(structure, member)                                                     \
	MINIVMM_ASSURED(                                                                           \
	    MINIVMM_NUMBER_OF(structure, member) + MINIVMM_OTHER_OF(structure, member),            \
	    MINIVMM_NUMBER_OF(structure, member) + MINIVMM_OTHER_OF(structure, member),            \
	    MINIVMM_NO_OPTION)
#define MINIVMM_FIELD_TYPE(structure, member)                                                      \
	MINIVMM_ASSURED(                                                                           \
	    MINIVMM_NUMBER_OF(structure, member) + MINIVMM_ELEMENT_OF(structure, member),          \
	    MINIVMM_NUMBER_OF(structure, member) + MINIVMM_ELEMENT_OF(structure, member) &&        \
		!MINIVMM_IS_POINTER(structure, member),                                            \
	    MINIVMM_NO_FIELD)
#define MINIVMM_ARRAY_TYPE(structure, member)                                                      \
	MINIVMM_ASSURED(MINIVMM_ELEMENT_OF(structure, member),                                     \
			MINIVMM_ELEMENT_OF(structure, member) &&                                   \
			    !MINIVMM_IS_POINTER(structure, member),                                \
			MINIVMM_NO_ARRAY)
#define MINIVMM_POINTER_TYPE(structure, member)                                                    \
	MINIVMM_ASSURED(MINIVMM_ELEMENT_OF(structure, member),                                     \
			MINIVMM_IS_POINTER(structure, member), MINIVMM_NO_POINTER)
#define MINIVMM_COUNTER_TYPE(structure, member)                                                    \
	MINIVMM_ASSURED(MINIVMM_NUMBER_OF(structure, member),                                      \
			MINIVMM_NUMBER_OF(structure, member) &&                                    \
			    MINIVMM_NUMBER_OF(structure, member) != MINIVMM_BOOL,                  \
			MINIVMM_NO_COUNTER)
#define MINIVMM_AS(kind, structure, member) MINIVMM_AS_##kind(((structure *)0)->member)
#define MINIVMM_AS_SIZE(member) _Generic((member), uint64_t : MINIVMM_SIZE)
#define MINIVMM_AS_ADDRESS(member) _Generic((member), uint64_t : MINIVMM_ADDRESS)
#define MINIVMM_AS_DURATION(member) _Generic((member), uint64_t : MINIVMM_DURATION)
#define MINIVMM_AS_PORT(member) _Generic((member), uint16_t : MINIVMM_PORT)
#define MINIVMM_AS_ENUM(member) _Generic((member), uint32_t : MINIVMM_ENUM)
#define MINIVMM_AS_PATH(member) _Generic((member), const char * : MINIVMM_PATH)
/* The number of elements of an array; 0 for a scalar. */
#define MINIVMM_COUNT_OF(structure, member)                                                        \
	_Generic(&((structure *)0)->member, uint8_t * : 0, uint16_t * : 0, uint32_t * : 0,         \
		 uint64_t * : 0, bool * : 0, default                                               \
		 : (uint32_t)(sizeof(((structure *)0)->member) /                                   \
			      sizeof(*MINIVMM_DECAY(structure, member))))
#define MINIVMM_DECAY(structure, member)                                                           \
	_Generic(((structure *)0)->member, \
		uint8_t *: ((structure *)0)->member, uint16_t *: ((structure *)0)->member, \
		uint32_t *: ((structure *)0)->member, uint64_t *: ((structure *)0)->member, \
		bool *: ((structure *)0)->member, default: (char *)0)
#else
#include <type_traits>
namespace minivmm_detail
{
/* The type of a number, or 0. */
template <typename T>
constexpr uint32_t
number()
{
	if (std::is_same<T, uint8_t>::value)
		return MINIVMM_U8;
	if (std::is_same<T, uint16_t>::value)
		return MINIVMM_U16;
	if (std::is_same<T, uint32_t>::value)
		return MINIVMM_U32;
	if (std::is_same<T, uint64_t>::value)
		return MINIVMM_U64;
	return std::is_same<T, bool>::value * (uint32_t)MINIVMM_BOOL;
}
template <typename T>
constexpr uint32_t
option()
{
	constexpr uint32_t type =
	    number<T>() + std::is_same<T, const char *>::value * (uint32_t)MINIVMM_STRING +
	    std::is_same<T, struct minivmm_irq>::value * (uint32_t)MINIVMM_IRQ;

	static_assert(type != 0, MINIVMM_NO_OPTION);
	return type;
}
template <typename T>
constexpr uint32_t
field()
{
	constexpr uint32_t type =
	    std::rank<T>::value < 2 ? number<typename std::remove_extent<T>::type>() : 0;

	static_assert(type != 0, MINIVMM_NO_FIELD);
	return type;
}
template <typename T>
constexpr uint32_t
array()
{
	constexpr uint32_t type =
	    std::rank<T>::value == 1 ? number<typename std::remove_extent<T>::type>() : 0;

	static_assert(type != 0, MINIVMM_NO_ARRAY);
	return type;
}
template <typename T>
constexpr uint32_t
pointer()
{
	constexpr uint32_t type =
	    std::is_pointer<T>::value ? number<typename std::remove_pointer<T>::type>() : 0;

	static_assert(type != 0, MINIVMM_NO_POINTER);
	return type;
}
template <typename T>
constexpr uint32_t
counter()
{
	static_assert(number<T>() != 0 && number<T>() != MINIVMM_BOOL, MINIVMM_NO_COUNTER);
	return number<T>();
}
template <typename T, typename Wanted, uint32_t type>
constexpr uint32_t
as()
{
	static_assert(std::is_same<T, Wanted>::value,
		      "the member's type does not fit the option's");
	return type;
}
} // namespace minivmm_detail
#define MINIVMM_OPTION_TYPE(structure, member)                                                     \
	minivmm_detail::option<decltype(((structure *)0)->member)>()
#define MINIVMM_FIELD_TYPE(structure, member)                                                      \
	minivmm_detail::field<decltype(((structure *)0)->member)>()
#define MINIVMM_ARRAY_TYPE(structure, member)                                                      \
	minivmm_detail::array<decltype(((structure *)0)->member)>()
#define MINIVMM_POINTER_TYPE(structure, member)                                                    \
	minivmm_detail::pointer<decltype(((structure *)0)->member)>()
#define MINIVMM_COUNTER_TYPE(structure, member)                                                    \
	minivmm_detail::counter<decltype(((structure *)0)->member)>()
#define MINIVMM_AS(kind, structure, member) MINIVMM_AS_##kind(decltype(((structure *)0)->member))
#define MINIVMM_AS_SIZE(type) minivmm_detail::as<type, uint64_t, MINIVMM_SIZE>()
#define MINIVMM_AS_ADDRESS(type) minivmm_detail::as<type, uint64_t, MINIVMM_ADDRESS>()
#define MINIVMM_AS_DURATION(type) minivmm_detail::as<type, uint64_t, MINIVMM_DURATION>()
#define MINIVMM_AS_PORT(type) minivmm_detail::as<type, uint16_t, MINIVMM_PORT>()
#define MINIVMM_AS_ENUM(type) minivmm_detail::as<type, uint32_t, MINIVMM_ENUM>()
#define MINIVMM_AS_PATH(type) minivmm_detail::as<type, const char *, MINIVMM_PATH>()
#define MINIVMM_COUNT_OF(structure, member)                                                        \
	(uint32_t) std::extent<decltype(((structure *)0)->member)>::value
#endif

/*
 * The type of the exported symbol, minivmm_registration. It records the ABI for which the plugin
 * was compiled and the sizes of its rows, so that the rows of either side can be longer than those
 * of the other.
 */
struct minivmm_registration {
	uint32_t abi;
	uint32_t size; /* of this struct; all sizes are in bytes */
	uint32_t plugin_size;
	uint32_t option_size, range_size, register_size, timer_size, stream_size, watch_size,
	    post_size, field_size;
	uint32_t acpi_size;
	const struct minivmm_plugin *plugin;
	const char *const *needs; /* names of features, NULL-terminated; NULL: none */
	uint32_t pci_size, bar_size, capability_size;
};

#ifdef __cplusplus
#define MINIVMM_EXPORT extern "C" __attribute__((visibility("default")))
#else
#define MINIVMM_EXPORT extern __attribute__((visibility("default")))
#endif

/* MINIVMM_REGISTER(foo), or with the features without which the plugin does not work:
 * MINIVMM_REGISTER(foo, MINIVMM_DEFERRED_ACCESS). */
#define MINIVMM_REGISTER(...) MINIVMM_REGISTER_(__VA_ARGS__, (const char *)0)
#define MINIVMM_REGISTER_(descriptor, ...)                                                         \
	static const char *const minivmm_needs[] = { __VA_ARGS__ };                                \
	MINIVMM_EXPORT const struct minivmm_registration minivmm_registration;                     \
	const struct minivmm_registration minivmm_registration = {                                 \
		MINIVMM_ABI,                                                                       \
		sizeof(struct minivmm_registration),                                               \
		sizeof(struct minivmm_plugin),                                                     \
		sizeof(struct minivmm_option),                                                     \
		sizeof(struct minivmm_range),                                                      \
		sizeof(struct minivmm_register),                                                   \
		sizeof(struct minivmm_timer),                                                      \
		sizeof(struct minivmm_stream),                                                     \
		sizeof(struct minivmm_watch),                                                      \
		sizeof(struct minivmm_post),                                                       \
		sizeof(struct minivmm_field),                                                      \
		sizeof(struct minivmm_acpi),                                                       \
		&descriptor,                                                                       \
		minivmm_needs,                                                                     \
		sizeof(struct minivmm_pci),                                                        \
		sizeof(struct minivmm_bar),                                                        \
		sizeof(struct minivmm_capability)                                                  \
	};                                                                                         \
	/* a semicolon follows */                                                                  \
	extern int minivmm_registered_##descriptor

#endif
