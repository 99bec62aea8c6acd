#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What users of other programs type: each answer names our equivalent. tests/unit/habits.c checks
# that the equivalents exist.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;

spew('simple.ini', slurp("$configs/simple.ini") =~ s{\.\./guests}{$top/guests}r);
run([ $minivmm, '-c', 'simple.ini' ]);
my @ini = ('-c', 'simple.ini');
spew('fc.json', "\n{ \"boot-source\": {} }\n");

spew('stream', "MINIVMM\x1e");

spew('section.ini', slurp('simple.ini') . "[drive]\npath = x\n");
my $last = () = slurp('section.ini') =~ /\n/g;
$last--;
spew('cpus.ini', slurp('simple.ini') . "[cpus]\nnum = 2\n");
spew('case.ini', slurp('simple.ini') . "[Device x]\nplugin = serial\n");
spew('timer.ini', slurp('simple.ini') . "[device counter0]\nplugin = counter\nirq = none\naddress = 0xa0000\n");
spew('plugin.ini', slurp('simple.ini') . "[device card]\nplugin = e1000\n");

for (
    [ [qw(-c section.ini)], "section.ini:$last: unknown section [drive]; use [device NAME] with plugin = virtio-blk" ],
    [ [qw(-c cpus.ini)], "cpus.ini:$last: unknown section [cpus]; use [vm] cpus" ],
    [ [qw(-c case.ini)], "case.ini:$last: unknown section [Device x]; did you mean [device x]?" ],
    [ ['simple.ini'], 'unknown command simple.ini; to run a config, use minivmm -c simple.ini' ],
    [ ['other.ini'], 'unknown command other.ini; to run a config, use minivmm -c other.ini' ],
    [ [qw(run simple.ini)], 'unknown command run; to run a config, use minivmm -c simple.ini' ],
    [ [qw(start simple.snap)], 'unknown command start; to restore a snapshot, use minivmm -r simple.snap' ],
    [ ['stream'], 'unknown command stream; to restore a snapshot stream, use minivmm -r - <stream' ],
    [ [qw(-c stream)], 'reading the config stream: this is a snapshot stream; restore it with -r - <FILE' ],
    [ ['a b$.snap'], q(unknown command a b$.snap; to restore a snapshot, use minivmm -r 'a b$.snap') ],
    [ ["it's.ini"], q(unknown command it's.ini; to run a config, use minivmm -c 'it'\\''s.ini') ],
    [ [ 'run', "a\e.ini" ], 'unknown command run; to run a config, use minivmm -c FILE' ],
    [ ['vm.memory=1M'], 'unknown command vm.memory=1M; to set a key, use --set vm.memory=1M' ],
    [ ['boot.cmdline=a b'], q(unknown command boot.cmdline=a b; to set a key, use --set 'boot.cmdline=a b') ],
    [ ['start'], 'unknown command start; use minivmm -c CONFIG, or minivmm -r SNAPSHOT' ],
    [ ['simple.snap'], 'unknown command simple.snap; to restore a snapshot, use minivmm -r simple.snap' ],
    [ [qw(check simple.ini)], 'unknown command check; use minivmm -c CONFIG --check' ],
    [ [qw(dump simple.snap)], 'unknown command dump; use minivmm inspect SNAPSHOT' ],
    [ [qw(stop)], 'unknown command stop; use minivmm ctl SOCKET quit' ],
    [ [qw(version)], 'unknown command version; use minivmm --version' ],
    [ [ '-m', '512M', @ini ], 'unknown option -m; use --set vm.memory=512M, or [vm] memory in the config' ],
    [ [qw(-smp 2 -c simple.ini)], 'unknown option -smp; use --set vm.cpus=2 --set vm.irqchip=on, or [vm] cpus and irqchip in the config' ],
    (map { [ [ $_, 'x' ], "unknown option $_; name it in the config, [boot] image, or use --set boot.image=FILE" ] } qw(-kernel --kernel)),
    [ [qw(-append quiet)], 'unknown option -append; use --set boot.cmdline=TEXT, or [boot] cmdline in the config' ],
    [ ['--append=quiet'], 'unknown option --append=quiet; use --set boot.cmdline=TEXT, or [boot] cmdline in the config' ],
    [ [ @ini, '-cpu', 'host' ], 'unknown option -cpu; leave it out: it is always so' ],
    [ [qw(-drive file=x)], 'unknown option -drive; add a [device NAME] with plugin = virtio-blk and path = FILE to the config' ],
    [ [qw(-bios OVMF.fd)], 'unknown option -bios; leave it out: there is no firmware; name a kernel in the config, [boot] image, '
          . 'or use --set boot.image=FILE' ],
    # Our long options, with the one dash of QEMU's: -check is not -c heck.
    [ [qw(-check -c simple.ini)], 'unknown option -check; did you mean --check?' ],
    [ [qw(-config simple.ini)], 'unknown option -config; did you mean --config?' ],
    [ [qw(-restore=simple.snap)], 'unknown option -restore=simple.snap; did you mean --restore?' ],
    [ [ @ini, '-registers' ], 'unknown option -registers; did you mean --registers?' ],
    [ [ @ini, '-untill', 'hlt' ], 'unknown option -untill; did you mean --until?' ],
    [ [qw(inspect -json simple.snap)], 'inspect: unknown option -json; did you mean --json?' ],
    [ ['--foo'], 'unknown option --foo; see minivmm --help' ],
    [ [qw(inspect -x simple.snap)], 'inspect: unknown option -x; see minivmm inspect --help' ],
    [ [qw(inspect -v simple.snap)], 'inspect: unknown option -v; see minivmm inspect --help' ],
    [ [qw(flatten simple.snap --output x)], 'flatten: unknown option --output; see minivmm flatten --help' ],
    [ [qw(doctor --kernel x)], 'doctor: unknown option --kernel; see minivmm doctor --help' ],
    [ [qw(verify --jsno simple.snap)], 'verify: unknown option --jsno; see minivmm verify --help' ],
    [ [qw(flatten simple.snap -o)], 'flatten: -o needs a value; see minivmm flatten --help' ],
    [ [qw(flatten simple.snap -o -)], 'flatten: -o - does not mean stdout; name a file' ],
    [ [qw(inspect --json=yes simple.snap)], 'inspect: --json takes no value; see minivmm inspect --help' ],
    [ [qw(ctl vm.sock status --json)], 'ctl: --json is given behind the command; use minivmm ctl --json SOCKET COMMAND' ],
    [ [qw(ctl --json vm.sock top)], 'ctl: top takes no argument, and shows a screen; for programs, use minivmm ctl --json SOCKET status' ],
    [ [qw(ctl vm.sock stats --json)], 'ctl: stats does not support --json; use minivmm ctl --json SOCKET status' ],
    [ [qw(doctor a b)], 'doctor: unexpected argument b; use minivmm doctor [KERNEL]' ],
    [ [ @ini, qw(--until hlt --save -) ], '--save - does not mean stdout; use fd:1' ],
    [ [ @ini, qw(--status -) ], '--status - does not mean stdout; use /dev/stdout' ],
    [ [qw(-c simpel.ini)], 'reading the config simpel.ini: No such file or directory; did you mean simple.ini?' ],
    [ [qw(-c ./simpel.ini)], 'reading the config ./simpel.ini: No such file or directory; did you mean ./simple.ini?' ],
    [ [ '-c', "$top/guests/bzimage.bin" ], "reading the config $top/guests/bzimage.bin: this is a kernel; name it in a config, as [boot] image" ],
    [ [ '-c', "$top/build/guests/elf.elf" ], "reading the config $top/build/guests/elf.elf: this is a kernel; name it in a config, as [boot] image" ],
    [ [qw(-c nothing.alike)], 'reading the config nothing.alike: No such file or directory; check the name' ],
    [ [ @ini, '--until', 'rip:1002' ], '--until: rip:1002 has an address without 0x: write it as 0x1002, or as 0x3ea if 1002 is decimal' ],
    [ [ @ini, '--until', 'time:5' ], '--until: time:5 has no unit; write 5s, 5ms, 5us or 5ns' ],
    [ [qw(-c fc.json)], 'reading the config fc.json: this is JSON; write an INI file, see minivmm.ini(5)' ],
    [ [ @ini, '--set', 'device.serial0.iobase=1' ],
        '--set device.serial0.iobase: device serial0: plugin serial has no option iobase; did you mean port? (minivmm plugins serial lists them)' ],
    [ [ @ini, '--set', 'memory=1M' ], '--set memory: unknown section memory; did you mean vm.memory?' ],
    [ [ @ini, '--set', 'boot.kernel=x' ], '--set boot.kernel: [boot] has no key kernel; use [boot] image' ],
    [ [ @ini, '--set', 'cpu.count=2' ], '--set cpu.count: [cpu] has no key count; use [vm] cpus' ],
    [ [ @ini, '--set', 'vm.memory=512' ], '--set vm.memory: [vm] memory = 512 is in bytes; write 512M for MiB (size of guest memory in bytes)' ],
    [ [qw(-c timer.ini --set device.counter0.period=5)],
        '--set device.counter0.period: device counter0: period = 5 has no unit; write 5s, 5ms, 5us or 5ns' ],
    [ [ @ini, '--set', 'device.serial0.output=mon:stdio' ],
        '--set device.serial0.output: device serial0: output = mon:stdio is not a stream; use stdio; Ctrl-A x ends the machine' ],
    [ [qw(batch -r simple.snap --input serial0 --timeout 0s simple.ini)],
        'batch: --timeout needs a time above 0, not 0s; leave it out' ],
    [ [qw(batch -r simple.snap --input serial0 -0 simple.ini)], 'batch: --null needs --list; add --list FILE' ],
    [ [qw(batch -r simple.snap --input serial0 --timeout 5 simple.ini)], 'batch: --timeout 5 has no unit; write 5s, 5ms, 5us or 5ns' ],
  ) {
    my ($arguments, $answer) = @$_;
    my ($status, $out, $err) = run([ $minivmm, @$arguments ]);
    is("$status:$out:$err", "110::minivmm: $answer\n", "minivmm @$arguments");
}
fails([ $minivmm, '-c', 'plugin.ini' ], 110, qr/plugin e1000: no e1000\.so in .*; did you mean virtio-net\? /, 'the name of a plugin');

