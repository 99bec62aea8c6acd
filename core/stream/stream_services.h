/* SPDX-License-Identifier: BSD-2-Clause */
/* The services of streams, for the table of all services. The objects of SERVICE_STREAM are struct
 * stream. */
#ifndef STREAM_STREAM_SERVICES_H
#define STREAM_STREAM_SERVICES_H

#include "machine/service.h"

extern const struct service_set stream_services;

#endif
