/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk without NBD exports, for tests: tests/e2e/devices/nbd.t tests exports. */
#ifndef UNIT_FAKE_EXPORT_H
#define UNIT_FAKE_EXPORT_H

bool
export_is(const char *path)
{
	return false;
}

int
export_open(struct disk *disk, struct disk_layer *layer, const char *path, bool write)
{
	return -1;
}

void
export_hurry(struct disk_layer *layer, bool hurry)
{
}

void
export_log_connection(struct disk *disk, struct disk_layer *layer)
{
}

#endif
