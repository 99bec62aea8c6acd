#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# --status: one JSON line on the end of the run, with counters.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

sub ended {
    my (@arguments) = @_;
    my ($status, $out, $err) = run([ $minivmm, @arguments, '--log', 'error', '--status', 'status.json' ]);
    my $text = slurp('status.json');
    like($text, qr/\A\{[^\n]*\}\n\z/, "@arguments: --status writes one line");
    my $said = status_of('status.json');
    is($said->{exit}, $status, 'it has the exit status of the process');
    cmp_ok(delete $said->{time_ns}, '>', 0, 'it has a time');
    cmp_ok(delete $said->{exits}, '>=', $said->{accesses}, 'it has at least one exit for each access');
    return $said;
}

my %serial = (reads => 0, writes => 2, failures => 0, refused => 0);
my %halted = (cause => 'hlt', exit => 0, guest_status => 0, accesses => 2, unanswered => 0);
is_deeply(ended('-c', "$configs/simple.ini"), { %halted, devices => { serial0 => \%serial } }, '--status of a halt');
is_deeply(ended('-r', 'simple.snap'), { %halted, devices => { serial0 => \%serial } }, 'a restored machine counts from the restore');
is_deeply(
    ended('-c', "$configs/simple-mm.ini"),
    { %halted, accesses => 4, devices => { serial0 => \%serial, log0 => { reads => 1, writes => 1, failures => 0, refused => 0 } } },
    'it has every device'
);
is_deeply(
    ended('-c', "$configs/simple.ini", '--until', 'access:1'),
    { %halted, cause => 'point', point => 'access:1', accesses => 1, devices => { serial0 => { %serial, writes => 1 } } },
    '--status of a stop condition'
);
is_deeply(
    ended('-c', "$configs/debug-exit.ini"),
    {
        cause => 'exit',
        exit => 42,
        guest_status => 42,
        accesses => 1,
        unanswered => 0,
        devices => { exit0 => { reads => 0, writes => 1, failures => 0, refused => 0 } }
    },
    'the status that the guest writes'
);
spew('unclaimed.ini', guest('e4 80 e6 80 f4'));
is(ended('-c', 'unclaimed.ini')->{unanswered}, 2, 'it counts unclaimed accesses');
is((run([ $minivmm, '-c', 'unclaimed.ini' ]))[2], '', 'ports that every PC has cause no warning');
spew('chips.ini', guest('e6 20 e6 43 e4 0f f4'));
is((run([ $minivmm, '-c', 'chips.ini' ]))[2], join('', map { "minivmm: warning: unclaimed 1-byte write at port $_; set [vm] irqchip = on\n" }
      '0x20: first PIC', '0x43: PIT'), 'ports of the interrupt controllers name the remedy');

# The time is the VM's, not the host's: a restored machine continues from the snapshot's time.
spew('busy.ini', guest('40 eb fd'));
run([ $minivmm, '-c', 'busy.ini', '--until', 'time:30ms', '--save', 'busy.snap', '--status', 'a.json' ]);
run([ $minivmm, '-r', 'busy.snap', '--until', 'step:1', '--status', 'b.json' ]);
my ($before, $after) = map { status_of("$_.json")->{time_ns} } 'a', 'b';
cmp_ok($before, '>=', 30_000_000, 'the run ends at its time');
cmp_ok($after, '>=', $before, 'the restored machine continues');
cmp_ok($after - $before, '<', 1_000_000_000, 'the time between the runs does not count');

# A descriptor that was not handed over may become one of ours, say the disk's.
for my $option ('--status', '--trace') {
    fails([ $minivmm, '-c', "$configs/simple.ini", $option, '/dev/fd/47' ], 113, qr/$option \/dev\/fd\/47: descriptor 47 is not open/,
        "$option: a descriptor that was not handed over");
}

# A run that is refused: the line of the run before does not stay, and no other file is replaced.
for my $wrong ([ 'vm.memory=lots' ], [ 'boot.image=nowhere' ], [ 'device.serial0.port=lots' ]) {
    run([ $minivmm, '-c', "$configs/simple.ini", '--status', 'status.json' ]);
    my ($status, $out, $err) = run([ $minivmm, '-c', "$configs/simple.ini", '--status', 'status.json', '--set', @$wrong ]);
    my $line = status_of('status.json');
    is("$line->{cause} $line->{exit}", "refused $status", "@$wrong: the status line says that the run was refused");
    like("minivmm: $line->{error}\n", qr/\Aminivmm: .*@{[ $wrong->[0] =~ s{.*[.=]}{}r ]}/, 'it has the message');
}
spew('precious', "a file\n");
run([ $minivmm, '-c', "$configs/simple.ini", '--status', 'precious', '--set', 'vm.memory=lots' ]);
is(slurp('precious'), "a file\n", 'another file is not replaced');
unlink 'status.json';
run([ $minivmm, '-c', "$configs/simple.ini", '--status', 'status.json', '--check', '--set', 'vm.memory=lots' ]);
ok(!-e 'status.json', '--check runs nothing, and writes no status');

# A run that is killed before it begins: the line of the run before does not stay.
{
    run([ $minivmm, '-c', "$configs/simple.ini", '--status', 'status.json' ]);
    ok(-s 'status.json', 'the line of a run');
    pipe my $nothing, my $writer or die;
    my $process = start([ $minivmm, '-r', '-', '--status', 'status.json' ], stdin => $nothing);
    my $reads = until_true { (eval { slurp("/proc/$process->{pid}/syscall") } // '') =~ /^0 0x0 / };
    ok($reads, 'the next one waits for its snapshot');
    kill KILL => $process->{pid};
    is((finish($process))[0], 1009, 'it is killed');
    is(slurp('status.json'), '', 'the file does not have the line of the run before');
}

done_testing;
