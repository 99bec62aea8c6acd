#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Output and input of a guest through every kind of stream: pipes and their stalls, files,
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

# The guest prints the 16 KiB from 0x1000 four times.
my $whole = much(4);

# The reader stalls and a snapshot is taken: this process delivers the output before the snapshot,
# the restored machine delivers the rest.
{
    my ($reader, $writer) = small_pipe();
    my $process =
      start([ $minivmm, '-c', 'much.ini', '--until', 'access:6000', '--save', 'x.snap', '--log', 'error' ], stdout => $writer);
    close $writer;
    ok(until_true { -e 'x.snap' }, 'a snapshot while the reader stalls');
    my $first = drain($reader);
    is((finish($process))[0], 0, 'the process delivers the earlier output');
    my ($status, $rest) = run([ $minivmm, '-r', 'x.snap' ]);
    is($status, 0, 'restored');
    ok($first ne '' && $rest ne '' && $first . $rest eq $whole, 'both parts make the complete output');
}

# A reader that never continues: SIGTERM ends the wait at the end.
{
    my ($reader, $writer) = small_pipe();
    spew('endless.ini', endless() . "[control]\nsocket = vm.sock\n");
    my $process = start([ $minivmm, '-c', 'endless.ini' ], stdout => $writer);
    close $writer;
    my $control = Control->connect('vm.sock');
    ok(until_true { $control->accesses('serial0', 'writes') > $small_pipe + 1 }, 'the pipe is full and output waits');
    $control->request('quit');
    ok(until_true { !-e 'vm.sock' }, 'the run has ended and the process waits');
    kill TERM => $process->{pid};
    my ($status, undef, $err) = finish($process);
    is($status, 1000 + SIGTERM, 'SIGTERM ends the wait for a stalled reader');
    like($err, qr/bytes of output were dropped/, 'the undelivered output is reported');
    close $reader;
}

# A reader that has closed the pipe: reported once; the guest continues, and the process ends with
# it.
{
    my ($reader, $writer) = small_pipe();
    close $reader;
    my ($status, $out, $err) = run([ $minivmm, '-c', 'much.ini', '--status', 'status.json' ], stdout => $writer);
    is($status, 113, 'a run whose reader has closed the pipe');
    like($err, qr/\Aminivmm: serial0: cannot write to stdio: Broken pipe; further output is dropped\n/, 'the error is reported');
    like($err, qr/^minivmm: warning: serial0: \d+ bytes of output were dropped\n\z/m, 'the dropped bytes are reported');
    is(status_of('status.json')->{cause}, 'hlt', 'the guest runs to its end');
}

# A full disk, and a closed stdout.
my @says_hi = ($minivmm, '-c', "$configs/code.ini");
for my $how ([ 'file:/dev/full', 'file:/dev/full' ], [ 'stdio', 'stdio', stdout => '/dev/full' ]) {
    my ($output, $name, %with) = @$how;
    my ($status, $out, $err) = run([ @says_hi, '--set', "device.serial0.output=$output" ], %with);
    is($status, 113, "$output is full");
    is($err, "minivmm: serial0: cannot write to $name: No space left on device; further output is dropped\n"
          . "minivmm: warning: serial0: 3 bytes of output were dropped\n", 'it is reported');
}
my ($status, $out, $err) = run([ 'sh', '-c', 'exec "$@" >&- 2>err', 'sh', @says_hi ]);
is($status, 113, 'a run without stdout');
like(slurp('err'), qr/\Aminivmm: serial0: cannot write to stdio: Bad file descriptor;/, 'it is reported');
($status, $out, $err) = run([ 'sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh', $minivmm, '-c', "$configs/simple-ss.ini" ]);
ok(slurp('ram.img') eq slurp("$top/guests/simple.bin") . "\0" x (0x4000 - -s "$top/guests/simple.bin"),
    "without open descriptors: no output is written to the guest's memory");