# What is in the name of a file would run if a suggestion were copied to a command line.
for my $name ('aquariums$(x)', 'aquariums`x`', 'aquariums;x', 'aquariums x', "aquariums\nx", "aquariums\xc2\x9b") {
    spew("$name.ini", '');
    spew("$name.so", '');
    fails([ $minivmm, '-c', 'aquariums.ini' ], 110, qr/: reading the config aquariums\.ini: No such file or directory; check the name\n/,
        'no suggestion of such a name');
    fails([ $minivmm, 'plugins', 'aquariums' ], 110, qr/plugin aquariums: no aquariums\.so in (?!.*did you mean)/, 'nor of a plugin', MINIVMM_PLUGIN_PATH => '.');
    unlink "$name.ini", "$name.so";
}
is(names(), 'case.ini cpus.ini fc.json plugin.ini section.ini simple.ini simple.snap stream timer.ini', 'no file is created');

is((run([ $minivmm, 'help' ]))[1], (run([ $minivmm, '--help' ]))[1], 'help');
is((run([ $minivmm, 'help', 'batch' ]))[1], (run([ $minivmm, 'batch', '--help' ]))[1], 'help COMMAND');
fails([ $minivmm, 'help', 'batsh' ], 110, qr/unknown command batsh; did you mean batch\?/, 'help of an unknown command');

