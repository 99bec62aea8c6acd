#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A machine that writes memory which a branch shares gets its huge pages back when the branch has
# ended. Otherwise each of them would lengthen the stops of later branches.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;

use constant MIB => 1024;    # KiB

# Long mode, CPL 3: fills 16 MiB, prints a; when it gets a byte, writes into each 2 MiB, prints it.
#
#   mov %rdi,%rsi; rep stosq; mov $0x3f8,%edx; mov $'a',%al; out %al,%dx
# 1: mov $0x3fd,%edx; in %dx,%al; test $1,%al; jz 1b; mov $0x3f8,%edx; in %dx,%al
#   mov %rsi,%rdi; mov $8,%ecx; 2: mov %al,(%rdi); add $0x200000,%rdi; dec %ecx; jnz 2b
#   out %al,%dx; jmp 1b
spew('huge.ini', <<"");
[vm]
memory_at = 0
memory = 20M
[boot]
code = 48 89 fe f3 48 ab ba f8 03 00 00 b0 61 ee ba fd 03 00 00 ec a8 01 74 f6 ba f8 03 00 00 ec 48 89 f7 b9 08 00 00 00 88 07 48 81 c7 00 00 20 00 ff c9 75 f3 ee eb d8
at = 0x1000
[cpu]
mode = long
cs.selector = 0x23
cs.dpl = 3
ss.selector = 0x1b
ss.dpl = 3
rax = 0x0123456789abcdef
rdi = 0x200000
rcx = 0x200000
rip = 0x1000
[device serial0]
plugin = serial
port = 0x3f8
input = stdio
output = stdio

# KiB of huge pages in the mapping of the guest's memory.
sub huge {
    my ($process) = @_;
    my $size = 0;
    for (split /\n/, slurp("/proc/$process->{pid}/smaps")) {
        $size = $1 if /^Size: +(\d+) kB/;
        return $1 if $size == 20 * MIB && /^AnonHugePages: +(\d+) kB/;
    }
    return 0;
}

pipe my $input, my $words or die "pipe: $!";
$words->autoflush(1);
my $machine = start([ $minivmm, '-c', 'huge.ini', '--set', 'control.socket=a' ], stdin => $input);
until_true { heard($machine) eq 'a' };
plan skip_all => 'this host gives no huge pages' if huge($machine) < 16 * MIB;
my $control = Control->connect('a');
my $reply = $control->request('branch b --paused');
ok($reply->{ok}, 'a branch') or diag($reply->{error});
print $words 'x';
until_true { heard($machine) =~ /x/ };
cmp_ok(huge($machine), '<', 8 * MIB, 'the writes split huge pages');
kill KILL => $reply->{branches}[0]{pid};
ok(until_true { huge($machine) >= 16 * MIB }, 'they are put together when the branch has ended');
print $words 'y';
ok(until_true { heard($machine) =~ /y/ }, 'the machine runs on');
$control->request('quit');
finish($machine);
done_testing;
