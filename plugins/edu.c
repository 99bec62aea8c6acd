/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QEMU's PCI device for teaching (docs/specs/edu): identification, a liveness check, factorials
 * that a thread computes, DMA to and from a buffer, an interrupt by MSI or INTx. Exercises for
 * QEMU's device run unchanged.
 *
 * The lock guards the members from status on, which the thread and the handlers share. The thread
 * waits for work without the lock. A pause waits until the work is done.
 */
#include <minivmm/plugin.h>
#include <pthread.h>
#include <semaphore.h>

#define IDENTIFICATION 0x010000edu /* version 1.0 */
#define BUFFER 0x40000u            /* the device's address of its DMA buffer */
#define BUFFER_BYTES 4096u
#define ADDRESS_BITS 28          /* of a DMA address in guest memory */
#define DMA_TIME 1000000ull      /* ns that a transfer takes */
#define INTERRUPT_FACTORIAL 0x1u /* in the interrupt status */
#define INTERRUPT_DMA 0x100u

enum edu_register {
	REGISTER_ID = 0x00,
	REGISTER_LIVENESS = 0x04,
	REGISTER_FACTORIAL = 0x08,
	REGISTER_STATUS = 0x20,
	REGISTER_INTERRUPT = 0x24,
	REGISTER_RAISE = 0x60,
	REGISTER_ACKNOWLEDGE = 0x64,
	REGISTER_SOURCE = 0x80,
	REGISTER_TARGET = 0x88,
	REGISTER_COUNT = 0x90,
	REGISTER_COMMAND = 0x98,
};

enum { STATUS_COMPUTING = 0x01, STATUS_INTERRUPT = 0x80 };
enum { DMA_START = 0x1, DMA_TO_MEMORY = 0x2, DMA_INTERRUPT = 0x4 };

struct edu {
	struct minivmm_irq message, pin;
	uint32_t liveness;
	uint64_t source, target, count, command;
	uint8_t buffer[BUFFER_BYTES];
	uint32_t status, number,
	    interrupt; /* number: while computing, the operand; then its factorial */

	bool busy, paused; /* the thread has work, or is about to get it; a pause waits for it */
	pthread_mutex_t lock;
	pthread_t thread;
	sem_t work;
	bool running, ends; /* the thread exists; it must end */
};

/* Call it with the lock. */
static void
raise_interrupt(struct minivmm_device *dev, struct edu *e, uint32_t bits)
{
	e->interrupt |= bits;
	if (!e->interrupt)
		return;
	minivmm_irq_pulse(dev, &e->message);
	minivmm_irq_set(dev, &e->pin, true);
}

static void
acknowledge(struct minivmm_device *dev, struct edu *e, uint32_t bits)
{
	e->interrupt &= ~bits;
	minivmm_irq_set(dev, &e->pin, e->interrupt);
}

/* Modulo 2^32, the factorial is 0 from 34 on. */
static uint32_t
factorial(uint32_t number)
{
	uint32_t product = 1;

	while (number > 1 && product)
		product *= number--;
	return product;
}

static void *
compute(void *argument)
{
	struct minivmm_device *dev = argument;
	struct edu *e = minivmm_state(dev);
	bool paused;

	while (!sem_wait(&e->work) && !__atomic_load_n(&e->ends, __ATOMIC_ACQUIRE)) {
		pthread_mutex_lock(&e->lock);
		if (e->status & STATUS_COMPUTING) { /* not if the guest has reset the function */
			e->number = factorial(e->number);
			e->status &= ~(uint32_t)STATUS_COMPUTING;
			if (e->status & STATUS_INTERRUPT)
				raise_interrupt(dev, e, INTERRUPT_FACTORIAL);
		}
		e->busy = false;
		paused = e->paused;
		pthread_mutex_unlock(&e->lock);
		if (paused)
			minivmm_paused(dev);
	}
	return NULL;
}

/* With the lock. */
static void
wake(struct edu *e)
{
	if (!e->busy && e->status & STATUS_COMPUTING) {
		e->busy = true;
		sem_post(&e->work);
	}
}

static bool
in_buffer(uint64_t address, uint64_t count)
{
	return address >= BUFFER && count <= BUFFER_BYTES &&
	       address - BUFFER <= BUFFER_BYTES - count;
}

