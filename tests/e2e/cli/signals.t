#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Signals and input at a terminal: a clean end, the terminal's settings restored, and registers on
# SIGQUIT.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use IO::Socket::INET;
use Minivmm;
use Much;
use POSIX qw(SIGHUP SIGINT SIGTERM);
use constant SIGXCPU => 24;    # POSIX does not have it
use Test::More;

# Echoes input on interrupts; halts in between.
my @echo = ($minivmm, '-c', "$configs/echo.ini", '--status', 'status.json', '--registers');
# Runs forever: mov $0x3f8,%dx; mov $'!',%al; out %al,%dx; 1: inc %ax; jmp 1b
spew('busy.ini', guest('ba f8 03 b0 21 ee 40 eb fd'));

# The number of times that the registers have been printed.
sub printed { return scalar(() = said($_[0]) =~ /vCPU 0 rip 0x/g) }

sub at_terminal {
    my ($command) = @_;
    my $terminal = terminal();
    $terminal->{before} = $terminal->settings;
    my $process = start($command, terminal => $terminal);
    ok($terminal->shows(qr/Ctrl-D ends\./) && $terminal->raw, 'the guest runs and the terminal is raw');
    return ($terminal, $process);
}

for my $signal (SIGINT, SIGTERM, SIGHUP, SIGXCPU) {
    my ($terminal, $process) = at_terminal(\@echo);
    kill $signal, $process->{pid};
    my ($status, undef, $err) = finish($process);
    is($status, 1000 + $signal, "ends by signal $signal");
    is($terminal->settings, $terminal->{before}, "the terminal's settings are restored");
    is_deeply([ @{ status_of('status.json') }{qw(cause exit)} ], [ 'signal', 128 + $signal ], '--status has the cause');
    like($err, qr/vCPU 0 rip 0x/, "the devices' reports are printed at the end");
    like($err, qr/^minivmm: the limit of CPU time is exhausted; raise ulimit -t$/m, 'the limit and the remedy') if $signal == SIGXCPU;
    unlink 'status.json';
}

# A guest that never halts.
for my $signal (SIGINT, SIGTERM) {
    my $process = start([ $minivmm, '-c', 'busy.ini', '--status', 'status.json' ]);
    ok(until_true { heard($process) eq '!' }, 'a busy guest runs');
    kill $signal, $process->{pid};
    my ($status) = finish($process);
    is($status, 1000 + $signal, "busy guest: ends by signal $signal");
    is_deeply([ @{ status_of('status.json') }{qw(cause exit)} ], [ 'signal', 128 + $signal ], '--status has the cause');
    unlink 'status.json';
}

# nohup(1) ignores SIGHUP: the machine outlives its terminal. SIGQUIT shows that it runs.
{
    my $process = start([ 'sh', '-c', 'trap "" HUP; exec "$@"', 'sh', $minivmm, '-c', 'busy.ini' ]);
    ok(until_true { heard($process) eq '!' }, 'a guest runs, with SIGHUP ignored');
    kill HUP => $process->{pid};
    kill QUIT => $process->{pid};
    ok(until_true { printed($process) || !kill(0, $process->{pid}) }, 'it runs on after SIGHUP');
    kill TERM => $process->{pid};
    is((finish($process))[0], 1000 + SIGTERM, 'SIGTERM ends it');
}

# After a triple fault (a load in long mode from an address that is not mapped, with an empty IDT),
# while objdump takes long.
SKIP: {
    mkdir 'bin';
    spew('bin/objdump', "#!/bin/sh\nexec sleep 1000\n");
    chmod 0755, 'bin/objdump';
    spew('fault.ini', guest('0f 01 1c 25 00 20 00 00 48 a1 00 00 00 00 ff 7f 00 00 f4', "[cpu]\nmode = long\n") =~ s/16K/64K/r);
    my $process = start([ $minivmm, qw(-c fault.ini --status status.json) ], PATH => "bin:$ENV{PATH}");
    ok(until_true { said($process) =~ /triple fault at rip / }, 'a triple fault');
    kill TERM => $process->{pid};
    my ($status, undef, $err) = finish($process);
    skip 'KVM has reset the registers', 3 if $err =~ /those of a reset/;
    is($status, 1000 + SIGTERM, 'a signal does not wait for objdump');
    unlike($err, qr/does not return/, 'the run ends in order');
    is(status_of('status.json')->{exit}, 128 + SIGTERM, '--status has its line');
    unlink 'status.json';
}

