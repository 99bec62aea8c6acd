#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# --symbols: names of addresses in inspect, traces and triple faults, from an ELF file and from a
# System.map; and what is refused.
use v5.14;
use warnings;
use lib 'tests/lib';

use JSON::PP 'decode_json';
use Minivmm;
use Test::More;

my $elf = "$top/build/guests/long.elf";

# The functions of guests/long.S, which is linked at 0x1000: say is called from the code before it.
my ($status, $out, $err) = run([ 'nm', $elf ]);
my ($say) = $out =~ /^([0-9a-f]+) t say$/m;
$say = hex $say;
cmp_ok($say, '>', 0x1000, 'the guest has a function say');
spew('map', sprintf "%016x T _start\n%016x t say\n", 0x1000, $say);

# inspect: the function at rip, and the return address on the stack.
is((run([ $minivmm, '-c', "$configs/long.ini", qw(--set device.serial0.output=none --until access:3 --save x.snap) ]))[0], 0, 'a snapshot in say');
my $regs = inspect('x.snap')->{vcpus}[0]{regs};
my $in = sprintf 'say+0x%x', $regs->{rip} - $say;
for (['an ELF file', $elf], ['a System.map', 'map']) {
    my ($name, $file) = @$_;
    ($status, $out, $err) = run([ $minivmm, 'inspect', '--symbols', $file, 'x.snap' ]);
    is("$status:$err", '0:', "inspect with $name");
    like($out, qr/^  in \Q$in\E$/m, "$name: the function at rip");
}
like($out, qr/^  on the stack\n    @{[ sprintf '0x%x', $regs->{rsp} ]}: _start\+0x[0-9a-f]+$/m, 'the return address, which is before say');
unlike((run([ $minivmm, qw(inspect x.snap) ]))[1], qr/^  in |on the stack/m, 'inspect without symbols');

# A trace.
is((run([ $minivmm, '-c', "$configs/long.ini", '--symbols', $elf, qw(--trace trace.json --set device.serial0.output=none) ]))[0], 0, 'a trace');
my @lines = map { decode_json($_) } split /\n/, slurp('trace.json');
cmp_ok(scalar @lines, '>', 10, 'the trace has lines');
for my $line (@lines[ 0 .. 9 ]) {
    is($line->{at}, sprintf('say+0x%x', hex($line->{rip}) - $say), "access $line->{n}: the function");
}
is($lines[-1]{at}, undef, 'the last access is in no function that has a name');

# A triple fault: long mode, an empty IDT (lidt at 0x2000), a load from an unmapped address.
spew('fault.ini', guest('0f 01 1c 25 00 20 00 00 48 a1 00 00 00 00 ff 7f 00 00 f4', "[cpu]\nmode = long\n") =~ s/16K/64K/r);
spew('fault.map', "0000000000001000 T begin\n0000000000001004 T fault\n000000000000fff0 T of_a_reset\n");
($status, $out, $err) = run([ $minivmm, '-c', 'fault.ini', '--symbols', 'fault.map' ]);
is($status, 100, 'a triple fault');
like($err, qr/^minivmm: vCPU 0: triple fault at rip (?:0x1008 in fault\+0x4|0xfff0\b.*), cr2 0x/m, 'names the function');

# Names are escaped.
spew('loud.map', "0000000000001000 T a\e[2Jb\n");
($status, $out, $err) = run([ $minivmm, 'inspect', '--symbols', 'loud.map', 'x.snap' ]);
is($status, 0, 'a name that would control a terminal');
unlike($out, qr/\e/, 'is escaped');

# Refused.
spew('text', "text\n");
for (
    [ [qw(inspect --symbols none x.snap)], qr/inspect: --symbols: none cannot be opened: No such file or directory/ ],
    [ [qw(inspect --symbols text x.snap)], qr/inspect: --symbols: text is neither an ELF file nor a System\.map/ ],
    [ [qw(inspect --symbols map --json x.snap)], qr/inspect: --symbols names addresses in the text; leave out --json, --map and --dump/ ],
    [ [ '-c', 'fault.ini', qw(--symbols none) ], qr/--symbols: none cannot be opened: No such file or directory/ ],
    [ [ '-c', 'fault.ini', qw(--symbols text --check) ], qr/--symbols: text is neither an ELF file nor a System\.map/ ],
  )
{
    my ($arguments, $message) = @$_;
    fails([ $minivmm, @$arguments ], 110, $message, "refused: @$arguments");
}

done_testing;
