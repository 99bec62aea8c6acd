#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# minivmm new-plugin: the file that it writes compiles without a warning, runs, and survives a
# snapshot; it overwrites no file. On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# In 32-bit mode writes 7 and 0 to the register, reads it, and ends with the value read.
my $config = <<'END';
[vm]
memory_at = 0x1000
[boot]
code = c705000000d007000000 c705000000d000000000 a1000000d0 e6f4
[cpu]
mode = protected
[plugins]
path = .
[device exit0]
plugin = debug-exit
[device it]
address = 0xd0000000
END

# Also plugin names that are not names in C.
for my $name (qw(adder my-device linux int)) {
    my ($status, $out, $err) = run([ $minivmm, 'new-plugin', $name ]);
    is("$status:$err", '0:', "$name: the file is written");
    my ($command) = $out =~ /^  (cc .*)$/m;
    is($command, "cc -shared -fPIC -o $name.so $name.c \$(pkg-config --cflags minivmm)", "$name: prints the build command");
    like(slurp("$name.c"), qr/^ \* Build: \Q$command\E$/m, "$name: the file has the build command");

    # With the files of make install, from this tree.
    $command =~ s/\$\(.*\)/-I'$top'\/core\/include -Wall -Wextra -Werror/;
    is(join(':', run([ 'sh', '-c', $command ])), '0::', "$name: compiles without a warning");
    ($status, $out, $err) = run([ $minivmm, 'plugins', "./$name.so" ]);
    like("$status:$err:$out", qr/\A0::$name: adds up /, "$name: can be loaded");

    spew('new.ini', $config . "plugin = $name\n");
    is(join(':', run([ $minivmm, '-c', 'new.ini' ])), '8::', "$name: runs");
    is(join(':', run([ $minivmm, '-c', 'new.ini', '--set', 'device.it.step=9' ])), '18::', "$name: has its option");
    ($status) = run([ $minivmm, '-c', 'new.ini', '--until', 'mmio:0xd0000000', '--save', 'new.snap' ]);
    is("$status:" . inspect('new.snap')->{devices}[1]{state}{sum}, '0:7', "$name: its state is in the snapshot");
    is(join(':', run([ $minivmm, '-r', 'new.snap', '--set', 'plugins.path=.' ])), '8::', "$name: its state is restored");
}

my ($again, $written, $warning) = run([ $minivmm, 'new-plugin', 'serial' ]);
like("$again:$warning", qr/\A0:minivmm: warning: a plugin serial exists: \S+\/serial\.so; choose another name, .*\n\z/,
    'the name of an existing plugin is reported');
ok(-s 'serial.c', 'the file is written nevertheless');

spew('mine.c', 'precious');
fails([ $minivmm, 'new-plugin', 'mine' ], 113, qr/cannot write mine\.c: it exists/, 'refused: an existing file');
is(slurp('mine.c'), 'precious', 'the existing file is unchanged');
for my $name ('', 'Upper', '1st', '../up', 'a' x 32) {
    fails([ $minivmm, 'new-plugin', $name ], 110, qr/the plugin name \Q$name\E is invalid/, "refused: the name: '$name'");
}
fails([ $minivmm, 'new-plugin' ], 110, qr/use minivmm new-plugin NAME/, 'refused: no name');
my ($status, $out, $err) = run([ $minivmm, 'new-plugin', '--help' ]);
like("$status:$err:$out", qr/\A0::usage: minivmm new-plugin NAME\n/, '--help');

done_testing();
