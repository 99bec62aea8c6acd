#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Snapshot files that hold as much of something as they can, with right checksums: refused, and soon.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Snapshot;
use Test::More;
use Time::HiRes 'time';

spew('x.ini', guest('f4'));
is((run([ $minivmm, '-c', 'x.ini', '--until', 'hlt', '--save', 'a.snap' ]))[0], 0, 'a snapshot');

# A copy of the snapshot in which something was changed.
sub changed {
    my ($change) = @_;
    my $copy = Snapshot->load('a.snap');
    $change->($copy);
    $copy->save('b.snap');
}

# The VM's clock: timers end at INT64_MAX, so a clock that gets there would have them due for ever.
changed(sub { $_[0]->change('VMVM', 0, ['time'], sub { $_[0]{value} = pack 'Q', (1 << 62) }) });
fails([ $minivmm, '-r', 'b.snap' ], 112, qr/section VMVM 0: the VM's clock or lines are missing or out of range/,
    'a clock in 146 years');

done_testing;
