#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A failed start leaves nothing behind. For each device of each shipped config, each call of a
# service in configure and start fails in turn, and so does each callback: in a run, in a restore,
# and in a batch, whose second input begins with a reset. Sanitizers see memory that is used later,
# the program reports work that is still queued, and no file may be left. See
# tests/preload/services.c.
use v5.14;
use warnings;
use lib 'tests/lib';

use File::Copy 'copy';
use Minivmm;
use Test::More;

my $layer = "$build/tests/preload/services.so";
my %set = (
    'disk' => ['device.disk0.path=disk.img'],
    'linux' => [ "boot.image=$top/guests/bzimage.bin", 'vm.memory=4M', 'vm.cpus=1' ],
    'ssh' => [ "boot.image=$top/guests/bzimage.bin", 'vm.memory=4M' ],
    'live' => [qw(vm.memory=1M cpu.r8=20 cpu.r11=500 cpu.r12=2 cpu.r13=4 cpu.r15=1)],
);
spew("input$_", "1\n") for 1, 2;
copy("$top/guests/disk.bin", 'disk.img') or die "disk.img: $!";

# Runs with a device's call that fails (0: none does). Returns the numbers of calls by device, and
# what is wrong, or ''.
sub failing {
    my ($device, $call, @arguments) = @_;
    my $before = names();
    my ($status, undef, $err) = run([ $minivmm, @arguments ], LD_PRELOAD => $layer, FAIL_COUNT => 1,
        FAIL_DEVICE => $device, FAIL_CALL => $call, stdin => '', timeout => 60);
    my %calls = $err =~ /^calls (\S+) (\d+)$/mg;
    my $wrong = $status > 113 && $status != 124 ? "status $status" : '';
    $wrong .= " $1" if $err =~ /(.*(?:Sanitizer|runtime error|is at fault|queued).*)/;
    $wrong .= ' files ' . names() if names() ne $before;
    return (\%calls, $wrong && "$device, call $call: $wrong");
}

# Makes each call fail in turn. calls: their numbers by device; undef: those of a run without a
# failure. Returns them.
sub each_fails {
    my ($name, $calls, @arguments) = @_;
    my ($counted, @bad) = failing('', 0, @arguments);
    $calls //= $counted;
    for my $device (sort keys %$calls) {
        push @bad, (failing($device, $_, @arguments))[1] for 1 .. $calls->{$device};
    }
    is(join("\n", grep { $_ } @bad), '', "$name: " . join(', ', map { "$_ $calls->{$_}" } sort keys %$calls));
    return $calls;
}

for my $config (sort glob "$configs/*.ini") {
    my ($name) = $config =~ m{([^/]+)\.ini$};
    my @set = map { ('--set', $_) } @{ $set{$name} // [] };
    my $snap = "$name.snap";
    my ($status, undef, $err) = run([ $minivmm, '-c', $config, @set, '--until', 'access:1', '--save', $snap ], stdin => '');
    ok(-e $snap, "$name: a snapshot") or diag("$status: $err");
    each_fails("$name: run", undef, '-c', $config, @set, '--timeout', '20ms');
    my $calls = each_fails("$name: restore", undef, '-r', $snap, '--trust', '--timeout', '20ms');
    my ($input) = slurp($config) =~ /^\[device (\w+)\]\s+plugin = serial$/m;
    next if !$input;
    # A reset calls start again.
    each_fails("$name: batch", { map { $_ => 2 * $calls->{$_} } keys %$calls }, 'batch', '-r', $snap, '--trust', '-j', 1, '--timeout', '2ms', '--input', $input, 'input1', 'input2');
}

done_testing;
