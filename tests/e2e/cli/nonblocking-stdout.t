#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# stdout is nonblocking, since another process shares it, and its reader is slow: nothing is lost.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Fcntl;
use Minivmm;
use Much;
use Test::More;

use constant FIONREAD => 0x541b;

# mov $0x3f8,%dx; mov $'!',%al; out %al,%dx; hlt
spew('x.ini', guest('ba f8 03 b0 21 ee f4'));
is((run([ $minivmm, qw(-c x.ini --until output:serial0:! --save x.snap) ]))[0], 0, 'a snapshot');

# Runs a command, and reads its output when the pipe is full.
sub slowly {
    my (@command) = @_;
    my ($reader, $writer) = small_pipe();
    fcntl $writer, F_SETFL, O_WRONLY | O_NONBLOCK or die "F_SETFL: $!";
    my $process = start([ $minivmm, @command ], stdout => $writer);
    close $writer;
    until_true {
        ioctl $reader, FIONREAD, my $unread = pack 'i', 0;
        unpack('i', $unread) == $small_pipe;
    };
    my $out = drain($reader);
    is(join(':', (finish($process))[ 0, 2 ]), '0:', "minivmm @command: status 0");
    return $out;
}

for my $command ([qw(inspect --json x.snap)], [qw(inspect x.snap)]) {
    my $expected = (run([ $minivmm, @$command ]))[1];
    cmp_ok(length $expected, '>', $small_pipe, 'more than fits');
    is(slowly(@$command), $expected, 'all of it arrives');
}

# Behind a guest's output that fills the pipe:
#   mov $0x3f8,%dx; mov $'!',%al; mov $4096,%cx; 1: out %al,%dx; loop 1b; hlt
spew('full.ini', guest('ba f8 03 b0 21 b9 00 10 ee e2 fd f4'));
like(slowly(qw(-c full.ini --status /dev/stdout)), qr/\A!{4096}\{"cause":"hlt",.*\}\n\z/,
    'the line of --status arrives');

done_testing;
