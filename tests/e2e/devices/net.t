#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A network card without an operating system: connections, limits and counters through a snapshot;
# refused state and configs.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use IO::Socket::INET;
use Minivmm;
use Snapshot;
use Test::More;

my @net = ('-c', "$configs/net.ini");
my @open = ('--set', 'device.net0.restrict=no');
sub card { return (grep { $_->{name} eq 'net0' } @{ inspect($_[0])->{devices} })[0]{state} }

# The guest's packets and failures are counted.
my ($status, $out, $err) = run([ $minivmm, @net, '--until', 'hlt', '--save', 'end.snap', '--log', 'warn' ]);
is("$status:$err", '0:', 'the run');
my $state = card('end.snap');
is_deeply([ @$state{qw(received lost sent refused)} ], [ 5, 1, 6, 1 ], 'the counters of packets');
is($state->{"flows.neighbour_ip"}[0], 0x0a00020f, "the guest's address");
is($state->{address}, '525400123456', "the card's MAC address");

# Limits continue through a snapshot.
($status, $out, $err) = run([ $minivmm, @net, '--set', 'device.net0.rate=1G/s,1000000/s', '--until', 'output:serial0:answers',
    qw(--save a.snap --log warn) ]);
is("$status:$err", '0:', 'a run with a limit');
($status, $out, $err) = run([ $minivmm, qw(-r a.snap --trust --until access:1 --save b.snap --log warn) ]);
is("$status:$err", '0:', 'restored');
my ($a, $b) = map { card($_) } 'a.snap', 'b.snap';
for my $way (qw(sending receiving)) {
    ok($a->{$way}[0] && $a->{$way}[1], "$way: the limit's counter is in the snapshot");
    is_deeply($b->{$way}, $a->{$way}, "$way: the restored machine continues with the limit");
}

# A connection to a listening peer. The restored guest receives a segment that makes it ask, and
# learns that the connection has ended.
my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die "$!";
my $port = $server->sockport;

# The checksum of the guest's segment, for the peer's port instead of port 80.
my $sum = (~0x6781 & 0xffff) - 80 + $port;
$sum = ($sum & 0xffff) + ($sum >> 16);
my $registers = $port | (~$sum & 0xffff) << 16;
($status, $out, $err) = run([ $minivmm, @net, @open, '--set', "cpu.rdi=$registers", qw(--until output:serial0:12 --save c.snap --log warn) ]);
is("$status:$out:$err", '0:12:', 'the peer accepts the connection');
ok($server->accept, 'the peer has the connection');
$state = card('c.snap');
is($state->{"flows.tcp_guest"}[0], 0x0a00020f << 16 | 4096, "flow: the guest's address");
is($state->{"flows.tcp_peer"}[0], 0x0a000202 << 16 | $port, "flow: the peer's address");
like($state->{"flows.tcp_ended"}, qr/^01/, 'flow: the guest has closed its side');
my $silent = start([ $minivmm, qw(-r c.snap --trust --until output:serial0:10 --save d.snap --log warn) ]);
($status, $out, $err) = finish($silent, 20);
is("$status:$out:$err", "0:\n10:", 'the segment that makes the guest ask');
my $after = card('d.snap');
is_deeply([ map { $after->{"flows.$_"} } qw(tcp_guest tcp_peer tcp_ended tcp_next neighbour_ip neighbour_mac neighbour_next) ],
    [ map { $state->{"flows.$_"} } qw(tcp_guest tcp_peer tcp_ended tcp_next neighbour_ip neighbour_mac neighbour_next) ],
    'connections and neighbours are the same after a restore');

# The host's network is used only if the snapshot is trusted or the option is given again.
($status, $out, $err) = run([ $minivmm, qw(-r c.snap) ]);
is($status, 112, 'refused: the network of an untrusted snapshot') or diag($err);
like($err, qr/device net0 names a host resource, backend = user: add --set device.net0.backend=/, 'the message has the reason');
($status, $out, $err) = run([ $minivmm, qw(-r a.snap --set device.net0.backend=none --set device.net0.restrict=no --until access:1 --log warn) ]);
is("$status:$err", '0:', 'backend=none needs no trust');

