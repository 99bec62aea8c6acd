#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# An NVMe disk: options and their errors, what executes its commands, chains of snapshots, overlays
# and an NBD server. disk.t has more of the disk behind it.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my $raw = slurp("$top/guests/disk.bin");
my $text = "written and read\n\0";

# The output of configs/nvme.ini's guest, and the part after its write.
sub output_of {
    my ($serial) = @_;
    return sprintf "%-20sminivmm NVMe\n00000020 \nMSI-X MSI-X written and read\nMSI-X \n", $serial // 'disk0';
}

sub fresh { unlink glob('*'); spew('disk.img', $raw) }

# The command for configs/nvme.ini with the disk in this folder, more keys of the disk, and options.
sub machine {
    my ($keys, @options) = @_;
    my %keys = (path => 'disk.img', temporary => 'no', %$keys);
    return [ $minivmm, '-c', "$configs/nvme.ini", map({ ('--set', "device.disk0.$_=$keys{$_}") } sort keys %keys), @options ];
}

sub says {
    my ($command, $expected, $name) = @_;
    my ($status, $out, $err) = run($command);
    return is("$status:$out", "0:$expected", $name) || diag($err);
}

# The disk at the end: the guest has written a page.
sub has_text {
    my ($disk, $name) = @_;
    is(substr($disk, 4096, length $text), $text, $name);
    is(substr($disk, 0, 4096), substr($raw, 0, 4096), "$name: the page before is unchanged");
    return is(substr($disk, 8192), substr($raw, 8192), "$name: the rest is unchanged");
}

for my $io (qw(sync threads io_uring)) {
    fresh();
    says(machine({ io => $io }), output_of(), "a file, by $io");
    has_text(slurp('disk.img'), "a file, by $io");
    fresh();
    says(machine({ io => $io, overlay => 'o', serial => 'S 1', queues => 16, rate => '1000/s' }), output_of('S 1'), "an overlay, by $io");
    is(slurp('disk.img'), $raw, "an overlay, by $io: the disk is unchanged");
}

# Chains: after the first interrupt the write is done, after the second the read.
my @first = ('--until', 'output:serial0:MSI-X ', '--save', 'a.snap');
for my $how ([ 'the file itself', {} ], [ 'an overlay', { overlay => 'o' } ], [ 'a temporary overlay', { temporary => 'yes' } ],
    [ 'an overlay, by threads', { overlay => 'o', io => 'threads' } ], [ 'a file, by io_uring', { io => 'io_uring' } ]) {
    my ($name, $keys) = @$how;
    fresh();
    my ($before, $after) = output_of() =~ /\A(.*?MSI-X )(.*)\z/s;
    says(machine($keys, @first), $before, "$name: to a snapshot");
    my @held = map { slurp($_) } glob '*';
    says([ $minivmm, '-r', 'a.snap', '--trust' ], $after, "$name: the restored machine continues") for 1, 2;
    is_deeply([ map { slurp($_) } glob '*' ], \@held, "$name: restored machines do not change the files");
    says([ $minivmm, '-r', 'a.snap', '--trust', '--until', 'output:serial0:MSI-X ', '--save', 'b.snap' ], 'MSI-X ', "$name: a second snapshot");
    says([ $minivmm, '-r', 'b.snap', '--trust' ], $after =~ s/^MSI-X //r, "$name: the second one can be restored") for 1, 2;
    says([ $minivmm, '-r', 'a.snap', '--trust', '--set', 'device.disk0.io=threads' ], $after, "$name: restored with threads");
}
utime 1, 1, 'disk.img';
fails([ $minivmm, '-r', 'a.snap', '--trust' ], 113, qr/was modified after the snapshot, or is a copy/, 'refused: a disk that has changed');

# A disk that the guest cannot write: its command fails, and the guest says so.
fresh();
my ($status, $out) = run(machine({ readonly => 'yes' }));
like($out, qr/^00000020 \nMSI-X \z/m, 'read-only: the guest stops after the write');
is($status, 100, 'read-only: it ends by a triple fault');
is(slurp('disk.img'), $raw, 'read-only: the disk is unchanged');

# An NBD server below an overlay, which a snapshot keeps.
fresh();
BAIL_OUT('nbdkit is not installed: make deps installs it') if system 'nbdkit --version >nbdkit.txt 2>&1';
my $server = start([ qw(nbdkit -f -P nbd.pid -U nbd file disk.img) ]);
ok(until_true { -s 'nbd.pid' }, 'an NBD server') or diag(Minivmm::said($server));
my %nbd = (path => 'nbd+unix:///?socket=nbd');
says(machine({ %nbd, overlay => 'o' }, @first), output_of() =~ /\A(.*?MSI-X )/s ? $1 : '', 'NBD: to a snapshot');
says([ $minivmm, '-r', 'a.snap', '--trust' ], output_of() =~ /\A.*?MSI-X (.*)\z/s ? $1 : '', 'NBD: the restored machine continues');
is(slurp('disk.img'), $raw, 'NBD: the server has no writes');
says(machine(\%nbd), output_of(), 'NBD: written to the server');
has_text(slurp('disk.img'), 'NBD');
kill KILL => $server->{pid};
finish($server);

# Options.
fails(machine({ serial => 'x' x 21 }), 110, qr/serial = x{21} is not valid; use at most 20 printable characters of ASCII/, 'a long serial number');
fails(machine({ serial => "\xc3\xa9" }), 110, qr/serial = .* is not valid; use at most 20 printable/, 'not ASCII');
fails(machine({ queues => 17 }), 110, qr/queues = 17.*16/, 'too many queues');
fails(machine({ queues => 0 }), 110, qr/queues = 0/, 'no queue');
fails(machine({ readonly => 'yes', overlay => 'o' }), 110, qr/readonly, temporary and overlay exclude each other/, 'contradicting options');
fails(machine({ path => 'none.img' }), 113, qr/cannot open the disk .*none\.img: No such file/, 'no disk');
fails(machine({}, '--set', 'vm.irqchip=no'), 110, qr/irqchip/, 'a PCI device needs the irqchip');

done_testing;
