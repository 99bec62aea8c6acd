#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# minivmm batch: one line for each input, however its run ends; each reset restores all memory and
# state of the snapshot, for every config, from random points; workers share the inputs.
use v5.14;
use warnings;
use lib 'tests/lib';

use JSON::PP;
use Minivmm;
use Test::More;

my $seed = $ENV{SEED} // time;
srand $seed;
diag("SEED=$seed");

# The output lines by file.
sub batch {
    my ($status, $out, $err) = run([ $minivmm, 'batch', @_ ], timeout => 120);
    my %lines = map { my $line = numbers(decode_json($_)); ($line->{file} => $line) } split /\n/, $out;
    return ($status, \%lines, $err, $out);
}

my ($status, $out, $err) = run([
    $minivmm, '-c', "$configs/batch.ini", '--set', 'device.serial0.input=none',
    '--until', 'output:serial0:? ', '--save', 'warm.snap', '--log', 'warn'
]);
is("$status:$out:$err", '0:? :', 'a snapshot at the prompt');

# All kinds of ends.
my %inputs = (
    sum => [ "2+3*4\n", 'hlt', 0, "14\n" ],
    exit => [ "exit 250\n", 'exit', 99, '' ],
    crash => [ "crash\n", 'shutdown', 100, '' ],
    loop => [ "loop\n", 'timeout', 124, '' ],
    fill => [ "fill 300\n", 'hlt', 0, "300\n" ],
    empty => [ '', 'timeout', 124, '' ],
);
spew($_, $inputs{$_}[0]) for keys %inputs;
my @batch = ('-r', 'warm.snap', '--input', 'serial0', '--timeout', '300ms', '--check');
for my $workers (1, 2) {
    my ($status, $lines, $err, $out) = batch(@batch, '-j', $workers, sort keys %inputs);
    is($status, 0, "$workers workers") or diag($err);
    is($err, '', 'resets are complete; only the lines report how runs end');
    is(join(' ', sort keys %$lines), join(' ', sort keys %inputs), 'one line for each input');
    for my $name (sort keys %inputs) {
        my (undef, $cause, $exit, $said) = @{ $inputs{$name} };
        my $line = $lines->{$name};
        is("$line->{cause}:$line->{exit}:$line->{output}", "$cause:$exit:$said", "$name: the end and the output");
        cmp_ok($line->{host_ns}, '>', 0, "$name: has a time");
    }
    is($lines->{exit}{guest_status}, 250, "guest_status has the whole status");
}

# The order of the inputs does not matter: each run begins in the same state.
{
    my @files = map { my $name = "n$_"; spew($name, int(rand 1000) . '+' . int(rand 1000) . "\n"); $name } 1 .. 200;
    my ($status, $lines, $err) = batch('-r', 'warm.snap', '--input', 'serial0', @files, reverse @files);
    is($status, 0, '400 runs') or diag($err);
    my $wrong = grep { eval(slurp($_)) . "\n" ne $lines->{$_}{output} } @files;
    is($wrong, 0, 'each run has its own result');
}

# KVM writes the time of day to memory when the guest writes the MSR, but must not write it when a
# restore or reset writes it. mov ecx,0x11 (MSR_KVM_WALL_CLOCK); mov eax,0x2000; xor edx,edx; wrmsr;
# mov dx,0x3f8; mov al,'A'; out dx,al; out dx,al; hlt. Memory ends at 0x5000, inside the second
# guest's clock.
for my $at ('00 20', 'fc 4f') {
    spew('clock.ini', guest("66 b9 11 00 00 00 66 b8 $at 00 00 66 31 d2 0f 30 ba f8 03 b0 41 ee ee f4"));
    my @save = ('--until', 'access:1', '--log', 'warn', '--save');
    ($status, $out, $err) = run([ $minivmm, '-c', 'clock.ini', @save, 'clock.snap' ]);
    is("$status:$err", '0:', 'a guest that sets the address of its clock');
    like((run([ $minivmm, 'inspect', 'clock.snap' ]))[1], qr/0x11\.KVM_WALL_CLOCK = 0x(?:2000|4ffc)/, "the snapshot has the address: $at");
    my ($status, $lines, $err) = batch('-r', 'clock.snap', '--input', 'serial0', '-j', 1, '--check', qw(sum exit));
    is("$status:$err:$lines->{sum}{output}", '0::A', 'a reset restores its memory');
    ($status, $out, $err) = run([ $minivmm, '-r', 'clock.snap', @save, 'again.snap' ]);
    is("$status:$err", '0:', 'a restore of the snapshot');
    unlike((run([ $minivmm, 'diff', 'clock.snap', 'again.snap' ]))[1], qr/^memory/m, 'a restore does not change its memory');
}

