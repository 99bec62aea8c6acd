#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What minivmm creates, replaces or listens on, and what it finds at that name: links, modes, a
# second machine.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Cwd 'getcwd';
use Minivmm;
use POSIX ();
use Socket;
use Test::More;

# Ends at once; runs for ever.
my $device = "[device disk0]\nplugin = virtio-blk\naddress = 0xd0000000\nirq = none\npath = disk\nreadonly = yes\n";
spew('ends.ini', guest('90 90 f4', $device));
spew('runs.ini', guest('eb fe', $device));
spew('vsock.ini', "[vm]\nmemory = 64K\nirqchip = on\n[boot]\ncode = eb fe\n[device vsock0]\nplugin = virtio-vsock\n"
      . "address = 0xd0000000\nirq = none\n");
spew('disk', "\0" x 65536);
is((run([ $minivmm, '-c', 'ends.ini', '--until', 'step:1', '--save', 'base.snap' ]))[0], 0, 'a snapshot');

# Each output: its arguments for the path x, and the mode of a new file with umask 022; sockets have
# no mode here. runs: a second machine with x is refused while the first runs. format: an empty
# file is not valid. refused: the status for a link.
my @overlay = ('--set', 'device.disk0.readonly=no', '--set', 'device.disk0.overlay=x');
my @outputs = (
    [ '--save', [ '-c', 'ends.ini', '--until', 'step:1', '--save', 'x' ], 0600, replaces => 1 ],
    [ 'flatten', [ 'flatten', 'base.snap', '-o', 'x' ], 0600, replaces => 1, refused => qr/\A11[03]\z/ ],
    [ 'map', [ 'inspect', '--map', '-o', 'x', 'base.snap' ], 0644, replaces => 1 ],
    [ 'memory_file', [ '-c', 'ends.ini', '--set', 'vm.memory_file=x' ], 0600, runs => 1 ],
    [ 'overlay', [ '-c', 'ends.ini', @overlay ], 0600, runs => 1, format => 1 ],
    [ 'output', [ '-c', 'ends.ini', '--set', 'device.serial0.output=file:x' ], 0644, runs => 1 ],
    [ '--trace', [ '-c', 'ends.ini', '--trace', 'x' ], 0644, runs => 1 ],
    [ '--status', [ '-c', 'ends.ini', '--status', 'x' ], 0644 ],
    [ 'control socket', [ '-c', 'ends.ini', '--set', 'control.socket=x' ], undef, runs => 1 ],
    [ 'stream socket', [ '-c', 'ends.ini', '--set', 'device.serial0.output=unix-listen:x' ], undef, runs => 1 ],
    [ 'vsock', [ '-c', 'vsock.ini', '--until', 'step:1', '--set', 'device.vsock0.path=x' ], undef, runs => 1 ],
);
my $link = qr/symbolic link; name the file itself|exists and is not a (?:socket|snapshot)/;
umask 022;
spew('foreign', 'foreign');
for (@outputs) {
    my ($name, $arguments, $mode, %is) = @$_;
    my @command = ($minivmm, @$arguments);
    my $status = (run(\@command))[0];
    is($status, 0, "$name: a new file");
    is((stat 'x')[2] & 0777, $mode, "$name: its mode") if defined $mode;
    is(-e 'x' ? 1 : 0, 0, "$name: it is removed at the end") if !defined $mode;
    if (defined $mode && !$is{format}) {
        for my $given (0600, 0640) {
            chmod $given, 'x';
            is((run(\@command))[0], 0, sprintf "%s: over a file of mode %04o", $name, $given);
            is((stat 'x')[2] & 07777, $given, sprintf "%s: the mode stays %04o", $name, $given);
        }
        link 'x', 'second';
        my $before = slurp('second');
        is((run(\@command))[0], 0, "$name: over a file with a second name");
        is((stat 'x')[1] == (stat 'second')[1], !$is{replaces}, "$name: it is " . ($is{replaces} ? 'replaced' : 'written'));
        unlink 'second';
    }
    unlink 'x';
    for my $to ('foreign', 'nothing', getcwd() . '/foreign') {
        symlink $to, 'x';
        my ($status, undef, $err) = run(\@command);
        like($status, $is{refused} // qr/\A113\z/, "$name: a link to $to is refused");
        like($err, $link, "$name: the message says so");
        is(readlink 'x', $to, "$name: the link stays");
        unlink 'x';
    }
    is(slurp('foreign'), 'foreign', "$name: the target of the links is unchanged");
    ok(!-e 'nothing', "$name: nothing is created");
    next if !$is{runs};

    # A second machine. The first one has x as soon as its control socket exists.
    my @first = map { s/^ends/runs/r } grep { !/^(?:--until|step:1)$/ } @command;
    my $socket = $name eq 'control socket' ? 'x' : 'first';
    push @first, '--set', "control.socket=$socket" if $name ne 'control socket';
    my $first = start(\@first);
    my $control = Control->connect($socket);
    my $before = $is{format} || !defined $mode ? '' : slurp('x');
    my ($second, undef, $err) = run(\@command);
    is($second, 113, "$name: a second machine is refused");
    like($err, qr/process $first->{pid} (?:uses|listens on) it; stop it or name another/, "$name: it names the first");
    ok($control->request('status')->{ok}, "$name: the first one is not disturbed");
    is(slurp('x'), $before, "$name: nor is the file") if $before ne '';
    $control->request('quit');
    is((finish($first))[0], 0, "$name: the first one ends");
    is((run(\@command))[0], 0, "$name: now another machine can have it");

    # A machine that is killed leaves sockets behind, and locks on none.
    $first = start(\@first);
    Control->connect($socket);
    kill KILL => $first->{pid};
    finish($first);
    is((run(\@command))[0], 0, "$name: after a kill, too");
    unlink 'x', 'first', 'first.lock';
}
is(names(), 'base.snap disk ends.ini foreign runs.ini vsock.ini', 'no other file is left');

# Several machines start on a path that a dead one has left: one listens, the others name it.
for (grep { !defined $_->[2] } @outputs) {
    my ($name, $arguments) = @$_;
    my @command = ($minivmm, map { s/^ends/runs/r } grep { !/^(?:--until|step:1)$/ } @$arguments);
    for my $round (1 .. 3) {
        socket my $stale, PF_UNIX, SOCK_STREAM, 0;
        unlink 'x';
        bind $stale, sockaddr_un('x') or die "x: $!";
        close $stale;
        my @all = map { start(\@command) } 1 .. 6;
        my $ended = sub { grep { said($_) =~ /\n/ } @all };
        my $refused = until_true { $ended->() == 5 } 60;
        ok($refused, "$name: five of six are refused");
        my ($alive) = grep { said($_) eq '' } @all;
        for ($ended->()) {
            my ($status, undef, $err) = finish($_);
            like("$status: $err", qr/\A113: .*\bprocess $alive->{pid} listens on it/, "$name: they name the other one");
        }
        socket my $client, PF_UNIX, SOCK_STREAM, 0;
        ok(until_true { connect $client, sockaddr_un('x') }, "$name: that one can be reached");
        kill $round == 1 ? 'TERM' : 'KILL', $alive->{pid};
        finish($alive);
    }
    unlink 'x', 'x.lock';
}

# In a sticky directory: other users' files, and links of other users.
SKIP: {
    skip 'only root can make files of other users', 25 if $>;
    mkdir 'sticky';
    chmod 01777, 'sticky';
    for (@outputs[ 0 .. 6 ]) {
        my ($name, $arguments, undef, %is) = @$_;
        my @command = ($minivmm, map { s{(^|[:=])x$}{$1sticky/x}r } @$arguments);
        for my $make ([ 'a file', sub { spew('sticky/x', 'theirs') } ], [ 'a link', sub { symlink "../foreign", 'sticky/x' } ]) {
            $make->[1]->();
            system 'chown', '-h', '65534:65534', 'sticky/x';
            my ($status, undef, $err) = run(\@command);
            like($status, $is{refused} // qr/\A113\z/, "$name: $make->[0] of another user is refused") or diag($err);
            unlink 'sticky/x';
        }
    }
    # A pipe of another user has no reader, and is not waited for.
    POSIX::mkfifo('sticky/x', 0622);
    chown 65534, 65534, 'sticky/x';
    for (@outputs[ 0 .. 6 ]) {
        my ($name, $arguments, undef, %is) = @$_;
        my $process = start([ $minivmm, map { s{(^|[:=])x$}{$1sticky/x}r } @$arguments ]);
        my ($status, undef, $err) = finish($process);
        like($status, $is{refused} // qr/\A113\z/, "$name: a pipe of another user is refused") or diag($err);
    }
    unlink 'sticky/x';
    symlink '../foreign', 'sticky/x';
    system 'chown', '-h', '65534:65534', 'sticky/x';
    for (@outputs[ 4 .. 6 ]) {
        my ($name, $arguments) = @$_;
        fails([ $minivmm, map { s{(^|[:=])x$}{$1sticky/x}r } @$arguments ], 113, qr/symbolic link; name the file itself/, "$name: the message names the link");
    }
    unlink 'sticky/x';
    is(slurp('foreign'), 'foreign', 'the targets are unchanged');
    rmdir 'sticky';
}

# The lock file of a socket is removed at the end: one that holds anything is not ours.
spew('x.lock', 'precious');
for (grep { !defined $_->[2] } @outputs) {
    my ($name, $arguments) = @$_;
    fails([ $minivmm, @$arguments ], 113, qr/x\.lock would be its lock file, but is not empty, so it is another file; rename that or name another socket/,
        "$name: a lock file with content is refused");
    is(slurp('x.lock'), 'precious', "$name: it is unchanged");
}
unlink 'x.lock';

# What replaces its target needs a name.
for my $path ('/dev/stdout', '/proc/self/fd/1') {
    my ($status, $out, $err) = run([ 'sh', '-c', "'$minivmm' flatten base.snap -o $path >x" ]);
    is("$status:$err", "113:minivmm: cannot write snapshot $path: it is a descriptor, not a file; name a file\n", "flatten to $path is refused");
}
unlink 'x';

# A log that is truncated while it is written, as copytruncate does: no hole at its beginning.
{
    spew('talks.ini', guest('ba f8 03 b0 41 ee eb fb', "[control]\nsocket = s\n"));
    my $process = start([ $minivmm, '-c', 'talks.ini', '--set', 'device.serial0.output=file:log' ]);
    my $control = Control->connect('s');
    ok(until_true { -s 'log' // 0 > 10000 }, 'a log grows');
    $control->request('pause');
    truncate 'log', 0;
    $control->request('resume');
    ok(until_true { -s 'log' }, 'it is truncated, and grows');
    $control->request('quit');
    finish($process);
    unlike(slurp('log'), qr/\0/, 'it has no hole');
}

# A relative path in a directory that is longer than the address of a socket: what starts can be
# restored, and ctl reaches it.
{
    my ($top, $deep) = (getcwd(), join '/', ('d' x 70) x 3);
    mkdir substr $deep, 0, 71 * $_ - 1 for 1 .. 3;
    chdir $deep;
    spew('deep.ini', slurp("$top/vsock.ini") . "path = v.sock\n[device serial0]\nplugin = serial\noutput = unix-listen:s.sock\n");
    my @control = ('--set', 'control.socket=c.sock');
    my $process = start([ $minivmm, '-c', 'deep.ini', @control ]);
    until_true { !(run([ $minivmm, 'ctl', 'c.sock', 'status' ]))[0] };    # it exists before it listens
    is((run([ $minivmm, 'ctl', 'c.sock', 'snapshot', 'deep.snap' ]))[0], 0, 'a deep directory: a snapshot, by a relative path');
    is((run([ $minivmm, 'ctl', "$top/$deep/c.sock", 'quit' ]))[0], 0, 'and an absolute path');
    is((finish($process))[0], 0, 'the machine ends');
    chdir $top;
    $process = start([ $minivmm, '-r', "$deep/deep.snap", '--trust', '--set', "control.socket=$top/$deep/c.sock" ]);
    until_true { !(run([ $minivmm, 'ctl', "$deep/c.sock", 'status' ]))[0] };
    ok(-S "$deep/v.sock", 'the restored machine has the socket in the same place') or diag(said($process));
    run([ $minivmm, 'ctl', "$deep/c.sock", 'quit' ]);
    is((finish($process))[0], 0, 'it ends');
}

# A machine of another user at the path: ctl sends it nothing, unless it is named.
SKIP: {
    skip 'only root can be another user', 8 if $>;
    mkdir 'open';
    chmod 0777, 'open';
    chmod 0755, '..', '.';
    my $pid = fork // die;
    if (!$pid) {
        ($(, $)) = (65534, '65534 65534');
        ($<, $>) = (65534, 65534);
        socket my $listener, PF_UNIX, SOCK_STREAM, 0;
        bind $listener, sockaddr_un('open/s') or exit 1;
        listen $listener, 5;
        while (accept my $client, $listener) {
            my $line = <$client> // '';
            print {$client} $line eq '' ? '' : "{\"ok\":true}\n";
            close $client;
        }
        exit;
    }
    until_true { -S 'open/s' };
    sleep 0.1 until system("$minivmm ctl --user 65534 open/s status >/dev/null 2>&1") == 0;
    fails([ $minivmm, 'ctl', 'open/s', 'status' ], 113,
        qr/cannot trust the machine at open\/s: it belongs to user 65534, .* add --user 65534$/, 'a machine of another user is refused');
    my ($status, $out) = run([ 'sh', '-c', "'$minivmm' ctl open/s snapshot - >stolen" ]);
    is("$status:" . slurp('stolen'), '113:', 'it does not get stdout');
    is((run([ $minivmm, 'ctl', '--user', '65534', 'open/s', 'status' ]))[0], 0, 'with --user it is accepted');
    is((run([ $minivmm, 'ctl', '--user', 'nobody', 'open/s', 'status' ]))[0], 0, 'also by name');
    chown 65534, -1, 'open';
    is((run([ $minivmm, 'ctl', 'open/s', 'status' ]))[0], 0, 'the owner of the directory is trusted');
    fails([ $minivmm, 'ctl', '--user', 'no-such-user', 'open/s', 'status' ], 110, qr/there is no user with this name/, 'an unknown user');
    kill TERM => $pid;
    waitpid $pid, 0;
}

# What minivmm reads can be a link.
spew('code.bin', "\xf4");
spew('linked.ini', "[vm]\nmemory = 64K\n[boot]\nimage = code.link\nat = 0x1000\n[device disk0]\nplugin = virtio-blk\naddress = 0xd0000000\n"
      . "irq = none\npath = disk.link\n[device serial0]\nplugin = serial\noutput = stdio\ninput = file:in.link\n");
symlink 'code.bin', 'code.link';
symlink 'disk', 'disk.link';
symlink 'code.bin', 'in.link';
symlink 'linked.ini', 'ini.link';
symlink 'base.snap', 'snap.link';
is((run([ $minivmm, '-c', 'ini.link' ]))[0], 0, 'links to a config, an image, a disk and an input');
is((run([ $minivmm, '-r', 'snap.link', '--trust' ]))[0], 0, 'a link to a snapshot');
done_testing;
