#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# ACPI's tables as ACPICA's tools see them: each is disassembled, and compiled again, without a
# complaint. And what a BIOS has beside them: code that resets the machine.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Plugins;
use Test::More;

my ($found) = run([ 'sh', '-c', 'command -v iasl' ]);
BAIL_OUT('no iasl: make deps installs acpica-tools') if $found;

# Memory is a file: the tables are cut out of it. { signature => bytes }
sub tables {
    my ($name, $config, @options) = @_;
    spew('x.ini', $config);
    unlink 'ram.img';
    my ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--log', 'error', '--set', 'vm.memory_file=ram.img', @options ]);
    is($status, 0, "$name: runs") or diag($err);
    my $memory = slurp('ram.img');
    my $rsdp = substr $memory, 0xe0000, 36;
    is(substr($rsdp, 0, 8), 'RSD PTR ', "$name: RSDP");
    is(unpack('%8C*', substr $rsdp, 0, 20), 0, "$name: its first checksum");
    is(unpack('%8C*', $rsdp), 0, "$name: its second one");
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

# iasl says what it thinks on both streams, and its status is not all of it.
sub clean {
    my ($name, @command) = @_;
    my ($status, $out, $err) = run([ 'iasl', @command ]);
    my @amiss = grep { !/\b0 Errors, 0 Warnings, 0 Remarks\b/ } grep { /\b(?:error|warning|remark|invalid|unknown|fail)/i } split /\n/, "$out\n$err";
    is("$status:" . join('|', @amiss), '0:', $name) or diag($out, $err);
}

sub check {
    my ($name, $tables) = @_;
    is(join(' ', sort keys %$tables), 'APIC DSDT FACP XSDT', "$name: the tables");
    for my $signature (sort keys %$tables) {
        is(unpack('%8C*', $tables->{$signature}), 0, "$name: $signature: checksum");
        spew("$signature.dat", $tables->{$signature});
        clean("$name: $signature: disassembled", '-d', "$signature.dat");
        clean("$name: $signature: compiled again", '-p', "again", "$signature.dsl");
        next if !-e 'again.aml';
        # The creator's id and revision are the compiler's.
        my ($again, $was) = map { substr($_, 0, 9) . substr($_, 10, 18) . substr($_, 36) } slurp('again.aml'), $tables->{$signature};
        is(length $again, length $was, "$name: $signature: of the same length") if $signature ne 'DSDT';
        is(unpack('H*', $again), unpack('H*', $was), "$name: $signature: the same again") if $signature ne 'DSDT';
        unlink 'again.aml';
    }
}

my $config = slurp("$configs/bzimage.ini") =~ s{\.\./}{$top/}r;
check('one device', tables('one device', $config));
check('16 vCPUs', tables('16 vCPUs', $config =~ s/^irqchip/cpus = 16\nirqchip/mr));

# Two of each plugin, of which one lies above 4 GiB.
my @plugins = grep { $_ ne 'power' } plugins();
my $number = 1;
my $all = join '', map { my $plugin = $_; map { device($plugin, $number++) } 1, 2 } @plugins;
$all .= device('virtio-rng', $number) =~ s/^address = .*/address = 0x123456789000/mr;
my $tables = tables('all devices', $config . $all);
check('all devices', $tables);
my $dsl = slurp('DSDT.dsl');
like($dsl, qr/"LNRO0005"/, 'virtio devices are in it');
like($dsl, qr/0x0000123456789000/, 'and one above 4 GiB');
like($dsl, qr/EisaId \("PNP0501"\)/, 'and serial ports');

# The code at a PC's reset vector, in the memory that is left: a machine that begins there.
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
    is("$status:$out", "$expected:", "a reset by $by") or diag($err);
}

done_testing;
