#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The command line: help, versions, usage errors, and --set.
use v5.14;
use warnings;
use lib 'tests/lib';

use List::Util 'max';
use Minivmm;
use Test::More;

my ($status, $help, $err) = run([ $minivmm, '--help' ]);
is("$status:$err", '0:', '--help');
my @lines = split /\n/, $help;
cmp_ok(scalar @lines, '<=', 24, '--help fits a screen of 24 lines');
cmp_ok(max(map { length } @lines), '<=', 80, '--help fits 80 columns');
is((run([ $minivmm, '-h' ]))[1], $help, '-h prints the same');
($status, my $out, $err) = run([ $minivmm, '--version' ]);
like("$status:$out:$err", qr/\A0:minivmm \d+\.\d+\.\d+\n:\z/, '--version');

# Every option in --help exists; every sub-command has --help.
for my $option ($help =~ /^ +(--[a-z]+)/mg) {
    my @value = $help =~ /^ +$option [A-Z]/m ? ('x') : ();
    ($status, $out, $err) = run([ $minivmm, $option, @value ]);
    unlike($err, qr/unknown option/, "$option exists");
    next if !@value;
    fails([ $minivmm, '-c', 'x.ini', $option ], 110, qr/\Q$option\E needs a value; see minivmm --help/, "$option needs a value");
}
my @commands = $help =~ /^  minivmm ([a-z][a-z-]+)/mg;
is("@commands", 'ctl list inspect batch diff flatten core verify plugins new-plugin doctor', 'sub-commands');
for my $command (@commands) {
    ($status, $out, $err) = run([ $minivmm, $command, '--help' ]);
    like("$status:$err:$out", qr/\A0::(?:usage: )?minivmm $command/, "$command --help");
    cmp_ok(max(map { length } split /\n/, $out), '<=', 100, "$command --help fits 100 columns");
    my $usage = $command eq 'diff' ? 2 : 110;
    fails([ $minivmm, $command, '--frob' ], $usage, qr/\Q$command\E|frob/, "$command refuses an unknown option");
    fails([ $minivmm, $command, qw(a b c) ], $usage, qr/\Q$command\E/, "$command refuses an additional argument") if $command !~ /^(?:ctl|list|inspect)$/;
    ($status, $out, $err) = run([ $minivmm, $command, '--help' ], stdout => '/dev/full');
    my $io = $command eq 'diff' ? 2 : 113;
    is("$status:$err", "$io:minivmm: cannot write to stdout: No space left on device\n", "$command: reports a full stdout");
}
($status, $out, $err) = run([ $minivmm, 'plugins' ], stdout => '/dev/full');
is("$status:$err", "113:minivmm: cannot write to stdout: No space left on device\n", 'plugins reports a full stdout');
($status, $out, $err) = run([ $minivmm, '--version' ], stdout => '/dev/full');
is($status, 113, '--version reports a full stdout');

# Usage errors.
my @ini = ('-c', "$configs/simple.ini");
for (
    [ [], qr/nothing to run; use -c CONFIG or -r SNAPSHOT/ ],
    [ ['--frob'], qr/unknown option --frob; see minivmm --help/ ],
    [ ['--savee', 'x'], qr/unknown option --savee; did you mean --save\?/ ],
    [ ['--stats=x'], qr/unknown option --stats=x; did you mean --status\?/ ],
    [ ['-x'], qr/unknown option -x; / ],
    [ [ '-kernel', 'vmlinux' ], qr/unknown option -kernel; name it in the config, \[boot\] image, or use --set boot\.image=FILE$/ ],
    [ [ @ini, '-smp', '2' ], qr/unknown option -smp; use --set vm\.cpus=2 / ],
    [ [ 'batch', '-j', '1', '-smp', '2' ], qr/batch: unknown option -smp; see minivmm batch --help/ ],
    [ ['frob'], qr/unknown command frob; see minivmm --help/ ],
    [ [qw(inspct a.snap)], qr/unknown command inspct; did you mean inspect\?/ ],
    [ [ @ini, 'more' ], qr/unknown command more/ ],
    [ [ @ini, '-r', 'x.snap' ], qr/use -c or -r, not both/ ],
    [ [ '-c' ], qr/-c needs a value/ ],
    [ [ @ini, '--log', 'loud' ], qr/--log takes error, warn, info or debug, not loud/ ],
    [ [ @ini, @ini ], qr/--config is given twice; see minivmm --help/ ],
    [ [ @ini, '--until', 'hlt', '--until=access:1' ], qr/--until is given twice/ ],
    [ [ @ini, qw(--at hlt --save a --save b) ], qr/--save is given twice/ ],
    [ [ @ini, qw(--log warn --log error) ], qr/--log is given twice/ ],
    [ [ @ini, '--until=' ], qr/--until:  is not a stop condition; use / ],
  ) {
    my ($arguments, $message) = @$_;
    fails([ $minivmm, @$arguments ], 110, $message, "refused: minivmm @$arguments");
}
is(names(), '', 'no file is created');

# --set can be given several times; the last value counts; a value can be empty.
($status, $out) = run([ $minivmm, @ini, '--set', 'cpu.rbx=1', '--set', 'cpu.rax=3', '--set', 'cpu.rbx=4' ]);
is("$status:$out", "0:7\n", '--set: the last value counts');
($status, $out) = run([ $minivmm, @ini, '--set=device.serial0.output=file:out', '--set', 'snapshot.file=a b' ]);
is("$status:$out", '0:', '--set=');
is(slurp('out') . names(), "4\na b out simple.snap", 'files of that name');

# A message about a value of --set begins with the key, a device's option or another.
for (
    [ 'vm.memory=99k', qr/: \[vm\] memory = 99k is not a multiple of 4096/ ],
    [ 'device.serial0.plugin=none', qr/: plugin none: no none\.so in / ],
    [ 'device.serial0.portt=1', qr/: device serial0: plugin serial has no option portt/ ],
    [ 'device.serial0.port=0xfffc', qr/: device serial0: 0x8 ports from 0xfffc do not fit/ ],
    [ 'device.serial0.irq=99', qr/: device serial0: irq = 99: use a line from 0 to 23, or none/ ],
    [ 'device.serial0.output=fiel:x', qr/: device serial0: output = fiel:x is not a stream/ ],
  ) {
    my ($set, $message) = @$_;
    my $key = $set =~ s/=.*//r;
    fails([ $minivmm, @ini, '--set', $set ], 110, qr/\Aminivmm: --set \Q$key\E$message/, "refused: --set $set");
}

# --log: the level selects the messages.
for (
    [ error => qr/\A\z/ ],
    [ warn => qr/\A\z/ ],
    [ info => qr/\Aminivmm: snapshot written to simple\.snap\n\z/ ],
    [ debug => qr/^minivmm: snapshot written to simple\.snap$/m ],
  ) {
    my ($level, $said) = @$_;
    ($status, $out, $err) = run([ $minivmm, @ini, '--log', $level ]);
    like($err, $said, "--log $level");
}
($status, $out, $err) = run([ $minivmm, @ini, '--log', 'error', '--registers' ]);
like($err, qr/\Aminivmm: vCPU 0 rip /, '--registers prints at every log level');
unlike($err, qr/ $/m, '--registers: no blank at the end of a line');

done_testing;
