/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An NVMe controller with one namespace (NVM Express 1.4): a front end of common/disk/block.h.
 *
 *   nvme.c       the plugin, registers, enable, reset, shutdown
 *   queues.c     doorbells: takes commands from submission queues, posts completions, interrupts
 *   shadow.c     doorbells in guest memory
 *   events.c     async events
 *   admin.c      admin commands: queues, features, events
 *   identify.c   data that the controller returns: identify, log pages
 *   io.c         I/O commands, which become jobs of the disk
 *   prp.c        data in guest memory
 *
 * The driver owns the queues and PRP lists in guest memory, and may change them at any time. They
 * are copied before they are checked. A command is taken only if the completion queue has room for
 * the completions of all commands that are in progress, so that each completion can be posted.
 *
 * Doorbells are no ioeventfds: their writes carry a value.
 */
#ifndef PLUGINS_NVME_H
#define PLUGINS_NVME_H

#include "../common/disk/block.h"

#define NVME_VERSION 0x00010400u
#define NVME_PCI_VENDOR 0x1af4u
#define NVME_QUEUES 16             /* maximum number of I/O queues of each kind */
#define NVME_IDS (NVME_QUEUES + 1) /* queue 0 is the admin queue */
#define NVME_ENTRIES 1024u         /* maximum of a queue: CAP.MQES + 1 */
#define NVME_PAGE 4096u            /* the only page size, CC.MPS = 0 */
#define NVME_MDTS 7u               /* maximum transfer: 2^7 pages */
#define NVME_DATA (NVME_PAGE << NVME_MDTS)
#define NVME_EVENTS 4u /* maximum number of async event requests */
#define NVME_ERRORS 4u /* entries of the error log */
#define NVME_ERROR_BYTES 64u
#define NVME_NAMESPACE 1u
#define NVME_ALL_NAMESPACES 0xffffffffu
#define NVME_NO_QUEUE 0xffu /* of the job that flushes before a shutdown */
#define NVME_FEATURES 12u
#define NVME_TEMPERATURE 0x157u /* K at which a real device would warn */

#define NVME_DOORBELLS 0x1000u
#define NVME_REGISTERS 0x2000u /* length of the BAR */

/* Status of a command: type << 8 | code (sections 4.6.1.2.1 to 4.6.1.2.3). */
enum nvme_status {
	NVME_SUCCESS = 0,
	NVME_INVALID_OPCODE = 0x01,
	NVME_INVALID_FIELD = 0x02,
	NVME_TRANSFER_ERROR = 0x04,
	NVME_INTERNAL_ERROR = 0x06,
	NVME_ABORTED = 0x07,
	NVME_INVALID_NAMESPACE = 0x0b,
	NVME_SEQUENCE_ERROR = 0x0c,
	NVME_PRP_OFFSET = 0x13,
	NVME_WRITE_PROTECTED = 0x20,
	NVME_LBA_RANGE = 0x80,
	NVME_CAPACITY = 0x81,
	NVME_CQ_INVALID = 0x100,
	NVME_QUEUE_ID = 0x101,
	NVME_QUEUE_SIZE = 0x102,
	NVME_EVENT_LIMIT = 0x105,
	NVME_VECTOR = 0x108,
	NVME_LOG_PAGE = 0x109,
	NVME_QUEUE_DELETION = 0x10c,
	NVME_NOT_SAVEABLE = 0x10d,
	NVME_NOT_OF_NAMESPACE = 0x10f,
	NVME_WRITE_FAULT = 0x280,
	NVME_READ_ERROR = 0x281,
	NVME_LATER = 0xffff, /* no completion now */
};

struct nvme_command {
	uint8_t opcode, flags;
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2, cdw3;
	uint64_t metadata, prp1, prp2;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};

enum nvme_cc { CC_ENABLE = 0x1, CC_SHUTDOWN = 0xc000 };
enum nvme_csts { CSTS_READY = 1, CSTS_FATAL = 2, CSTS_SHUTTING = 4, CSTS_SHUT = 8 };

/* Bits of events: an error that the controller reports by itself (section 5.2). */
enum nvme_event { EVENT_DOORBELL = 1, EVENT_DOORBELL_VALUE = 2 };

