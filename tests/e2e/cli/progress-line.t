#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The line that shows the progress of batch at a terminal: a message replaces it, it fits into a
# narrow window, and it does not wait for the terminal. On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use POSIX qw(:termios_h);
use Test::More;

use constant TIOCSWINSZ => 0x5414;

# The guest of the snapshot prints ! forever: 1: mov $0x3f8,%dx; mov $'!',%al; out %al,%dx; jmp 1b
spew('x.ini', guest('ba f8 03 b0 21 ee eb f8'));
is((run([ $minivmm, qw(-c x.ini --until output:serial0:! --save x.snap) ]))[0], 0, 'a snapshot');
spew('input', '');

# Starts batch with stderr at a terminal.
sub batch {
    my ($terminal, @inputs) = @_;
    return start([ 'sh', '-c', 'exec 2>"$0"; exec "$@"', $terminal->{name},
            $minivmm, qw(batch -r x.snap --input serial0 -j 1 --timeout 100ms), @inputs ]);
}

my $terminal = terminal();
my $process = batch($terminal, qw(input missing input));
is((finish($process))[0], 113, 'an input is missing');
ok($terminal->shows(qr/3 of 3, \d+ a second, 3 failed *\r+\n/), 'the progress at the end');
like($terminal->{seen}, qr/(?:\A|[\r\n])minivmm: cannot read input missing:/,
    'the message replaces the line');
unlike($terminal->{seen}, qr/\e/, 'a dumb terminal can show it');

$terminal = terminal();
my $size = pack 'S4', 25, 10, 0, 0;
ioctl($terminal->{slave}, TIOCSWINSZ, $size) // die "TIOCSWINSZ: $!";
$process = batch($terminal, qw(input input));
is((finish($process))[0], 0, 'in a narrow window');
ok($terminal->shows(qr/2 of 2, \d *\r+\n/), 'the progress at the end');
my @wide = grep { length > 9 } split /[\r\n]+/, $terminal->{seen};
is("@wide", '', 'no line is wider');

# As after Ctrl-S.
$terminal = terminal();
POSIX::tcflow(fileno $terminal->{slave}, TCOOFF) // die "tcflow: $!";
is((finish(batch($terminal, qw(input input))))[0], 0, 'batch does not wait for the terminal');
POSIX::tcflow(fileno $terminal->{slave}, TCOON);

done_testing;
