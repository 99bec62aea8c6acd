#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# minivmm core and ctl core: the core file, read by its ELF headers and by gdb, has the registers
# and the memory of the machine. Chains, pipes, targets that are refused, cores of running machines.
use v5.14;
use warnings;
no warnings 'portable';
use lib 'tests/lib';

use Control;
use Minivmm;
use Snapshot;
use Test::More;

my @elf = qw(type flags offset vaddr paddr filesz memsz align);

# The core file: { phdrs => [ { @elf } ], notes => [ [ name, type, content ] ], bytes }.
sub elf {
    my ($file) = @_;
    my %core = (bytes => slurp($file));
    my ($ident, $type, $machine) = unpack 'a16vv', $core{bytes};
    is(sprintf('%vd', substr $ident, 0, 7), '127.69.76.70.2.1.1', "$file: ELF, 64 bits, little-endian");
    is("$type $machine", '4 62', "$file: a core of x86-64");
    my ($at, $count) = ((unpack 'x32Q<', $core{bytes})[0], (unpack 'x56v', $core{bytes})[0]);
    for my $i (0 .. $count - 1) {
        my %header;
        @header{@elf} = unpack 'VVQ<6', substr $core{bytes}, $at + 56 * $i, 56;
        push @{ $core{phdrs} }, \%header;
        cmp_ok($header{offset} + $header{filesz}, '<=', length $core{bytes}, "$file: header $i is in the file");
    }
    my ($notes) = grep { $_->{type} == 4 } @{ $core{phdrs} };
    for (my $text = substr $core{bytes}, $notes->{offset}, $notes->{filesz}; length $text;) {
        my ($name_size, $size, $type) = unpack 'VVV', $text;
        my $padded = ($name_size + 3) & ~3;
        push @{ $core{notes} }, [ unpack('Z*', substr $text, 12), $type, substr $text, 12 + $padded, $size ];
        $text = substr $text, 12 + $padded + (($size + 3) & ~3);
    }
    return \%core;
}

# Memory by p_vaddr, as gdb finds it: in the first segment; or by p_paddr.
sub memory {
    my ($core, $kind, $address, $length) = @_;
    for my $s (grep { $_->{type} == 1 } @{ $core->{phdrs} }) {
        return substr $core->{bytes}, $s->{offset} + $address - $s->{$kind}, $length if $address >= $s->{$kind} && $address < $s->{$kind} + $s->{filesz};
    }
    return 'none';
}

sub core {
    my (@arguments) = @_;
    my ($status, $out, $err) = run([ $minivmm, 'core', @arguments ]);
    is("$status:$out", '0:', "core @arguments") or diag($err);
    return $err;
}

my $gdb = (grep { -x "$_/gdb" } split /:/, $ENV{PATH})[0];

sub in_gdb {
    my ($name, $program, $core, @commands) = @_;
  SKIP: {
        skip("$name: no gdb is installed", 1) if !$gdb;
        my ($status, $out, $err) = run([ qw(gdb -q -nx -batch), (map { ('-ex', $_) } 'set debuginfod enabled off', "file $program", "core-file $core", @commands) ], timeout => 60);
        is($status, 0, "$name: gdb opens it") or diag($out, $err);
        return $out . $err;
    }
    return;
}

