#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# README.md is correct: its plugin compiles, its configs run, and its commands print the output
# shown. "..." in the output stands for any text; on a line by itself it stands for any lines.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my $readme = slurp("$top/README.md");
my @blocks = $readme =~ /^```(\w+)\n(.*?)^```$/gms;

# The files that the commands use: this folder has the layout of the source tree.
symlink $minivmm, 'minivmm';
symlink "$top/$_", $_ for qw(configs core guests);
mkdir 'build';
symlink "$top/build/guests", 'build/guests';

sub matches {
    my ($shown) = @_;
    my $pattern = join '', map { $_ eq "...\n" ? '(?:.*\n)*' : join '.*', map { quotemeta } split /\.\.\./, $_, -1 }
      $shown =~ /.*\n/g;
    return qr/\A$pattern\z/;
}

my ($c, $commands) = (0, 0);
for (my $i = 0; $i < @blocks; $i += 2) {
    my ($kind, $text) = @blocks[ $i, $i + 1 ];
    if ($kind eq 'console') {
        for my $block (split /^\$ /m, $text) {
            my ($command, $shown) = split /\n/, $block, 2;
            next if !length $command;
            $commands++;
            my ($status, $out) = run([ 'sh', '-c', "{ $command; } 2>&1" ]);
            $out =~ s/(?<!\n)\z/\n/ if length $out;
            like($out, matches($shown), $command);
        }
        next;
    }
    my ($name) = $text =~ m{\A(?:/\*|#) (\w+\.\w+)};
    ok($name, "a block of $kind has a file name") or next;
    spew($name, $text);
    next if $kind ne 'c';
    $c++;
    cmp_ok(($text =~ tr/\n//), '<', 60, "$name has less than 60 lines");
    my ($status, $out, $err) =
      run([qw(cc -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Werror -shared -fPIC -Icore/include -o try.so), $name]);
    is("$status:$out$err", '0:', "$name compiles without a warning");
}
is($c, 1, 'README has one plugin');
cmp_ok($commands, '>', 8, 'commands');

mkdir 'my-plugins';
my ($status, $out, $err) = run([ './minivmm', '-c', 'all.ini' ]);
is("$status:$out:$err", "0:2\n:minivmm: snapshot written to all.snap\n", 'the complete config runs');

# The device sections shown for a kernel work together in one machine, each with its own interrupt
# line.
my $devices = join "\n", $readme =~ /^((?: {4}\[device \w+\]\n)(?: {4}\w.*\n)+)/gm;
cmp_ok(scalar(() = $devices =~ /\[device/g), '>', 8, 'there are sections of devices');
spew('devices.ini', "[vm]\nmemory = 1M\nirqchip = on\n[boot]\ncode = f4\n" . $devices =~ s/^ +//gmr);
($status, $out, $err) = run([ './minivmm', '-c', 'devices.ini', '--check' ]);
is("$status:$err", '0:', 'the devices work together');
my @irqs = sort $devices =~ /irq = (\d+)/g;
is("@irqs", join(' ', sort keys %{ { map { $_ => 1 } @irqs } }), 'no two devices share a line');

# The folders and files that README names exist.
my @paths = $readme =~ /`((?:core|plugins|configs|guests|tests)\/[\w.\/-]*)`/g;
push @paths, map { "core/$_" } $readme =~ /`((?:cli|config|plugin)\/[\w.-]+\.\d)`/g;
ok(-e "$top/$_", "$_ exists") for @paths;
like(slurp("$top/Makefile"), qr/^$_:.*##/m, "make $_") for $readme =~ /^    make deps (\w+)$/mg;

# The table of contents names all headings, and the pictures exist.
my %heading = map { (lc s/[^\w -]//gr =~ tr/ /-/r) => 1 } $readme =~ /^## (.+)$/mg;
my %contents = map { $_ => 1 } $readme =~ /^- \[[^]]+\]\(#([\w-]+)\)$/mg;
delete $heading{contents};
is(join(' ', sort keys %contents), join(' ', sort keys %heading), 'the contents name each section once');
ok($heading{$_}, "the contents name an existing section: #$_") for $readme =~ /\(#([\w-]+)\)/g;
ok(-s "$top/$_", "$_ exists") for $readme =~ /!\[[^]]+\]\(([\w.\/-]+)\)/g;

# Options and keys listed beside the options of other programs, and the commands of the control
# socket, exist.
my %key = map { $_ => 1 } slurp("$top/core/config/schema.c") =~ /\{ ("\w+", "\w+"),/g;
my ($page, %options) = slurp("$top/core/cli/minivmm.1");
my ($rows, $checked) = (0, 0);
for my $row ($readme =~ /^\| you want \|.*\n\|[- |]+\|\n((?:\|.*\n)+)/m ? split /\n/, $1 : ()) {
    my ($ours) = $row =~ /\|([^|]+)\|$/;
    $rows++;
    for my $item ($ours =~ s/ = `[^`]+`//gr =~ /`([^`]+)`/g) {
        $checked++;
        if ($item =~ /^\[(\w+)(?: NAME)?\] (\w+)$/) {
            ok($key{qq("$1", "$2")}, "$item is an existing key");
        } elsif ($item =~ /^([\w-]+): (\w+)$/) {
            my ($plugin, $option) = ($1, $2);
            $options{$plugin} //= (run([ './minivmm', 'plugins', $plugin ]))[1];
            like($options{$plugin} =~ s/\nranges\n.*//sr, qr/^  $option +\w/m, "$item is an existing option");
        } elsif ($item =~ /^ctl SOCKET (\w+)/ || $item =~ /^(\w+)$/) {
            like($page, qr/^\.It (?:Cm|Xo).*\b$1\b/m, "$item is an existing command");
        } elsif ($item =~ /^(?:inspect )?-(-?\w+)/) {
            like($page, qr/^\.It Fl (?:\w , )?\Q@{[ $1 =~ s{^-}{\\-}r ]}\E\b/m, "$item is an existing option");
        } else {
            fail("$item is neither a key nor an option");
        }
    }
}
cmp_ok($rows, '>', 30, 'there are rows of options');
cmp_ok($checked, '>', 40, 'most rows name options or keys of minivmm');
my ($control) = $readme =~ /^## The control socket\n(.*?)^## /ms;
like($page, qr/^\.It Cm .*\b$_\b/m, "$_ is an existing command") for map { /`(\w+)/g } $control =~ /^\| (`.+?) \|/mg;

done_testing();
