#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The example plugins in other languages: they compile without a warning, run, and their state
# survives a snapshot.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# out 65 and then 7 to port 0x80; its sum to the serial port, before and after a further 1:
# mov $0x41,%al; out %al,$0x80; mov $7,%al; out %al,$0x80; in $0x80,%al; mov $0x3f8,%dx;
# out %al,%dx; mov $1,%al; out %al,$0x80; in $0x80,%al; out %al,%dx; hlt
spew('x.ini', guest('b041e680b007e680e480baf803eeb001e680e480eef4', "[plugins]\npath = .\n\n[device a]\nplugin = adder\n"));
my %languages = (
    'C++' => [ qw(c++ -std=c++17 -Wall -Wextra -Wpedantic -Wshadow -Werror -O2 -fPIC -shared), "-I$top/core/include", '-o', 'adder.so', "$top/plugins/examples/adder.cc" ],
    'Rust' => [ qw(rustc --edition 2018 -D warnings --crate-type cdylib -O -o adder.so), "$top/plugins/examples/adder.rs" ],
);
for my $language (sort keys %languages) {
  SKIP: {
        my $compiler = $languages{$language}[0];
        skip "$compiler is not installed", 1 if (run([ $compiler, '--version' ]))[0];
        unlink 'adder.so', 'x.snap';
        # Warnings are errors. The status counts: a compiler's launcher may print words of its own.
        my ($status, $out, $err) = run($languages{$language}, timeout => 120);
        is($status, 0, "$language: it compiles") or diag($out . $err);
        ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini' ]);
        is("$status:$out", '0:HI', "$language: it runs");
        is($err, "minivmm: a: adds in $language\n", "$language: it logs");
        is((run([ $minivmm, '-c', 'x.ini', '--until', 'access:4', '--save', 'x.snap' ]))[0], 0, "$language: a snapshot");
        is(inspect('x.snap')->{devices}[1]{state}{sum}, 72, "$language: its state");
        ($status, $out) = run([ $minivmm, '-r', 'x.snap', '--set', 'plugins.path=.' ]);
        is("$status:$out", '0:I', "$language: it continues");
        ($status, $out) = run([ $minivmm, 'plugins', './adder.so' ]);
        like("$status:$out", qr/^0:adder: adds what the guest writes$/m, "$language: plugins");
    }
}
done_testing;
