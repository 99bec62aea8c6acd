#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A message about a long name keeps its beginning, and the cause and the remedy at its end. On an
# emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my $long = join '/', '', ('n' x 200) x 8;
spew('a.ini', guest('90 f4'));
spew('image.ini', "[vm]\nmemory = 16K\n");
my @run = (qw(-c a.ini --set device.serial0.output=none --until step:1));
my $missing = 'No such file or directory';
for (
    [ ['-c', $long], 'reading the config', qr/$missing; check the name/ ],
    [ ['-r', $long], 'cannot open snapshot', qr/$missing; check the name/ ],
    [ [ '-c', 'image.ini', '--set', "boot.image=$long" ], '--set boot.image: opening the image', qr/$missing; build it or correct the path/ ],
    [ [ @run, '--save', $long ], 'cannot write snapshot', qr/$missing/ ],
    [ [ @run, '--trace', $long ], 'cannot write the trace to', qr/$missing/ ],
    [ [ @run, '--status', $long ], 'cannot write the status to', qr/$missing/ ],
    [ [ @run, '--set', "vm.memory_file=$long" ], 'cannot open memory_file', qr/$missing/ ],
    [ [ @run, '--set', $long ], "--set /nnn", qr/no '='; write KEY=VALUE/ ],
    [ [ 'ctl', $long, 'status' ], 'cannot connect to', qr/it has a name of more than \d+ bytes; use a shorter name/ ],
    [ [ 'plugins', $long ], 'plugin /nnn', qr/$missing/ ],
    [ [ 'doctor', 'a', $long ], 'doctor: unexpected argument', qr/use minivmm doctor \[KERNEL\]/ ],
    [ [$long], 'unknown command', qr/see minivmm --help/ ],
  ) {
    my ($arguments, $begin, $end) = @$_;
    my ($status, undef, $err) = run([ $minivmm, @$arguments ]);
    like($status, qr/\A11[0-3]\z/, "$arguments->[0]: $begin: the status");
    like($err, qr/\Aminivmm: \Q$begin\E.*n \.\.\. n.*$end\n\z/, 'the ends of the message') or diag($err);
}
unlink 'a.ini', 'image.ini';
is(names(), '', 'no file is left');
done_testing;
