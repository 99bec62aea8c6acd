#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A serial port that is saved in mid-transmit, its reader stalled, goes on in the restored machine with what it held.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# 75,000 bytes to a port with FIFOs, without a look at THRE: more than pipe, stream and FIFO hold.
spew('stall.ini', <<'INI');
[vm]
memory_at = 0x1000
memory = 16K
[boot]
# mov dx,0x3fa  mov al,1  out  mov dx,0x3f8  mov ecx,75000  1: mov al,cl  out  a32 loop 1b  hlt
code = ba fa 03 b0 01 ee ba f8 03 66 b9 f8 24 01 00 88 c8 ee 67 e2 fa f4
[device serial0]
plugin = serial
output = stdio
INI

my @sent = map { $_ & 0xff } reverse 1 .. 75000;
open my $out, '-|', "exec $minivmm -c stall.ini --until hlt --save mid.snap </dev/null 2>err" or die "$minivmm: $!";
for (1 .. 200) {
    last if -e 'mid.snap';
    select undef, undef, undef, 0.05;
}
ok(-e 'mid.snap', 'the guest runs to its end while nobody reads');
my $first = '';
while (sysread $out, my $part, 65536) { $first .= $part }
close $out;
is($?, 0, 'the machine waits for its reader, and ends');
my @got = unpack 'C*', $first;
ok(@got > 65536 && @got < 75000, 'what fits into pipe and stream arrives: ' . @got);
is_deeply(\@got, [ @sent[0 .. $#got] ], 'byte for byte');

my ($status, $rest) = run([ $minivmm, '-r', 'mid.snap' ]);
is($status, 0, 'the restored machine ends as well');
is_deeply([ unpack 'C*', $rest ], [ @sent[@got .. @got + 15] ], "and sends what the port's FIFO held");
is(inspect('mid.snap')->{devices}[0]{state}{tx_dropped}, 75000 - @got - 16, 'what no longer fitted is counted');
done_testing;
