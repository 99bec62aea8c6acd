#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# make install: the installed program runs from its place, and a plugin can be built against it
# outside of the tree.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my $to = (run(['pwd']))[1] =~ s/\n//r . '/to';
my $at = "$to/usr/local";

# Runs make with the program of the make that runs the tests.
sub make {
    my (@arguments) = @_;
    my ($status, $out, $err) = run([ 'make', '-s', '-C', $top, "DESTDIR=$to", 'PREFIX=/usr/local', @arguments ], timeout => 120);
    is($status, 0, "make @arguments") or diag($out, $err);
    return $out;
}
my @printed = split /^/, make('install');
is(join('', grep { !/^  [A-Z]+ +\S+$/ } @printed), '', 'make install prints lines like those of the build');
is(join('', sort map { /^  INSTALL +(\S+\n)/ } @printed), join('', sort split /^/, (run([ 'find', $to, '-type', 'f' ]))[1]), 'one for each file');

my @pages = map { m{([^/]+\.(\d))$} ? "share/man/man$2/$1" : () } glob "$top/core/*/*.[1-8] $top/plugins/*/*.[1-8] $build/man/*.[1-8]";
ok(-s "$at/$_", $_) for qw(bin/minivmm include/minivmm/plugin.h include/minivmm/tool.h lib/pkgconfig/minivmm.pc), @pages,
  map { "lib/minivmm/plugins/$_.so" } qw(serial counter mmio-logger debug-exit);
cmp_ok(scalar @pages, '>=', 20, 'all manual pages are installed');

# The program finds its plugins from any folder.
my ($status, $out, $err) = run([ "$at/bin/minivmm", '-c', "$configs/simple.ini", '--log', 'warn' ]);
is("$status:$out:$err", "0:4\n:", 'simple.ini');
($status, $out, $err) = run([ "$at/bin/minivmm", 'plugins' ]);
like($out, qr/^\Q$at\E\/lib\/minivmm\/plugins\n(?:  .*\n)*  serial +a 16550A serial port\n/m, 'the installed program lists its plugins');

# The units of systemd start the installed program.
like(slurp("$at/lib/systemd/system/minivmm@.service"), qr{^ExecStart=/usr/local/bin/minivmm -c }m, 'the service');
like(slurp("$at/lib/systemd/system/minivmm@.socket"), qr/^ListenStream=/m, 'its socket');

# The installed examples run. linux.ini and ssh.ini are skipped: they need a kernel.
my @examples = glob "$at/share/minivmm/configs/*.ini";
is(scalar @examples, scalar(() = glob "$top/configs/*.ini"), 'all example configs are installed');
for my $config (grep { !/(?:linux|ssh)\.ini$/ } @examples) {
    ($status, $out, $err) = run([ "$at/bin/minivmm", '-c', $config, '--check' ]);
    is("$status:$out:$err", '0::', "$config: its guest and plugins are found");
}
($status, $out, $err) = run([ "$at/bin/minivmm", '-c', "$at/share/minivmm/configs/simple.ini" ]);
is("$status:$out:$err", "0:4\n:minivmm: snapshot written to simple.snap\n", 'the installed simple.ini runs');
is(slurp("$at/share/minivmm/guests/$_"), slurp("$top/guests/$_"), "guests/$_") for qw(simple.bin simple.S say.inc linux/edu.c linux/Makefile);

# The completion scripts are where the shells look for them.
is(slurp("$at/share/$_->[1]"), (run([ "$at/bin/minivmm", 'completion', $_->[0] ]))[1], "completion for $_->[0] is installed")
  for [ bash => 'bash-completion/completions/minivmm' ], [ zsh => 'zsh/site-functions/_minivmm' ];

# A third-party plugin: created by new-plugin, built with the flags of pkg-config, run, saved,
# restored.
my %env = (PKG_CONFIG_PATH => "$at/lib/pkgconfig", PKG_CONFIG_SYSROOT_DIR => $to);
like((run([ qw(pkg-config --cflags minivmm) ], %env))[1], qr/\A-I\Q$at\E\/include\s*\n\z/, 'pkg-config');
is((run([ "$at/bin/minivmm", 'new-plugin', 'adder' ]))[0], 0, 'new-plugin');
($status, $out, $err) = run([ 'sh', '-c', 'cc -shared -fPIC -Wall -Wextra -Werror -o adder.so adder.c $(pkg-config --cflags minivmm)' ], %env);
is("$status:$out$err", '0:', 'builds');

# In 32-bit mode: mov $5,0xd0000000, twice; mov 0xd0000000,%eax; out %al,$0xf4
spew('x.ini', "[vm]\nmemory_at = 0x1000\n\n[boot]\ncode = " . 'c705000000d005000000' x 2 . "a1000000d0e6f4ebfe\n\n"
      . "[cpu]\nmode = protected\n\n[plugins]\npath = .\n\n[device exit0]\nplugin = debug-exit\n\n"
      . "[device a]\nplugin = adder\naddress = 0xd0000000\n");
is((run([ "$at/bin/minivmm", '-c', 'x.ini' ]))[0], 10, 'runs');
is((run([ "$at/bin/minivmm", '-c', 'x.ini', '--until', 'mmio:0xd0000000', '--save', 'x.snap' ]))[0], 0, 'the plugin runs to a snapshot');
is((run([ "$at/bin/minivmm", '-r', 'x.snap' ], MINIVMM_PLUGIN_PATH => '.'))[0], 10, "the plugin's state is restored");

# An installation for another prefix does not rebuild the program: it finds its plugins relative to
# its own path.
my $before = (stat $minivmm)[9];
make('install', 'PREFIX=/opt/mini');
is((stat $minivmm)[9], $before, 'the program in the tree is unchanged');
($status, $out, $err) = run([ "$to/opt/mini/bin/minivmm", '-c', "$configs/simple.ini", '--log', 'warn' ]);
is("$status:$out:$err", "0:4\n:", 'the program runs from another prefix');
make('uninstall', 'PREFIX=/opt/mini');
is((run([ 'find', "$to/opt", '-type', 'f' ]))[1], '', 'uninstall removes every file');

# uninstall keeps other files and their folders, and one in the place of ours.
my ($ours) = glob "$at/lib/minivmm/plugins/counter.so";
my @mine = ("$at/lib/minivmm/plugins/mine.so", "$at/share/minivmm/configs/mine.ini", "$at/bin/mine");
push @mine, $ours;
spew($_, 'mine') for @mine;
make('uninstall');
is(join('', sort split /^/, (run([ 'find', $to, '-type', 'f' ]))[1]), join('', map { "$_\n" } sort @mine), 'uninstall keeps the files of others');
ok(!-e "$at/$_", "$_ is removed") for qw(include/minivmm share/minivmm/guests);

done_testing;
