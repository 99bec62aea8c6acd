#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Each process of a batch builds and starts the same machine: what they say is said once.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

spew('x.ini', guest('eb fe', "[device f]\nplugin = $build/tests/plugins/faulty.so\nport = 0x500\n"));
is((run([ $minivmm, '-c', 'x.ini', '--timeout', '1ms', '--save', 'x.snap' ]))[0], 124, 'a snapshot');
spew("in$_", "\n") for 1 .. 4;
my @batch = ($minivmm, qw(batch -r x.snap --trust --input serial0 -j 4 --set));
my @inputs = map { "in$_" } 1 .. 4;

# Each process fails, whatever the others do.
fails([ @batch, 'device.f.bogus=1', @inputs ], 110, qr/--set device\.f\.bogus: device f: plugin \S+ has no option bogus/, 'an unknown option');
fails([ @batch, 'device.f.in=configure', @inputs ], 110, qr/^minivmm: f: fails as configured$/, 'a device that refuses its configuration');

# A process whose start fails may end before another one has an input to start with.
my ($status, $out, $err) = run([ @batch, 'device.f.in=start', @inputs ]);
is("$status:$out", '113:', 'a device that does not start');
is((() = $err =~ /^minivmm: f: fails as configured$/mg), 1, 'says so once');
is((() = $err =~ /^minivmm: batch: each of the 4 processes /mg), 1, 'and so does the batch');

# What is said about an input is not.
my @missing = ('none') x 3;
($status, $out, $err) = run([ @batch, 'device.f.in=nowhere', @missing ]);
is($status, 113, 'inputs that are missing');
is((() = $err =~ /^minivmm: cannot read input none: /mg), 3, 'each is reported');

done_testing;
