/* SPDX-License-Identifier: BSD-2-Clause */
/* A shared object that is no plugin: it does not register. */
int no_registration(void);

__attribute__((visibility("default"))) int
no_registration(void)
{
	return 0;
}
