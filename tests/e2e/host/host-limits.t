#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Resources that the host limits: each lack is reported and ends the process with the status for it.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# Tests that under this limit the command ends with a status and a message, and creates no file.
sub limited {
    my ($limit, $arguments, $status, $message, $name) = @_;
    my $before = names();
    my ($got, $out, $err) = run([ 'sh', '-c', "ulimit $limit && exec \"\$@\"", 'sh', $minivmm, @$arguments ]);
    is("$got:$out", "$status:", $name);
    like($err, qr/\Aminivmm: $message\n\z/, "$name: the message");
    is(names(), $before, "$name: no file is created");
}

spew('x.ini', guest('f4'));

# The file size limit, in units of 512 bytes: a write fails, and the process is not killed.
limited('-f 1', [ 'new-plugin', 'foo' ], 113, qr/cannot write foo\.c: File too large; raise ulimit -f \(now 512, at most 512\)/, 'new-plugin');
limited('-f 1', [ '-c', 'x.ini', '--set', 'vm.memory_file=m' ],
    113, qr/cannot size memory_file m to 0x4000 bytes: File too large; raise ulimit -f .*/, 'memory_file');

# The stack: that of a vCPU does not depend on it.
SKIP: {
    skip 'a sanitizer needs more', 1 if $build =~ /[at]san/;
    my ($status, $out, $err) = run([ 'sh', '-c', 'ulimit -s 64 && exec "$@"', 'sh', $minivmm, qw(-c x.ini --status /dev/stdout) ]);
    like("$status:$out$err", qr/\A0:\{"cause":"hlt"/, 'a small stack');
}

# A reader that has closed its pipe.
{
    pipe my $reader, my $writer;
    close $reader;
    my ($status, undef, $err) = run([ $minivmm, '--help' ], stdout => $writer);
    is("$status:$err", '113:', 'a pipe without a reader ends it without a message');
}

# File descriptors and memory: with too few of them the run has its usual result, or ends with 111
# and a message.
spew('x.ini', guest('ba f8 03 b0 41 ee f4', "[device c]\nplugin = counter\naddress = 0xa0000\n\n"
      . "[device l]\nplugin = mmio-logger\naddress = 0xb0000\nbacking = ram\n") =~ s/output = stdio/$&\ninput = text:abc/r);
my @save = (qw(-c x.ini --until hlt --save x.snap --trace t.json --status s.json --set), 'device.serial0.output=file:out');
my @restore = (qw(-r x.snap --set), 'device.serial0.output=file:out');

# The end of a run with too few resources; false if it is right.
sub wrong {
    my ($status, undef, $err) = @_;
    return 0 if $status == 111 && $err =~ /^minivmm: [^\n]*(?:no memory|no room|annot|open files|allocat|needs more memory)/m;
    return $status && "status $status: $err";
}

sub descriptors {
    my ($number, @arguments) = @_;
    return run([ 'sh', '-c', "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; ulimit -n $number && exec \"\$@\"", 'sh', $minivmm, @arguments ]);
}

sub without {
    my ($number, @arguments) = @_;
    return run([ $minivmm, @arguments ], LD_PRELOAD => "$build/tests/preload/nomem.so", NOMEM => $number, NOMEM_COUNT => 1);
}
for my $arguments (\@save, \@restore) {
    my $name = $arguments->[0];
    my @bad = grep { $_ } map { wrong(descriptors($_, @$arguments)) } 4 .. 20;
    is("@bad", '', "$name: any limit of descriptors");
    is((descriptors(20, @$arguments))[0], 0, "$name: twenty descriptors suffice");
  SKIP: {
        skip 'a sanitizer has its own malloc', 2 if $build =~ /[at]san/;
        my ($count) = (without(0, @$arguments))[2] =~ /^(\d+) allocations$/m;
        cmp_ok($count, '>', 100, "$name: the number of allocations");
        @bad = grep { $_ } map { wrong(without($_, @$arguments)) } 1 .. $count;
        is("@bad", '', "$name: any allocation can fail");
    }
}

done_testing;