# Before the guest has started.
{
    pipe my $nothing, my $writer;
    my $process = start([ $minivmm, '-c', "$configs/simple-in.ini", '--set', 'device.serial0.input=stdio' ], stdin => $nothing);
    until_true { -e "/proc/$process->{pid}/fd" && `ls -l /proc/$process->{pid}/fd 2>/dev/null` =~ /signalfd/ };
    kill TERM => $process->{pid};
    is((finish($process))[0], 1000 + SIGTERM, 'a signal ends the wait for input');
}

# A parent that has blocked the signals.
{
    my $perl = 'use POSIX; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGINT, SIGTERM, SIGALRM)) or die; exec @ARGV';
    my $process = start([ $^X, '-e', $perl, $minivmm, '-c', 'busy.ini' ]);
    ok(until_true { heard($process) eq '!' }, 'a guest runs, with signals blocked by the parent');
    kill TERM => $process->{pid};
    is((finish($process, 20))[0], 1000 + SIGTERM, 'SIGTERM ends it');
}

# The first process of a container, which the kernel protects from the default action of a signal.
SKIP: {
    my @first = qw(unshare --pid --fork --kill-child);
    skip 'no PID namespaces', 3 if system("@first true 2>/dev/null");
    is((run([ $minivmm, qw(-c busy.ini --until access:1 --save busy.snap) ]))[0], 0, 'a snapshot');
    spew('input', '');
    my $faulty = guest('e6 12 eb fe', "[plugins]\npath = $build/tests/plugins\n\n[device a]\nplugin = faulty\nin = hang\n");
    spew('hang.ini', $faulty);
    for my $case ([qw(batch -r busy.snap --input serial0 -j 1 --timeout 1s input input)], [qw(-r -)], [qw(-c hang.ini)]) {
        next if $build =~ /tsan/ && $case->[1] eq '-';    # ThreadSanitizer delays signals in a read
        my @command = @$case;
        pipe my $nothing, my $writer or die;
        my $process = start([ @first, $minivmm, @command ], stdin => $nothing);
        my $children = sub { return (eval { slurp("/proc/$_[0]/task/$_[0]/children") } // '') =~ /(\d+)/ ? $1 : 0 };
        my $first;
        until_true { $first = $children->($process->{pid}) and slurp("/proc/$first/cmdline") =~ /^\Q$minivmm/ };
        my $works = until_true {
            return said($process) =~ /hangs$/m if $command[1] eq 'hang.ini';
            return $children->($first) if $command[0] eq 'batch';
            return slurp("/proc/$first/syscall") =~ /^0 0x0 /;
        };
        ok($works, "the first process of a container: @command");
        kill TERM => $first;
        is((finish($process, 20))[0], $command[0] eq 'batch' ? 120 : 128 + SIGTERM, 'SIGTERM ends it');
    }
}

# While a file is being opened.
if ($build !~ /tsan/) {    # ThreadSanitizer delays signals in an open
    POSIX::mkfifo('fifo', 0600);
    my $process = start([ $minivmm, '-c', 'busy.ini', '--trace', 'fifo' ]);
    # An openat() that takes longer than those of the program's own start.
    my $before = '';
    until_true {
        my $now = -e "/proc/$process->{pid}/syscall" ? slurp("/proc/$process->{pid}/syscall") : '';
        my $same = $now =~ /^257 / && $now eq $before;
        $before = $now;
        select undef, undef, undef, 0.02;
        return $same;
    };
    kill TERM => $process->{pid};
    is((finish($process, 10))[0], 1000 + SIGTERM, 'a signal ends the wait for a reader of the trace');
}
{
    # A server that does not accept: its queue is full.
    my $server = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "listen: $!";
    my @queue = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->sockport, Blocking => 0) } 1 .. 4;
    my @connects = ($minivmm, '-c', 'busy.ini', '--set', 'device.serial0.output=tcp:127.0.0.1:' . $server->sockport);
    for my $signal (SIGINT, SIGTERM) {
        my $process = start(\@connects);
        until_true { -e "/proc/$process->{pid}/fd" && `ls -l /proc/$process->{pid}/fd 2>/dev/null` =~ /signalfd(.*\n)+.*socket/ };
        my $begin = time;
        kill $signal, $process->{pid};
        is((finish($process, 9))[0], 1000 + $signal, "signal $signal ends the wait for a connection");
        cmp_ok(time - $begin, '<=', 2, 'within a short time');
    }
    my $terminal = terminal();
    my $process = start([ @connects, '--set', 'device.serial0.input=stdio' ], terminal => $terminal);
    ok(until_true { $terminal->raw }, 'the terminal is raw while minivmm connects');
    $terminal->type("\cAx");
    is((finish($process, 9))[0], 0, 'Ctrl-A x ends the wait for a connection');
}

