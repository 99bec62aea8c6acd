#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# diff --hex, --json and --guest.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use JSON::PP;
use Minivmm;
use Snapshot;
use Test::More;

sub take {
    my ($file, @arguments) = @_;
    my ($status, $out, $err) = run([ $minivmm, @arguments, '--save', $file ]);
    is($status, 0, "$file is written") or diag($err);
}

sub diffs {
    my (@arguments) = @_;
    my ($status, $out, $err) = run([ $minivmm, 'diff', @arguments ]);
    is($err, '', "diff @arguments: no message");
    return wantarray ? ($status, $out) : $out;
}

take('a.snap', '-c', "$configs/simple.ini", '--until', 'access:1');
# Changes bytes of memory: [ address, bytes ].
sub changed {
    my ($file, @changes) = @_;
    my $copy = Snapshot->load('a.snap');
    substr $copy->{memory}, $_->[0] - 0x1000, length $_->[1], $_->[1] for @changes;
    $copy->row('SUMS', 0)->{data} = "\1\0\0\0";
    $copy->save($file);
}

# --hex: the bytes side by side. Lines that are close are one run.
changed('b.snap', [ 0x1000, "\x11" ], [ 0x100c, 'XY' ], [ 0x1200, 'abcdefgh' ], [ 0x3fff, '!' ], [ 0x4000, '?' ]);
is(diffs('--hex', 'a.snap', 'b.snap'), <<'END', '--hex');
memory 0x1000 to 0x1fff: 1 page differs
  00001000  ba f8 03 00 d8 04 30 ee  ......0.  11 .. .. .. .. .. .. ..  ......0.
  00001008  b0 0a ee f4 00 00 00 00  ........  .. .. .. .. 58 59 .. ..  ....XY..

  00001200  00 00 00 00 00 00 00 00  ........  61 62 63 64 65 66 67 68  abcdefgh
memory 0x3000 to 0x4fff: 2 pages differ
  00003ff8  00 00 00 00 00 00 00 00  ........  .. .. .. .. .. .. .. 21  .......!
  00004000  00 00 00 00 00 00 00 00  ........  3f .. .. .. .. .. .. ..  ?.......
END
is(diffs('--hex', 'a.snap', 'a.snap'), '', '--hex of the same');
is(length((sort { length $b <=> length $a } split /\n/, diffs('--hex', 'a.snap', 'b.snap'))[0]), 80, '--hex fits 80 columns');

