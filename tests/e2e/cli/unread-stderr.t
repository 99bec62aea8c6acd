#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Nobody reads stderr, a full pipe: neither the report of a crash, nor that of a callback that does
# not return, nor that of a worker, nor the help of Ctrl-A h, nor many lines keep the process from
# its end.
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

# A worker of batch crashes with each input.
my $bytes;
1 while sysread $err, $bytes, 65536;
spew('input', '');
my $plugins = "plugins.path=$build/tests/plugins";
spew('x.ini', guest($code, "[device a]\nplugin = faulty\n"));
my @save = qw(--until output:serial0:! --save x.snap);
is((run([ $minivmm, qw(-c x.ini --set), $plugins, @save ]))[0], 0, 'a snapshot');
fill();
my @crash = ('--trust', '--set', $plugins, qw(--set device.a.in=crash --input serial0 -j 1));
my ($status, $out) = finish(unread([ $minivmm, qw(batch -r x.snap), @crash, qw(input input) ]));
is($status, 115, 'batch: the status');
is(scalar(() = $out =~ /"cause":"crash","exit":115/g), 2, 'batch: a result for each input');

# The machine's thread answers the keys.
1 while sysread $err, $bytes, 65536;
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
