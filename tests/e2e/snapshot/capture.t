#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# 200 live snapshots of configs/live.ini at random moments, with every method, of fresh and restored
# machines. Each file contains the memory of one instant, a machine restored from it continues
# there, and the original is not disturbed. CAPTURE_SEED repeats the choices, but not the moments.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;
use Time::HiRes 'sleep';

my $livehash = "$build/tests/tools/livehash";
my $seed = $ENV{CAPTURE_SEED} // time;
srand $seed;
diag("CAPTURE_SEED=$seed");
my $taken = 0;
my %used;

sub set { return map { ('--set', $_) } @_ }

sub ticks { return map { hex } $_[0] =~ /^tick ([0-9a-f]{8}) /mg }

# A machine's whole output: complete ticks with consecutive numbers, and no report of damage.
sub undisturbed {
    my ($name, $said) = @_;
    my @ticks = ticks($said);
    my @gaps = grep { $ticks[$_] != $ticks[ $_ - 1 ] + 1 } 1 .. $#ticks;
    my $ok = @ticks && !@gaps && $said !~ /corrupt|exception/;
    return ok($ok, "$name: its ticks are consecutive") || diag($said);
}

# Restores the file for some ticks, which continue those of the original. $line: the line that the
# original printed for the file's tick.
sub restores {
    my ($name, $file, $line, @more) = @_;
    my ($n) = ticks($line);
    my ($status, $out, $err) =
      run([ $minivmm, '-r', $file, '--log', 'warn', @more, '--until', 'output:serial0:tick:8' ], timeout => 120);
    is("$status:$err", '0:', "$name: $file is restored");
    # The snapshot may be in the middle of that line.
    my $next = sprintf "tick %08x ", $n + 1;
    my ($begun) = $out =~ /\A(.*\n|)\Q$next\E/;
    ok(defined $begun && $begun eq substr($line, length($line) - length $begun), "$name: the next tick follows")
      || diag("after $line$out");
    spew('lines', $out);
    ($status, my $said) = run([ $livehash, $file, 'lines' ], timeout => 120);
    is($status, 0, "$name: its report of the memory is right") || diag($said, $out);
    undisturbed("$name: restored", $out);
}

