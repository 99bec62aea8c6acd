#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The ACPI tables, tested with ACPICA's tools: each one is disassembled and compiled again without a
# warning. And the reset code at a PC's reset vector.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Plugins;
use Test::More;

my ($found) = run([ 'sh', '-c', 'command -v iasl' ]);
BAIL_OUT('iasl is not installed: make deps installs acpica-tools') if $found;

# Memory is a file, from which the tables are read. Returns { signature => bytes }.
sub tables {
    my ($name, $config, @options) = @_;
    spew('x.ini', $config);
    unlink 'ram.img';
    my ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--log', 'error', '--set', 'vm.memory_file=ram.img', @options ]);
    is($status, 0, "$name: the run") or diag($err);
    my $memory = slurp('ram.img');
    my $rsdp = substr $memory, 0xe0000, 36;
    is(substr($rsdp, 0, 8), 'RSD PTR ', "$name: RSDP");
    is(unpack('%8C*', substr $rsdp, 0, 20), 0, "$name: the checksum of the first 20 bytes");
    is(unpack('%8C*', $rsdp), 0, "$name: the extended checksum");
    my $table = sub {
        my $length = unpack 'L<', substr $memory, $_[0] + 4, 4;
        return substr $memory, $_[0], $length;
    };
    my $xsdt = $table->(unpack 'Q<', substr $rsdp, 24, 8);
    my %tables = (XSDT => $xsdt);
    for my $bytes (map { $table->($_) } unpack 'Q<*', substr $xsdt, 36) {
        $tables{ substr $bytes, 0, 4 } = $bytes;
        $tables{DSDT} = $table->(unpack 'Q<', substr $bytes, 140, 8) if $bytes =~ /\AFACP/;
    }
    return \%tables;
}

# iasl reports errors on both streams; its status is not sufficient.
sub clean {
    my ($name, @command) = @_;
    my ($status, $out, $err) = run([ 'iasl', @command ]);
    my @amiss = grep { !/\b0 Errors, 0 Warnings, 0 Remarks\b/ } grep { /\b(?:error|warning|remark|invalid|unknown|fail)/i } split /\n/, "$out\n$err";
    is("$status:" . join('|', @amiss), '0:', $name) or diag($out, $err);
}

sub check {
    my ($name, $tables, @more) = @_;
    is(join(' ', sort keys %$tables), join(' ', sort qw(APIC DSDT FACP XSDT), @more), "$name: has the expected tables");
    for my $signature (sort keys %$tables) {
        is(unpack('%8C*', $tables->{$signature}), 0, "$name: $signature: the checksum");
        spew("$signature.dat", $tables->{$signature});
        clean("$name: $signature: can be disassembled", '-d', "$signature.dat");
        clean("$name: $signature: can be compiled again", '-p', "again", "$signature.dsl");
        next if !-e 'again.aml';
        # The creator's id and revision come from the compiler.
        my ($again, $was) = map { substr($_, 0, 9) . substr($_, 10, 18) . substr($_, 36) } slurp('again.aml'), $tables->{$signature};
        is(length $again, length $was, "$name: $signature: the compiled table has the same length") if $signature ne 'DSDT';
        is(unpack('H*', $again), unpack('H*', $was), "$name: $signature: the compiled table has the same bytes") if $signature ne 'DSDT';
        unlink 'again.aml';
    }
}

my $config = slurp("$configs/bzimage.ini") =~ s{\.\./}{$top/}r;
check('one device', tables('one device', $config));
check('16 vCPUs', tables('16 vCPUs', $config =~ s/^irqchip/cpus = 16\nirqchip/mr));

# Two devices of each plugin, one of them above 4 GiB.
my @plugins = grep { $_ ne 'power' } devices();
my $number = 1;
my $all = join '', map { my $plugin = $_; map { device($plugin, $number++) } 1, 2 } @plugins;
$all .= device('virtio-rng', $number) =~ s/^address = .*/address = 0x123456789000/mr;
my $tables = tables('all devices', $config . $all);
check('all devices', $tables, 'MCFG');    # edu is a PCI device
my $dsl = slurp('DSDT.dsl');
like($dsl, qr/"LNRO0005"/, 'all devices: has virtio devices');
like($dsl, qr/0x0000123456789000/, 'all devices: has a device above 4 GiB');
like($dsl, qr/EisaId \("PNP0A08"\)/, 'all devices: has a host bridge');
like($dsl, qr/EisaId \("PNP0501"\)/, 'all devices: has serial ports');

# The reset code at a PC's reset vector, taken from the memory of an earlier run: a machine that
# starts there resets.
my %resets = (
    'the reset register' => [ "port = 0x700\nreset = 5\n", '', 5 ],
    'the keyboard controller' => [ undef, "\n[device keyboard0]\nplugin = i8042\nreset = 6\n", 6 ],
    'a triple fault' => [ undef, '', 100 ],
);
for my $by (sort keys %resets) {
    my ($power, $more, $expected) = @{ $resets{$by} };
    my $with = $config =~ s/^plugin = power\n/defined $power ? "plugin = power\n$power" : "plugin = debug-exit\nport = 0x600\n"/mer . $more;
    tables($by, $with, '--until', 'access:1');
    spew('x.ini', $with =~ s/^\[boot\].*?\n\n/[boot]\ncode = f4\n\n[cpu]\nmode = real\nrip = 0xfff0\ncs.selector = 0xf000\ncs.base = 0xf0000\n\n/msr);
    my ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--log', 'error', '--set', 'vm.memory_file=ram.img' ]);
    is("$status:$out", "$expected:", "the reset code resets the machine by $by") or diag($err);
}

done_testing;
