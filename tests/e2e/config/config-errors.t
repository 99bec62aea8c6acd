#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Errors in a config: one line for each, with its location and the remedy; status 110; no file is
# created. On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use POSIX ();
use Test::More;

# Tests that the text, as x.ini, is refused with a message that matches.
sub refused {
    my ($name, $text, $message, @arguments) = @_;
    spew('x.ini', $text);
    my $before = names();
    fails([ $minivmm, '-c', 'x.ini', @arguments ], 110, $message, $name);
    is(names(), $before, "$name: no file is created");
    unlink 'x.ini';
}

my $good = guest('f4');    # eight lines; the last is output = stdio in [device serial0]

# The file.
fails([ $minivmm, '-c', 'missing.ini' ], 110, qr/the config missing\.ini: No such file or directory/, 'refused: a missing config');
POSIX::mkfifo('fifo', 0600);
fails([ $minivmm, '-c', 'fifo' ], 110, qr/the config fifo: it is a pipe without a writer/, 'refused: a pipe without a writer', timeout => 9);
{
    my ($status, $out, $err) = run([ 'sh', '-c', '(sleep 0.2; cat) | "$@"', 'sh', $minivmm, '-c', '/dev/stdin', '--check' ],
        stdin => guest('f4'));
    is("$status:$err", '0:', 'a pipe with a writer');
}
fails([ $minivmm, '-c', '.' ], 110, qr/the config \.: it is a directory/, 'refused: a directory');
fails([ $minivmm, '-c', '/proc/self/mem' ], 110, qr/the config \/proc\/self\/mem: Input\/output error/, 'unreadable');
SKIP: {
    skip 'root can read any file', 1 if !$>;
    spew('secret.ini', $good);
    chmod 0, 'secret.ini';
    fails([ $minivmm, '-c', 'secret.ini' ], 110, qr/the config secret\.ini: Permission denied/, 'refused: a file without read permission');
    unlink 'secret.ini';
}

for my $memory ('16K', '4M') {
    is((run([ $minivmm, '-c', "$configs/code.ini", qw(--log error --until access:1 --save own.snap --set), "vm.memory=$memory" ]))[0],
        0, "a snapshot of $memory");
    fails([ $minivmm, '-c', 'own.snap' ], 110, qr/the config own\.snap: this is a snapshot; restore it with -r$/, 'refused: a snapshot given to -c');
    unlink 'own.snap';
}

