#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Bad snapshot files: damaged, truncated, hostile, of another version; and writing without room.
use v5.14;
use warnings;
use lib 'tests/lib';

use JSON::PP;
use Minivmm;
use Snapshot;
use Test::More;

# Writes a snapshot of a config at a point.
sub take {
    my ($file, $config, $at, @more) = @_;
    my ($status, $out, $err) =
      run([ $minivmm, '-c', "$configs/$config", '--save', $file, '--until', $at, @more ]);
    return $status == 0 && -e $file ? 1 : diag("status $status: $err");
}

# A valid snapshot.
ok(take('a.snap', 'simple.ini', 'rip:0x1005'), 'a snapshot is written');
my ($status, $out, $err) = run([ $minivmm, '-r', 'a.snap' ]);
is("$status:$out", "0:4\n", 'the snapshot can be restored');
my $good = slurp('a.snap');
my $length = length $good;
my $snapshot = Snapshot->load('a.snap');
is($snapshot->{version}, 1, 'its header is as documented');
is(join(' ', map { "$_->{tag}$_->{index}" } @{ $snapshot->{rows} }),
    'HOST0 NAME0 CONF0 TIME0 DEVI0 VCPU0 VMVM0 MEMR0 SUMS0', 'its sections are as documented');
is($snapshot->{memory} =~ /\A\xba\xf8\x03\x00\xd8/, 1, 'memory begins with the guest');
$snapshot->save('b.snap');
is(slurp('b.snap'), $good, "parsed and written by the test's code, it is the same");
($status, $out) = run([ $minivmm, 'verify', 'a.snap' ]);
is("$status:$out", "0:a.snap: all checksums are correct\n", 'verify accepts it');

# Damage.
($status, $out, $err) = run([ "$build/tests/tools/damage", 'a.snap' ]);
is($status, 0, 'refused: every flipped byte before the memory, and every truncation') or diag($out, $err);
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
        112, qr/memory from 0x1000 to 0x4fff does not match/, 'verify detects a flipped bit of memory');
}

# Another version, other plugins, hostile contents: with valid checksums.
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
changed(sub { (parent => 'x' x 16) }, qr/it has a parent or a page bitmap, but not both/, 'a parent in a full snapshot');
changed(sub { $_[0]->row('HOST', 0)->{tag} = 'NEWS'; () },
    qr/a section NEWS that this minivmm does not know/, 'an unknown section');
changed(sub { $_[0]->change('DEVI', 0, ['version'], sub { number($_[0], 7) }); () },
    qr/section DEVI 0: device serial0 has state version 7, plugin serial \(.*\) reads up to \d+: /,
    'state of a newer plugin');
changed(sub { $_[0]->change('DEVI', 0, ['plugin'], sub { $_[0]{value} = 'sorial' }); () },
    qr/DEVI 0: device serial0 was saved by plugin sorial, but its plugin here is serial/, 'state of another plugin');
changed(sub { $_[0]->change('DEVI', 0, ['name'], sub { $_[0]{value} = 'serial1' }); () },
    qr/DEVI 0: the config has no device serial1/, 'state of a missing device');
changed(
    sub {
        $_[0]->change('DEVI', 0, [qw(state receive)], sub { @{ $_[0] }{qw(count value)} = (4000, 'x' x 4000) });
        ();
    },
    qr/DEVI 0: .*receive/,
    'more bytes than a FIFO can hold'
);
changed(
    sub {
        $_[0]->change('DEVI', 0, [qw(state receive)], sub { $_[0]{count} = 0xfffffff0 });
        ();
    },
    qr/section DEVI 0: an item extends past the end of its parent/,
    'a count beyond the end'
);
changed(sub { push @{ $_[0]{rows} }, { %{ $_[0]->row('DEVI', 0) }, index => 1 }; () },
    qr/state of 2 devices, the machine has 1/, 'state of an additional device');
changed(sub { $_[0]{rows} = [ grep { $_->{tag} ne 'VMVM' } @{ $_[0]{rows} } ]; () },
    qr/section VMVM is missing/, 'a missing section');
changed(
    sub {
        $_[0]->change('MEMR', 0, [qw(regions 0 gpa)], sub { number($_[0], 0x10000) });
        ();
    },
    qr/section MEMR 0: it has 0x4000 bytes of memory at 0x10000, the machine has 0x4000 at 0x1000/,
    'memory at another address than in the config'
);
changed(sub { $_[0]->change('VCPU', 0, [qw(regs)], sub { $_[0]{name} = 'rugs' }); () },
    qr/section VCPU 0: regs is missing/, 'a vCPU without registers');
