#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# inspect --dump, inspect --map and the code at rip: memory in a snapshot, also in chains of diffs
# and in hostile files.
# On an emulated KVM, too.
use v5.14;
use warnings;
no warnings 'portable';
use lib 'tests/lib';

use Control;
use Minivmm;
use Snapshot;
use Test::More;

sub take {
    my ($file, @arguments) = @_;
    my ($status, $out, $err) = run([ $minivmm, @arguments, '--save', $file ]);
    is($status, 0, "$file is written") or diag($err);
}

sub output {
    my (@arguments) = @_;
    my ($status, $out, $err) = run([ $minivmm, 'inspect', @arguments ]);
    is("$status:$err", '0:', "inspect @arguments");
    return $out;
}

# What hexdump -C prints for bytes at an address. The last line may be shorter.
sub hexdump {
    my ($at, $bytes) = @_;
    my ($text, $last, $repeated) = ('', '', 0);
    my $end = $at + length $bytes;
    for my $line (unpack '(a16)*', $bytes) {
        if (length $line == 16 && $line eq $last) {
            $text .= "*\n" if !$repeated;
            $repeated = 1;
        } else {
            my @hex = map { sprintf ' %02x', $_ } unpack 'C*', $line;
            push @hex, '   ' until @hex == 16;
            $text .= sprintf "%08x %s %s  |%s|\n", $at, join('', @hex[ 0 .. 7 ]), join('', @hex[ 8 .. 15 ]),
              $line =~ s/[^ -~]/./gr;
            $repeated = 0;
        }
        $last = $line;
        $at += length $line;
    }
    return $text . sprintf "%08x\n", $end;
}

# --dump of a small machine.
take('a.snap', '-c', "$configs/simple.ini", '--until', 'access:1');
my $code = pack 'H*', 'baf80300d80430eeb00aeef4';
my $memory = $code . "\0" x (0x4000 - length $code);
is(output('--dump', '0x1000', '64', 'a.snap'), hexdump(0x1000, substr $memory, 0, 64), 'repeated lines');
is(output('a.snap', '--dump', '4K', '16K'), hexdump(0x1000, $memory), 'all memory, with units');
is(output('a.snap', '--dump', '0x1003', '0x15'), hexdump(0x1003, substr $memory, 3, 0x15), 'unaligned, with a shorter last line');
is(output('a.snap', '--dump', 'rip', '2'), hexdump(0x1008, substr $memory, 8, 2), 'from a register');
is(output('a.snap', '--dump', 'linear:0x1001', '3'), hexdump(0x1001, substr $memory, 1, 3), 'from a linear address, without page tables');
SKIP: {
    my ($status) = run([ 'sh', '-c', 'command -v hexdump' ]);
    skip 'hexdump is not installed', 1 if $status;
    spew('raw', $memory);
    is((run([ 'hexdump', '-C', 'raw' ]))[1] =~ s/^0000/0000/gmr, hexdump(0, $memory), 'the format is that of hexdump -C');
}
for my $case (
    [ [qw(0x4ff0 32)], qr/--dump 0x4ff0 32: the memory of a\.snap is 0x1000 to 0x4fff; use a smaller length\n/ ],
    [ [qw(0x0 1)], qr/the memory of a\.snap is 0x1000 to 0x4fff; use an address in it\n/ ],
    [ [qw(0x5000 1)], qr/use an address in it\n/ ],
    [ [qw(0x1000 0xffffffffffffffff)], qr/use a smaller length\n/ ],
    [ [qw(0xffffffffffffffff 2)], qr/use an address in it\n/ ],
    [ [qw(0x1000 0)], qr/the length is 0\n/ ],
    [ [qw(0x1000 x)], qr/the length is not a size|the length is not/ ],
    [ [qw(0x10zz 1)], qr/--dump 0x10zz is not/ ],
    [ [qw(rap 1)], qr/--dump rap: it is neither an address, such as 0x1000 or linear:0x1000, nor a register, such as rip or gdt\.base\n/ ],
    [ [qw(linear:0x7000 1)], qr/cannot read a\.snap at linear address 0x7000: it is 0x7000 in physical memory, where there is none\n/ ],
  ) {
    my ($arguments, $message) = @$case;
    fails([ $minivmm, 'inspect', 'a.snap', '--dump', @$arguments ], 110, $message, "refused: --dump @$arguments");
}
fails([ $minivmm, qw(inspect a.snap --dump 0x1000) ], 110, qr/--dump 0x1000 needs two values, ADDRESS LENGTH; see/, 'refused: no length');
fails([ $minivmm, qw(inspect a.snap --map --json) ], 110, qr/give one of --json, --map and --dump\n/, 'refused: two at once');
fails([ $minivmm, qw(inspect a.snap -o x) ], 110, qr/-o x needs --map\n/, 'refused: -o without --map');

