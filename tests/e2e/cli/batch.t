#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# configs/batch.ini: one snapshot, taken at the prompt, serves every line; lines that end the guest
# in other ways.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my ($status, $out, $err) = run([ $minivmm, '-c', "$configs/batch.ini", '--until', 'output:serial0:? ', '--save', 'batch.snap' ]);
is("$status:$out", '0:? ', 'the run stops at the prompt');

my @lines = (
    [ "2+3*4\n", 0, "14\n" ],
    [ " 10 * 10 + 1 \r", 0, "101\n" ],
    [ "\n\r\n007\n", 0, "7\n" ],
    [ "4294967295*4294967295+4294967296\n", 0, "1\n" ],
    [ '1+' x 2000 . "1\n", 0, "2001\n" ],
    [ '1+' x 3000 . "1\n", 2, "what?\n" ],
    [ "fill 1007\n", 0, "1007\n" ],
    [ "fill 2000\n", 2, "what?\n" ],
    [ "exit 7\n", 7, '' ],
    [ "crash\n", 100, '' ],
    [ "1+\n", 2, "what?\n" ],
    [ "1-2\n", 2, "what?\n" ],
    [ "crashed\n", 2, "what?\n" ],
);
for my $line (@lines) {
    my ($text, @expected) = @$line;
    ($status, $out) = run([ $minivmm, '-r', 'batch.snap' ], stdin => $text);
    (my $name = substr $text, 0, 40) =~ s/([\r\n])/$1 eq "\n" ? '\n' : '\r'/ge;
    is("$status:$out", join(':', @expected), $name);
}

# No line, and a loop: only time ends these.
for my $text ('', "loop\n") {
    ($status, $out) = run([ $minivmm, '-r', 'batch.snap', '--until', 'time:200ms' ], stdin => $text);
    is("$status:$out", '0:', $text ? 'loop' : 'an empty input');
}

done_testing;
