# SPDX-License-Identifier: BSD-2-Clause
# minivmm. `make help` lists what there is to make.
#
# Nothing is listed by name: every core/*/*.c is the core, every plugins/*.c or plugins/*/ a plugin
# (except plugins/common/), every guests/*.S a guest, every tests/unit/*.c, tests/fuzz/*.c and
# tests/e2e/*/*.t a test.

PREFIX ?= /usr/local
CFLAGS ?= -O2 -g
CC ?= cc
B ?= build# objects
O ?= .# the program and its plugins
FUZZ_SECONDS ?= 600
ROUNDS ?= 20# of bench-linux
RUNS ?= 1# of bench
V ?= 0
Q := $(if $(filter 0,$(V)),@)
say = $(if $(filter 0,$(V)),@printf '  %-8s %s\n' '$(1)' '$(2)')

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-unused-parameter \
	$(if $(CI),-Werror)
# PREFIX is where the program looks for plugins last, after beside itself: to install it needs no
# other one.
ALL_CFLAGS = -std=gnu11 $(CFLAGS) $(WARN) $(SANITIZE) -fvisibility=hidden -pthread -MMD -MP \
	-Icore -Icore/include -D_GNU_SOURCE -DPREFIX='"$(PREFIX)"'
ALL_LDFLAGS = $(LDFLAGS) $(SANITIZE) -pthread
LIBS := -l:libinih.a -ldl

core := $(filter-out core/cli/main.c,$(wildcard core/*/*.c))
core_o := $(core:%.c=$B/%.o)
plugins := $(patsubst plugins/%.c,$O/plugins/%.so,$(wildcard plugins/*.c)) \
	$(patsubst plugins/%/,$O/plugins/%.so,$(sort $(dir $(filter-out plugins/common/%,$(wildcard plugins/*/*.c)))))
