#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# inspect, diff and verify: the contents of a snapshot, the differences between two, and files that
# are not snapshots.
use v5.14;
use warnings;
use lib 'tests/lib';

use JSON::PP;
use Minivmm;
use Snapshot;
use Test::More;

sub take {
    my ($file, $config, $at) = @_;
    my ($status, $out, $err) = run([ $minivmm, '-c', "$configs/$config", '--save', $file, '--until', $at ]);
    is($status, 0, "$file: $config at $at") or diag($err);
}
take('a.snap', 'simple.ini', 'rip:0x1005');
take('b.snap', 'simple.ini', 'rip:0x1007');
take('mm.snap', 'simple-mm.ini', 'hlt');

# Text output.
my ($status, $out, $err) = run([ $minivmm, 'inspect', 'a.snap' ]);
is("$status:$err", '0:', 'inspect');
my ($section, %text);
for (split /\n/, $out) {
    $section = $1 if /^(\w+)/;
    $text{$section} .= "$_\n" if $section;
}
like($out, qr/\Aa\.snap: a machine, snapshot format 1\n  id = [0-9a-f]{32}\n  made = 20\d\d-/, 'inspect: kind and sizes');
like($text{config}, qr/\bmemory = 0x4000 \(16384\)\n.*port = 0x3f8\n.*output = stdio\n/s, 'config');
like($text{vcpu}, qr/^    rax = 0x4 \(4\)\n    rbx = 0x2 \(2\)\n.*^    rdx = 0x3f8 \(1016\)\n/ms, 'registers');
like($text{vcpu}, qr/^    rip = 0x1005 \(4101\)\n    rflags = 0x2 \(2\)\n/m, 'inspect: rip and flags');
like($text{vcpu}, qr/^    cs: base = 0x0, limit = 0xffff, selector = 0x0, /m, 'segments');
like($text{vcpu}, qr/^    cr0 = 0x[0-9a-f]*[02468ace] \(\d+\) ET/m, 'inspect: control registers with their flags');
like($text{vcpu}, qr/^  fpu\n    fcw = 0x37f \(895\)\n.*^    mxcsr = 0x1f80 .*^    st7 = .*^    xmm15 = /ms, 'FPU');
like($text{vcpu}, qr/^  xcrs\n.*^    xcr0 = 0x1 \(1\) x87\n/ms, 'XCRs');
like($text{vcpu}, qr/^  debugregs\n    db = 0x0 0x0 0x0 0x0\n    dr6 = 0xffff0ff0 /m, 'inspect: debug registers');
like($text{vcpu}, qr/^  events\n    exception: injected = 0x0, /m, 'events');
like($text{vcpu}, qr/^    0xc0000082\.LSTAR = 0x0 \(0\)\n/m, 'inspect: MSRs by number and name');
like($text{vcpu}, qr/^    0x0\.0 = 0x/m, 'CPUID');
like($text{device}, qr/^device serial0 \(serial, state version 2\)\n  state\n.*^    divisor = 0xc \(12\)\n/ms, 'device');
like($text{memory}, qr/^  0x1000 to 0x4fff, 16K\n  pages that hold data\n    0x1000 to 0x1fff, 4K\n/m, 'memory');
($status, $out) = run([ $minivmm, 'inspect', 'mm.snap' ]);
like($out, qr/    0x1000 to 0x2fff, 8K\n\z/, 'inspect: a page that the guest has written is counted as data');

# With in-kernel interrupt controllers.
take('irq.snap', 'counter.ini', 'time:1ms');
($status, $out) = run([ $minivmm, 'inspect', 'irq.snap' ]);
like($out, qr/^  mp_state = (runnable|halted)\n/m, 'inspect: MP state by name');
like($out, qr/^  lapic\n    id = 0x0 \(0\)\n    version = .*^    svr = .*^    lvt_timer = /ms, 'inspect: LAPIC registers by name');
like($out, qr/^  pit\n    channel0: count = 0x/m, 'PIT');
like($out, qr/^  ioapic\n/m, 'IOAPIC');

# JSON output.
($status, $out, $err) = run([ $minivmm, 'inspect', '--json', 'a.snap' ]);
my $json = eval { numbers(decode_json($out)) };
is("$status:$err:$@", '0::', 'inspect --json');
is($json->{vcpus}[0]{regs}{rax}, 4, 'JSON: rax');
is($json->{vcpus}[0]{sregs}{'cs.limit'}, 0xffff, 'JSON: cs.limit');
is($json->{vcpus}[0]{fpu}{fcw}, 0x37f, 'JSON: fcw');
is($json->{devices}[0]{state}{divisor}, 12, 'JSON: a field of a device');
is_deeply($json->{memory},
    { regions => [ { gpa => 0x1000, size => 0x4000 } ], data => [ { gpa => 0x1000, size => 0x1000 } ] }, 'JSON: memory');
is($json->{size}, -s 'a.snap', 'JSON: size');