# Input that a run has not read is not passed to the next run.
{
    spew('two', "1+1\n7+7\n");
    spew('one', "2+2\n");
    my ($status, $lines, $err, $out) = batch('-r', 'warm.snap', '--input', 'serial0', '-j', 1, '--check', qw(two one one));
    is("$status:$err", '0:', 'a file with more input than the run reads');
    is(join(' ', $out =~ /"output":"([^"]*)"/g), '2\u000a 4\u000a 4\u000a', 'the next runs read only their own input');
}

# --until, and usage errors.
{
    my ($status, $lines) = batch('-r', 'warm.snap', '--input', 'serial0', '--until', 'output:serial0:1', 'sum');
    is("$status:$lines->{sum}{cause}", '0:point', '--until ends a run');
    fails([ $minivmm, 'batch', '-r', 'warm.snap', '--input', 'serial1', 'sum' ], 110, qr/--input serial1: unknown device; did you mean serial0\?/, 'refused: an unknown device');
    fails([ $minivmm, 'batch', '-r', 'warm.snap', '--input', 'exit0', 'sum' ], 110, qr/--input exit0: the device has no stream/, 'refused: a device without an input');
    # An input file that cannot be read gets an error line; the other inputs run.
    for my $bad ([ 'none', 113, qr/cannot read input none: No such file/ ], [ '/dev/null', 110, qr/input \/dev\/null is not a regular file/ ]) {
        my ($name, $expected, $message) = @$bad;
        my ($status, $lines, $err) = batch('-r', 'warm.snap', '--input', 'serial0', '-j', 1, 'sum', $name, 'exit');
        is($status, $expected, "input $name");
        is(join(' ', map { "$_:$lines->{$_}{cause}:$lines->{$_}{exit}" } sort keys %$lines),
            join(' ', sort "$name:error:$expected", 'exit:exit:99', 'sum:hlt:0'), 'one line for each input');
        like($_, $message, 'the message has the reason') for $lines->{$name}{error}, $err;
    }
    fails([ $minivmm, 'batch', '-r', 'none.snap', '--input', 'serial0', 'sum' ], 112, qr/cannot open snapshot none\.snap/, 'refused: a missing snapshot');
    fails([ $minivmm, 'batch', '--input', 'serial0', 'sum' ], 110, qr/no machine; add -r/, 'refused: no machine');
    fails([ $minivmm, 'batch', '-r', 'warm.snap', 'sum' ], 110, qr/--input DEVICE/, 'refused: no --input');
    fails([ $minivmm, 'batch', '-r', 'warm.snap', '--input', 'serial0' ], 110, qr/no input files/, 'refused: no input files');
    fails([ $minivmm, 'batch', '-r', 'warm.snap', '--input', 'serial0', '--until', 'x:1', 'sum' ], 110, qr/--until x:1/, 'refused: an invalid stop condition');
}

# Every config, from random points: a reset restores all memory and state. One device is also driven
# by a KVM timer.
spew('nothing', '');
my %point = (live => sub { 'time:' . (50 + int rand 300) . 'ms' });
spew('disk.img', slurp("$top/guests/disk.bin"));    # overlays are created beside it
for my $file (sort grep { /\.ini\z/ } split ' ', names($configs)) {
    my @set = $file eq 'disk.ini' ? ('--set', 'device.disk0.path=disk.img') : ();
    my ($name) = $file =~ /(.+)\.ini/;
    my ($snap, $point) = ("$name.snap");
    for my $try (1 .. 5) {
        $point = $point{$name} ? $point{$name}->() : 'access:' . (1 + int rand($try < 4 ? 30 : 2));
        run([ $minivmm, '-c', "$configs/$file", @set, '--until', $point, '--save', $snap, '--log', 'error' ], stdin => "x\n\cD");
        last if -e $snap;
    }
    my ($device) = slurp("$configs/$file") =~ /\[device (\w+)\]\nplugin = (?:serial|mmio-logger)/;
    next if !-e $snap || !$device;
    my ($status, $lines, $err, $out) = batch('-r', $snap, '--trust', '--input', $device, '--timeout', '50ms', '--check', '-j', 1, ('nothing') x 4);
    is($status, 0, "$name from $point: the batch runs") or diag($err);
    unlike($err, qr/reset is not complete/, "$name from $point: resets are complete");
    is(scalar(() = $out =~ /\n/g), 4, "$name: there are four lines");
    unlink $snap;
}

done_testing;