guests := $(patsubst %.S,%.bin,$(wildcard guests/*.S))
units := $(patsubst %.c,$B/%,$(wildcard tests/unit/*.c))
helpers := $(patsubst %.c,$B/%,$(wildcard tests/tools/*.c))
preloads := $(patsubst %.c,$B/%.so,$(wildcard tests/preload/*.c) $(wildcard tests/plugins/*.c))
# Manual pages: whole ones, and those of plugins, to which the program adds the plugin's tables.
pages := $(wildcard core/*/*.[1-8] plugins/*/*.[1-8])
plugin_pages := $(patsubst %.4.in,$B/man/minivmm-%.4,$(notdir $(wildcard plugins/*.4.in plugins/*/*.4.in)))
fuzzers := $(patsubst tests/fuzz/%.c,$B/fuzz/%,$(wildcard tests/fuzz/*.c))

.PHONY: all run check check-linux check-slurm check-asan check-tsan test test-needs test-asan test-tsan mutants fuzz bench bench-linux lint deps deps-linux deps-slurm install uninstall clean help
all: $O/minivmm $(plugins) $(guests) $(plugin_pages)

# Without a usable /dev/kvm, tests/svm/kvm runs a command on one that QEMU emulates, and says so.
run: all ## run configs/simple.ini
	tests/svm/kvm $O/minivmm -c configs/simple.ini

$O/minivmm: $B/core/cli/main.o $B/libminivmm.a
	$(call say,LD,$@)
	$Q$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LDFLAGS) $(LIBS)

$B/libminivmm.a: $(core_o)
	$(call say,AR,$@)
	$Q$(RM) $@ && $(AR) rcs $@ $^

$B/%.o: %.c
	$(call say,CC,$<)
	$Q mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -c -o $@ $<

# A plugin sees the public header and nothing of the core. Its own libraries stand in
# plugins/foo.libs or plugins/foo/libs, as cc's arguments, and Debian's packages of them in
# plugins/foo.packages or plugins/foo/packages. Without them the plugin is left out, and the rest is
# built; but not in CI.
plugin_libs = $(shell cat plugins/$*.libs plugins/$*/libs 2>/dev/null)
plugin_packages = $(shell cat plugins/$*.packages plugins/$*/packages 2>/dev/null)
plugin_left_out = echo '  left out: plugins/$*.so needs $(plugin_packages): make deps' >&2; $(if $(CI),false,true)
plugin_can = $(if $(plugin_libs),mkdir -p $B/plugins && echo 'int main(void) { return 0; }' | \
	$(CC) -x c - -o $B/plugins/$*.probe $(plugin_libs) 2>/dev/null,true)
plugin_cc = mkdir -p $(@D) $B/plugins && $(CC) -std=gnu11 $(CFLAGS) $(WARN) $(SANITIZE) -fvisibility=hidden \
	-fPIC -shared -Icore/include -o $@ $(filter %.c,$^) $(plugin_common) $(LDFLAGS)
plugin_h := $(wildcard core/include/minivmm/*.h plugins/*/*.h plugins/common/*/*.h)

# What several plugins compile in: an archive, of which the linker takes the objects that a plugin uses.
# Their symbols are hidden, so each plugin has its own copy. A folder with libs is left out without them,
# and so are the plugins that need it: their libs and packages are links to the folder's.
common_can = $(if $(wildcard $1libs),$(shell echo 'int main(void) { return 0; }' | \
	$(CC) -x c - -o /dev/null $$(cat $1libs) 2>/dev/null && echo yes),yes)
common_folders := $(dir $(wildcard plugins/common/*/*.h))
common_c := $(wildcard plugins/common/*.c) \
	$(foreach folder,$(sort $(common_folders)),$(if $(call common_can,$(folder)),$(wildcard $(folder)*.c)))
plugin_common := $B/plugins/common.a
$(plugin_common): $(common_c:%.c=$B/%.o)
	$(call say,AR,$@)
	$Q mkdir -p $(@D) && $(RM) $@ && $(AR) rcs $@ $^

$B/plugins/common/%.o: plugins/common/%.c
	$(call say,CC,$<)
	$Q mkdir -p $(@D) && $(CC) -std=gnu11 $(CFLAGS) $(WARN) $(SANITIZE) -fvisibility=hidden -fPIC -MMD -MP \
		-Icore/include -c -o $@ $<

$O/plugins/%.so: plugins/%.c $(plugin_h) $(plugin_common)
	$(call say,PLUGIN,$@)
	$Qif $(plugin_can); then $(plugin_cc) $(plugin_libs); else $(plugin_left_out); fi

.SECONDEXPANSION:
$O/plugins/%.so: $$(wildcard plugins/%/*.c) $(plugin_h) $(plugin_common)
	$(call say,PLUGIN,$@)
	$Qif $(plugin_can); then $(plugin_cc) $(plugin_libs); else $(plugin_left_out); fi

# The line .\" tables of plugins/foo.4.in or plugins/foo/foo.4.in is replaced. A plugin that was left out has no page.
$B/man/minivmm-%.4: $$(wildcard plugins/$$*.4.in plugins/$$*/$$*.4.in) $O/plugins/%.so $O/minivmm
	$(call say,MAN,$@)
	$Q[ ! -e $O/plugins/$*.so ] || { mkdir -p $(@D) && $O/minivmm plugins --mdoc $O/plugins/$*.so >$@.tables && \
		sed -e '/^\.\\" tables$$/{r $@.tables' -e 'd;}' $< >$@ && $(RM) $@.tables; }