static int
transfer(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	const uint64_t mask = (1ull << ADDRESS_BITS) - 1;
	struct edu *e = minivmm_state(dev);
	bool out = e->command & DMA_TO_MEMORY;
	uint64_t inside = out ? e->source : e->target, outside = out ? e->target : e->source;
	int r = 0;

	e->command &= ~(uint64_t)DMA_START;
	if (!in_buffer(inside, e->count))
		minivmm_log(dev, MINIVMM_WARNING,
			    "DMA of 0x%llx bytes ignored: 0x%llx is outside the buffer",
			    (unsigned long long)e->count, (unsigned long long)inside);
	else if (out)
		r = minivmm_memory_write(dev, outside & mask, e->buffer + (inside - BUFFER),
					 e->count);
	else
		r = minivmm_memory_read(dev, outside & mask, e->buffer + (inside - BUFFER),
					e->count);
	if (r)
		minivmm_log(dev, MINIVMM_WARNING,
			    "DMA of 0x%llx bytes at guest address 0x%llx failed: there is no "
			    "memory, or the guest has not made the device a bus master",
			    (unsigned long long)e->count, (unsigned long long)(outside & mask));
	if (e->command & DMA_INTERRUPT) {
		pthread_mutex_lock(&e->lock);
		raise_interrupt(dev, e, INTERRUPT_DMA);
		pthread_mutex_unlock(&e->lock);
	}
	return 0;
}

/* The registers below 0x80 have 4 bytes. */
static int
edu_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	struct edu *e = minivmm_state(dev);

	*value = ~0ull;
	if (a->offset < REGISTER_SOURCE && a->width != 4)
		return 0;
	pthread_mutex_lock(&e->lock);
	switch (a->offset) {
	case REGISTER_ID:
		*value = IDENTIFICATION;
		break;
	case REGISTER_LIVENESS:
		*value = e->liveness;
		break;
	case REGISTER_FACTORIAL:
		*value = e->number;
		break;
	case REGISTER_STATUS:
		*value = e->status;
		break;
	case REGISTER_INTERRUPT:
		*value = e->interrupt;
		break;
	case REGISTER_SOURCE:
		*value = e->source;
		break;
	case REGISTER_TARGET:
		*value = e->target;
		break;
	case REGISTER_COUNT:
		*value = e->count;
		break;
	case REGISTER_COMMAND:
		*value = e->command;
		break;
	}
	pthread_mutex_unlock(&e->lock);
	return 0;
}

/* Call it with the lock. */
static void
write_register(struct minivmm_device *dev, struct edu *e, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case REGISTER_LIVENESS:
		e->liveness = ~value;
		break;
	case REGISTER_FACTORIAL:
		if (e->status & STATUS_COMPUTING)
			break;
		e->number = value;
		e->status |= STATUS_COMPUTING;
		wake(e);
		break;
	case REGISTER_STATUS:
		e->status = (e->status & STATUS_COMPUTING) | (value & STATUS_INTERRUPT);
		break;
	case REGISTER_RAISE:
		raise_interrupt(dev, e, value);
		break;
	case REGISTER_ACKNOWLEDGE:
		acknowledge(dev, e, value);
		break;
	}
}

/* During a transfer, writes are ignored. */
static void
write_dma(struct minivmm_device *dev, struct edu *e, uint64_t offset, uint64_t value)
{
	if (e->command & DMA_START)
		return;
	switch (offset) {
	case REGISTER_SOURCE:
		e->source = value;
		break;
	case REGISTER_TARGET:
		e->target = value;
		break;
	case REGISTER_COUNT:
		e->count = value;
		break;
	case REGISTER_COMMAND:
		e->command = value & (DMA_START | DMA_TO_MEMORY | DMA_INTERRUPT);
		if (e->command & DMA_START)
			minivmm_timer_set(dev, 0, minivmm_now(dev) + DMA_TIME, 0);
		break;
	}
}

static int
edu_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct edu *e = minivmm_state(dev);

	if (a->offset >= REGISTER_SOURCE) {
		write_dma(dev, e, a->offset, value);
	} else if (a->width == 4) {
		pthread_mutex_lock(&e->lock);
		write_register(dev, e, a->offset, (uint32_t)value);
		pthread_mutex_unlock(&e->lock);
	}
	return 0;
}

static int
edu_configure(struct minivmm_device *dev)
{
	struct edu *e = minivmm_state(dev);

	pthread_mutex_init(&e->lock, NULL);
	sem_init(&e->work, 0, 0);
	return 0;
}

static int
edu_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct edu *e = minivmm_state(dev);
	int error = e->running ? 0 : pthread_create(&e->thread, NULL, compute, dev);

	if (error) {
		minivmm_error(dev, "cannot start the thread for factorials: %s",
			      minivmm_error_text(dev, MINIVMM_CALL_THREAD, error).text);
		return -1;
	}
	e->running = true;
	pthread_mutex_lock(&e->lock);
	e->paused = false; /* after a reset: start replaces resume */
	wake(e);           /* older snapshots can have work in flight */
	pthread_mutex_unlock(&e->lock);
	return 0;
}

static int
edu_pause(struct minivmm_device *dev)
{
	struct edu *e = minivmm_state(dev);
	bool busy;

	pthread_mutex_lock(&e->lock);
	e->paused = true;
	busy = e->busy;
	pthread_mutex_unlock(&e->lock);
	return busy ? MINIVMM_PENDING : 0;
}

