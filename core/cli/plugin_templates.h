/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plugins that minivmm new-plugin writes. @ stands for the plugin's name, $ before anything but
 * a parenthesis for the name as a C identifier.
 */
#ifndef CLI_PLUGIN_TEMPLATES_H
#define CLI_PLUGIN_TEMPLATES_H

extern const char plugin_template[];     /* a register at a fixed address */
extern const char plugin_template_pci[]; /* a BAR, a message, DMA */

#endif
