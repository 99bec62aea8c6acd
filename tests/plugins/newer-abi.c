/* SPDX-License-Identifier: BSD-2-Clause */
/* newer.c with an ABI that this host does not support. */
#define ABI_NUMBER (MINIVMM_ABI + 1)
#include "newer.c"