/* Indices are feature identifiers (section 5.21.1). */
enum nvme_feature {
	FEATURE_ARBITRATION = 1,
	FEATURE_POWER,
	FEATURE_TEMPERATURE = 4,
	FEATURE_RECOVERY,
	FEATURE_WRITE_CACHE,
	FEATURE_QUEUES,
	FEATURE_COALESCING,
	FEATURE_VECTOR,
	FEATURE_ATOMICITY,
	FEATURE_EVENTS,
};

struct nvme_request {
	struct block_job job;
	struct nvme_command command;
	uint16_t status; /* of a command that is not executed */
	uint8_t queue;   /* NVME_NO_QUEUE: the flush of a shutdown */
};

/* All members after the options are state, unless stated otherwise. */
struct nvme {
	struct block block;
	struct minivmm_irq messages[NVME_IDS], pin; /* the core fills them in */
	const char *serial;                         /* option */
	uint16_t queues;                            /* option: number of I/O queues of each kind */
	uint32_t cc, csts, aqa, intms;
	uint64_t asq, acq;
	uint64_t shadow, shadow_events; /* guest physical, of pages; shadow 0: none */
	/* By queue. size 0: the queue does not exist. */
	uint64_t sq_base[NVME_IDS], cq_base[NVME_IDS]; /* guest physical, of a page */
	uint16_t sq_size[NVME_IDS], cq_size[NVME_IDS]; /* in entries */
	uint16_t sq_head[NVME_IDS], sq_tail[NVME_IDS]; /* the controller takes at head */
	uint16_t cq_head[NVME_IDS], cq_tail[NVME_IDS]; /* the controller posts at tail */
	uint8_t sq_cq[NVME_IDS];                       /* the completion queue */
	bool cq_phase[NVME_IDS], cq_interrupts[NVME_IDS];
	uint8_t cq_vector[NVME_IDS];
	bool sq_deleting[NVME_IDS]; /* its deletion waits for its commands */
	uint16_t delete_cid[NVME_IDS];
	uint32_t features[NVME_FEATURES];
	uint32_t uncoalesced; /* bits by vector: coalescing is disabled */
	uint32_t event_count; /* async event requests that wait for an event */
	uint16_t event_cids[NVME_EVENTS];
	uint8_t events, events_reported; /* to report; reported, until the driver reads the log */
	uint64_t bytes_read, bytes_written, reads, writes, media_errors, errors; /* SMART */
	uint8_t error_log[NVME_ERRORS * NVME_ERROR_BYTES];                       /* newest first */
	/* Commands that a pause has interrupted. */
	uint8_t held_queues[BLOCK_FLIGHT];
	uint64_t held_cdw0[BLOCK_FLIGHT], held_prp1[BLOCK_FLIGHT], held_prp2[BLOCK_FLIGHT],
	    held_cdw10[BLOCK_FLIGHT], held_cdw12[BLOCK_FLIGHT];
	/* Not state. */
	uint16_t in_progress[NVME_IDS]; /* commands that were taken from a submission queue */
	uint32_t reserved[NVME_IDS];    /* entries of a completion queue for these */
	bool flushing;                  /* the job of a shutdown is in progress */
	bool signals[NVME_IDS];         /* interrupts to send at the end of the batch */
	bool batch;
	uint32_t budget; /* commands to take before the thread does other work */
	uint32_t turn;   /* the queue that is looked at first */
};

/* nvme.c. A failure that only a reset of the controller ends. */
void nvme_fatal(struct minivmm_device *dev, const char *why);
/* The default values of features. */
void nvme_default_features(struct nvme *n);

/* queues.c. A doorbell register was written; index: of 4 bytes. */
void nvme_doorbell(struct minivmm_device *dev, uint32_t index, uint32_t value);
/* Takes commands from all queues; block_front.take and a post. */
int nvme_take(struct minivmm_device *dev);
int nvme_again(struct minivmm_device *dev, uint32_t post);
/* Completes a command of this submission queue. */
void nvme_post(struct minivmm_device *dev, uint32_t sq, const struct nvme_command *command,
	       uint16_t status, uint32_t result);
/* Creates a queue, or deletes it (size 0). */
void nvme_set_sq(struct nvme *n, uint32_t sq, uint64_t base, uint32_t size, uint32_t cq);
void nvme_set_cq(struct nvme *n, uint32_t cq, uint64_t base, uint32_t size);
/* Drops all queues. */
void nvme_drop_queues(struct minivmm_device *dev);
/* Sets the pin to what the queues and the mask demand. */
void nvme_update_pin(struct minivmm_device *dev);
/* Computes what is not saved; the state is untrusted. Returns 0, or -1 after minivmm_error(). */
int nvme_queues_loaded(struct minivmm_device *dev);
/* Ends a command of this submission queue without a completion. */
void nvme_end_command(struct nvme *n, uint32_t sq);
/* Posts a completion for a request for events, which has no place in the admin completion queue.
 * Returns false if that has no room. */
