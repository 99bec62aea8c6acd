#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What a guest says and hears, through every kind of stream: pipes and their stalls, files,
# terminals, sockets.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Minivmm;
use Much;
use POSIX qw(SIGTERM);
use Test::More;

# The guest of the pipes says the 16 KiB from 0x1000 on four times.
my $whole = much(4);

# A reader that stalls, and a snapshot meanwhile: what is out is this process's to deliver, the rest
# the restored one's.
{
    my ($reader, $writer) = small_pipe();
    my $process =
      start([ $minivmm, '-c', 'much.ini', '--until', 'access:6000', '--save', 'x.snap', '--log', 'error' ], stdout => $writer);
    close $writer;
    ok(until_true { -e 'x.snap' }, 'a snapshot while the reader stalls');
    my $first = drain($reader);
    is((finish($process))[0], 0, 'the process delivers what it owes');
    my ($status, $rest) = run([ $minivmm, '-r', 'x.snap' ]);
    is($status, 0, 'restored');
    ok($first ne '' && $rest ne '' && $first . $rest eq $whole, 'the two halves are the whole');
}

# A reader that never comes back: SIGTERM ends the wait at the end.
{
    my ($reader, $writer) = small_pipe();
    spew('endless.ini', endless() . "[control]\nsocket = vm.sock\n");
    my $process = start([ $minivmm, '-c', 'endless.ini' ], stdout => $writer);
    close $writer;
    my $control = Control->connect('vm.sock');
    ok(until_true { $control->accesses('serial0', 'writes') > $small_pipe + 1 }, 'more output than the pipe holds');
    $control->request('quit');
    ok(until_true { !-e 'vm.sock' }, 'the run has ended, the process waits');
    kill TERM => $process->{pid};
    my ($status, undef, $err) = finish($process);
    is($status, 1000 + SIGTERM, 'a reader that does not come back does not hold it for ever');
    like($err, qr/bytes of output were dropped/, 'what it did not take is told');
    close $reader;
}

# One that is gone: said once, the guest goes on, and the process ends with it.
{
    my ($reader, $writer) = small_pipe();
    close $reader;
    my ($status, $out, $err) = run([ $minivmm, '-c', 'much.ini', '--status', 'status.json' ], stdout => $writer);
    is($status, 113, 'a reader that is gone');
    like($err, qr/\Aminivmm: serial0: cannot write to stdio: Broken pipe; further output is dropped\n/, 'is said');
    like($err, qr/^minivmm: warning: serial0: \d+ bytes of output were dropped\n\z/m, 'and how much was lost');
    is(status_of('status.json')->{cause}, 'hlt', 'the guest came to its end');
}

# A full disk, and no stdout at all.
my @says_hi = ($minivmm, '-c', "$configs/code.ini");
for my $how ([ 'file:/dev/full', 'file:/dev/full' ], [ 'stdio', 'stdio', stdout => '/dev/full' ]) {
    my ($output, $name, %with) = @$how;
    my ($status, $out, $err) = run([ @says_hi, '--set', "device.serial0.output=$output" ], %with);
    is($status, 113, "$output is full");
    is($err, "minivmm: serial0: cannot write to $name: No space left on device; further output is dropped\n"
          . "minivmm: warning: serial0: 3 bytes of output were dropped\n", 'is said');
}
my ($status, $out, $err) = run([ 'sh', '-c', 'exec "$@" >&- 2>err', 'sh', @says_hi ]);
is($status, 113, 'started without stdout');
like(slurp('err'), qr/\Aminivmm: serial0: cannot write to stdio: Bad file descriptor;/, 'is said');
($status, $out, $err) = run([ 'sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh', $minivmm, '-c', "$configs/simple-ss.ini" ]);
ok(slurp('ram.img') eq slurp("$top/guests/simple.bin") . "\0" x (0x4000 - -s "$top/guests/simple.bin"),
    'without any: nothing goes into the guest\'s memory by mistake');

