#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# The guarantee: for every config, a snapshot at every exit and after every single-stepped
# instruction, restored in a new process, continues as the uninterrupted run does; so does a branch
# at an exit, also after it has run and was reset to its beginning. See tests/tools/invisible.c.
use strict;
use warnings;
use Cwd 'abs_path';
use File::Copy 'copy';
use File::Temp 'tempdir';
use Test::More;

my $build = abs_path($ENV{BUILD} // 'build');
# A sanitizer makes a new process slow.
my @fewer = $build =~ /[at]san$/ ? qw(-m 300 -n 150) : ();
my $program = abs_path($ENV{MINIVMM} // 'minivmm');
my $walk = "$build/tests/tools/invisible";
(my $plugins = $program) =~ s{[^/]*$}{plugins};
$ENV{MINIVMM_PLUGIN_PATH} = $plugins;
my $seed = $ENV{SEED} // $$;
my $top = abs_path('.');
my $configs = "$top/configs";

# Input for guests that wait for some, and ends for guests without one, both independent of time.
my %set = (
	'batch' => ['device.serial0.input=text:2+3*4\n'],
	'disk' => ['device.disk0.path=disk.img'],
	'echo' => ['device.serial0.input=text:abc\x04'],
	'ssh' => ["boot.image=$top/guests/bzimage.bin", 'vm.memory=4M'],
	'linux' => ["boot.image=$top/guests/bzimage.bin", 'vm.memory=4M', 'vm.cpus=1', 'device.serial0.input=none'],
	'live' => [qw(vm.memory=1M cpu.r8=20 cpu.r11=500 cpu.r12=2 cpu.r13=4 cpu.r15=1)],
	'nvme' => ['device.disk0.path=disk.img'],
	'simple-in' => ['device.serial0.input=hex:03'],
);

# On a KVM that runs CPL 3 natively, single-stepping may change the guest's behaviour there, but
# nowhere else.
sub may_skip {
	my ($config) = @_;
	open my $in, '<', $config or die "$config: $!";
	local $/;
	return <$in> =~ /^# invisible: exits|^cs\.dpl = 3/m;
}

# Each walk has its own folder. Three run at the same time, since they take longer than all other
# tests.
sub walk {
	my ($folder, $config, $mode, @set) = @_;
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	mkdir $folder and chdir $folder or die "$folder: $!";
	copy("$top/guests/disk.bin", 'disk.img') or die "disk.img: $!";
	open STDIN, '<', '/dev/null' or die "stdin: $!";
	open STDOUT, '>', 'out' or die "stdout: $!";
	open STDERR, '>', 'err' or die "stderr: $!";
	exec 'timeout', 900, $walk, '-S', $seed, @fewer, split(' ', $mode), $config, @set or die "$walk: $!";
}

sub read_file {
	my ($file) = @_;
	open my $in, '<', $file or return '';
	local $/;
	return scalar <$in>;
}

chdir tempdir(CLEANUP => 1);
# ThreadSanitizer does not support the threads of branches.
my $few = $build =~ /asan$/ ? 8 : 40;
my @branches = $build =~ /tsan$/ ? () : "-b -m $few -n $few";
my @resets = map { s/-b/-bbb/r =~ s/\d+/$few >> 1/ger } @branches;
my @jobs = map { my $config = $_; map { [ $config, $_ ] } '', '-s', @branches, @resets, $config =~ m{/(?:disk|nvme)\.ini$} ? map { "-b $_" } @branches : () } sort glob "$configs/*.ini";
my (%running, %ended);

sub reap {
	my $pid = wait;
	my $number = delete $running{$pid} // die "waitpid returned an unknown process";
	$ended{$number} = $? >> 8 || $?;
}
for my $number (0 .. $#jobs) {
	my ($config, $mode) = @{ $jobs[$number] };
	my ($name) = $config =~ m{([^/]+)\.ini$};
	reap() while keys %running >= 3;
	$running{ walk($number, $config, $mode, @{ $set{$name} // [] }) } = $number;
}
reap() while %running;

# Guests that depend on the time: the seconds that one prints pass sooner on a busy machine, and a
# second timer interrupt comes before the other looks. Another walk, with none beside it. A fault of
# a snapshot shows in both.
for my $number (grep { $ended{$_} && $ended{$_} != 77 && $jobs[$_][0] =~ m{/(?:rtc|counter)\.ini$} } 0 .. $#jobs) {
	my ($config, $mode) = @{ $jobs[$number] };
	rename $number, "$number-before" or die "$number: $!";
	$running{ walk($number, $config, $mode) } = $number;
	reap();
}
for my $number (0 .. $#jobs) {
	my ($config, $mode) = @{ $jobs[$number] };
	my ($name) = $config =~ m{([^/]+)\.ini$};
	my ($status, $out) = ($ended{$number}, read_file("$number/out"));
	my $what = "$name, " . ($mode =~ /bb.*b/ ? 'a reset of a branch at some exits' : $mode =~ /b.*b/ ? 'a snapshot of a branch at some exits' : $mode =~ /b/ ? 'a branch at some exits' : $mode ? 'every instruction' : 'every exit');
	if ($status == 77 && may_skip($config)) {
		pass("$what: " . ($out =~ /SKIP (.*)/ ? $1 : ''));
		next;
	}
	ok($status == 0 && $out =~ /PASS \w+: [1-9]/, $what) or diag("status $status\n", $out, read_file("$number/err"));
	note($1) if $out =~ /(PASS .*)/;
}
done_testing;