# SIGQUIT prints registers, any number of times, and the machine continues.
{
    my ($terminal, $process) = at_terminal([@echo]);
    for my $time (1 .. 3) {
        kill QUIT => $process->{pid};
        ok(until_true { printed($process) == $time }, "SIGQUIT prints registers, time $time");
        $terminal->type("x$time");
        ok($terminal->shows(qr/x$time/), 'the guest continues');
    }
    $terminal->type("\cD");
    is((finish($process))[0], 0, 'the guest ends with its own status');
    is_deeply([ @{ status_of('status.json') }{qw(cause exit)} ], [ 'hlt', 0 ], '--status has the cause');
}
{
    my $process = start([ $minivmm, '-c', 'busy.ini' ]);
    ok(until_true { heard($process) eq '!' }, 'a busy guest runs');
    for my $time (1 .. 3) {
        kill QUIT => $process->{pid};
        ok(until_true { printed($process) == $time }, "busy guest: SIGQUIT prints registers, time $time");
    }
    my $works = until_true {
        my $before = printed($process);
        kill QUIT => $process->{pid};
        until_true { printed($process) > $before };
        my %rax = map { $_ => 1 } said($process) =~ /rax (0x[0-9a-f]+)/g;
        return keys %rax > 1;
    };
    ok($works, 'the guest executes instructions in between');
    kill TERM => $process->{pid};
    finish($process);
}

# A plugin's child process that ends by exit() leaves the terminal as the guest has it.
#   print A; out %al,$0x12; print B; 1: jmp 1b
{
    my $terminal = terminal();
    my $device = "[device a]\nplugin = faulty\nin = child\n";
    my $config = guest('ba f8 03 b0 41 ee e6 12 b0 42 ee eb fe',
        "[plugins]\npath = $build/tests/plugins\n\n$device");
    spew('child.ini', $config =~ s/^output = stdio$/$&\ninput = stdio/mr);
    my $process = start([ $minivmm, '-c', 'child.ini' ], terminal => $terminal);
    ok($terminal->shows(qr/AB/) && $terminal->raw, "raw after the end of a plugin's child");
    kill TERM => $process->{pid};
    finish($process);
}

# A signal to a plugin's child process ends that alone.
#   print !; hlt
if ($build !~ /tsan/) {    # ThreadSanitizer delays the child's signal
    my $device = "[device a]\nplugin = faulty\nin = child-start\n";
    spew('child.ini', guest('ba f8 03 b0 21 ee f4',
            "[plugins]\npath = $build/tests/plugins\n\n$device"));
    my ($status, $out) = run([ $minivmm, qw(-c child.ini --status status.json) ]);
    is("$status:$out", '0:!', 'the guest runs to its end');
    is(status_of('status.json')->{cause}, 'hlt', '--status has its cause');
    unlink 'status.json';
}

# Ctrl-A: help, Ctrl-A itself, and the end.
{
    my ($terminal, $process) = at_terminal(\@echo);
    $terminal->type("a\cAh");
    ok($terminal->shows(qr/a/), 'input is echoed');
    ok(until_true { said($process) =~ /Ctrl-A x/ } || $terminal->shows(qr/Ctrl-A x/, 1), 'Ctrl-A h prints help');
    $terminal->type("\cA\cAb");
    ok($terminal->shows(qr/\x01b/), 'Ctrl-A Ctrl-A sends one Ctrl-A to the guest');
    $terminal->type("\cAx");
    my ($status) = finish($process);
    is($status, 0, 'Ctrl-A x ends the run');
    is(status_of('status.json')->{cause}, 'quit', '--status has the cause');
    is($terminal->settings, $terminal->{before}, "the terminal's settings are restored");
    unlike($terminal->{seen}, qr/x\r?\n?\z/, 'the x does not reach the guest');
}

