# SPDX-License-Identifier: BSD-2-Clause
# Shared code of the end-to-end tests: paths, a temporary folder, running a command and testing its
# result.
package Minivmm;

use v5.14;
use warnings;

use Cwd qw(abs_path getcwd);
use lib abs_path('tests/lib');    # absolute, since the folder changes below
use Exporter 'import';
use File::Temp 'tempdir';
use JSON::PP 'decode_json';
use POSIX qw(setsid :sys_wait_h :termios_h);
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw($minivmm $build $branches $top $configs run start finish fails slurp spew names inspect numbers registers status_of guest said
  heard ours until_true terminal);

# make check sets MINIVMM and BUILD. Tests start at the top of the tree.
our $minivmm = abs_path($ENV{MINIVMM} // './minivmm');
our $build = abs_path($ENV{BUILD} // 'build');
our $top = abs_path('.');
# ThreadSanitizer does not support threads that start after a fork.
our $branches = $build !~ /tsan$/;
our $configs = "$top/configs";

# Tests run in a temporary folder; the output of commands goes beside it. With KEEP=1 both are kept,
# with each command as a script: "cd here; sh ../N.sh" repeats the Nth.
my $folder = tempdir('minivmm-test-XXXXXX', TMPDIR => 1, CLEANUP => !$ENV{KEEP});
diag("KEEP: $folder") if $ENV{KEEP};
my $started = 0;
mkdir "$folder/here" and chdir "$folder/here" or die "$folder: $!";

# A test's preloaded library comes before the sanitizer's.
$ENV{ASAN_OPTIONS} = join ':', $ENV{ASAN_OPTIONS} // (), 'verify_asan_link_order=0';
# A forked child continues without the threads of its parent.
$ENV{TSAN_OPTIONS} = join ':', $ENV{TSAN_OPTIONS} // (), 'die_after_fork=0', "suppressions=$top/tests/lib/tsan.supp";
# The factor for time-outs: tests on a busy host need more time.
my $patience = $ENV{PATIENCE} || 1;
my %running;
END { kill KILL => keys %running; chdir '/' }

sub slurp {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "$file: $!";
    local $/;
    return scalar <$in>;
}

sub spew {
    my ($file, $bytes) = @_;
    open my $out, '>:raw', $file or die "$file: $!";
    print $out $bytes;
    close $out or die "$file: $!";
}

# Returns the names in a folder, sorted, separated by blanks.
sub names {
    opendir my $here, shift // '.' or die "$!";
    return join ' ', sort grep { !/^\.\.?$/ } readdir $here;
}

# Those of the processes that run in the test's folder: of branches, whose numbers may have been
# used again once they have ended.
sub ours {
    my $here = getcwd();
    return grep { (readlink("/proc/$_/cwd") // '') eq $here } @_;
}

# Starts a command, with additions to the environment. Keys in lower case are options: stdin: bytes
# or a handle (default: empty); stdout: a handle or file (default: collected); terminal: an object
# of terminal() for stdin and stdout.
sub start {
    my ($command, %with) = @_;
    my $self = { command => $command, name => "$folder/" . ++$started };
    my ($in, $out, $terminal) = delete @with{qw(stdin stdout terminal)};
    spew("$self->{name}.in", $in // '') if !ref $in;
    spew("$self->{name}.sh", join(' ', map { "'" . s/'/'\\''/gr . "'" } %with ? 'env' : (), map({ "$_=$with{$_}" } sort keys %with),
        @$command) . "\n") if $ENV{KEEP};
    $self->{pid} = fork // die "fork: $!";
    if (!$self->{pid}) {
        %running = ();
        @ENV{ keys %with } = values %with;
        setsid() if $terminal;
        $SIG{$_} = 'DEFAULT' for qw(INT QUIT HUP);    # a test in the background or under nohup ignores them
        open STDIN, '<' . (ref $in ? '&' : ''),
          $terminal ? $terminal->{name} : ref $in ? $in : "$self->{name}.in"
          or die "stdin: $!";
        open STDOUT, '>' . (ref $out ? '&' : ''), $out // ($terminal ? $terminal->{name} : "$self->{name}.out")
          or die "stdout: $!";
        open STDERR, '>', "$self->{name}.err" or die "stderr: $!";
        { exec { $command->[0] } @$command }
        POSIX::_exit(127);
    }
    $running{ $self->{pid} } = 1;
    return $self;
}

# Waits for the end of a command. Returns its status, stdout and stderr. The status is 1000 + N if
# signal N has killed it; 1009 on a time-out.
sub finish {
    my ($self, $timeout) = @_;
    my $end = time + ($timeout // 60) * $patience;
    my $nap = 0.0005;
    while (waitpid($self->{pid}, WNOHANG) == 0) {
        if (time > $end) {
            diag("late: @{ $self->{command} }");
            kill KILL => $self->{pid};
            waitpid $self->{pid}, 0;
            last;
        }
        sleep $nap;
        $nap *= 1.5 if $nap < 0.01;
    }
    my $status = $? & 127 ? 1000 + ($? & 127) : $? >> 8;
    delete $running{ $self->{pid} };
    return ($status, map { -e "$self->{name}.$_" ? slurp("$self->{name}.$_") : '' } qw(out err));
}

# Starts a command and waits for its end: start and finish.
sub run {
    my ($command, %with) = @_;
    my $timeout = delete $with{timeout};
    return finish(start($command, %with), $timeout);
}

# The output of a running command so far: said returns stderr, heard returns stdout.
sub said { return -e "$_[0]{name}.err" ? slurp("$_[0]{name}.err") : '' }
sub heard { return -e "$_[0]{name}.out" ? slurp("$_[0]{name}.out") : '' }

# Polls a condition. Returns false on a time-out.
sub until_true(&;$) {
    my ($what, $timeout) = @_;
    my $end = time + ($timeout // 20) * $patience;
    while (time < $end) {
        return 1 if $what->();
        sleep 0.005;
    }
    return 0;
}

# Tests that the command ends with this status, prints one line to stderr that matches, and nothing
# to stdout.
sub fails {
    my ($command, $status, $message, $name, %with) = @_;
    my ($got, $out, $err) = run($command, %with);
    my $ok = $got == $status && $out eq '' && $err =~ $message && $err =~ /\Aminivmm: [^\n]+\n\z/;
    return ok($ok, $name) || diag("status $got, stdout '$out', stderr '$err'");
}

# Returns the contents of a snapshot from minivmm inspect --json.
sub inspect {
    my ($status, $out, $err) = run([ $minivmm, 'inspect', '--json', @_ ]);
    die "inspect @_: $status $err" if $status;
    return numbers(decode_json($out));
}

# JSON with its numbers of 64 bits, which are strings in hexadecimal, as numbers.
sub numbers {
    no warnings 'portable';
    my ($value) = @_;
    return { map { ($_ => numbers($value->{$_})) } keys %$value } if ref $value eq 'HASH';
    return [ map { numbers($_) } @$value ] if ref $value eq 'ARRAY';
    return defined $value && !ref $value && $value =~ /\A0x[0-9a-f]{1,16}\z/ ? hex $value : $value;
}

# The JSON line of --status.
sub status_of { return numbers(decode_json(slurp($_[0]))) }

# Returns the registers printed by --registers, or at the end of a run: name => number.
sub registers {
    my ($text) = @_;
    no warnings 'portable';
    return { map { my ($name, $value) = split; ($name => hex $value) } $text =~ /\b(r\w+ 0x[0-9a-f]+)\b/g };
}

# Returns a config: code in hex at 0x1000, 16K of memory at that address, real mode, a serial port
# on stdio, and more sections.
sub guest {
    my ($code, $more) = @_;
    return "[vm]\nmemory_at = 0x1000\nmemory = 16K\n\n[boot]\ncode = $code\n\n"
      . "[device serial0]\nplugin = serial\noutput = stdio\n" . ($more ? "\n$more" : '');
}

# Opens a terminal. name: its slave, which stays open as {slave} and so keeps its settings;
# {master}: for typing and reading.
sub terminal {
    my %self;
    open $self{master}, '+<:raw', '/dev/ptmx' or die "/dev/ptmx: $!";
    my $number = pack 'i', 0;
    ioctl($self{master}, 0x40045431, $number) // die "TIOCSPTLCK: $!";
    ioctl($self{master}, 0x80045430, $number) // die "TIOCGPTN: $!";
    $self{name} = '/dev/pts/' . unpack 'i', $number;
    sysopen $self{slave}, $self{name}, POSIX::O_RDWR() | POSIX::O_NOCTTY() or die "$self{name}: $!";
    return bless \%self, 'Minivmm::Terminal';
}

package Minivmm::Terminal;

use POSIX ':termios_h';
use Time::HiRes 'time';

sub type { syswrite $_[0]{master}, $_[1] }

# Reads until the output matches. {seen} has all output.
sub shows {
    my ($self, $pattern, $timeout) = @_;
    my $end = time + ($timeout // 20);
    $self->{seen} //= '';
    while ($self->{seen} !~ $pattern) {
        my $ready = '';
        vec($ready, fileno $self->{master}, 1) = 1;
        return 0 if time > $end || !select $ready, undef, undef, $end - time;
        sysread $self->{master}, $self->{seen}, 4096, length $self->{seen} or return 0;
    }
    return 1;
}

# settings: a string to compare; raw: no echo, no line mode, no signals.
sub settings {
    my ($self) = @_;
    my $t = POSIX::Termios->new;
    $t->getattr(fileno $self->{slave}) // die "tcgetattr: $!";
    my @cc = map { $t->getcc($_) } 0 .. 16;
    return join ' ', $t->getiflag, $t->getoflag, $t->getcflag, $t->getlflag, @cc;
}

sub raw {
    my ($self) = @_;
    my $t = POSIX::Termios->new;
    $t->getattr(fileno $self->{slave}) // die "tcgetattr: $!";
    return !($t->getlflag & (ECHO | ICANON | ISIG));
}

1;
