#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The snapshot file at its worst: damaged, cut off, hostile, of another version; and written where
# there is no room.
use v5.14;
use warnings;
use lib 'tests/lib';

use JSON::PP;
use Minivmm;
use Snapshot;
use Test::More;

# Writes the snapshot of a config at a point.
sub take {
    my ($file, $config, $at, @more) = @_;
    my ($status, $out, $err) =
      run([ $minivmm, '-c', "$configs/$config", '--save', $file, '--until', $at, @more ]);
    return $status == 0 && -e $file ? 1 : diag("status $status: $err");
}

# An ordinary one.
ok(take('a.snap', 'simple.ini', 'rip:0x1005'), 'a snapshot is written');
my ($status, $out, $err) = run([ $minivmm, '-r', 'a.snap' ]);
is("$status:$out", "0:4\n", 'and restored');
my $good = slurp('a.snap');
my $length = length $good;
my $snapshot = Snapshot->load('a.snap');
is($snapshot->{version}, 1, 'its header is as described');
is(join(' ', map { "$_->{tag}$_->{index}" } @{ $snapshot->{rows} }),
    'HOST0 CONF0 TIME0 DEVI0 VCPU0 VMVM0 MEMR0 SUMS0', 'so are its sections');
is($snapshot->{memory} =~ /\A\xba\xf8\x03\x00\xd8/, 1, 'memory begins with the guest');
$snapshot->save('b.snap');
is(slurp('b.snap'), $good, 'taken apart and put together, it is the same');
($status, $out) = run([ $minivmm, 'verify', 'a.snap' ]);
is("$status:$out", "0:a.snap: all checksums are correct\n", 'verify says so');

# Damaged.
($status, $out, $err) = run([ "$build/tests/tools/damage", 'a.snap' ]);
is($status, 0, 'every flipped byte before the memory, and every truncation, is refused') or diag($out, $err);
for (my $size = 0; $size < $length; $size += 512) {
    spew('cut.snap', substr $good, 0, $size);
    fails([ $minivmm, '-r', 'cut.snap' ], 112, qr/cut\.snap is (truncated|not a snapshot)/, "cut at $size");
}
for (my $at = 0; $at < $length; $at += 229) {
    next if $at >= $snapshot->{header_size} && $at < $snapshot->{table_offset};
    my $bytes = $good;
    substr($bytes, $at, 1) ^= chr 0x20;
    spew('flipped.snap', $bytes);
    fails([ $minivmm, '-r', 'flipped.snap' ], 112, qr/flipped\.snap (is|has|holds|does) /, "flipped at $at");
}
{
    my $bytes = $good;
    substr($bytes, $snapshot->{memory_offset} + 0x17, 1) ^= chr 1;
    spew('flipped.snap', $bytes);
    fails([ $minivmm, 'verify', 'flipped.snap' ],
        112, qr/memory from 0x1000 to 0x4fff does not match/, 'verify finds a flipped bit of memory');
}

# Of another version, or for other plugins, or hostile: with right checksums.
sub changed {
    my ($change, $message, $name, @arguments) = @_;
    my $copy = Snapshot->load('a.snap');
    my %over = $change->($copy);
    $copy->save('changed.snap', %over);
    fails([ $minivmm, '-r', 'changed.snap', @arguments ], 112, $message, $name);
}

sub number {
    my ($item, $value) = @_;
    $item->{value} = pack { 1 => 'C', 2 => 'S', 3 => 'L', 4 => 'Q' }->{ $item->{type} }, $value;
}
changed(sub { (version => 2) },
    qr/changed\.snap has snapshot format 2, but this minivmm reads format 1: /, 'a newer format');
changed(sub { (parent => 'x' x 16) }, qr/it has a parent or a page bitmap, but not both/, 'a parent without need');
changed(sub { $_[0]->row('HOST', 0)->{tag} = 'NEWS'; () },
    qr/a section NEWS that this minivmm does not know/, 'an unknown section');
