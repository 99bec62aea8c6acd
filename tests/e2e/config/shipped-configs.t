#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Every config in configs/ runs and has the stdout, stderr, exit status and last registers listed
# here.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# stderr is a pattern for the messages without the registers; the default is no message. "set"
# replaces input at a terminal, or ends a guest that does not end by itself.
my $said = qr/^log0: \d+\.\d{9} vcpu 0 rip/m;
my $version = (run([ $minivmm, '--version' ]))[1];
my %expected = (
    'balloon' => {
        out => "balloon: ok\n",
        err => qr/\Astatistics swap_in=0 .* free=12288 total=65536 available=0 .*\nballoon 8K\n\z/,
        registers => { rcx => 0, rdi => 0xe000, rsp => 0x8000 },
    },
    'batch' => {
        set => ['device.serial0.input=text:2 + 3*4\n'],
        out => "? 14\n",
        registers => { rbx => 14, rbp => 0x401000, rsp => 0x401000 },
    },
    'bzimage' => { out => "hello from the loader\nRSD PTR\n3\n", registers => { rdx => 0x600, rax => 0x34 } },
    'code' => { out => "Hi\n", registers => { rax => 0x0a, rdx => 0x3f8, rip => 0x100d, rflags => 2 } },
    'counter' => { out => "123: interrupt\ntimer: interrupt\n", registers => { rdx => 0x3fd, rsp => 0x8000 } },
    'debug-exit' => { status => 42, registers => { rax => 42 } },
    'disk' => { out => "ABCDEF d99ef9a8\n", registers => { rdx => 0x3f8, rsp => 0x5000, rsi => 32 } },
    'echo' => {
        set => ['device.serial0.input=text:hi\r\x04'],
        out => "What you type comes back; Ctrl-D ends.\r\nhi\r\n\r\nbye\r\n",
        registers => { rsp => 0x8000 },
    },
    'elf' => { out => "ELF: ok\n", registers => { rcx => 0, rdx => 0x3fd } },
    'i8042' => { status => 3, out => "8042\n", registers => { rax => 0xfe, rdx => 0x3fd, rsp => 0x5000 } },
    'linux' => {
        set => ["boot.image=$top/guests/bzimage.bin", 'vm.memory=4M', 'device.serial0.input=none'],
        out => "console=ttyS0\nRSD PTR\n3\n",
        registers => { rip => 0xfff0 }, # of the second vCPU, which is not started
    },
    'live' => {
        set => [qw(vm.memory=1M cpu.r8=20 cpu.r12=2 cpu.r13=5 cpu.r15=1)],
        out => join("\n",
            'tick 00000001 0000000000000000 0000000000000000',
            'tick 00000002 0000000000000014 0285d32a386d9da2',
            'tick 00000003 0000000000000028 18374ea753441485',
            'tick 00000004 000000000000003c 325be5cdb112e6bc',
            'tick 00000005 0000000000000050 69473ff1c461103a',
            "live: ok\n"),
        registers => { r9 => 233, r10 => 1, rsp => 0x7fd8 },
    },
    'long' => { out => "64 bit: ok\n", registers => { rbx => 50000005000000, rcx => 50000005000000, rdi => 0 } },
    'mmio-logger' => {
        out => "RAM\n",
        err => qr/\A(?:$said.*\n){8}minivmm: log0: 2 reads of 8 bytes, 6 writes of 10 bytes\n\z/,
        registers => { rbx => 0x89abcdef, rcx => 0, rdi => 0x8004, rsp => 0x5000 },
    },
    'mmio-logger-json' => {
        out => "fix\n",
        err => qr/\A(?:\{"device":"log0",.*\}\n){8}minivmm: log0: 2 reads of 8 bytes, 6 writes of 10 bytes\n\z/,
        registers => { rbx => 0x0a786966, rcx => 0, rdi => 0x8004, rsp => 0x5000 },
    },
    'multiboot' => {
        out => "2badb002 0000024d ${version}hello from the loader\n639 1024\n3 rows, 1663 KiB\n",
        registers => { rdi => 1663, rsi => 3 },
    },
    'net' => {
        out => "10.0.2.2 is at 52:55:0a:00:02:02\n10.0.2.2 answers\nan address: 10.0.2.15\nan address: 10.0.2.16\n"
          . "10.0.2.2 refuses a connection\n",
        registers => { rbx => 0xd0000000, rcx => 0 },
    },
    'nvme' => {
        out => 'disk0' . ' ' x 15 . "minivmm NVMe\n00000020 \nMSI-X MSI-X written and read\nMSI-X \n",
        registers => { rcx => 0, rsp => 0x9000 },
    },
    'pci' => {
        out => "00000000 00081b36 06000000 \n00000008 11e81234 00ff0010 \n00100000 010000ed edcba987 \nMSI 00000001 00375f00 \n"
          . "MSI 00000100 \nMSI 00000100 \ncopied by DMA\npin 00000020 \n",
        registers => { rdi => 0x11e81234, rsp => 0x8000 },
    },
    'protected' => { out => "32 bit: ok\n", registers => { rbx => 0x180000, rsp => 0x201000 } },
    'pvpanic' => {
        status => 102,
        out => "3\n",
        err => qr/\Aminivmm: warning: panic0: the guest has panicked and continues with its crash kernel\nminivmm: warning: panic0: the guest has panicked\n\z/,
        registers => { rax => 1, rdx => 0x505 },
    },
    'rtc' => {
        out => "2024-02-29 12:34:56 05\n1999-12-31 23:59:59 06\n1999-12-31 23:59:59 06\neight periods\n",
        registers => { rcx => 0, rsp => 0x5000 },
    },
    'pvh' => { out => "336ec578 1\nhello from the loader\n3 rows, 1663 KiB\n", registers => { rcx => 0, rdi => 1663 } },
    'serial-fifo' => { out => "overrun, time-out: ab\n", registers => { rsp => 0x5000 } },
    'serial-probe' => { out => "16550A\n", registers => { rsp => 0x5000 } },
    'simple' => {
        out => "4\n",
        err => qr/\Aminivmm: snapshot written to simple\.snap\n\z/,
        registers => { rax => 10, rbx => 2, rdx => 0x3f8, rip => 0x100c, rflags => 2 },
    },
    'simple-in' => { out => "5\n", registers => { rax => 10, rbx => 2, rdx => 0x3f8, rip => 0x100a } },
    'simple-mm' => {
        out => "4\n",
        err => qr/\A(?:$said.*\n){2}minivmm: log0: 1 reads of .*\nminivmm: the guest dirtied 1 page: 0x2000\n\z/,
        registers => { rax => 10, rbx => 2, rdx => 0x300, rip => 0x1018 },
    },
    'simple-ss' => { out => "4\n", registers => { rax => 10, rbx => 2, rdx => 0x3f8, rip => 0x100c, rflags => 2 } },
    'ssh' => {
        set => ["boot.image=$top/guests/bzimage.bin", 'vm.memory=4M'],
        out => "console=ttyS0 quiet\nRSD PTR\n4\n",
        registers => { rdx => 0x600, rax => 0x34 },
    },
    'torture' => {
        out => "torture: ok\n",
        err => qr/\Aminivmm: ram: \d+ reads of \d+ bytes, \d+ writes of \d+ bytes\n\z/,
        registers => { rbx => 0, rbp => 0xfee00000 },
    },
    'virtio' => {
        out => join('', map { "line in $_\n" } 0 .. 5),
        registers => { rcx => 6, rbx => 0xd0000000, rip => 0x124d },
    },
    'virtio-pci' => {
        out => "by MSI-X\nby MSI-X, after it was masked\nby the pin\n",
        registers => { rdx => 0x31, rsp => 0x8000 },
    },
    'vsock' => { out => "vsock: ok\n", registers => { rbx => 0xd0000000, rbp => 0x8080, rsp => 0x7000 } },
);

my $before = names($configs);
for my $file (split ' ', $before) {
    my ($name) = $file =~ /^(.+)\.ini\z/ or next;
    my $e = delete $expected{$name};
    if (!$e) {
        fail("$name: its expected output is listed here");
        next;
    }
    my @set = map { ('--set', $_) } @{ $e->{set} // [] };
    my ($status, $out, $err) = run([ $minivmm, '-c', "$configs/$file", '--registers', @set ]);
    my $registers = registers($err);
    $err =~ s/^minivmm: vCPU .*\n//mg;
    is($status, $e->{status} // 0, "$name: status");
    is($out, $e->{out} // '', "$name: stdout");
    like($err, $e->{err} // qr/\A\z/, "$name: stderr");
    is_deeply({ map { $_ => $registers->{$_} } keys %{ $e->{registers} } }, $e->{registers}, "$name: registers");
}
is(join(' ', sort keys %expected), '', 'every config is listed and exists');
is(names($configs), $before, 'no file is written to configs/');
is(names(), 'ram.img simple.snap', 'files are written to the current folder');

done_testing;
