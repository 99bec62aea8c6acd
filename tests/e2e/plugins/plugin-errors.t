#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Plugins that cannot be loaded, devices that cannot be placed, and devices that fail while the
# guest runs.
use v5.14;
use warnings;
use lib 'tests/lib';

use Control;
use Minivmm;
use Snapshot;
use POSIX ();
use Test::More;

my $plugins = "[plugins]\npath = $build/tests/plugins\n\n";

# Tests that the devices, with this guest code, are refused with a message, and that no file is
# created.
sub refused {
    my ($name, $more, $message, @arguments) = @_;
    spew('x.ini', guest('f4', $plugins . $more));
    my $before = names();
    fails([ $minivmm, '-c', 'x.ini', @arguments ], 110, $message, $name);
    is(names(), $before, "$name: no file is created");
}

# The plugin's file.
mkdir 'empty';
spew('x.ini', guest('f4', "[plugins]\npath = empty:$build/tests\n\n[device a]\nplugin = nosuch\n"));
fails([ $minivmm, '-c', 'x.ini' ],
    110, qr/x\.ini:16: plugin nosuch: no nosuch\.so in empty, \Q$build\E\/tests, more, \/.*; build it there, or name its directory/,
    'not found: the message names the searched folders', MINIVMM_PLUGIN_PATH => 'more');
spew('y.ini', guest('f4', "[plugins]\npath = empty:nosuch\n"));
is(join(':', run([ $minivmm, '-c', 'y.ini' ])), "0::minivmm: warning: [plugins] path: directory nosuch does not exist\n", 'a missing folder is reported');
unlink 'y.ini';
refused('a misspelt name', "[device a]\nplugin = serail\n",
    qr/x\.ini:16: plugin serail: no serail\.so in .*; did you mean serial\? Otherwise build it there, or name its directory/);
fails([ $minivmm, 'plugins', 'seril' ], 110, qr/plugin seril: no seril\.so in .*; did you mean serial\? Otherwise /, 'of plugins');
refused('a file that is not a shared object', "[device a]\nplugin = ./x.ini\n", qr/x\.ini:16: plugin \.\/x\.ini cannot be loaded: .*x\.ini: /);
POSIX::mkfifo('fifo', 0600);
refused('a pipe', "[device a]\nplugin = ./fifo\n", qr/x\.ini:16: plugin \.\/fifo: \.\/fifo is a device, pipe or socket, not a file/);
refused('no registration', "[device a]\nplugin = no-registration\n",
    qr/x\.ini:16: plugin no-registration: .*\/no-registration\.so is not a minivmm plugin: it does not use MINIVMM_REGISTER\(\)/);
refused('unresolved symbol', "[device a]\nplugin = unresolved\n",
    qr/x\.ini:16: plugin unresolved cannot be loaded: .*undefined symbol: function_of_another_library/);
refused('newer rows that are used', "[device a]\nplugin = newer-used\n",
    qr/x\.ini:16: plugin newer-used \(.*\): it needs a newer minivmm: options\[1\] uses a member at byte 64, .* update minivmm/);
refused('another ABI', "[device a]\nplugin = newer-abi\n",
    qr/x\.ini:16: plugin newer-abi \(.*\): it is built for ABI 3, this minivmm has 2; rebuild it/);

# A newer plugin that does not use the newer rows: in al,0x10; to the port in dx, twice; hlt.
spew('x.ini', guest('ba f8 03 e4 10 ee e4 10 ee f4', "$plugins\[device a]\nplugin = newer\n"));
my ($status, $out, $err) = run([ $minivmm, '-c', 'x.ini' ]);
is("$status:$out:$err", '0:BE:', 'newer rows that are not used');
spew('x.ini', guest('ba f8 03 e4 10 ee f4', "[device a]\nplugin = $build/tests/plugins/newer.so\nstep = 1\n"));
($status, $out, $err) = run([ $minivmm, '-c', 'x.ini' ]);
is("$status:$out:$err", '0:@:', 'named by path, with an option');

# Options.
refused('unknown option', "[device a]\nplugin = counter\naddress = 0x9000\nlimitt = 3\n",
    qr/x\.ini:18: device a: plugin counter has no option limitt; did you mean limit\? \(minivmm plugins counter lists them\)/);
refused('bad number', "[device a]\nplugin = counter\naddress = 0x9000\nlimit = many\n",
    qr/x\.ini:18: device a: limit = many is not a number/);
refused('out of range', "[device a]\nplugin = mmio-logger\naddress = 0x9000\nsize = 1G\n",
    qr/x\.ini:18: device a: size = 1G is out of range; it goes from 1 to 64M/);
refused('no such choice', "[device a]\nplugin = debug-exit\nconvention = isaa\n",
    qr/x\.ini:17: device a: convention = isaa: use plain or isa; did you mean isa\?/);