# Long mode: the page tables decide.
my @long = ('--set', 'vm.memory=64K', '--set', 'cpu.mode=long');
spew('long.ini', guest('48 c7 c0 34 12 00 00 e6 80 f4'));
take('long.snap', '-c', 'long.ini', @long, '--until', 'access:1');
my $long = Snapshot->load('long.snap');
is(output('long.snap', '--dump', 'linear:0x1000', '10'), hexdump(0x1000, substr $long->{memory}, 0, 10), 'through page tables');
my $cr3 = inspect('long.snap')->{vcpus}[0]{sregs}{cr3};
$cr3 = hex $cr3 if $cr3 =~ /^0x/;
is(output('long.snap', '--dump', 'cr3', '16'), hexdump($cr3, substr $long->{memory}, $cr3 - 0x1000, 16), 'cr3 is physical');
fails([ $minivmm, qw(inspect long.snap --dump linear:0x8000000000 1) ], 110, qr/at linear address 0x8000000000: the page tables do not map it\n/,
    'refused: an address that is not mapped');

# The code at rip. Without objdump only the bytes.
like(output('a.snap'), qr/^  at rip: b0 0a ee f4 00 /m, 'the bytes at rip');
mkdir 'none';
my ($status, $out, $err) = run([ $minivmm, 'inspect', 'a.snap' ], PATH => "$top/none");
is("$status:$err", '0:', 'without objdump');
like($out, qr/^  at rip: b0 0a ee f4 00.*\n\nmachine/m, 'without objdump: the bytes and nothing else');

# The first instruction is that at rip, even if objdump would take it for padding.
spew('zeros.ini', guest('90 ' . '00 ' x 12 . '0f 0b'));
run([ $minivmm, qw(-c zeros.ini --until step:1 --save zeros.snap) ]);
like(output('zeros.snap'), qr/^  at rip: 00 00 .*\n    1001: 00 00  /m, 'zeros at rip are shown as an instruction')
  if grep { -x "$_/objdump" } split /:/, $ENV{PATH};
mkdir 'bin';
spew('bin/objdump', <<'END');
#!/bin/sh
# Prints its arguments and what no terminal should see.
printf '%s\n' "$*" >&2
case $* in
*i8086*) m=16 ;;
*x86-64*) m=64 ;;
*i386*) m=32 ;;
esac
for last; do :; done
printf '   10:\t%s\tmode%s %s \033[2J\302\233\n' "$(od -An -tx1 -N2 "$last")" $m "$(ls -l /proc/self/fd | wc -l)"
i=0
while [ $i -lt 100000 ]; do printf ' %x:\t90\tnop\n' $i; i=$((i + 1)); done
END
chmod 0755, 'bin/objdump';
# A test of the time-out would take 10 s.
for my $case ([ 'a.snap', 16, 'b0 0a' ], [ 'long.snap', 64, 'f4 00' ]) {
    my ($file, $bits, $bytes) = @$case;
    ($status, $out, $err) = run([ $minivmm, 'inspect', $file ], PATH => "bin:$ENV{PATH}");
    is("$status:$err", '0:', "$file: objdump's stderr is not shown");
    like($out, qr/^    10:  $bytes +mode$bits /m, "$file: objdump gets the bytes and the mode");
    unlike($out, qr/[^\n -~]/, "$file: its output is printable");
    is(scalar(() = $out =~ /^    [0-9a-f]+: .*(?:mode|nop)/mg), 8, "$file: its output is limited");
}

# A hostile snapshot: page tables that lead to themselves, registers of any value.
{
    my $copy = Snapshot->load('long.snap');
    my $set = sub { my ($group, $name, $value) = @_; $copy->change('VCPU', 0, [ $group, $name ], sub { $_[0]{value} = pack 'Q', $value }) };
    substr($copy->{memory}, 0x2000, 4096) = pack('Q', 0x3003) x 512;    # at 0x3000
    for my $case ([ 0x3000, 0x3f7 ], [ 0x3000, ~0 ], [ ~0, 0 ], [ 0xffffffff000, 0x1000 ], [ 0x10000, 8 ]) {
        $set->('sregs', 'cr3', $case->[0]);
        $set->('regs', 'rip', $case->[1]);
        $copy->save('hostile.snap');
        for my $arguments ([], ['--map'], [qw(--dump rip 8K)], [qw(--dump cr3 64)]) {
            ($status, $out, $err) = run([ $minivmm, 'inspect', 'hostile.snap', @$arguments ]);
            ok($status == 0 || $status == 110, sprintf('cr3 %x, rip %x: inspect %s', @$case, "@$arguments")) or diag("$status: $err");
        }
    }
}

