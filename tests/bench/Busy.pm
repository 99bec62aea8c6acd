# SPDX-License-Identifier: BSD-2-Clause
# Others that use this machine: what they take, which virtual machines were left behind, and
# precedence over them.
package Busy;

use strict;
use warnings;

use Bench qw(slurp now);
use Exporter qw(import);
use POSIX qw(sysconf _SC_CLK_TCK);
use Time::HiRes qw(sleep);

our @EXPORT_OK = qw(host busy mark others precede);

use constant ENOUGH => 10;    # percent of one CPU

my $group = '/proc/self/autogroup';    # sched(7): nice values count within a session, and this is the session's
my ($before, $owner);

# Gives what is measured precedence over other processes, where this user may. All sides inherit it.
sub precede {
	return if !eval { setpriority 0, 0, -20; getpriority(0, 0) == -20 };
	($before) = -e $group && slurp($group) =~ /nice (-?\d+)/ or return;
	$owner = $$;
	nice_session(-20);
	return;
}

sub nice_session {
	my ($nice) = @_;
	open my $file, '>', $group or return;
	syswrite $file, $nice;
	return;
}
END { nice_session($before) if defined $owner && $owner == $$ }

# CPU time, in seconds: all that this machine has spent, the host's share of it included (steal),
# and that of ours, of children that have ended included.
sub mark {
	my (undef, @ticks) = split ' ', slurp('/proc/stat') =~ s/\n.*//sr;
	my ($user, $nice, $system, undef, undef, $irq, $softirq, $steal) = @ticks;
	my $own = 0;
	$own += $_ for times;
	my $all = $user + $nice + $system + $irq + $softirq + $steal;
	return { time => now(), all => $all / sysconf(_SC_CLK_TCK), own => $own };
}

# CPU time of others since a mark, in percent of one CPU.
sub others {
	my ($since) = @_;
	my $now = mark();
	my $others = ($now->{all} - $since->{all}) - ($now->{own} - $since->{own});
	return $others <= 0 ? 0 : int 100 * $others / ($now->{time} - $since->{time} || 1);
}

# Processes that run a virtual machine: names with numbers of processes.
sub machines {
	my %count;
	my $names = join '|', qw(qemu-system-\w+ minivmm lkvm firecracker cloud-hypervisor);
	for my $link (glob '/proc/[0-9]*/exe') {
		my $name = readlink $link // next;
		$count{$1}++ if $name =~ m{/($names)( \(deleted\))?$};
	}
	return map { "$count{$_} of $_" } sort keys %count;
}

# What makes this moment a bad one to measure; empty: nothing.
sub busy {
	my $mark = mark();
	my ($load) = slurp('/proc/loadavg') =~ /^(\S+)/;
	my @machines = machines();
	sleep 1;
	my $others = others($mark);
	return join ', ', $others >= ENOUGH ? "other processes take $others % of a CPU (load $load)" : (),
	    @machines ? 'processes that run virtual machines: ' . join ', ', @machines : ();
}

# For the record.
sub host {
	my ($model) = slurp('/proc/cpuinfo') =~ /^model name\s*:\s*(.*)/m;
	my $cpus = () = slurp('/proc/cpuinfo') =~ /^processor\s*:/mg;
	chomp(my $kernel = slurp('/proc/sys/kernel/osrelease'));
	chomp(my $commit = `git describe --always --dirty 2>/dev/null` // '');
	return { cpu => $model, cpus => $cpus, kernel => $kernel, commit => $commit };
}

1;
