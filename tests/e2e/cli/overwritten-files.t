#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Files that a run would overwrite, or that do not fit on the disk: the run is refused before any
# data is lost.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use File::Basename 'dirname';
use Minivmm;
use Test::More;

my @point = ('--until', 'access:1');
is((run([ $minivmm, '-c', "$configs/simple.ini", @point, '--save', 'own.snap' ]))[0], 0, 'a snapshot');
my $bytes = slurp('own.snap');
spew('my.ini', slurp("$configs/simple.ini") =~ s{\.\./guests}{$top/guests}r);
my $text = slurp('my.ini');

# Arguments, and the two options that the message names for one file.
my @collisions = (
    [ [ '-r', 'own.snap', '--trace', 'own.snap' ], '-r', '--trace' ],
    [ [ '-r', 'own.snap', '--status', './own.snap' ], '-r', '--status' ],
    [ [ '-c', 'my.ini', '--status', 'my.ini' ], '-c', '--status' ],
    [ [ '-c', 'my.ini', @point, '--save', 'same', '--trace', 'same' ], '--save', '--trace' ],
    [ [ '-c', 'my.ini', '--trace', 'same', '--status', 'same' ], '--trace', '--status' ],
    [ [ '-c', 'my.ini', @point, '--save', 'f', '--set', 'device.serial0.output=file:f' ], '--save', 'serial0' ],
    [ [ '-c', 'my.ini', @point, '--save', 'ram', '--set', 'vm.memory_file=ram' ], '[vm] memory_file', '--save' ],
);
for (@collisions) {
    my ($arguments, $one, $other) = @$_;
    my ($status, $out, $err) = run([ $minivmm, @$arguments ]);
    is("$status:$out", '110:', "@$arguments: refused");
    like($err, qr/^minivmm: \Q$one\E and \Q$other\E both name the file \S+: /, "@$arguments: names both options");
}
# A file that a device reads, under any option name.
spew('in.txt', 'precious');
mkdir 'own';
spew('own/serial.so', slurp(dirname($minivmm) . '/plugins/serial.so'));
spew('more.ini', "$text\n[plugins]\npath = $build/tests/plugins\n\n[device b]\nplugin = button\nport = 0x200\n"
      . "\n[device w]\nplugin = watcher\npath = none\n");
my @in = ('-c', 'my.ini', '--set', 'device.serial0.input=file:in.txt');
for (
    [ [ @in, '--trace', 'in.txt' ], '--trace', 'serial0' ],
    [ [ @in, '--status', './in.txt' ], '--status', 'serial0' ],
    [ [ @in, @point, '--save', 'in.txt' ], '--save', 'serial0' ],
    [ [ @in, '--set', 'device.serial0.output=file:in.txt' ], 'serial0', 'serial0' ],
    [ [ '-r', 'own.snap', '--set', 'device.serial0.input=file:in.txt', '--set', 'device.serial0.output=file:in.txt' ],
        'serial0', 'serial0' ],
    [ [ '-c', 'my.ini', '--set', 'plugins.path=own', '--trace', 'own/serial.so' ], '--trace', 'serial0' ],
    [ [ '-c', 'more.ini', '--set', 'device.w.path=in.txt', '--trace', 'in.txt' ], '--trace', 'w' ],
    [ [ '-c', 'more.ini', '--set', 'device.b.input=file:in.txt', '--trace', 'in.txt' ], '--trace', 'b' ],
  ) {
    my ($arguments, $one, $other) = @$_;
    my ($status, $out, $err) = run([ $minivmm, @$arguments ]);
    is("$status:$out", '110:', "@$arguments: refused");
    like($err, qr/^minivmm: \Q$one\E and \Q$other\E both name the file \S+: /, "@$arguments: names both options");
}
is(slurp('in.txt'), 'precious', 'the file that the device reads is unchanged');

