#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The time in a restored machine: that of the snapshot, or later by the time that has passed on the
# host.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;
use Time::HiRes qw(sleep time);

# The machine's clock, kvm-clock and TSC in a snapshot, in seconds.
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

my $began = time;
my ($status, $out, $err) = run([ $minivmm, '-c', "$configs/simple.ini", '--until', 'rip:0x1005', '--save', 'then.snap' ]);
is($status, 0, 'a snapshot') or diag($err);
my $then = clocks('then.snap');
sleep 1.5;
for my $how (qw(resume wall)) {
    ($status, $out, $err) = run([ $minivmm, '-r', 'then.snap', '--set', "snapshot.clock=$how", '--until', 'access:1', '--save', "$how.snap" ]);
    is($status, 0, "a restore with clock = $how") or diag($err);
    my $now = clocks("$how.snap");
    for my $clock (sort keys %$then) {
        next if $how eq 'resume' && $clock eq 'tsc';    # some KVMs show the guest the host's TSC
        my $passed = $now->{$clock} - $then->{$clock};
        cmp_ok($passed, $how eq 'wall' ? '>=' : '<', $how eq 'wall' ? 1.45 : 1.2, "$how: $clock") or diag($passed);
        cmp_ok($passed, '<', time - $began + 1, "$how: not more than the time that has passed: $clock");
    }
}

# If the time in the snapshot is in the future, no time has passed.
fails([ $minivmm, '-r', 'then.snap', '--set', 'snapshot.clock=noon' ], 110, qr/clock.*resume.*wall/, 'refused: an unknown value of clock');
done_testing;