changed(sub { $_[0]->change('CONF', 0, [qw(devices 0 plugin)], sub { $_[0]{value} = 'sorial' }); () },
    qr/plugin sorial: no sorial\.so in /, 'a plugin that this host does not have');
changed(sub { $_[0]->change('CONF', 0, [qw(devices 0 plugin)], sub { $_[0]{value} = './evil' }); () },
    qr/\.\/evil/, 'a plugin by path');
ok(!-e 'evil', 'the file is not created');

# Host files named by a snapshot are opened only if it is trusted or the option is given again.
ok(take('file.snap', 'simple.ini', 'rip:0x1005', '--set', 'device.serial0.output=file:said'), 'with a file as output');
unlink 'said';
fails([ $minivmm, '-r', 'file.snap' ],
    112, qr/device serial0 .*file:said: add --set device\.serial0\.output=\.\.\. or --trust/, 'a host file');
ok(!-e 'said', 'the file is not created');
($status, $out) = run([ $minivmm, '-r', 'file.snap', '--set', 'device.serial0.output=stdio' ]);
is("$status:$out", "0:4\n", 'another file is given by --set');
ok(!-e 'said', 'the file in the snapshot is not created');
($status, $out) = run([ $minivmm, '-r', 'file.snap', '--trust' ]);
is("$status:$out:" . slurp('said'), "0::4\n", 'trusted');

# A restored machine can be saved over the file that its memory is mapped from.
for my $at (qw(0x1007 0x1008)) {
    ($status, $out, $err) = run([ $minivmm, '-r', 'a.snap', '--save', 'a.snap', '--until', "rip:$at" ]);
    is("$status:$out", '0:' . ($at eq '0x1008' ? '4' : ''), "saved over itself at $at") or diag($err);
}
($status, $out) = run([ $minivmm, '-r', 'a.snap' ]);
is("$status:$out", "0:\n", 'the new file can be restored');
ok(take('a.snap', 'simple.ini', 'rip:0x1005'), '--save replaces an older snapshot');

# Hostile text and names are escaped in text and JSON output.
{
    my $copy = Snapshot->load('a.snap');
    $copy->change('HOST', 0, ['cpu_name'],
        sub { @{ $_[0] }{qw(value count)} = ("\e[31m\"\\\xff\n", 9) });
    $copy->save('hostile.snap');
    ($status, $out, $err) = run([ $minivmm, 'inspect', 'hostile.snap' ]);
    is($status, 0, 'hostile text can be inspected') or diag($err);
    unlike($out, qr/[^\n\x20-\x7e]/, 'control characters are escaped');
    ($status, $out) = run([ $minivmm, 'inspect', 'hostile.snap', '--json' ]);
    my $json = eval { numbers(decode_json($out)) };
    is($@, '', 'JSON is valid');
    is($json->{host}{cpu_name}, "\e[31m\"\\\xff\n", 'JSON has the text');
}

# Targets that cannot be written.
unlink glob '*.snap';
mkdir 'out';
spew('out/b.snap', $good);
my @write = ($minivmm, '-c', "$configs/simple.ini", '--save', 'out/b.snap', '--until', 'rip:0x1005');

# A failed snapshot keeps the old file and leaves no other file.
sub unharmed {
    my ($name) = @_;
    is(names('out'), 'b.snap', "$name: no other file is left");
    ok(slurp('out/b.snap') eq $good, "$name: the old file is unchanged");
}
my %preload = (LD_PRELOAD => "$build/tests/preload/faultfs.so", FAULT_PATH => 'out');
# Before the new file, the old one is closed twice, and its directory once: at the start and before
# the snapshot, it is checked that the old one is a snapshot.
for my $fault (
    [ 'tmpfile:1:EIO', 'creating a file in its directory: Input/output error' ],
    [ 'ftruncate:1:ENOSPC', 'sizing: No space left on device; make room there' ],
    [ 'ftruncate:1:EIO', 'sizing: Input/output error' ],
    [ 'write:1:ENOSPC', 'writing: No space left on device; make room there' ],
    [ 'write:1:EIO', 'writing: Input/output error' ],
    [ 'write:2:ENOSPC', 'writing: No space left' ],
    [ 'write:2:EIO', 'writing: Input/output error' ],
    [ 'fsync:1:EIO', 'syncing: Input/output error' ],
    [ 'close:4:EIO', 'closing: Input/output error' ],
    [ 'rename:1:EIO', 'renaming: Input/output error' ],
  )
{
    my ($plan, $message) = @$fault;
    fails(\@write, 113, qr/cannot write snapshot out\/b\.snap: \Q$message\E/, $plan, %preload, FAULT => $plan);
    unharmed($plan);
}
for my $plan ('write:1:SHORT', 'write:2:SHORT', 'write:1:EINTR') {
    ($status, $out, $err) = run(\@write, %preload, FAULT => $plan);
    is($status, 0, "$plan: the snapshot succeeds") or diag($err);
    ($status) = run([ $minivmm, 'verify', 'out/b.snap' ]);
    is($status, 0, "$plan: the file is right");
    spew('out/b.snap', $good);
}
fails(\@write, 113, qr/out\/b\.snap is written, but a crash may lose it: /, 'fsync of the folder fails',
    %preload, FAULT => 'fsync:2:EIO');
