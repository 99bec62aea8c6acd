#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A plugin whose library is not installed is left out, with a word about the package, and the rest
# is built; in CI that is an error.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

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
my @make = ('make', '-k', '-f', 'Makefile', 'B=build', 'O=.', 'plugins/without.so', 'plugins/folder.so', 'plugins/with.so');
# What the make that runs this test would hand down.
my %clean = (MAKEFLAGS => '', MFLAGS => '', SANITIZE => '', CI => '');
my ($status, $out, $err) = run(\@make, %clean);
is($status, 0, 'the rest is built') or diag($out, $err);
is($err, join('', map { "  left out: plugins/$_.so needs libno-such-dev: make deps\n" } qw(without folder)), 'what was left out, and why');
is(names('plugins'), 'folder with.c with.libs with.packages with.so without.c without.libs without.packages',
    'and nothing in its place');
($status, $out, $err) = run(\@make, %clean, CI => 'true');
isnt($status, 0, 'an error in CI');
like($err, qr/left out: plugins\/without\.so needs libno-such-dev/, 'with the same word');

done_testing;