changed(sub { $_[0]->change('DEVI', 0, ['version'], sub { number($_[0], 7) }); () },
    qr/section DEVI 0: device serial0 has state version 7, plugin serial \(.*\) reads up to \d+: /,
    'state of a newer plugin');
changed(sub { $_[0]->change('DEVI', 0, ['plugin'], sub { $_[0]{value} = 'sorial' }); () },
    qr/DEVI 0: device serial0 was saved by plugin sorial, but its plugin here is serial/, 'state of another plugin');
changed(sub { $_[0]->change('DEVI', 0, ['name'], sub { $_[0]{value} = 'serial1' }); () },
    qr/DEVI 0: the config has no device serial1/, 'state of a device that is not there');
changed(
    sub {
        $_[0]->change('DEVI', 0, [qw(state receive)], sub { @{ $_[0] }{qw(count value)} = (4000, 'x' x 4000) });
        ();
    },
    qr/DEVI 0: .*receive/,
    'more bytes in a FIFO than it has room for'
);
changed(
    sub {
        $_[0]->change('DEVI', 0, [qw(state receive)], sub { $_[0]{count} = 0xfffffff0 });
        ();
    },
    qr/section DEVI 0: an item extends past the end of its parent/,
    'a count past the end'
);
changed(sub { push @{ $_[0]{rows} }, { %{ $_[0]->row('DEVI', 0) }, index => 1 }; () },
    qr/state of 2 devices, the machine has 1/, 'state of one device too many');
changed(sub { $_[0]{rows} = [ grep { $_->{tag} ne 'VMVM' } @{ $_[0]{rows} } ]; () },
    qr/section VMVM is missing/, 'a section left out');
changed(
    sub {
        $_[0]->change('MEMR', 0, [qw(regions 0 gpa)], sub { number($_[0], 0x10000) });
        ();
    },
    qr/section MEMR 0: it has 0x4000 bytes of memory at 0x10000, the machine has 0x4000 at 0x1000/,
    'memory elsewhere than the config says'
);
changed(sub { $_[0]->change('VCPU', 0, [qw(regs)], sub { $_[0]{name} = 'rugs' }); () },
    qr/section VCPU 0: regs is missing/, 'a vCPU without registers');
changed(sub { $_[0]->change('CONF', 0, [qw(devices 0 plugin)], sub { $_[0]{value} = 'sorial' }); () },
    qr/plugin sorial: no sorial\.so in /, 'a plugin that this host does not have');
changed(sub { $_[0]->change('CONF', 0, [qw(devices 0 plugin)], sub { $_[0]{value} = './evil' }); () },
    qr/\.\/evil/, 'a plugin by path');
ok(!-e 'evil', 'which is not made');

# Host files that it names are opened only when they are given again, or trusted.
ok(take('file.snap', 'simple.ini', 'rip:0x1005', '--set', 'device.serial0.output=file:said'), 'with a file as output');
unlink 'said';
fails([ $minivmm, '-r', 'file.snap' ],
    112, qr/device serial0 .*file:said: add --set device\.serial0\.output=\.\.\. or --trust/, 'a host file');
ok(!-e 'said', 'which is not made');
($status, $out) = run([ $minivmm, '-r', 'file.snap', '--set', 'device.serial0.output=stdio' ]);
is("$status:$out", "0:4\n", 'given again: another');
ok(!-e 'said', 'and not the one in the snapshot');
($status, $out) = run([ $minivmm, '-r', 'file.snap', '--trust' ]);
is("$status:$out:" . slurp('said'), "0::4\n", 'trusted');