# Output files: a fresh run truncates the file, a restored machine appends. Paths are relative to
# the config, or to the current folder with --set.
($status) = run([ @says_hi, '--set', 'device.serial0.output=file:out', '--until', 'access:1', '--save', 'hi.snap' ]) for 1 .. 2;
is(slurp('out'), 'H', 'a fresh run truncates its output file');
($status, $out, $err) = run([ $minivmm, '-r', 'hi.snap', '--set', 'device.serial0.output=file:out' ]);
is("$status:" . slurp('out'), "0:Hi\n", 'a restored machine appends to the file');
# An open descriptor, given by name, is written at its offset: earlier output, and that of other
# processes, stays.
for my $name ('/dev/stdout', '/dev/fd/1', '/proc/self/fd/1') {
    my @there = (@says_hi, '--set', "device.serial0.output=file:$name");
    run([ 'sh', '-c', 'exec >log; echo before; "$@"; echo after', 'sh', @there ]);
    is(slurp('log'), "before\nHi\nafter\n", "file:$name is written at the offset of stdout");
    is((run(\@there))[1], "Hi\n", "file:$name has the output");
}
run([ 'sh', '-c', 'exec 7>log; echo before >&7; "$@"; echo after >&7', 'sh', $minivmm, '-r', 'hi.snap', '--set', 'device.serial0.output=file:/dev/fd/7' ]);
is(slurp('log'), "before\ni\nafter\n", 'file:/dev/fd/7, restored');
mkdir 'folder';
spew('folder/number', "\x05");
spew('folder/in.ini', slurp("$configs/simple-in.ini") =~ s/hex:03/file:number/r =~ s/\.\.\/guests/$top\/guests/r);
is((run([ $minivmm, '-c', 'folder/in.ini' ]))[1], "7\n", "a path in a config is relative to the config's folder");
spew('number', "\x06");
is((run([ $minivmm, '-c', 'folder/in.ini', '--set', 'device.serial0.input=file:number' ]))[1], "8\n", 'a path in --set is relative to the current folder');
is((run([ @says_hi, '--set', 'device.serial0.output=stderr' ]))[2], "Hi\n", 'stderr');
is(join(':', run([ @says_hi, '--set', 'device.serial0.output=none' ])), '0::', 'none');

for (
    [ 'output=file:no/x', 113, qr/device serial0: output = file:no\/x: cannot open it for writing: No such file or directory/ ],
    [ 'output=file:/dev/fd/4', 113, qr/device serial0: output = file:\/dev\/fd\/4: cannot use it: Bad file descriptor/ ], # our own
    [ 'output=file:/dev/fd/99', 113, qr/device serial0: output = file:\/dev\/fd\/99: cannot use it: Bad file descriptor/ ],
    [ 'output=unix:nosock', 113, qr/device serial0: output = unix:nosock: cannot connect: No such file or directory/ ],
    [ 'output=tcp:127.0.0.1:1', 113, qr/device serial0: output = tcp:127\.0\.0\.1:1: cannot connect: Connection refused/ ],
    [ 'output=tcp:127.0.0.1', 110, qr/device serial0: output = tcp:127\.0\.0\.1 / ],
    [ 'output=unix:' . 'x' x 200, 110, qr/device serial0: output = unix:x+ / ],
    [ 'output=hex:00', 110, qr/device serial0: output = hex:00 is for input only/ ],
    [ 'input=stderr', 110, qr/device serial0: input = stderr is for output only/ ],
    [ 'input=hex:0', 110, qr/device serial0: input = hex:0 / ],
    [ 'input=text:\q', 110, qr/device serial0: input = text:\\q has an escape other than / ],
    [ 'input=file:none', 113, qr/device serial0: input = file:none: cannot open it: No such file or directory/ ],
    [ 'output=file:', 110, qr/device serial0: output = file: / ],
    [ 'output=file', 110, qr/device serial0: output = file has no target; append :PATH/ ],
  ) {
    my ($set, $expected, $message) = @$_;
    fails([ @says_hi, '--set', "device.serial0.$set" ], $expected, $message, $set);
}

