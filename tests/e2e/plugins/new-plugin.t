#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# minivmm new-plugin: the file that it writes compiles without a warning, runs, and survives a
# snapshot, a PCI device in the middle of its DMA; it overwrites no file. On an emulated KVM, too.
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
like("$status:$err:$out", qr/\A0::usage: minivmm new-plugin \[OPTION...\] NAME\n/, '--help');

# A PCI device, for which guests/copy.S is the driver.
sub machine {
    my ($name) = @_;
    return <<"END";
[vm]
memory_at = 0x1000
memory = 256K
irqchip = yes
[boot]
image = $top/guests/copy.bin
[cpu]
mode = protected
[plugins]
path = .
[device serial0]
plugin = serial
output = stdio
[device it]
plugin = $name
END
}
my $copied = ".00000001 00000000 00000000 copied\n";
my @from = ('--set', 'plugins.path=.');
for my $name (qw(copier my-card)) {
    ($status, $out, $err) = run([ $minivmm, 'new-plugin', '--pci', $name ]);
    is("$status:$err", '0:', "$name: the file is written");
    my ($command) = $out =~ /^  (cc .*)$/m;
    like(slurp("$name.c"), qr/^ \* Build: \Q$command\E$/m, "$name: the file has the build command");
    $command =~ s/\$\(.*\)/-I'$top'\/core\/include -Wall -Wextra -Wshadow -Wconversion -pedantic -Werror/;
    is(join(':', run([ 'sh', '-c', $command ])), '0::', "$name: compiles without a warning");
    spew('pci.ini', machine($name));
    is(join(':', run([ $minivmm, '-c', 'pci.ini', '--log', 'error' ])), "0:$copied:", "$name: copies, and sends a message");
}
($status, $out) = run([ $minivmm, '-c', 'pci.ini', '--set', 'vm.memory=68K' ]);
like($out, qr/\A\.00000001 00000002 00003000 /, 'a copy to where there is no memory fails, and the guest hears of it');

# A snapshot in the middle of a copy. On a busy host, the device may be faster than the output.
my ($left, $tries) = (0, 0);
while (!$left && $tries++ < 30) {
    ($status) = run([ $minivmm, '-c', 'pci.ini', '--set', 'device.it.burst=1', '--until', 'output:serial0:.', '--save', 'pci.snap' ]);
    last if $status;
    my ($state) = grep { $_->{name} eq 'it' } @{ inspect('pci.snap')->{devices} };
    $left = $state->{state}{registers}[4];
}
is($status, 0, 'a snapshot');
cmp_ok($left, '<=', 0x3000, "the device has $left bytes left to copy");
cmp_ok($left, '>', 0, 'but not none');
my $rest = substr $copied, 1;
is(join(':', run([ $minivmm, '-r', 'pci.snap', '--log', 'error', @from ])), "0:$rest:", 'the restored device copies the rest, and sends one message');
fails([ $minivmm, 'new-plugin', '--pci' ], 110, qr/use minivmm new-plugin NAME/, 'refused: --pci without a name');

done_testing();