# A guest is linked where it runs, at 0x1000, and cut to a flat binary. The ELF file stays for
# configs/elf.ini and debuggers; PVH's note, if there is one, lies before it.
guests/%.bin: guests/%.S $(wildcard guests/*.inc)
	$(call say,GUEST,$@)
	$Q mkdir -p build/guests && $(CC) -c -Iguests -o build/guests/$*.o $<
	$Q ld -m elf_x86_64 -N --no-warn-rwx-segments -Ttext=0x1000 --section-start=.note.xen=0xf00 -e 0x1000 \
		-o build/guests/$*.elf build/guests/$*.o
	$Q objcopy -O binary -j .text -j .data build/guests/$*.elf $@

$B/tests/unit/%: tests/unit/%.c $B/libminivmm.a $(plugin_common)
	$(call say,UNIT,$@)
	$Q mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -Itests -o $@ $< $(counted) $B/libminivmm.a $(plugin_common) $(ALL_LDFLAGS) $(LIBS) $(libraries) -lcmocka
$B/tests/unit/user: libraries := -lslirp

# tests/unit/cost.c counts the basic blocks of core that are executed; stop_cost.c and stop_machine.c those of some files.
$B/tests/unit/cost: counted := $(core:%.c=$B/counted/%.o)
$B/tests/unit/cost: $(core:%.c=$B/counted/%.o)
stop_cost := $(addprefix $B/counted/core/,base/fields.o base/record.o base/record_index.o base/record_names.o base/record_write.o \
	device/device_plugin_state.o device/device_state.o machine/irq.o machine/loop.o)
stop_machine := $(addprefix $B/counted/core/,base/record.o base/record_index.o machine/bus.o machine/loop.o pci/complex_hooks.o \
	pci/complex_state.o pci/function.o pci/function_state.o)
$B/tests/unit/stop_cost: counted := $(stop_cost)
$B/tests/unit/stop_cost: $(stop_cost)
$B/tests/unit/stop_machine: counted := $(stop_machine)
$B/tests/unit/stop_machine: $(stop_machine)
$B/counted/%.o: %.c
	$(call say,COUNTED,$<)
	$Q mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -O1 -fsanitize-coverage=trace-pc -c -o $@ $<

$B/tests/tools/%: tests/tools/%.c $B/libminivmm.a
	$(call say,TOOL,$@)
	$Q mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -Itests -o $@ $< $B/libminivmm.a $(ALL_LDFLAGS) $(LIBS)

$B/tests/preload/%.so: tests/preload/%.c
	$(call say,PRELOAD,$@)
	$Q mkdir -p $(@D) && $(CC) -std=gnu11 -O2 -g $(WARN) -D_GNU_SOURCE -Icore/include -fPIC -shared -MMD -MP -o $@ $< -ldl

$B/tests/plugins/%.so: tests/plugins/%.c
	$(call say,PLUGIN,$@)
	$Q mkdir -p $(@D) && $(CC) -std=gnu11 -O2 -g $(WARN) -fvisibility=hidden -fPIC -shared -Icore/include -MMD -MP \
		-o $@ $<

longest := tests/e2e/snapshot/invisible.t # begins first, so that the others are done when it is
# They run compilers and perl rather than the program: a sanitizer has nothing to find in them.
unsanitized := tests/e2e/docs/% tests/e2e/sources/% tests/e2e/plugins/header.t tests/e2e/plugins/missing-libraries.t
# ThreadSanitizer finds races: it runs unit tests that start threads, or whose modules do, and no tests of files and
# messages. It does not support branches: threads that start after a fork.
ifeq ($(SANITIZE),-fsanitize=thread)
units := $(patsubst %.c,$B/%,$(shell grep -l pthread_create tests/unit/*.c) tests/unit/stream_sockets.c)
unsanitized += $(patsubst %,tests/e2e/%.t,cli/command-line cli/ctl cli/inspect config/config-errors snapshot/snapshot-file \
	snapshot/snapshot-limits branch/%)
endif

# The runner and everything that tests need. MINIVMM and BUILD tell tests where the program and
# their tools are.
check test: export MINIVMM = $O/minivmm
check test: export BUILD = $B
check test: export CMOCKA_MESSAGE_OUTPUT = TAP
check: tests := $(longest) $(units) $(filter-out $(longest) $(if $(SANITIZE),$(unsanitized)),$(wildcard tests/e2e/*/*.t))
check: test-needs $(units) ## build and run the tests
	@if ! tests/svm/usable; then tests/svm/check $(tests); else set -x; \
		$(if $(SANITIZE),tests/sanitized $B,prove -j4 --timer $(PROVE)) $(tests); fi

# One test, or a few: T names them, N is for rounds, J of them at once. See tests/README.md.
test: ## run one test of any kind: make test T=unit/bus, T=ctl, T=fuzz/net ...
	@+MAKE='$(MAKE)' PROVE='$(PROVE)' N='$(N)' J='$(J)' tests/one $(T)

test-needs: all $(helpers) $(preloads)

# The same with sanitizers, in builds of their own.
asan := B=build/asan O=build/asan CFLAGS='-O1 -g -fno-omit-frame-pointer' \
	SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=undefined'
check-asan: ## the tests under AddressSanitizer and UBSan
test-asan: ## one of them
check-asan test-asan: %-asan:
	$(MAKE) $* $(asan)

tsan := B=build/tsan O=build/tsan CFLAGS='-O1 -g -fno-omit-frame-pointer' SANITIZE=-fsanitize=thread
check-tsan: ## the tests under ThreadSanitizer
test-tsan: ## one of them
check-tsan test-tsan: %-tsan:
	$(MAKE) $* $(tsan)