# Files: a fresh run begins anew, a restored one goes on; input by name, relative to who names it.
($status) = run([ @says_hi, '--set', 'device.serial0.output=file:out', '--until', 'access:1', '--save', 'hi.snap' ]) for 1 .. 2;
is(slurp('out'), 'H', 'a fresh run begins its file anew');
($status, $out, $err) = run([ $minivmm, '-r', 'hi.snap', '--set', 'device.serial0.output=file:out' ]);
is("$status:" . slurp('out'), "0:Hi\n", 'a restored one goes on in it');
# A descriptor by its name takes what comes where it stands: what is there before, and comes from
# others, stays.
for my $name ('/dev/stdout', '/dev/fd/1', '/proc/self/fd/1') {
    my @there = (@says_hi, '--set', "device.serial0.output=file:$name");
    run([ 'sh', '-c', 'exec >log; echo before; "$@"; echo after', 'sh', @there ]);
    is(slurp('log'), "before\nHi\nafter\n", "file:$name goes on where stdout stands");
    is((run(\@there))[1], "Hi\n", "file:$name by itself");
}
run([ 'sh', '-c', 'exec 7>log; echo before >&7; "$@"; echo after >&7', 'sh', $minivmm, '-r', 'hi.snap', '--set', 'device.serial0.output=file:/dev/fd/7' ]);
is(slurp('log'), "before\ni\nafter\n", 'file:/dev/fd/7, restored');
mkdir 'folder';
spew('folder/number', "\x05");
spew('folder/in.ini', slurp("$configs/simple-in.ini") =~ s/hex:03/file:number/r =~ s/\.\.\/guests/$top\/guests/r);
is((run([ $minivmm, '-c', 'folder/in.ini' ]))[1], "7\n", 'a path in a config is relative to the config');
spew('number', "\x06");
is((run([ $minivmm, '-c', 'folder/in.ini', '--set', 'device.serial0.input=file:number' ]))[1], "8\n", 'one in --set to here');
is((run([ @says_hi, '--set', 'device.serial0.output=stderr' ]))[2], "Hi\n", 'stderr');
is(join(':', run([ @says_hi, '--set', 'device.serial0.output=none' ])), '0::', 'none');

for (
    [ 'output=file:no/x', 113, qr/serial0: output = file:no\/x: cannot open it for writing: No such file or directory/ ],
    [ 'output=file:/dev/fd/99', 113, qr/serial0: output = file:\/dev\/fd\/99: cannot use it: Bad file descriptor/ ],
    [ 'output=unix:nosock', 113, qr/serial0: output = unix:nosock: cannot connect: No such file or directory/ ],
    [ 'output=tcp:127.0.0.1:1', 113, qr/serial0: output = tcp:127\.0\.0\.1:1: cannot connect: Connection refused/ ],
    [ 'output=tcp:127.0.0.1', 110, qr/serial0: output = tcp:127\.0\.0\.1 / ],
    [ 'output=unix:' . 'x' x 200, 110, qr/serial0: output = unix:x+ / ],
    [ 'output=hex:00', 110, qr/serial0: output = hex:00 is for input only/ ],
    [ 'input=stderr', 110, qr/serial0: input = stderr is for output only/ ],
    [ 'input=hex:0', 110, qr/serial0: input = hex:0 / ],
    [ 'input=text:\q', 110, qr/serial0: input = text:\\q has an escape other than / ],
    [ 'input=file:none', 113, qr/serial0: input = file:none: cannot open it: No such file or directory/ ],
    [ 'output=file:', 110, qr/serial0: output = file: / ],
    [ 'output=file', 110, qr/serial0: output = file has no target; append :PATH/ ],
  ) {
    my ($set, $expected, $message) = @$_;
    fails([ @says_hi, '--set', "device.serial0.$set" ], $expected, $message, $set);
}

