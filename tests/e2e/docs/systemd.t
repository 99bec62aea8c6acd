#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The units of systemd: systemd-analyze accepts them, README has their rating, and the command of
# the service runs a machine whose control socket the service manager has passed.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Fcntl;
use Minivmm;
use POSIX ();
use Socket;
use Test::More;

chomp(my $to = (run(['pwd']))[1]);
$to .= '/to';
my ($status, $out, $err) = run([ 'make', '-s', '-C', $top, "PREFIX=$to", 'DESTDIR=', 'install' ], timeout => 120);
is($status, 0, 'make install') or diag($out, $err);
my $units = "$to/lib/systemd/system";
my $unit = slurp("$units/minivmm@.service");

# A guest that prints <0> reports no emergency: journald would show it on all terminals.
like($unit, qr/^SyslogLevelPrefix=no$/m, 'lines of the guest have no level');

SKIP: {
    my ($status, $version) = run([qw(systemd-analyze --version)]);
    ($version) = ($status ? '' : $version) =~ /^systemd (\d+)/;
    skip 'no systemd-analyze of systemd 250 or later', 5 if !$version || $version < 250;
    for my $name ('minivmm@.service', 'minivmm@.socket') {
        ($status, $out, $err) = run([ qw(systemd-analyze verify --man=no), "$units/$name" ]);
        is("$status:$out$err", '0:', "systemd-analyze verify $name");
    }
    ($status, $out, $err) = run([ qw(systemd-analyze --no-pager security --offline=true --threshold=20), "$units/minivmm@.service" ]);
    is($status, 0, 'systemd-analyze security: less than 2') or diag($out, $err);
    my ($exposure) = $out =~ /^.*Overall exposure level for minivmm\@.*?: ([\d.]+)/m;
    my ($of, $told) = slurp("$top/README.md") =~ /`systemd-analyze security` of systemd (\d+) rates its exposure ([\d.]+) of 10\./;
    ok($told, 'README has the rating');
    skip "README has that of systemd $of, and here is $version", 1 if $of != $version;
    is($exposure, $told, 'it is right');
}

# Runs a command with a socket that listens as descriptor 3, as the service manager does. pid: of
# LISTEN_PID; 0: that of the process.
sub activate {
    my ($path, $pid, $count, @command) = @_;
    my $name = "$to/activated";
    my $child = fork // die "fork: $!";
    return { pid => $child, name => $name, command => \@command } if $child;
    socket my $socket, AF_UNIX, SOCK_STREAM, 0 or POSIX::_exit(120);
    bind $socket, pack_sockaddr_un($path) or POSIX::_exit(121);
    listen $socket, 8 or POSIX::_exit(122);
    open STDIN, '<', '/dev/null' or POSIX::_exit(123);
    open STDOUT, '>', "$name.out" or POSIX::_exit(123);
    open STDERR, '>', "$name.err" or POSIX::_exit(123);
    POSIX::dup2(fileno $socket, 3) if fileno $socket != 3;
    $^F = 3; # the system's descriptors are inherited
    open my $kept, '<&=', 3 or POSIX::_exit(124);
    fcntl $kept, F_SETFD, 0 or POSIX::_exit(125);
    $ENV{LISTEN_PID} = $pid || $$;
    $ENV{LISTEN_FDS} = $count;
    { exec { $command[0] } @command }
    POSIX::_exit(126);
}

# The command of the unit. The config has a control socket of its own, which is not used.
my ($start) = $unit =~ /^ExecStart=(.+)$/m;
my %specifier = (E => "$to/etc", i => 'web', '%' => '%');
my @command = map { s/%(.)/$specifier{$1} \/\/ die "%$1"/ger } split ' ', $start;
mkdir "$to/etc";
mkdir "$to/etc/minivmm";
spew("$to/etc/minivmm/web.ini", slurp("$configs/live.ini") =~ s{\.\./guests}{$top/guests}r);
is((run([ $command[0], '--check', @command[ 1 .. $#command ] ]))[0], 0, "$start: --check");
my $process = activate("$to/web", 0, 1, @command, '--set', 'vm.memory=1M', '--set', 'cpu.r15=1', '--log', 'warn');
my $control = Control->connect("$to/web");
ok($control, 'the socket that was passed');
is($control->request('status')->{state}, 'running', 'is the control socket');
ok(!-e 'vm.sock', 'the one of the config is not made');
SKIP: {
    skip 'ThreadSanitizer does not support the threads of branches', 2 if $build =~ /tsan$/;
    is($control->request("branch $to/b.sock")->{ok}, 1, 'a branch');
    is((run([ $minivmm, 'ctl', "$to/b.sock", 'quit' ]))[0], 0, 'has a socket of its own');
}
$control->request('quit');
is((finish($process))[0], 0, 'the machine ends');
ok(-S "$to/web", 'the file of the socket is left to the service manager');

# A socket that is for another process; no socket; more than one.
spew('x.ini', guest('f4', "[control]\nsocket = own.sock\n"));
unlink "$to/web";
($status, $out, $err) = finish(activate("$to/web", 1, 1, $minivmm, '-c', 'x.ini'));
is("$status:$err", '0:', 'a LISTEN_PID of another process');
my @refused = ([ 2 => 'LISTEN_FDS is 2, but a machine has one control socket' ]);
for my $case (@refused) {
    my ($count, $message) = @$case;
    unlink "$to/web";
    ($status, $out, $err) = finish(activate("$to/web", 0, $count, $minivmm, '-c', 'x.ini'));
    is("$status:$err", "113:minivmm: cannot use the control socket of LISTEN_FDS: $message\n", "LISTEN_FDS=$count");
}
($status, $out, $err) = run([ 'sh', '-c', "LISTEN_FDS=1 LISTEN_PID=\$\$ exec $minivmm -c x.ini 3</dev/null" ]);
is("$status:$err", "113:minivmm: cannot use the control socket of LISTEN_FDS: descriptor 3 is not a unix stream socket that listens\n",
    'another kind of descriptor');
($status, $out, $err) = run([ 'sh', '-c', "LISTEN_FDS=1 LISTEN_PID=\$\$ exec $minivmm ctl nosuch status 3</dev/null" ]);
like("$status:$err", qr/\A113:minivmm: cannot connect to nosuch: /, 'other commands ignore it');

done_testing;
