#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The inputs of a batch: files, directories, and lists, with names of any kind.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use JSON::PP;
use Minivmm;
use Test::More;

my ($status, $out, $err) = run([
    $minivmm, '-c', "$configs/batch.ini", '--set', 'device.serial0.input=none',
    '--until', 'output:serial0:? ', '--save', 'warm.snap', '--log', 'warn'
]);
is("$status:$out:$err", '0:? :', 'a snapshot at the prompt');

# Runs a batch in one process. Returns its status, and the files with their outputs, in order.
sub batch {
    my ($arguments, %with) = @_;
    my ($status, $out, $err) = run([ $minivmm, 'batch', '-r', 'warm.snap', '--input', 'serial0', '-j', 1, @$arguments ], %with);
    return "$status:$err" if $status;
    return join ' ', map { my $line = JSON::PP->new->latin1->decode($_); "$line->{file}=" . $line->{output} =~ s/\n//r } split /\n/, $out;
}

mkdir $_ for 'in', 'in/sub', 'empty';
spew("in/$_", ord(substr $_, -1) . "\n") for 'b', 'a', 'c d', '.hidden', "x\ny";
spew('in/sub/z', "1\n");
spew('one', "1\n");
symlink '../one', 'in/link' or die;
is(batch(['in']), "in/a=97 in/b=98 in/c d=100 in/link=1 in/x\ny=121", 'a directory: its files, sorted');
is(batch([ 'in/', 'one' ]), "in/a=97 in/b=98 in/c d=100 in/link=1 in/x\ny=121 one=1", 'a directory and a file');
spew('list', "in/b\n\none\nin/c d");
is(batch([ '--list', 'list' ]), 'in/b=98 one=1 in/c d=100', 'a list');
is(batch([ '--list', '-', 'in/a' ], stdin => "one\nin/b\n"), 'in/a=97 one=1 in/b=98', 'a list from stdin, behind the files');
is(batch([ '--list', '-', '--null' ], stdin => "in/x\ny\0one\0"), "in/x\ny=121 one=1", 'names with newlines: NULs end them');
is(batch([ '-0', '--list', '-' ], stdin => "one\0\0in/a"), 'one=1 in/a=97', '-0; the last name without a NUL');
($status, $out, $err) = run([ 'sh', '-c', 'find in -type f -print0 | "$@"', 'sh', $minivmm, qw(batch -r warm.snap --input serial0 --list - -0) ]);
is("$status:$err:" . ($out =~ tr/\n//), '0::6', 'find -print0');
my $slowly = start([ 'bash', '-c', '"$@" --list <(sleep 0.3; echo one; sleep 0.3; echo in/a)', 'sh', $minivmm, qw(batch -r warm.snap --input serial0 -j 1) ]);
($status, $out, $err) = finish($slowly);
is("$status:$err:" . ($out =~ tr/\n//), '0::2', 'a slow pipe');
my @names = map { "in/n$_" } 1 .. 500;
spew($_, "7\n") for @names;
is(batch([ '--list', '-' ], stdin => join "\n", @names), join(' ', map { "$_=7" } @names), 'many names');

for my $case (
    [ ['empty'], qr/there are no files in the directory empty/, 110 ],
    [ [ '--list', 'nolist' ], qr/cannot read the list of inputs nolist: No such file/, 113 ],
    [ [ '--list', 'in' ], qr/cannot read the list of inputs in: Is a directory/, 113 ],
    [ [ '--list', '/dev/null' ], qr/no input files; name files or a directory, or add --list FILE/, 110 ],
    [ [], qr/no input files/, 110 ],
  ) {
    my ($arguments, $message, $status) = @$case;
    fails([ $minivmm, 'batch', '-r', 'warm.snap', '--input', 'serial0', @$arguments ], $status, $message, "refused: @$arguments");
}
fails([ $minivmm, qw(batch -r warm.snap --input serial0 --list -) ], 110, qr/list of inputs - has a NUL in a line; add --null if NULs end its names/,
    'refused: NULs without --null', stdin => "one\0in/a\0");
# A list of one endless line, which holds no name, is not read to its end.
fails([ 'bash', '-c', 'yes | tr -d "\n" | "$@"; exit ${PIPESTATUS[2]}', 'bash', $minivmm, qw(batch -r warm.snap --input serial0 --list -) ], 110,
    qr/list of inputs - has a name of more than 4095 bytes; write a path per line/, 'refused: no names but an endless line');
my $longest = './' x 2046 . 'one';
is(length $longest, 4095, 'the longest path');
is(batch([ '--list', '-' ], stdin => "$longest\none\n$longest"), "$longest=1 one=1 $longest=1", 'the longest path in a list');
like(batch([ '--list', '-' ], stdin => "nothing\n"), qr/\A113:minivmm: cannot read input nothing: No such file/, 'a name without a file');

done_testing;
