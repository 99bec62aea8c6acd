#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A branch, and a branch of it, has nothing of the machines before it but their memory: no
# descriptor, and no mapping that keeps an object of the kernel alive.
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
[device blk]
plugin = virtio-blk
address = 0xd0000000
irq = none
path = disk.img
temporary = yes
io = io_uring
[device nvme]
plugin = nvme
slot = next
path = disk.img
temporary = yes
io = io_uring
[device threads]
plugin = nvme
slot = next
path = disk.img
temporary = yes
io = threads

spew('disk.img', "\0" x 4096);
my $machine = start([ $minivmm, '-c', 'idle.ini', '--set', 'control.socket=a' ]);
my %pids = (a => $machine->{pid});
my @sockets = qw(a b c);
my %keepers;
for (1, 2) {
    my ($from, $to) = @sockets[ $_ - 1, $_ ];
    my $reply = Control->connect($from)->request("branch $to");
    ok($reply->{ok}, "$to is a branch of $from") or diag($reply->{error});
    $pids{$to} = $reply->{branches}[0]{pid};
    $keepers{$to} = $reply->{keeper};
}

# What a process has mapped of files that can be written: rings, registers of vCPUs.
sub mappings {
    my ($pid) = @_;
    my @all = slurp("/proc/$pid/maps") =~ /^\S+ rw-s \S+ \S+ \S+ +(\S+)$/mg;
    return join ' ', sort @all;
}

# The open files that fit a pattern.
sub descriptors {
    my ($pid, $pattern) = @_;
    return join ' ', sort grep { defined && $_ =~ $pattern } map { readlink } grep { !m{/[012]$} } glob "/proc/$pid/fd/*";
}
like(mappings($pids{a}), qr/io_uring.*kvm-vcpu/, 'the machine has rings and registers');
for (qw(b c)) {
    Control->connect($_)->request('status');    # it runs, and has closed the pipes of the command
    is(mappings($pids{$_}), mappings($pids{a}), "$_ has those of one machine");
    is(descriptors($pids{$_}, qr/anon_inode|kvm/), descriptors($pids{a}, qr/anon_inode|kvm/), "$_ has the descriptors of one machine");
    is(descriptors($pids{$_}, qr/pipe/), '', "$_ has no pipe that its machine has got or made");
    is(descriptors($keepers{$_}, qr/./) =~ s/pipe:\[\d+\]//r, '', "the keeper of $_ has the pipe of its reports and no other descriptor");
    is(mappings($keepers{$_}), '', "and has mapped no file that can be written");
}
Control->connect($_)->request('quit') for @sockets;
is((finish($machine))[0], 0, 'the machine ends');
done_testing;