refused('required', "[device a]\nplugin = counter\n", qr/x\.ini:15: device a: address is missing: it has no initial value/);
refused('bad stream', "[device a]\nplugin = serial\nport = 0\noutput = fiel:x\n",
    qr/x\.ini:18: device a: output = fiel:x is not a stream; did you mean file\?/);
refused('bad stream of an option with another name', "[device a]\nplugin = virtio-balloon\naddress = 0xd0000000\ncontrol = fiel:x\nirq = none\n",
    qr/x\.ini:18: device a: control = fiel:x is not a stream; did you mean file\?/);

# Devices that conflict with each other.
refused('two devices on one range', "[device a]\nplugin = serial\nport = 0x3fc\n",
    qr/x\.ini:17: serial0 and a both claim ports 0x3fc to 0x3ff; move one of them/);
refused('past the last port', "[device a]\nplugin = serial\nport = 0xfffc\n",
    qr/x\.ini:17: device a: 0x8 ports from 0xfffc do not fit; the last is 0xffff/);
refused('an irq without irqchip', "[device a]\nplugin = serial\nport = 0\nirq = 4\n",
    qr/x\.ini:18: device a: irq = 4 needs an interrupt controller: set irqchip = on in \[vm\], or irq = none/);
refused('no such line', "[device a]\nplugin = serial\nport = 0\nirq = 24\n",
    qr/x\.ini:18: device a: irq = 24: use a line from 0 to 23, or none/, '--set', 'vm.irqchip=on');
refused('the same name twice', "[device serial0]\nplugin = counter\naddress = 0x9000\n",
    qr/x\.ini:15: duplicate section \[device serial0\], first at line 8; rename one/);
refused('no name', "[device]\nplugin = counter\n", qr/x\.ini:15: \[device \]: the name must be a letter a to z and up to 31/);
refused('no plugin', "[device a]\n", qr/x\.ini:15: \[device a\] has no plugin; add plugin = NAME/);
refused('two owners of stdout', "[device a]\nplugin = serial\nport = 0\noutput = stdio\n",
    qr/x\.ini:18: device a: output = stdio: serial0 uses stdout already; only one device can/);
refused('two owners of stdin', "[device a]\nplugin = serial\nport = 0\ninput = stdio\n",
    qr/x\.ini:18: device a: input = stdio: serial0 uses stdin already; only one device can/, '--set', 'device.serial0.input=stdio');

