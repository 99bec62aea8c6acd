#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Layers of the disks of branches: many branches in a row of a guest that writes its disk, and a
# chain of branches of branches. guests/ledger.S checks the data: it runs through the whole disk
# before a branch ends. BRANCHES is the number in a row, DEPTH that of the chain.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Cwd 'getcwd';
use Minivmm;
use Test::More;

my $count = $ENV{BRANCHES} // 60;
my $depth = $ENV{DEPTH} // 100;
my $alive = 20;     # branches at a time
my $round = 16;     # writes between two dots
my @processes;
END { kill KILL => ours(grep { $_ } @processes) }

sub config {
    my ($io) = @_;
    spew('ledger.ini', <<"");
[vm]
memory_at = 0x1000
memory = 64K
[boot]
image = $top/guests/ledger.bin
[cpu]
mode = protected
[device serial0]
plugin = serial
output = none
[device disk0]
plugin = virtio-blk
address = 0xd0000000
irq = none
path = disk.img
temporary = yes
io = $io

}

# The machine, on a disk of zeros.
sub begin {
    my (@more) = @_;
    unlink glob('disk.img*');
    spew('disk.img', "\0" x (256 * 512));
    my $process = start([ $minivmm, '-c', 'ledger.ini', '--set', 'control.socket=p', @more ]);
    my $control = Control->connect('p');
    return ($process, $control);
}

# Runs it for a number of rounds. Returns what is wrong.
sub rounds {
    my ($control, $rounds) = @_;
    for (1 .. $rounds) {
        my $reply = $control->request('until output:serial0:.');
        return $reply->{error} // 'no reply' if !$reply->{ok};
    }
    return '';
}

sub branch {
    my ($control, $socket) = @_;
    my $reply = $control->request("branch $socket --paused");
    return ($reply->{error} // 'no reply') if !$reply->{ok};
    push @processes, $reply->{keeper}, $reply->{branches}[0]{pid};
    return ('', Control->connect($socket), $reply->{branches}[0]{pid});
}

# The layers without a name that a process has open.
sub layers {
    my ($pid) = @_;
    my %files = map { my $name = readlink; defined $name && $name =~ /\(deleted\)/ && $name =~ /#\d+/ ? ($name => 1) : () } glob "/proc/$pid/fd/*";
    return scalar keys %files;
}

# Checks the whole disk of a branch, and ends it.
sub check {
    my ($branch) = @_;
    my $error = rounds($branch->{control}, 256 / $round);
    my $layers = layers($branch->{pid});
    $branch->{control}->request('quit');
    return ($error, $layers);
}

for my $io (qw(auto threads io_uring)) {
    config($io);
    my ($process, $control) = begin();
    my (@branches, @wrong);
    my $most = 0;
    for my $i (1 .. ($io eq 'auto' ? $count : 25)) {
        my $error = rounds($control, 1);
        my ($refused, $branch, $pid) = $error ? () : branch($control, "b$i");
        push @wrong, "$i: " . ($error || $refused) and last if $error || $refused;
        push @branches, { control => $branch, pid => $pid, number => $i };
        # One in three continues first: it writes its own layer.
        push @wrong, "$i, early: $_" for grep { $_ } $i % 3 ? () : rounds($branch, 1);
        if (@branches == $alive) {
            my $first = shift @branches;
            my ($error, $layers) = check($first);
            push @wrong, "$first->{number}: $error" if $error;
            $most = $layers if $layers > $most;
        }
        my $layers = layers($process->{pid});
        $most = $layers if $layers > $most;
    }
    for (@branches) {
        my ($error) = check($_);
        push @wrong, "$_->{number}: $error" if $error;
    }
    is(join("\n", @wrong), '', "$io: branches in a row, each with its data");
    cmp_ok($most, '<=', 2 * $alive, "$io: layers are merged");
    note("$io: at most $most layers");
    is(rounds($control, 256 / $round), '', "$io: the machine has its data");
    $control->request('quit');
    is((finish($process))[0], 0, "$io: it ends");
}

# Each branch writes, and is branched.
config('auto');
my ($process, $control) = begin();
my @chain = { control => $control };
my $error = '';
for my $i (1 .. $depth) {
    $error = rounds($chain[-1]{control}, 1);
    (my $refused, my $branch, my $pid) = $error ? () : branch($chain[-1]{control}, "c$i");
    $error ||= $refused;
    last if $error;
    push @chain, { control => $branch, pid => $pid };
}
is($error, '', "a chain of $depth branches");
is(rounds($chain[$_]{control}, 256 / $round), '', "branch $_ has its data") for grep { $_ < @chain } 0, 1, $depth / 2, $depth - 1, $depth;
# Two of them return to their beginning, which has not been merged with what came later.
for my $i (grep { $_ < @chain } 1, $depth) {
    ok($chain[$i]{control}->request('reset')->{ok}, "a reset of branch $i");
    is(rounds($chain[$i]{control}, 256 / $round), '', 'it has its data');
}
$_->{control}->request('quit') for @chain;
is((finish($process))[0], 0, 'the machine ends');
ok(until_true { !ours(@processes) }, 'no process is left');

# Layers with a name stay. With as many as a disk can have, no branch is made.
unlink glob('*');
config('auto');
($process, $control) = begin('--set', 'device.disk0.temporary=no', '--set', 'device.disk0.overlay=o');
my ($snapshots, $reply) = (0);
my $here = getcwd();
do {
    $error = rounds($control, 1);
    $reply = $control->request("snapshot $here/vm.snap") if !$error;
} while !$error && $reply->{ok} && ++$snapshots < 126;
is($error . ($reply->{error} // ''), '', '126 snapshots, each with a new overlay');
like($control->request('branch x')->{error}, qr/^branch: device disk0: its disk has 128 layers, which is the maximum: copy its content/, 'a branch is refused');
is(rounds($control, 256 / $round), '', 'the machine runs on');
$control->request('quit');
is((finish($process))[0], 0, 'it ends');
done_testing;
