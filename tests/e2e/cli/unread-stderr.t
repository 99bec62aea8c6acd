#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Nobody reads stderr, a full pipe: neither the report of a crash, nor that of a callback that does
# not return, nor the help of Ctrl-A h, nor many lines keep the process from its end.
use v5.14;
use warnings;
use lib 'tests/lib';

use Fcntl;
use Minivmm;
use POSIX qw(mkfifo SIGTERM);
use Test::More;

mkfifo('err', 0600) or die "err: $!";
sysopen my $err, 'err', O_RDWR | O_NONBLOCK or die "err: $!";

# Fills the pipe, which the process has opened for itself: to it, writes block.
sub fill {
    for my $size (4096, 1) { 1 while syswrite $err, 'x' x $size }
    return;
}

# Starts a command with the pipe as stderr.
sub unread {
    my ($command, @with) = @_;
    return start([ 'sh', '-c', 'exec "$0" "$@" 2>err', @$command ], @with);
}

# The guest prints ! and then accesses the device.
my $code = 'ba f8 03 b0 21 ee e6 12 eb fe';
for my $fault ('crash', 'hang') {
    my $device = "[device a]\nplugin = faulty\nin = $fault\n";
    spew('x.ini', guest($code, "[plugins]\npath = $build/tests/plugins\n\n$device"));
    fill();
    my $process = unread([ $minivmm, '-c', 'x.ini' ]);
    ok(until_true { heard($process) eq '!' }, "$fault: the guest runs");
    kill TERM => $process->{pid} if $fault eq 'hang';
    is((finish($process))[0], $fault eq 'hang' ? 1000 + SIGTERM : 115, "$fault: the process ends");
}

# The machine's thread answers the keys.
1 while sysread $err, my $bytes, 65536;
my $terminal = terminal();
my $process = unread([ $minivmm, '-c', "$configs/echo.ini" ], terminal => $terminal);
ok($terminal->shows(qr/Ctrl-D ends\./), 'a guest at a terminal');
fill();
$terminal->type("\cAhb");
ok($terminal->shows(qr/b/), 'it runs on after Ctrl-A h');
$terminal->type("\cAx");
is((finish($process))[0], 0, 'Ctrl-A x ends the run');

# After the end, the lines of --registers do not wait for a second each: 3 minutes.
spew('many.ini', guest($code) =~ s/^memory = .*/$&\ncpus = 64\nirqchip = yes/mr);
fill();
$process = unread([ $minivmm, qw(-c many.ini --registers --until output:serial0:!) ]);
is((finish($process))[0], 0, 'the run ends');

done_testing;
