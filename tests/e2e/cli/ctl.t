#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# minivmm ctl against a scripted server: replies, errors, broken connections, progress.
use v5.14;
use warnings;
use lib 'tests/lib';

use IO::Select;
use IO::Socket::UNIX;
use Minivmm;
use Socket qw(AF_UNIX SOCK_SEQPACKET);
use Test::More;

my $server;

# Starts a server process. For each line it calls $answer->(line, state) and sends the result; undef
# closes the connection. The state belongs to the connection. The file "asked" contains the lines
# received.
sub serve {
    my ($answer) = @_;
    end();
    unlink 'vm.sock', 'asked';
    my $socket = IO::Socket::UNIX->new(Local => 'vm.sock', Listen => 5) or die "vm.sock: $!";
    $server = fork // die "fork: $!";
    return if $server;
    my ($all, %state) = (IO::Select->new($socket));
    for (;;) {
        for my $ready ($all->can_read) {
            if ($ready == $socket) {
                $all->add(my $client = $socket->accept);
                $state{$client} = { in => '' };
                next;
            }
            my $state = $state{$ready};
            if (!sysread $ready, $state->{in}, 4096, length $state->{in}) {
                $all->remove($ready);
                next;
            }
            while ($state->{in} =~ s/\A(.*)\n//) {
                open my $asked, '>>', 'asked';
                print $asked "$1\n";
                close $asked;
                my $reply = $answer->($1, \%state);
                if (defined $reply) { syswrite $ready, $reply }
                else { $all->remove($ready); close $ready; last }
            }
        }
    }
}

sub end {
    kill KILL => $server and waitpid $server, 0 if $server;
    undef $server;
}
END { my $status = $?; end(); $? = $status }

sub ctl { return [ $minivmm, 'ctl', @_ ] }

# Usage errors.
fails(ctl(), 110, qr/ctl: no SOCKET; use minivmm ctl SOCKET COMMAND/, 'refused: no socket');
fails(ctl('vm.sock'), 110, qr/ctl: no COMMAND; use minivmm/, 'refused: no command');
fails(ctl(qw(--jsno vm.sock x)), 110, qr/ctl: unknown option --jsno/, 'refused: an unknown option');
fails(ctl('vm.sock', "a\nb"), 110, qr/newline/, 'refused: a newline in a word');
fails(ctl('vm.sock', 'x' x 17000), 110, qr/longer than 16384 bytes/, 'refused: a command that is too long');
fails(ctl(qw(vm.sock stats --frob)), 110, qr/unknown argument --frob of stats/, 'refused: an argument after stats');
fails(ctl(qw(--json vm.sock stats)), 110, qr/stats does not support --json; use minivmm ctl --json SOCKET status/, 'refused: stats with --json');

# No server.
fails(ctl(qw(vm.sock status)), 113, qr/cannot connect to vm\.sock: No such file or directory; check that the machine is running/,
    'the socket file does not exist');
serve(sub { '' });
end();
fails(ctl(qw(vm.sock status)), 113, qr/vm\.sock: Connection refused; the machine has ended/, 'no process listens on the socket');
fails(ctl('x' x 108, 'status'), 113, qr/has a name of more than 85 bytes; use a shorter name/, 'refused: a name that is too long');

# Replies.
my %reply = (
    ok => '{"ok":true}',
    status => '{"ok":true,"state":"running","n":-1.5e3,"up":true,"none":null,"exits":{"pio":12,"deep":{"a":[]}},'
      . '"devices":[{"name":"a","reads":1,"x":{"y":[1,2]}},{"name":"b"},3,[4,5],{}],"empty":{},"t":"a\"\\\\\u001b\u00e9"}',
    blanks => " { \"ok\" : true , \"a\" : [ 1 , 2 ] } \r",
    no => '{"ok":false,"error":"it \"can\'t\" \u001b[1m"}',
    why => '{"ok":false}',
    bad => '{"ok":true,}',
    two => '{"ok":true} {}',
    other => '220 mail.example.org',
    none => '[]',
    deep => '{"ok":true,"a":' . '[' x 5000 . ']' x 5000 . '}',
    big => '{"ok":true,"big":"' . 'x' x 1_000_000 . '"}',
    help => '{"ok":true,"commands":[{"name":"help","usage":"help","help":"lists them"},{"name":"x","usage":"x FILE","help":"it"}]}',
    'a "b c" "" "\\"\\\\"' => '{"ok":true,"quoted":true}',
);
serve(sub { return exists $reply{ $_[0] } ? "$reply{$_[0]}\n" : undef });