# --map: text.
is(output('--map', 'a.snap'), <<'END', 'the map of a small machine');
a.snap: pages of memory
  .  zero                3 pages, 12K
  #  data                1 page, 4K
  A character stands for several pages: + at least a quarter are data, - fewer

memory
  0x0000001000 to 0x0000004fff          16K  memory
    0x0000001000 to 0x000000100b     12 bytes  image simple.bin
    0x0000001008                     1 bytes  rip of vCPU 0

ports
  0x00000003f8 to 0x00000003ff      8 bytes  serial0

16K from 0x1000; a character is 4K
  0x0000001000 #...  image simple.bin, rip of vCPU 0
END

# The same map after a restore: the names are in the snapshot.
take('again.snap', '-r', 'a.snap', '--trust', '--until', 'hlt');
like(output('--map', 'again.snap'), qr/^    0x0000001000 to 0x000000100b     12 bytes  image simple\.bin\n/m, 'names survive a restore');

# Many sizes: no line and no image grows with the memory.
for my $size ('64K', '1M', '16M', '5G', '64G') {
    take('size.snap', '-c', "$configs/code.ini", '--set', "vm.memory=$size", '--set', 'vm.memory_at=0', '--set', 'vm.irqchip=yes', '--until', 'access:1');
    my $text = output('--map', 'size.snap');
    cmp_ok(($text =~ tr/\n//), '<', 100, "$size: lines");
    is(scalar(grep { length > 160 } split /\n/, $text), 0, "$size: their length");
    output('--map', '-o', 'map.svg', 'size.snap');
    output('--map', '-o', 'map2.svg', 'size.snap');
    my $svg = slurp('map.svg');
    is($svg, slurp('map2.svg'), "$size: the image is the same each time");
    cmp_ok(length $svg, '<', 40000, "$size: the size of the image");
    svg($svg, $size);
}

# Checks that an SVG image is well-formed, and that nothing in it is outside.
sub svg {
    my ($svg, $name) = @_;
    my @open;
    my ($width, $height) = $svg =~ /\A<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" width="(\d+)" height="(\d+)"/;
    ok($height, "$name: an image") or return;
    my $outside = 0;
    while ($svg =~ /\G([^<]*)<(\/?)(\w+)((?: [\w-]+="[^"<>&]*"|\s+)*)(\/?)>/gc) {
        my ($text, $end, $tag, $attributes, $empty) = ($1, $2, $3, $4, $5);
        $outside++ if $text =~ /&(?!#\d+;)/ || $text =~ /[^\n -~]/;
        my %value = $attributes =~ /([\w-]+)="([^"]*)"/g;
        $outside++ if exists $value{x} && ($value{x} + ($value{width} // 0) > $width || $value{y} + ($value{height} // 0) > $height);
        if ($end) { $outside++ if pop @open ne $tag }
        elsif (!$empty) { push @open, $tag }
    }
    is(pos($svg) // 0, length($svg) - 1, "$name: well-formed to the end");
    is(@open + $outside, 0, "$name: all tags are closed and inside");
}

symlink 'a.snap', 'link.svg' or die;
run([ 'cp', 'a.snap', 'other.snap' ]); # a snapshot outside the chain
for my $path ('a.snap', './a.snap', 'link.svg', 'other.snap') {
    my $why = $path eq 'link.svg' ? 'it is a symbolic link; name the file itself' : 'it is a snapshot of minivmm; remove it or name another file';
    fails([ $minivmm, 'inspect', '--map', '-o', $path, 'a.snap' ], 113, qr/cannot write map \Q$path: $why\E/, "refused: -o $path");
}
fails([ $minivmm, qw(inspect --map -o no/map.svg a.snap) ], 113, qr/cannot write map no\/map\.svg: .*No such file/, 'refused: a missing directory');

# A hostile snapshot: names of any kind.
{
    my $copy = Snapshot->load('a.snap');
    my $item = sub { my ($type, $name, $value) = @_; { type => $type, name => $name, count => $type == 4 ? 1 : length $value, value => $value } };
    my $range = sub { my ($name, $space, $at, $size) = @_;
        { type => 7, name => '', count => 0, value => [ $item->(6, 'name', $name), $item->(6, 'space', $space), $item->(4, 'at', pack 'Q', $at), $item->(4, 'size', pack 'Q', $size) ] } };
    my @ranges = (
        [ '<script>"&', 'memory', 0x1000, 1 ], [ "\e[2J\xc2\x9b", 'memory', 0x1000, 0x2000 ], [ 'x' x 300, 'mmio', 0, 0xffffffffffffffff ],
        [ 'over', 'mmio', 0xffffffffffffffff, 2 ], [ 'none', 'memory', 0x1000, 0 ], [ 'what', 'nowhere', 1, 1 ], [ 'far', 'memory', 0xfffffffffffff000, 0x1000 ],
        map { [ "n$_", 'pio', $_, 1 ] } 1 .. 600);
    $copy->change('NAME', 0, ['ranges'], sub { $_[0]{value} = [ map { $range->(@$_) } @ranges ] });
    $copy->save('names.snap');
    my $text = output('--map', 'names.snap');
    unlike($text, qr/[^\n -~]/, 'names: the text is printable');
    like($text, qr/^  and \d+ more names\n/m, 'names: those that are left out are counted');
    unlike($text, qr/over|none|what/, 'names: impossible ranges are left out');
    output('--map', '-o', 'names.svg', 'names.snap');
    svg(slurp('names.svg'), 'names');
    ($status, $out, $err) = run([ $minivmm, '-r', 'names.snap', '--trust' ]);
    is("$status:$out", "0:\n", 'names: the machine does not depend on them');
    for my $bad ([ $item->(6, 'name', 'x') ], [ @{ $range->('x', 'memory', 1, 1)->{value} }, $item->(6, 'more', 'x') ], []) {
        $copy->change('NAME', 0, ['ranges'], sub { $_[0]{value} = [ { type => 7, name => '', count => 0, value => $bad } ] });
        $copy->save('bad.snap');
        output('--map', 'bad.snap');
        fails([ $minivmm, '-r', 'bad.snap', '--trust' ], 112, qr/bad\.snap: section NAME 0: .*(?:without name, space|more is unknown)/, 'names: refused by a restore: ' . @$bad . ' items');
    }
    $copy->{rows} = [ grep { $_->{tag} ne 'NAME' } @{ $copy->{rows} } ];
    $copy->save('old.snap');
    unlike(output('--map', 'old.snap'), qr/serial0|simple/, 'a snapshot of an earlier version has no names');
}

# A property: --dump of a snapshot equals the memory of the paused machine, whole and in a chain.
SKIP: {
    my $run = start([ $minivmm, '-c', "$configs/live.ini", '--log', 'error', '--set', 'vm.memory=1M', '--set', 'control.socket=v.sock' ], stdout => '/dev/null');
    my $control = Control->connect('v.sock') or skip 'no control socket', 1;
    my $seed = $ENV{SEED} // time;
    diag("SEED=$seed");
    srand $seed;
    for my $file ('chain0.snap', 'chain1.snap', 'chain2.snap') {
        is($control->request('pause')->{ok} ? 1 : 0, 1, 'paused');
        my $kind = $file eq 'chain0.snap' ? 'full' : 'diff';
        is($control->request("snapshot $file $kind")->{ok} ? 1 : 0, 1, "$file: $kind");
        for my $place ([ 0x1000, 4096 ], [ 0x7000, 8192 ], map { my $at = int rand(1 << 20); [ $at, 1 + int rand((1 << 20) - $at > 65536 ? 65536 : (1 << 20) - $at) ] } 1 .. 4) {
            my $bytes = pack 'H*', $control->request("memory $place->[0] $place->[1]")->{bytes} // '';
            is(output('--dump', $place->[0], $place->[1], $file) eq hexdump($place->[0], $bytes), 1, "$file: $place->[1] bytes at $place->[0]");
        }
        $control->request('resume');
        my $writes = $control->accesses('serial0', 'writes');
        until_true { $control->accesses('serial0', 'writes') > $writes };
    }
    $control->request('quit');
    finish($run);
    like(output('--map', 'chain2.snap'), qr/^  =  data of the parent/m, 'the map of a diff shows the parent\'s pages');
    rename 'chain0.snap', 'elsewhere.snap';
    fails([ $minivmm, 'inspect', '--dump', '0', '16', 'chain2.snap' ], 112, qr/needs its parent/, 'refused: the parent is missing');
    output('--dump', '0', '16', 'elsewhere.snap', 'chain2.snap');
    fails([ $minivmm, 'inspect', '--map', 'a.snap', 'elsewhere.snap' ], 110, qr/a\.snap is not a parent of elsewhere\.snap; remove it/, 'refused: another snapshot');
    like(output('chain2.snap'), qr/^  at rip: /m, 'inspect of the diff alone');
}

done_testing;
