/* SPDX-License-Identifier: BSD-2-Clause */
/* As newer.c, of an ABI that this one can't carry. */
#define ABI_NUMBER (MINIVMM_ABI + 1)
#include "newer.c"
