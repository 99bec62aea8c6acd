#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A mebibyte through a serial port and a pipe whose reader stalls: byte for byte, and it is the
# guest that waits.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Much;
use Test::More;

my $whole = much(64);

# The guest polls LSR, and it writes nothing meanwhile.
sub stalls {
    my ($control) = @_;
    return until_true {
        my ($reads, $writes) = map { $control->accesses('serial0', $_) } qw(reads writes);
        until_true { $control->accesses('serial0', 'reads') > $reads + 100 };
        return $control->accesses('serial0', 'writes') == $writes && $writes > $small_pipe;
    };
}

my ($reader, $writer) = small_pipe();
my $process = start([ $minivmm, '-c', 'much.ini', '--status', 'status.json', '--set', 'control.socket=vm.sock' ], stdout => $writer);
close $writer;
my $control = Control->connect('vm.sock');
my $bytes = '';
for my $part (1 .. 4) {
    ok(stalls($control), "stall $part: the guest waits, by its own polling");
    1 while length $bytes < $part * 50_000 && sysread $reader, $bytes, 65536, length $bytes;
}
$bytes .= drain($reader);
my ($status) = finish($process);
is($status, 0, 'and goes on when there is room');
is(length $bytes, length $whole, 'all of it arrives');
ok($bytes eq $whole, 'byte for byte');

# FCR, the bytes, and one poll for each 16 of them is what a reader that keeps up would cost.
cmp_ok(status_of('status.json')->{accesses}, '>', 1 + 2**20 + 2**16 + 100, 'the wait was in the guest');

done_testing;
