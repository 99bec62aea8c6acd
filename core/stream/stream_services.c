/* SPDX-License-Identifier: BSD-2-Clause */
/* The services of streams. */
#include "stream/stream_services.h"

#include "stream/stream.h"

/* The stream of a row; NULL: the call was refused. */
static struct stream *
stream_of(struct minivmm_device *dev, size_t service, uint32_t row)
{
	return service_enter(dev, service) ? service_object(dev, service, SERVICE_STREAM, row)
					   : NULL;
}

static size_t
readable(struct minivmm_device *dev, uint32_t row)
{
	struct stream *s = stream_of(dev, SERVICE(stream_readable), row);

	return s ? stream_readable(s) : 0;
}

static size_t
read_bytes(struct minivmm_device *dev, uint32_t row, void *to, size_t length)
{
	struct stream *s = stream_of(dev, SERVICE(stream_read), row);

	return s ? stream_read(s, to, length) : 0;
}

static size_t
writable(struct minivmm_device *dev, uint32_t row)
{
	struct stream *s = stream_of(dev, SERVICE(stream_writable), row);

	return s ? stream_writable(s) : 0;
}

static size_t
write_bytes(struct minivmm_device *dev, uint32_t row, const void *from, size_t length)
{
	struct stream *s = stream_of(dev, SERVICE(stream_write), row);
	size_t taken = s ? stream_write(s, from, length) : 0;

	if (taken)
		s->hub->written(s->hub->context, dev->name, from, taken);
	return taken;
}

#define ROW(member, function)                                                                      \
	SERVICE_ROW(member, function, #member, SERVICE_START_TO_STOP, SERVICE_CALLBACKS)
const struct service_set stream_services = {
	ROW(stream_readable, readable),
	ROW(stream_read, read_bytes),
	ROW(stream_writable, writable),
	ROW(stream_write, write_bytes),
};