check-linux: all ## boot stock kernels, on this machine's KVM if it can, else on one that QEMU emulates
	export MINIVMM=$O/minivmm BUILD=$B; MINIVMM_LINUX=$$(tests/linux/where) prove -j2 --timer $(PROVE) $(wildcard tests/linux/*.t)

check-slurm: all ## run a batch on a Slurm cluster of two nodes on this machine
	export MINIVMM=$O/minivmm BUILD=$B; prove --timer $(PROVE) $(wildcard tests/slurm/*.t)

mutants: ## leave out pieces of saving and restoring, one at a time: each must be noticed
	$(MAKE) all B=build/mutants O=build/mutants CFLAGS='-O2 -g -DMINIVMM_MUTANTS' helpers= \
		build/mutants/tests/tools/invisible build/mutants/tests/tools/livehash $(patsubst %,build/mutants/tests/unit/%,state i8042 rtc vsock net pci pci_root virtio_pci nvme_pause) \
		$(patsubst %.c,build/mutants/%.so,$(wildcard tests/plugins/*.c tests/preload/*.c))
	MINIVMM=build/mutants/minivmm BUILD=build/mutants tests/mutants $(MUTANTS)

bench: all $(helpers) $(preloads) ## measure speed and size, as ratios to the bare KVM calls and QEMU, in RUNS
	MINIVMM=$O/minivmm BUILD=$B tests/bench/run -n $(RUNS)

bench-linux: all $(preloads) ## measure a stock kernel's guest beside QEMU's microvm, on a KVM that boots it, in ROUNDS
	MINIVMM=$O/minivmm BUILD=$B tests/bench/linux -n $(ROUNDS)

fuzz: ## fuzz for FUZZ_SECONDS a target
	$(MAKE) fuzz-run CC=clang B=build/fuzz CFLAGS='-O1 -g' SANITIZE='-fsanitize=address,undefined,fuzzer-no-link'

$B/fuzz/%: tests/fuzz/%.c $B/libminivmm.a $(plugin_common)
	$(call say,FUZZ,$@)
	$Q mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -o $@ $< $B/libminivmm.a $(plugin_common) $(ALL_LDFLAGS) $(LIBS)

# Inputs that are large enough for their cost to show. The commands under test print a lot.
$B/fuzz/cost.run: fuzz_flags := -max_len=300000 -close_fd_mask=3

.PHONY: fuzz-run $(fuzzers:%=%.run)
fuzz-run: $(fuzzers:%=%.run)
$(fuzzers:%=%.run): $B/fuzz/%.run: $B/fuzz/%
	mkdir -p $B/fuzz/$*.found
	cd $B/fuzz && ./$* -max_total_time=$(FUZZ_SECONDS) -verbosity=0 -print_final_stats=1 -timeout=60 -rss_limit_mb=2048 $(fuzz_flags) \
		$*.found $(CURDIR)/tests/fuzz/corpus/$*

sources := $(wildcard core/*/*.[ch] core/include/minivmm/*.h plugins/*.[ch] plugins/*/*.[ch] plugins/common/*/*.[ch] guests/*/*.c tests/*/*.[ch])
lint: $(plugin_pages) ## check layout and structure, and run clang-tidy
	clang-format --dry-run -Werror $(sources)
	tests/lint/ranks
	printf '%s\n' $(wildcard core/*/*.c plugins/*.c plugins/*/*.c plugins/common/*/*.c) | xargs -P "$$(nproc)" -I {} clang-tidy --quiet {} -- \
		-std=gnu11 -Icore -Icore/include -D_GNU_SOURCE -DPREFIX='"$(PREFIX)"'
	clang -fsyntax-only -std=gnu11 $(WARN) -Werror -Icore -Icore/include -Itests -D_GNU_SOURCE $(wildcard tests/fuzz/*.c tests/unit/*.c)
	mandoc -Tlint -Wwarning $(pages) $(plugin_pages)

DEPS := git gcc g++ libc6-dev binutils pkgconf perl libinih-dev libcmocka-dev mandoc socat systemd acpica-tools clang clang-format clang-tidy \
	libclang-rt-14-dev locales gdb nbdkit libnbd-bin casync zstd zsh
# What tests/svm/run needs, and what check-linux needs besides.
SVM_DEPS := qemu-system-x86 cpio kmod
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
deps: more = $(shell tests/svm/usable >/dev/null || echo $(SVM_DEPS))
deps-linux: more = $(SVM_DEPS) xz-utils zstd lz4 e2fsprogs libelf1 libdevmapper1.02.1 openssh-client gdb crash python3-drgn
deps: ## install what is missing (Debian)
deps-linux: ## and what check-linux and bench-linux need as well
deps-slurm: ## and what check-slurm needs; without it, check-slurm is skipped
install_missing = missing=$$(for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then $(SUDO) apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
deps deps-linux:
	@$(call install_missing,$(DEPS) $(more) $$(cat plugins/*.packages plugins/*/packages 2>/dev/null))