# A restored machine may be saved over the file that its memory is mapped from.
for my $at (qw(0x1007 0x1008)) {
    ($status, $out, $err) = run([ $minivmm, '-r', 'a.snap', '--save', 'a.snap', '--until', "rip:$at" ]);
    is("$status:$out", '0:' . ($at eq '0x1008' ? '4' : ''), "saved over itself at $at") or diag($err);
}
($status, $out) = run([ $minivmm, '-r', 'a.snap' ]);
is("$status:$out", "0:\n", 'and restored from there');
ok(take('a.snap', 'simple.ini', 'rip:0x1005'), 'an old one is replaced');

# Hostile text and names come out harmless, as text and as JSON.
{
    my $copy = Snapshot->load('a.snap');
    $copy->change('HOST', 0, ['cpu_name'],
        sub { @{ $_[0] }{qw(value count)} = ("\e[31m\"\\\xff\n", 9) });
    $copy->save('hostile.snap');
    ($status, $out, $err) = run([ $minivmm, 'inspect', 'hostile.snap' ]);
    is($status, 0, 'hostile text can be inspected') or diag($err);
    unlike($out, qr/[^\n\x20-\x7e]/, 'and does not reach the terminal');
    ($status, $out) = run([ $minivmm, 'inspect', 'hostile.snap', '--json' ]);
    my $json = eval { decode_json($out) };
    is($@, '', 'JSON is valid');
    is($json->{host}{cpu_name}, "\e[31m\"\\\xff\n", 'and says what is there');
}

# Written where it cannot be.
unlink glob '*.snap';
mkdir 'out';
spew('out/b.snap', $good);
my @write = ($minivmm, '-c', "$configs/simple.ini", '--save', 'out/b.snap', '--until', 'rip:0x1005');

# A snapshot that fails leaves the old file whole and nothing beside it.
sub unharmed {
    my ($name) = @_;
    is(names('out'), 'b.snap', "$name: nothing left behind");
    ok(slurp('out/b.snap') eq $good, "$name: the old file is whole");
}
my %preload = (LD_PRELOAD => "$build/tests/preload/faultfs.so", FAULT_PATH => 'out');
for my $fault (
    [ 'tmpfile:1:EIO', 'creating a file in its directory: Input/output error' ],
    [ 'ftruncate:1:ENOSPC', 'sizing: No space left on device; make room there' ],
    [ 'ftruncate:1:EIO', 'sizing: Input/output error' ],
    [ 'write:1:ENOSPC', 'writing: No space left on device; make room there' ],
    [ 'write:1:EIO', 'writing: Input/output error' ],
    [ 'write:2:ENOSPC', 'writing: No space left' ],
    [ 'write:2:EIO', 'writing: Input/output error' ],
    [ 'fsync:1:EIO', 'syncing: Input/output error' ],
    [ 'close:1:EIO', 'closing: Input/output error' ],
    [ 'rename:1:EIO', 'renaming: Input/output error' ],
  )
{
    my ($plan, $message) = @$fault;
    fails(\@write, 113, qr/cannot write snapshot out\/b\.snap: \Q$message\E/, $plan, %preload, FAULT => $plan);
    unharmed($plan);
}
for my $plan ('write:1:SHORT', 'write:2:SHORT', 'write:1:EINTR') {
    ($status, $out, $err) = run(\@write, %preload, FAULT => $plan);
    is($status, 0, "$plan is made good") or diag($err);
    ($status) = run([ $minivmm, 'verify', 'out/b.snap' ]);
    is($status, 0, "$plan: and the file is right");
    spew('out/b.snap', $good);
}
fails(\@write, 113, qr/out\/b\.snap is written, but a crash may lose it: /, 'fsync of the folder fails',
    %preload, FAULT => 'fsync:2:EIO');
