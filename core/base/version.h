/* SPDX-License-Identifier: BSD-2-Clause */
/* The version of this program. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define MINIVMM_VERSION "0.1.0"

#endif
