#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A serial port that is saved in mid-transmit, while its reader stalls, transmits the rest in the
# restored machine.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# Sixteen bytes whenever THRE is set, until it stays clear: pipe, stream and FIFO are full.
spew('stall.ini', <<'INI');
[vm]
memory_at = 0x1000
memory = 16K
[boot]
# mov dx,0x3fa  mov al,1  out  xor si,si
# 1: mov dx,0x3fd  mov bx,-1  2: in  test al,0x20  jnz 3f  dec bx  jnz 2b  hlt
# 3: mov dx,0x3f8  mov cx,16  4: mov ax,si  out  inc si  loop 4b  jmp 1b
code = ba fa 03 b0 01 ee 31 f6 ba fd 03 bb ff ff ec a8 20 75 04 4b 75 f8 f4 ba f8 03 b9 10 00 89 f0 ee 46 e2 fa eb e3
[device serial0]
plugin = serial
output = stdio
INI

my @sent = map { $_ & 0xff } 0 .. 150000;
my $pid = open my $out, '-|', "exec $minivmm -c stall.ini --until hlt --save mid.snap </dev/null 2>err" or die "$minivmm: $!";
# With a reader the guest would transmit forever.
ok(until_true(sub { -e 'mid.snap' }, 100), 'the guest runs to its end while its output is not read') or kill KILL => $pid;
my $first = '';
while (sysread $out, my $part, 65536) { $first .= $part }
close $out;
is($?, 0, 'the process waits for its reader and ends with status 0');
my @got = unpack 'C*', $first;
ok(@got > 65536, 'the contents of pipe and stream arrive: ' . @got);
is_deeply(\@got, [ @sent[0 .. $#got] ], 'the bytes are the same');

my ($status, $rest) = run([ $minivmm, '-r', 'mid.snap' ]);
is($status, 0, 'the restored machine ends with status 0');
my $state = inspect('mid.snap')->{devices}[0]{state};
my @held = unpack 'C*', $rest;
ok(@held > 0 && @held <= 16, 'bytes held in the port ' . @held);
is_deeply(\@held, [ @sent[@got .. @got + $#held] ], 'the restored machine transmits them');
is($state->{tx_dropped}, 0, 'no byte is lost');

# A virtio console in the middle of one request.
unlink 'mid.snap';
my $length = 300000;
open $out, '-|', "exec $minivmm -c $configs/virtio.ini --set vm.memory=512K --set cpu.rdi=$length --until hlt --save mid.snap </dev/null 2>err"
    or die "$minivmm: $!";
until_true { -e 'mid.snap' } 100;
$first = '';
while (sysread $out, my $part, 65536) { $first .= $part }
close $out;
is($?, 0, 'virtio-console: the process waits for its reader and ends with status 0');
like($first, qr/\Aline in 0\n/, 'virtio-console: the first part arrives');
is(inspect('mid.snap')->{devices}[0]{state}{sent}, length $first, 'virtio-console: the snapshot has the number of bytes sent');
($status, $rest) = run([ $minivmm, '-r', 'mid.snap' ]);
is($status, 0, 'virtio-console: the restored machine ends with status 0');
ok(length $rest > 0 && $rest !~ /line/ && length($first) + length($rest) <= $length, 'virtio-console: the restored machine sends the rest: ' . length $rest);

# A transmit request has a maximum size, so that no request can block a pause.
my ($end, $said, $err) = run([ $minivmm, '-c', "$configs/virtio.ini", '--set', 'cpu.rdi=0x100001' ]);
is("$end:$said", '0:', 'virtio-console: a transmit request of more than 1 MiB');
like($err, qr/hvc0: .*a transmit request has more than 1 MiB/, 'virtio-console: the device stops with a message');
done_testing;
