#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A machine as a job of a shell: stopped, in the background, in the foreground again. The terminal
# is raw in the foreground, and left alone in the background; SIGTERM ends the machine in any state.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use POSIX qw(:signal_h setpgid setsid tcsetpgrp tcgetpgrp WNOHANG WUNTRACED);
use Test::More;

my @echo = ($minivmm, '-c', "$configs/echo.ini");

# Starts a shell: the leader of a session at a terminal of its own. It starts a command as a job and
# carries out the commands that it reads from a pipe, one per line.
sub shell {
    my ($where, $setup, @command) = @_;
    my $terminal = terminal();
    my %self = (terminal => $terminal, settings => $terminal->settings);
    pipe my $orders, $self{orders} or die;
    pipe $self{answers}, my $answers or die;
    $self{pid} = fork // die "fork: $!";
    if (!$self{pid}) {
        close $self{orders};
        setsid();
        open my $tty, '+<', $terminal->{name} or POSIX::_exit(126);
        $SIG{TTOU} = $SIG{TTIN} = 'IGNORE';
        my $job = fork;
        if (!$job) {
            setpgid(0, 0);
            tcsetpgrp(fileno $tty, getpgrp) if $where eq 'foreground';
            $SIG{$_} = 'DEFAULT' for qw(TTOU TTIN INT QUIT);
            $setup->();
            open STDIN, '<&', $tty;
            open STDOUT, '>&', $tty;
            open STDERR, '>', 'err';
            { exec { $command[0] } @command }
            POSIX::_exit(127);
        }
        setpgid($job, $job);
        syswrite $answers, "$job\n";
        while (defined(my $order = <$orders>)) {
            tcsetpgrp(fileno $tty, $job) if $order =~ /fg/;
            tcsetpgrp(fileno $tty, getpgrp) if $order =~ /bg/;
            kill CONT => $job if $order =~ /cont/;
            last if $order =~ /wait/ && do { waitpid $job, 0; syswrite $answers, ($? & 127) . "\n" };
            syswrite $answers, "done\n";
        }
        POSIX::_exit(0);
    }
    $self{job} = readline $self{answers};
    chomp $self{job};
    return bless \%self, 'Shell';
}

sub Shell::order {
    my ($self, $order) = @_;
    syswrite $self->{orders}, "$order\n";
    chomp(my $answer = readline $self->{answers});
    return $answer;
}

# The letter of /proc/PID/stat.
sub Shell::state {
    my ($self) = @_;
    open my $stat, '<', "/proc/$self->{job}/stat" or return '';
    return <$stat> =~ /\) (\w)/ ? $1 : '';
}
sub Shell::stopped { my ($self) = @_; return main::until_true { $self->state eq 'T' } }
sub Shell::runs { my ($self) = @_; return main::until_true { $self->state =~ /[RS]/ } }

# Ends the machine by SIGTERM. A stopped process needs SIGCONT, too, as a shell's kill sends it.
sub Shell::ends {
    my ($self, $name) = @_;
    kill TERM => $self->{job};
    kill CONT => $self->{job};
    my $gone = main::until_true { $self->state =~ /^Z?$/ };
    kill KILL => $self->{job} if !$gone;
    return main::is(($gone ? 'ended by ' : 'still there ') . $self->order('wait'), 'ended by ' . POSIX::SIGTERM, "$name: SIGTERM ends it");
}

sub Shell::unchanged {
    my ($self, $name) = @_;
    return main::is($self->{terminal}->settings, $self->{settings}, "$name: the terminal's mode is the shell's");
}

sub Shell::echoes {
    my ($self, $text, $name) = @_;
    $self->{terminal}->type($text);
    return main::ok($self->{terminal}->shows(qr/\Q$text\E/), "$name: the guest reads the terminal");
}

END { kill KILL => -$_ for grep { $_ } our @pids }

sub started {
    my $shell = shell(@_);
    push our @pids, $shell->{job};
    return $shell;
}

# In the foreground, stopped by each signal, and in the foreground again. Only a stop that can be
# caught restores the terminal first; otherwise the shell does.
{
    my $shell = started('foreground', sub { }, @echo);
    ok(until_true { $shell->{terminal}->raw }, 'in the foreground the terminal is raw');
    $shell->echoes('one', 'in the foreground');
    my $raw = $shell->{terminal}->settings;
    kill TSTP => $shell->{job};
    ok($shell->stopped, 'SIGTSTP stops it');
    $shell->unchanged('SIGTSTP');
    for my $word (qw(two three)) {
        $shell->order('fg cont');
        ok(until_true { $shell->{terminal}->settings eq $raw }, 'fg makes the terminal raw again');
        $shell->echoes($word, 'after fg');
        kill STOP => $shell->{job};
        ok($shell->stopped, 'SIGSTOP stops it');
        $shell->order('bg');
        Minivmm::run([ 'stty', '-F', $shell->{terminal}{name}, 'sane' ]);
    }
    my $cooked = $shell->{settings} = $shell->{terminal}->settings;

    # Continued in the background, it stops, as any process that reads the terminal.
    $shell->order('bg cont');
    ok($shell->stopped, 'bg: it stops again');
    $shell->unchanged('bg');
    $shell->order('fg cont');
    ok(until_true { $shell->{terminal}->settings eq $raw }, 'fg after bg');
    $shell->echoes('four', 'fg after bg');
    kill TSTP => $shell->{job};
    $shell->stopped;
    $shell->order('bg');
    $shell->ends('stopped, in the background');
}

