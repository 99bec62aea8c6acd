#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# --trace: every port and MMIO access of the guest in order, one JSON line each; the guest's
# behaviour does not change. On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use JSON::PP;
use Minivmm;
use Test::More;

# The lines of a run's trace, and its output.
sub trace {
    my (@arguments) = @_;
    my ($status, $out, $err) = run([ $minivmm, @arguments, '--trace', 'trace.json', '--status', 'status.json' ]);
    is($status, 0, "@arguments") or diag($err);
    my @lines = map { decode_json($_) } split /\n/, slurp('trace.json');
    is_deeply([ map { $_->{n} } @lines ], [ 1 .. @lines ], 'lines are numbered');
    is(scalar @lines, status_of('status.json')->{accesses}, 'as many lines as --status counts accesses');
    my $before = 0;
    my $sorted = 1;
    for (map { numbers($_->{time}) } @lines) {
        $sorted &&= $_ >= $before;
        $before = $_;
    }
    ok($sorted, 'times increase');
    delete @$_{qw(n time)} for @lines;
    return ($out, @lines);
}

sub pio {
    my ($rip, $address, $width, $what, $value, @register) = @_;
    my %line = (vcpu => 0, rip => $rip, space => 'pio', address => $address, width => $width, $what => $value);
    @line{qw(device register)} = ('serial0', @register) if @register;
    return \%line;
}

my ($out, @lines) = trace('-c', "$configs/simple-in.ini");
is($out, "5\n", "the guest's output is the same");
is_deeply(
    \@lines,
    [
        pio('0x1000', '0x3f8', 1, read => '0x3', 'RBR'),
        pio('0x1006', '0x3f8', 1, write => '0x35', 'THR'),
        pio('0x1009', '0x3f8', 1, write => '0xa', 'THR')
    ],
    'registers by name; rip at the instruction of a read and after that of a write'
);

# MMIO, and a device without register names.
($out, @lines) = trace('-c', "$configs/simple-mm.ini", '--log', 'error');
my %mmio = (vcpu => 0, rip => '0x1013', space => 'mmio', address => '0x8000', width => 1, device => 'log0');
is_deeply([ @lines[ 2, 3 ] ], [ { %mmio, write => '0x0' }, { %mmio, read => '0x0' } ], 'MMIO');

# Unclaimed accesses: in al,0x80; mov eax,0x9000; out 0x3ff,ax, which exceeds the last port of
# serial0.
spew('unclaimed.ini', guest('e4 80 66 a1 00 90 ba ff 03 ef f4'));
($out, @lines) = trace('-c', 'unclaimed.ini', '--log', 'error');
is_deeply(
    \@lines,
    [
        pio('0x1000', '0x80', 1, read => '0xff'),
        { vcpu => 0, rip => '0x1002', space => 'mmio', address => '0x9000', width => 4, read => '0xffffffff' },
        pio('0x100a', '0x3ff', 2, write => '0xffff')
    ],
    'nobody\'s'
);
is(status_of('status.json')->{unanswered}, 3, 'as many as --status counts');

# An access has the guest's width, also if the device splits it: out dx,eax writes four registers.
spew('wide.ini', guest('ba f8 03 66 b8 41 00 00 03 66 ef f4'));
($out, @lines) = trace('-c', 'wide.ini');
is_deeply(\@lines, [ pio('0x100b', '0x3f8', 4, write => '0x3000041', 'THR') ], 'a wide access is one line');
is($out, 'A', 'the device receives it in parts');

# String instructions make many accesses in one exit: rep outsb of "hello", and rep insb of three
# bytes.
spew('outs.ini', guest('ba f8 03 be 10 10 b9 05 00 f3 6e f4 00 00 00 00 68 65 6c 6c 6f'));
($out, @lines) = trace('-c', 'outs.ini');
is($out, 'hello', 'rep outsb runs');
is_deeply([ map { chr hex $_->{write} } @lines ], [ split //, 'hello' ], 'rep outsb: one line for each byte');
spew('ins.ini', guest('ba f8 03 bf 00 20 b9 03 00 f3 6c f4'));
($out, @lines) = trace('-c', 'ins.ini', '--set', 'device.serial0.input=text:xyz', '--set', 'device.serial0.wait_input=1');
is_deeply([ map { chr hex $_->{read} } @lines ], [qw(x y z)], 'rep insb: one line for each byte');

# A snapshot during the run does not change the trace; the trace of the restored machine is the
# rest.
my (undef, @whole) = trace('-c', "$configs/serial-probe.ini");
my (undef, @with) = trace('-c', "$configs/serial-probe.ini", '--at', 'access:20', '--save', 'x.snap', '--log', 'error');
my (undef, @rest) = trace('-r', 'x.snap');
is_deeply(\@with, \@whole, 'a snapshot does not change the trace');
is_deeply(\@rest, [ @whole[ 20 .. $#whole ] ], 'the trace of a restored machine begins with the next access');

done_testing;
