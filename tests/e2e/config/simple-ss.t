#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# configs/simple-ss.ini: the guest's memory is a file and stays in it after the run.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my @run = ($minivmm, '-c', "$configs/simple-ss.ini");
my $image = slurp("$top/guests/simple.bin");
my $memory = $image . "\0" x (0x4000 - length $image);

my ($status, $out, $err) = run(\@run);
is("$status:$out:$err", "0:4\n:", 'run');
is(names(), 'ram.img', 'the run creates one file');
ok(slurp('ram.img') eq $memory, "the file equals the guest's memory");

# The file receives the guest's writes and keeps the other bytes.
my $old = "\xa5" x 0x4000;
spew('ram.img', $old);
spew('write.ini', guest('b0 41 a2 00 20 a2 ff 4f f4'));    # mov $'A',%al; to 0x2000 and 0x4fff; hlt
($status, $out, $err) = run([ $minivmm, '-c', 'write.ini', '--set', 'vm.memory_file=ram.img' ]);
is("$status:$out:$err", '0::', 'a run with an existing memory_file');
substr($old, 0, 9) = "\xb0\x41\xa2\x00\x20\xa2\xff\x4f\xf4";
substr($old, 0x1000, 1) = substr($old, 0x3fff, 1) = 'A';
ok(slurp('ram.img') eq $old, 'the file has the code, two written bytes, and the earlier bytes');

# A memory_file is not a snapshot: commands refuse it.
for my $command ('inspect', 'verify') {
    fails([ $minivmm, $command, 'ram.img' ], 112, qr/ram\.img is not a snapshot: name a file/, "$command refuses a memory_file");
}
fails([ $minivmm, '-r', 'ram.img' ], 112, qr/ram\.img is not a snapshot: name a file/, '-r refuses a memory_file');
ok(slurp('ram.img') eq $old, 'the memory_file is unchanged');

# The snapshot of a machine with a memory_file contains the memory: the restored machine does not
# write to the file.
unlink 'ram.img';
($status, $out) = run([ @run, '--until', 'rip:0x1005', '--save', 'ss.snap' ]);
is("$status:$out", '0:', 'a snapshot of a machine with a memory_file');
spew('ram.img', $old);
($status, $out, $err) = run([ $minivmm, '-r', 'ss.snap' ]);
is("$status:$out:$err", "0:4\n:", 'restored');
ok(slurp('ram.img') eq $old, 'the restored machine does not write to the memory_file');

done_testing;
