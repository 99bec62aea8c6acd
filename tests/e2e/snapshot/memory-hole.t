#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Memory that does not fit below the hole from 3 to 4 GiB: the guest's memory map, memory_file,
# snapshots of it, and snapshots made before the hole existed. Little of the memory is used.
use v5.14;
use warnings;
use lib 'tests/lib';

no warnings 'portable';

use Minivmm;
use Snapshot;
use Test::More;

my @pc = ('--set', 'vm.irqchip=on');

# The memory maps that kernels receive.
my $kib = 5 * 1024 * 1024 - (1024 - 639);
for my $format (qw(pvh multiboot)) {
    my ($status, $out, $err) = run([ $minivmm, '-c', "$configs/$format.ini", @pc, '--set', 'vm.memory=5G' ]);
    is($status, 0, "$format: status") or diag($err);
    like($out, qr/^4 rows, $kib KiB\n\z/m, "$format: the map of memory");
}
like((run([ $minivmm, '-c', "$configs/multiboot.ini", @pc, '--set', 'vm.memory=5G' ]))[1], qr/^639 @{[ 3 * 1024 * 1024 - 1024 ]}$/m,
    'multiboot: mem_upper ends at the hole');
is((run([ $minivmm, '-c', "$configs/bzimage.ini", '--set', 'vm.memory=5G' ]))[1], "hello from the loader\nRSD PTR\n4\n", 'linux: e820');
is((run([ $minivmm, '-c', "$configs/bzimage.ini", '--set', 'vm.memory=3G' ]))[1], "hello from the loader\nRSD PTR\n3\n",
    'linux: 3 GiB of memory are one range');
fails([ $minivmm, '-c', "$configs/pvh.ini", '--set', 'vm.memory=5G' ], 110,
    qr/would overlap the interrupt controllers, .* set irqchip = on and memory_at = 0/, 'refused: 4 GiB without irqchip; the message has the remedy');

# In long mode: memory below the hole, and the first and last byte above it; then the hole itself,
# below the interrupt controllers.
#   for each address: mov $address,%rbx; inc (rbx); mov (rbx),%al; add $'0',%al; mov $0x3f8,%edx;
#   out %al,%dx
my $code = join(' ', map { "48 bb " . unpack('H*', pack 'Q<', $_) . ' fe 03 8a 03 04 30 ba f8 03 00 00 ee' }
      0xbfff_0000, 0x1_0000_0000, 0x1_3fff_ffff, 0xc000_0000, 0xfebf_ffff) . ' f4';
spew('code.bin', pack 'H*', $code =~ s/ //gr);
spew('long.ini', "[vm]\nmemory = 4G\nirqchip = on\n[boot]\nimage = code.bin\nformat = flat\nat = 0x1000\n[cpu]\nmode = long\n"
      . "[device serial0]\nplugin = serial\noutput = stdio\n");
my @long = ($minivmm, '-c', 'long.ini', '--log', 'error');
is(join(':', run([@long])), '0:111//:', 'memory on both sides of the hole can be written, the hole cannot');

# A memory_file for both ranges, one after the other.
open my $file, '>', 'ram.img' or die;
truncate $file, 4 << 30;
is(join(':', run([ @long, '--set', 'vm.memory_file=ram.img' ])), '0:111//:', 'a run with a memory_file');
is(join(':', run([ @long, '--set', 'vm.memory_file=ram.img' ])), '0:222//:', 'the memory_file has the data');
open $file, '<:raw', 'ram.img' or die;
for my $at (0xbfff_0000, 0xc000_0000, 0xffff_ffff) {
    seek $file, $at, 0;
    read $file, my $byte, 1;
    is(ord $byte, 2, sprintf 'byte 0x%x of the file', $at);
}
fails([ @long[ 0 .. 2 ], '--set', 'vm.memory_file=ram.img', '--set', 'vm.memory=5G' ], 110,
    qr/memory_file ram\.img has 0x100000000 bytes, the machine's memory 0x140000000/, 'a memory_file of another size');
unlink 'ram.img';

# A snapshot during the run, its restore, and a snapshot of the restored machine.
is((run([ @long, '--until', 'access:1', '--save', 'a.snap' ]))[0], 0, 'a snapshot');
is_deeply([ map { "$_->{gpa} $_->{size}" } @{ inspect('a.snap')->{memory}{regions} } ],
    [ '0 3221225472', '4294967296 1073741824' ], 'the snapshot has two memory regions');
cmp_ok((stat 'a.snap')[12] * 512, '<', 1 << 20, 'the snapshot is sparse');
is(join(':', run([ $minivmm, '-r', 'a.snap', '--log', 'error' ])), '0:11//:', 'restored');
is((run([ $minivmm, '-r', 'a.snap', '--log', 'error', '--until', 'access:1', '--save', 'b.snap' ]))[0], 0, 'a snapshot of the restored machine');
is(join(':', run([ $minivmm, '-r', 'b.snap', '--log', 'error' ])), '0:1//:', 'restored');
is((run([ $minivmm, 'verify', 'b.snap' ]))[0], 0, 'verified');
is((run([ $minivmm, 'diff', 'a.snap', 'a.snap' ]))[0], 0, 'diff finds no difference');
like((run([ $minivmm, 'diff', 'a.snap', 'b.snap' ]))[1], qr/^memory 0x100000000 to 0x100000fff: 1 page differs$/m, 'diff finds the difference');

# A snapshot made before the hole existed has one region and is restored in one region.
my $low = 'memory = 3500M';
spew('low.ini', slurp('long.ini') =~ s/^memory = .*/$low/mr);
is((run([ $minivmm, '-c', 'low.ini', '--log', 'error', '--until', 'access:1', '--save', 'old.snap' ]))[0], 0, 'a smaller machine');
my $old = Snapshot->load_meta('old.snap');
my $one = sub {
    my ($size) = @_;
    return sub {
        my $region = $_[0]{value}[0];
        ($_) = grep { $_->{name} eq 'size' } @{ $region->{value} };
        $_->{value} = pack 'Q<', $size;
        $_[0]{value} = [$region];
    };
};
$old->change('MEMR', 0, ['regions'], $one->(3500 << 20));
$old->save_meta('old.snap');
is((run([ $minivmm, 'verify', 'old.snap' ]))[0], 0, 'a snapshot with one region of 3500 MiB and irqchip');
is(join(':', run([ $minivmm, '-r', 'old.snap', '--log', 'error' ])), '0://1/:', 'the restored machine has memory at 3 GiB');
is((run([ $minivmm, '-r', 'old.snap', '--log', 'error', '--until', 'access:1', '--save', 'new.snap' ]))[0], 0, 'it can be saved again');
is(scalar @{ inspect('new.snap')->{memory}{regions} }, 1, 'it is still one region');

# A snapshot whose memory overlaps the interrupt controllers.
my $over = Snapshot->load_meta('a.snap');
$over->change('MEMR', 0, ['regions'], $one->(4 << 30));
$over->save_meta('a.snap');
fails([ $minivmm, '-r', 'a.snap' ], 112, qr/section MEMR 0: it has 1 memory regions, the machine has 2/, 'refused: memory over the interrupt controllers');

done_testing;
