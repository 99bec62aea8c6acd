#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Every exhausted limit of the host ends the start with status 111 and a message that names the
# limit and its remedy; and a failure that passes is not reported.
use v5.14;
use warnings;
use lib 'tests/lib';

use JSON::PP;
use Minivmm;
use POSIX ();
use Test::More;

my %fault = (LD_PRELOAD => "$build/tests/preload/faultfs.so", FAULT_PATH => '/');
my %kvm = (LD_PRELOAD => "$build/tests/preload/kvm.so");
my $RUN = 0x80;
my ($ENOMEM, $EINTR, $EAGAIN, $ENOSPC, $ENFILE) = (12, 4, 11, 28, 23);

spew('x.ini', guest('b0 41 ba f8 03 ee f4'));
spew('two.ini', "[vm]\ncpus = 2\nirqchip = on\nmemory = 1M\n[boot]\ncode = f4\nat = 0x1000\n");
spew('waits.ini', guest('b0 41 ba f8 03 ee eb fe'));
spew('disk', "\0" x 4096);
spew('disk.ini', "[vm]\nirqchip = on\nmemory = 1M\n[boot]\ncode = f4\nat = 0x1000\n"
      . "[device blk0]\nplugin = virtio-blk\naddress = 0xd0000000\nirq = 5\npath = disk\n");
my @disk = ($minivmm, '-c', 'disk.ini', '--set');
my @run = ($minivmm, '-c', 'x.ini');
is((run([ @run, '--until', 'access:1', '--save', 'x.snap' ]))[0], 0, 'a snapshot');