sub replies {
    my ($arguments, $expected, $name) = @_;
    is(join(':', run(ctl(@$arguments))), $expected, $name);
}
replies([qw(vm.sock ok)], '0::', 'an empty reply prints nothing');
replies([qw(vm.sock status)], "0:" . <<'END' . ':', 'nested values are printed as text');
state: running
n: -1.5e3
up: yes
none: none
exits:
  pio: 12
  deep:
    a: none
devices:
  name: a, reads: 1, x: {y: [1, 2]}
  name: b
  3
  4, 5
  {}
empty: none
t: a"\x5c\x1bé
END
replies([qw(vm.sock blanks)], "0:a:\n  1\n  2\n:", 'blanks between JSON tokens');
replies([qw(vm.sock help)], "0:  help                          lists them\n  x FILE                        it\n:", 'help');
replies([qw(--json vm.sock status)], "0:$reply{status}\n:", '--json');
replies([qw(vm.sock --json status)], "0:$reply{status}\n:", '--json after the socket');
replies([ 'vm.sock', 'a', 'b c', '', '"\\' ], "0:quoted: yes\n:", 'words are quoted');
replies([qw(vm.sock no)], "1::minivmm: it \"can't\" \\x1b[1m\n", 'an error reply');
replies([qw(--json vm.sock no)], "1:$reply{no}\n:minivmm: it \"can't\" \\x1b[1m\n", 'an error reply with --json');
replies([qw(vm.sock why)], "1::minivmm: the machine reported an error without a text\n", 'an error reply without a text');
fails(ctl('vm.sock', $_), 113, qr/vm\.sock: the reply .*; check that it is a control socket/, "refused: the reply $_")
  for qw(bad two other none deep);
my ($status, $out, $err) = run(ctl(qw(vm.sock big)));
is("$status:" . length($out) . ":$err", '0:' . length("big: \n" . 'x' x 1_000_000) . ':', 'a reply of one megabyte');
fails(ctl(qw(vm.sock hang up)), 113, qr/vm\.sock: no reply: the machine hung up/, 'the server closes the connection without a reply');
($status, $out, $err) = run(ctl(qw(vm.sock status)), stdout => '/dev/full');
is("$status:$err", "113:minivmm: cannot write to stdout: No space left on device\n", 'reports a full stdout');

# Half a reply; a complete reply before the request has been sent.
serve(sub { return $_[1]{half}++ ? undef : '{"ok":tr' });
my $process = start(ctl(qw(vm.sock status)));
until_true { -e 'asked' };
end();
is(join(':', finish($process)), "113::minivmm: vm.sock: no reply: the machine hung up\n", 'half a reply');

# Snapshots to stdout: ctl passes stdout to the machine and prints the reply to stderr.
serve(sub { return $_[0] =~ /^snapshot/ ? "{\"ok\":true,\"bytes\":5}\n" : undef });
replies([qw(vm.sock snapshot -)], "0::bytes: 5\n", 'snapshot -: the reply goes to stderr');
replies([qw(vm.sock snapshot a.snap)], "0:bytes: 5\n:", 'snapshot FILE: the reply goes to stdout');
my $terminal = terminal();
$process = start(ctl(qw(vm.sock snapshot -)), terminal => $terminal);
is(join(':', (finish($process))[ 0, 2 ]), "110:minivmm: ctl: snapshot -: stdout is a terminal; redirect it to a file or pipe\n",
    'refused: snapshot - to a terminal');