# Invalid saved state is refused, by the plugin or by libslirp.
sub changed {
    my ($item, $value) = @_;
    my $copy = Snapshot->load('a.snap');
    $copy->change('DEVI', 0, [ 'state', $item ], sub { @{ $_[0] }{qw(count value)} = (length $value, $value) });
    $copy->save('changed.snap');
    return [ $minivmm, qw(-r changed.snap --trust --until access:1 --log warn) ];
}
for (
    [ 'half a length field', "\x40\0" ],
    [ 'a length field without a packet', pack 'L', 100 ],
    [ 'a length of 0', pack 'L L', 0, 0 ],
    [ 'a length beyond the end', pack 'L L a100', 101, 0, '' ],
    [ 'the largest length', pack 'L L a100', 0xfffffff0, 0, '' ],
    [ 'half a length field after a packet', pack 'L L a72 S', 72, 0, '', 72 ],
    [ 'a packet for a missing pair of queues', pack 'L L a72', 72, 1, '' ],
) {
    my ($what, $bytes) = @$_;
    ($status, $out, $err) = run(changed('waiting', $bytes));
    is($status, 112, "refused: queued packets: $what");
    like($err, qr/^minivmm: net0: the state has a waiting packet of \d+ bytes for pair \d,/m, 'the message describes the packet');
}
fails(changed('waiting', 'x' x ((1 << 20) + 1)), 112, qr/waiting has 1048577 elements, at most 1048576 fit/, 'refused: more queued packets than fit');
my $saved = pack 'H*', $a->{backend};
($status, $out, $err) = run(changed('backend', $saved));
is("$status:$err", '0:', 'the saved state of the back end');
fails(changed('backend', substr($saved, 0, -1)), 113, qr/net0: \d+ bytes are not a valid state of libslirp/, 'refused: truncated state of the back end');
fails(changed('backend', substr($saved, 0, 4) . '*' . substr $saved, 5), 113, qr/net0: \d+ bytes are not a valid state of libslirp/, 'refused: a socket in the state of the back end');
($status, $out, $err) = run(changed('backend', pack('L', 99) . substr $saved, 4));
is($status, 0, "state of another libslirp version is dropped");
like($err, qr/version 99 of libslirp's state, which libslirp \S+ here does not have; DHCP leases are lost/, 'the loss is reported');

# A port that is forwarded to the guest: the machine listens on it.
my $probe = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "$!";
my $taken = $probe->sockport;
fails([ $minivmm, @net, '--set', "device.net0.forward=tcp:127.0.0.1:$taken:80" ], 113,
    qr/net0: cannot listen on tcp:127\.0\.0\.1:$taken for forward: Address already in use/, 'refused: a port that is in use');

for (
    [ 'backend=users', qr/backend = users is not valid; use user, tap:INTERFACE or none/ ],
    [ 'backend=tap', qr/backend = tap is not valid/ ],
    [ 'backend=tap:', qr/backend = tap: is not valid/ ],
    [ 'mac=52:54:00:12:34', qr/mac = 52:54:00:12:34 is not valid/ ],
    [ 'mac=00:00:00:00:00:00', qr/mac = 00:.* is not valid; use six bytes in hex, the first one even and not all 0/ ],
    [ 'mac=53:54:00:12:34:56', qr/mac = 53:.* is not valid/ ],
    [ 'mac=52:54:00:12:34:5x', qr/mac = 52:.* is not valid/ ],
    [ 'rate=100M', qr/rate = 100M is not valid; use bytes \(100M\/s/ ],
    [ 'rate=5/s, 6/s', qr/rate = 5\/s, 6\/s is not valid/ ],
    [ 'rate=0/s', qr/rate = 0\/s is not valid/ ],
    [ 'rate=99999999999999999999/s', qr/rate = 9+\/s is not valid/ ],
    [ 'burst=10', qr/burst = 10 is for operations, which rate does not limit/ ],
    [ 'queues=2', qr/queues = 2 needs backend = tap:INTERFACE, not user/ ],
    [ 'queues=5', qr/queues = 5 is/ ],
) {
    my ($set, $said) = @$_;
    fails([ $minivmm, @net, '--set', "device.net0.$set" ], 110, $said, $set);
}

# Two cards with one address, whatever its letters.
spew('two.ini', "[vm]\nmemory = 64K\nirqchip = on\n[boot]\ncode = f4\n"
      . join '', map { "[device net$_]\nplugin = virtio-net\naddress = 0xd000${_}000\nirq = none\nbackend = none\n" } 0, 1);
my @two = map { [ '--set', "device.net0.mac=52:54:00:00:00:ab", '--set', "device.net1.mac=$_" ] } '52:54:00:00:00:AB', '52:54:00:00:00:ac';
fails([ $minivmm, '-c', 'two.ini', @{ $two[0] } ], 110,
    qr/device net1: mac = 52:54:00:00:00:AB is that of device net0; use another one, or remove it/, 'refused: one address on two cards');
is((run([ $minivmm, '-c', 'two.ini', @{ $two[1] } ]))[0], 0, 'two addresses');
is((run([ $minivmm, '-c', 'two.ini' ]))[0], 0, 'two random addresses');
for (
    [ 'tcp:127.0.0.1:80', qr/an entry is not valid/ ],
    [ 'tcp:127.0.0.1:80:80:80', qr/an entry is not valid/ ],
    [ 'sctp:127.0.0.1:80:80', qr/an entry is not valid/ ],
    [ 'ip:127.0.0.1:80:80', qr/the protocol is neither tcp nor udp/ ],
    [ 'tcp:300.0.0.1:80:80', qr/the address is not an IPv4 address/ ],
    [ 'tcp:127.0.0.1:80:65536', qr/a port is not from 1 to 65535/ ],
) {
    my ($forward, $said) = @$_;
    fails([ $minivmm, @net, '--set', "device.net0.forward=$forward", '--check' ], 110, $said, "forward=$forward");
}
fails([ $minivmm, @net, '--set', 'device.net0.backend=none' ], 110, qr/forward and restrict need backend = user, not none/,
    'restrict without a network');
fails([ $minivmm, @net, @open, '--set', 'device.net0.backend=tap:a-name-that-is-too-long', '--check' ], 110, qr/the name of an interface has at most 15 characters/,
    'an invalid name of a tap');

done_testing;
