#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A snapshot is refused before anything is built from it: claims that its size does not support cost
# no memory, and an unknown item is refused wherever it is. tests/unit/cost.c counts what the passes
# over metadata cost. On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Snapshot;
use Test::More;

my @more = ("[device m]\nplugin = mmio-logger\naddress = 0x10000000\nbacking = ram\noutput = none\n",
    "[device rtc0]\nplugin = rtc\n");
my $config = guest('ba f8 03 b0 34 ee b0 35 ee f4', join "\n", @more) =~ s/\n\n/\nirqchip = on\n\n/r;
spew('x.ini', $config);
is((run([ $minivmm, '-c', 'x.ini', '--until', 'access:1', '--save', 'a.snap', '--log', 'error' ]))[0], 0, 'a snapshot');

# The address space of a refused restore. A sanitizer needs more for itself.
my $limit = $build =~ /san/ ? 'unlimited' : 400000;    # KiB

# Restores a changed copy with little memory, and expects a message.
sub refused {
    my ($change, $message, $name, @command) = @_;
    my $copy = Snapshot->load('a.snap');
    $change->($copy);
    $copy->save('b.snap');
    @command = ($minivmm, '-r', 'b.snap') if !@command;
    return fails([ 'sh', '-c', "ulimit -v $limit; exec \"\$@\"", 'sh', @command ], 112, $message, $name);
}

sub text { +{ type => 6, name => $_[0], count => length $_[1], value => $_[1] } }
sub group { my $name = shift; +{ type => 7, name => $name, value => [@_] } }
my $unknown = { type => 3, name => 'colour', count => 1, value => pack 'L', 7 };

# --- Claims ---

my @large = map {
    group('', text('name', "d$_"), text('plugin', 'mmio-logger'),
        group('options', text('address', sprintf '0x%x', (1 << 32) + ($_ << 26)), text('size', '64M'), text('backing', 'ram'),
            text('output', 'none')), group('set'))
} 0 .. 99;
refused(sub { $_[0]->change('CONF', 0, ['devices'], sub { push @{ $_[0]{value} }, @large }) },
    qr/section DEVI 0: it has the state of 3 devices, the machine has 103$/m, '100 devices of 64 MiB without state');
refused(
    sub {
        my ($copy) = @_;
        $copy->change('CONF', 0, ['devices'], sub { push @{ $_[0]{value} }, @large });
        for my $i (0 .. 99) {
            push @{ $copy->{rows} }, { %{ $copy->row('DEVI', 1) }, index => 3 + $i };
            $copy->change('DEVI', 3 + $i, ['name'], sub { @{ $_[0] }{qw(count value)} = (length "d$i", "d$i") });
        }
    },
    qr/section DEVI 3: device d0 \(plugin mmio-logger\): ram has 4096 elements, expected 67108864$/m,
    '100 devices of 64 MiB with 4 KiB of state: the first is refused before the second'
);
refused(
    sub {
        $_[0]->change('CONF', 0, [qw(vm memory)], sub { $_[0]{value} = pack 'Q', 256 << 30 });
        $_[0]->change('CONF', 0, [qw(vm memory_at)], sub { $_[0]{value} = pack 'Q', 1 << 32 });
    },
    qr/section MEMR 0: it has 0x4000 bytes of memory at 0x1000, the machine has 0x4000000000 at 0x100000000$/m,
    '256 GiB of memory in a small file'
);
refused(sub { $_[0]->change('CONF', 0, [qw(vm cpus)], sub { $_[0]{value} = pack 'L', 60 }) },
    qr/section VCPU 0: it has the state of 1 vCPUs, the machine has 60$/m, 'vCPUs without state');
refused(
    sub {
        $_[0]->change('CONF', 0, ['devices'], sub { push @{ $_[0]{value} }, @large });
    },
    qr/the machine has 103$/m, 'the same in batch', $minivmm, 'batch', '-r', 'b.snap', '--input', 'serial0', 'x.ini'
);

# --- Unknown items ---

sub adds {
    my ($tag, $index, @path) = @_;
    return sub {
        my ($copy) = @_;
        return $copy->change($tag, $index, \@path, sub { push @{ $_[0]{value} }, $unknown }) if @path;
        $copy->row($tag, $index)->{data} .= Snapshot::bytes([$unknown]);
    };
}
for my $where (
    [qw(CONF 0)], [qw(CONF 0 vm)], [qw(CONF 0 devices 0)], [qw(TIME 0)], [qw(DEVI 0)], [qw(DEVI 0 state)],
    [qw(DEVI 2 state)], [qw(DEVI 0 timers)], [qw(DEVI 0 timers timeout)], [qw(DEVI 0 streams)], [qw(DEVI 0 streams line)],
    [qw(VCPU 0)], map([ qw(VCPU 0), $_ ], qw(cpuid tsc_khz mp_state regs sregs cr8 xsave xcrs debugregs lapic msrs events)),
    [qw(VMVM 0)], map([ qw(VMVM 0), $_ ], qw(lines pit clock pic_slave pic_master ioapic)), [qw(MEMR 0)], [qw(MEMR 0 regions 0)]
  )
{
    refused(adds(@$where), qr/(?:section $where->[0] $where->[1]|memory map): .*colour is unknown/, "an unknown item in @$where");
}
my $copy = Snapshot->load('a.snap');
adds('HOST', 0)->($copy);
$copy->save('b.snap');
is((run([ $minivmm, '-r', 'b.snap', '--log', 'error' ]))[1], '5', 'an unknown item about the host is accepted');

# --- A stream ---

sub frame {
    my ($offset, $bytes) = @_;
    my $head = pack 'Q L', $offset, length $bytes;
    return $head . pack('L', Snapshot::crc32c($head . pack('L', 0) . $bytes)) . $bytes;
}

# One byte in each page: refused after some hundred frames. The rest is not read.
my $start = "MINIVMM\x1e" . frame(1 << 62, '');
spew('thin', $start . join '', map { frame($_ << 12, 'x') } 0 .. 2999);
open my $in, '<', 'thin' or die "thin: $!";
fails([ $minivmm, '-r', '-' ], 112, qr/snapshot - is damaged: its small frames are too far apart: /, 'frames of one byte, a page apart',
    stdin => $in);
cmp_ok(sysseek($in, 0, 1), '<', 20000, 'the rest is not read');

# Frames of one byte that follow each other are a slow way to send a file, but a correct one.
my $bytes = slurp('a.snap');
my $table = unpack 'x40 Q', $bytes;    # small frames for the header, and for some bytes of the table
spew('slow', $start . join('', map { frame($_, substr $bytes, $_, 1) } 0 .. 127, $table .. $table + 999)
      . frame(4096, substr $bytes, 4096, $table - 4096) . frame($table + 1000, substr $bytes, $table + 1000)
      . frame(length $bytes, ''));
open $in, '<', 'slow' or die "slow: $!";
is((run([ $minivmm, '-r', '-', '--log', 'error' ], stdin => $in))[1], '5', 'frames of one byte, side by side');

# Metadata that no frame has sent would be zeros: as much of them as the header says.
my ($head) = $copy->pack_meta(memory_size => 4096, table_offset => 8192, table_size => 200 << 20);
spew('hollow', $start . frame(0, $head) . frame(8192 + (200 << 20), ''));
open $in, '<', 'hollow' or die "hollow: $!";
fails([ $minivmm, '-r', '-' ], 112, qr/snapshot - is damaged: it has 209715200 bytes of metadata, but its stream only \d+$/,
    'metadata that the stream lacks', stdin => $in);

done_testing;
