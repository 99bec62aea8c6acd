#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Each system call of a live snapshot fails in turn: the reply has the reason, the machine
# continues, no file is left, the old file is complete, and the next diff contains every page
# written since the snapshot before.
use v5.14;
use warnings;
use lib 'tests/lib';
BEGIN { $ENV{TMPDIR} //= '/dev/shm' if -w '/dev/shm' }    # memory: no waiting for a disk

use Control;
use Minivmm;
use POSIX ();
use Test::More;
use Time::HiRes 'sleep';

my $livehash = "$build/tests/tools/livehash";
my $faultfs = "$build/tests/preload/faultfs.so";
my %text = (
    EIO => 'Input/output error',
    ENOSPC => 'No space left on device',
    ENOMEM => 'Cannot allocate memory',
    EAGAIN => 'Resource temporarily unavailable',
);

# The guest writes one page per tick, in order: a page written before a failure is not written again
# before the diff after it.
sub live { return ($minivmm, '-c', "$configs/live.ini", '--log', 'warn', map { ('--set', $_) } @_,
        'control.socket=vm.sock', 'vm.memory=256K', 'cpu.r8=1', 'cpu.r9=20', 'cpu.r10=0', 'cpu.r12=10') }

my ($process, $control);

sub good {
    my ($name, $request) = @_;
    my $reply = $control->request("snapshot $request");
    return 1 if $reply->{ok};
    diag("$name: snapshot $request: " . ($reply->{error} // 'no reply'));
    return 0;
}

# The file contains the memory of one instant.
sub right {
    my ($file) = @_;
    my ($clean, undef, $why) = run([ $minivmm, 'verify', $file ]);
    my ($whole, $said, $err) = run([ $livehash, $file ]);
    return 1 if !$clean && !$whole;
    diag("$file: $why$said$err");
    return 0;
}

# Injects one failure. Returns false if the call did not occur.
sub fault {
    my ($kind, $plan) = @_;
    my ($call, $how) = $plan =~ /^(\w+):.*:(\w+)$/;
    my $ok = good($plan, 'outbox/b.snap full');
    # The file that a diff replaces is a snapshot by its first bytes, and not one that it needs.
    my $target = $kind eq 'diff' ? 'outbox/c.snap' : 'outbox/b.snap';
    unlink 'outbox/c.snap';
    spew($target, "MINIVMM\x1aold") if $kind eq 'diff';
    my $old = slurp($target);
    # Lets the guest write some pages, so that the dirty log is read successfully before the
    # failure.
    sleep 0.012;
    spew('plan.new', $plan);
    rename 'plan.new', 'plan';
    my $reply = $control->request("snapshot $target $kind");
    my $came = !unlink 'plan';
    my $name = "$kind, $plan";
    if (!$came) {
        is($reply->{ok}, 1, "$name: the call does not occur again");
        return 0;
    }
    # The last two are those of the folder, which is synced already. The file that is replaced is
    # opened first: a diff checks that it does not need it, and then, when the folder is open, it is
    # checked that it is a snapshot.
    my $looks = $plan =~ ($kind eq 'diff' ? qr/^(?:close:[12]|open:[13]):/ : qr/^(?:close:1|open:2):/);
    my $last = $kind eq 'diff' ? '[45]' : '[34]';
    if ($how =~ /SHORT|EINTR/ || $plan =~ /^close:$last:/ || $looks) {
        is($reply->{ok}, 1, "$name: the snapshot succeeds") || diag($reply->{error});
        ok(right($target), "$name: the file is right");
        return 1;
    }
    $ok &&= !$reply->{ok} && $reply->{error} =~ /: \Q$text{$how}\E(; (?:make room there|raise .*|free memory.*))?$/ || diag('the reply: ' . ($reply->{error} // 'ok')) && 0;
    $ok &&= names('outbox') eq ($kind eq 'diff' ? 'b.snap c.snap' : 'b.snap') || diag('there is ' . names('outbox')) && 0;
    # A failure to open or sync the folder is reported after the file has been replaced.
    my $replaced = slurp($target) ne $old;
    my $late = $reply->{error} =~ /is written, but a crash may lose it/;
    $ok &&= !$replaced == !$late || diag('the old file is not whole') && 0;
    if (!$late || $kind eq 'full') {
        $ok &&= good($name, 'outbox/d.snap diff') && right('outbox/d.snap');
    }
    unlink 'outbox/d.snap', $kind eq 'diff' ? $target : ();
    return ok($ok, "$name: reported, undone, and the next diff has every page") || 1;
}

sub machine {
    my ($method, @kinds) = @_;
    unlink glob 'outbox/* outbox/.*snap*';
    mkdir 'outbox';
    $process = start([ live("snapshot.method=$method") ], LD_PRELOAD => $faultfs, FAULT => '@plan', FAULT_PATH => 'outbox');
    $control = Control->connect('vm.sock');
    until_true { heard($process) =~ /^tick/m };
    for my $kind (@kinds) {
        for my $call ([ write => qw(EIO ENOSPC SHORT EINTR) ], [ ftruncate => qw(EIO ENOSPC) ], [ fsync => qw(EIO ENOSPC) ],
            [ linkat => qw(EIO ENOSPC) ], [ rename => qw(EIO ENOSPC) ], [ close => 'EIO' ], [ open => 'EIO' ],
            [ anonymous => 'ENOMEM' ], [ pthread_create => 'EAGAIN' ], [ fork => 'ENOMEM' ])
        {
            my ($what, @hows) = @$call;
            for my $how (@hows) {
                my $n = 0;
                1 while $n++ < 40 && fault($kind, "$what:$n:$how");
            }
        }
    }
    is($control->request('quit')->{ok}, 1, "$method: the machine still replies");
    my ($status, $out, $err) = finish($process);
    is($status, 0, "$method: the machine ends with status 0") || diag($err);
    my @ticks = map { hex } $out =~ /^tick ([0-9a-f]{8}) /mg;
    is(scalar(grep { $ticks[$_] != $ticks[ $_ - 1 ] + 1 } 1 .. $#ticks), 0, "$method: no tick is missing");
}

machine('auto', 'diff', 'full');
machine('fork', 'diff');
machine('pause', 'diff');

# A full disk, without fault injection.
SKIP: {
    unlink glob 'outbox/* outbox/.*snap*';
    skip 'mounting a file system is not allowed here', 2 if system("unshare -m sh -c 'mount -t tmpfs none outbox' 2>/dev/null");
    $process = start([ 'unshare', '-m', 'sh', '-c', 'mount -t tmpfs -o size=1200k none outbox && exec "$@"', 'sh', live() ]);
    $control = Control->connect('vm.sock');
    until_true { heard($process) =~ /^tick/m };
    my $outbox = "/proc/$process->{pid}/root" . POSIX::getcwd() . '/outbox';
    my $wrong = 0;
    my %rooms = (diff => [ 0, 4, 8 ], full => [ 0, 4, 12, 24 ]);
    for my $kind (sort keys %rooms) {
        for my $room (@{ $rooms{$kind} }) {
            good('full disk', 'outbox/b.snap full') or $wrong++;
            my $old = slurp("$outbox/b.snap");
            system "dd if=/dev/zero of=$outbox/filler bs=4k 2>/dev/null; truncate -s -${room}k $outbox/filler";
            my $reply = $control->request('snapshot outbox/' . ($kind eq 'diff' ? 'c' : 'b') . ".snap $kind");
            unlink "$outbox/filler";
            next if !$reply->{ok} && $reply->{error} =~ /: \w+: No space left on device; make room there$/
              && slurp("$outbox/b.snap") eq $old && names($outbox) eq 'b.snap'
              && good('full disk', 'outbox/d.snap diff') && right("$outbox/d.snap") && unlink "$outbox/d.snap";
            diag("$kind, ${room}K: ", $reply->{error} // 'ok', ' ', names($outbox));
            $wrong++;
        }
    }
    is($wrong, 0, 'a full disk: reported, undone, and the next diff has every page');
    $control->request('quit');
    my ($status, $out, $err) = finish($process);
    is($status, 0, 'the machine ends with status 0') || diag($err);
}

done_testing;