# The terminal's settings are restored when the guest or the program fails, and when the start
# fails.
for my $case (
    [ 'the guest halts', 0, 'device.serial0.output=stdio' ],
    [ 'the start fails', 113, 'device.serial0.output=unix:no/such/socket' ],
  ) {
    my ($name, $expected, $set) = @$case;
    my $terminal = terminal();
    my $before = $terminal->settings;
    my $process = start([ $minivmm, '-c', "$configs/simple-in.ini", '--set', 'device.serial0.input=stdio', '--set', $set ],
        terminal => $terminal);
    $terminal->type("\x03") if !$expected && until_true { $terminal->raw };
    is((finish($process))[0], $expected, $name);
    is($terminal->settings, $before, "$name: the terminal's settings are restored");
}

# The reader of the output has stalled at the end of the run: the terminal's settings are restored
# before the wait.
{
    my $terminal = terminal();
    my $before = $terminal->settings;
    my ($reader, $writer) = small_pipe();
    spew('endless.ini', endless() . "input = stdio\n[control]\nsocket = vm.sock\n");
    my $process = start([ $minivmm, '-c', 'endless.ini' ], terminal => $terminal, stdout => $writer);
    ok(until_true { $terminal->raw }, 'a machine whose output is not read');
    my $control = Control->connect('vm.sock');
    # One byte may be on its way to the port.
    ok(until_true { $control->accesses('serial0', 'writes') > $small_pipe + 1 }, 'the pipe is full and more output waits');
    $terminal->type("\cAx");
    ok(until_true { $terminal->settings eq $before }, "Ctrl-A x: the terminal's settings are restored while output waits");
    $terminal->type("\cC");
    is((finish($process))[0], 1000 + SIGINT, 'Ctrl-C ends the wait');
}

# A device fails in a callback while the terminal is raw.
sub faulty {
    my ($in) = @_;
    my $terminal = terminal();
    $terminal->{before} = $terminal->settings;
    spew('x.ini', guest('e6 12 eb fe', "input = stdio\n\n[plugins]\npath = $build/tests/plugins\n\n[device a]\nplugin = faulty\nin = $in\n")
          =~ s/\n\ninput/\ninput/r);
    my $process = start([ $minivmm, '-c', 'x.ini' ], terminal => $terminal);
    return ($terminal, $process);
}
SKIP: {
    skip 'a sanitizer handles the signal itself', 12 if $build =~ /[at]san/;
    my $where = 'in device a, callback write at offset 0x2 of its range: plugin faulty is at fault';
    for (
        [ crash => 115, qr/SIGSEGV at 0x0 $where/ ],
        [ abort => 115, qr/SIGABRT $where/ ],
        [ overflow => 115, qr/SIGSEGV at 0x[0-9a-f]+ $where/ ],
        [ exit => 115, qr/exit\(\) is called $where/ ],
      ) {
        my ($in, $expected, $words) = @$_;
        my ($terminal, $process) = faulty($in);
        my ($status, undef, $err) = finish($process);
        is($status, $expected, "a plugin with $in: the exit status");
        like($err, $words, "$in: the messages");
        is($terminal->settings, $terminal->{before}, "$in: the terminal's settings are restored");
    }
}

# Signals whose default action ends the process.
for my $signal (POSIX::SIGALRM, POSIX::SIGUSR2, POSIX::SIGRTMAX) {
    my ($terminal, $process) = faulty('nowhere');
    ok(until_true { $terminal->raw }, 'runs');
    kill $signal, $process->{pid};
    is((finish($process))[0], 1000 + $signal, "ends by signal $signal");
    is($terminal->settings, $terminal->{before}, "the terminal's settings are restored");
}

# A callback that does not return, on a vCPU's thread and on the main thread.
for ([ hang => SIGINT, 'SIGINT', 'write at offset 0x2 of its range' ], [ 'hang-start' => SIGTERM, 'SIGTERM', 'start' ]) {
    next if $build =~ /tsan/ && $_->[0] eq 'hang-start';    # ThreadSanitizer delays signals in a loop
    my ($in, $signal, $name, $callback) = @$_;
    my ($terminal, $process) = faulty($in);
    ok(until_true { said($process) =~ /hangs$/m }, $in);
    kill $signal, $process->{pid};
    my ($status, undef, $err) = finish($process, 10);
    is($status, 1000 + $signal, "$in: a second signal ends the process");
    like($err, qr/^minivmm: $name: code in device a, callback $callback does not return; exiting anyway\n\z/m, 'the message names the device and the callback');
    is($terminal->settings, $terminal->{before}, "the terminal's settings are restored");
}

done_testing;
