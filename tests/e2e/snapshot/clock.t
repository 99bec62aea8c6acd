#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What time it is in a restored machine: that of the snapshot, or as much later as it is for the
# host.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;
use Time::HiRes qw(sleep time);

# The machine's clock, kvm-clock and TSC of a snapshot, in seconds.
sub clocks {
    my ($file) = @_;
    my $all = inspect($file);
    my ($vcpu, $machine) = ($all->{vcpus}[0], $all->{machine});
    my ($tsc) = map { $vcpu->{msrs}{$_} } grep { /^0x10\./ } keys %{ $vcpu->{msrs} };
    return {
        clock => $machine->{time} / 1e9,
        kvmclock => $machine->{clock}{clock} / 1e9,
        tsc => $tsc / $vcpu->{tsc_khz}{khz} / 1e3,
    };
}

my ($status, $out, $err) = run([ $minivmm, '-c', "$configs/simple.ini", '--until', 'rip:0x1005', '--save', 'then.snap' ]);
is($status, 0, 'a snapshot') or diag($err);
my ($then, $began) = (clocks('then.snap'), time);
sleep 1.5;
for my $how (qw(resume wall)) {
    ($status, $out, $err) = run([ $minivmm, '-r', 'then.snap', '--set', "snapshot.clock=$how", '--until', 'access:1', '--save', "$how.snap" ]);
    is($status, 0, "clock = $how") or diag($err);
    my $now = clocks("$how.snap");
    for my $clock (sort keys %$then) {
        next if $how eq 'resume' && $clock eq 'tsc';    # some hosts show the guest their own, which goes on
        my $passed = $now->{$clock} - $then->{$clock};
        cmp_ok($passed, $how eq 'wall' ? '>=' : '<', $how eq 'wall' ? 1.45 : 1.2, "$how: $clock") or diag($passed);
        cmp_ok($passed, '<', time - $began + 1, "$how: no more than has passed: $clock");
    }
}

# A time to come is none that has passed.
fails([ $minivmm, '-r', 'then.snap', '--set', 'snapshot.clock=noon' ], 110, qr/clock.*resume.*wall/, 'another word');
done_testing;
