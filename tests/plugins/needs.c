/* SPDX-License-Identifier: BSD-2-Clause */
/* A plugin that needs a feature of a future host. */
#include <minivmm/plugin.h>

static const struct minivmm_plugin needs = {
	.name = "needs",
	.summary = "needs a feature of a future host",
	.state_version = 1,
	.state_size = 8,
};
MINIVMM_REGISTER(needs, MINIVMM_DEFERRED_ACCESS, "teleport");
