#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The text of an errno comes from base/limit.h everywhere in core and in the plugins, so that a
# message about an exhausted limit names the limit and its remedy.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my @found;
for my $file (glob "$top/core/*/*.c $top/plugins/*.c $top/plugins/*/*.c $top/plugins/common/*/*.c") {
    next if $file =~ m{/base/limit\.c$};
    my $number = 0;
    for (split /\n/, slurp($file)) {
        $number++;
        # A comparison with the text of dlerror() is no message.
        push @found, "$file:$number" if /\b(?<!gai_)strerror\(|"[^"]*%m(?:"|:)|\bperror\(/ && !/strstr\(|\? error : strerror/;
    }
}
is("@found", '', 'no message has the text of strerror() or %m');

done_testing;