# Each mode of the CPU: registers, memory, and symbols in gdb. Here all programs are at 0x1000.
for (['rtc', 'access:9', 'real mode'], ['protected', 'access:3', 'protected mode'], ['long', 'access:3', 'long mode']) {
    my ($name, $until, $mode) = @$_;
    my ($status, $out, $err) = run([ $minivmm, '-c', "$configs/$name.ini", '--until', $until, '--save', "$name.snap" ]);
    is($status, 0, "$mode: a snapshot");
    is(core("$name.snap", '-o', "$name.core"), "minivmm: core written to $name.core; open it with gdb PROGRAM $name.core\n", "$mode: the message");
    my $core = elf("$name.core");
    my $vcpu = inspect("$name.snap")->{vcpus}[0];
    my ($prstatus, $qemu) = @{ $core->{notes} };
    is("$prstatus->[0] $prstatus->[1] $qemu->[0] $qemu->[1]", 'CORE 1 QEMU 0', "$mode: the notes of a vCPU");
    is_deeply([ (unpack 'x112Q<27', $prstatus->[2])[ 4, 10, 16, 17, 18, 19 ] ],
        [ @{ $vcpu->{regs} }{qw(rbp rax rip)}, $vcpu->{sregs}{'cs.selector'} // $vcpu->{sregs}{cs}{selector}, @{ $vcpu->{regs} }{qw(rflags rsp)} ], "$mode: registers");
    my @words = unpack 'VVQ<18', $qemu->[2];
    is_deeply([ @words[ 0, 1, 2, 18, 19 ] ], [ 1, 440, @{ $vcpu->{regs} }{qw(rax rip rflags)} ], "$mode: QEMU's registers");
    my ($cr0, $cr3) = (unpack 'x392Q<5', $qemu->[2])[ 0, 3 ];
    is_deeply([ $cr0, $cr3 ], [ @{ $vcpu->{sregs} }{qw(cr0 cr3)} ], "$mode: control registers");

    my $snapshot = Snapshot->load("$name.snap");
    my $size = length $snapshot->{memory};
    ok(memory($core, 'paddr', 0x1000, $size) eq $snapshot->{memory}, "$mode: memory by physical address");
    ok(memory($core, 'vaddr', 0x1000, $size) eq $snapshot->{memory}, "$mode: memory by linear address");
    ok(memory($core, 'vaddr', 0x4000000000001000, 16) eq substr($snapshot->{memory}, 0, 16), "$mode: physical memory beside linear") if $mode eq 'long mode';

    my $text = in_gdb($mode, "build/guests/$name.elf" =~ s{^build}{$top/build}r, "$name.core", 'printf "rip is %#lx\n", $rip', 'x/8xb $rip', 'info symbol $rip') // next;
    my $rip = $vcpu->{regs}{rip};
    my $code = join '.*', map { sprintf '0x%02x', $_ } unpack 'C8', substr $snapshot->{memory}, $rip - 0x1000, 8;
    like($text, qr/^rip is @{[ sprintf '%#x', $rip ]}$/m, "$mode: gdb's registers");
    like($text, qr/:\s$code$/m, "$mode: gdb's memory");
    like($text, qr/ in section \.text$/m, "$mode: gdb's symbols");
}

# Two vCPUs are two threads.
my ($status) = run([ $minivmm, '-c', "$configs/live.ini", qw(--set vm.cpus=2 --set control.socket=two.sock --until output:serial0:tick:2 --save two.snap) ], stdout => '/dev/null');
is($status, 0, 'a machine with two vCPUs');
core(qw(two.snap -o two.core));
is(join(' ', map { "$_->[0]$_->[1]" } @{ elf('two.core')->{notes} }), 'CORE1 CORE1 QEMU0 QEMU0', 'notes of two vCPUs');
my $text = in_gdb('two vCPUs', "$top/build/guests/live.elf", 'two.core', 'info threads', 'thread 2', 'printf "thread %d\n", $_thread');
like($text, qr/LWP 1.*LWP 2.*^thread 2$/ms, 'two vCPUs: threads') if defined $text;

# A chain, and the same machine from pipes.
my @live = ($minivmm, '-c', "$configs/live.ini", qw(--set vm.memory=8M --set control.socket=vm.sock --log error));
{
    my $process = start([@live], stdout => '/dev/null');
    until_true { scalar(-S 'vm.sock') };
    my $control = Control->connect('vm.sock');
    $control->request('until output:serial0:tick:3');
    $control->request('snapshot ' . $_) for 'full.snap full', 'diff.snap diff';
    $control->request('resume');
    $control->request('until output:serial0:tick:6');
    ok($control->request('snapshot late.snap diff')->{ok}, 'a chain');
    $control->request('quit');
    finish($process);
}
is((run([ $minivmm, qw(flatten late.snap -o flat.snap) ]))[0], 0, 'the chain as one file');
core(qw(late.snap -o late.core));
core(qw(flat.snap -o flat.core));
ok(slurp('late.core') eq slurp('flat.core'), 'a core of a chain is that of the flattened chain');
core(qw(full.snap diff.snap late.snap -o given.core));
ok(slurp('given.core') eq slurp('flat.core'), 'parents that are given');
(undef, undef, my $err) = run([ 'sh', '-c', '"$1" core - -o - <flat.snap | cat >piped.core', 'sh', $minivmm ]);
is($err, "minivmm: core written to -; open it with gdb PROGRAM -\n", 'from stdin to stdout: the message');
ok(slurp('piped.core') eq slurp('flat.core'), 'from stdin to stdout');
run([ 'sh', '-c', 'cat flat.snap | "$1" core fd:0 -o fd:3 3>file.core', 'sh', $minivmm ]);
ok(slurp('file.core') eq slurp('flat.core'), 'from a pipe to a descriptor');

# Zero pages are holes.
is((run([ $minivmm, '-c', "$configs/simple.ini", qw(--set vm.memory=512M --set device.serial0.output=none --until access:1 --save large.snap) ]))[0], 0, 'a large machine');
core(qw(large.snap -o large.core));
cmp_ok((stat 'large.core')[12] * 512, '<', 1 << 20, 'its core takes little room');
is((stat 'large.core')[7] % 4096, 0, 'whole pages');
is(sprintf('%o', (stat 'large.core')[2] & 0777), '600', 'mode');

# Targets.
spew('text', "text\n");
spew('program', slurp($minivmm));
mkdir 'folder';
symlink 'late.core', 'link';
for (
    [ [qw(flat.snap)], 110, qr/core: no -o FILE; use minivmm core SNAPSHOT\.\.\. -o FILE/ ],
    [ [qw(flat.snap -o text)], 113, qr/cannot write core text: it exists and is not a core; remove it or name another file/ ],
    [ [qw(flat.snap -o program)], 113, qr/cannot write core program: it exists and is a program, not a core; remove it or name another file/ ],
    [ [qw(flat.snap -o folder)], 113, qr/cannot write core folder: it is a directory/ ],
    [ [qw(flat.snap -o link)], 113, qr/cannot write core link: / ],
    [ [qw(flat.snap -o flat.snap)], 110, qr/core: flat\.snap is the snapshot; name another file with -o/ ],
    [ [qw(late.snap -o full.snap)], 110, qr/core: full\.snap is the snapshot; / ],
    [ [qw(flat.snap -o no/x)], 113, qr/cannot write core no\/x: / ],
    [ [qw(flat.snap -o fd:7)], 113, qr/cannot write core fd:7: descriptor 7 is not open/ ],
    [ [qw(none.snap -o x)], 112, qr/cannot open snapshot none\.snap/ ],
    [ [qw(text -o x)], 112, qr/text is not a snapshot/ ],
  )
{
    my ($arguments, $status, $message) = @$_;
    fails([ $minivmm, 'core', @$arguments ], $status, $message, "refused: core @$arguments");
}
ok(!-e 'x', 'no file is left');
core(qw(flat.snap -o late.core));
ok(slurp('late.core') eq slurp('flat.core'), 'a core replaces a core');

# A running machine.
{
    my $process = start([@live], stdout => '/dev/null');
    until_true { scalar(-S 'vm.sock') };
    my $control = Control->connect('vm.sock');
    $control->request('until output:serial0:tick:5');
    my ($status, $out, $err) = run([ $minivmm, qw(ctl vm.sock core live.core) ]);
    is("$status:$err", '0:', 'a core of a paused machine');
    like($out, qr/^method: \w+\nstopped_us: [\d.]+\nbytes: \d+\nsegments: 2$/m, 'the reply');
    $control->request('snapshot same.snap');
    core(qw(same.snap -o same.core));
    ok(slurp('live.core') eq slurp('same.core'), 'it is that of a snapshot');
    is(sprintf('%o', (stat 'live.core')[2] & 0777), '600', 'mode');
    $control->request('resume');
    ok($control->request("core running.core")->{ok}, 'a core of a running machine');
    like((run([ $minivmm, qw(ctl vm.sock snapshot next.snap diff) ]))[2], qr/^$/, 'it is no base of a diff') if -e 'same.snap';
    for (['text', 'it exists and is not a core'], ['program', 'it exists and is a program'], ['-', 'core - is not supported; use minivmm ctl SOCKET snapshot - | minivmm core - -o -']) {
        my ($file, $reason) = @$_;
        my $reply = $control->request("core $file");
        ok(!$reply->{ok} && index($reply->{error}, $reason) >= 0, "refused: core $file") or diag($reply->{error});
    }
    like($control->request('cancel')->{error}, qr/no snapshot, core or until is in progress/, 'nothing to cancel');
    $control->request('quit');
    finish($process);
    elf('running.core');
}

# While the file is written, the machine runs, and the core can be cancelled.
for my $ends ('cancel', 'quit') {
    unlink 'gate';
    my $process = start([@live], stdout => '/dev/null', LD_PRELOAD => "$build/tests/preload/gate.so", GATE => 'gate');
    until_true { scalar(-S 'vm.sock') };
    my ($waits, $control) = map { Control->connect('vm.sock') } 1, 2;
    $waits->send("core $ends.core\n");
    ok(until_true(sub { $control->request('status')->{core} }), "$ends: status has the core in progress");
    is($control->request('status')->{state}, 'running', "$ends: the machine runs");
    like($control->request('core other.core')->{error}, qr/another core is in progress; wait for it or cancel it/, "$ends: refused: another core");
    ok($control->request('snapshot other.snap')->{ok}, "$ends: a snapshot meanwhile");
    $control->send("$ends\n");
    ok($control->reply->{ok}, 'cancel') if $ends eq 'cancel';
    spew('gate', '');
    my $reply = $waits->reply;
    if ($ends eq 'cancel') {
        is($reply->{error}, "cannot write core $ends.core: it was cancelled", 'cancel: the reply');
        ok(!-e "$ends.core", 'cancel: no file');
        $control->request('quit');
    } else {
        # The machine may take the request after the gate is open, and the file is complete then.
        is($reply->{error} // 'complete', -e "$ends.core" ? 'complete' : "cannot write core $ends.core: the machine ended before it was complete", 'quit: reply and file');
    }
    is((finish($process))[0], 0, "$ends: the machine ends well");
}
is(join(' ', grep { /^\./ } split / /, names()), '', 'no temporary file is left');

done_testing;
