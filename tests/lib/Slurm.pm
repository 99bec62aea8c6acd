# SPDX-License-Identifier: BSD-2-Clause
# A cluster of two Slurm nodes with one CPU each on this machine. Its daemons and jobs run in a PID
# namespace of the test, which ends with it however it ends, and in a network namespace, so that
# several clusters can exist.
package Slurm;

use v5.14;
use warnings;

use Cwd 'abs_path';
use Socket;
use Time::HiRes qw(sleep time);

my $conf = abs_path('tests/slurm/two-nodes.conf');

# Returns why there can be no cluster here, or nothing.
sub missing {
    my @missing = grep { system("command -v $_ >/dev/null 2>&1") } qw(slurmctld slurmd sbatch munged unshare);
    return "$missing[0] is not installed: make deps-slurm" if @missing;
    return 'it needs root' if $>;
    return 'no PID and network namespaces' if system('unshare --pid --net --fork --mount-proc true 2>/dev/null');
    return;
}

# Runs this program again in the namespaces, once. Call it first.
sub enter {
    return if $ENV{MINIVMM_SLURM};
    $ENV{MINIVMM_SLURM} = 1;
    exec qw(unshare --pid --net --fork --kill-child --mount-proc), $^X, $0, @ARGV or die "unshare: $!";
}

# The loopback interface, with a second address: getaddrinfo(3) does not look for names on a host
# that has only 127.0.0.1.
sub loopback_up {
    my $up = pack 'a16 s x22', 'lo', 0x41;
    my $address = pack 'a16 a16 x8', 'lo:1', pack_sockaddr_in(0, inet_aton('192.0.2.1'));
    socket my $socket, AF_INET, SOCK_DGRAM, 0 or die "socket: $!";
    ioctl($socket, 0x8914, $up) // die "SIOCSIFFLAGS: $!";    # IFF_UP | IFF_RUNNING
    ioctl($socket, 0x8916, $address) // die "SIOCSIFADDR: $!";
}

# Starts a daemon, which stays a child of this process.
sub daemon {
    my ($self, $name, @command) = @_;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{folder}/$name.out";
        open STDERR, '>&', \*STDOUT;
        { exec @command }
        die "$command[0]: $!\n";
    }
    $self->{pids}{$name} = $pid;
    return;
}

sub node { $_[0]->daemon($_[1], 'slurmd', '-D', '-N', $_[1]) }

# Returns the output of a command of Slurm.
sub ask {
    my ($self, @command) = @_;
    open my $from, '-|', @command or die "$command[0]: $!";
    my $out = join '', <$from>;
    close $from;
    return $out;
}

sub wait_for {
    my ($self, $what, $timeout, $condition) = @_;
    my $end = time + $timeout * ($ENV{PATIENCE} || 1);
    until ($condition->()) {
        die "Slurm: waiting for $what: " . $self->ask(qw(sinfo -N)) . $self->ask('squeue') if time > $end;
        sleep 0.1;
    }
    return;
}

# Starts the cluster in an empty folder. Dies if it does not come up.
sub new {
    my ($class, $folder) = @_;
    my $self = bless { folder => $folder, pids => {} }, $class;
    open my $in, '<', $conf or die "$conf: $!";
    open my $out, '>', "$folder/slurm.conf" or die "$folder/slurm.conf: $!";
    print $out map { s/\@DIR\@/$folder/gr } <$in>;
    close $out or die "$folder/slurm.conf: $!";
    mkdir "$folder/$_" or die "$folder/$_: $!" for qw(state spooln1 spooln2);
    open my $key, '>', "$folder/munge.key" or die "$folder/munge.key: $!";
    print $key map { chr int rand 256 } 1 .. 128;
    close $key;
    chmod 0600, "$folder/munge.key";
    $ENV{SLURM_CONF} = "$folder/slurm.conf";
    loopback_up();
    $self->daemon('munged', 'munged', '--foreground', '--force', map { "--$_->[0]=$folder/munge.$_->[1]" }
          [qw(socket socket)], [qw(key-file key)], [qw(pid-file pid)], [qw(seed-file seed)], [qw(log-file log)]);
    $self->wait_for('munged', 20, sub { -S "$folder/munge.socket" });
    $self->daemon('slurmctld', 'slurmctld', '-D');
    $self->node($_) for qw(n1 n2);
    $self->wait_for('two idle nodes', 60, sub { $self->ask(qw(sinfo -h -N -o %T)) =~ /\Aidle\nidle\n\z/ });
    return $self;
}

# The processes of a node: its daemon, and the jobs with their parents.
sub processes {
    my ($self, $node) = @_;
    my %found = ($self->{pids}{$node} => 1);
    my $read = sub { open my $file, '<', "/proc/$_[0]" or return ''; local $/; return <$file> // '' };
    for my $pid (map { m{/(\d+)/} } glob '/proc/[0-9]*/environ') {
        next if $read->("$pid/environ") !~ /(?:\A|\0)SLURMD_NODENAME=$node\0/;
        for (my $at = $pid; $at > 1 && ($at == $pid || $read->("$at/cmdline") =~ /\Aslurmstepd/);) {
            $found{$at} = 1;
            ($at) = $read->("$at/stat") =~ /\) \S (\d+)/;
            $at //= 0;
        }
    }
    return keys %found;
}

# The node loses power.
sub kill_node {
    my ($self, $node) = @_;
    kill KILL => $self->processes($node);    # twice: a process can have started another one
    kill KILL => $self->processes($node);
    waitpid delete $self->{pids}{$node}, 0;
    return;
}

# Submits a job and returns its number.
sub submit {
    my ($self, @arguments) = @_;
    my ($job) = $self->ask('sbatch', '--parsable', @arguments) =~ /\A(\d+)/ or die 'Slurm: sbatch has failed';
    return $job;
}

# The tasks of all jobs that run on a node.
sub running {
    my ($self, $node) = @_;
    return split ' ', $self->ask('squeue', '-h', '-t', 'R', '-w', $node, '-o', '%i');
}

# Waits until no job is left.
sub drain {
    my ($self, $timeout) = @_;
    return $self->wait_for('the end of all jobs', $timeout, sub { $self->ask(qw(squeue -h)) eq '' });
}

sub stop {
    my ($self) = @_;
    my @pids = values %{ $self->{pids} };
    kill TERM => @pids;
    my $end = time + 10;
    for my $pid (@pids) {
        sleep 0.05 until waitpid($pid, 1) || time > $end;
        kill KILL => $pid;
        waitpid $pid, 0;
    }
    $self->{pids} = {};
    return;
}

1;
