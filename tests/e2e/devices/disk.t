#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# Disk layers: writes go to the top layer, and a snapshot contains the disk at one instant, whatever
# is written later.
use v5.14;
use warnings;
use lib 'tests/lib';

use Fcntl qw(F_RDLCK F_WRLCK);
use Control;
use Minivmm;
use Test::More;
use Time::HiRes 'time';

my $raw = slurp("$top/guests/disk.bin");

# The output of configs/disk.ini's guest after a number of letters; without a number, at its end.
sub disk {
    my ($letters) = @_;
    my $disk = $raw;
    substr($disk, 512 * (1 + 5 * $_), 512) = chr(ord('A') + $_) x 512 for 0 .. ($letters // 6) - 1;
    substr($disk, 512 * 21, 512 * 11) = "\0" x (512 * 11) if !defined $letters;
    return $disk;
}
my $sum = 0;
$sum += $_ for unpack '(Vx60)*', disk();
my $said = sprintf "ABCDEF %08x\n", $sum & 0xffffffff;

sub fresh { unlink glob('*'); spew('disk.img', $raw) }

# The command for configs/disk.ini with the disk in this folder, more keys of the disk, and options.
sub machine {
    my ($keys, @options) = @_;
    my %keys = (path => 'disk.img', temporary => 'no', %$keys);
    return [ $minivmm, '-c', "$configs/disk.ini", map({ ('--set', "device.disk0.$_=$keys{$_}") } sort keys %keys), @options ];
}

sub says {
    my ($command, $expected, $name) = @_;
    my ($status, $out, $err) = run($command);
    return is("$status:$out", "0:$expected", $name) || diag($err);
}
my @snap = ('--at', 'output:serial0:C', '--save', 'c.snap');

fresh();
says(machine({}), $said, 'a file');
is(slurp('disk.img'), disk(), 'the file has the writes');

fresh();
says(machine({ temporary => 'yes' }), $said, 'a run with a temporary overlay');
is(slurp('disk.img'), $raw, 'the disk is unchanged');
is(names(), 'disk.img', 'the overlay is removed');

for my $io (qw(threads io_uring)) {
    fresh();
    says(machine({ io => $io }), $said, "the file, by $io");
    is(slurp('disk.img'), disk(), 'the file has the writes');
    fresh();
    says(machine({ io => $io, overlay => 'o' }), $said, "an overlay, by $io");
    is(slurp('disk.img'), $raw, 'the disk is unchanged');
    says(machine({ io => $io, overlay => 'o', readonly => 'no' }, '--trace', 'trace'), $said, "an overlay, by $io, with --trace");
}

fresh();
says(machine({ overlay => 'here.ovl' }), $said, 'a new overlay');
is(slurp('disk.img'), $raw, 'the disk is unchanged');
ok((stat 'here.ovl')[12] * 512 <= 40960, 'the overlay takes room only for the writes');
says(machine({ overlay => 'here.ovl' }), $said, 'a second run continues with the overlay');
says(machine({ layers => 'here.ovl', temporary => 'yes' }), $said, 'an overlay below another overlay');
is(slurp('disk.img'), $raw, 'the disk is unchanged');

for my $how ([ 'the file itself', {} ], [ 'an overlay', { overlay => 'o' } ], [ 'a temporary overlay', { temporary => 'yes' } ],
    [ 'the file itself, by io_uring', { io => 'io_uring' } ],
    [ 'with a limit', { rate => '500/s, 1M/s', burst => '1', io => 'io_uring' } ],
    [ 'an overlay, by threads', { overlay => 'o', io => 'threads', queues => 4 } ],
    [ 'an overlay, by io_uring', { overlay => 'o', io => 'io_uring', queues => 4 } ]) {
    my ($name, $keys) = @$how;
    fresh();
    says(machine($keys, @snap), $said, "$name: a snapshot during the run");
    is(slurp('disk.img'), $keys->{overlay} || $keys->{temporary} ? $raw : disk(3), "$name: the disk keeps its state at the snapshot");
    my @held = map { slurp($_) } glob '*';
    says([ $minivmm, '-r', 'c.snap', '--trust' ], substr($said, 3), "$name: the restored machine continues") for 1, 2;
    is_deeply([ map { slurp($_) } glob '*' ], \@held, "$name: restored machines do not change the files");
    says([ $minivmm, '-r', 'c.snap', '--trust', '--at', 'output:serial0:E', '--save', 'e.snap' ],
        substr($said, 3), "$name: a snapshot of the restored machine");
    says([ $minivmm, '-r', 'e.snap', '--trust' ], substr($said, 5), "$name: the second snapshot can be restored") for 1, 2;
    says([ $minivmm, '-r', 'c.snap', '--trust', '--set', 'device.disk0.overlay=mine' ],
        substr($said, 3), "$name: a restore with overlay=");
    says([ $minivmm, '-r', 'c.snap', '--trust' ], substr($said, 3), "$name: a restore without overlay= still works");
    fails([ $minivmm, '-r', 'c.snap', '--trust', '--set', 'device.disk0.overlay=mine' ],
        113, qr/mine: it exists already/, "$name: refused: another machine's overlay");
}

# Files named by a snapshot are opened only if the snapshot is trusted or the option is given again.
my ($status, $out, $err) = run([ $minivmm, '-r', 'e.snap', '--set', 'device.disk0.path=disk.img' ]);
is($status, 112, 'refused: the layers of an untrusted snapshot');
like($err, qr/names a host resource, layers = \S+:\S+: add --set/, 'the message names the layers');

# A disk that has changed since the snapshot. changed = accept accepts it if it has the same size.
fresh();
says(machine({}, @snap), $said, 'a run with a snapshot');
utime 1, 1, 'disk.img';
fails([ $minivmm, '-r', 'c.snap', '--trust' ], 113, qr/was modified after the snapshot, or is a copy/, 'refused: a disk that has changed');
says([ $minivmm, '-r', 'c.snap', '--trust', '--set', 'device.disk0.changed=accept' ], substr($said, 3), 'accepted: a disk that has changed');
spew('disk.img', $raw . "\0" x 4096);
fails([ $minivmm, '-r', 'c.snap', '--trust', '--set', 'device.disk0.changed=accept' ],
    113, qr/has 20480 bytes, but 16384 in the snapshot/, 'refused: a disk of another size');

# In a batch each run reads the disk as in the snapshot.
fresh();
says(machine({ overlay => 'o' }, @snap), $said, 'a snapshot for the batch');
spew("in$_", '') for 1 .. 5;
($status, $out, $err) = run([ $minivmm, 'batch', '-r', 'c.snap', '--trust', '--check', '--input', 'serial0', map({ "in$_" } 1 .. 5) ]);
is($status, 0, 'a batch') or diag($err);
is(scalar(() = $out =~ /"output":"DEF [0-9a-f]{8}/g), 5, 'each run reads the original disk') or diag($out, $err);

# Limits: the guest makes 45 requests and moves 12.5 KiB.
for my $limit ([ '100/s', 1, 0.4 ], [ '60K/s', '1K', 0.4 ], [ '1M/s, 100/s', '10K, 1', 0.4 ], [ '1000/s', '', 0 ]) {
    my ($rate, $burst, $least) = @$limit;
    for my $io (qw(sync io_uring)) {
        fresh();
        my $begin = time;
        says(machine({ rate => $rate, burst => $burst, io => $io }), $said, "limited to $rate, by $io: the output");
        cmp_ok(time - $begin, '>=', $least, 'the limit makes the run longer');
    }
}
fails(machine({ rate => 'fast' }), 110, qr/rate = fast is not valid; use bytes \(100M\/s/, 'refused: an invalid limit');
fails(machine({ burst => '1M' }), 110, qr/burst = 1M is for bytes, which rate does not limit/, 'refused: a burst without a limit');

# When the host's disk fails, the guest's request fails and the guest triple faults; flushed writes
# stay.
my %faults = (LD_PRELOAD => "$build/tests/preload/faultfs.so", FAULT_PATH => '/o');
for my $fault ([ 'write:5:EIO', 'Input/output error' ], [ 'write:4:ENOSPC', 'No space left on device' ], [ 'read:6:EIO', 'Input/output error' ],
    [ 'fdatasync:1:EIO', 'Input/output error' ]) {
    my ($plan, $message) = @$fault;
    for my $io (qw(auto sync threads)) {
        fresh();
        ($status, $out, $err) = run(machine({ overlay => 'o', io => $io }), %faults, FAULT => $plan);
        is($status, 100, "$plan, by $io: the guest's request fails");
        like($err, qr/disk0: cannot (read|write) the disk \S*disk\.img at 0x[0-9a-f]+: \Q$message\E/, "$plan, by $io: the error is logged");
        says(machine({ overlay => 'o', io => $io }), $said, "$plan, by $io: the overlay is valid");
    }
}

# By io = auto: reads that would wait, all or one, and a file system that cannot tell.
for my $plan ('nowait:0:EAGAIN', 'nowait:3:EAGAIN', 'nowait:0:EOPNOTSUPP') {
    for my $keys ({}, { overlay => 'o' }) {
        fresh();
        ($status, $out, $err) = run(machine($keys), %faults, FAULT_PATH => '/', FAULT => $plan);
        is("$status:$out", "0:$said", join(' ', $plan, %$keys)) or diag($err);
    }
}
fresh();
fails(machine({ io => 'io_uring' }), 113, qr/cannot use io_uring on this host: Operation not permitted; set io = threads/,
    'io_uring is not allowed here', %faults, FAULT => 'io_uring_queue_init:1:EPERM');

# A snapshot that fails while the disk's state is preserved, at the new overlay or at the one that
# is kept; then a snapshot that succeeds.
for my $n (1 .. 3) {
    fresh();
    my $process = start(machine({ overlay => 'o', rate => '100/s', burst => 1 }, '--set', 'control.socket=sock'), %faults, FAULT => '@plan');
    until_true { heard($process) =~ /B/ };
    my $control = Control->connect('sock');
    $control->request('pause');
    spew('plan', "write:$n:EIO");
    my $reply = $control->request('snapshot none.snap');
    ok(!$reply->{ok} && !-e 'none.snap', "write $n fails: no snapshot is written") or diag(explain($reply));
    ok(!-e 'plan', 'the injected failure occurred');
    ok($control->request('snapshot some.snap')->{ok}, 'the next snapshot succeeds');
    $control->request('resume');
    ($status, $out, $err) = finish($process);
    is("$status:$out", "0:$said", 'the machine continues') or diag($err);
    ($status, $out, $err) = run([ $minivmm, '-r', 'some.snap', '--trust' ]);
    is("$status:$out", "0:" . substr($said, -length $out), 'the snapshot can be restored with its disk') or diag($err);
}

# Only one machine at a time can write a disk, and none can while another reads it.
fresh();
for my $lock ([ F_WRLCK, 'written', 1, 1 ], [ F_RDLCK, 'read', 0, 1 ]) {
    my ($type, $name, $no_read, $no_write) = @$lock;
    open my $other, '+<', 'disk.img' or die $!;
    fcntl $other, 37, pack('s s x4 q q i x4', $type, 0, 0, 0, 0) or die "F_OFD_SETLK: $!";
    my @read = (machine({ temporary => 'yes' }), 113, qr/another machine or device writes to it/, "a disk that is $name cannot be read");
    $no_read ? fails(@read) : says($read[0], $said, "a disk that is $name can be read");
    my $why = $no_read ? qr/another machine or device writes to it: end the machine, remove the device, or use a copy/
        : qr/another machine or device reads it: set readonly = yes, or overlay = FILE to write to another file/;
    fails(machine({}), 113, $why, "a disk that is $name cannot be written");
    next if $no_read;
    says(machine({ overlay => 'mine' }), $said, 'overlay = FILE is not refused');
    unlike((run(machine({ readonly => 'yes' })))[2], qr/cannot use the disk/, 'nor is readonly = yes');
}

# A file in another program's format is named, and still used: a guest can write any header to its
# raw disk.
for (
    [ qcow2 => "QFI\xfb\0\0\0\3", qr/is a qcow2 disk image, .*: convert it with qemu-img convert -O raw; or set format = raw$/m ],
    [ gzip => "\x1f\x8b\x08", qr/is compressed with gzip, .*: decompress it with gzip -dc FILE >NEW; or set format = raw$/m ],
    [ overlay => "MVMMOVL\x1a", qr/is an overlay of a virtio-blk device, .*: name the disk below it as path, and it as overlay; or set format = raw$/m ],
    [ nothing => 'QFI', undef ],
  ) {
    my ($name, $head, $warning) = @$_;
    fresh();
    spew('disk.img', $head . substr($raw, length $head));
    my ($status, $out, $err) = run(machine({ temporary => 'yes' }, @snap));
    is($status, 0, "$name: the machine runs");
    $warning ? like($err, $warning, "$name: a warning") : unlike($err, qr/warning/, "$name: no warning");
    unlike((run(machine({ temporary => 'yes', format => 'raw' })))[2], qr/begins like/, "$name: no warning with format = raw");
    unlike((run([ $minivmm, '-r', 'c.snap', '--trust' ]))[2], qr/begins like/, "$name: no warning after a restore");
}
fresh();
fails(machine({ format => 'vdi' }), 110, qr{format = vdi: convert the image to raw with qemu-img, and leave format out$}m,
    'another format than raw');

# Invalid overlays.
fresh();
run(machine({ overlay => 'o' }, @snap));
my $overlay = slurp('o');
for my $bad (
    [ 'truncated', substr($overlay, 0, 40), qr/too short/ ],
    [ 'another magic', "\0" . substr($overlay, 1), qr/is not an overlay/ ],
    [ 'another version', substr($overlay, 0, 8) . "\2" . substr($overlay, 9), qr/version/ ],
    [ 'another size', substr($overlay, 0, 16) . "\0\x50" . substr($overlay, 18), qr/another size/ ],
    [ 'data at another offset', substr($overlay, 0, 24) . "\1" . substr($overlay, 25), qr/another size/ ],
    [ 'over another disk', substr($overlay, 0, 48) . "\1" . substr($overlay, 49), qr/another layer/ ],
) {
    my ($name, $bytes, $message) = @$bad;
    spew('bad', $bytes);
    fails(machine({ layers => 'bad', temporary => 'yes' }), 113, $message, "refused: an overlay, $name");
}
spew('empty', '');
says(machine({ overlay => 'empty' }), $said, 'an empty file, which a killed machine leaves, is a new overlay');
like(slurp('empty'), qr/\AMVMMOVL/, 'it contains the writes');
spew('raw.img', $raw);
fails(machine({ overlay => 'raw.img' }), 113, qr/cannot use the overlay raw\.img: it is not an overlay: its first bytes are wrong; name another file$/,
    'refused: a disk as an overlay');
is(slurp('raw.img'), $raw, 'it is unchanged');
fails(machine({ overlay => 'o' }), 113, qr/it belongs to a snapshot/, 'refused: an overlay that a snapshot uses');
fails(machine({ layers => 'o' }), 113, qr/set overlay = FILE/, 'refused: writable lower layers');
fails(machine({ overlay => 'o', readonly => 'yes' }), 110, qr/exclude each other/, 'refused: an overlay that cannot be written');
fails(machine({ overlay => 'no/o' }), 113, qr{cannot open no/o for writing: No such file}, 'no such folder');
fails(machine({ path => '.' }), 113, qr/neither a file nor a block device|Is a directory/, 'refused: a folder');
spew('small', 'x' x 511);
fails(machine({ path => 'small' }), 113, qr/smaller than a sector/, 'refused: a disk smaller than a sector');

# A machine that cannot start leaves no overlay: the next one does not find it. One that did not
# create it leaves it.
fresh();
says(machine({ overlay => 'o' }, @snap), $said, 'a snapshot to restore');
my @restored = ($minivmm, '-r', 'c.snap', '--trust', '--set', 'device.disk0.overlay=n');
for my $command (machine({ overlay => 'n' }), \@restored) {
    my @failing = (@$command, '--set', 'control.socket=nowhere/s');
    fails(\@failing, 113, qr/nowhere/, 'a control socket that cannot be created');
    ok(!-e 'n', 'the overlay is removed');
    is((run($command))[0], 0, 'a second attempt succeeds');
    fails(\@failing, 113, qr/nowhere|exists already/, 'a start that fails with an old overlay');
    ok(-e 'n', 'it stays');
    unlink 'n';
}

# A machine that is killed while it creates its overlay: the next one can use it.
for my $call (1 .. 2) {
    fresh();
    my %kill = (LD_PRELOAD => "$build/tests/preload/faultfs.so", FAULT_PATH => '/o');
    my ($status) = run(machine({ overlay => 'o' }), %kill, FAULT => "ftruncate:$call:KILL");
    is($status, 1009, "a machine is killed at ftruncate $call");
    ok(-e 'o', 'its overlay exists');
    says(machine({ overlay => 'o' }), $said, 'another machine uses it');
    says(machine({ layers => 'o', temporary => 'yes' }), $said, 'it is complete');
}

# The name that comes next is a symbolic link to nothing.
fresh();
symlink 'nowhere', 'disk.img.1';
says(machine({}, @snap), $said, 'a snapshot whose next name is a link');
is(names(), 'c.snap disk.img disk.img.1 disk.img.2', 'the next number is used');
is(readlink 'disk.img.1', 'nowhere', 'the link stays');

# A file of the disk is moved or replaced while the machine runs: no snapshot would find it.
for my $keys ({ overlay => 'o' }, {}) {
    my $name = $keys->{overlay} // 'disk.img';
    fresh();
    my @socket = ('--set', 'control.socket=s');
    my $process = start(machine({ %$keys, rate => '100/s', burst => 1 }, @socket));
    until_true { heard($process) =~ /B/ };
    my $control = Control->connect('s');
    $control->request('pause');
    rename $name, 'away';
    for my $how ('moved', 'replaced') {
        spew($name, slurp('away')) if $how eq 'replaced';
        ok(!$control->request('snapshot none.snap')->{ok}, "$name is $how: no snapshot");
    }
    my $message = qr/cannot find the file that the disk uses at \S*\Q$name\E: .*: move it back/;
    like(said($process), qr/$message.*$message/s, 'the message has the remedy');
    rename 'away', $name;
    ok($control->request('snapshot some.snap')->{ok}, 'it is moved back: a snapshot');
    my @disk = ($name eq 'o' ? 'disk.img' : (), $name, "$name.1");
    is(names(), join(' ', sort @disk, qw(s s.lock some.snap)), 'no refused one has left a file');
    $control->request('resume');
    my ($status, $out) = finish($process);
    is("$status:$out", "0:$said", 'the machine continues');
}

# A snapshot moves the overlay to the name t.ovl.1; another output of the run has that name.
for my $what ([ '--save', 't.ovl.1' ], [ '--save', 'x.snap', '--status', 't.ovl.1' ]) {
    fresh();
    unlink glob 't.ovl*';
    my ($status, $out, $err) = run(machine({ overlay => 't.ovl' }, '--at', 'access:60', @$what));
    like("$status:$err", @$what == 2 ? qr/\A113:.*t\.ovl\.1: another process has created that file meanwhile/s : qr/\A0:/, "@$what");
    like(slurp(@$what == 2 ? 't.ovl.1' : 't.ovl.2'), qr/\AMVMMOVL/, 'the overlay is not overwritten');
}

# The host handles a request late. A snapshot before that contains the request. (If the test itself
# is late, the machine has ended; it tries again.)
fresh();
my @late = ('late1.snap', 'late2.snap');
until_true {
    my $late = start(machine({ io => 'threads', temporary => 'yes' }, '--set', 'control.socket=late.sock'),
        LD_PRELOAD => "$build/tests/preload/late.so");
    until_true { -S 'late.sock' };
    run([ $minivmm, 'ctl', 'late.sock', 'snapshot', $_ ]) for @late;
    my ($status, $out, $err) = finish($late);
    is("$status:$out", "0:$said", 'a run with a late main thread') or diag($err);
    return 2 == grep { -e } @late;
} 60;
for my $snap (@late) {
    my ($status, $out, $err) = run([ $minivmm, '-r', $snap, '--trust', '--log', 'error' ], timeout => 20);
    is($status, 0, "$snap: the restored machine continues") or diag($err);
    like($out, qr/ [0-9a-f]{8}\n\z/, 'the guest runs to its end');
    is($out, substr($said, -length $out), 'it handles the pending request');
}

# On a file system without O_TMPFILE, a temporary overlay has a unique name while it is used.
fresh();
mkdir 'there';
spew('there/disk.img', $raw);
my %none = (LD_PRELOAD => "$build/tests/preload/faultfs.so", FAULT_PATH => 'there', FAULT => 'tmpfile:1:EOPNOTSUPP');
($status, $out, $err) = run(machine({ path => 'there/disk.img', temporary => 'yes' }), %none);
is("$status:$out", "0:$said", 'a temporary overlay with a name') or diag($err);
is(names('there'), 'disk.img', 'it is removed at the end');
($status, $out, $err) = run(machine({ path => 'there/disk.img', temporary => 'yes' }, @snap), %none);
is("$status:$out", "0:$said", 'a temporary overlay that a snapshot uses') or diag($err);
is(names('there'), 'disk.img disk.img.1', 'it keeps its name');
is(slurp('there/disk.img'), $raw, 'the disk is unchanged');
says([ $minivmm, '-r', 'c.snap', '--trust' ], substr($said, 3), 'the snapshot can be restored');

# A machine whose disk is given by --set, relative to the current directory, is restored in another.
# There, a file of the same name is not its disk.
{
    fresh();
    mkdir 'elsewhere';
    spew('elsewhere/disk.img', 'not its disk');
    says(machine({}, @snap), 'ABC' . substr($said, 3), 'a disk in the current directory');
    my $here = "cd elsewhere && exec '$minivmm' -r";
    says([ 'sh', '-c', "$here ../c.snap --trust --at output:serial0:E --save e.snap" ], substr($said, 3), 'it is found from another directory');
    says([ 'sh', '-c', "$here e.snap --trust" ], substr($said, 5), 'also by a second snapshot');
    unlink glob('elsewhere/*');
    rmdir 'elsewhere';
}
done_testing;