# A device that fails. In the ports of faulty: in al,0x10 and out al,0x12.
my $faulty = "$plugins\[device a]\nplugin = faulty\n";
refused('in configure', "[device a]\nplugin = faulty\nin = configure\n", qr/a: fails as configured/);
spew('x.ini', guest('e4 10 ba f8 03 ee f4', $faulty));
fails([ $minivmm, '-c', 'x.ini', '--set', 'device.a.in=start' ], 113, qr/a: fails as configured/, 'in start');
($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--status', 'status.json', '--set', 'device.a.in=read' ]);
is("$status:$out:$err", "0:\xff:minivmm: a: fails as configured\n", 'a failing read: the guest reads all ones');
is_deeply(status_of('status.json')->{devices}{a}, { reads => 1, writes => 0, failures => 1, refused => 0 }, 'the failure is counted');
spew('x.ini', guest('e6 12 ba f8 03 b0 48 ee f4', $faulty));
($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--status', 'status.json', '--set', 'device.a.in=write' ]);
is("$status:$out:$err", "0:H:minivmm: a: fails as configured\n", 'a failing write: the machine continues');
is_deeply(status_of('status.json')->{devices}{a}, { reads => 0, writes => 1, failures => 1, refused => 0 }, 'the failure is counted');

# A status line, or a reply, names the device whose plugin has reported an error.
my $reported = 'device a (plugin faulty): %s failed, see the machine\'s messages';
run([ $minivmm, '-c', 'x.ini', '--status', 'status.json', '--set', 'device.a.in=configure' ]);
is(status_of('status.json')->{error}, sprintf($reported, 'configure'), 'configure: the status line');
{
    my $process = start([ $minivmm, '-c', 'x.ini', '--set', 'boot.code=eb fe', '--set', 'control.socket=s', '--set', 'device.a.in=bad-pause' ]);
    my $control = Control->connect('s');
    is($control->request('snapshot no.snap')->{error}, sprintf($reported, 'pause'), 'pause: the reply');
    $control->request('quit');
    finish($process);
}

# A callback that fails without a message: the error names the device, plugin and callback. Failures
# that a guest can repeat are only counted.
sub fault {
    my ($in, $silent, @arguments) = @_;
    my @from = grep({ $_ eq '-r' } @arguments) ? () : ('-c', 'x.ini');
    return join ':', run([ $minivmm, @from, @arguments, '--set', "device.a.in=$in", '--set', "device.a.silent=$silent" ]);
}
my $who = 'minivmm: device a (plugin faulty)';
my $told = "minivmm: a: fails as configured\n";
my @save = ('--at', 'access:1', '--save', 'f.snap', '--log', 'warn');
is(fault('configure', 1), "110::$who: configure failed without an error message\n", 'configure without a message');
is(fault('start', 1), "113::$who: start failed without an error message\n", 'start');
is(fault('stop', 1), "0:H:$who: stop failed without an error message\n", 'stop');
is(fault('stop', 0), "0:H:$told", 'stop, with a message');
is(fault('write', 1), '0:H:', 'write: no message');
is(fault('bad-pause', 1, @save), "113::$who: pause failed without an error message\n", 'pause: no snapshot is written');
ok(!-e 'f.snap', 'pause: there is no file');
is(fault('resume', 1, @save), "0:H:$who: resume failed without an error message\n", 'resume');
unlink 'f.snap';
is(fault('save', 1, @save), "113:H:$who: save failed without an error message: no snapshot is written\n", 'save');
is(fault('save', 0, @save), "113:H:$told$who: save failed: no snapshot is written\n", 'save, with a message');
ok(!-e 'f.snap', 'no snapshot is written');
is(fault('nowhere', 1, @save), '0:H:', 'a snapshot for the next test');
my @restore = ('-r', 'f.snap', '--set', "plugins.path=$build/tests/plugins");
my $unfit = 'cannot restore f.snap: section DEVI 1: device a (plugin faulty): loaded failed';
like(fault('loaded', 1, @restore), qr/\A112::minivmm: \Q$unfit\E without an error message\n\z/, 'loaded');
like(fault('loaded', 0, @restore), qr/\A112::$told\Qminivmm: $unfit\E\n\z/, 'loaded, with a message');
my $text = Snapshot->load('f.snap');
$text->change('DEVI', 1, [qw(state pauses)], sub { @{ $_[0] }{qw(type count value)} = (6, 1, 'x') });
$text->save('text.snap');
$restore[1] = 'text.snap';
like(fault('nowhere', 0, @restore), qr/\A112::minivmm: cannot restore text\.snap: .*: pauses has the wrong type\n\z/, 'a text in place of a number');

# A row number outside of each table: each call is refused and counted.
my @rows = map { "minivmm: a: minivmm_$_->[0]() is refused: $_->[1], the plugin's table has $_->[2] rows; plugin faulty is at fault\n" }
    ([ 'timer_set', 'timer 7 does not exist', 1 ], [ 'timer_cancel', 'timer 7 does not exist', 1 ], [ 'post', 'post 7 does not exist', 0 ],
    map { [ "stream_$_", 'stream 7 does not exist', 0 ] } qw(readable read writable write));
my $watch = "minivmm: a: minivmm_watch() is refused: it is called in write on a vCPU's thread, "
    . "and allowed from start to stop, in callbacks on the I/O thread; plugin faulty is at fault\n";
is(fault('rows', 0, '--status', 'status.json'), join('', '0:H:', @rows, $watch), 'rows outside of the tables');
is(status_of('status.json')->{devices}{a}{refused}, 8, 'the refused calls are counted');
is(fault('watch', 0), "0:H:$watch", 'a watch in a range handler');

# A crash report names the device.
($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--set', 'device.a.in=crash' ]);
SKIP: {
    skip 'a sanitizer handles the signal itself', 2 if $build =~ /[at]san/;
    is($status, 115, 'a crash: the exit status');
    is($err, "minivmm: SIGSEGV at 0x0 in device a, callback write at offset 0x2 of its range: plugin faulty is at fault\n", 'the message names the device and the callback');
}

# Many messages are limited, and the limit is reported.
($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--set', 'device.a.in=noise' ]);
is("$status:$out", '0:H', 'noise');
my @lines = split /\n/, $err;
cmp_ok(scalar @lines, '<=', 50, 'a thousand messages are limited to some tens');
ok((grep { /warning: a: more than 20 lines in a second: the rest is dropped/ } @lines), 'the suppressed messages are reported');

# A device that does not finish its requests: no snapshot is written, not even a part of one.
unlink 'status.json';
my $before = names();
($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--set', 'device.a.in=pause', '--at', 'access:1', '--save', 'x.snap' ]);
is($status, 113, 'a pause that does not finish');
like($err, qr/minivmm: device a has not finished its requests within 1 second\n/, 'the message names the device');
is(names(), $before, 'no snapshot is written');

# A field above its maximum could not be restored: no snapshot is written.
($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--set', 'device.a.in=state', '--at', 'access:1', '--save', 'x.snap' ]);
is("$status:$out", '113:H', 'a field above its maximum: the machine continues');
like($err, qr/\Aminivmm: a: field resumes is 0x65, above its maximum: the plugin is at fault\n.*: save failed: no snapshot is written\n/,
    'the message names the device and the field');
is(names(), $before, 'no snapshot is written');

done_testing;
