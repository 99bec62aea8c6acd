#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What the host doesn't give: each lack is said, and ends the process with its own status.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# A test: under this limit the command ends so, and leaves nothing behind.
sub limited {
    my ($limit, $arguments, $status, $message, $name) = @_;
    my $before = names();
    my ($got, $out, $err) = run([ 'sh', '-c', "ulimit $limit && exec \"\$@\"", 'sh', $minivmm, @$arguments ]);
    is("$got:$out", "$status:", $name);
    like($err, qr/\Aminivmm: $message\n\z/, "$name: is said");
    is(names(), $before, "$name: nothing is left behind");
}

spew('x.ini', guest('f4'));

# A size of files, in units of 512 bytes: it ends a write, not the process.
limited('-f 1', [ 'new-plugin', 'foo' ], 113, qr/cannot write foo\.c: File too large/, 'new-plugin');
limited('-f 1', [ '-c', 'x.ini', '--set', 'vm.memory_file=m' ],
    113, qr/cannot size memory_file m to 0x4000 bytes: File too large/, 'memory_file');

# A reader that has gone.
{
    pipe my $reader, my $writer;
    close $reader;
    my ($status, undef, $err) = run([ $minivmm, '--help' ], stdout => $writer);
    is("$status:$err", '113:', 'a pipe that nobody reads ends it without a word');
}

# Descriptors and memory: whichever one is lacking, the run is as it would be, or ends with 111 and
# says so.
spew('x.ini', guest('ba f8 03 b0 41 ee f4', "[device c]\nplugin = counter\naddress = 0xa0000\n\n"
      . "[device l]\nplugin = mmio-logger\naddress = 0xb0000\nbacking = ram\n") =~ s/output = stdio/$&\ninput = text:abc/r);
my @save = (qw(-c x.ini --until hlt --save x.snap --trace t.json --status s.json --set), 'device.serial0.output=file:out');
my @restore = (qw(-r x.snap --set), 'device.serial0.output=file:out');

# How a run ended that lacked something: false when that was right.
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
    is("@bad", '', "$name: any number of descriptors");
    is((descriptors(20, @$arguments))[0], 0, "$name: twenty are enough");
  SKIP: {
        skip 'a sanitizer has its own malloc', 2 if $build =~ /[at]san/;
        my ($count) = (without(0, @$arguments))[2] =~ /^(\d+) allocations$/m;
        cmp_ok($count, '>', 100, "$name: its allocations");
        @bad = grep { $_ } map { wrong(without($_, @$arguments)) } 1 .. $count;
        is("@bad", '', "$name: any of which may fail");
    }
}

done_testing;