# Runs a machine, takes a number of snapshots, checks each, ends the machine, restores one of the
# snapshots and passes it to "then". restored: the first snapshot is a diff. last: the machine ends
# by itself. later: the files are checked after the end.
sub captures {
    my ($name, $command, %with) = @_;
    my $process = start([ @$command, '--log', 'warn', set("control.socket=$name.sock", "snapshot.method=$with{method}") ],
        %{ $with{preload} // {} });
    my $control = Control->connect("$name.sock") or return fail("$name: the machine listens");
    ok(until_true(sub { heard($process) =~ /^tick/m }, 60), "$name: the machine runs") || return;
    my (@files, $wrong);
    my $check = sub {
        my ($file, $kind, $reply) = @{ $_[0] };
        my $as_asked = $reply->{ok} && $reply->{kind} eq $kind
          && ($with{expect} ? $reply->{method} eq $with{expect}
            : $with{method} eq 'auto' ? $reply->{method} =~ /^(precopy|fork)$/ : $reply->{method} eq $with{method});
        my ($clean, undef, $why) = run([ $minivmm, 'verify', $file ]);
        my ($whole, $hash, $err) = run([ $livehash, $file ], timeout => 120);
        ($_[0][3]) = $hash =~ /\A([0-9a-f]{8}) /;
        return if $as_asked && !$clean && !$whole;
        diag("$file: ", explain($reply), "$why$hash$err");
        $wrong = 1;
    };
    for my $i (1 .. $with{count}) {
        sleep rand 0.02;
        my $file = "$name-$i.snap";
        my $kind = (@files ? rand() < 0.5 : $with{restored}) ? 'diff' : 'full';
        my $reply = $control->request("snapshot $file $kind");
        # The machine may end during a snapshot, which then fails with this error.
        last if $with{last} && (!%$reply || ($reply->{error} // '') =~ /: the machine ended before it was complete\z/);
        push @files, [ $file, $kind, $reply ];
        $used{ $reply->{method} // '' }++;
        $taken++;
        $check->($files[-1]) if !$with{later};
    }
    is($control->request('quit')->{ok}, 1, "$name: it still replies") if !$with{last};
    my ($status, $out, $err) = finish($process, 120);
    $err =~ s/\Aminivmm: cannot write snapshot \S+: the machine ended before it was complete\n\z// if $with{last};
    is("$status:$err", '0:', "$name: it ends with status 0");
    like($out, qr/^live: ok\n\z/m, "$name: it ends by itself") if $with{last};
    undisturbed($name, $out);
    $check->($_) for $with{later} ? @files : ();
    ok(!$wrong && @files >= ($with{last} ? 2 : $with{count}), "$name: every snapshot is right");
    # After one of the last snapshots, the machine may end before it prints another tick.
    my ($file, $tick) = @{ $files[ rand($with{last} ? @files / 2 : @files) ] }[ 0, 3 ];
    my ($line) = $out =~ /^(tick $tick .*\n)/m;
    # The machine may have ended before the line.
    restores($name, $file, $line, @{ $with{again} // [] }) if defined $line && !$with{last};
    $with{then}->($file) if $with{then};
}

my $live = "$configs/live.ini";
# Memory size and number of snapshots for each machine: a fresh one, and one restored from one of
# its snapshots.
for my $size ([ '1M', 14 ], [ '16M', 6 ], [ '64M', 1 ]) {
    my ($memory, $count) = @$size;
    for my $method (qw(auto precopy fork pause)) {
        my $name = "$memory-$method";
        captures($name, [ $minivmm, '-c', $live, set("vm.memory=$memory", 'cpu.r12=5') ],
            method => $method, count => $count,
            then => sub {
                my ($file) = @_;
                captures("$name-restored", [ $minivmm, '-r', $file ], method => $method, count => $count, restored => 1);
                unlink glob '*.snap';
            });
    }
}

# At full speed.
for my $method (qw(auto precopy fork pause)) {
    captures("busy-$method", [ $minivmm, '-c', $live, set('vm.memory=16M', 'cpu.r12=20', 'cpu.r8=1000000', 'cpu.r9=1000') ],
        method => $method, count => 3, later => 1);
    unlink glob '*.snap';
}

# If the file is written more slowly than the guest writes memory, pre-copy does not converge and a
# child takes over. On a busy host the guest may write too little in that time: then once more, with
# slower writes.
my $children = $used{fork} // 0;
for my $ms (4, 8, 16, 32, 64, 128, 256) {
    captures('slow', [ $minivmm, '-c', $live, set('vm.memory=20M', 'cpu.r8=1000000', 'cpu.r9=4900', 'cpu.r10=0') ],
        method => 'auto', count => 1,
        preload => { LD_PRELOAD => "$build/tests/preload/faultfs.so", FAULT_PATH => '/here/', FAULT => 'write:1:SLOW', FAULT_MS => $ms });
    last if ($used{fork} // 0) > $children;
}
cmp_ok($used{fork} // 0, '>', $children, 'slow: a child takes over');
unlink glob '*.snap';

# A child has no copy of memory that is a file.
for my $method ([ 'auto', 'precopy', 0 ], [ 'precopy', 'precopy', 0 ], [ 'pause', 'pause', 0 ], [ 'auto', 'precopy', 1 ]) {
    my ($asked, $got, $full_speed) = @$method;
    unlink 'ram';
    captures("file-$asked-$full_speed",
        [ $minivmm, '-c', $live, set('vm.memory=4M', "vm.memory_file=ram", 'cpu.r12=5', $full_speed ? 'cpu.r8=1000000' : ()) ],
        method => $asked, expect => $got, count => 5, later => 1);
    unlink glob '*.snap';
}

# A machine that ends by itself, and its snapshots. It lives long enough for two on a busy host.
captures('ends', [ $minivmm, '-c', $live, set('vm.memory=1M', 'cpu.r12=15', 'cpu.r13=200') ],
    method => 'auto', count => 6, last => 1,
    then => sub {
        my ($file) = @_;
        captures('ends-again', [ $minivmm, '-r', $file ], method => 'fork', count => 4, last => 1);
    });

cmp_ok($taken, '>=', 200, 'at least 200 snapshots are taken');
diag(join ', ', map { "$used{$_} by $_" } sort keys %used);
done_testing;