deps-slurm: deps
	@{ $(call install_missing,slurmctld slurmd slurm-client munge); } || echo 'Slurm cannot be installed here: check-slurm is skipped' >&2

# Below PREFIX. configs/ and guests/ lie beside one another as here, so that a config finds its guest.
at = $(DESTDIR)$(PREFIX)
configs := $(wildcard configs/*.ini)
guest_files := $(wildcard guests/*.S guests/*.inc guests/linux/edu.c guests/linux/Makefile) $(guests) $(guests:guests/%.bin=build/guests/%.elf)
man_at = share/man/man$(subst .,,$(suffix $1))/$(notdir $1)
units_of_systemd := $(wildcard core/cli/minivmm@.*)
bash_at := share/bash-completion/completions
zsh_at := share/zsh/site-functions
# What install has put there, with checksums, for uninstall.
list := $(at)/lib/minivmm/installed

# Installs file $2 as $3 with mode $1. It does not exist if it is a plugin that was left out, or its page.
define put
$Q[ ! -e $2 ] || { $(if $(filter 0,$(V)),printf '  INSTALL  %s\n' $(at)/$3;) install -D -m $1 $2 $(at)/$3 && \
	(cd $(at) && cksum $3) >>$(list); }

endef

# Installs the output of command $1 as $2.
define put_output
$(call say,INSTALL,$(at)/$2)
$Q install -d $(dir $(at)/$2) && $1 >$(at)/$2 && (cd $(at) && cksum $2) >>$(list)

endef

pc = printf 'Name: minivmm\nDescription: Header for device plugins of minivmm\nVersion: %s\nCflags: -I%s\n' \
	"$$($O/minivmm --version | cut -d' ' -f2)" '$(PREFIX)/include'

install: all ## install program, plugins, header, manuals, examples, units of systemd and completion below PREFIX
	$(call say,INSTALL,$(list))
	$Q install -d $(dir $(list)) && : >$(list)
	$(call put,755,$O/minivmm,bin/minivmm)
	$(foreach header,plugin.h tool.h,$(call put,644,core/include/minivmm/$(header),include/minivmm/$(header)))
	$(call put_output,$(pc),lib/pkgconfig/minivmm.pc)
	$(foreach plugin,$(plugins),$(call put,644,$(plugin),$(plugin:$O/%=lib/minivmm/%)))
	$(foreach page,$(pages) $(plugin_pages),$(call put,644,$(page),$(call man_at,$(page))))
	$(foreach config,$(configs),$(call put_output,sed 's#build/guests/#guests/#' $(config),share/minivmm/$(config)))
	$(foreach file,$(guest_files),$(call put,644,$(file),share/minivmm/$(file:build/%=%)))
	$(foreach unit,$(units_of_systemd),$(call put_output,sed 's#@PREFIX@#$(PREFIX)#' $(unit),lib/systemd/system/$(notdir $(unit))))
	$(call put_output,$O/minivmm completion bash,$(bash_at)/minivmm)
	$(call put_output,$O/minivmm completion zsh,$(zsh_at)/_minivmm)

# A file that someone has put in the place of ours stays, and so does a directory that holds a file of others.
uninstall: ## remove what install put there
	$(call say,REMOVE,files below $(at))
	$Q[ -e $(list) ] || { echo 'there is no $(list), so nothing is removed; make install writes it' >&2; exit 1; }
	$Qcd $(at) && while read -r sum size file; do \
		if [ ! -e "$$file" ]; then continue; fi; \
		if [ "$$(cksum <"$$file")" = "$$sum $$size" ]; then $(RM) "$$file"; \
		else echo "$(at)/$$file has changed since make install and stays" >&2; fi; done <$(list) && $(RM) $(list)
	$Qfor folder in include/minivmm lib/minivmm/plugins lib/minivmm share/minivmm/configs share/minivmm/guests/linux share/minivmm/guests share/minivmm; do \
		[ ! -d $(at)/$$folder ] || rmdir --ignore-fail-on-non-empty $(at)/$$folder; done

clean: ## remove what was built
	$(RM) -r build minivmm plugins/*.so guests/*.bin

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

-include $(shell find $B -path $B/old -prune -o -name '*.d' -print 2>/dev/null)# old: other commits, of old-snapshots.t
