#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Hosts that cannot run a machine: the message names the lack and the remedy, status 111, and no
# file is created. tests/preload/kvm.c simulates these hosts between the program and /dev/kvm.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my %preload = (LD_PRELOAD => "$build/tests/preload/kvm.so");
my @run = ($minivmm, '-c', "$configs/simple.ini", '--set', 'vm.memory_file=ram.img');
my @snapshot = ($minivmm, '-r', 'simple.snap');

is((run([ $minivmm, '-c', "$configs/simple.ini" ], %preload))[0], 0, 'this host can run the machine');
my $bytes = slurp('simple.snap');

# Numbers are from linux/kvm.h.
my %hosts = (
    'no /dev/kvm' => [ [ KVM_OPEN => 'enoent' ], qr/cannot open \/dev\/kvm: it does not exist; load kvm_intel or kvm_amd/ ],
    'no permission' => [
        [ KVM_OPEN => 'eacces', KVM_MODE => '660', KVM_GROUP => 61234 ],
        qr/cannot open \/dev\/kvm: permission denied; it belongs to group 61234: join it \(usermod -aG 61234 USER\)/
    ],
    'a mode without a group' => [
        [ KVM_OPEN => 'eacces', KVM_MODE => '600', KVM_GROUP => 61234 ],
        qr/permission denied; its mode 600 admits no group: as root, chgrp kvm \/dev\/kvm and chmod 660 \/dev\/kvm/
    ],
    'one\'s own group' => [
        [ KVM_OPEN => 'eacces', KVM_MODE => '660', KVM_GROUP => (split ' ', $))[0] ],
        qr/permission denied although its group \w+ is yours; check the host's access lists and security modules/
    ],
    'a device cgroup' => [ [ KVM_OPEN => 'eperm' ], qr/the device cgroup .* forbids it; start it with --device=\/dev\/kvm/ ],
    'another API' => [ [ KVM_VERSION => 11 ], qr/\/dev\/kvm has KVM API version 11, minivmm needs 12/ ],
    'an old KVM' => [ [ KVM_LACKS => 136 ], qr/\/dev\/kvm lacks KVM_CAP_IMMEDIATE_EXIT; use a newer kernel/ ],
    'a KVM without XSAVE' => [ [ KVM_LACKS => 55 ], qr/\/dev\/kvm lacks KVM_CAP_XSAVE; use a newer kernel/ ],
    'KVM_CREATE_VM fails' => [ [ KVM_FAILS => 0x01 ], qr/KVM_CREATE_VM: Cannot allocate memory/ ],
    'KVM_CREATE_VCPU fails' => [ [ KVM_FAILS => 0x41 ], qr/KVM_CREATE_VCPU 0: Cannot allocate memory/ ],
    'KVM_SET_USER_MEMORY_REGION fails' => [
        [ KVM_FAILS => 0x46 ],
        qr/KVM_SET_USER_MEMORY_REGION: 0x4000 bytes of guest memory at 0x1000: Cannot allocate memory/
    ],
);
for my $name (sort keys %hosts) {
    my ($environment, $message) = @{ $hosts{$name} };
    fails([@run], 111, $message, "$name: run", %preload, @$environment);
    fails([@snapshot], 111, $message, "$name: restore", %preload, @$environment);
    is(names(), 'simple.snap', "$name: no file is created");
}
ok(slurp('simple.snap') eq $bytes, 'the snapshot is unchanged');

# An error while the guest runs or halts: the run ends, and the reason is reported once.
my ($status, $out, $err) = run([ $minivmm, '-c', "$configs/echo.ini", '--set', 'device.serial0.input=none' ],
    %preload, KVM_FAILS => 0x81, timeout => 10);
is($status, 111, 'an ioctl that fails during the run');
like($err, qr/\Aminivmm: KVM_GET_\w+: vCPU 0: Cannot allocate memory; free memory, or raise memory\.max of the cgroup\n/, 'the error is reported');
cmp_ok(scalar(() = $err =~ /\n/g), '<', 4, 'the error is not repeated');

# Commands that need no KVM work without it.
my %none = (%preload, KVM_OPEN => 'enoent');
is((run([ @run, '--check' ], %none))[0], 0, '--check');
is((run([ $minivmm, $_, 'simple.snap' ], %none))[0], 0, $_) for 'inspect', 'verify';
is((run([ $minivmm, '-r', 'simple.snap', '--check' ], %none))[0], 0, '-r --check');
is((run([ $minivmm, 'plugins' ], %none))[0], 0, 'plugins');