# Ctrl-C sends cancel over a second connection; the first one receives its reply.
serve(sub {
    my ($line, $all) = @_;
    return '' if $line =~ /^snapshot/ && ($all->{first} = 1);
    return undef if $line ne 'cancel';
    return "{\"ok\":true}\n";
});
unlink 'asked';
$process = start(ctl(qw(vm.sock snapshot a.snap)));
ok(until_true(sub { -e 'asked' }), 'the snapshot is in progress');
kill INT => $process->{pid};
ok(until_true(sub { slurp("asked") =~ m{\Asnapshot /\S+/a\.snap\ncancel\n\z} }), 'Ctrl-C sends cancel');
like(said($process), qr/\Aminivmm: cancelling the snapshot; Ctrl-C again does not wait for it\n\z/, 'ctl reports the cancellation');
kill INT => $process->{pid};
is((finish($process))[0], 1002, 'a second Ctrl-C ends ctl');

# Progress, with stderr on a terminal.
my $done = 0;
serve(sub {
    my ($line, $all) = @_;
    return '' if $line =~ /^snapshot/;
    $done += 25_000_000;
    return "{\"ok\":true,\"snapshot\":{\"done_bytes\":$done,\"total_bytes\":100000000}}\n" if $line eq 'status';
    return undef;
});
$terminal = terminal();
my $pid = fork // die "fork: $!";
if (!$pid) {
    open STDERR, '>', $terminal->{name} or die "$terminal->{name}: $!";
    exec @{ ctl(qw(vm.sock snapshot a.snap)) };
}
ok($terminal->shows(qr/\Asnapshot: 25 %\r/), 'progress is shown');
ok($terminal->shows(qr/\rsnapshot: \d+ %, \d+ MB\/s, \d+ s left *\r/), 'it contains the speed and the time left');
ok($terminal->shows(qr/\rsnapshot: 100 %/), 'it is updated to the end');
end();
ok($terminal->shows(qr/\r *\rminivmm: vm\.sock: no reply: the machine hung up/), 'the line is cleared at the end')
  or diag($terminal->{seen} =~ s/\r/<CR>/gr);
is(scalar(() = $terminal->{seen} =~ /hung up/g), 1, 'of two connections, one reports it');
waitpid $pid, 0;
is($? >> 8, 113, 'the exit status follows the reply of the first connection');

# stats: the differences between two replies.
my $count = 0;
my $stats = sub {
    return undef if $_[0] ne 'status';
    my $n = $count++ * 1000;
    return qq({"ok":true,"uptime_ns":"0x59682f00","exits":{"pio":$n,"mmio":0},)
      . qq("devices":[{"name":"a","reads":$n,"writes":5},{"name":"b\\u001b","reads":0,"writes":0}]}\n);
};
serve($stats);
($status, $out, $err) = run(ctl(qw(vm.sock stats)));
is("$status:$err", '0:', 'stats');
is(slurp('asked'), "status\nstatus\n", 'stats requests two replies');
my $rate = $out =~ /^  pio +(\d+)$/m ? $1 : 0;
ok($rate > 100 && $rate <= 1000, 'one second apart') || diag($out);
like($out, qr/\Aup for 1\.5 s\nexits each second +\n  pio +\d+\n  mmio +0\naccesses each second +reads +writes\n  a +\d+ +0\n  b\\x1b +0 +0\n\z/,
    'stats prints the differences');
