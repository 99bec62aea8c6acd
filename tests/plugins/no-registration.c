/* SPDX-License-Identifier: BSD-2-Clause */
/* A shared object without MINIVMM_REGISTER(), which is not a plugin. */
int no_registration(void);

__attribute__((visibility("default"))) int
no_registration(void)
{
	return 0;
}
