#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A thread of a plugin is parked during a pause: it sleeps and holds no lock, also if it had work.
# The plugin checks it, see tests/plugins/worker.c.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Test::More;

$ENV{MINIVMM_PLUGIN_PATH} = "$build/tests/plugins";
my @branches;
END { kill KILL => @branches }

# Counts from 'a' to 'z' with the thread, and prints each.
# mov $0x3f8,%dx; 0: mov $'a'-1,%al; 1: out %al,$0x10; 2: in $0x10,%al; test %al,%al; jz 2b;
# out %al,%dx; cmp $'z',%al; jb 1b; hlt
my $device = "[device w]\nplugin = worker\n\n[control]\nsocket = s\n";
my $code = 'ba f8 03 b0 60 e6 10 e4 10 84 c0 74 fa ee 3c 7a 72 f3 f4';
spew('x.ini', guest($code, $device));
# The same again and again: jmp 0b.
spew('loop.ini', guest($code =~ s/f4$/eb ef/r, $device));
my $letters = join '', 'a' .. 'z';
my ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini' ]);
is("$status:$out:$err", "0:$letters:", 'without a pause');

# Whether the output is the letters, again and again; with "d" after a reset. Returns the number of
# times that it went back.
sub jumps {
    my ($out) = @_;
    my $jumps = 0;
    while ($out =~ /(.)(?=(.))/gs) {
        next if $2 eq ($1 eq 'z' ? 'a' : chr 1 + ord $1);
        $jumps += $2 eq 'd' ? 1 : 1000;
    }
    return $jumps;
}

# Does it, again and again, mostly while the thread works. A slow host may have a pause refused,
# after a second of work. Returns how often it was done.
sub often {
    my ($control, $request) = @_;
    my $done = 0;
    for my $try (1 .. 1000) {
        my $reply = $control->request($request->($done));
        push @branches, map { $_->{pid} } @{ $reply->{branches} // [] };
        $done++ if $reply->{ok};
        last if $done == 20;
    }
    return $done;
}

for my $delay ('1ms', '10ms') {
    my $process = start([ $minivmm, '-c', 'loop.ini', '--set', "device.w.delay=$delay" ]);
    my $control = Control->connect('s');
    is(often($control, sub { "snapshot $_[0].snap" }), 20, "delay $delay: snapshots");
    $control->request('quit');
    ($status, $out, $err) = finish($process);
    is($status . ':' . jumps($out), '0:0', "delay $delay: the guest does not see them");
    unlike($err, qr/thread/, "delay $delay: the thread was parked");
    for (0 .. 19) {
        my ($w) = grep { $_->{name} eq 'w' } @{ inspect("$_.snap")->{devices} };
        is($w->{state}{result}, $w->{state}{number} && $w->{state}{number} + 1, "delay $delay: the work is done in snapshot $_");
        ($status, $out, $err) = run([ $minivmm, '-r', "$_.snap", '--until', 'output:serial0:z', '--set', 'device.w.delay=0' ]);
        ok($status == 0 && $letters =~ /\Q$out\E\z/, "delay $delay: snapshot $_ continues") or diag("$status $out $err");
    }
}

# Branches: a process that is duplicated has no thread but the one that forks, so the others may
# hold no lock. Each branch counts on from its parent's letter.
if ($branches) {
    my $process = start([ $minivmm, '-c', 'loop.ini', '--set', 'device.w.delay=1ms', '--set', 'device.serial0.output=file:parent.out' ]);
    my $control = Control->connect('s');
    my $number = often($control, sub { "branch $_[0].sock --set device.serial0.output=file:$_[0].out" });
    is($number, 20, 'branches');
    for (0 .. $number - 1) {
        my $branch = Control->connect("$_.sock");
        ok(until_true(sub { length slurp("$_.out") > 30 }), "branch $_ has a thread that works");
        $branch->request('quit');
        ok(until_true(sub { !-e "$_.sock" }), "branch $_ ends");
        is(jumps(slurp("$_.out")), 0, "branch $_ counts on");
    }
    @branches = ();
    $control->request('quit');
    ($status, undef, $err) = finish($process);
    is($status . ':' . jumps(slurp('parent.out')), '0:0', 'the parent does not see them');
    unlike($err, qr/thread/, 'the thread was parked');
}

# Work that takes more than a second.
sub begin {
    my (@arguments) = @_;
    unlink 'go';
    my $process = start([ $minivmm, @arguments ]);
    my $control = Control->connect('s');
    until_true { $control->accesses('w', 'writes') == 1 };
    return ($process, $control);
}
{
    my ($process, $control) = begin('-c', 'x.ini', '--set', 'device.w.delay=1000s');
    is($control->request('snapshot no.snap')->{error}, 'device w has not finished its requests within 1 second', 'work without an end: no snapshot');
    ok(!-e 'no.snap', 'no file');
    is($control->request('status')->{state}, 'running', 'the machine continues');
    spew('go', '');
    is((finish($process))[1], $letters, 'and so does the work');

    # A mistake, as a check of the check.
    ($process, $control) = begin('-c', 'x.ini', '--set', 'device.w.delay=1000s', '--set', 'device.w.careless=yes');
    like($control->request('snapshot no.snap')->{error}, qr/^device w \(plugin worker\): capture failed: no snapshot is written$/, 'a plugin that does not wait');
    like(said($process), qr/^minivmm: w: the thread has work$/m, 'is noticed');
    $control->request('quit');
    spew('go', '');
    finish($process);
}

# A reset while the thread works: what it computed is not taken for a result of the snapshot.
is((run([ $minivmm, '-c', 'loop.ini', '--until', 'output:serial0:abc', '--save', 'abc.snap' ]))[0], 0, 'a snapshot for resets');
unlink 'go';
for my $delay ('1ms', '10ms') {
    my $process = start([ $minivmm, '-r', 'abc.snap', '--set', "device.w.delay=$delay", '--set', 'control.socket=s' ]);
    my $control = Control->connect('s');
    is(often($control, sub { 'reset' }), 20, "delay $delay: resets");
    until_true { $control->accesses('w', 'writes') > 60 };
    $control->request('quit');
    my ($status, $out, $err) = finish($process);
    cmp_ok(jumps("c$out"), '<=', 20, "delay $delay: the guest begins again each time") or diag($out);
    unlike($err, qr/thread/, "delay $delay: the thread was parked");
}

# Its effect on a plugin's description.
spew('unparked.c', <<'END');
#include <minivmm/plugin.h>
static const struct minivmm_plugin unparked = { .name = "unparked", .summary = "has a thread of a library", .state_version = 1,
	.state_size = 1, .flags = MINIVMM_UNPARKED };
MINIVMM_REGISTER(unparked, MINIVMM_PARKED_THREADS);
END
run([ qw(cc -shared -fPIC), "-I$top/core/include", qw(-o unparked.so unparked.c) ]);
like((run([ $minivmm, 'plugins', './unparked.so' ]))[1], qr/, state version 1; its threads run during a pause$/m, 'plugins shows threads that are not parked');

done_testing;
