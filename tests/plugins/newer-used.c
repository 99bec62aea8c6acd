/* SPDX-License-Identifier: BSD-2-Clause */
/* newer.c with the new member in use. */
#define NEWER_USES 1
#include "newer.c"
