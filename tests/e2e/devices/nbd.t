#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# Disks on an NBD server: servers with different capabilities, snapshots, and servers that disappear
# and return.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use File::Basename 'dirname';
use Minivmm;
use Test::More;

BAIL_OUT('nbdkit is not installed: make deps installs it') if system 'nbdkit --version >nbdkit.txt 2>&1';
BAIL_OUT('virtio-blk is not built: its libraries are missing: make deps installs them') if (run([ $minivmm, 'plugins', 'virtio-blk' ]))[0];

$ENV{TMPDIR} = '.';    # the default folder for overlays
my $raw = slurp("$top/guests/disk.bin");
my $disk = $raw;
substr($disk, 512 * (1 + 5 * $_), 512) = chr(ord('A') + $_) x 512 for 0 .. 5;
substr($disk, 512 * 21, 512 * 11) = "\0" x (512 * 11);
my $sum = 0;
$sum += $_ for unpack '(Vx60)*', $disk;
my $said = sprintf "ABCDEF %08x\n", $sum & 0xffffffff;

# Starts a server at a socket in this folder, in place of an earlier one, which may still run. The
# arguments are nbdkit's; the default serves disk.img.
sub server {
    my (@arguments) = @_;
    unlink 'nbd.pid';
    my $server = start([ qw(nbdkit -f -P nbd.pid -U nbd.new), @arguments ? @arguments : qw(file disk.img) ]);
    ok(until_true { -s 'nbd.pid' }, substr "nbdkit @arguments", 0, 60) or diag(said($server));
    rename 'nbd.new', 'nbd' or die "nbd: $!";
    return $server;
}

sub gone {
    my ($server) = @_;
    kill KILL => $server->{pid};
    finish($server);
}

sub machine {
    my ($keys, @options) = @_;
    my %keys = (path => 'nbd+unix:///?socket=nbd', temporary => 'no', %$keys);
    return [ $minivmm, '-c', "$configs/disk.ini", map({ ('--set', "device.disk0.$_=$keys{$_}") } sort keys %keys), @options ];
}

sub says {
    my ($command, $expected, $name) = @_;
    my ($status, $out, $err) = run($command);
    return is("$status:$out", "0:$expected", $name) || diag($err);
}

# Any capabilities of the server, and each I/O method.
for my $can ([], ['--filter=nozero'], [ '--filter=multi-conn', 'multi-conn-mode=disable' ],
    [ '--filter=blocksize-policy', 'blocksize-minimum=512', 'blocksize-maximum=2048', 'blocksize-preferred=512', 'blocksize-error-policy=error' ]) {
    my ($filters, @rest) = ([ grep { /^-/ } @$can ], grep { !/^-/ } @$can);
    for my $io (qw(sync threads io_uring)) {
        spew('disk.img', $raw);
        my $server = server(@$filters, 'file', 'disk.img', @rest);
        says(machine({ io => $io }), $said, "written, by $io");
        ok(slurp('disk.img') eq $disk, 'the server has the writes');
        gone($server);
    }
}

# A server without flush, zero and trim, with FUA.
spew('disk.img', $raw);
my @eval = (
    'get_size=stat -c %s disk.img',
    'pread=dd if=disk.img skip=$4 count=$3 iflag=count_bytes,skip_bytes 2>/dev/null',
    'pwrite=echo "$5" >>flags; dd of=disk.img conv=notrunc seek=$4 oflag=seek_bytes 2>/dev/null',
    'can_write=exit 0', 'can_fua=echo native'
);
my $server = server('eval', @eval);
says(machine({}), $said, 'a server with few capabilities');
ok(slurp('disk.img') eq $disk, 'the server has the writes');
unlike(slurp('flags'), qr/^(?!fua$)/m, 'each write has FUA');
gone($server);