bool nvme_post_event(struct minivmm_device *dev, uint16_t cid, uint16_t status, uint32_t result);
/* Completes the deletion of a submission queue, if its commands are complete. */
void nvme_end_delete(struct minivmm_device *dev, uint32_t sq);

/* shadow.c. Whether the doorbells of queues with this id are in memory. */
static inline bool
nvme_shadowed(const struct nvme *n, uint32_t id)
{
	return n->shadow && id;
}
/* Read a doorbell in memory: the tail of a submission queue, the head of a completion queue. await:
 * the driver shall write to the register after the next change. Return false if the doorbell is not
 * in memory. */
bool nvme_shadow_tail(struct minivmm_device *dev, uint32_t sq);
bool nvme_shadow_head(struct minivmm_device *dev, uint32_t cq, bool await);
/* The controller has taken all commands: the driver shall write to the register after the next
 * change. Returns whether there is another command already. */
bool nvme_shadow_await_tail(struct minivmm_device *dev, uint32_t sq);
/* A queue of this id has been created: sets its doorbells. Returns 0, or -1: not in memory. */
int nvme_shadow_begin(struct minivmm_device *dev, uint32_t id);
/* The command doorbell buffer config. Returns its status. */
uint16_t nvme_shadow_configure(struct minivmm_device *dev, const struct nvme_command *command);

/* events.c. Reports an event as soon as the driver has requested one. */
void nvme_report(struct minivmm_device *dev, enum nvme_event event);
/* An async event request waits, in place of its completion. There are fewer than NVME_EVENTS. */
void nvme_wait_event(struct minivmm_device *dev, uint16_t cid);
/* Completes the async event request at this index. Returns false if the queue has no room. */
bool nvme_end_event(struct minivmm_device *dev, uint32_t index, uint16_t status, uint32_t result);
/* The same for events that waited: the admin completion queue has room again. */
void nvme_report_pending(struct minivmm_device *dev);

/* admin.c. Executes an admin command. Returns its status; or NVME_LATER, if nvme_post() follows or
 * the command waits. result: 0, or a value for the driver. */
uint16_t nvme_admin(struct minivmm_device *dev, const struct nvme_command *command,
		    uint32_t *result);

/* identify.c. */
uint16_t nvme_identify(struct minivmm_device *dev, const struct nvme_command *command);
uint16_t nvme_log_page(struct minivmm_device *dev, const struct nvme_command *command);
/* Adds an entry to the error log. */
void nvme_log_error(struct minivmm_device *dev, uint32_t sq, const struct nvme_command *command,
		    uint16_t status);

/* io.c. Makes a job of the command. Returns true if it is to be executed; else its status is set.
 */
bool nvme_io(struct minivmm_device *dev, struct nvme_request *request);
/* For struct block_front. */
void nvme_complete(struct minivmm_device *dev, struct block_job *job);
void nvme_hold(struct minivmm_device *dev, const struct block_job *job, uint32_t index);
int nvme_again_held(struct minivmm_device *dev, struct block_job *job, uint32_t index);

/* prp.c. A part of guest memory that belongs to a command. */
struct nvme_part {
	uint64_t gpa;
	uint32_t length;
};
#define NVME_PARTS (NVME_DATA / NVME_PAGE + 1)
/* Stores the memory of length bytes, at most NVME_DATA, that the command describes (section 4.3).
 * Adjacent pages are one part. Returns a status. */
uint16_t nvme_prp(struct minivmm_device *dev, const struct nvme_command *command, uint32_t length,
		  struct nvme_part parts[NVME_PARTS], uint32_t *count);
/* Copy data of a command. Return a status. */
uint16_t nvme_copy_out(struct minivmm_device *dev, const struct nvme_command *command,
		       const void *bytes, uint32_t length);
uint16_t nvme_copy_in(struct minivmm_device *dev, const struct nvme_command *command, void *bytes,
		      uint32_t length);

#define NVME_POST_AGAIN 0u /* rows of the tables */
#define NVME_POST_DONE 1u
#define NVME_WATCH_RING 0u
#define NVME_TIMER_RATE 0u

#endif
