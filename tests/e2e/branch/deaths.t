#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A process of a branch is killed before all are ready: the command fails, the others end, and the
# machine continues.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;

# Waits in HLT: 1: sti; hlt; jmp 1b
spew('idle.ini', <<"");
[vm]
memory_at = 0x1000
memory = 16K
irqchip = on
[boot]
code = fb f4 eb fc
[plugins]
path = $build/tests/plugins
[device f]
plugin = faulty
[control]
socket = vm

my $machine = start([ $minivmm, '-c', 'idle.ini' ]);
my $control = Control->connect('vm');
my $die = '--set device.f.in=killed-start';

# Its processes, and theirs. A process may end meanwhile.
sub children {
    my ($pid) = @_;
    my @children = map { eval { split ' ', slurp($_) } } glob "/proc/$pid/task/*/children";
    return (@children, map { children($_) } @children);
}

my @cases = (
    [ 'the only one', "a $die" ],
    [ 'the first', "a $die b c" ],
    [ 'the second', "a b $die c" ],
    [ 'the last', "a b c $die" ],
    [ 'all', "a $die b $die c $die" ],
);
for (@cases) {
    my ($name, $words) = @$_;
    like($control->request("branch $words")->{error}, qr/^a process of a branch has died; see its messages$/, $name);
    ok(!-e, "$name: no machine listens on $_") for grep { $words !~ /$_ --set/ } qw(a b c);
    ok(until_true { !children($machine->{pid}) }, "$name: no process and no zombie is left");
}
like($control->request('branch a b --set device.f.in=start c')->{error}, qr/start failed, see the machine's messages/, 'a failure has its reason');

# The machine can be branched again, with the same names.
my $reply = $control->request('branch a b c');
ok($reply->{ok}, 'a branch afterwards') or diag($reply->{error});
ok(Control->connect($_)->request('quit')->{ok}, "$_ ends") for qw(a b c);
$control->request('quit');
is((finish($machine))[0], 0, 'the machine ends');
done_testing;
