#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Device state that a guest cannot read at once is the same in a restored machine.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# A device in a snapshot of this machine, and in one of the restored machine after its first access.
sub before_and_after {
    my ($name, $device, @run) = @_;
    my ($status, $out, $err) = run([ $minivmm, @run, '--save', 'a.snap' ]);
    is($status, 0, "$name: a snapshot") or diag($err);
    ($status, $out, $err) = run([ $minivmm, '-r', 'a.snap', '--trust', '--until', 'access:1', '--save', 'b.snap' ]);
    is($status, 0, "$name: restored") or diag($err);
    return map { my $file = $_; grep { $_->{name} eq $device } @{ inspect($file)->{devices} } } qw(a.snap b.snap);
}

# Register B: alarm interrupt, at midnight; the time is after noon. Register A: another rate; then
# the guest reads it.
spew('rtc.ini', guest('b0 0b e6 70 b0 22 e6 71 b0 0a e6 70 b0 2f e6 71 e4 71 eb fc', "[device rtc0]\nplugin = rtc\nepoch = 1709210096\n"));
my ($before, $after) = before_and_after('rtc', 'rtc0', '-c', 'rtc.ini', '--until', 'access:4');
is("$before->{state}{a} $before->{state}{b}", 0x2f . ' ' . 0x22, 'rtc: the registers');
is("$after->{state}{a} $after->{state}{b}", 0x2f . ' ' . 0x22, 'rtc: the registers after the restore');
ok($before->{timers}{event}{armed}, 'rtc: an alarm is pending');
ok($after->{timers}{event}{armed}, 'rtc: the alarm is pending after the restore');

# The limiter's debt for the bytes that a disk has moved.
spew('disk.img', slurp("$top/guests/disk.bin"));
($before, $after) = before_and_after('rate', 'disk0', '-c', "$configs/disk.ini", '--set', 'device.disk0.path=disk.img',
    '--set', 'device.disk0.rate=10K/s, 10/s',
    '--set', 'device.disk0.burst=10M, 1000', '--until', 'output:serial0:C');
for my $limit (0, 1) {
    my ($was, $is) = map { $_->{state}{limit}[$limit] } $before, $after;
    cmp_ok($was, '>', 400e6, 'rate: there is a debt');
    cmp_ok($is, '>=', $was, 'rate: a restore keeps the debt');
}

done_testing;
