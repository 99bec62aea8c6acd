#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A diff contains the pages that the guest and the devices have written, and no others. A chain
# restores as one machine. A chain whose snapshots do not match is refused before the guest runs.
use v5.14;
use warnings;
no warnings 'portable';
use lib 'tests/lib';

use Control;
use Minivmm;
use Snapshot;
use Test::More;

# For each byte from the serial port the guest increments the first byte of the page with that
# number, and echoes the byte. In real mode:
#   1: dx = 3fd;  2: in;  test al,1;  jz 2b;  dl = f8;  in;  ax = al << 8;  es = ax;  inc es:[0];
#   out;  jmp 1b
my $guest = 'ba fd 03 ec a8 01 74 fb b2 f8 ec 88 c4 30 c0 8e c0 26 fe 06 00 00 88 e0 ee eb e5';
# Here a device writes the page:  ... in;  mov ah,al;  out 0x500;  out 0x3f8;  jmp 1b
my $scribe = 'ba fd 03 ec a8 01 74 fb b2 f8 ec ba 00 05 ee ba f8 03 ee eb eb';
# The same in long mode; the pages begin at rbx.
my $long = '66 ba fd 03 ec a8 01 74 fb b2 f8 ec 0f b6 c8 c1 e1 0c fe 04 0b ee eb e8';