is(names('out'), 'b.snap', 'fsync of the folder: no other file is left');
spew('out/b.snap', $good);
for my $call (qw(ftruncate write fsync rename)) {
    ($status) = run(\@write, %preload, FAULT => "$call:1:KILL");
    is($status, 1009, "killed at $call");
    ok(slurp('out/b.snap') eq $good, "killed at $call: the old file is unchanged");
    is(scalar(() = names('out') =~ /\.b\.snap/g), $call eq 'rename' ? 1 : 0, "killed at $call: the files that are left");
    unlink glob 'out/.b.snap.*';
}
fails([ @write[ 0 .. 3 ], 'out', @write[ 5 .. 6 ] ], 113, qr/cannot write snapshot out: it is a directory; /, 'refused: a folder as target');
fails([ @write[ 0 .. 3 ], 'none/x', @write[ 5 .. 6 ] ],
    113, qr/cannot write snapshot none\/x: creating a file in its directory: No such file or directory/, 'refused: a missing folder');
unharmed('other targets');

# A symbolic link is refused, whether its target exists or not.
for ('out/b.snap', 'out/c.snap') {
    symlink $_, 'link.snap';
    fails([ @write[ 0 .. 3 ], 'link.snap', @write[ 5 .. 6 ] ],
        113, qr/cannot write snapshot link\.snap: it is a symbolic link; name the file itself$/, "refused: a link to $_");
    unlink 'link.snap';
}
unharmed('symbolic links');

# The file size limit, whose signal must not end the process.
($status, $out, $err) = run([ 'sh', '-c', 'ulimit -f 16; exec "$@"', 'sh', @write ]);
is($status, 113, 'a write beyond the file size limit fails') or diag($err);
like($err, qr/cannot write snapshot out\/b\.snap: (sizing|writing): File too large/, 'the message names the limit');
unharmed('file size limit');

# A full disk, without fault injection.
SKIP: {
    my $mounted = system("unshare -m sh -c 'mount -t tmpfs none out' 2>/dev/null") == 0;
    skip 'mounting a file system is not allowed here', 3 if !$mounted;
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
            "a full disk, ${size}K taken: reported, the old file is unchanged, no other file is left"
        );
    }
}

# Read errors.
fails([ $minivmm, '-r', 'out/b.snap' ], 113, qr/cannot read snapshot out\/b\.snap: Input\/output error/,
    'refused: EIO in a read of the header', %preload, FAULT => 'read:1:EIO');
fails([ $minivmm, '-r', 'out/b.snap' ], 113, qr/cannot read snapshot out\/b\.snap: Input\/output error/,
    'refused: EIO in a later read', %preload, FAULT => 'read:2:EIO');
fails([ $minivmm, '-r', 'out/b.snap' ], 111, qr/cannot map 0x4000 bytes of saved memory: Cannot allocate memory/,
    'refused: memory that cannot be mapped', %preload, FAULT => 'mmap:1:ENOMEM');
fails([ $minivmm, 'verify', 'out/b.snap' ], 113, qr/cannot read snapshot out\/b\.snap: Input\/output error/,
    'verify: EIO in a read of memory', %preload, FAULT => 'read:3:EIO');
($status, $out) = run([ $minivmm, '-r', 'out/b.snap' ], %preload, FAULT => 'read:2:SHORT');
is("$status:$out", "0:4\n", 'a short read is continued');

done_testing();
