#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A machine that never runs leaves files as they were, whether its start fails or is ended by a
# signal. The same start works afterwards.
use v5.14;
use warnings;
use lib 'tests/lib';

use File::Copy 'copy';
use Minivmm;
use POSIX 'mkfifo';
use Test::More;

copy("$top/guests/disk.bin", 'disk.img') or die "disk.img: $!";
my @disk = ('--set', 'device.disk0.temporary=no', '--set');
my @save = ('--until', 'output:serial0:C', '--save', 'vm.snap');
my @config = ('-c', "$configs/disk.ini", @disk);
my ($status, undef, $err) = run([ $minivmm, @config, 'device.disk0.path=disk.img', @save ]);
is($status, 0, 'a snapshot') or diag($err);

# The devices have started, and then the thread of a vCPU cannot be created. The first thread is
# that of the watchdog. What a start creates: the overlay of a disk, the output of a device, the
# trace, and guest memory.
my $faults = "$build/tests/preload/faultfs.so";
my %no_thread = (LD_PRELOAD => $faults, FAULT_PATH => '/', FAULT => 'pthread_create:2:EAGAIN');
copy("$top/guests/disk.bin", 'copy.img') or die "copy.img: $!";
my $before = names();
my @creates = (qw(--set device.disk0.overlay=mine --set device.serial0.output=file:out --trace trace));
my %machine = (
    'a run' => [ @config, 'device.disk0.path=copy.img', '--set', 'vm.memory_file=ram' ],
    'a restore' => [ '-r', 'vm.snap', '--trust' ],
);
for my $name (sort keys %machine) {
    my $start = [ $minivmm, @{ $machine{$name} }, @creates ];
    fails($start, 111, qr/cannot start a vCPU thread/, "$name without a thread", %no_thread);
    is(names(), $before, "$name: nothing is left");
    ($status, undef, $err) = run($start);
    is("$status:$err", '0:', "$name: then it works");
    unlink qw(mine ram out trace);

    # Files that were there remain, and those that were empty are empty.
    my @empty = (qw(out trace), $name eq 'a run' ? qw(mine ram) : ());
    spew($_, '') for @empty;
    fails($start, 111, qr/cannot start a vCPU thread/, "$name without a thread, with empty files", %no_thread);
    is(join(' ', map { -s } grep { -e } @empty), join(' ', map { 0 } @empty), "$name: they are as they were");
    unlink qw(mine ram out trace);
    is(names(), $before, "$name: and nothing else is left");
}
fails([ $minivmm, @{ $machine{'a run'} }, @creates, '--status', 'vm.snap' ], 113, qr/cannot write the status to vm\.snap: /, 'the status cannot be written');
is(names(), $before, 'that leaves no trace and no memory_file');

# A signal ends the build of a machine, which waits for a plugin, or for the reader of its trace. Or
# the start of a device does not end; or its plugin ends the process.
mkfifo('reader', 0600) or die "reader: $!";
my $plugins = "$build/tests/plugins";
my @memory = ('--set', 'vm.memory_file=ram');
spew('starts.ini', guest('f4', "[device f]\nplugin = $plugins/faulty.so\nport = 0x500\nin = hang-start\n"));
spew('caller.ini', guest('f4', "[device c]\nplugin = $plugins/caller.so\n"));
$before = names();
for (
    [ 'a plugin', 0, '-c', 'caller.ini', '--set', 'device.c.in=configure', '--set', 'device.c.act=slow' ],
    [ 'a reader', 0, '-c', "$configs/disk.ini", '--trace', 'reader' ],
    [ 'a start', qr/hangs$/m, '-c', 'starts.ini' ],
  ) {
    my ($name, $said, @arguments) = @$_;
    next if $said && $build =~ /tsan/;    # ThreadSanitizer delays signals in a loop
    for my $signal (qw(INT TERM HUP XCPU)) {
        next if $said && $signal ne 'TERM';    # it takes two seconds
        my $run = start([ $minivmm, @arguments, @memory ]);
        ok(until_true { -s 'ram' && (!$said || said($run) =~ $said) }, "a machine waits for $name");
        kill $signal => $run->{pid};
        ($status) = finish($run);
        is($status, 1000 + { INT => 2, TERM => 15, HUP => 1, XCPU => 24 }->{$signal}, "SIG$signal ends it");
        is(names(), $before, 'and nothing is left');
    }
}
for my $act (qw(exit crash)) {
    next if $act eq 'crash' && $build =~ /[at]san/;    # a sanitizer handles the signal itself
    for my $in (qw(configure start)) {
        ($status, undef, $err) = run([ $minivmm, '-c', 'caller.ini', @memory, '--set', "device.c.in=$in", '--set', "device.c.act=$act" ]);
        like("$status:$err", qr/\A115:.*plugin caller is at fault\n\z/s, "$act in $in") or diag($err);
        is(names(), $before, 'leaves nothing');
    }
}

# A machine that was restored with its end does not run, but its start has not failed: lidt 0x2000;
# a load from an unmapped address in long mode, a triple fault.
spew('fault.ini', guest('0f 01 1c 25 00 20 00 00 48 a1 00 00 00 00 ff 7f 00 00 f4', "[cpu]\nmode = long\n") =~ s/16K/64K/r);
is((run([ $minivmm, '-c', 'fault.ini', '--until', 'shutdown', '--save', 'fault.snap' ]))[0], 100, 'a snapshot of an end');
is((run([ $minivmm, '-r', 'fault.snap', '--set', 'device.serial0.output=file:out', '--trace', 'trace' ]))[0], 100, 'it ends again');
is(join(' ', map { -s } qw(out trace)), '0 0', 'its output and its trace are there, and empty');

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

# One that lacks memory before anything has changed does not: the machine runs on, and the next
# reset works.
$run = start([ $minivmm, '-r', 'loop.snap', '--set', 'control.socket=sock' ],
    LD_PRELOAD => $faults, FAULT_PATH => 'loop.snap', FAULT => '@plan');
ok(until_true { -S 'sock' && (run([ @ctl, 'status' ]))[0] == 0 }, 'a restored machine');
spew('plan', 'mmap:1:ENOMEM');
fails([ @ctl, 'reset' ], 1, qr{cannot map the memory of \S*loop\.snap: Cannot allocate memory}, 'a reset without memory');
ok(!-e 'plan', 'the call has failed');
($status, my $out) = run([ @ctl, 'status' ]);
like($out, qr/running/, 'the machine runs');
($status, $out, $err) = run([ @ctl, 'reset' ]);
is("$status:$err", '0:', 'the next reset works');
is((run([ @ctl, 'quit' ]))[0], 0, 'quit');
is((finish($run))[0], 0, 'its status is that of a run');

# A snapshot to a descriptor that minivmm has opened itself would go into its files.
my @simple = ($minivmm, '-c', "$configs/simple.ini", '--set', 'device.serial0.output=none');
fails([ @simple, '--set', 'snapshot.file=fd:4' ], 113,
    qr/snapshot fd:4: descriptor 4 is not open/, 'a descriptor that was not passed');

done_testing;
