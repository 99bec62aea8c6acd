# SPDX-License-Identifier: BSD-2-Clause
# Machines under a scheduler.
package Fleet;

use strict;
use warnings;

use Bench;

use constant SECONDS => 60;    # of a run: a scheduler starts a task in about one

# The cluster lives in namespaces of tests/slurm/speed.
sub fleet {
	my $figure = 'batch under Slurm, 2 nodes of one CPU, by -j 2, rate';
	progress('batch under Slurm');
	local $ENV{MINIVMM} = $minivmm;
	my $why = qx{$^X -Itests/lib -MSlurm -e 'print Slurm::missing() // ""' 2>&1};
	return left_out($figure, $why) if $why;
	my @lines = map { join "\t", (split)[1, 2] } lines('tests/slurm/speed', SECONDS, 1);
	keep('fleet', @lines);
	my ($alone, $array, $ratio) = pairs(@lines);
	row($figure, ours => sprintf('%.1f s', $array), limit => sprintf('%.1f s', $alone), value => $ratio, at_least => 0.9);
	return;
}

1;
