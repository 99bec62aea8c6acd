#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# tests/svm/run, which runs a command on a hardware-like KVM: status, streams, environment, folders.
use v5.14;
use warnings;
use lib 'tests/lib';

use Cwd;
use Minivmm;
use Stock;
use Test::More;

my $svm = "$top/tests/svm/run";
kernel('linux-image-amd64');
my $script = 'cat; printf "a\0b\r\n" ; echo said >&2; grep -c ^kvm_amd /proc/modules; test -c /dev/kvm && echo kvm; exit 7';
my ($status, $out, $err) = run([ $svm, '-i', 'sh', '-c', $script ], stdin => "in\n", timeout => 300);
is($status, 7, 'the status');
is($out, "in\na\0b\r\n1\nkvm\n", 'stdin and stdout, byte for byte');
is($err, "said\n", 'stderr');
($status, $out) = run([ $svm, 'sh', '-c', 'echo "$MINIVMM_PLUGIN_PATH,$MINIVMM_MUTANT,$ASAN_OPTIONS"; pwd' ],
    MINIVMM_PLUGIN_PATH => "it's", MINIVMM_MUTANT => 'a  b', ASAN_OPTIONS => 'c=1', timeout => 300);
is($out, "it's,a  b,c=1\n" . getcwd() . "\n", 'the environment, and the current folder');
mkdir 'shared';
# QEMU does not support breakpoints in nested guests, so that rip: is never hit there.
($status, $out) = run([ $svm, '-w', 'shared', $minivmm, '-c', "$configs/simple.ini", '--at', 'access:1', '--save', 'shared/x.snap' ], timeout => 300);
is("$status:$out", "0:4\n", 'simple.ini');
is((run([ $minivmm, 'inspect', 'shared/x.snap' ]))[0], 0, 'a snapshot in the shared folder can be read here');
($status, $out, $err) = run([ $svm, '-t', '8', 'sleep', '100' ]);
is($status, 124, 'a time-out: status 124');
like($err, qr/gave up after 8 s/, 'the time-out is reported');

# Returns the children of a process that run a program of that name.
sub children {
    my ($parent, $name) = @_;
    return map { /\A(\d+) \(\Q$name\E\) \S $parent / } map { eval { slurp($_) } // () } glob '/proc/[0-9]*/stat';
}

# The machine, a grandchild of the tool, ends with the tool. (The kernel truncates names to 15
# bytes.)
for my $signal (qw(TERM KILL)) {
    my $run = start([ $svm, 'sh', '-c', 'echo up; sleep 500' ]);
    until_true { heard($run) =~ /up/ } 120;
    my ($machine) = map { children($_, 'qemu-system-x86') } children($run->{pid}, 'timeout');
    ok($machine, "$signal: a machine runs") or next;
    kill $signal, $run->{pid};
    finish($run);
    ok(until_true { !kill 0, $machine }, "$signal: the machine ends with the tool") or kill KILL => $machine;
}

done_testing;
