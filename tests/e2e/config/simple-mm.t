#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# configs/simple-mm.ini: accesses to an address without memory, and the pages of memory that the
# guest writes.
use v5.14;
use warnings;
use lib 'tests/lib';

use JSON::PP;
use Minivmm;
use Test::More;

my @run = ($minivmm, '-c', "$configs/simple-mm.ini");

my ($status, $out, $err) = run(\@run);
is("$status:$out", "0:4\n", 'run');
my @lines = split /\n/, $err;
like($lines[0], qr/\Alog0: 0\.\d{9} vcpu 0 rip 0x1013 write 0x8000 width 1 value 0x0\z/, 'the write is logged');
like($lines[1], qr/\Alog0: 0\.\d{9} vcpu 0 rip 0x1013 read 0x8000 width 1 value 0x0\z/, 'the read is logged');
is($lines[2], 'minivmm: log0: 1 reads of 1 bytes, 1 writes of 1 bytes', 'the counts are reported');
is($lines[3], 'minivmm: the guest dirtied 1 page: 0x2000', 'the dirty page is reported');
is(scalar @lines, 4, 'there is no other message');

# A device's output precedes its report at the end, even if the main thread, which delivers the
# output, is late.
($status, $out, $err) = run(\@run, LD_PRELOAD => "$build/tests/preload/late.so");
is("$status:$out", "0:4\n", 'a run with a late main thread');
like($err, qr/\Alog0: .* write .*\nlog0: .* read .*\nminivmm: log0: 1 reads/, 'the output precedes the report');

($status, $out, $err) = run([ @run, map { ('--set', "device.log0.$_") } 'format=json', 'output=file:log.json' ]);
is("$status:$out", "0:4\n", 'a log in JSON to a file');
unlike($err, qr/^log0: /m, 'stderr has none of it');
my @rows = map { numbers(decode_json($_)) } split /\n/, slurp('log.json');
my %common = (device => 'log0', vcpu => 0, address => 0x8000, width => 1, value => 0);
for my $row (@rows) {
    ok(delete $row->{time} > 0, 'each line has a time');
    ok(delete $row->{rip} >= 0x100f, 'each line has a rip');
}
is_deeply(\@rows, [ { %common, op => 'write' }, { %common, op => 'read' } ], 'the log has one write and one read');

# The device's backing, as the guest sees it.
my %reads = (ram => 0x00, none => 0xff, fixed => 0x5a);
for my $backing (sort keys %reads) {
    ($status, $out, $err) = run([ @run, '--registers', map { ('--set', "device.log0.$_") } "backing=$backing", 'value=0x15a' ]);
    is(registers($err)->{rdx} & 0xff, $reads{$backing}, "backing = $backing");
}

# A fresh run reports all pages written since its start; a restored run those written since the
# restore.
($status) = run([ @run, '--until', 'mmio:0x8000', '--save', 'mm.snap' ]);
($status, $out, $err) = run([ $minivmm, '-r', 'mm.snap' ]);
is("$status:$out", '0:', 'the machine restored after the write runs');
like($err, qr/^minivmm: the guest dirtied 0 pages$/m, 'it reports no dirty page');
like($err, qr/\Alog0: 0\.\d{9} vcpu 0 rip 0x1013 read 0x8000 width 1 value 0x0\n/, 'it logs the read');
like($err, qr/^minivmm: log0: 1 reads of 1 bytes, 1 writes of 1 bytes$/m, 'its counts continue from the snapshot');

done_testing;
