#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The expansion ROM of a PCI device: a guest sizes, places, enables, reads, moves and disables it
# as firmware does; in snapshots, branches and resets, too. See guests/rom.S, tests/plugins/card.c.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;

$ENV{MINIVMM_PLUGIN_PATH} = "$build/tests/plugins:" . ($minivmm =~ s{[^/]*$}{plugins}r);
spew('rom.ini', <<"END");
[vm]
memory_at = 0x1000
memory = 64K
irqchip = on
[boot]
image = $top/guests/rom.bin
[cpu]
mode = protected
[device serial0]
plugin = serial
output = stdio
input = none
[device card0]
plugin = card
END

# The ROM has 3 KiB, so its BAR has 4. The host places it behind the other BARs, disabled.
my $before = "e0102000 fffff001 \nffffffff c306aa55 ffffffff \nread by a callback\nffffffff c306aa55 \n";
my $after = "!ffffffff \n";
my @input = ('--set', 'device.serial0.input=text:!');
my @run = ($minivmm, '--log', 'error');
is(join(':', run([ @run, '-c', 'rom.ini', @input ])), "0:$before$after:", 'a guest reads an expansion ROM');

# Snapshots of the running machine, whose ROM is enabled and moved; a reset to one, and a restore.
my $machine = start([ @run, '-c', 'rom.ini', '--set', 'control.socket=socket' ]);
my $control = Control->connect('socket');
ok(until_true { heard($machine) eq $before }, 'the guest reads the ROM in a loop');
for my $name (qw(a.snap b.snap)) {
    my $reads = $control->accesses('card0', 'reads');
    ok($control->request("snapshot $name")->{ok}, "$name: a snapshot while the guest reads the ROM");
    ok(until_true { $control->accesses('card0', 'reads') > $reads + 10 }, "$name: the guest continues");
}
ok($control->request('quit')->{ok}, 'quit');
finish($machine);
for my $name (qw(a.snap b.snap)) {
    is(join(':', run([ @run, '-r', $name, @input ])), "0:$after:", "$name: also in a restored machine");
}
spew("in$_", '!') for 1 .. 3;
my ($status, $out, $err) = run([ $minivmm, 'batch', '-r', 'b.snap', '--input', 'serial0', '--check', '-j', 1, map { "in$_" } 1 .. 3 ]);
like("$status:$err", qr/\A0:(?:minivmm: warning: unclaimed 4-byte read at address 0xd0100000\n)+\z/, 'resets are complete');
is(join(',', $out =~ /"output":"([^"]*)"/g), join(',', ('!ffffffff \u000a') x 3), 'also after a reset, which enables the ROM again');

# The property test: each exit.
my @modes = ('', $build =~ /tsan$/ ? () : '-bbb');
for my $mode (@modes) {
    my @command = ("$build/tests/tools/invisible", ($mode || ()), qw(-m 10 -n 20 rom.ini device.serial0.input=text:!));
    ($status, $out, $err) = run(\@command, timeout => 300);
    ok($status == 0 && $out =~ /PASS \w+: [1-9]/, $mode ? 'resets of branches' : 'snapshots') or diag($out, $err);
}
done_testing;
