#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Every plugin of plugins/: its description, loading, two instances in one machine, and its state in
# a snapshot.
use v5.14;
use warnings;
use lib 'tests/lib';

use File::Basename 'dirname';
use Minivmm;
use Plugins;
use Test::More;

my @plugins = plugins();
my ($status, $list, $err) = run([ $minivmm, 'plugins' ]);
is("$status:$err", '0:', 'minivmm plugins');
my %sources = map { /^(.+?)(?:\.c)?$/ ? ($1 => 1) : () }
  grep { $_ ne 'common' && ((() = glob("$top/plugins/$_/*.c")) || /\.c\z/) } split ' ', names("$top/plugins");
is_deeply([ sort keys %sources ], \@plugins, 'each source is built as a plugin');
my @devices = devices();
my %is_device = map { $_ => 1 } @devices;

for my $plugin (@plugins) {
    like($list, qr/^  \Q$plugin\E +\S.*$/m, "$plugin: is in the list");
    my ($said, $out);
    ($status, $said, $err) = run([ $minivmm, 'plugins', $plugin ]);
    is("$status:$err", '0:', "$plugin: prints its tables");
    my ($summary) = $list =~ /^  \Q$plugin\E +(\S.*)$/m;
    like($said, qr/\A\Q$plugin: $summary\E\n\/\S+\/\Q$plugin\E\.so, (?:state version [1-9]\d*|a tool)\n/, "$plugin: prints its name and summary");
    my @mute = grep { !$_->{help} } options($plugin);
    is(join(' ', map { $_->{name} } @mute), '', "$plugin: each option has a help text");

    next if !$is_device{$plugin};

    # One instance, then two; each has its own name and state.
    for my $count (1, 2) {
        spew('x.ini', machine(map { device($plugin, $_) } 0 .. $count - 1));
        ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--log', 'warn', '--until', 'hlt', '--save', 'x.snap' ]);
        is("$status:$out:$err", '0::', "$plugin: $count in a machine");
        my $snapshot = inspect('x.snap');
        is_deeply([ map { "$_->{name} $_->{plugin}" } @{ $snapshot->{devices} } ],
            [ map { "d$_ $plugin" } 0 .. $count - 1 ], "$plugin: $count in the snapshot");
        ($status, $out, $err) = run([ $minivmm, '-r', 'x.snap', '--trust', '--log', 'warn' ]);
        is("$status:$out:$err", '0::', "$plugin: $count restored");
    }

    # Save, load, save; pause and resume twice. tests/tools/hostile.c compares every byte.
    ($status, $out, $err) = run([ "$build/tests/tools/hostile", 'x.ini', 2000 ]);
    like("$status:$out", qr/\A0:# SEED=\d+\nPASS /, "$plugin: its state is the same after a pause, a save and a load") or diag($err);
}

# All plugins in one machine.
my $number = 0;
spew('x.ini', machine(map { device($_, $number++), device($_, $number++) } @devices));
my ($all, $out);
($status, $out, $err) = run([ "$build/tests/tools/hostile", 'x.ini', 2000 ]);
like("$status:$out", qr/\A0:# SEED=\d+\nPASS /, 'all plugins in one machine') or diag($err);

# A folder that is named several times is listed once.
symlink dirname($minivmm) . '/plugins', 'again';
($status, my $once) = run([ $minivmm, 'plugins' ], MINIVMM_PLUGIN_PATH => 'again:./again:again/../again');
is(scalar(() = $once =~ /^  serial /mg), scalar(() = $list =~ /^  serial /mg), 'a folder that is named several times is listed once');

# Limits are printed in the notation of a config.

# A plugin that cannot be loaded hides none of the next directories.
mkdir 'broken';
spew('broken/broken.so', 'broken');
($status, $out, $err) = run([ $minivmm, 'plugins' ], MINIVMM_PLUGIN_PATH => 'broken');
is($status, 110, 'a plugin that cannot be loaded: the status');
like($err, qr{\Aminivmm: plugin broken/broken\.so cannot be loaded: .*\n\z}, 'it is named');
is($out, "broken\n$list", 'all others are listed');

($status, $out) = run([ $minivmm, 'plugins', 'mmio-logger' ]);
like($out, qr/^  size +size .*\(1 to 64M\)$/m, 'the limits of a size');

($status, $out) = run([ $minivmm, 'plugins', 'virtio-blk' ]);
like($out, qr/^  path +path .* \[host\]$/m, 'virtio-blk: path is a host resource');
($status, $out) = run([ $minivmm, 'plugins', 'virtio-vsock' ]);
like($out, qr/^  path +path .* \[host\]$/m, 'virtio-vsock: path is a host resource');

# A snapshot of one state version, restored by another version: an added field gets its initial
# value; a removed field is refused.
for my $version (1, 2) {
    mkdir "v$version";
    symlink "$build/tests/plugins/gauge" . ($version > 1 ? $version : '') . '.so', "v$version/gauge.so";
}

# mov $'b',%al; out %al,$0x10; in $0x10,%al; to the serial port; in $0x11,%al; to the serial port;
# hlt
spew('gauge.ini', guest('ba f8 03 b0 62 e6 10 e4 10 ee e4 11 ee f4', "[device g]\nplugin = gauge\n"));

sub gauge {
    my ($version, @arguments) = @_;
    return join ':', run([ $minivmm, @arguments, '--log', 'warn' ], MINIVMM_PLUGIN_PATH => "v$version");
}
is(gauge(1, '-c', 'gauge.ini'), "0:b\0:", 'the first version runs');
is(gauge(2, '-c', 'gauge.ini'), '0:bb:', 'the second version runs');
is(gauge($_, '-c', 'gauge.ini', '--until', 'pio:0x10', '--save', "g$_.snap"), '0::', "a snapshot of version $_") for 1, 2;
is(gauge(1, '-r', 'g1.snap'), "0:b\0:", 'an old snapshot in the old version');
is(gauge(2, '-r', 'g2.snap'), '0:bb:', 'a new snapshot in the new version');
is(gauge(2, '-r', 'g1.snap'), '0:b?:', 'an old snapshot in the new version: the new field has its initial value');
fails([ $minivmm, '-r', 'g2.snap' ], 112, qr/device g has state version 2, plugin gauge \(v1\/gauge\.so\) reads up to 1: use a newer plugin/,
    'refused: a new snapshot in the old version', MINIVMM_PLUGIN_PATH => 'v1');

# A plugin that is missing, or named by a path.
fails([ $minivmm, '-r', 'g1.snap' ], 112, qr/the snapshot's device g: plugin gauge: no gauge\.so in .*; name its directory with --set plugins\.path=DIR or /,
    'refused: a restore without the plugin',
    MINIVMM_PLUGIN_PATH => 'nowhere');
spew('path.ini', slurp('gauge.ini') =~ s/plugin = gauge/plugin = .\/v1\/gauge.so/r);
is(gauge(1, '-c', 'path.ini', '--until', 'pio:0x10', '--save', 'path.snap'), '0::', 'a run with a plugin named by a path');
fails([ $minivmm, '-r', 'path.snap' ], 112, qr/device g names its plugin by a path, \S*\/gauge\.so: add --trust, or save a new snapshot/,
    'refused: a plugin path of an untrusted snapshot');
is(gauge(1, '-r', 'path.snap', '--trust'), "0:b\0:", 'a plugin path of a trusted snapshot');

# Host files that a snapshot names.
run([ $minivmm, '-c', "$configs/code.ini", '--set', 'device.serial0.output=file:out', '--until', 'access:1', '--save', 'f.snap' ]);
fails([ $minivmm, '-r', 'f.snap' ], 112,
    qr/the snapshot's device serial0 names a host resource, output = file:out: add --set device\.serial0\.output=\.\.\. or --trust/,
    'refused: a host file of an untrusted snapshot');
is(slurp('out'), 'H', 'the host file is unchanged');
is(gauge(1, '-r', 'f.snap', '--trust'), '0::', 'a host file of a trusted snapshot');
is(gauge(1, '-r', 'f.snap', '--set', 'device.serial0.output=stdio'), "0:i\n:", 'another file given by --set');

# Options that a restore cannot change.
for (
    [ 'device.serial0.port=0x2f8', 110, qr/--set device\.serial0\.port: device serial0: port cannot be changed at a restore: it is part of the machine's state/ ],
    [ 'device.serial0.portt=1', 110, qr/device serial0: plugin serial has no option portt; did you mean port/ ],
    [ 'device.serial0.output=fiel:x', 110, qr/device serial0: output = fiel:x is not a stream; did you mean file\?/ ],
    [ 'device.nosuch.port=1', 110, qr/--set device\.nosuch\.port=1: the snapshot has no device nosuch$/ ],
    [ 'device.seril0.output=none', 110, qr/the snapshot has no device seril0; did you mean serial0\?$/ ],
    [ 'snapshot.clock=noon', 110, qr/\[snapshot\] clock = noon is not resume or wall/ ],
    [ 'vm.memory=1M', 110, qr/--set vm\.memory=1M: a restore keeps the machine as it was saved; you can set device\.NAME\.KEY=VALUE/ ],
    [ 'cpu.rax=1', 110, qr/--set cpu\.rax=1: a restore keeps the machine as it was saved/ ],
  ) {
    my ($set, $expected, $message) = @$_;
    fails([ $minivmm, '-r', 'f.snap', '--trust', '--set', $set ], $expected, $message, "refused at a restore: --set $set");
}

done_testing;