is(names('out'), 'b.snap', 'fsync of the folder: nothing left behind');
spew('out/b.snap', $good);
for my $call (qw(ftruncate write fsync rename)) {
    ($status) = run(\@write, %preload, FAULT => "$call:1:KILL");
    is($status, 1009, "killed at $call");
    ok(slurp('out/b.snap') eq $good, "killed at $call: the old file is whole");
    is(scalar(() = names('out') =~ /\.b\.snap/g), $call eq 'rename' ? 1 : 0, "killed at $call: what is left behind");
    unlink glob 'out/.b.snap.*';
}
fails([ @write[ 0 .. 3 ], 'out', @write[ 5 .. 6 ] ], 113, qr/cannot write snapshot out: it is a directory; /, 'a folder');
fails([ @write[ 0 .. 3 ], 'none/x', @write[ 5 .. 6 ] ],
    113, qr/cannot write snapshot none\/x: creating a file in its directory: No such file or directory/, 'no such folder');
unharmed('other targets');

# A link to what is not there yet stays a link.
symlink 'out/c.snap', 'link.snap';
ok(take('link.snap', 'simple.ini', 'rip:0x1005') && -l 'link.snap' && -f 'out/c.snap', 'through a link to nothing');
symlink 'link.snap', 'links.snap';
unlink 'out/c.snap';
ok(take('links.snap', 'simple.ini', 'rip:0x1005') && -l 'links.snap' && -l 'link.snap' && -f 'out/c.snap', 'through two links to nothing');
unlink 'out/c.snap';

# A file size limit, which comes with a signal.
($status, $out, $err) = run([ 'sh', '-c', 'ulimit -f 16; exec "$@"', 'sh', @write ]);
is($status, 113, 'a file size limit is an error, not a death') or diag($err);
like($err, qr/cannot write snapshot out\/b\.snap: (sizing|writing): File too large/, 'and says so');
unharmed('file size limit');

# A disk that is full for real.
SKIP: {
    my $mounted = system("unshare -m sh -c 'mount -t tmpfs none out' 2>/dev/null") == 0;
    skip 'needs the right to mount', 3 if !$mounted;
    for my $size (4, 8, 16, 24) {
        mkdir 'small';
        ($status, $out, $err) = run([
            'unshare', '-m', 'sh', '-c',
            'mount -t tmpfs -o size=40k none small && cp out/b.snap small && '
              . "dd if=/dev/zero of=small/filler bs=1k count=$size 2>/dev/null; " . '"$@"; status=$?; '
              . 'cmp small/b.snap out/b.snap >&2 && ls -A small | tr "\n" " " >&2; exit $status',
            'sh', @write[ 0 .. 3 ], 'small/b.snap', @write[ 5 .. 6 ]
        ]);
        is($status, 113, "a full disk, ${size}K taken") or diag($err);
        like(
            $err,
            qr/\Aminivmm: cannot write snapshot small\/b\.snap: [a-z]+: No space left on device; make room there\nb\.snap filler \z/,
            "a full disk, ${size}K taken: said, the old file is whole, nothing left behind"
        );
    }
}

# Reading goes wrong.
fails([ $minivmm, '-r', 'out/b.snap' ], 113, qr/cannot read snapshot out\/b\.snap: Input\/output error/,
    'EIO while the header is read', %preload, FAULT => 'read:1:EIO');
fails([ $minivmm, '-r', 'out/b.snap' ], 113, qr/cannot read snapshot out\/b\.snap: Input\/output error/,
    'EIO while the rest is read', %preload, FAULT => 'read:2:EIO');
fails([ $minivmm, '-r', 'out/b.snap' ], 111, qr/cannot map 0x4000 bytes of saved memory: Cannot allocate memory/,
    'memory that can not be mapped', %preload, FAULT => 'mmap:1:ENOMEM');
fails([ $minivmm, 'verify', 'out/b.snap' ], 113, qr/cannot read snapshot out\/b\.snap: Input\/output error/,
    'EIO while memory is verified', %preload, FAULT => 'read:3:EIO');
($status, $out) = run([ $minivmm, '-r', 'out/b.snap' ], %preload, FAULT => 'read:2:SHORT');
is("$status:$out", "0:4\n", 'a short read is made good');

done_testing();
