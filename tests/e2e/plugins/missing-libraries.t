#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A plugin whose library is not installed is left out with a message that names the package; the
# others are built, also if it is a folder of plugins/common that needs it. In CI this is an
# error.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use File::Path 'make_path';
use Minivmm;
use Test::More;

symlink "$top/$_", $_ for qw(Makefile core);
mkdir $_ for qw(plugins plugins/folder);
my $plugin = slurp("$top/plugins/power.c") =~ s/"power"/"NAME"/r;
spew('plugins/with.c', $plugin);
spew('plugins/with.libs', "-lm\n");
spew('plugins/with.packages', "libc6-dev\n");
for my $name ('without', 'folder/without') {
    my $base = $name =~ s{/.*}{/}r;
    $base = 'plugins/' . ($name =~ m{/} ? $base : "$name.");
    spew("plugins/$name.c", $plugin);
    spew("${base}libs", "-lno-such-library\n");
    spew("${base}packages", "libno-such-dev\n");
}
# A part that plugins share: its source does not even compile.
make_path("plugins/common/$_") for qw(part whole);
spew("plugins/common/$_/$_.h", '') for qw(part whole);
spew('plugins/common/part/part.c', "#include <no-such-header.h>\n");
spew('plugins/common/part/libs', "-lno-such-library\n");
spew('plugins/common/whole/whole.c', "int whole(void);\nint whole(void) { return 0; }\n");
my @make = ('make', '-k', '-f', 'Makefile', 'B=build', 'O=.', 'plugins/without.so', 'plugins/folder.so', 'plugins/with.so');
# Variables that the make that runs this test would pass down.
my %clean = (MAKEFLAGS => '', MFLAGS => '', SANITIZE => '', CI => '');
my ($status, $out, $err) = run(\@make, %clean);
is($status, 0, 'make succeeds') or diag($out, $err);
is($err, join('', map { "  left out: plugins/$_.so needs libno-such-dev: make deps\n" } qw(without folder)), 'the message names the plugin and the package');
is(names('plugins'), 'common folder with.c with.libs with.packages with.so without.c without.libs without.packages',
    'no other file is built');
is(qx(ar t build/plugins/common.a), "whole.o\n", 'the part is left out, too, and the other one is not');
($status, $out, $err) = run(\@make, %clean, CI => 'true');
isnt($status, 0, 'in CI make fails');
like($err, qr/left out: plugins\/without\.so needs libno-such-dev/, 'in CI the message is the same');

done_testing;
