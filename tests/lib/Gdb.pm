# SPDX-License-Identifier: BSD-2-Clause
# Debian's gdb as a client of the tool gdb, in batch mode, and a client that sends single packets.
package Gdb;

use v5.14;
use warnings;

use Exporter 'import';
use IO::Select;
use IO::Socket::UNIX;
use Minivmm;
use Test::More;

our @EXPORT = qw(debugged gdb gdb_start build_guest packet_client);

my $scripts = 0;

# Starts a machine with the tool gdb on a socket in the current folder. Returns the command once the
# socket accepts clients; the file is there before. options: more options of the tool.
sub debugged {
    my ($socket, $arguments, %with) = @_;
    my $machine = start([ $minivmm, '--tool', "gdb:listen=unix-listen:$socket" . ($with{options} // ''), @$arguments ]);
    until_true { IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $socket) } 60 or diag("$socket is not there: " . said($machine));
    return $machine;
}

# Starts gdb with these commands. arguments: for its command line.
sub gdb_start {
    my ($socket, $commands, @arguments) = @_;
    my $script = 'gdb' . ++$scripts . '.cmd';
    spew($script, join "\n", 'set confirm off', 'set pagination off', 'set width 0', 'set remotetimeout 300', "target remote $socket", @$commands, '');
    return start([ 'gdb', '-nx', '-batch', '-iex', 'set auto-load off', @arguments, '-x', $script ], HOME => '/nonexistent', TERM => 'dumb');
}

# The same, to its end. Returns what it prints, errors included.
sub gdb {
    my ($status, $out, $err) = finish(gdb_start(@_), 300);
    is($status, 0, 'gdb ends') or diag("$out$err");
    return "$out$err";
}

# Assembles a guest with debug information, linked at 0x1000. Returns the ELF file; beside it is
# NAME.bin.
sub build_guest {
    my ($name, $source) = @_;
    spew("$name.S", $source);
    for (
        [ qw(as -g -o), "$name.o", "$name.S" ],
        [ qw(ld -m elf_x86_64 -N --no-warn-rwx-segments -Ttext=0x1000 -e 0x1000 -o), "$name.elf", "$name.o" ],
        [ qw(objcopy -O binary -j .text -j .data), "$name.elf", "$name.bin" ])
    {
        my ($status, $out, $err) = run($_);
        die "@$_: $err" if $status;
    }
    return "$name.elf";
}

# --- Packets ---

sub packet_client {
    my ($path) = @_;
    my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $path) or die "$path: $!";
    $socket->autoflush(1);
    return bless { socket => $socket, bytes => '' }, 'Gdb';
}

sub bytes { $_[0]{socket}->print($_[1]) }

sub send {
    my ($self, $contents) = @_;
    $self->bytes(sprintf '$%s#%02x', $contents, unpack '%8C*', $contents);
}

# Waits for the next packet. Returns its contents; undef: none came, or the connection has ended.
sub receive {
    my ($self, $timeout) = @_;
    my $select = IO::Select->new($self->{socket});
    while (1) {
        if ($self->{bytes} =~ s/\A[+-]*\$([^#]*)#(..)//s) {
            my ($contents, $sum) = ($1, $2);
            die "the sum of $contents is $sum" if hex $sum != unpack '%8C*', $contents;
            return $contents;
        }
        return if !$select->can_read($timeout // 60) || !sysread $self->{socket}, $self->{bytes}, 65536, length $self->{bytes};
    }
}

sub ask {
    my ($self, $contents) = @_;
    $self->send($contents);
    return $self->receive;
}

sub close { close $_[0]{socket} }

1;
