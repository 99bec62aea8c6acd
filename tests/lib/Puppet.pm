# SPDX-License-Identifier: BSD-2-Clause
# A client of the tool puppet (tests/plugins/puppet.c): sends lines, and receives the answers and
# events.
package Puppet;

use v5.14;
use warnings;

use Control;
use parent -norequire, 'Control';

# Sends a line. Returns the first line of the answer that begins with the line's first word; events
# that come before it are kept.
sub ask {
    my ($self, $line) = @_;
    my ($word) = $line =~ /\A(\w+)/;
    $self->send("$line\n");
    while (defined(my $answer = $self->line)) {
        return $answer =~ s/\A\w+ //r if $answer =~ /\A$word /;
        push @{ $self->{events} }, $answer;
    }
    return;
}

# The next event.
sub event {
    my ($self, $timeout) = @_;
    return shift @{ $self->{events} } if @{ $self->{events} // [] };
    return $self->line($timeout);
}

# Sends a line, expects the answer 0, and returns the event that follows.
sub event_of {
    my ($self, $line) = @_;
    my $answer = $self->ask($line) // 'nothing';
    return $answer eq '0' ? $self->event : "answer $answer";
}

# The value of a register of vCPU 0.
sub register {
    my ($self, $name) = @_;
    my ($value) = ($self->ask('general 0') // '') =~ /\b$name (0x[0-9a-f]+)/;
    return defined $value ? hex $value : undef;
}

1;