# By TCP, with the export's name, also from the config.
spew('disk.img', $raw);
my $port = 20000 + $$ % 20000;
$server = start([ qw(nbdkit -f -i 127.0.0.1 -e one -p), $port, 'file', 'disk.img' ]);
my $config = slurp("$configs/disk.ini") =~ s{^path = .*}{path = nbd://127.0.0.1:$port/one}mr =~ s{\.\./guests}{$top/guests}r;
spew('nbd.ini', $config);
my ($status, $out, $err);
ok(until_true { ($status, $out, $err) = run([ $minivmm, '-c', 'nbd.ini' ]); !$status }, 'by TCP') or diag($err);
is($out, $said, 'an overlay over an export');
ok(slurp('disk.img') eq $raw, 'the export is unchanged');
gone($server);
fails([ $minivmm, '-c', 'nbd.ini' ], 113, qr{cannot use the disk nbd://127\.0\.0\.1:$port/one: .*Connection refused}, 'refused: no server');

# Read-only exports. Snapshots: writes must go to a local overlay.
spew('disk.img', $raw);
$server = server('-r', 'file', 'disk.img');
fails(machine({}), 113, qr/allows only reads: set readonly = yes, or overlay/, 'refused: writes to a read-only export');
for my $how ([ 'an overlay', { overlay => 'o' } ], [ 'a temporary overlay', { temporary => 'yes' } ]) {
    my ($name, $keys) = @$how;
    says(machine({ %$keys, io => 'io_uring' }, '--at', 'output:serial0:C', '--save', 'c.snap'), $said, "$name: a snapshot during the run");
    says([ $minivmm, '-r', 'c.snap', '--trust' ], substr($said, 3), "$name: the restored machine continues") for 1, 2;
    says([ $minivmm, '-r', 'c.snap', '--trust', '--at', 'output:serial0:E', '--save', 'e.snap' ], substr($said, 3), "$name: a snapshot of the restored machine");
    says([ $minivmm, '-r', 'e.snap', '--trust' ], substr($said, 5), "$name: the second snapshot can be restored");
}
($status, $out, $err) = run([ $minivmm, '-r', 'e.snap' ]);
is($status, 112, 'refused: the export of an untrusted snapshot');
like($err, qr{names a host resource, path = nbd\+unix:///\?socket=nbd: add --set}, 'the message names the export');
gone($server);
$server = server();
($status, $out, $err) = run(machine({}, '--at', 'output:serial0:C', '--save', 'none.snap'));
isnt($status, 0, 'the run with a writable export');
like($err, qr/no file can be created beside it: set overlay = FILE, temporary = yes/, 'refused: a snapshot with a writable export');
ok(!-e 'none.snap', 'no snapshot is written');

# The server returns errors; the guest then triple faults.
gone($server);
spew('disk.img', $raw);
$server = server(qw(--filter=error file disk.img error-pwrite=ENOSPC error-pwrite-rate=100%));
for my $io (qw(sync threads)) {
    ($status, $out, $err) = run(machine({ io => $io }));
    is($status, 100, "by $io: the guest's request fails");
    like($err, qr/cannot write the disk nbd\+unix:\S+ at 0x200: No space left on device/, "by $io: the error is logged");
}
gone($server);

# The server disappears while a slow guest runs, and a new server starts, or none.
for my $io (qw(sync threads)) {
    for my $case ([ 'read only', { temporary => 'yes' }, 1, 0, qr/\A\z/ ],
        [ 'written, not flushed', {}, 1, 100, qr/cannot write the disk .*: Input\/output error/ ],
        [ 'no new server', {}, 0, 100, qr/the connection to the disk \S+ is lost: .*; requests fail until the server is back/ ]) {
        my ($name, $keys, $comes, $end, $message) = @$case;
        spew('disk.img', $raw);
        $server = server();
        my $process = start(machine({ io => $io, rate => '50/s', burst => 1, %$keys }, '--log', 'warn'));
        until_true { heard($process) =~ /B/ };
        kill STOP => $process->{pid};
        my $new = $comes ? server() : undef;
        unlink 'nbd' if !$comes;
        gone($server);
        kill CONT => $process->{pid};
        ($status, $out, $err) = finish($process);
        is($status, $end, "$name, by $io: the run ends as expected") or diag($out, $err);
        is($out, $said, "$name, by $io: the output is complete") if !$end;
        like($err, $message, "$name, by $io: the loss of the connection is logged");
        cmp_ok(scalar(() = $err =~ /is lost/g), '<=', 1, "$name, by $io: it is logged once");
        gone($new) if $comes;
    }
}

# A server that accepts a connection and does not reply.
use IO::Socket::UNIX;
unlink 'nbd';
my $mute = IO::Socket::UNIX->new(Local => 'nbd', Listen => 5) or die "nbd: $!";
fails([ @{ machine({}) }, '--log', 'error' ], 113, qr/cannot use the disk \S+: the server does not answer/, 'refused: a server that does not reply');

# The libraries for exports are loaded only if a disk is an export.
unlike((run([ 'ldd', dirname($minivmm) . '/plugins/virtio-blk.so' ]))[1], qr/nbd|gnutls/, 'libnbd is not loaded for other disks');

# The server stops answering. A pause is refused with the device's name; another client has its
# replies meanwhile; the machine can be ended.
for my $io (qw(sync threads)) {
    spew('disk.img', $raw);
    $server = server();
    my $process = start(machine({ io => $io, rate => '50/s', burst => 1 }, '--set', 'control.socket=vm.sock', '--log', 'warn'));
    my ($control, $other) = map { Control->connect('vm.sock') } 1, 2;
    until_true { heard($process) =~ /B/ };
    kill STOP => $server->{pid};
    my $reply;
    until_true {    # until a request is in flight
        $control->send("pause\n");
        is($other->request('status')->{ok}, 1, "$io: status during the pause");
        $reply = $control->reply;
        $control->request('resume') if $reply->{ok};
        !$reply->{ok};
    };
    like($reply->{error}, qr/device disk0 has not finished its requests within 1 second/, "$io: the pause is refused");
    is($control->request('quit')->{ok}, 1, "$io: quit");
    isnt((finish($process, 40))[0], 1009, "$io: the machine ends");
    gone($server);
}

done_testing;