# Lines.
refused('unknown section', "$good\[devise a]\n", qr/x\.ini:11: unknown section \[devise a\]; did you mean \[device a\]\?/);
refused('a section unlike any', "[sheep]\n$good", qr/x\.ini:1: unknown section \[sheep\]; use vm, boot, /);
refused('unknown key', "[vm]\nmemroy = 1M\n", qr/x\.ini:2: \[vm\] has no key memroy; did you mean memory\?/);
refused('repeated key', "[vm]\nirqchip = on\nirqchip = on\n", qr/x\.ini:3: duplicate key irqchip, first at line 2/);
refused('repeated section', "[vm]\n[vm]\n", qr/x\.ini:2: duplicate section \[vm\], first at line 1/);
refused('over-long line', "$good# fine\ncode = " . '90' x 200 . "\n", qr/x\.ini:12: the line has \d+ bytes, the limit is 198/);
refused('NUL byte', "[vm]\nmem\0ory = 1M\n", qr/x\.ini:2: a NUL byte at column 4/);
refused('missing ]', "[vm\nmemory = 1M\n", qr/x\.ini:1: \[vm has no '\]' at its end/);
refused('text after ]', "[vm] memory = 1M\n", qr/x\.ini:1: \[vm\]: text after the '\]': memory = 1M; move it to the next line/);
refused('indented key', "[vm]\n  memory = 1M\n", qr/x\.ini:2: memory is indented; start each key/);
refused('no =', "[vm]\nmemory\n", qr/x\.ini:2: memory has no '='; write KEY = VALUE/);
refused('no section', "memory = 1M\n", qr/x\.ini:1: memory is outside of any section; put a line like \[vm\]/);

# Values.
refused('bad size', "[vm]\nmemory = lots\n", qr/x\.ini:2: \[vm\] memory = lots is not a size \(such as 4096, .*64K/);
refused('bad number', "[vm]\ncpus = one\n", qr/x\.ini:2: \[vm\] cpus = one is not a number/);
refused('out of range', "[vm]\nmemory = 99T\n", qr/x\.ini:2: \[vm\] memory = 99T is out of range, 0x1000 to /);
refused('half a page', "[vm]\nmemory = 6K\n", qr/x\.ini:2: \[vm\] memory = 6K is not a multiple of 4096/);
refused('bad bool', "[vm]\nirqchip = maybe\n", qr/x\.ini:2: \[vm\] irqchip = maybe is not a boolean; /);
refused('bad choice', "[cpu]\nmode = reel\n", qr/x\.ini:2: \[cpu\] mode = reel is not real, .*did you mean real\?/);
refused('unknown register', "$good\[cpu]\nraxx = 1\n", qr/x\.ini:12: \[cpu\] has no register raxx; did you mean rax\?/);
refused('bad point', "$good\[snapshot]\nat = rap:1\nfile = x\n", qr/x\.ini:12: rap:1 is not a stop condition; did you mean rip:ADDR\? The conditions are rip:ADDR, /);
refused('snapshot without file', "$good\[snapshot]\nat = hlt\n", qr/x\.ini:12: \[snapshot\] at is given without file/);
refused('--set without section', $good, qr/--set frob: unknown section frob/, '--set', 'frob=1');
refused('--set without value', $good, qr/--set vm\.cpus: no '='; write KEY=VALUE/, '--set', 'vm.cpus');
refused('--set of no device', $good, qr/--set device\.x: the config has no device x/, '--set', 'device.x.port=1');

# The image or code to run.
my $boot = "[vm]\nmemory = 64K\n[boot]\n";
refused('nothing', "[vm]\nmemory = 64K\n", qr/x\.ini: \[boot\] has neither image nor code; add one/);
refused('image missing', "${boot}image = no.bin\n", qr/x\.ini:4: opening the image no\.bin: No such file .*; build it/);
refused('image is a pipe', "${boot}image = fifo\n", qr/x\.ini:4: image fifo is a device, pipe or socket, not a file/);
unlink 'fifo';
refused('image is a directory', "${boot}image = .\n", qr/x\.ini:4: image \. is a directory, not a file/);
refused('half a byte', "${boot}code = f4f\n", qr/x\.ini:4: \[boot\] code = f4f has an odd number of hex digits/);
spew('big', 'x' x 70000);
refused('image larger than memory', "${boot}image = big\n",
    qr/x\.ini:4: big: 70000 bytes at 0x0 do not fit into memory, which is 0x0-0xffff/);
refused('not at the end of memory', "${boot}image = big\nat = 0xffff\n", qr/x\.ini:4: big: 70000 bytes at 0xffff do not fit/);
refused('no ELF', "${boot}image = big\nformat = elf\n", qr/image big: it is not an ELF file/);
unlink 'big';

# ELF files: a program of one segment, with what is wrong in each.
sub elf {
    my (%with) = (class => 2, machine => 62, type => 2, paddr => 0x2000, filesz => 1, memsz => 1, segments => 1, @_);
    my $ident = pack 'a4 C12', "\x7fELF", $with{class}, 1, 1;
    my $header = pack 'S S L Q Q Q L S6', $with{type}, $with{machine}, 1, $with{paddr}, 64, 0, 0, 64, 56, $with{segments}, 0,
      0, 0;
    my $segment = pack 'L L Q6', 1, 5, 64 + 56 * $with{segments}, @with{qw(paddr paddr filesz memsz)}, 4096;
    return $ident . $header . $segment x $with{segments} . "\xf4";
}
spew('x.elf', elf());
spew('good.ini', "${boot}image = x.elf\n");
is((run([ $minivmm, '-c', 'good.ini' ]))[0], 0, 'a good ELF file');
for (
    [ 'for the wrong machine', [ machine => 40 ], qr/ELF64 file for machine 40; build it for x86-64 \(62\)/ ],
    [ 'big-endian class', [ class => 7 ], qr/ELF class 7 is neither 1 \(32 bit\) nor 2/ ],
    [ 'shared', [ type => 3 ], qr/ELF file of type 3, shared .*-static -no-pie/ ],
    [ 'past memory', [ paddr => 0x10000 ], qr/segment 0 at 0x10000-0x10000 is not inside memory, which is 0x0-0xffff/ ],
    [ 'longer than memory', [ memsz => 0x10000 ], qr/segment 0 at 0x2000-0x11fff is not inside memory/ ],
    [ 'cut off', [ filesz => 9, memsz => 9 ], qr/segment 0 at 0x2000: its 0x9 bytes .*past the end of the file/ ],
    [ 'segments that overlap', [ segments => 2 ], qr/segments 0 at 0x2000-0x2000 and 1 at 0x2000-0x2000 overlap/ ],
  ) {
    my ($name, $with, $message) = @$_;
    spew('x.elf', elf(@$with));
    refused("ELF $name", "${boot}image = x.elf\n", qr/image x\.elf: $message/);
}
unlink 'x.elf', 'good.ini';

# Memory that overlaps something else.
refused('memory over the chips', "[vm]\nmemory_at = 0xfec00000\n", qr/x\.ini:1: \[vm\] memory would overlap the interrupt controllers/);
refused('the same by --set', $good, qr/--set vm\.memory: \[vm\] memory would overlap the interrupt controllers/, '--set', 'vm.memory=5G');
refused('a device in memory', "$good\[device a]\nplugin = mmio-logger\naddress = 0x4000\n",
    qr/x\.ini:13: device a: address = 0x4000 overlaps guest memory, which would hide it/);
spew('small', 'x' x 4096);
refused('memory_file of another size', "[vm]\nmemory_file = small\n[boot]\ncode = f4\n",
    qr/memory_file small has 0x1000 bytes, the machine's memory 0x10000; remove the file or set vm\.memory/);
is(slurp('small'), 'x' x 4096, 'the memory_file is unchanged');
unlink 'small';
refused('an error elsewhere creates no memory_file', $good . "bogus = 1\n", qr/plugin serial has no option bogus/, '--set', 'vm.memory_file=ram.img');
refused('an invalid stop condition', $good, qr/--until: rap is not a stop condition/, '--set', 'vm.memory_file=ram.img', '--until', 'rap');

# All errors are reported in one run, each in its own line, in the order of the file.
spew('x.ini', "[vm]\nmemory = 1X\ncups = 1\n[boot]\ncode = zz\n[sheep]\n[device A]\nplugin = serial\n");
my ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini' ]);
is("$status:$out", '110:', 'refused: a config with several errors');
is(join(' ', sort map { /x\.ini:(\d+): / } split /\n/, $err), '2 3 5 6 7', 'each error is reported') or diag($err);

# Errors that only a plugin or KVM's table of registers can detect, a stop condition and an image
# are reported with them.
my @many = (
    "[vm]", "memory = 1X", "irqchip = maybe", "[boot]", "image = no.bin", "[cpu]", "raxx = 1", "cs.type = 999",
    "[snapshot]", "at = rap:1", "file = x.snap", "[device a]", "plugin = serail", "[device serial0]", "plugin = serial",
    "port = many", "irq = 99", "output = fiel:x", "[device c]", "plugin = counter", "irq = 5", "address = 0x8000",
    "limitt = 3", "[device d]", "plugin = debug-exit", "convention = isaa", ''
);
my @wrong = (2, 3, 5, 7, 8, 10, 13, 16, 17, 18, 23, 26);
spew('x.ini', join "\n", @many);
for my $more ([], ['--check']) {
    ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', @$more ], LD_PRELOAD => "$build/tests/preload/kvm.so",
        KVM_OPEN => 'enoent');
    is("$status:$out", '110:', "refused: errors at every stage @$more");
    is(join(' ', sort { $a <=> $b } map { /x\.ini:(\d+): / } split /\n/, $err), "@wrong", 'each error is reported') or diag($err);
}
$many[1] = 'memory = 64K';
$many[2] = 'irqchip = on';
spew('x.ini', join "\n", @many);
($status, $out, $err) = run([ $minivmm, '-c', 'x.ini' ]);
is(join(' ', sort { $a <=> $b } map { /x\.ini:(\d+): / } split /\n/, $err), '5 7 8 10 13 16 17 18 23 26',
    'errors of other stages are reported without errors in the text') or diag($err);

# The image and the files loaded with it: each error is reported at its own line.
for my $case (
    [ "image = no.bin\ninitrd = no.initrd\ncmdline_file = no.txt\nmodules = no.one:x.ini:no.two\n", '4 5 6 7 7' ],
    [ "code = f4\ninitrd = x.ini\ncmdline = quiet\nmodules = x.ini\n", '5 6 7' ],
    [ "code = f4\ninitrd = no.initrd\ncmdline = quiet\n", '5 5 6' ],
    [ "image = $top/guests/bzimage.bin\ncmdline = " . 'x' x 180 . "\nmodules = x.ini\n", '5 6',
        '--set', 'vm.memory=4M', '--set', 'boot.cmdline=' . 'x' x 3000 ],
  ) {
    my ($text, $lines, @set) = @$case;
    spew('x.ini', $boot . $text);
    ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', @set ]);
    is("$status:$out", '110:', 'refused: errors in [boot]');
    is(join(' ', map { /x\.ini:(\d+): / ? $1 : /--set boot\.cmdline: / ? 5 : '?' } sort split /\n/, $err), $lines, 'each error is reported at its line')
        or diag($err);
}
for my $set ([ 'boot.cmdline=quiet' => 'does not accept cmdline' ], [ 'boot.initrd=no.initrd' => 'opening the initrd no.initrd' ]) {
    my ($key) = split /=/, $set->[0];
    ($status, $out, $err) = run([ $minivmm, '-c', "$configs/simple.ini", '--set', $set->[0] ]);
    like($err, qr/^minivmm: --set \Q$key\E: .*\Q$set->[1]\E/, "the message names --set $set->[0] and no line");
}

# --check examines a config without a run: a valid config, and errors.
spew('x.ini', guest('b0 41 ee f4', "[snapshot]\nat = hlt\nfile = x.snap\n"));
($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--check', '--set', 'vm.memory_file=ram.img' ]);
is("$status:$out:$err", '0::', '--check accepts a valid config');
is(names(), 'x.ini', '--check creates no file');
for my $config (grep { /\.ini\z/ } split ' ', names($configs)) {
    ($status, $out, $err) = run([ $minivmm, '-c', "$configs/$config", '--check',
        $config =~ /^(?:linux|ssh)\./ ? ('--set', "boot.image=$top/guests/bzimage.bin") : () ]);
    is("$status:$out:$err", '0::', "--check accepts $config");
}
refused('--check', $good . "bogus = 1\n", qr/x\.ini:11: device serial0: plugin serial has no option bogus/, '--check');

done_testing;
