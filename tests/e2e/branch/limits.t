#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Without resources for one copy, none is made, and the machine continues. See
# tests/preload/faultfs.c.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;

# Waits in HLT: 1: sti; hlt; jmp 1b
spew('idle.ini', <<"");
[vm]
memory_at = 0x1000
memory = 16K
irqchip = on
[boot]
code = fb f4 eb fc
[device disk]
plugin = virtio-blk
address = 0xd0000000
irq = none
path = disk.img
temporary = yes
[control]
socket = vm

spew('disk.img', "\0" x 4096);
my $machine = start([ $minivmm, '-c', 'idle.ini' ], LD_PRELOAD => "$build/tests/preload/faultfs.so", FAULT => '@plan', FAULT_PATH => '');
my $control = Control->connect('vm');

# The first thread of a process is the watchdog, without which it runs.
my @faults = (
    [ 'fork:1:EAGAIN', qr/cannot branch: fork: .*ulimit -u/, 'the keeper' ],
    [ 'fork:2:EAGAIN', qr/cannot branch: fork: .*ulimit -u/, 'the first process' ],
    [ 'fork:3:EAGAIN', qr/cannot branch: fork: .*ulimit -u/, 'the second process' ],
    [ 'pthread_create:2:EAGAIN', qr/cannot start a vCPU thread: .*ulimit -u/, 'a thread of a vCPU' ],
    [ 'open:4:EMFILE', qr/: Too many open files; raise ulimit -n/, 'a file' ],
);
for (@faults) {
    my ($plan, $why, $name) = @$_;
    spew('plan.new', $plan);
    rename 'plan.new', 'plan';
    my $reply = $control->request('branch a b');
    ok(!-e 'plan', "$name cannot be had");
    like($reply->{error}, $why, "$name: why");
    ok(!-e, "$name: no machine listens on $_") for qw(a b);
}

# What only a reset needs is refused then.
spew('plan.new', 'open:2:EMFILE');
rename 'plan.new', 'plan';
ok($control->request('branch a')->{ok}, 'a branch whose beginning cannot be read');
like(Control->connect('a')->request('reset')->{error}, qr{^cannot reset the machine to its beginning: /proc/self/mem could not be opened: Too many open files}, 'a reset is refused');
is(Control->connect('a')->request('status')->{state}, 'running', 'it runs on');
ok(Control->connect('a')->request('quit')->{ok}, 'it ends');
ok(until_true { !-e 'a' }, 'its socket is gone');
ok($control->request('branch a b')->{ok}, 'a branch afterwards');
rename 'disk.img', 'elsewhere';
spew('disk.img', "\0" x 8192);
like($control->request('branch c d --set device.disk.overlay=o')->{error}, qr/start failed, see the machine's messages/, 'a disk that was replaced');
ok(!-e, "no $_ is left") for qw(c d o);
ok(Control->connect($_)->request('quit')->{ok}, "$_ ends") for qw(a b);
$control->request('quit');
is((finish($machine))[0], 0, 'the machine ends');

# A disk that the machine writes itself has to be where it was.
unlink 'disk.img';
rename 'elsewhere', 'disk.img';
$machine = start([ $minivmm, '-c', 'idle.ini', '--set', 'device.disk.temporary=no' ]);
$control = Control->connect('vm');
ok($control->request('branch a')->{ok}, 'a branch with a disk that is written') ;
rename 'disk.img', 'elsewhere';
like($control->request('branch b')->{error}, qr/capture failed: no branch is made/, 'not if it is elsewhere');
$control->request('quit');
is((finish($machine))[0], 0, 'the machine ends');
is(Control->connect('a')->request('quit')->{ok}, 1, 'and its branch');
done_testing;
