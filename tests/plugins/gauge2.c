/* SPDX-License-Identifier: BSD-2-Clause */
/* As gauge.c, a version later. */
#define GAUGE_VERSION 2
#include "gauge.c"
