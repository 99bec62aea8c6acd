#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Snapshots and the tools that distribute them, as minivmm-fleet(7) describes: casync, nbdkit with
# nbdfuse, zstd. On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;

my $mounted;    # a file over which nbdfuse has mounted one; its server may be dead
END { system "umount -l $mounted 2>/dev/null" if $mounted }

sub has { return !grep { system("command -v $_ >/dev/null 2>&1") } @_ }

# 20 snapshots of one machine, whose guest writes 100 pages of 64 MiB between two.
my $machine = start([ $minivmm, '-c', "$configs/live.ini", qw(--set control.socket=vm.sock --set cpu.r10=0 --set cpu.r8=20 --set cpu.r12=0) ]);
my $control = Control->connect('vm.sock');
ok(until_true(sub { heard($machine) =~ /(?:.*\n){100}/ }, 60), 'the machine runs');
sub snapshot { is($control->request("snapshot $_[0] paused")->{ok}, 1, "snapshot $_[0]") }

SKIP: {
    skip 'casync is not installed: make deps', 23 if !has('casync');
    my ($files, $store) = (0, 0);
    for my $i (1 .. 20) {
        snapshot('a.snap');
        $files += 512 * (stat 'a.snap')[12];    # without holes
        die "casync: $?" if system("casync make --store=store.castr $i.caibx a.snap >/dev/null 2>&1");
    }
    $store += -s $_ for glob 'store.castr/*/*';
    diag(sprintf 'casync: %d KiB in the store, of %d KiB in 20 snapshots', $store / 1024, $files / 1024);
    cmp_ok($store, '<', $files / 4, 'the chunks of 20 snapshots take less than a quarter of their room');
    is(system('casync extract --store=store.castr 20.caibx b.snap >/dev/null 2>&1'), 0, 'casync extracts the last one');
    ok(slurp('a.snap') eq slurp('b.snap'), 'with the same bytes');
}
snapshot('a.snap');

# A restore through nbdfuse reads what it needs.
SKIP: {
    skip 'nbdkit or nbdfuse is not installed: make deps', 4 if !has(qw(nbdkit nbdfuse));
    skip 'no FUSE for this user', 4 if !-w '/dev/fuse' || $> && !has('fusermount3');
    my $here = do { require Cwd; Cwd::getcwd() };
    spew('mounted.snap', '');
    my $server = start([ qw(nbdkit -f -r --filter=stats -U), "$here/nbd.sock", 'file', "$here/a.snap", "statsfile=$here/stats" ]);
    ok(until_true(sub { -S 'nbd.sock' }), 'nbdkit serves the file');
    my $mount = start([ qw(nbdfuse -r), "$here/mounted.snap", "nbd+unix:///?socket=$here/nbd.sock" ]);
    $mounted = "$here/mounted.snap" if until_true(sub { -s 'mounted.snap' });
    my ($status, $out, $err) = (undef, '', '');
    if ($mounted) {
        ($status, $out, $err) = run([ $minivmm, qw(-r mounted.snap --until access:1 --set device.serial0.output=none) ]);
        system "fusermount3 -u $mounted 2>/dev/null || umount $mounted";
        undef $mounted;
    }
    kill TERM => $_->{pid} for $mount, $server;
    finish($_) for $mount, $server;
  SKIP: {
        skip 'this host mounts no FUSE file systems', 3 if !defined $status;
        is("$status:$err", '0:', 'a restore from the mounted file');
        my ($count, $unit) = slurp('stats') =~ /^read: \d+ ops, .*?, ([\d.]+) (bytes|KiB|MiB)/m;
        my $kib = ($count // 1e9) * { bytes => 1 / 1024, KiB => 1, MiB => 1024 }->{ $unit // 'KiB' };
        diag("nbdfuse: $kib KiB read until the first access, of " . (-s 'a.snap') / 1024 . ' KiB');
        cmp_ok($kib, '<', 4096, 'until the first access, it reads less than 4 of 64 MiB');
        cmp_ok($kib, '>', 4, 'and more than nothing');
    }
}

# zstd in a pipe, without a file that is not compressed.
SKIP: {
    skip 'zstd is not installed: make deps', 4 if !has('zstd');
    my $to = [ 'sh', '-c', '"$0" ctl vm.sock snapshot - 2>reply | zstd -q -1 >a.zst', $minivmm ];
    is((run($to))[0], 0, 'a snapshot through zstd');
    like(slurp('reply'), qr/^kind: full$/m, 'the reply');
    cmp_ok(-s 'a.zst', '<', -s 'a.snap', 'it is smaller');
    my ($status, undef, $err) = run([ 'sh', '-c', 'zstd -qdc a.zst | "$0" -r - --until access:1 --set device.serial0.output=none', $minivmm ]);
    is("$status:$err", '0:', 'and a restore');
}
is($control->request('quit')->{ok}, 1, 'the machine ends');
is((finish($machine))[0], 0, 'status 0');

done_testing;