# A snapshot, a disk or a kernel that the run does not use otherwise, as an output by mistake.
my %precious = (
    'other.snap' => $bytes,
    'disk.img' => "\0" x 510 . "\x55\xaa" . "\0" x 512,
    'kernel' => slurp("$top/build/guests/elf.elf"),
);
for my $file (sort keys %precious) {
    spew($file, $precious{$file});
    for (
        [ '-c', 'my.ini', '--trace', $file ],
        [ '-c', 'my.ini', '--status', $file ],
        [ '-c', 'my.ini', '--set', "device.serial0.output=file:$file" ],
        [ 'inspect', '--map', '-o', $file, 'own.snap' ],
        [ '-c', 'my.ini', @point, '--save', $file ],
        [ 'flatten', 'own.snap', '-o', $file ],
      ) {
        next if $file eq 'other.snap' && "@$_" =~ /--save|flatten/;    # it is replaced
        my ($status, $out, $err) = run([ $minivmm, @$_ ]);
        is("$status:$out", '113:', "@$_: refused");
        like($err, qr/it is a[^\n]*; remove it or name another file$|it exists and is not a snapshot; remove it or name another file$/,
            "@$_: the reason and the remedy");
        is(slurp($file), $precious{$file}, "@$_: the file is unchanged");
    }
    unlink $file;
}

