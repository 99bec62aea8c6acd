#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Random accesses of every width to every range of every plugin: the resulting state can be saved
# and loaded. On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Plugins;
use Test::More;

# Whether the plugin has ranges of registers.
sub has_ranges { return (run([ $minivmm, 'plugins', $_[0] ]))[1] =~ /^ranges$/m }

for my $plugin (grep { has_ranges($_) } plugins()) {
    spew('x.ini', machine(device($plugin, 0)));
    my ($status, $out, $err) = run([ "$build/tests/tools/hostile", 'x.ini', 100_000 ]);
    like("$status:$out", qr/\A0:# SEED=\d+\nPASS [1-9]\d* ranges, 100000 accesses each\n\z/, $plugin) or diag($err);
    note($out);
}
is(names(), 'x.ini', 'no file is created');

done_testing;