# Options and operands in any order; -- ends the options.
my ($status, $out) = run([ $minivmm, 'inspect', 'simple.snap', '--json' ]);
like("$status:$out", qr/\A0:\{/, 'an option after the operand');
spew('--json', slurp('simple.snap'));
like((run([ $minivmm, 'inspect', '--', '--json' ]))[1], qr/\A--json: a machine/, 'an operand like an option');
unlink '--json';

# The words of other monitors, at the control socket.
spew('run.ini', guest('eb fe') . "[control]\nsocket = vm.sock\n");
my $process = start([ $minivmm, '-c', 'run.ini' ]);
Control->connect('vm.sock');
for (
    [ stop => 'use pause; quit ends the machine' ],
    [ cont => 'use resume' ],
    [ c => 'use resume' ],
    [ info => 'use status' ],
    [ q => 'use quit' ],
    [ system_reset => 'use reset' ],
    [ savevm => 'use snapshot FILE' ],
    [ frob => 'help lists them' ],
  ) {
    my ($word, $answer) = @$_;
    fails([ $minivmm, 'ctl', 'vm.sock', $word ], 1, qr/\Aminivmm: unknown command $word; \Q$answer\E\n\z/, "ctl $word");
}
run([ $minivmm, 'ctl', 'vm.sock', 'quit' ]);
finish($process);

done_testing;