sub config {
    my ($file, $code, $vm, $more) = @_;
    spew($file, "[vm]\n$vm\n\n[boot]\nat = 0x1000\ncode = $code\n\n[device serial0]\nplugin = serial\noutput = stdio\ninput = stdio\n\n" . ($more // ''));
}
config('guest.ini', $guest, "memory = 640K\nmemory_at = 0", "[cpu]\nmode = real\nrip = 0x1000\n");
my @set = ('--log', 'warn', '--set', 'control.socket=vm.sock');

my ($process, $control, $type, $typed);

# A machine that takes page numbers as input. The test records the expected memory.
sub begin {
    my ($reader, $writer);
    pipe $reader, $writer;
    $process = start([ $minivmm, @_, @set ], stdin => $reader);
    close $reader;
    ($type, $typed) = ($writer, 0);
    $control = Control->connect('vm.sock') // BAIL_OUT("@_: " . said($process));
}

sub touch {
    syswrite $type, join '', map { chr } @_;
    $typed += @_;
    until_true { length heard($process) >= $typed } or diag('the guest does not echo');
}

sub end {
    $control->request('quit');
    my ($status, $out, $err) = finish($process);
    is($status, 0, "$_[0]: it ends with status 0") || diag($err);
}

sub take {
    my ($request) = @_;
    my $reply = $control->request("snapshot $request");
    return ok($reply->{ok}, "snapshot $request") || diag($reply->{error});
}

# The pages that a file contains, in hex.
sub pages {
    my ($file, $base) = @_;
    my @pages;
    for my $run (@{ inspect($file)->{memory}{data} }) {
        push @pages, map { ($run->{gpa} - ($base // 0)) / 4096 + $_ } 0 .. $run->{size} / 4096 - 1;
    }
    return join ' ', map { sprintf '%x', $_ } @pages;
}

# The contents of the machine's pages: page=count ...
sub counts {
    my ($base, @pages) = @_;
    return join ' ', map { sprintf '%x=%d', $_, hex $control->request(sprintf 'memory 0x%x 1', $base + $_ * 4096)->{bytes} } @pages;
}

sub id { return inspect($_[0])->{id} }

# --- Contents of diffs ---
begin('-c', 'guest.ini');
like($control->request('snapshot z.snap diff')->{error}, qr/take a full snapshot first/, 'refused: a diff before a full snapshot');
my @first = (0x10 .. 0x37);
touch(@first);
take('a.snap');
is(pages('a.snap'), join(' ', map { sprintf '%x', $_ } 1, @first), 'a full snapshot contains the pages that are not zero');
touch(0x50, 0x51, 0x51, 0x10);
take('b.snap diff');
is(pages('b.snap'), '10 50 51', 'a diff contains the written pages');
take('c.snap diff paused');
is(pages('c.snap'), '', 'a diff without writes contains no pages');
touch(0x51, 0x9f);
take('d.snap diff');
is(pages('d.snap'), '51 9f', 'a diff of a diff of a diff contains the new pages');
is(inspect("$_->[0].snap")->{parent}, id("$_->[1].snap"), "the parent of $_->[0] is $_->[1]") for [qw(b a)], [qw(c b)], [qw(d c)];

# A snapshot that is cancelled in the middle, and one whose pipe has no reader.
{
    touch(0x60);
    my ($reader, $writer);
    pipe $reader, $writer;
    my $stalled = start([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-', 'full' ], stdout => $writer);
    close $writer;
    until_true { ($control->request('status')->{snapshot} // {})->{done_bytes} };
    touch(0x61);
    $control->request('cancel');
    is((finish($stalled))[0], 1, 'a snapshot is cancelled');
    touch(0x62);
    pipe $reader, $writer;
    close $reader;
    is((run([ $minivmm, 'ctl', 'vm.sock', 'snapshot', '-', 'diff' ], stdout => $writer))[0], 1, 'a snapshot into a pipe without a reader fails');
    touch(0x63);
    take('e.snap diff');
    is(pages('e.snap'), '60 61 62 63', 'the next diff contains all written pages');
    is(inspect('e.snap')->{parent}, id('d.snap'), 'its parent is the last complete snapshot');
}
end('fresh');

# --- Restored chains ---
my $all = '10=2 11=1 37=1 50=1 51=3 60=1 63=1 9f=1';
my @look = map { hex } $all =~ /(\w+)=/g;
begin('-r', 'e.snap');
is(counts(0, @look), $all, 'a chain restores as one machine');
take('f.snap diff');
is(pages('f.snap'), '', 'the first diff of a restored chain without writes contains no pages');
touch(0x70, 0x10);
take('g.snap diff');
is(pages('g.snap'), '10 70', 'the next diff contains the written pages');
end('restored chain');
begin('-r', 'a.snap');
touch(0x71);
take('h.snap diff');
is(pages('h.snap'), '71', 'the first diff of a restored machine contains only the written pages');
is(inspect('h.snap')->{parent}, id('a.snap'), 'its parent is the snapshot that was restored');
is($control->request('reset')->{ok}, 1, 'reset');
touch(0x72);
take('i.snap diff');
end('restored');
begin('-r', 'i.snap');
is(counts(0, 0x10, 0x71, 0x72), '10=1 71=0 72=1', 'a diff after a reset is right');
end('reset');

# The first reset reads the pages of the chain, before it stops the guest: if it cannot, nothing has
# changed.
{
    local %ENV = (%ENV, LD_PRELOAD => "$build/tests/preload/faultfs.so", FAULT => '@plan', FAULT_PATH => 'i.snap');
    begin('-r', 'i.snap');
    touch(0x73);
    spew('plan', 'read:1:EIO');
    like($control->request('reset')->{error}, qr/i\.snap: Input\/output error/, 'refused: a reset that cannot read a page');
    is(counts(0, 0x72, 0x73), '72=1 73=1', 'the machine continues');
    is($control->request('reset')->{ok}, 1, 'the next reset');
    is(counts(0, 0x72, 0x73), '72=1 73=0', 'it has read all pages');
    end('reset that is refused');
}
mkdir 'away';
rename 'g.snap', 'away/g.snap';
fails([ $minivmm, '-r', 'away/g.snap', @set ], 112, qr/away\/g\.snap needs its parent, snapshot [0-9a-f]{32}, which is not at away\/f\.snap: move it there, or give the parent, too/,
    'refused: a parent in another folder');
begin('-r', 'f.snap', '-r', 'away/g.snap');
is(counts(0, @look, 0x70), "$all 70=1" =~ s/10=2/10=3/r, 'a restore with the parent given');
end('given');
begin(map { ('-r', $_) } qw(c.snap a.snap e.snap b.snap f.snap d.snap away/g.snap));
is(counts(0, @look, 0x70), "$all 70=1" =~ s/10=2/10=3/r, 'a restore with all parents given, in any order');
end('all given');

# --- diff and verify of chains ---
my ($status, $out, $err) = run([ $minivmm, 'diff', 'a.snap', 'e.snap' ]);
is($status, 1, 'diff of a full snapshot and the end of a chain') || diag($err);
like($out, qr/^memory 0x50000 to 0x51fff: 2 pages differ\nmemory 0x60000 to 0x63fff: 4 pages differ$/m, 'diff lists ranges of pages');
unlike($out, qr/^memory 0x(11|37)/m, 'diff does not list equal pages');
($status, $out, $err) = run([ $minivmm, 'diff', 'd.snap', 'd.snap' ]);
is("$status:$out", '0:', 'diff of a chain with itself');
($status, $out, $err) = run([ $minivmm, 'verify', 'e.snap' ]);
is($status, 0, 'verify of a diff') || diag($err);

# --- Writes of a device ---
config('scribe.ini', $scribe, "memory = 640K\nmemory_at = 0",
    "[cpu]\nmode = real\nrip = 0x1000\n\n[device scribe0]\nplugin = $build/tests/plugins/scribe.so\nport = 0x500\n");
for my $method (qw(live paused)) {
    begin('-c', 'scribe.ini');
    touch(0x20, 0x21);
    take("a.snap $method");
    is(pages('a.snap'), '1 20 21', "$method: a full snapshot contains the device's writes");
    touch(0x21, 0x40);
    take("b.snap diff $method");
    is(pages('b.snap'), '21 40', "$method: a diff contains the device's writes");
    end("scribe, $method");
    begin('-r', 'b.snap', '--trust');
    is(counts(0, 0x20, 0x21, 0x40), '20=1 21=2 40=1', "$method: restored");
    touch(0x41);
    take('c.snap diff');
    is(pages('c.snap'), '41', "$method: a diff of the restored machine contains the device's writes");
    end("scribe restored, $method");
}

# --- Memory above 3 and above 4 GiB, of which little is used; also in two memory slots ---
for my $high ([ '4000M', 0, 0x1000, 0xd0000000, 0xe0000000 ],
    [ '5G', 0x1_0000_0000, 0x1_0000_1000, 0x1_d000_0000, 0x2_2000_0000 ],
    [ '5G', 0, 0x1000, 0xb000_0000, 0x1_7000_0000, 'irqchip = on' ],
    [ '5G', 0, 0x1000, 0x1_0000_0000, 0xb000_0000, 'irqchip = on' ]) {
    my ($memory, $at, $rip, $guests, $devices, $slots) = @$high;
    # The device writes before the guest prints, so the snapshot is after both writes.
    config('high.ini', $long =~ s/ee eb e8/66 ba 00 05 ee 66 ba f8 03 ee eb df/r, "memory = $memory\nmemory_at = $at\n" . ($slots // ''),
        sprintf "[cpu]\nmode = long\nrip = 0x%x\nrbx = 0x%x\n\n[device scribe0]\nplugin = %s\nport = 0x500\nbase = 0x%x\n",
        $rip, $guests, "$build/tests/plugins/scribe.so", $devices);
    my $text = slurp('high.ini') =~ s/^at = .*/sprintf 'at = 0x%x', $rip/emr;
    spew('high.ini', $text);
    $memory .= ' in two slots' if $slots;
    begin('-c', 'high.ini');
    touch(0x20, 0x21);
    take('a.snap');
    my @both = map { my $base = $_; map { sprintf '%x', $base / 4096 + $_ } 0x21, 0x40, 0x41 } $guests, $devices;
    touch(0x21, 0x40);
    take('b.snap diff');
    touch(0x41);
    take('c.snap diff paused');
    is(pages('b.snap') =~ s/\b(?!@{[ join '|', @both ]})\w+ ?//gr =~ s/ $//r, join(' ', sort { hex $a <=> hex $b } @both[ 0, 1, 3, 4 ]), "$memory: pages of a diff");
    end($memory);
    begin('-r', 'c.snap', '--trust');
    is(counts($guests, 0x20, 0x21, 0x40, 0x41), '20=1 21=2 40=1 41=1', "$memory: restored: the guest's pages");
    is(counts($devices, 0x20, 0x21, 0x40, 0x41), '20=1 21=2 40=1 41=1', "$memory: restored: the device's pages");
    end("$memory restored");
    for my $own (qw(a.snap ./c.snap)) {
        fails([ $minivmm, 'flatten', qw(a.snap b.snap c.snap -o), $own ],
            110, qr/flatten: \Q$own\E is part of the chain/, "$memory: refused: flatten onto $own");
    }
    spew('disk.img', 'precious');
    fails([ $minivmm, 'flatten', qw(a.snap b.snap c.snap -o disk.img) ], 113, qr/disk\.img: it exists and is not a snapshot/, "$memory: refused: flatten onto a disk");
    is(slurp('disk.img'), 'precious', "$memory: the disk is unchanged");
    is((run([ $minivmm, 'flatten', qw(a.snap b.snap c.snap -o flat.snap) ]))[0], 0, "$memory: flatten makes one snapshot");
    begin('-r', 'flat.snap', '--trust');
    is(counts($guests, 0x20, 0x21, 0x40, 0x41), '20=1 21=2 40=1 41=1', "$memory: flattened: the guest's pages");
    is(counts($devices, 0x20, 0x21, 0x40, 0x41), '20=1 21=2 40=1 41=1', "$memory: flattened: the device's pages");
    touch(0x40, 0x60);
    is(counts($guests, 0x40, 0x60), '40=2 60=1', "$memory: the flattened machine continues");
    ok($control->request('reset')->{ok}, "$memory: a reset");
    is(counts($guests, 0x21, 0x40, 0x60), '21=2 40=1 60=0', "$memory: reset: the guest's pages");
    is(counts($devices, 0x21, 0x40, 0x60), '21=2 40=1 60=0', "$memory: reset: the device's pages");
    end("$memory in one");
}

# --- Chains that do not match ---
unlink glob '*.snap';
begin('-c', 'guest.ini');
touch(0x20);
take('a.snap');
take('other.snap');
take('a.snap');
touch(0x21);
take('b.snap diff');
touch(0x22);
take('c.snap diff');
end('a machine for chains');
my $good = slurp('a.snap');
my ($a, $b, $other) = map { id("$_.snap") } qw(a b other);

sub refused {
    my ($message, $name, @files) = @_;
    fails([ $minivmm, (map { ('-r', $_) } @files ? @files : 'c.snap'), @set ], 112, $message, $name);
    ok(!-e 'vm.sock', "$name: the guest does not run");
}
unlink 'a.snap';
refused(qr/b\.snap needs its parent, snapshot $a, which is not at .*a\.snap/, 'a missing parent');
spew('a.snap', slurp('other.snap'));
refused(qr/b\.snap needs its parent, snapshot $a, but \S*a\.snap is snapshot $other/, "another snapshot with the parent's name");
refused(qr/b\.snap needs its parent, snapshot $a/, 'another snapshot given as parent', 'other.snap', 'c.snap');
spew('a.snap', $good);
{
    my $changed = Snapshot->load('a.snap');
    $changed->change('HOST', 0, ['cpu_name'], sub { $_[0]{value} =~ s/^./X/s });
    $changed->save('a.snap');
    refused(qr/b\.snap does not match its parent, snapshot $a: \S*a\.snap has changed since/, 'a changed parent');
    spew('a.snap', substr $good, 0, 5000);
    refused(qr/a\.snap/, 'a truncated parent');
    spew('a.snap', "MINIVMM\x1a");
    refused(qr/$a/, 'a parent that is not a snapshot');
    unlink 'a.snap';
    symlink 'c.snap', 'a.snap';
    refused(qr/$a/, 'a parent that is its child');
    unlink 'a.snap';
    spew('a.snap', $good);
}

# Hostile sections.
sub hostile {
    my ($name, $message, $change) = @_;
    my $file = Snapshot->load('b.snap');
    my %over = $change->($file);
    $file->save('hostile.snap', %over);
    refused($message, $name, 'hostile.snap');
}
hostile('PAGE too short', qr/hostile\.snap is damaged: its page bitmap is for another memory size/, sub { chop $_[0]->row('PAGE', 0)->{data}; () });
hostile('PAGE too long', qr/hostile\.snap is damaged: its page bitmap is for another memory size/, sub { $_[0]->row('PAGE', 0)->{data} .= "\0"; () });
hostile('PAGE empty', qr/hostile\.snap is damaged: its page bitmap is for another memory size/, sub { $_[0]->row('PAGE', 0)->{data} = ''; () });
hostile('PAGE without a parent', qr/only a snapshot with a parent|parent/, sub { (parent => "\0" x 16) });
hostile('a parent without PAGE', qr/parent|PAGE/, sub { $_[0]{rows} = [ grep { $_->{tag} ne 'PAGE' } @{ $_[0]{rows} } ]; () });
hostile('PAGE twice', qr/PAGE/, sub { push @{ $_[0]{rows} }, { %{ $_[0]->row('PAGE', 0) }, index => 1 }; () });
hostile('a diff that is its own parent', qr/hostile\.snap is damaged: its parent is itself, so the chain is a loop/, sub { (parent => $_[0]{id}) });
{
    # Memory of 0xa0 pages leaves no bit unused in the page map; memory of 0x9d pages leaves three.
    config('odd.ini', $guest, "memory = 628K\nmemory_at = 0", "[cpu]\nmode = real\nrip = 0x1000\n");
    begin('-c', 'odd.ini');
    take('odd.snap');
    take('b.snap diff');
    end('odd');
    hostile('PAGE with bits for pages after the end', qr/pages beyond the end of memory/, sub { substr($_[0]->row('PAGE', 0)->{data}, -1) |= "\xe0"; () });
}

done_testing;