my $threads = qr/ulimit -u|pids\.max of the cgroup/;
my %limits = (
    'a thread' => [ \@run, { %fault, FAULT => 'pthread_create:N:EAGAIN' }, qr/cannot start a vCPU thread: .*; raise .*$threads/ ],
    'memory of the guest' => [ \@run, { %fault, FAULT => 'anonymous:1:ENOMEM' }, qr/memory; free memory, or raise memory\.max/ ],
    'descriptors of the process' => [ [ 'sh', '-c', 'ulimit -n 6; exec "$@"', 'sh', @run ], {}, qr/Too many open files; raise ulimit -n \(now 6, at most 6\)/ ],
    'descriptors of the host' => [ \@run, { %fault, FAULT => 'open:1:ENFILE', FAULT_PATH => 'x.ini' }, qr/raise sysctl fs\.file-max/ ],
    'address space' => [ [ 'sh', '-c', 'ulimit -v 1000000; exec "$@"', 'sh', @run, '--set', 'vm.memory=2G' ],
        {}, qr/; raise ulimit -v \(now 1000000K, at most 1000000K\), or free memory/ ],
    'memory of a thread' => [ [ 'sh', '-c', 'ulimit -d 4000; exec "$@"', 'sh', @run ], {},
        qr/cannot start a vCPU thread: .*; raise ulimit -d \(now 4000K, at most 4000K\), or / ],
    'stack' => [ [ 'sh', '-c', 'ulimit -s 48; exec "$@"', 'sh', @run ], {}, qr/the stack is too small: .*; raise ulimit -s \(now 48K, at most 48K\)$/ ],
    'terminals' => [ [ @run, '--set', 'device.serial0.output=pty' ], { %fault, FAULT => 'posix_openpt:1:ENOSPC' }, qr/raise sysctl kernel\.pty\.max/ ],
    'a thread of a plugin' => [ [ @disk, 'device.blk0.io=threads' ], { %fault, FAULT => 'pthread_create:N:EAGAIN' },
        qr/blk0: cannot start a worker thread: .*; raise .*$threads/, 113 ],
    'locked memory of a plugin' => [ [ @disk, 'device.blk0.io=io_uring' ], { %fault, FAULT => 'io_uring_queue_init:1:ENOMEM' },
        qr/blk0: cannot use io_uring on this host: .*; raise .*(?:ulimit -l|memory\.max)/, 113 ],
    'processes of batch' => [ [ $minivmm, qw(batch -r x.snap --input serial0 x.ini) ],
        { %fault, FAULT => 'fork:1:EAGAIN' }, qr/cannot start a worker: .*; raise .*$threads/ ],
    'KVM: a VM' => [ \@run, { %kvm, KVM_FAILS => 0x01, KVM_ERROR => $ENOMEM }, qr/KVM_CREATE_VM: .*; free memory/ ],
    'KVM: interrupted before a VM' => [ \@run, { %kvm, KVM_FAILS => 0x01, KVM_ERROR => $EINTR }, qr/KVM_CREATE_VM: Interrupted system call/ ],
    'KVM: another hypervisor' => [ \@run, { %kvm, KVM_FAILS => 0x01, KVM_ERROR => 16 }, qr/KVM_CREATE_VM: .*; another hypervisor.*: stop it/ ],
    'KVM: too many vCPUs' => [ \@run, { %kvm, KVM_FAILS => 0x41, KVM_ERROR => 22 }, qr/KVM_CREATE_VCPU 0: .*; KVM takes no more vCPUs: reduce vm\.cpus/ ],
    'KVM: a thread' => [ \@run, { %kvm, KVM_FAILS => $RUN, KVM_ERROR => $EAGAIN }, qr/vCPU 0 cannot run: KVM_RUN: .*; raise .*$threads.*: KVM starts a thread/ ],
    'KVM: memory' => [ \@run, { %kvm, KVM_FAILS => $RUN, KVM_ERROR => $ENOMEM }, qr/vCPU 0 cannot run: KVM_RUN: .*; free memory/ ],
    'KVM: interrupted' => [ \@run, { %kvm, KVM_FAILS => $RUN, KVM_ERROR => $EINTR }, qr/vCPU 0 cannot run: KVM_RUN: Interrupted system call/ ],
    'KVM: two vCPUs' => [ [ $minivmm, '-c', 'two.ini' ], { %kvm, KVM_FAILS => $RUN, KVM_ERROR => $EAGAIN }, qr/vCPU 0 cannot run: .*$threads/ ],
);
delete @limits{'address space', 'memory of a thread', 'stack'} if $build =~ /[at]san/;    # a sanitizer needs the whole of it
for my $name (sort keys %limits) {
    my ($command, $with, $message, $expected) = @{ $limits{$name} };
    my ($status, $out, $err);
    # A machine can do without some of its threads, such as the watchdog's.
    for my $n (1 .. 4) {
        ($status, $out, $err) = run($command, map { $_ => $with->{$_} =~ s/:N:/:$n:/r } keys %$with);
        last if $status;
    }
    is("$status:$out", ($expected // 111) . ':', $name);
    like($err, qr/^minivmm: .*$message/m, "$name: the limit and the remedy");
}

# KVM_RUN that fails for a moment, as it does when the kernel starts its thread while a signal
# arrives.
for my $error ($EAGAIN, $ENOMEM, $EINTR) {
    my ($status, $out, $err) = run([@run], %kvm, KVM_FAILS => $RUN, KVM_ERROR => $error, KVM_TIMES => 15);
    is("$status:$out", '0:A', "KVM_RUN fails 15 times with errno $error: the guest runs") or diag($err);
}

# io_uring that accepts no call, or not always: worker threads execute the requests.
for my $fault ('0:EAGAIN', '0:EBUSY', '0:ENOMEM', '2:EAGAIN', '3:EINTR') {
    my ($status, $out, $err) = run([ $minivmm, '-c', "$configs/disk.ini", '--set', 'device.disk0.io=io_uring' ],
        %fault, FAULT => "io_uring_submit:$fault");
    is("$status:$out", "0:ABCDEF d99ef9a8\n", "io_uring_submit fails, $fault") or diag($err);
}

# Without inotify, the terminal of a device is polled.
{
    my $process = start([ $minivmm, qw(-c waits.ini --log debug --set device.serial0.output=pty) ], %fault, FAULT => 'inotify_init1:1:EMFILE');
    my $name;
    ok(until_true { ($name) = said($process) =~ /is the terminal (\S+)/ }, 'a machine with a terminal');
    like(said($process), qr/fs\.inotify\.max_user_instances/, 'the debug log names the limit');
    open my $slave, '<', $name or die "$name: $!";
    sysread $slave, my $byte, 1;
    is($byte, 'A', 'its output arrives');
    kill TERM => $process->{pid};
    is((finish($process))[0], 1015, 'it ends');
}

# A time that passes while KVM refuses to run the guest is not the end that was asked for. On a busy
# host the time may pass before the first try.
for my $end ([qw(--until time:100ms)], [qw(--until time:100ms --save until.snap)], [qw(--at time:100ms --save until.snap)]) {
    my ($status, $out, $err);
    for (1 .. 20) {
        unlink 'until.snap';
        ($status, $out, $err) = run([ @run, @$end ], %kvm, KVM_FAILS => $RUN, KVM_ERROR => $EAGAIN);
        last if $status && !-e 'until.snap';
    }
    is("$status:$out", '111:', "@$end: the status is that of the limit");
    like($err, qr/\Aminivmm: vCPU 0 cannot run: KVM_RUN: .*$threads.*\n\z/, "@$end: the limit and the remedy");
    ok(!-e 'until.snap', "@$end: no snapshot");
}

# batch: a run that never began is neither a success nor a timeout, nor a stop condition that was
# hit.
my $soon = inspect('x.snap')->{machine}{time} + 1e6;
for my $timeout ([], [ '--timeout', '1ms' ], [ '--timeout', '100s' ], [ '--until', "time:${soon}ns" ]) {
    my ($status, $out, $err) = run([ $minivmm, qw(batch -r x.snap --input serial0 -j 1), @$timeout, 'x.ini', 'two.ini' ],
        %kvm, KVM_FAILS => $RUN, KVM_ERROR => $EAGAIN);
    is("$status:$out", '111:', "batch @$timeout: no line for an input that did not run");
    like($err, qr/vCPU 0 cannot run: KVM_RUN: .*$threads/, 'the limit and the remedy');
}

# batch: nor does a lack of descriptors make a result of an input.
{
    my @wrong;
    for my $n (5 .. 24) {
        my ($status, $out, $err) = run([ 'sh', '-c', 'ulimit -n "$0" && exec "$@"', $n, $minivmm, qw(batch -r x.snap --input serial0 -j 1 x.ini two.ini) ]);
        my $ran = () = $out =~ /"cause":"hlt"/g;
        my $lines = () = $out =~ /\n/g;
        push @wrong, "$n: $status: $out$err" if $lines != $ran || ($status ? $status != 111 || $err !~ /raise ulimit -n/ : $ran != 2);
    }
    is("@wrong", '', 'batch with few descriptors: results, or status 111 and the limit');
}

# doctor: what a limit keeps it from trying says nothing about KVM.
my $tried = 0;
for my $n (5, 6, 8, 10, 12, 14) {
    my ($status, $out, $err) = run([ 'sh', '-c', 'ulimit -n "$0" && exec "$@"', $n, $minivmm, 'doctor' ], PATH => $ENV{PATH});
    my ($line) = $out =~ /^NO +(?:plugins|guests) +(.*)/m;
    next if !defined $line;
    $tried++;
    like($line, qr/: Too many open files; raise ulimit -n \(now $n, at most \d+\)$/, "doctor with $n descriptors: the limit and the remedy");
}
cmp_ok($tried, '>', 0, 'doctor: too few descriptors');
{
    my ($status, $out) = run([ $minivmm, 'doctor' ], %kvm, KVM_FAILS => $RUN, KVM_ERROR => $EAGAIN);
    like($out, qr/^NO +guests +real mode cannot be tried: vCPU 0 cannot run: KVM_RUN: .*$threads/m, 'doctor: KVM lacks a thread');
}

# doctor: a time that passes while it is stopped, as by Ctrl-Z, is no verdict: it tries again.
# SIGCONT alone shows that. The kernel prints nothing.
{
    my $kernel = slurp("$top/guests/bzimage.bin");
    substr($kernel, 0x600, 2) = "\xeb\xfe";
    spew('kernel', $kernel);
    my $process = start([ $minivmm, qw(doctor kernel) ], MINIVMM_PROBE_SECONDS => 2);
    # The process of a machine with the kernel.
    my $probe = sub {
        my ($pid) = (eval { slurp("/proc/$process->{pid}/task/$process->{pid}/children") } // '') =~ /(\d+)/;
        return $pid && (eval { slurp("/proc/$pid/cmdline") } // '') =~ /boot\.image/ && $pid;
    };
    my ($first, $second, $ended);
    ok(until_true { $first ||= $probe->() }, 'doctor tries a kernel');
    kill CONT => $process->{pid};
    until_true {
        my $pid = $probe->();
        $second = $pid if $pid && $pid != $first;
        $ended = 1 if waitpid $process->{pid}, POSIX::WNOHANG();
        $second || $ended;
    };
    ok($second, 'after SIGCONT, it tries again');
    kill KILL => $process->{pid};
    finish($process);
}

done_testing;