static int
edu_resume(struct minivmm_device *dev)
{
	struct edu *e = minivmm_state(dev);

	pthread_mutex_lock(&e->lock);
	e->paused = false;
	pthread_mutex_unlock(&e->lock);
	return 0;
}

static void
edu_destroy(struct minivmm_device *dev)
{
	struct edu *e = minivmm_state(dev);

	__atomic_store_n(&e->ends, true, __ATOMIC_RELEASE);
	sem_post(&e->work);
	if (e->running)
		pthread_join(e->thread, NULL);
	sem_destroy(&e->work);
	pthread_mutex_destroy(&e->lock);
}

/* The guest has reset the function: sets the state of a fresh device. */
static int
edu_reset(struct minivmm_device *dev)
{
	struct edu *e = minivmm_state(dev);

	minivmm_timer_cancel(dev, 0);
	e->liveness = 0;
	e->source = e->target = e->count = e->command = 0;
	memset(e->buffer, 0, sizeof(e->buffer));
	pthread_mutex_lock(&e->lock);
	e->status = e->number = e->interrupt = 0;
	pthread_mutex_unlock(&e->lock);
	return 0;
}

static const struct minivmm_register registers[] = {
	{ REGISTER_ID, "identification", NULL },
	{ REGISTER_LIVENESS, "inverted value", "liveness check" },
	{ REGISTER_FACTORIAL, "factorial", "number" },
	{ REGISTER_STATUS, "status", "status" },
	{ REGISTER_INTERRUPT, "interrupt status", NULL },
	{ REGISTER_RAISE, NULL, "raise an interrupt" },
	{ REGISTER_ACKNOWLEDGE, NULL, "acknowledge an interrupt" },
	{ REGISTER_SOURCE, "DMA source", "DMA source" },
	{ REGISTER_TARGET, "DMA target", "DMA target" },
	{ REGISTER_COUNT, "DMA count", "DMA count" },
	{ REGISTER_COMMAND, "DMA command", "DMA command" },
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_MMIO,
	  .length = 1 << 20,
	  .widths = MINIVMM_W32 | MINIVMM_W64,
	  .read = edu_read,
	  .write = edu_write,
	  .registers = registers,
	  .help = "registers" },
	MINIVMM_END,
};

static const struct minivmm_bar bars[] = {
	{ .type = MINIVMM_BAR_MEMORY32, .number = 0, .range = 0 },
	MINIVMM_END,
};

static const struct minivmm_pci pci[] = {
	{ .slot = "slot",
	  .slot_initial = "next",
	  .vendor = 0x1234,
	  .device = 0x11e8,
	  .subsystem_vendor = 0x1af4,
	  .subsystem = 0x1100,
	  .class_code = 0x00ff00,
	  .revision = 0x10,
	  .has_intx = true,
	  .bars = bars,
	  .vectors = 1,
	  .vectors_offset = offsetof(struct edu, message),
	  .intx_offset = offsetof(struct edu, pin),
	  .flags = MINIVMM_MSI,
	  .reset = edu_reset,
	  .help = "PCI slot" },
	MINIVMM_END,
};

static const struct minivmm_timer timers[] = {
	{ .name = "dma", .fire = transfer, .help = "ends a transfer" },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct edu, liveness, .help = "inverted value of the liveness check"),
	MINIVMM_FIELD(struct edu, number, .help = "factorial; while computing, its operand"),
	MINIVMM_FIELD(struct edu, status, .max = STATUS_COMPUTING | STATUS_INTERRUPT,
		      .help = "0x01: computing; 0x80: interrupt when it is done"),
	MINIVMM_FIELD(struct edu, interrupt, .help = "interrupt status"),
	MINIVMM_FIELD(struct edu, source, .help = "DMA source"),
	MINIVMM_FIELD(struct edu, target, .help = "DMA target"),
	MINIVMM_FIELD(struct edu, count, .help = "DMA count"),
	MINIVMM_FIELD(struct edu, command, .max = DMA_START | DMA_TO_MEMORY | DMA_INTERRUPT,
		      .help = "DMA command"),
	MINIVMM_FIELD(struct edu, buffer, .help = "DMA buffer"),
	MINIVMM_END,
};

static const struct minivmm_plugin edu = {
	.name = "edu",
	.summary = "QEMU's PCI device for teaching",
	.state_version = 1,
	.state_size = sizeof(struct edu),
	.ranges = ranges,
	.pci = pci,
	.timers = timers,
	.fields = fields,
	.configure = edu_configure,
	.start = edu_start,
	.pause = edu_pause,
	.resume = edu_resume,
	.destroy = edu_destroy,
};
MINIVMM_REGISTER(edu, MINIVMM_HAS_PCI, MINIVMM_PARKED_THREADS);
