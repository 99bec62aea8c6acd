# SPDX-License-Identifier: BSD-2-Clause
# minivmm. `make help` lists what there is to make.
#
# Nothing is listed by name: every core/*/*.c is the core, every plugins/*.c or plugins/*/ a plugin, every guests/*.S
# a guest, every tests/unit/*.c a test.

PREFIX ?= /usr/local
CFLAGS ?= -O2 -g
CC ?= cc
B ?= build
V ?= 0
Q := $(if $(filter 0,$(V)),@)
say = $(if $(filter 0,$(V)),@printf '  %-8s %s\n' '$(1)' '$(2)')

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-unused-parameter $(WERROR)
ALL_CFLAGS = -std=gnu11 $(CFLAGS) $(WARN) -fvisibility=hidden -pthread -MMD -MP $(SANITIZE) -Icore -Icore/include \
	-D_GNU_SOURCE -DPREFIX='"$(PREFIX)"'
ALL_LDFLAGS = $(LDFLAGS) $(SANITIZE) -pthread
LIBS := -linih -ldl

core := $(filter-out core/cli/main.c,$(wildcard core/*/*.c))
core_o := $(core:%.c=$B/%.o)
plugins := $(patsubst plugins/%.c,plugins/%.so,$(wildcard plugins/*.c)) \
	$(patsubst plugins/%/,plugins/%.so,$(dir $(wildcard plugins/*/*.c)))
guests := $(patsubst %.S,%.bin,$(wildcard guests/*.S))
units := $(patsubst %.c,$B/%,$(wildcard tests/unit/*.c))

.PHONY: all run help clean
all: minivmm $(sort $(plugins)) $(guests)

run: all ## run configs/simple.ini
	./minivmm -c configs/simple.ini

minivmm: $B/core/cli/main.o $B/libminivmm.a
	$(call say,LD,$@)
	$Q$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LDFLAGS) $(LIBS)

$B/libminivmm.a: $(core_o)
	$(call say,AR,$@)
	$Q$(RM) $@ && $(AR) rcs $@ $^

$B/%.o: %.c
	$(call say,CC,$<)
	$Q mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -c -o $@ $<

# A plugin sees the public header and nothing of the core. Its own libraries: plugins/foo.libs or plugins/foo/libs.
plugin_cc = $(CC) -std=gnu11 $(CFLAGS) $(WARN) -fvisibility=hidden -fPIC -shared $(SANITIZE) -Icore/include -MMD -MP \
	-MF $B/$@.d -o $@

plugins/%.so: plugins/%.c
	$(call say,PLUGIN,$@)
	$Q mkdir -p $(B)/plugins && $(plugin_cc) $< $(LDFLAGS) $(shell cat plugins/$*.libs 2>/dev/null)

.SECONDEXPANSION:
plugins/%.so: $$(wildcard plugins/%/*.c)
	$(call say,PLUGIN,$@)
	$Q mkdir -p $(B)/plugins && $(plugin_cc) $^ $(LDFLAGS) $(shell cat plugins/$*/libs 2>/dev/null)

# A guest is linked where it runs, at 0x1000, in one piece (-N), and cut to a flat binary; the ELF file stays, for
# configs/elf.ini and debuggers.
guests/%.bin: guests/%.S $(wildcard guests/*.inc)
	$(call say,GUEST,$@)
	$Q mkdir -p $B/guests && $(CC) -c -Iguests -o $B/guests/$*.o $<
	$Q ld -m elf_x86_64 -N --no-warn-rwx-segments -Ttext=0x1000 -e 0x1000 -o $B/guests/$*.elf $B/guests/$*.o
	$Q objcopy -O binary -j .text -j .data $B/guests/$*.elf $@

$B/tests/unit/%: tests/unit/%.c $B/libminivmm.a
	$(call say,UNIT,$@)
	$Q mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -Itests -o $@ $< $B/libminivmm.a $(ALL_LDFLAGS) $(LIBS) -lcmocka

clean: ## remove what was built
	$(RM) -r $B minivmm plugins/*.so guests/*.bin

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

-include $(shell find $B -name '*.d' 2>/dev/null)
