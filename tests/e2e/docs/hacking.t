#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# core/HACKING.md names functions, constants, files, make targets and commits that exist; each
# function is in the named file. No line of a document has more than 120 columns.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my $hacking = slurp("$top/core/HACKING.md");
my %source = map { (s{^\Q$top\E/}{}r => slurp($_)) }
  map { glob "$top/$_" } qw(core/*/*.[ch] core/include/minivmm/*.h plugins/*.[ch] plugins/*/*.[ch]
    plugins/common/*/*.[ch]);

# The files of a place: "machine/vcpu.c", "machine/", "vm/, device/".
sub files {
    my ($place) = @_;
    my @prefixes = map { s{^(?:core/|(?=plugins/))}{}r } split /, */, $place;
    return grep { my $file = $_; grep { index($file, "core/$_") == 0 || index($file, $_) == 0 } @prefixes } sort keys %source;
}

sub defined_in {
    my ($function, @files) = @_;
    return grep { $source{$_} =~ /^(?:static inline .*\n)?(?:[\w *]+[ *])?\Q$function\E\(/m } @files;
}

# The rows of both walks: functions and their files.
my $rows = 0;
while ($hacking =~ /^\| (`\w+\(\)`(?:, `\w+\(\)`)*) \| ([\w.\/, ]+?) \|/mg) {
    my ($functions, $place) = ($1, $2);
    my @files = files($place);
    ok(scalar @files, "$place exists") or next;
    $rows++;
    ok(scalar defined_in($_, @files), "$_() is in $place") for $functions =~ /`(\w+)\(\)`/g;
}
cmp_ok($rows, '>', 25, 'there are rows of walks');

# The backtraces. Without line numbers, which change often.
my @frames = $hacking =~ /^ +#\d+ +(\w+) \(.*\) at (.+)$/mg;
cmp_ok(scalar @frames, '>', 20, 'there are backtraces');
while (my ($function, $file) = splice @frames, 0, 2) {
    ok(scalar defined_in($function, files($file)), "$function() is in $file");
}

# Other functions, types, macros and tables.
my $all = join "\n", values %source;
my %known = map { $_ => 1 } qw(ioctl write);
for my $function (sort { $a cmp $b } keys %{ { map { $_ => 1 } $hacking =~ /`(\w+)\(\)`/g } }) {
    ok($known{$function} || $all =~ /\b\Q$function\E\(/, "$function() exists");
}
for my $name (sort keys %{ { map { $_ => 1 } $hacking =~ /`(?:struct |enum )?([A-Za-z]\w*_\w+)(?:\[\])?`/g } }) {
    ok($all =~ /\b\Q$name\E\b/, "$name exists");
}
# Constants in capitals without an underscore; words of the usage (FILE) are strings in the sources.
for my $name (sort keys %{ { map { $_ => 1 } $hacking =~ /`([A-Z][A-Z0-9]+)`/g } }) {
    next if $name eq 'SIGUSR1' || $name eq 'SIGQUIT';
    ok($all =~ /^#define \Q$name\E\b|^\t\Q$name\E(?:,| =)|"\Q$name\E"/m, "$name exists");
}
# The functions on which the guide sets breakpoints.
my ($table) = $hacking =~ /^\| to see \| break on \|\n(.*?)^\n/ms;
for my $name (map { /`(\w+)`/g } $table =~ /\| ([^|\n]*) \|$/mg) {
    ok($all =~ /^(?:static )?(?:[\w *]+[ *])?\Q$name\E\(/m || $name eq 'pending' && $all =~ /\b$name\b/, "$name() exists");
}
for my $path (sort keys %{ { map { $_ => 1 } $hacking =~ /(?<![\w\/.])((?:core|plugins|tests)\/[\w.\/-]+\.[\w.]+|(?:base|config|kvm|machine|stream|plugin|device|boot|snapshot|vm|control|cli)\/[\w-]+\.[ch1-8])\b/g } }) {
    next if $path =~ m{/foo\b};
    ok(-e "$top/$path" || -e "$top/core/$path", "$path exists");
}
my $makefile = slurp("$top/Makefile");
for my $targets ($hacking =~ /`make ([a-z -]+)/g) {
    ok($makefile =~ /^(?:[\w -]+ )?$_(?: [\w -]+)?:/m, "make $_") for split ' ', $targets;
}

# CHANGES.md names commits by hash. A tree without git history is skipped.
SKIP: {
    my @git = ('git', '-c', "safe.directory=$top", '-C', $top);
    skip 'no git history here', 1 if (run([ @git, 'cat-file', '-e', '7480d4e' ]))[0];
    my @hashes = slurp("$top/core/CHANGES.md") =~ /\b([0-9a-f]{7})\b/g;
    is(join(' ', grep { (run([ @git, 'cat-file', '-e', "$_^{commit}" ]))[0] } @hashes), '', 'every commit in CHANGES.md exists');
}

# The columns of the documents.
for my $file (qw(README.md core/HACKING.md core/CHANGES.md tests/README.md)) {
    is((grep { length > 120 } split /\n/, slurp("$top/$file")) + 0, 0, "no line of $file has more than 120 columns");
}

# The table of contents.
my %heading = map { (lc s/[^\w -]//gr =~ tr/ /-/r) => 1 } $hacking =~ /^## (.+)$/mg;
ok($heading{$_}, "the contents name an existing section: #$_") for $hacking =~ /\(#([\w-]+)\)/g;
is(scalar(keys %{ { map { $_ => 1 } $hacking =~ /\(#([\w-]+)\)/g } }), scalar keys %heading, 'the contents name every section');

done_testing();