# doctor reports the same lacks, and the features that are present.
($status, $out, $err) = run([ $minivmm, 'doctor' ], %none);
is($status, 111, 'doctor: status 111 on an unsuitable host');
like($out, qr/^NO +kvm +cannot open \/dev\/kvm: it does not exist; load kvm_intel/m, 'why');
($status, $out, $err) = run([ $minivmm, 'doctor' ]);
is("$status:$err", '0:', 'doctor: status 0 on a suitable host');
like($out, qr/^ok +kvm +\/dev\/kvm opens and has all required capabilities\n.*^ok +plugins +\/.*\/serial\.so$/ms, 'doctor: reports KVM and the plugins');
like($out, qr/^(?:ok|-) +userfaultfd +not needed: live snapshots use KVM's dirty log$/m, 'doctor: userfaultfd is not needed');
# A KVM in software may lack iret in protected mode. The guest: push the flags, cs and the address
# of the instruction behind iret; iret; mov $0x3f8,%dx; mov $'P',%al; out %al,%dx; hlt.
spew('iret.ini', "[vm]\nmemory = 64K\n[cpu]\nmode = protected\nrsp = 0x9000\n[boot]\n"
      . "code = 9c0ee800000000 83042405 cf 66baf803b050eef4\n[device serial0]\nplugin = serial\noutput = stdio\n");
my $iret = (run([ $minivmm, '-c', 'iret.ini' ]))[1] eq 'P' ? 'ok' : 'NO';
my $modes = 'real mode, protected mode, long mode, interrupt controllers, single steps';
my $verdict = $iret eq 'ok' ? ', interrupts and iret' : '; this KVM fails with: interrupts and iret; use another host, or, in the source tree, tests\/svm\/run';
like($out, qr/^$iret +guests +$modes$verdict$/m, "doctor: runs guests, iret: $iret");
like($out, qr/^(?:- +linux +not checked: |(?:ok|NO) +linux +\S+)/m, 'doctor: says whether Linux has been tried');
{
    # A kernel that prints what Linux prints when it looks for its root file system, and one that
    # does not.
    my $kernel = slurp("$top/guests/bzimage.bin");
    for my $case ([ ok => 'VFS: Unable to mount root fs', qr/^ok +linux +kernel boots until it looks for its root file system$/m ],
        [ NO => 'nothing', qr/^NO +linux +kernel does not boot on this KVM within 2 s; use another host, or, .* tests\/svm\/run/m ]) {
        my ($name, $text, $line) = @$case;
        my $start = pack 'H*', '488d350f000000' . '66baf803' . 'ac' . '84c0' . '7403' . 'ee' . 'ebf8' . 'f4' . 'ebfd';
        substr($kernel, 0x600, length($start) + length($text) + 1) = $start . "$text\0";
        spew('kernel', $kernel);
        ($status, $out, $err) = run([ $minivmm, 'doctor', 'kernel' ], MINIVMM_PROBE_SECONDS => 2);
        is($status, 0, "doctor: status 0, $name");
        like($out, $line, "doctor: a kernel, $name");
    }
    # What KVM has not seen says nothing about KVM.
    spew('kernel', "\x1f\x8b\x08\0" x 9);
    spew('text.ini', "[vm]\n");
    spew("\e[31m\n", "[vm]\n");
    for my $case (
        [ 'nowhere', 'opening the image nowhere: No such file or directory; build it or correct the path' ],
        [ 'kernel', 'image kernel is compressed with gzip: decompress it with gzip -dc FILE >NEW' ],
        [ 'text.ini', 'it is not a Linux kernel; name a bzImage or an unpacked vmlinux' ],
        [ "\e[31m\n", 'it is not a Linux kernel; name a bzImage or an unpacked vmlinux' ],
        [ "\e", 'opening the image \x1b: No such file or directory; build it or correct the path' ],
      ) {
        my ($name, $why) = @$case;
        ($status, $out, $err) = run([ $minivmm, 'doctor', $name ]);
        my $shown = $name =~ s/\e/\\x1b/r =~ s/\n/\\n/r;
        like("$status:$out", qr/\A0:.*^NO +linux +\Q$shown\E cannot be tried: \Q$why\E$/ms, "doctor: $shown, which is no kernel");
    }
    unlink 'kernel', 'text.ini', "\e[31m\n";
}
($status, $out, $err) = run([ $minivmm, 'doctor' ], LD_PRELOAD => "$build/tests/preload/kvm.so", KVM_LACKS => 136);
like($out, qr/^NO +kvm +\/dev\/kvm lacks KVM_CAP_IMMEDIATE_EXIT/m, 'doctor: an old KVM');

# Less memory than the machine needs. A sanitizer needs much address space.
SKIP: {
    skip 'a sanitizer needs the whole address space', 1 if $build =~ /[at]san/;
    fails([ 'sh', '-c', 'ulimit -v 1000000; exec "$@"', 'sh', $minivmm, '-c', "$configs/simple.ini", '--set', 'vm.memory=2G' ],
        111, qr/cannot map 0x80000000 bytes of guest memory: Cannot allocate memory; raise ulimit -v .*; reduce vm\.memory/, 'no memory');
}

done_testing;
