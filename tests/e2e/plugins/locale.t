#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A plugin, or a library of it, sets a locale with a decimal comma for the process: the control
# socket's replies remain JSON. On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use JSON::PP;
use Minivmm;
use Test::More;

mkdir 'locale';
my ($status) = run([ qw(localedef -i de_DE -f UTF-8 locale/de_DE.UTF-8) ]);
die 'localedef cannot make a locale' if $status && $ENV{CI};
plan skip_all => 'localedef cannot make a locale; make deps installs what it needs' if $status;

spew('comma.c', <<'END');
#include <locale.h>
#include <minivmm/plugin.h>
static int comma_configure(struct minivmm_device *dev)
{
	return setlocale(LC_ALL, "de_DE.UTF-8") ? 0 : -1;
}
static const struct minivmm_plugin comma = { .name = "comma", .summary = "sets a locale",
	.state_version = 1, .state_size = 1, .configure = comma_configure };
MINIVMM_REGISTER(comma);
END
is((run([ qw(cc -shared -fPIC), "-I$top/core/include", qw(-o comma.so comma.c) ]))[0], 0,
    'the plugin is built');

# mov $0x3f8,%dx; mov $'!',%al; out %al,%dx; jmp .
spew('x.ini', guest('ba f8 03 b0 21 ee eb fe',
        "[device a]\nplugin = ./comma.so\n\n[control]\nsocket = vm.sock\n"));
my $process = start([ $minivmm, '-c', 'x.ini' ], LOCPATH => 'locale');
ok(until_true { heard($process) eq '!' }, 'the guest runs') or diag(said($process));
my ($ended, $out, $err) = run([ $minivmm, qw(ctl --json vm.sock snapshot x.snap) ]);
is("$ended:$err", '0:', 'ctl snapshot');
like(eval { decode_json($out)->{stopped_us} } // $out, qr/\A\d+(?:\.\d)?\z/, 'its reply is JSON');
Control->connect('vm.sock')->request('quit');
is((finish($process))[0], 0, 'the machine ends');

done_testing;
