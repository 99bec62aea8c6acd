#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The stop of a branch has room for the state of devices from its beginning: it allocates nothing
# large, which would grow, move and cause page faults while the guest stands.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;

plan(skip_all => 'a sanitizer has an allocator of its own') if $build =~ /san/;

my $device = "[device bulk0]\nplugin = bulk\nsize = 4M\n";
spew('idle.ini', guest('eb fe', "$device\n[control]\nsocket = p\n"));    # 1: jmp 1b
my $machine = start([ $minivmm, '-c', 'idle.ini', '--set', "plugins.path=$build/tests/plugins:$build/plugins" ],
    LD_PRELOAD => "$build/tests/preload/instop.so");
my $control = Control->connect('p');
my @branches;
END { kill KILL => ours(grep { $_ } @branches) }
for my $i (1, 2) {
    my $reply = $control->request("branch b$i");
    ok($reply->{ok}, "branch $i") or diag($reply->{error});
    push @branches, map { $_->{pid} } @{ $reply->{branches} };
}
ok(until_true { (() = said($machine) =~ /^large/mg) >= 2 }, 'two stops');
is_deeply([ said($machine) =~ /^large allocations in the stop: (\d+)$/mg ], [ 0, 0 ], 'neither allocates room for state');
done_testing;
