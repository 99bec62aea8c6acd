#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Mistakes of a plugin, in each callback and on a thread of its own: calls of services, reserved
# results, crashes, exits, callbacks that take long, and state that could not be loaded. Each is
# rejected with the names of device and plugin. See tests/plugins/caller.c.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# The guest writes to offset 0, where a snapshot may be taken, and to offset 2.
spew('x.ini', guest('e6 10 e6 12 eb fe', "[plugins]\npath = $build/tests/plugins\n\n[device a]\nplugin = caller\n"));
my @callbacks = qw(configure load loaded start write fire ready run readable connected connect pause resume capture save stop destroy);
my @save = ('--at', 'access:1', '--save', 'x.snap');

# Runs with the plugin's action in a callback. Returns status, output and errors.
sub act {
    my ($act, $in, $thread, @more) = @_;
    my @set = map { ('--set', "device.a.$_") } "act=$act", "in=$in", 'thread=' . ($thread ? 'yes' : 'no'),
        $in eq 'readable' ? 'input=text:x' : ();
    unlink 'status.json', 'x.snap';
    my @from = ('-c', 'x.ini');
    if ($in =~ /^load/) {
        @from = ('-r', 'kept.snap', '--set', "plugins.path=$build/tests/plugins");
    } elsif ($in =~ /^(?:pause|resume|capture|save)$/) {
        push @more, @save;
    }
    my @command = ($minivmm, @from, @set, '--status', 'status.json', '--log', 'warn', @more);
    return run(\@command, timeout => 20) if $in ne 'connect';
    unlink 'm.sock';
    my $process = start([ @command, '--set', 'control.socket=m.sock' ]);
    until_true { -S 'm.sock' };
    run([ $minivmm, 'ctl', 'm.sock', 'connect', 'a', 1 ]);
    return finish($process);
}
my ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--at', 'access:1', '--save', 'kept.snap', '--log', 'warn' ]);
is("$status:$out:$err", '0::', 'without a mistake');

