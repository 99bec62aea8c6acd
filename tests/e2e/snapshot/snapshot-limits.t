#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Snapshot files with as many items as the format allows, with valid checksums: they are refused in
# a short time.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Snapshot;
use Test::More;

spew('x.ini', guest('f4'));
is((run([ $minivmm, '-c', 'x.ini', '--until', 'hlt', '--save', 'a.snap' ]))[0], 0, 'a snapshot');

# A copy of the snapshot with a change.
sub changed {
    my ($change) = @_;
    my $copy = Snapshot->load('a.snap');
    $change->($copy);
    $copy->save('b.snap');
}

# The VM's clock: timers end at INT64_MAX; a clock near that value would have all of them due.
changed(sub { $_[0]->change('VMVM', 0, ['time'], sub { $_[0]{value} = pack 'Q', (1 << 62) }) });
fails([ $minivmm, '-r', 'b.snap' ], 112, qr/section VMVM 0: the VM's clock or lines are missing or out of range/,
    'a clock in 146 years');

# Options that no plugin has: as many as a config can have, of which a few are reported; then one
# more.
my $item = sub { +{ type => 6, name => sprintf('a%04d', shift), count => 0, value => '' } };
changed(sub { $_[0]->change('CONF', 0, [qw(devices 0 set)], sub { $_[0]{value} = [ map { $item->($_) } 1 .. 1022 ] }) });
my ($status, $out, $err) = run([ $minivmm, '-r', 'b.snap' ]);
is("$status:$out", '112:', 'refused: many unknown options');
is(scalar(() = $err =~ /plugin serial has no option a00\d\d \(/g), 8, 'some of them are reported');
changed(sub { $_[0]->change('CONF', 0, [qw(devices 0 set)], sub { $_[0]{value} = [ map { $item->($_) } 1 .. 1024 ] }) });
fails([ $minivmm, '-r', 'b.snap' ], 112, qr/section CONF 0: device serial0 has more than 1024 options$/m, 'too many options');

# More vCPUs than the maximum.
changed(sub { push @{ $_[0]{rows} }, map { { %{ $_[0]->row('VCPU', 0) }, index => $_ } } 1 .. 64 });
fails([ $minivmm, 'inspect', 'b.snap' ], 112, qr/section VCPU 64 is a duplicate or out of order/, 'too many vCPUs');

# Groups of the largest size. tests/unit/cost.c counts what inspect does with them.
my @group = map { { type => 1, name => "i$_", count => 1, value => "\1" } } 1 .. 4096;
changed(sub { $_[0]->row('VCPU', 0)->{data} .= Snapshot::bytes([ map { { type => 7, name => "g$_", value => \@group } } 1 .. 50 ]) });
($status, $out, $err) = run([ $minivmm, 'inspect', 'b.snap' ]);
is("$status:$err", '0:', 'large groups are shown');
is(scalar(() = $out =~ /^ +i\d+ = 0x1 \(1\)$/mg), 50 * 4096, 'each group is shown');

# More MSRs than fit into one item: shown without decoding.
changed(sub {
    $_[0]->change('VCPU', 0, [qw(msrs index)], sub { @{ $_[0] }{qw(count value)} = (5000, pack 'L*', 1 .. 5000) });
    $_[0]->change('VCPU', 0, [qw(msrs value)], sub { @{ $_[0] }{qw(count value)} = (5000, "\0" x 40000) });
});
($status, $out, $err) = run([ $minivmm, 'inspect', 'b.snap' ]);
ok($out =~ /^ +msrs\n +index = 0x1 0x2 .*^ +fcw = /ms || $out =~ /^ +fcw = .*^ +msrs\n +index = 0x1 0x2 /ms, 'MSRs are undecoded, the rest is not');

done_testing;