# The limit, with a count of the rest.
changed('c.snap', [ 0x2000, 'x' x 8192 ]);
my $out = diffs('--hex', 'a.snap', 'c.snap');
is(($out =~ tr/\n//), 258, '--hex prints 256 lines of bytes');
like($out, qr/^and 6144 more bytes differ, in 768 lines; --lines 0 prints all\n\z/m, '--hex counts the rest');
is((diffs('--hex', '--lines', 0, 'a.snap', 'c.snap') =~ tr/\n//), 1025, '--lines 0');
is((diffs('--hex', '--lines', 3, 'a.snap', 'c.snap') =~ tr/\n//), 5, '--lines 3');

# A property: --hex --lines 0 and --hex --json tell exactly which bytes differ.
my $seed = $ENV{SEED} // time;
diag("SEED=$seed");
srand $seed;
for my $round (1 .. 5) {
    my %expected;
    my @changes = map { [ 0x1000 + int rand(0x4000 - 40), join '', map { chr(128 + int rand 128) } 1 .. 1 + int rand 40 ] } 1 .. 1 + int rand 20;
    changed('r.snap', @changes);
    my ($before, $after) = map { Snapshot->load($_)->{memory} } 'a.snap', 'r.snap';
    my $differ = $before ^ $after;
    $expected{ 0x1000 + pos($differ) - 1 } = ord substr $after, pos($differ) - 1, 1 while $differ =~ /[^\0]/g;
    my (%text, %json);
    for (split /\n/, diffs('--hex', '--lines', 0, 'a.snap', 'r.snap')) {
        my ($at, $bytes) = /^  ([0-9a-f]{8})  (?:[0-9a-f]{2} ){8} .{8}  ((?:[0-9a-f.]{2} ){8})/ or next;
        my @bytes = split ' ', $bytes;
        $bytes[$_] eq '..' or $text{ hex($at) + $_ } = hex $bytes[$_] for 0 .. 7;
    }
    is_deeply(\%text, \%expected, "round $round: text");
    my $json = decode_json(scalar diffs('--hex', '--json', '--lines', 0, 'a.snap', 'r.snap'));
    for my $line (map { @{ $_->{bytes} } } @{ $json->{memory} }) {
        my ($a, $b, $at) = (pack('H*', $line->{a}), pack('H*', $line->{b}), $line->{gpa});
        $at = hex $at if $at =~ /^0x/;
        substr($a, $_, 1) eq substr($b, $_, 1) or $json{ $at + $_ } = ord substr $b, $_, 1 for 0 .. 7;
    }
    is_deeply(\%json, \%expected, "round $round: JSON");
}

# --json.
take('later.snap', '-c', "$configs/simple.ini", '--until', 'access:2');
my ($status, $text) = diffs('--json', 'a.snap', 'later.snap');
my $json = decode_json($text);
is($status, 1, '--json: the status of a difference');
ok(!$json->{same}, '--json: same');
my ($rip) = grep { $_->{item} eq 'regs.rip' } @{ $json->{differences} };
is_deeply([ @$rip{qw(in item)} ], [ 'vcpu 0', 'regs.rip' ], '--json: an item');
is_deeply([ map { /^0x/ ? hex : $_ + 0 } @$rip{qw(a b)} ], [ 0x1008, 0x100b ], '--json: its values');
is_deeply($json->{memory}, [], '--json: no memory differs');
($status, $text) = diffs('--json', 'a.snap', 'a.snap');
$json = decode_json($text);
is("$status:" . ($json->{same} ? 1 : 0) . ':' . @{ $json->{differences} }, '0:1:0', '--json of the same');
is_deeply([ @{ decode_json(scalar diffs('--json', 'a.snap', 'c.snap')) }{qw(memory)} ], [ [ { gpa => 0x2000, size => 8192 } ] ], '--json: pages')
  or diag(scalar diffs('--json', 'a.snap', 'c.snap'));
{
    my $copy = Snapshot->load('a.snap');
    $copy->{rows} = [ grep { $_->{tag} ne 'DEVI' } @{ $copy->{rows} } ];
    $copy->save('none.snap');
    my $json = decode_json(scalar diffs('--json', 'none.snap', 'a.snap'));
    is_deeply([ grep { $_->{only} } @{ $json->{differences} } ], [ { in => 'device serial0', only => 'b' } ], '--json: a section that one side has');
}

# --guest: two runs of a guest that neither time nor input drives, to the same access, are the same.
for my $config (qw(simple code echo long protected multiboot pvh elf disk net rtc i8042 mmio-logger balloon)) {
    my @irqchip = $config =~ /^(?:code|echo|protected|multiboot|pvh)$/ ? ('--set', 'vm.irqchip=yes', '--set', 'vm.memory=16M') : ();
    take($_, '-c', "$configs/$config.ini", @irqchip, '--until', 'access:2') for 'one.snap', 'two.snap';
    my ($status, $out) = diffs('--guest', 'one.snap', 'two.snap');
    is("$status:$out", '0:', "--guest: $config.ini");
    isnt((diffs('one.snap', 'two.snap'))[0], 0, "without it, $config.ini differs");
}
{
    my $copy = Snapshot->load('a.snap');
    $copy->change('VCPU', 0, [qw(xsave area)], sub { substr($_[0]{value}, 512, 1) ^= "\2" });
    $copy->save('bit.snap');
    is((diffs('a.snap', 'bit.snap'))[0], 1, 'XSTATE_BV differs');
    is(join(':', diffs('--guest', 'a.snap', 'bit.snap')), '0:', '--guest: the CPU chooses the bits of initial state in XSTATE_BV');
}
($status, $text) = diffs('--guest', 'a.snap', 'later.snap');
is("$status:" . join(' ', map { (split)[2] } split /\n/, $text), '1:regs.rax: regs.rip:', '--guest shows what the guest did') or diag($text);

# Each item that --guest leaves out has its reason in the table, and the table has no other.
my ($table) = slurp("$top/core/cli/diff_guest.c") =~ /\} rows\[\] = \{(.*?)\n\};/s;
my @rows = $table =~ /^\t\{ "(\w+)", "[^"]+", "([^"]+)" \},$/mg;
is(scalar(@rows) / 2, scalar(() = $table =~ /\{/g), 'each row has a reason');
fails([ $minivmm, qw(diff --lines 1 a.snap c.snap) ], 2, qr/diff: --lines needs --hex\n/, 'refused: --lines without --hex');

# Each pattern of the table fits an item, so that no misspelt one hides. Some CPUs lack some MSRs.
take('timer.snap', '-c', "$configs/counter.ini", '--until', 'access:2');
my $all = inspect('timer.snap');
sub paths {
    my ($value, $path) = @_;
    return $path if ref $value ne 'HASH' || !%$value;
    return map { paths($value->{$_}, length $path ? "$path.$_" : $_) } keys %$value;
}
while ($table =~ /^\t\{ "(\w+)", "([^"]+)"/mg) {
    my ($kind, $pattern) = ($1, $2);
    next if $pattern =~ /0xe\[78\]|0x6e0/;
    (my $regex = quotemeta $pattern) =~ s/\\\*/.*/g;
    $regex =~ s/\\\?/./g;
    my @sections = $kind eq 'machine' ? $all->{machine} : @{ $all->{"${kind}s"} };
    ok((grep { /^$regex$/ } map { paths($_, '') } @sections), "the pattern $pattern fits an item of $kind");
}

done_testing;
