#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Plugins built as third parties build them, outside of the tree: a port device with an interrupt,
# two instances of a timed sensor, and a device that watches a descriptor. Each runs, and a snapshot
# at any point of the run changes nothing.
use v5.14;
use warnings;
use lib 'tests/lib';

use Fcntl;
use Minivmm;
use POSIX 'mkfifo';
use Test::More;

my $points = 8;    # drawn for each plugin
my $seed = $ENV{SEED} // time;
srand $seed;
note("SEED=$seed");

my $serial = "[device serial0]\nplugin = serial\noutput = stdio\n";
my %machine = (

    # Sets up the PIC. The handler of line 5 prints each key; after a '.' it prints the number of
    # keys and halts.
    button => "[vm]\nmemory = 32K\nirqchip = on\n[boot]\nat = 0x1000\ncode = "
      . 'b011e620 b020e621 b004e621 b001e621 b0dfe621 c70694002610 c70696000000 cd25'
      . ' fb f4 ebfc'
      . ' ba0002 ec 84c0 7408 baf803 ee 3c2e 7405 b020 e620 cf ba0202 ec 0430 baf803 ee b00a ee fa f4'
      . "\n[cpu]\nrsp = 0x8000\n$serial"
      . "[device button0]\nplugin = button\nport = 0x200\nirq = 5\ninput = text:It is pressed, and interrupts.\n",

    # Prints a sample of each sensor, twelve times.
    sensor => "[vm]\nmemory = 16K\nmemory_at = 0x1000\n[boot]\ncode = "
      . 'be 00 90 b9 18 00 66 8b 04 66 85 c0 74 f8 66 8b 44 04 ba f8 03 ee 81 f6 00 30 e2 ea b0 0a ee f4'
      . "\n$serial"
      . "[device cold]\nplugin = sensor\naddress = 0x9000\nfrom = 60\n"
      . "[device hot]\nplugin = sensor\naddress = 0xa000\nperiod = 1500us\n",

    # Polls, and prints each byte up to a '.'.
    watcher => "[vm]\nmemory = 16K\nmemory_at = 0x1000\n[boot]\ncode = "
      . 'ba 00 03 ec 84 c0 74 f8 42 ec ba f8 03 ee 3c 2e 75 ee b0 0a ee f4'
      . "\n$serial"
      . "[device watcher0]\nplugin = watcher\npath = pipe\n",
);

# The pipe stays open here, so that its contents outlive the process that reads it.
my $through = 'More than eight bytes come through the pipe.';
mkfifo('pipe', 0600) or die "pipe: $!";
sysopen my $pipe, 'pipe', O_RDWR or die "pipe: $!";
$pipe->autoflush;

for my $name (sort keys %machine) {
    my ($status, $out, $err) =
      run([ qw(cc -Wall -Wextra -Wno-unused-parameter -Werror -shared -fPIC), "-I$top/core/include", '-o', "$name.so",
        "$top/tests/plugins/$name.c" ]);
    is("$status:$out$err", '0:', "$name: builds outside of the tree");
    ($status, $out, $err) = run([ $minivmm, 'plugins', "./$name.so" ]);
    like($out, qr/\A$name: .*\n\.\/$name\.so, state version 1\n/, "$name: minivmm plugins shows it");
    spew("$name.ini", $machine{$name} . "[plugins]\npath = .\n");
    is(join(':', run([ $minivmm, '-c', "$name.ini", '--check' ])), '0::', "$name: --check");
}

# A run from a config or a snapshot: its output, and its number of accesses.
sub output {
    my ($name, @options) = @_;
    my ($status, $out, $err) = run([ $minivmm, '--log', 'warn', '--status', 'status', @options ], timeout => 10);
    $err =~ s/\Aminivmm: warning: stop condition access:\d+ was not hit: no snapshot written\n\z//;    # the number of polls differs
    is("$status:$err", '0:', "$name: @options");
    return ($out, status_of('status')->{accesses});
}

# All runs of a machine continue from this snapshot and share its random numbers.
for my $name (sort keys %machine) {
    my @restored = ('--set', 'plugins.path=.', $name eq 'watcher' ? ('--set', 'device.watcher0.path=pipe') : ());
    output($name, '-c', "$name.ini", '--save', "$name.snap", '--until', 'step:1');
    print $pipe $through if $name eq 'watcher';
    my ($whole, $accesses) = output($name, '-r', "$name.snap", @restored);
    is($whole, "It is pressed, and interrupts.N\n", 'button: the output') if $name eq 'button';
    is($whole, "$through\n", 'watcher: the output') if $name eq 'watcher';
    like($whole, qr/\A(?:[0-T][X-|]){12}\n\z/, 'sensor: the output') if $name eq 'sensor';
    my ($n, $tries) = (0, 0);
    while ($n < $points && $tries++ < 8 * $points) {
        my $point = 'access:' . (1 + int rand $accesses);
        print $pipe $through if $name eq 'watcher';
        my ($first) = output($name, '-r', "$name.snap", @restored, '--until', $point, '--save', 'here.snap');
        next if $first eq $whole && !-e 'here.snap';    # the number of polls differs between runs
        my ($second) = output($name, '-r', 'here.snap', @restored);
        is($first . $second, $whole, "$name: a snapshot at $point changes nothing");
        unlink 'here.snap';
        $n++;
    }
    is($n, $points, "$name: $points snapshots, in $tries runs");
}

# Requirements of a restored machine, and the messages if they are missing.
fails([ $minivmm, '-r', 'button.snap' ], 112, qr/plugin button: no button\.so in /, 'refused: a plugin that is not found');
{
    my ($status, $out, $err) = run([ $minivmm, '-r', 'watcher.snap', '--set', 'plugins.path=.' ]);
    is($status, 112, 'refused: a host path of an untrusted snapshot');
    like($err, qr/device watcher0 names a host resource, path = pipe: add --set device\.watcher0\.path=/,
        'the path given by --set');
}

done_testing();
