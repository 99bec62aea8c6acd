#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A machine that never runs leaves no file, whether its start fails or is ended by a signal. The
# same start works afterwards.
use v5.14;
use warnings;
use lib 'tests/lib';

use File::Copy 'copy';
use Minivmm;
use Test::More;

copy("$top/guests/disk.bin", 'disk.img') or die "disk.img: $!";
my @disk = ('--set', 'device.disk0.temporary=no', '--set');
my @save = ('--until', 'output:serial0:C', '--save', 'vm.snap');
my @config = ('-c', "$configs/disk.ini", @disk);
my ($status, undef, $err) = run([ $minivmm, @config, 'device.disk0.path=disk.img', @save ]);
is($status, 0, 'a snapshot') or diag($err);

# The devices have started, and then the thread of a vCPU cannot be created. The first thread is
# that of the watchdog.
my $faults = "$build/tests/preload/faultfs.so";
my %no_thread = (LD_PRELOAD => $faults, FAULT_PATH => '/', FAULT => 'pthread_create:2:EAGAIN');
copy("$top/guests/disk.bin", 'copy.img') or die "copy.img: $!";
my $before = names();
my %machine = (
    'a run' => [ @config, 'device.disk0.path=copy.img' ],
    'a restore' => [ '-r', 'vm.snap', '--trust' ],
);
for my $name (sort keys %machine) {
    my $start = [ $minivmm, @{ $machine{$name} }, '--set', 'device.disk0.overlay=mine' ];
    fails($start, 111, qr/cannot start a vCPU thread/, "$name without a thread", %no_thread);
    is(names(), $before, "$name: nothing is left");
    ($status, undef, $err) = run($start);
    is("$status:$err", '0:', "$name: then it works");
    unlink 'mine';
}

# A signal while the machine waits for input: no device starts.
my $plugin = "$build/tests/plugins/faulty.so";
my $faulty = "[device faulty0]\nplugin = $plugin\nport = 0x500\nin = start\n";
spew('wait.ini', guest('f4', "input = unix-listen:in.sock\nwait_input = yes\n\n$faulty"));
$before = names();
my $run = start([ $minivmm, '-c', 'wait.ini' ]);
ok(until_true { -S 'in.sock' }, 'a machine waits for input');
kill INT => $run->{pid};
($status, undef, $err) = finish($run);
is("$status:$err", '1002:', 'a signal ends it, and no device starts');
is(names(), $before, 'and nothing is left');

# A reset whose device cannot start ends the machine with the status of that failure. The device's
# calls are configure, start, and start at the reset.
spew('loop.ini', guest('eb fe', "[device exit0]\nplugin = debug-exit\n"));
run([ $minivmm, '-c', 'loop.ini', '--timeout', '5ms', '--save', 'loop.snap' ]);
$run = start([ $minivmm, '-r', 'loop.snap', '--set', 'control.socket=sock' ],
    LD_PRELOAD => "$build/tests/preload/services.so", FAIL_DEVICE => 'exit0', FAIL_CALL => 3);
my @ctl = ($minivmm, 'ctl', 'sock');
ok(until_true { -S 'sock' && (run([ @ctl, 'status' ]))[0] == 0 }, 'a restored machine');
fails([ @ctl, 'reset' ], 1, qr/device exit0 .*: start failed/, 'its device does not start at a reset');
($status, undef, $err) = finish($run);
is($status, 113, 'the status is that of the device') or diag($err);

# A snapshot to a descriptor that minivmm has opened itself would go into its files.
my @simple = ($minivmm, '-c', "$configs/simple.ini", '--set', 'device.serial0.output=none');
fails([ @simple, '--set', 'snapshot.file=fd:4' ], 113,
    qr/snapshot fd:4: descriptor 4 is not open/, 'a descriptor that was not passed');

done_testing;
