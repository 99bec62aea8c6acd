#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A mebibyte through a serial port and a pipe whose reader stalls: byte for byte, and it is the
# guest that waits.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Much;
use Test::More;

my $whole = much(64);

# Where the guest is in what it says: SIGQUIT asks, once there is a vCPU's thread.
sub rsi {
    my ($process) = @_;
    my $asked = () = said($process) =~ / rsi /g;
    return '' if (() = glob "/proc/$process->{pid}/task/*") < 2;
    kill QUIT => $process->{pid};
    until_true { (() = said($process) =~ / rsi /g) > $asked };
    return (said($process) =~ / rsi (0x[0-9a-f]+)/g)[-1];
}

# The guest gets nowhere, while its vCPU runs and can be looked at.
sub stalls {
    my ($process) = @_;
    my $before = '';
    return until_true {
        my $now = rsi($process);
        my $same = $now eq $before && $now ne '';
        $before = $now;
        return $same;
    };
}

my ($reader, $writer) = small_pipe();
my $process = start([ $minivmm, '-c', 'much.ini', '--status', 'status.json' ], stdout => $writer);
close $writer;
my $bytes = '';
for my $part (1 .. 4) {
    ok(stalls($process), "stall $part: the guest waits, by its own polling");
    sysread $reader, $bytes, 65536, length $bytes while length $bytes < $part * 50_000;
}
$bytes .= drain($reader);
my ($status) = finish($process);
is($status, 0, 'and goes on when there is room');
is(length $bytes, length $whole, 'all of it arrives');
ok($bytes eq $whole, 'byte for byte');

# FCR, the bytes, and one poll for each 16 of them is what a reader that keeps up would cost.
cmp_ok(status_of('status.json')->{accesses}, '>', 1 + 2**20 + 2**16 + 100, 'the wait was in the guest');

done_testing;