# Both ways: what is typed comes back. The guest ends with Ctrl-D.
my $greeting = qr/What you type comes back; Ctrl-D ends\.\r\n/;
spew('echo.ini', slurp("$configs/echo.ini") =~ s/^(?:in|out)put = .*\n//mgr =~ s/\.\.\/guests/$top\/guests/r);

sub echo {
    my ($output) = @_;
    return start([ $minivmm, '-c', 'echo.ini', '--set', "device.serial0.output=$output", '--status', 'status.json' ]);
}

sub hears {
    my ($handle, $pattern) = @_;
    my $seen = '';
    my $ready = '';
    vec($ready, fileno $handle, 1) = 1;
    while ($seen !~ $pattern && select my $now = $ready, undef, undef, 20) {
        sysread $handle, $seen, 4096, length $seen or last;
    }
    return $seen;
}

sub ends {
    my ($process, $name) = @_;
    my ($status, undef, $err) = finish($process);
    is("$status:" . status_of('status.json')->{cause}, '0:hlt', "$name: ends") or diag($err);
}

sub talk {
    my ($name, $handle, $process) = @_;
    syswrite $handle, 'hi';
    like(hears($handle, qr/hi/), qr/hi\z/, "$name: what is said comes back");
    syswrite $handle, "\x04";
    like(hears($handle, qr/bye\r\n/), qr/\r\nbye\r\n\z/, "$name: to the end");
    ends($process, $name);
}

{
    my $process = echo('pty');
    ok(until_true { said($process) =~ /serial0: output is the terminal \/dev\/pts\/\d+/ }, 'pty: its name is said');
    my ($name) = said($process) =~ /(\/dev\/pts\/\d+)/;
    open my $handle, '+<', $name or die "$name: $!";
    like(hears($handle, $greeting), qr/$greeting\z/, 'pty: what was said before somebody came is kept');
    talk('pty', $handle, $process);
}

for my $kind ('unix', 'tcp') {
    my $server =
      $kind eq 'unix'
      ? IO::Socket::UNIX->new(Local => 'server', Listen => 1)
      : IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1);
    my $process = echo($kind eq 'unix' ? 'unix:server' : 'tcp:127.0.0.1:' . $server->sockport);
    my $handle = $server->accept;
    like(hears($handle, $greeting), $greeting, "$kind: it connects");
    talk($kind, $handle, $process);
}

for my $kind ('unix-listen', 'tcp-listen') {
    my $process = echo($kind eq 'unix-listen' ? 'unix-listen:socket' : 'tcp-listen:127.0.0.1:0');
    my ($where) = $kind eq 'unix-listen' ? 'socket' : undef;
    ok(until_true { $kind eq 'unix-listen' ? -S 'socket' : said($process) =~ /listens on 127\.0\.0\.1 port \d+/ }, "$kind: listens");
    my ($port) = said($process) =~ / port (\d+)/;
    my $client = sub {
        $kind eq 'unix-listen' ? IO::Socket::UNIX->new(Peer => 'socket') : IO::Socket::INET->new("127.0.0.1:$port");
    };
    my $handle;
    until_true { $handle = $client->() } or die "$kind: $!"; # the socket is there a moment before somebody listens
    like(hears($handle, $greeting), $greeting, "$kind: somebody comes");
    close $handle;
    $handle = $client->() or die "$kind: $!";
    syswrite $handle, 'again';
    like(hears($handle, qr/again/), qr/again\z/, "$kind: and somebody else");
    talk($kind, $handle, $process);
    ok(!-e 'socket', "$kind: nothing is left");
}

# A name that another process has taken since is that one's.
for my $device (
    "[device serial0]\nplugin = serial\noutput = unix-listen:taken\n",
    "[device vsock0]\nplugin = virtio-vsock\naddress = 0xd0000000\nirq = none\npath = taken\n",
) {
    spew('taken.ini', "[vm]\nmemory_at = 0x1000\n[boot]\ncode = eb fe\n$device");
    my ($first, $second) = map { unlink 'taken'; my $p = start([ $minivmm, '-c', 'taken.ini', '--log', 'error' ]); until_true { IO::Socket::UNIX->new(Peer => 'taken') }; $p } 1, 2;
    kill TERM => $first->{pid};
    finish($first);
    ok(-S 'taken', 'is left alone');
    kill TERM => $second->{pid};
    finish($second);
    ok(!-e 'taken', 'and its own is not');
}

done_testing;