# A missing folder is reported before the guest runs.
for ([ '--status', 'nowhere/x' ], [ @point, '--save', 'nowhere/x' ]) {
    my ($status, $out, $err) = run([ $minivmm, '-c', 'my.ini', @$_ ]);
    is("$status:$out", '113:', "@$_: refused");
    like($err, qr{^minivmm: .* nowhere/x: .*No such file or directory$}, "@$_: reports the missing folder");
}
# The files of the boot protocol, the layers of a disk, and the control socket.
spew('precious', "console=ttyS0 precious\n");
my @kernel = ('-c', "$configs/bzimage.ini");
my @disk = ('-c', "$configs/disk.ini", '--set', 'device.disk0.temporary=no');
for (
    [ [ @kernel, '--set', 'boot.initrd=precious', '--status', 'precious' ], '[boot] initrd', '--status' ],
    [ [ @kernel, '--set', 'boot.initrd=precious', @point, '--save', 'precious' ], '[boot] initrd', '--save' ],
    [ [ @kernel, '--set', 'boot.cmdline=', '--set', 'boot.cmdline_file=precious', '--trace', 'precious' ], '[boot] cmdline_file', '--trace' ],
    [ [ '-c', "$configs/multiboot.ini", '--set', 'boot.modules=/dev/null:precious', '--trace', 'precious' ],
        '[boot] modules', '--trace' ],
    [ [ '-c', 'my.ini', '--set', 'control.socket=precious', '--trace', 'precious' ], '[control] socket', '--trace' ],
    [ [ @disk, '--set', 'device.disk0.path=precious', '--status', 'precious' ], '--status', 'disk0' ],
    [ [ @disk, '--set', 'device.disk0.path=my.ini', '--set', 'device.disk0.overlay=precious', '--status', 'precious' ],
        '--status', 'disk0' ],
    [ [ @disk, '--set', 'device.disk0.path=my.ini', '--set', 'device.disk0.layers=x:precious', '--status', 'precious' ],
        '--status', 'disk0' ],
  ) {
    my ($arguments, $one, $other) = @$_;
    my ($status, $out, $err) = run([ $minivmm, @$arguments ]);
    is("$status:$out", '110:', "@$arguments: refused");
    like($err, qr/^minivmm: \Q$one\E and \Q$other\E both name the file \S+: /m, "@$arguments: names both options");
}
is(slurp('precious'), "console=ttyS0 precious\n", 'all files are unchanged');
unlink 'precious';
unlink 'in.txt';
unlink 'more.ini', 'own/serial.so';
rmdir 'own';
is(slurp('own.snap'), $bytes, 'the snapshot is unchanged');
is(slurp('my.ini'), $text, 'the config is unchanged');
like(slurp('same'), qr/\A\{"cause":"refused",/, 'a new --status file says that the run was refused');
unlink 'same';
is(names(), 'my.ini own.snap', 'no other file is created');

# The same for a snapshot that is requested while the machine runs.
{
    my %used = (
        'ram' => '[vm] memory_file',
        'out' => 'serial0',
        'my.ini' => '-c',
        'trace' => '--trace',
        'disk' => 'disk0',
    );
    spew('disk', "\0" x 65536);
    # 1: jmp 1b, so that the machine keeps running
    spew('lasts.ini', guest('eb fe') . "\n[control]\nsocket = vm.sock\n\n[device disk0]\nplugin = virtio-blk\naddress = 0xd0000000\nirq = none\npath = disk\n");
    my $process = start([ $minivmm, '-c', 'lasts.ini', '--trace', 'trace', '--set', 'vm.memory_file=ram',
        '--set', 'device.serial0.output=file:out' ]);
    my $control = Control->connect('vm.sock');
    ($used{'lasts.ini'}) = delete $used{'my.ini'};
    for my $file (sort keys %used) {
        like($control->request("snapshot $file")->{error} // 'done', qr/: \Q$file is in use by $used{$file}\E/, "snapshot $file: refused");
    }
    ok($control->request('snapshot new.snap')->{ok}, 'snapshot new.snap succeeds');
    ok($control->request('snapshot new.snap')->{ok}, 'snapshot new.snap succeeds again');
    $control->request('quit');
    is((finish($process))[0], 0, 'the machine ends');
    is(-s 'disk', 65536, 'its disk still exists');
    $process = start([ $minivmm, '-r', 'new.snap', '--trust', '--set', 'control.socket=vm.sock', '--set', 'device.serial0.output=none' ]);
    $control = Control->connect('vm.sock');
    ok($control->request('snapshot d.snap diff')->{ok}, 'a diff of a restored machine');
    $control->request('quit');
    finish($process);
    $process = start([ $minivmm, '-r', 'd.snap', '--trust', '--set', 'control.socket=vm.sock', '--set', 'device.serial0.output=none' ]);
    $control = Control->connect('vm.sock');
    like($control->request('snapshot new.snap')->{error} // 'done', qr/new\.snap is in use by -r/, 'refused: a snapshot over the parent of the diff');
    ok($control->request('snapshot d.snap')->{ok}, 'a snapshot over the file that the machine was restored from succeeds');
    $control->request('quit');
    finish($process);
    unlink qw(ram out trace disk lasts.ini new.snap d.snap), glob 'disk.*';
}
is((run([ $minivmm, '-r', 'own.snap', @point, '--save', 'own.snap' ]))[0], 0, '--save over the file that the machine is restored from');
is((run([ $minivmm, 'verify', 'own.snap' ]))[0], 0, 'the new file is valid');

for ([ '', qr/name a file for the snapshot/ ], [ 'fd:1', qr/the snapshot goes to stdout, to which device serial0 writes/ ]) {
    my ($status, $out, $err) = run([ $minivmm, '-c', 'my.ini', @point, '--save', $_->[0] ]);
    is("$status:$out", '110:', "--save '$_->[0]': refused before the guest runs");
    like($err, $_->[1], "--save '$_->[0]': names both options");
}

# A descriptor is written at its current offset: its file is neither truncated nor opened again.
for my $name (qw(/dev/stdout /dev/fd/1 /proc/self/fd/1)) {
    my $both = "'$minivmm' -c '$configs/code.ini' --log error --status $name --trace $name";
    my ($status, $out, $err) = run([ 'sh', '-c', "{ echo before; $both; echo after; } >log" ]);
    is("$status:$err", '0:', $name);
    my $log = slurp('log');
    my @lines = $log =~ /(\{"n":\d+,[^\n]*\}\n)/g;
    $log =~ s/\{"n":\d+,[^\n]*\}\n//g;    # a line of the trace may follow each byte of the guest
    is(scalar @lines, 3, "$name: each access has a line");
    like($log, qr/\Abefore\nHi\n\{"cause":"hlt"[^\n]*\nafter\n\z/, "$name: keeps the earlier output");
}
{
    my ($status, $out) = run([ 'sh', '-c', "'$minivmm' -c '$configs/code.ini' --log error --status /dev/stderr 2>>log" ]);
    like("$status:" . slurp('log'), qr/\A0:before\n.*after\n\{"cause":"hlt"[^\n]*\n\z/s, '/dev/stderr');
    ($status, $out, my $err) = run([ $minivmm, '-c', "$configs/code.ini", '--log', 'error', '--status', '/dev/fd/99' ]);
    is("$status:$err", "113:minivmm: --status /dev/fd/99: descriptor 99 is not open; pass it with 99>FILE or 99>&1 in a shell\n",
        "a descriptor that is not open");
}

# A period of 584 years overflows the clock; one of 292 years does not.
my $counter = "[vm]\nmemory = 32K\n[boot]\ncode = eb fe\n[device c]\nplugin = counter\naddress = 0xa0000\nperiod = ";
spew('long.ini', "${counter}18446744073s\n");
my ($status, undef, $err) = run([ $minivmm, '-c', 'long.ini' ]);
is($status, 110, 'refused: a period that overflows the clock');
like($err, qr/^minivmm: long\.ini:8: device c: period = 18446744073s is out of range/, 'reports the period');
spew('long.ini', "${counter}9223372036s\n");
is((run([ $minivmm, '-c', 'long.ini', '--until', 'time:200ms' ]))[0], 0, 'the longest period is accepted');

# A guest that fills its memory while the memory_file's disk has no room.
SKIP: {
    mkdir 'small';
    skip 'a small file system cannot be mounted here', 2 if system('mount -t tmpfs -o size=16k none small 2>/dev/null');
    ($status, undef, $err) =
        run([ $minivmm, '-c', 'my.ini', '--set', 'vm.memory=256K', '--set', 'vm.memory_file=small/ram' ]);
    is($status, 113, 'refused: a memory_file that does not fit on the disk');
    like($err, qr{^minivmm: cannot size memory_file small/ram to 0x40000 bytes: No space left}, 'reports the lack of room');
    system('umount small');
}
# Another process truncates the memory_file while the guest runs in it, or while a device copies
# from it: the guest's code, or its data, is gone.
for my $cut ([ 'its code', 0 ], [ 'its data', 4096 ]) {
    my ($what, $left) = @$cut;
    unlink 'ram';
    # mov $0x3f8,%dx; mov $'!',%al; out %al,%dx; mov $0x3000,%si; 1: mov (%si),%al; inc %ax; jmp 1b
    spew('cut.ini', guest('ba f8 03 b0 21 ee be 00 30 8a 04 40 eb fb'));
    spew('status.json', "of an earlier run\n");
    my $process = start([ $minivmm, '-c', 'cut.ini', '--set', 'vm.memory_file=ram', '--status', 'status.json', '--registers' ]);
    ok(until_true { heard($process) eq '!' }, "the guest runs; then the file loses $what");
    is(slurp('status.json'), '', 'the status file of an earlier run is removed at the start');
    truncate 'ram', $left;
    my ($end, undef, $said) = finish($process, 10);
    is($end, 113, "the file loses $what: status 113");
    like($said, qr{^minivmm: \S*/ram was truncated while it was guest memory: }m, 'the message names the file');
    unlike($said, qr/KVM internal error/, 'there is no other message');
    is(status_of('status.json')->{cause}, 'error', '--status has the cause');
}
{
    my $process = start([ $minivmm, '-c', 'cut.ini', '--set', 'vm.memory_file=new', '--until', 'step:4000000000' ]);
    until_true { heard($process) eq '!' };
    truncate 'new', 0;
    my ($end, undef, $said) = finish($process, 10);
    is($end, 113, 'truncated while the program reads from it');
    like($said, qr{/new was truncated}, 'the message names the file');
}
done_testing;