$terminal = terminal();
$process = start(ctl(qw(vm.sock stats --watch)), terminal => $terminal, TERM => 'xterm');
ok($terminal->shows(qr/\e\[2J\e\[Hup for.*\e\[J.*\e\[Hup for.*\e\[J/s), 'stats --watch updates its output repeatedly');
kill INT => $process->{pid};
is(join(':', (finish($process))[ 0, 2 ]), '0:', 'Ctrl-C ends stats --watch with status 0');
for ([ 'ctl', 'vm.sock', 'stats', '--watch', qr/(?:up for.*){2}/s ], [ 'list', '--watch', 'vm.sock', qr/(?:NAME.*){2}/s ]) {
    my $shows = pop @$_;
    for my $kind ('dumb', '') {
        $terminal = terminal();
        $process = start([ $minivmm, @$_ ], terminal => $terminal, TERM => $kind);
        ok($terminal->shows($shows), "@$_ with TERM=$kind");
        kill INT => $process->{pid};
        finish($process);
        unlike($terminal->{seen}, qr/\e/, 'sends no control sequences');
    }
}

# top: the same as bars. The busiest device has the longest one.
$count = 0;
serve(sub {
    my $n = $count++ * 1000;
    my $snapshot = $count > 1 ? '"snapshot":{"file":"x","done_bytes":25,"total_bytes":100},' : '';
    return qq({"ok":true,"state":"running\\u001b","uptime_ns":"0x59682f00","memory_bytes":1048576,"dirty_pages_per_second":17,$snapshot)
      . qq("vcpus":[{"id":0,"halted":false,"exits":$n,"cpu_ns":"0x0"}],"exits":{"pio":$n,"mm\\u001b":0},)
      . '"devices":[' . join(',', map { my $r = $n * $_; qq({"name":"dev$_","reads":$r,"writes":0}) } 0 .. 9) . "]}\n";
});
$process = start(ctl(qw(vm.sock top)));
until_true { heard($process) =~ /dev9.*dev9/s };
kill INT => $process->{pid};
($status, $out, $err) = finish($process);
is("$status:$err", '0:', 'top: Ctrl-C ends it');
like($out, qr/\Aup for 1\.5 s, running\\x1b, 1 MiB of memory, 17 pages written\/s\nvCPU 0 +\d+ exits\/s +0 % \nexits\/s  pio \d+  mm\\x1b 0\n/, 'its first lines');
like($out, qr/^snapshot +25 % +#{8}$/m, 'the progress of a snapshot');
my %bar = $out =~ /^  (dev\d) .*?(#*)$/gm;
is_deeply([ map { length $bar{"dev$_"} } 0, 9 ], [ 0, 31 ], 'the bars: none, and all');
cmp_ok(length $bar{"dev$_"}, '>', length $bar{ 'dev' . ($_ - 1) }, "more accesses, a longer bar: $_") for 1 .. 9;
$terminal = terminal();
system "stty cols 60 rows 8 <$terminal->{name}";
$process = start(ctl(qw(vm.sock top)), terminal => $terminal, TERM => 'xterm');
ok($terminal->shows(qr/\e\[H(?:[^\n]*\n){6}  and 9 more\e\[K\r?\n\e\[J/), 'a small terminal shows some devices, and how many more there are') or diag($terminal->{seen});
kill INT => $process->{pid};
finish($process);
serve(sub { return '' });
$process = start(ctl(qw(vm.sock stats --watch)));
until_true { -e 'asked' };
kill INT => $process->{pid};
is(join(':', finish($process)), '0::', 'Ctrl-C also ends it while it waits for a reply');
serve(sub { return "{\"ok\":false,\"error\":\"not now\"}\n" });
replies([qw(vm.sock stats)], "1::minivmm: not now\n", 'stats: an error reply');

# A reply is one write, so that replies of several processes to one file do not mix.
serve(sub { return '{"ok":true,"id":"a","text":"' . 'x' x 30000 . "\"}\n" });
for my $command ('"$0" ctl --json vm.sock status >&3', '"$0" ctl vm.sock status >&3', '"$0" ctl --json vm.sock snapshot - 2>&3 >out') {
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_SEQPACKET, 0 or die "socketpair: $!";
    run([ 'sh', '-c', "exec 3>&1 >err; $command", $minivmm ], stdout => $theirs);
    close $theirs;
    recv $ours, my $bytes, 65536, 0;
    like($bytes, qr/\A.*id.*x{30000}"?\}?\n\z/s, "one write: $command") or diag(substr $bytes, 0, 100);
}
serve(sub { return "{\"ok\":true,\"exits\":[],\"devices\":{\"a\":1}}\n" });
($status, $out) = run(ctl(qw(vm.sock stats)));
is($status, 0, 'stats: a reply without counters');

done_testing();
