#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What the host doesn't give: each lack is said, and ends the process with its own status.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# A test: under this limit the command ends so, and leaves nothing behind.
sub limited {
    my ($limit, $arguments, $status, $message, $name) = @_;
    my $before = names();
    my ($got, $out, $err) = run([ 'sh', '-c', "ulimit $limit && exec \"\$@\"", 'sh', $minivmm, @$arguments ]);
    is("$got:$out", "$status:", $name);
    like($err, qr/\Aminivmm: $message\n\z/, "$name: is said");
    is(names(), $before, "$name: nothing is left behind");
}

spew('x.ini', guest('f4'));

# A size of files, in units of 512 bytes: it ends a write, not the process.
limited('-f 1', [ 'new-plugin', 'foo' ], 113, qr/cannot write foo\.c: File too large/, 'new-plugin');
limited('-f 1', [ '-c', 'x.ini', '--set', 'vm.memory_file=m' ],
    113, qr/cannot size memory_file m to 0x4000 bytes: File too large/, 'memory_file');

# A reader that has gone.
{
    pipe my $reader, my $writer;
    close $reader;
    my ($status, undef, $err) = run([ $minivmm, '--help' ], stdout => $writer);
    is("$status:$err", '113:', 'a pipe that nobody reads ends it without a word');
}

done_testing;