# Both directions: the guest echoes its input and ends with Ctrl-D.
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
    is("$status:" . status_of('status.json')->{cause}, '0:hlt', "$name: the run ends") or diag($err);
}

sub talk {
    my ($name, $handle, $process) = @_;
    syswrite $handle, 'hi';
    like(hears($handle, qr/hi/), qr/hi\z/, "$name: the input is echoed");
    syswrite $handle, "\x04";
    like(hears($handle, qr/bye\r\n/), qr/\r\nbye\r\n\z/, "$name: the last output arrives");
    ends($process, $name);
}

{
    my $process = echo('pty');
    ok(until_true { said($process) =~ /serial0: output is the terminal \/dev\/pts\/\d+/ }, 'pty: its name is printed');
    my ($name) = said($process) =~ /(\/dev\/pts\/\d+)/;
    open my $handle, '+<', $name or die "$name: $!";
    like(hears($handle, $greeting), qr/$greeting\z/, 'pty: output before the terminal is opened is kept');
    talk('pty', $handle, $process);
}

for my $kind ('unix', 'tcp') {
    my $server =
      $kind eq 'unix'
      ? IO::Socket::UNIX->new(Local => 'server', Listen => 1)
      : IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1);
    my $process = echo($kind eq 'unix' ? 'unix:server' : 'tcp:127.0.0.1:' . $server->sockport);
    my $handle = $server->accept;
    like(hears($handle, $greeting), $greeting, "$kind: minivmm connects");
    talk($kind, $handle, $process);
}

for my $kind ('unix-listen', 'tcp-listen') {
    my $process = echo($kind eq 'unix-listen' ? 'unix-listen:socket' : 'tcp-listen:127.0.0.1:0');
    my ($where) = $kind eq 'unix-listen' ? 'socket' : undef;
    ok(until_true { $kind eq 'unix-listen' ? -S 'socket' : said($process) =~ /listens on 127\.0\.0\.1 port \d+/ }, "$kind: minivmm listens");
    my ($port) = said($process) =~ / port (\d+)/;
    my $client = sub {
        $kind eq 'unix-listen' ? IO::Socket::UNIX->new(Peer => 'socket') : IO::Socket::INET->new("127.0.0.1:$port");
    };
    my $handle;
    until_true { $handle = $client->() } or die "$kind: $!"; # the socket exists before minivmm listens on it
    like(hears($handle, $greeting), $greeting, "$kind: a client connects");
    close $handle;
    $handle = $client->() or die "$kind: $!";
    syswrite $handle, 'again';
    like(hears($handle, qr/again/), qr/again\z/, "$kind: a second client connects");
    talk($kind, $handle, $process);
    ok(!-e 'socket', "$kind: the socket file is removed");
}

# A socket that another process has replaced, after both files were removed, is that process's.
for my $device (
    "[device serial0]\nplugin = serial\noutput = unix-listen:taken\n",
    "[device vsock0]\nplugin = virtio-vsock\naddress = 0xd0000000\nirq = none\npath = taken\n",
) {
    spew('taken.ini', "[vm]\nmemory_at = 0x1000\n[boot]\ncode = eb fe\n$device");
    my ($first, $second) = map { unlink 'taken', 'taken.lock'; my $p = start([ $minivmm, '-c', 'taken.ini', '--log', 'error' ]); until_true { IO::Socket::UNIX->new(Peer => 'taken') }; $p } 1, 2;
    kill TERM => $first->{pid};
    finish($first);
    ok(-S 'taken', "the other process's socket file is kept");
    kill TERM => $second->{pid};
    finish($second);
    ok(!-e 'taken', "minivmm's own socket file is removed");
}

done_testing;
