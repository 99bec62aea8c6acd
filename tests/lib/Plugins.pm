# SPDX-License-Identifier: BSD-2-Clause
# Every plugin of plugins/, and a [device] section for each device, made from the options that
# minivmm plugins lists.
package Plugins;

use v5.14;
use warnings;

use Exporter 'import';
use File::Basename qw(basename dirname);
use Minivmm;

our @EXPORT = qw(plugins devices options device machine);

$ENV{MINIVMM_PLUGIN_PATH} = dirname($minivmm) . '/plugins';    # the tools are in another folder

# Options that make a plugin do more.
my %more = (
    'counter' => "limit = 3\nperiod = 1ms\n",
    'mmio-logger' => "size = 64K\nbacking = ram\n",
    (map { $_ => "path = $top/guests/bzimage.bin\nreadonly = yes\n" } qw(nvme virtio-blk)),
    'virtio-net' => "backend = user\n",
    'serial' => 'input = text:' . 'abcdefgh' x 16 . "\n",
);

my %edge = (vmgenid => 1, rtc => 1);

sub plugins {
    return map { basename($_, '.so') } sort glob dirname($minivmm) . '/plugins/*.so';
}

# Those that are no tools.
sub devices {
    return grep { (run([ $minivmm, 'plugins', $_ ]))[1] !~ /\A.*\n.*, a tool\b/ } plugins();
}

# Returns ( { name, type, initial, help } ) in the order of the list.
sub options {
    my ($plugin) = @_;
    my ($status, $out) = run([ $minivmm, 'plugins', $plugin ]);
    my ($text) = $out =~ /^options .*\n((?:  .*\n)+)/m or return;
    return map { my %o; @o{qw(name type initial help)} = split ' ', $_, 4; \%o } split /\n/, $text;
}

# Returns a section. The number, from 0, selects the addresses and the interrupt line.
sub device {
    my ($plugin, $number) = @_;
    my $text = "\n[device d$number]\nplugin = $plugin\n" . ($more{$plugin} // '');
    my $ports = 0;
    for my $o (options($plugin)) {
        next if $text =~ /^$o->{name} = /m;
        my %value = (
            port => sprintf('0x%x', 0x1000 + 0x100 * $number + 0x40 * $ports),
            address => sprintf('0x%x', 0xd000_0000 + 0x10_0000 * $number),
            irq => $edge{$plugin} ? 5 + $number % 11 : 16 + $number % 7,    # edge-triggered lines cannot be shared; PCI has 23
        );
        $ports++ if $o->{type} eq 'port';
        my $value = $value{ $o->{type} };
        $value = 'file:/dev/null' if $o->{type} eq 'stream' && $o->{name} =~ /out/;
        $text .= "$o->{name} = $value\n" if defined $value;
        die "plugin $plugin: what is a good $o->{name}?" if !defined $value && $o->{initial} eq 'required';
    }
    return $text;
}

# Returns a config with these devices. Its guest halts at once.
sub machine {
    return "[vm]\nmemory_at = 0x1000\nmemory = 16K\nirqchip = on\n\n[boot]\ncode = f4\n" . join '', @_;
}

1;
