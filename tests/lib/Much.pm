# SPDX-License-Identifier: BSD-2-Clause
# Guests with much output, and pipes with a small capacity.
package Much;

use v5.14;
use warnings;

use Exporter 'import';
use Minivmm;

our @EXPORT = qw(much endless small_pipe $small_pipe drain);

# Writes much.ini and its image: a guest that prints the 16 KiB from 0x1000 a number of times, 16
# bytes each time that THRE is set:
#   FCR = 1; bp = times;  1: si = 0x1000;  2: in LSR; jz 2b;  cx = 16; rep outsb;  cmp si,0x5000;
#   jne 2b;  dec bp; jne 1b;  hlt
# Returns all of its output.
sub much {
    my ($times) = @_;
    my $code = pack 'H*', sprintf 'bafa03b001eebd%02x00be0010bafd03eca82074fbbaf803b91000f36e81fe005075ea4d75e4f4', $times;
    my $image = $code . join '', map { chr(($_ * 7 + ($_ >> 8) * 13) & 255) } length $code .. 0x3fff;
    spew('much.bin', $image);
    spew('much.ini', "[vm]\nmemory_at = 0x1000\nmemory = 16K\n\n[boot]\nimage = much.bin\n\n"
          . "[device serial0]\nplugin = serial\noutput = stdio\n");
    return $image x $times;
}

# Returns a config whose guest writes '!' each time that THRE is set, forever. Each byte is one
# write; those of much() are strings.
#   1: mov $0x3fd,%dx; in %dx,%al; test $0x20,%al; jz 1b
#   mov $0x3f8,%dx; mov $'!',%al; out %al,%dx; jmp 1b
sub endless { return guest('ba fd 03 ec a8 20 74 f8 ba f8 03 b0 21 ee eb f0') }

# The capacity of small_pipe, the smallest in Linux. If the guest of endless() has made more writes
# than this ("accesses" in Control.pm), output waits for the reader. Unread bytes in the pipe do not
# show that it is full.
our $small_pipe = 4096;

sub small_pipe {
    pipe my $reader, my $writer or die "pipe: $!";
    fcntl $writer, 1031, $small_pipe or die "F_SETPIPE_SZ: $!";
    return ($reader, $writer);
}

# Reads to the end.
sub drain {
    my ($reader) = @_;
    my $bytes = '';
    1 while sysread $reader, $bytes, 65536, length $bytes;
    return $bytes;
}

1;
