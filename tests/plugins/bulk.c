/* SPDX-License-Identifier: BSD-2-Clause */
/* A device with much state, all of it in one field: for measuring what state costs. */
#include <minivmm/plugin.h>

#include <stdlib.h>

struct bulk {
	uint64_t size; /* option */
	uint8_t *bytes;
};

static int
bulk_configure(struct minivmm_device *dev)
{
	struct bulk *b = minivmm_state(dev);

	b->bytes = malloc(b->size ? b->size : 1);
	return b->bytes ? 0 : -1;
}

static int
bulk_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct bulk *b = minivmm_state(dev);

	for (uint64_t i = 0; start->reason == MINIVMM_FRESH && i < b->size; i++)
		b->bytes[i] = (uint8_t)(i * 7 >> 3);
	return 0;
}

static void
bulk_destroy(struct minivmm_device *dev)
{
	free(((struct bulk *)minivmm_state(dev))->bytes);
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(SIZE, struct bulk, size, "1M", "bytes of state"),
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD_POINTER(struct bulk, bytes, size),
	MINIVMM_END,
};

static const struct minivmm_plugin bulk = {
	.name = "bulk",
	.summary = "has much state",
	.state_version = 1,
	.state_size = sizeof(struct bulk),
	.options = options,
	.fields = fields,
	.configure = bulk_configure,
	.start = bulk_start,
	.destroy = bulk_destroy,
};
MINIVMM_REGISTER(bulk);
