/* SPDX-License-Identifier: BSD-2-Clause */
/* gauge.c with state version 2. */
#define GAUGE_VERSION 2
#include "gauge.c"