# A device is shown although its plugin is not installed.
{
    my $copy = Snapshot->load('a.snap');
    for my $section ([ 'DEVI', 'plugin' ], [ 'CONF', 'devices', 0, 'plugin' ]) {
        my ($tag, @path) = @$section;
        $copy->change($tag, 0, \@path, sub { $_[0]{value} = 'sorial' });
    }
    $copy->save('foreign.snap');
    ($status, $out) = run([ $minivmm, 'inspect', 'foreign.snap' ]);
    like($out, qr/^device serial0 \(sorial, state version 2\)\n  state\n.*divisor = 0xc/ms, 'a device whose plugin is not installed');
}

# diff.
($status, $out, $err) = run([ $minivmm, 'diff', 'a.snap', 'a.snap' ]);
is("$status:$out:$err", '0::', 'diff: a snapshot equals itself');
($status, $out) = run([ $minivmm, 'diff', 'a.snap', 'b.snap' ]);
is($status, 1, 'diff: two snapshots differ');
like($out, qr/^vcpu 0 regs\.rax: 0x4 \(4\) -> 0x34 \(52\)\n/m, 'diff: rax differs');
like($out, qr/^vcpu 0 regs\.rip: 0x1005 \(4101\) -> 0x1007 \(4103\)\n/m, 'diff: rip differs');
unlike($out, qr/regs\.rbx|memory|^config/m, 'diff: equal items are not listed');
{
    my $copy = Snapshot->load('a.snap');
    substr($copy->{memory}, 0x2fff, 2) = 'xy';    # pages 0x3000 and 0x4000
    $copy->change('DEVI', 0, [qw(state scr)], sub { $_[0]{value} = chr 0x5a });
    $copy->row('SUMS', 0)->{data} = "\1\0\0\0";
    $copy->save('c.snap');
    ($status, $out) = run([ $minivmm, 'diff', 'a.snap', 'c.snap' ]);
    is("$status:$out",
        "1:device serial0 state.scr: 0x0 (0) -> 0x5a (90)\nmemory 0x3000 to 0x4fff: 2 pages differ\n",
        'diff: a field of a device and pages differ');
    $copy->{rows} = [ grep { $_->{tag} ne 'DEVI' } @{ $copy->{rows} } ];
    $copy->save('c.snap');
    ($status, $out) = run([ $minivmm, 'diff', 'c.snap', 'a.snap' ]);
    like($out, qr/^device serial0: only in the second\n/m, 'diff: a device that only one snapshot has');
    ($status, $out) = run([ $minivmm, 'diff', 'a.snap', 'c.snap' ]);
    like($out, qr/^device serial0: only in the first\n/m, 'diff: the same in the other direction');
}
($status, $out) = run([ $minivmm, 'diff', 'a.snap', 'mm.snap' ]);
like($out, qr/^config vm\.dirty_log: no -> yes\n.*^memory 0x1000 to 0x2fff: 2 pages differ\n/ms, 'diff: snapshots of different machines');

# Files that are not snapshots, and usage errors.
spew('raw', "\xba\xf8\x03" . "\0" x 0x3ffd);
fails([ $minivmm, 'inspect', 'raw' ], 112, qr/raw is not a snapshot: name a file that --save/, 'refused: inspect of a raw file');
fails([ $minivmm, 'inspect', 'none' ], 112, qr/cannot open snapshot none: No such file/, 'refused: inspect of a missing file');
fails([ $minivmm, 'inspect', '.' ], 112, qr/\. is not a snapshot: it is a directory/, 'refused: inspect of a directory');
fails([ $minivmm, 'verify', 'raw' ], 112, qr/raw is not a snapshot/, 'refused: verify of a raw file');
fails([ $minivmm, 'diff', 'a.snap', 'raw' ], 2, qr/raw is not a snapshot/, 'refused: diff with a raw file');
fails([ $minivmm, 'diff', 'a.snap' ], 2, qr/diff: no SNAPSHOT; use minivmm diff SNAPSHOT SNAPSHOT/, 'refused: diff with one file');
fails([ $minivmm, 'inspect' ], 110, qr/inspect: no SNAPSHOT; use/, 'refused: inspect without a file');
fails([ $minivmm, 'inspect', 'a.snap', 'b.snap' ], 110, qr/a\.snap is not a parent of b\.snap; remove it/, 'refused: inspect of two files');
fails([ $minivmm, 'inspect', '--jsno', 'a.snap' ], 110, qr/unknown option --jsno/, 'refused: an unknown option');
fails([ $minivmm, 'verify' ], 110, qr/verify: no SNAPSHOT; use/, 'refused: verify without a file');
for my $command (qw(inspect diff verify)) {
    ($status, $out, $err) = run([ $minivmm, $command, '--help' ]);
    like("$status:$err:$out", qr/\A0::usage: minivmm $command /, "$command --help");
}
for my $arguments ([qw(inspect a.snap)], [qw(inspect a.snap --json)], [qw(diff a.snap b.snap)], [qw(verify a.snap)]) {
    ($status, $out, $err) = run([ 'sh', '-c', '"$@" >/dev/full', 'sh', $minivmm, @$arguments ]);
    is($status, $arguments->[0] eq 'diff' ? 2 : 113, "@$arguments: the status when stdout is full");
    like($err, qr/cannot write to stdout: No space left/, "@$arguments: reports a full stdout");
}

done_testing();
