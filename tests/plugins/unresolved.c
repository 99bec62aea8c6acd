/* SPDX-License-Identifier: BSD-2-Clause */
/* A plugin that calls an undefined function: loading it must fail, not the call. */
#include <minivmm/plugin.h>

int function_of_another_library(void);

static int
unresolved_stop(struct minivmm_device *dev)
{
	return function_of_another_library();
}

static const struct minivmm_plugin unresolved = {
	.name = "unresolved",
	.summary = "cannot be loaded",
	.state_version = 1,
	.stop = unresolved_stop,
};
MINIVMM_REGISTER(unresolved);
