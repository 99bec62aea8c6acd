#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# Disks in layers: what is written goes where it is to go, and a snapshot holds the disk at its own instant, whoever
# writes afterwards.
use v5.14;
use warnings;
use lib 'tests/lib';

use Fcntl qw(F_RDLCK F_WRLCK);
use Minivmm;
use Test::More;

my $raw = slurp("$top/guests/disk.bin");

# What configs/disk.ini's guest makes of the disk after so many letters; without a number: at its end.
sub disk {
    my ($letters) = @_;
    my $disk = $raw;
    substr($disk, 512 * (1 + 5 * $_), 512) = chr(ord('A') + $_) x 512 for 0 .. ($letters // 6) - 1;
    substr($disk, 512 * 21, 512 * 11) = "\0" x (512 * 11) if !defined $letters;
    return $disk;
}
my $said = sprintf "ABCDEF %08x\n", unpack '%32V*', disk();

sub fresh { unlink glob('*'); spew('disk.img', $raw) }

# The command for configs/disk.ini with the disk here; keys of the disk's, and options.
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
says(machine({}), $said, 'a disk that is a file');
is(slurp('disk.img'), disk(), 'has what was written');

fresh();
says(machine({ temporary => 'yes' }), $said, 'a temporary overlay');
is(slurp('disk.img'), $raw, 'leaves the disk as it was');
is(names(), 'disk.img', 'and nothing behind');

fresh();
says(machine({ io => 'threads' }), $said, 'by threads');
is(slurp('disk.img'), disk(), 'has what was written');

fresh();
says(machine({ overlay => 'here.ovl' }), $said, 'an overlay that is made');
is(slurp('disk.img'), $raw, 'leaves the disk as it was');
ok((stat 'here.ovl')[12] * 512 <= 40960, 'takes room for what was written');
says(machine({ overlay => 'here.ovl' }), $said, 'and is gone on with');
says(machine({ layers => 'here.ovl', temporary => 'yes' }), $said, 'or lies below another');
is(slurp('disk.img'), $raw, 'the disk is as it was');

for my $how ([ 'the file itself', {} ], [ 'an overlay', { overlay => 'o' } ], [ 'a temporary overlay', { temporary => 'yes' } ],
    [ 'an overlay, by threads', { overlay => 'o', io => 'threads', queues => 4 } ]) {
    my ($name, $keys) = @$how;
    fresh();
    says(machine($keys, @snap), $said, "$name: a snapshot in the midst");
    is(slurp('disk.img'), %$keys ? $raw : disk(3), "$name: the disk stays as it was then");
    my @held = map { slurp($_) } glob '*';
    says([ $minivmm, '-r', 'c.snap', '--trust' ], substr($said, 3), "$name: restored") for 1, 2;
    is_deeply([ map { slurp($_) } glob '*' ], \@held, "$name: restored machines change nothing");
    says([ $minivmm, '-r', 'c.snap', '--trust', '--at', 'output:serial0:E', '--save', 'e.snap' ],
        substr($said, 3), "$name: a snapshot of a restored machine");
    says([ $minivmm, '-r', 'e.snap', '--trust' ], substr($said, 5), "$name: restored as well") for 1, 2;
    says([ $minivmm, '-r', 'c.snap', '--trust', '--set', 'device.disk0.overlay=mine' ],
        substr($said, 3), "$name: restored with an overlay of its own");
    says([ $minivmm, '-r', 'c.snap', '--trust' ], substr($said, 3), "$name: and once more as before");
    fails([ $minivmm, '-r', 'c.snap', '--trust', '--set', 'device.disk0.overlay=mine' ],
        113, qr/mine: it is there already/, "$name: an overlay of another machine's");
}

# Without a word to the contrary, nothing that a snapshot names is opened.
my ($status, $out, $err) = run([ $minivmm, '-r', 'e.snap', '--set', 'device.disk0.path=disk.img' ]);
is($status, 112, 'layers are not trusted either');
like($err, qr/names something of the host, layers = \S+:\S+: give --set/, 'and named');

# The same by a client, who then says that all is as it was; and a diff.
fresh();
says(machine({}, @snap), $said, 'once more');
utime 1, 1, 'disk.img';
fails([ $minivmm, '-r', 'c.snap', '--trust' ], 113, qr/has been written since the snapshot, or is a copy/, 'a disk that has changed');
says([ $minivmm, '-r', 'c.snap', '--trust', '--set', 'device.disk0.changed=accept' ], substr($said, 3), 'and is accepted');
spew('disk.img', $raw . "\0" x 4096);
fails([ $minivmm, '-r', 'c.snap', '--trust', '--set', 'device.disk0.changed=accept' ],
    113, qr/has 20480 bytes, in the snapshot 16384/, 'a disk of another size');

# A thousand machines from one state, each with the disk as it was.
fresh();
says(machine({ overlay => 'o' }, @snap), $said, 'a state to begin from');
spew("in$_", '') for 1 .. 5;
($status, $out, $err) = run([ $minivmm, 'batch', '-r', 'c.snap', '--trust', '--check', '--input', 'serial0', map({ "in$_" } 1 .. 5) ]);
is($status, 0, 'a batch') or diag($err);
is(scalar(() = $out =~ /"output":"DEF [0-9a-f]{8}/g), 5, 'each finds the disk as it was') or diag($out, $err);

# One machine at a time writes a disk, and none while others read it.
fresh();
for my $lock ([ F_WRLCK, 'written', 1, 1 ], [ F_RDLCK, 'read', 0, 1 ]) {
    my ($type, $name, $no_read, $no_write) = @$lock;
    open my $other, '+<', 'disk.img' or die $!;
    fcntl $other, 37, pack('s s x4 q q i x4', $type, 0, 0, 0, 0) or die "F_OFD_SETLK: $!";
    my @read = (machine({ temporary => 'yes' }), 113, qr/another machine writes to it/, "a disk that is $name can't be read");
    $no_read ? fails(@read) : says($read[0], $said, "a disk that is $name can be read");
    fails(machine({}), 113, qr/another machine uses it: set readonly = yes, or overlay/, "a disk that is $name can't be written");
}

# Overlays that are none.
fresh();
run(machine({ overlay => 'o' }, @snap));
my $overlay = slurp('o');
for my $bad (
    [ 'cut short', substr($overlay, 0, 40), qr/too short/ ],
    [ 'other bytes', "\0" . substr($overlay, 1), qr/is no overlay/ ],
    [ 'another version', substr($overlay, 0, 8) . "\2" . substr($overlay, 9), qr/version/ ],
    [ 'another size', substr($overlay, 0, 16) . "\0\x50" . substr($overlay, 18), qr/another size/ ],
    [ 'data elsewhere', substr($overlay, 0, 24) . "\1" . substr($overlay, 25), qr/another size/ ],
    [ 'upon another', substr($overlay, 0, 48) . "\1" . substr($overlay, 49), qr/another layer/ ],
) {
    my ($name, $bytes, $message) = @$bad;
    spew('bad', $bytes);
    fails(machine({ layers => 'bad', temporary => 'yes' }), 113, $message, "an overlay, $name");
}
fails(machine({ overlay => 'o' }), 113, qr/snapshots hold it as it is/, 'an overlay that a snapshot holds');
fails(machine({ layers => 'o' }), 113, qr/set overlay = FILE/, 'layers that would be written');
fails(machine({ overlay => 'o', readonly => 'yes' }), 110, qr/exclude one another/, 'an overlay that can not be written');
fails(machine({ overlay => 'no/o' }), 113, qr/can't begin the overlay .*No such file/, 'no such folder');
fails(machine({ path => '.' }), 113, qr/neither a file nor a block device|Is a directory/, 'a folder');
spew('small', 'x' x 511);
fails(machine({ path => 'small' }), 113, qr/smaller than a sector/, 'less than a sector');

done_testing;
