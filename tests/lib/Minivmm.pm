# SPDX-License-Identifier: BSD-2-Clause
# What end-to-end tests share: where things are, a folder of one's own, running a command and
# judging how it ends.
package Minivmm;

use v5.14;
use warnings;

use Cwd 'abs_path';
use lib abs_path('tests/lib');    # since the folder changes below
use Exporter 'import';
use File::Temp 'tempdir';
use JSON::PP 'decode_json';
use POSIX qw(setsid :sys_wait_h :termios_h);
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw($minivmm $build $top $configs run start finish fails slurp spew names inspect registers status_of guest said
  heard until_true terminal);

# make check sets the first two; the tests are run from the top of the tree.
our $minivmm = abs_path($ENV{MINIVMM} // './minivmm');
our $build = abs_path($ENV{BUILD} // 'build');
our $top = abs_path('.');
our $configs = "$top/configs";

# Tests run in a folder that is gone afterwards; what commands say goes beside it.
# With KEEP=1 both stay, and each command beside its output: "sh N.sh", in "here", repeats it.
my $aside = tempdir('minivmm-test-XXXXXX', TMPDIR => 1, CLEANUP => !$ENV{KEEP});
diag("KEEP: $aside") if $ENV{KEEP};
my $started = 0;
mkdir "$aside/here" and chdir "$aside/here" or die "$aside: $!";

# A sanitizer's library is not the first to be loaded when a test preloads one of its own.
$ENV{ASAN_OPTIONS} = join ':', $ENV{ASAN_OPTIONS} // (), 'verify_asan_link_order=0';
# A forked child goes on without the threads of the process.
$ENV{TSAN_OPTIONS} = join ':', $ENV{TSAN_OPTIONS} // (), 'die_after_fork=0', "suppressions=$top/tests/lib/tsan.supp";
# By this factor tests wait longer for what must come: where a host is very busy.
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

# The names in a folder, sorted, in one string.
sub names {
    opendir my $here, shift // '.' or die "$!";
    return join ' ', sort grep { !/^\.\.?$/ } readdir $here;
}

# Starts a command, with more environment. Names in lower case are ours: stdin, its bytes or a
# handle (else nothing); stdout, a handle or file (else collected); terminal, one of terminal() for
# both, but for a stdout that is given.
sub start {
    my ($command, %with) = @_;
    my $self = { command => $command, name => "$aside/" . ++$started };
    my ($in, $out, $terminal) = delete @with{qw(stdin stdout terminal)};
    spew("$self->{name}.in", $in // '') if !ref $in;
    spew("$self->{name}.sh", join(' ', map { "'" . s/'/'\\''/gr . "'" } %with ? 'env' : (), map({ "$_=$with{$_}" } sort keys %with),
        @$command) . "\n") if $ENV{KEEP};
    $self->{pid} = fork // die "fork: $!";
    if (!$self->{pid}) {
        %running = ();
        @ENV{ keys %with } = values %with;
        setsid() if $terminal;
        $SIG{$_} = 'DEFAULT' for qw(INT QUIT);    # who runs the tests in the background ignores them
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

# Waits for its end; returns its status, stdout and stderr. Killed by a signal: 1000 + its number;
# for being late: 1009.
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

# Both.
sub run {
    my ($command, %with) = @_;
    my $timeout = delete $with{timeout};
    return finish(start($command, %with), $timeout);
}

# What a command that runs has said so far: on stderr, on stdout.
sub said { return -e "$_[0]{name}.err" ? slurp("$_[0]{name}.err") : '' }
sub heard { return -e "$_[0]{name}.out" ? slurp("$_[0]{name}.out") : '' }

# Waits for something to come true; false when it does not within some seconds.
sub until_true(&;$) {
    my ($what, $timeout) = @_;
    my $end = time + ($timeout // 20) * $patience;
    while (time < $end) {
        return 1 if $what->();
        sleep 0.005;
    }
    return 0;
}

# A test: the command ends with this status, says one line that matches, and nothing on stdout.
sub fails {
    my ($command, $status, $message, $name, %with) = @_;
    my ($got, $out, $err) = run($command, %with);
    my $ok = $got == $status && $out eq '' && $err =~ $message && $err =~ /\Aminivmm: [^\n]+\n\z/;
    return ok($ok, $name) || diag("status $got, stdout '$out', stderr '$err'");
}

# What a snapshot holds, as minivmm inspect --json says it.
sub inspect {
    my ($status, $out, $err) = run([ $minivmm, 'inspect', '--json', @_ ]);
    die "inspect @_: $status $err" if $status;
    return decode_json($out);
}

# The JSON line of --status.
sub status_of { return decode_json(slurp($_[0])) }

# The registers that --registers, or the end of a run, has printed, by name and as numbers.
sub registers {
    my ($text) = @_;
    no warnings 'portable';
    return { map { my ($name, $value) = split; ($name => hex $value) } $text =~ /\b(r\w+ 0x[0-9a-f]+)\b/g };
}

# A config: code in hex at 0x1000 with 16K of memory there, real mode; a serial port on stdio; and
# what is added.
sub guest {
    my ($code, $more) = @_;
    return "[vm]\nmemory_at = 0x1000\nmemory = 16K\n\n[boot]\ncode = $code\n\n"
      . "[device serial0]\nplugin = serial\noutput = stdio\n" . ($more ? "\n$more" : '');
}

# A terminal: name of the slave, which stays open as {slave}, so that its settings stay; {master} to
# type and read.
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

# Reads until what has come matches; all that has come, in $self->{seen}.
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

# Its settings, to compare; {raw}: no echo, no lines, no signals.
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
