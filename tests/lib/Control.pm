# SPDX-License-Identifier: BSD-2-Clause
# A client of the control socket.
package Control;

use v5.14;
use warnings;

use IO::Select;
use IO::Socket::UNIX;
use JSON::PP 'decode_json';
use Time::HiRes qw(sleep time);

# Connects, and waits until the machine listens. Returns undef on a time-out.
sub connect {
    my ($class, $path, $timeout) = @_;
    my $end = time + ($timeout // 30);
    my $socket;
    sleep 0.003 until ($socket = IO::Socket::UNIX->new(Peer => $path)) || time > $end;
    return $socket && bless { socket => $socket, in => '' }, $class;
}

sub send {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    return syswrite $self->{socket}, $bytes;
}

# Returns the next line; undef if the connection is closed or on a time-out.
sub line {
    my ($self, $timeout) = @_;
    my $end = time + ($timeout // 60);
    while ($self->{in} !~ /\n/) {
        my $left = $end - time;
        return undef if $left < 0 || !IO::Select->new($self->{socket})->can_read($left);
        sysread $self->{socket}, $self->{in}, 65536, length $self->{in} or return undef;
    }
    $self->{in} =~ s/\A(.*)\n//;
    return $1;
}

# Returns the next reply, decoded; {} if there is none.
sub reply {
    my $line = line(@_);
    return defined $line ? Minivmm::numbers(decode_json($line)) : {};
}

sub request {
    my ($self, $request, $timeout) = @_;
    $self->send("$request\n");
    return $self->reply($timeout);
}

# Returns the number of accesses of the guest to a device: "reads" or "writes".
sub accesses {
    my ($self, $device, $kind) = @_;
    my ($found) = grep { $_->{name} eq $device } @{ $self->request('devices')->{devices} // [] };
    return $found ? $found->{$kind} : 0;
}

1;
