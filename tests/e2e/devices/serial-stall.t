#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# 1 MiB through a serial port and a pipe whose reader stalls: all bytes arrive, and the guest does
# the waiting.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Much;
use Test::More;

my $whole = much(64);

# The guest polls LSR and writes nothing meanwhile.
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
    ok(stalls($control), "stall $part: the guest polls while the reader stalls");
    1 while length $bytes < $part * 50_000 && sysread $reader, $bytes, 65536, length $bytes;
}
$bytes .= drain($reader);
my ($status) = finish($process);
is($status, 0, 'the guest continues when the pipe has room');
is(length $bytes, length $whole, 'all bytes arrive');
ok($bytes eq $whole, 'the bytes are the same');

# FCR, the bytes, and one poll for every 16 bytes are the accesses without a stall.
cmp_ok(status_of('status.json')->{accesses}, '>', 1 + 2**20 + 2**16 + 100, 'the stall causes further accesses of the guest');

done_testing;