# Started in the background.
{
    my $shell = started('background', sub { }, @echo);
    ok($shell->stopped, 'started in the background it stops');
    $shell->unchanged('started in the background');
    $shell->order('bg cont');
    ok($shell->stopped, 'continued there, it stops again');
    $shell->ends('started in the background');
    $shell->unchanged('at the end');

    $shell = started('background', sub { }, @echo);
    ok($shell->stopped, 'another one');
    $shell->order('fg cont');
    ok(until_true { $shell->{terminal}->raw }, 'started in the background, fg: the terminal is raw');
    $shell->echoes('five', 'fg');
    $shell->ends('in the foreground');
    $shell->unchanged('at the end');
}

# Nobody can stop it: it runs, without the terminal.
{
    my $shell = started('background', sub { $SIG{TTIN} = 'IGNORE' }, @echo);
    ok($shell->{terminal}->shows(qr/Ctrl-D ends/), 'with SIGTTIN ignored it runs in the background');
    $shell->unchanged('SIGTTIN ignored');
    $shell->{terminal}->type("x\n");
    ok($shell->runs, 'it runs on after input');
    $shell->ends('SIGTTIN ignored');
    $shell->unchanged('at the end');
}

# The kernel does not stop a process without a shell, such as the first one of a container or of a
# terminal emulator: the terminal is raw again.
{
    my $terminal = terminal();
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        setsid();
        open STDIN, '+<', $terminal->{name} or POSIX::_exit(126);
        open STDOUT, '>&', \*STDIN;
        open STDERR, '>&', \*STDIN;
        { exec { $echo[0] } @echo }
        POSIX::_exit(127);
    }
    our @pids;
    push @pids, $pid;
    ok($terminal->shows(qr/Ctrl-D ends/), 'without a shell: it runs');
    ok(until_true { $terminal->raw }, 'the terminal is raw');
    kill TSTP => $pid;
    ok(until_true { slurp("/proc/$pid/status") =~ /^ShdPnd:\s*0+$/m }, 'SIGTSTP is delivered');
    ok(until_true { $terminal->raw }, 'SIGTSTP did not stop it: the terminal is raw again');
    $terminal->type("\x01h");
    ok($terminal->shows(qr/shows this/), 'it has the keys');
    kill TERM => $pid;
    waitpid $pid, 0;
    is($? & 127, POSIX::SIGTERM, 'SIGTERM ends it');
}

# Output alone does not stop it, unless the terminal has tostop.
for my $tostop (0, 1) {
    my @command = (@echo, '--set', 'device.serial0.input=none', '--log', 'error');
    my $shell = started('background', sub { }, $tostop ? ('sh', '-c', 'trap "" TTOU; stty tostop; trap - TTOU; exec "$@"', 'sh', @command) : @command);
    if ($tostop) {
        ok($shell->stopped, 'tostop: output stops it');
        ok(!$shell->{terminal}->shows(qr/Ctrl-D ends/, 0.1), 'tostop: no output');
    } else {
        ok($shell->{terminal}->shows(qr/Ctrl-D ends/), 'output from the background');
        ok($shell->runs, 'it runs');
    }
    $shell->ends('output in the background');
}

# Two machines of one job: the one that ends last would restore the raw mode of the other.
{
    my $terminal = terminal();
    my $settings = $terminal->settings;
    for my $round (1, 2) {
        my $first = start([@echo], stdin => $terminal->{slave});
        ok(until_true(sub { $terminal->raw }), 'a machine reads the terminal');
        fails([@echo], 113, qr/cannot use the terminal: process $first->{pid} has it in raw mode; end that, or give the device another input, as with --set device\.NAME\.input=none/,
            'refused: another machine', stdin => $terminal->{slave});
        ok($terminal->raw, 'which leaves its mode');
        kill TERM => $first->{pid};
        finish($first);
        is($terminal->settings, $settings, 'the first machine restores it');
    }

    # A program that has set raw mode without a lock is the operator's.
    my $raw = POSIX::Termios->new;
    $raw->getattr(fileno $terminal->{slave});
    $raw->setlflag($raw->getlflag & ~(POSIX::ECHO | POSIX::ICANON | POSIX::ISIG));
    $raw->setattr(fileno $terminal->{slave}, POSIX::TCSANOW);
    $settings = $terminal->settings;
    my $machine = start([@echo], stdin => $terminal->{slave});
    ok(until_true(sub { said($machine) =~ /the terminal belongs to the guest/ }), 'a terminal that is raw already');
    kill TERM => $machine->{pid};
    is((finish($machine))[0], 1015, 'the machine ends');
    is($terminal->settings, $settings, 'and it is still raw');
}

done_testing;