# Every service in every phase, on the I/O thread or a vCPU's, and on a thread of the plugin. The
# header states where each may be called.
my %where;
{
    my $header = slurp("$top/core/include/minivmm/plugin.h");
    my $where;
    while ($header =~ /(?|(Where): ([^.]*)\.|(->)(\w+)\()/g) {
        if ($1 eq 'Where') { ($where = $2) =~ s/\n \*//g }
        elsif ($where) { $where{$2} = [ split /, /, $where ] }
    }
    my ($members) = $header =~ /^struct minivmm_services \{(.*?)^\};/ms;
    my @members = $members =~ /\(\*(\w+)\)/g;
    is(join(' ', sort keys %where), join(' ', sort @members), 'the header states it for every service');
}
my @running = qw(start write fire ready run readable connected connect pause resume stop);
my %phases = (
    'in any phase' => \@callbacks,
    'from start to stop' => \@running,
    'from start to destroy' => [ @running, 'destroy' ],
    'from start to stop and in capture' => [ @running, 'capture' ],
    'from start to stop except in a pause' => [ grep { $_ ne 'pause' } @running ],
    'in start' => ['start'],
    'while the guest runs' => [qw(write fire ready run readable connected connect)],
    'in capture' => ['capture'],
    'in save' => ['save'],
    'in load' => [qw(load loaded)],
);

# The phase of the device, which counts for a thread of the plugin.
my %phase_of = (load => 'configure', loaded => 'configure', (map { $_ => 'run' } qw(write fire ready readable connected connect pause resume)),
    capture => 'pause', save => 'pause');

sub allowed {
    my ($service, $in, $thread) = @_;
    my ($phases, $threads) = @{ $where{$service} };
    $in = $phase_of{$in} // $in if $thread;
    return 0 if !grep { $_ eq $in } @{ $phases{$phases} // die $phases };
    return $threads eq 'on any thread' if $thread;
    return $threads ne 'in range handlers' || $in eq 'write' if $in ne 'write';
    return $threads ne 'in callbacks on the I/O thread';
}
# It calls all in any order of phases; so some are refused for what they are passed.
sub is_refused {
    my ($service, $in, $thread) = @_;
    return 0 if $thread && $service =~ /^(?:put|get)/; # no device is known
    return 1 if !allowed($service, $in, $thread);
    return 1 if $service =~ /^(?:put|get|save_|load_)/; # no writer, no reader
    return 1 if $service eq 'machine_functions'; # it is no tool
    return $in ne 'pause' if $service eq 'paused';
    return $in ne 'capture' || $thread if $service eq 'captured'; # nothing is deferred elsewhere
    return $in ne 'connect' if $service eq 'connected'; # nothing is pending elsewhere
    return $in ne 'write' || $thread if $service eq 'complete'; # nothing is deferred elsewhere
    return !allowed('memory_map', $in, $thread) if $service eq 'memory_unmap';
    return 0;
}
for my $thread (0, 1) {
    for my $in (@callbacks) {
        my ($status, undef, $err) = act('services', $in, $thread);
        my $name = $in . ($thread ? ', on a thread of the plugin' : '');
        my @refused = grep { is_refused($_, $in, $thread) } sort keys %where;
        my %said = map { $_ => 1 } $err =~ /^minivmm: a: minivmm_(\w+)\S*\(\) is refused: .*; plugin caller is at fault$/mg;
        like($err, qr/^minivmm: a: minivmm_irq_\*\(\) is refused: it is called after stop on a thread of the plugin \(minivmm, TID [1-9]\d*\), and allowed from start to stop, on any thread; plugin caller is at fault$/m,
            "$name: names the thread") if $thread && $in eq 'destroy';
        ok($status < 110 || $in =~ /save|load/, "$name: the status") or diag($status, $err);
        if ($in eq 'destroy' || $in eq 'configure') {
            my $lines = () = $err =~ / is refused: /g;
            is($lines, @refused, "$name: each other call is refused") or diag("@refused\n$err");
        } else {
            my $json = -e 'status.json' && -s 'status.json' ? status_of('status.json')->{devices}{a}{refused} : 'none';
            is($json, scalar @refused, "$name: each other call is refused") or diag("$status @refused\n$err");
        }
    }
}

# Arguments that a service refuses.
my @arguments = (
    [ bind_write => 'offset 0x4 is outside of range port of 0x4 bytes' ],
    [ bind_write => 'offset 0x0 is outside of range port of 0x4 bytes' ],
    [ bind_write => 'range port has no accesses of 3 bytes' ],
    [ bind_write => 'range port has no accesses of 0 bytes' ],
    [ bind_write => 'offset 0xffffffffffffffff is outside of range port of 0x4 bytes' ],
    [ bind_write => q{range 9 does not exist, the plugin's table has 1 rows} ],
    [ bind_write => q{watch 9 does not exist, the plugin's table has 2 rows} ],
    [ bind_write => 'offset 0x0 of range port is bound to this value already' ],
    [ 'irq_*' => '777 is not an interrupt of this device' ],
    [ watch => '0x0 are not events to wait for' ],
    [ watch => '0x10000001 are not events to wait for' ],
    [ memory_unmap => 'no mapping at 0x2000 has 0x1 bytes or more' ],
    [ memory_unmap => 'no mapping at 0x2000 has 0x11 bytes or more' ],
    [ memory_unmap => 'no mapping at 0x2000 has 0xffffffffffffffff bytes or more' ],
    [ memory_discard => '0x1000 bytes at 0x2001 are not whole pages' ],
    [ option_set => 'the plugin has no option with MINIVMM_HOST named nosuch' ],
    [ option_set => 'the plugin has no option with MINIVMM_HOST named irq' ],
    [ option_set => 'no value for option name' ],
    [ log => 'level 9 does not exist' ],
    [ complete => 'access 12345 is not deferred, or was completed before' ],
);
($status, $out, $err) = act('arguments', 'start', 0);
is("$status:$err", join('', '0:', map { "minivmm: a: minivmm_$_->[0]() is refused: $_->[1]; plugin caller is at fault\n" } @arguments),
    'wrong arguments');
is(status_of('status.json')->{devices}{a}{refused}, @arguments, 'they are counted');

# Results other than 0 and -1 are reserved.
for my $act ('odd', 'pending') {
    for my $in (grep { $_ ne 'destroy' && (!/^(?:pause|connect)\z/ || $act eq 'odd') } @callbacks) {
        my ($status, undef, $err) = act($act, $in, 0);
        my $result = $act eq 'odd' ? 7 : 1;
        like($err, qr/^minivmm: a: $in returned $result, which is reserved; .*; plugin caller is at fault$/m, "$in returns $result");
        my $fatal = $in =~ /^(?:configure|load|loaded|start|pause|capture|save)$/;
        ok($fatal ? $status >= 110 && $status <= 113 : $status == 0, "$in: the status") or diag($status);
        ok(!-e 'x.snap', "$in: no snapshot") if $in =~ /^(?:pause|capture|save)$/;
    }
}

# A callback that ends the process, or the thread that called it, does not pass for a success.
for my $in (@callbacks) {
    my ($status, undef, $err) = act('exit', $in, 0);
    is($status, 115, "exit() in $in: the status");
    like($err, qr/^minivmm: exit\(\) is called in device a, callback $in.*: plugin caller is at fault$/m, "exit() in $in");
    ($status, undef, $err) = act('exit', $in, 1);
    is($status, 115, "exit() on a thread in $in: the status");
    like($err, qr/^minivmm: exit\(\) is called in a thread of plugin caller, device a: the plugin is at fault$/m, "exit() on a thread in $in");
    next if $in eq 'write'; # on a vCPU's thread: reported as a callback that takes long
    ($status, undef, $err) = act('end-thread', $in, 0);
    is($status, 115, "pthread_exit() in $in: the status");
    like($err, qr/^minivmm: pthread_exit\(\) is called in device a, callback $in: plugin caller is at fault$/m, "pthread_exit() in $in");
}

# Crashes.
SKIP: {
    skip 'a sanitizer handles the signal itself', 60 if $build =~ /[at]san/;
    for my $in (@callbacks) {
        my ($status, undef, $err) = act('crash', $in, 0);
        is($status, 115, "a crash in $in: the status");
        like($err, qr/^minivmm: SIGSEGV at 0x8 in device a, callback $in.*: plugin caller is at fault$/m, "a crash in $in");
        ($status, undef, $err) = act('crash', $in, 1);
        is($status, 115, "a crash on a thread in $in: the status");
        like($err, qr/^minivmm: SIGSEGV at 0x8 in a thread of plugin caller, device a: the plugin is at fault$/m, "a crash on a thread in $in");
    }
    spew('born.c', "__attribute__((constructor)) static void born(void) { *(volatile int *)8 = 1; }\n");
    run([ 'cc', '-shared', '-fPIC', '-o', 'born.so', 'born.c' ]);
    spew('y.ini', guest('f4', "[device a]\nplugin = ./born.so\n"));
    for my $command ([ '-c', 'y.ini' ], [ '--check', '-c', 'y.ini' ], [ 'plugins', './born.so' ]) {
        my ($status, undef, $err) = run([ $minivmm, @$command ]);
        is("$status:$err", "115:minivmm: SIGSEGV at 0x8 in ./born.so, constructors: the plugin is at fault\n", "a crash in a constructor: @$command");
    }

    # The core uses memory of the plugin after configure.
    for my $mistake ([ 'bytes', 'fields after configure' ], [ 'path', 'paths after configure' ]) {
        spew('gone.c', <<"END");
#include <minivmm/plugin.h>
struct gone { uint64_t count; uint64_t *bytes; const char *path; };
static int gone_configure(struct minivmm_device *dev) { ((struct gone *)dev->state)->$mistake->[0] = (void *)8; return 0; }
static const struct minivmm_option options[] = { MINIVMM_OPTION(struct gone, count, "9", "help"),
	MINIVMM_OPTION_AS(PATH, struct gone, path, "/dev/null", "help"), MINIVMM_END };
static const struct minivmm_field fields[] = { MINIVMM_FIELD_POINTER(struct gone, bytes, count), MINIVMM_END };
static const struct minivmm_plugin gone = { .name = "gone", .summary = "sets a wrong pointer", .state_version = 1,
	.state_size = sizeof(struct gone), .options = options, .fields = fields, .configure = gone_configure };
MINIVMM_REGISTER(gone);
END
        run([ 'cc', '-shared', '-fPIC', "-I$top/core/include", '-o', 'gone.so', 'gone.c' ]);
        spew('y.ini', guest('f4', "[device a]\nplugin = ./gone.so\n"));
        my ($status, undef, $err) = run([ $minivmm, '-c', 'y.ini' ]);
        is("$status:$err", "115:minivmm: SIGSEGV at 0x8 in device a, callback $mistake->[1]: plugin gone is at fault\n", $mistake->[1]);
    }

    # Two threads crash. The first cannot write its report before the second has crashed: stderr is
    # a full pipe, which start reads late.
    spew('both.c', <<'END');
#include <minivmm/plugin.h>
#include <pthread.h>
#include <unistd.h>
static void *crash(void *place) { *(volatile int *)place = 1; return NULL; }
static int both_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	static char bytes[65536];
	int ends[2];
	pthread_t thread;
	if (pipe(ends) || write(ends[1], bytes, sizeof(bytes)) != sizeof(bytes) || dup2(ends[1], 2) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		pthread_create(&thread, NULL, crash, (void *)8);
	usleep(100000);
	while (read(ends[0], bytes, sizeof(bytes)) > 0)
		;
	return 0;
}
static const struct minivmm_plugin both = {
	.name = "both", .summary = "crashes twice", .state_version = 1, .state_size = 1, .start = both_start };
MINIVMM_REGISTER(both);
END
    run([ 'cc', '-shared', '-fPIC', '-pthread', "-I$top/core/include", '-o', 'both.so', 'both.c' ]);
    spew('y.ini', guest('eb fe', "[device a]\nplugin = ./both.so\n"));
    is((run([ $minivmm, '-c', 'y.ini' ]))[0], 115, 'two threads crash: the status');
}

# State that could not be loaded is not saved.
my %save = (
    'open-group' => 'save has not ended a group with minivmm_put_end(): plugin caller is at fault',
    'end-twice' => 'minivmm_put_end() is refused: no group is open; plugin caller is at fault',
    'twice' => 'save has put two values with the same name into a group: plugin caller is at fault',
);
for my $act (sort keys %save) {
    my ($status, undef, $err) = act($act, 'nowhere', 0, @save);
    is($status, 113, "$act: the status");
    like($err, qr/^minivmm: a: \Q$save{$act}\E.*\nminivmm: device a \(plugin caller\): save failed: no snapshot is written$/m, $act);
    ok(!-e 'x.snap', "$act: no snapshot");
}
is((act('many', 'nowhere', 0, @save))[0], 0, 'three hundred values in a group are saved');
is((run([ $minivmm, '-r', 'x.snap', '--set', "plugins.path=$build/tests/plugins", '--set', 'device.a.act=many' ]))[0], 0, 'and loaded');

# A callback that takes long is reported while it runs, by the log and by status, and at its end.
spew('z.ini', slurp('x.ini') . "act = slow\n\n[control]\nsocket = z.sock\n");
for my $in ('start', 'write', 'fire') {
    unlink 'go';
    my $process = start([ $minivmm, '-c', 'z.ini', '--set', "device.a.in=$in" ]);
    my $callback = "minivmm: warning: a: callback $in of plugin caller";
    ok(until_true { said($process) =~ /^\Q$callback\E takes \d+\.\d s so far; / }, "a slow $in is reported");
    if ($in eq 'write') {
        my (undef, $out) = run([ $minivmm, 'ctl', 'z.sock', 'status' ]);
        like($out, qr/slow_callbacks.*\ba\b.*\bwrite\b/s, 'status lists it');
    }
    if ($in eq 'fire') {
        my $ctl = start([ $minivmm, 'ctl', 'z.sock', 'status' ]);
        ok(until_true { said($ctl) =~ /^minivmm: warning: z\.sock: the machine does not read the request: / }, 'ctl tells why it waits');
        kill KILL => $ctl->{pid};
        finish($ctl);
    }
    spew('go', '');
    my ($status, undef, $err) = finish($process);
    like("$status:$err", qr/\A0:[^\n]*\n\Q$callback\E has returned after \d+\.\d s\n\z/, "and so is the end of $in");
}

done_testing;
