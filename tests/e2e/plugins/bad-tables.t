#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Registrations, descriptors and tables whose addresses or sizes are wrong, as a binding for another
# language can produce them: each is refused with the plugin's name, before a byte of it is used.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# Compiles a plugin with these changes of the registration, the descriptor and the rows of acpi,
# ranges, pci and bars.
# Returns the messages of all commands that load it; they must be equal.
sub messages {
    my ($change) = @_;
    my %sizes = ((map { $_ => "sizeof(struct minivmm_$_)" } qw(plugin option range register timer stream watch post field acpi pci bar)),
        %{ $change->{sizes} // {} });
    my $sizes = join ', ', map { ".${_}_size = $sizes{$_}" } sort keys %sizes;
    my ($descriptor, $acpi, $range, $pci, $bar) =
      map { $change->{$_} // '' } qw(descriptor acpi range pci bar);
    my $at = $change->{at} // '&bad';
    spew('bad.c', <<"END");
#include <minivmm/plugin.h>
struct bad { uint32_t number; };
static const uint8_t aml[] = { 0x14, 0xc0, 0x00, 0x00, 0x04, 'M', 'T', 'H', 'D', 0 };
static const struct minivmm_option options[] = { MINIVMM_OPTION(struct bad, number, "1", "help"), MINIVMM_END };
static const struct minivmm_acpi acpi[] = { { .hid = "PNP0501", $acpi }, MINIVMM_END };
static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_MMIO, .length = 4096, $range }, MINIVMM_END };
static const struct minivmm_bar endless[5000] = { [0 ... 4999] = { .type = MINIVMM_BAR_MEMORY32 } };
static const struct minivmm_bar bars[] = { { .type = MINIVMM_BAR_MEMORY32, $bar }, MINIVMM_END };
#define FUNCTION .slot = "slot", .slot_initial = "none", .vendor = 1
static const struct minivmm_pci nine[10] = { [0 ... 8] = { FUNCTION } };
static const struct minivmm_pci many[5000] = { [0 ... 4999] = { FUNCTION } };
static const struct minivmm_pci pci[] = { { FUNCTION, .bars = bars, $pci }, MINIVMM_END };
static const struct minivmm_plugin bad = { .name = "bad", .summary = "has wrong tables", .state_version = 1,
	.state_size = sizeof(struct bad), .options = options, .ranges = ranges, .acpi = acpi, .pci = pci, $descriptor };
MINIVMM_EXPORT const struct minivmm_registration minivmm_registration;
const struct minivmm_registration minivmm_registration = { .abi = MINIVMM_ABI,
	.size = sizeof(struct minivmm_registration), $sizes, .plugin = $at };
END
    my ($status, undef, $err) = run([ 'cc', '-w', '-shared', '-fPIC', "-I$top/core/include", '-o', 'bad.so', 'bad.c' ]);
    is("$status:$err", '0:', 'it compiles');
    my %messages;
    for my $command ([ 'plugins', './bad.so' ], [ '--check', '-c', 'x.ini' ], [ '-c', 'x.ini' ]) {
        my ($status, undef, $err) = run([ $minivmm, @$command ]);
        $err =~ s/^minivmm: (?:x\.ini:\d+: )?//;
        $messages{"$status:$err"} = 1;
    }
    return join '', sort keys %messages;
}
spew('x.ini', guest('f4', "[device a]\nplugin = ./bad.so\nslot = next\n") =~ s/16K/16K\nirqchip = on/r);
my $who = '110:plugin ./bad.so (./bad.so):';
is(messages({}), '0:', 'without a mistake');

my @mistakes = (
    [ { at => '(void *)0x12345' }, 'its descriptor is not in its file; use MINIVMM_REGISTER() with a static descriptor' ],
    [ { at => '0' }, 'its registration is too short; use MINIVMM_REGISTER()' ],
    (map { [ { sizes => { plugin => $_ } }, "its descriptor has $_ bytes; rebuild it" ] } 36, 44, 1 << 30),
    (map { [ { sizes => { option => $_ } }, "its table of options has rows of $_ bytes; rebuild it" ] } 0, 4, 28, 520, 65536),
    [ { sizes => { acpi => 4 } }, 'its table of acpi has rows of 4 bytes; rebuild it' ],
    [ { descriptor => '.name = (char *)0x77' }, 'its name or summary is not a text in its file' ],
    [ { descriptor => '.summary = (char *)0x77' }, 'its name or summary is not a text in its file' ],
    [ { descriptor => '.name = ""' }, 'its descriptor lacks a name, a summary or a state_version' ],
    [ { acpi => '.aml = (void *)0x5000, .aml_length = 100' }, 'acpi[0]: aml of 100 bytes is not in its file' ],
    (map { [ { sizes => { pci => $_ } }, "its table of pci has rows of $_ bytes; rebuild it" ] } 0, 4, 76, 520),
    (map { [ { sizes => { bar => $_ } }, "its table of bars has rows of $_ bytes; rebuild it" ] } 0, 4, 12, 520),
    (map { [ $_, 'its table of pci, or one of its bars or capabilities, has no end; end it with MINIVMM_END' ] }
          map({ { descriptor => ".pci = $_" } } '(void *)0x5000', 'many', '(void *)(pci + 1000000)'),
        map({ { pci => ".bars = $_" } } '(void *)0x5000', 'endless'),
        map({ { pci => ".$_ = (char *)0x77" } } qw(slot slot_initial help))),
    [ { descriptor => '.pci = nine, .ranges = 0' }, 'pci has 9 functions; a device has 8 at most' ],
    [ { bar => '.number = -1' }, 'pci[0] has no room for a BAR 4294967295' ],
    [ { bar => '.range = 1', range => '.at = "at"' },
        'pci[0]: BAR 0 refers to range 1, the table has 1 rows' ],
    [ { bar => '.type = 0, .range = 1', range => '.at = "at"' },
        'pci[0] has a BAR of the unknown type 0' ],
    [ { pci => '.bars = 0' }, 'ranges[0] has neither .at, the option for its address, nor a BAR' ],
    [ { acpi => '.aml = aml, .aml_length = 16777217' }, 'acpi[0]: aml of 16777217 bytes is not in its file' ],
);
is(messages($_->[0]), "$who $_->[1]\n", $_->[1]) for @mistakes;

done_testing;
