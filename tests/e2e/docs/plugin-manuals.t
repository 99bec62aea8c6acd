#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Each plugin has a manual page. The page is valid and contains every row of the plugin's tables
# with a help text; its examples run.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Plugins;
use Test::More;

# The rows of a part of the output of minivmm plugins.
sub rows {
    my ($said, $part) = @_;
    my ($text) = $said =~ /^\Q$part\E\b.*\n((?:  .*\n)+)/m or return;
    return grep { /^  \S/ } split /^/, $text;
}

sub text {
    my ($page) = @_;
    my ($status, $out) = run([ 'sh', '-c', 'mandoc -Tascii -Owidth=200 "$1" | col -bx', 'sh', $page ]);
    is($status, 0, "$page can be formatted");
    return $out;
}

# like(), which does not print the whole page on failure.
sub shows {
    my ($text, $pattern, $name) = @_;
    return ok(scalar($text =~ $pattern), $name);
}

my $base = "[vm]\nmemory_at = 0x1000\nmemory = 16K\nirqchip = on\n\n[boot]\ncode = f4\n\n";

for my $plugin (plugins()) {
    my $page = "$build/man/minivmm-$plugin.4";
    my ($source) = grep { -e } map { "$top/plugins/$_.4.in" } $plugin, "$plugin/$plugin";
    ok($source && -s $page, "$plugin: has a manual page") or next;
    is(join(':', run([ qw(mandoc -Tlint -Wwarning), $page ])), '0::', "$plugin: the page has no mandoc warning");
    my $text = text($page);
    my $said = (run([ $minivmm, 'plugins', $plugin ]))[1];

    # The hand-written part.
    my $hand = slurp($source);
    my ($summary) = $said =~ /\A\Q$plugin\E: (.*)/;
    shows($hand, qr/^\.Dt MINIVMM-\U\Q$plugin\E 4$/m, "$plugin: the title");
    shows($hand, qr/^\.Nm minivmm-\Q$plugin\E\n\.Nd \Q$summary\E$/m, "$plugin: the name and summary of the plugin");
    is(scalar(() = $hand =~ /^\.\\" tables$/mg), 1, "$plugin: there is one place for the tables");
    shows($text, qr/^$_$/m, "$plugin: has a section $_") for 'DESCRIPTION', 'OPTIONS', 'RESOURCES', 'STATE', 'EXAMPLES', 'SEE ALSO';

    # Every row of the tables, with its help text.
    my %option = map { $_->{name} => 1 } options($plugin);
    shows($text, qr/^ +\Q$_\E = \S/m, "$plugin: option $_") for sort keys %option;
    for my $row (rows($said, 'ranges')) {
        my ($at) = $row =~ /(\S+)/;
        shows($text, qr/^ +(?:Ports|MMIO) at $at$/m, "$plugin: range $at");
    }
    shows($text, qr/^ +0x\w+ +(?:[\w-]+ +)?$_\b/m, "$plugin: register $_") for map { /^    0x\S+ +(\w+)/ ? $1 : () } split /\n/, $said;
    shows($text, qr/^ +Stream \Q$_\E$/m, "$plugin: stream $_") for map { /(\S+)/ } rows($said, 'streams');
    shows($text, qr/\btimer \Q$_\E,/m, "$plugin: timer $_") for map { /(\S+)/ } rows($said, 'timers');
    for my $row (rows($said, 'state')) {
        my ($field) = $row =~ /(\S+)/;
        shows($text, qr/^ +\Q$field\E +\w+(?:\[\d*\])? +\S/m, "$plugin: field $field has a help text");
    }

    # Keys named in the text, alone or in --set, exist in the plugin.
    my @named = map { (split ' ')[0] } $hand =~ /^\.(?:It )?Cm ([a-z_]+ No = .*)$/mg;
    push @named, grep { $_ ne 'plugin' } $hand =~ /--set device\.\w+\.(\w+)=/g;
    is(join(' ', grep { !$option{$_} } @named), '', "$plugin: every key in the text exists");
    if (@named = $hand =~ /^\.(?:It )?Cm \w+ No = Cm (\S+)/mg) {
        my $values = join '|', map { $_->{help} } options($plugin);
        is(join(' ', grep { !/^(?:yes|no|none)$/ && $values !~ /\b\Q$_\E\b/ } @named), '', "$plugin: every value in the text exists");
    }

    # Examples are sections of a config; a machine is added if they have none.
    my $examples = 0;
    while ($hand =~ /^\.Bd -literal.*\n((?:(?!\.Ed).*\n)*?)\.Ed$/mg) {
        my $example = $1 =~ s/\\e/\\/gr;
        next if $example !~ /^\[(?:device|tool) /m;
        spew('x.ini', ($example =~ /^\[vm\]/m ? '' : $base) . $example);
        is(join(':', run([ $minivmm, '-c', 'x.ini', '--check' ])), '0::', "$plugin: example " . ++$examples);
    }
    cmp_ok($examples, '>', 0, "$plugin: there is an example");
}

# Pages that belong to no single plugin.
for my $page (glob "$top/plugins/*/*.[1-8]") {
    is(join(':', run([ qw(mandoc -Tlint -Wwarning), $page ])), '0::', "$page has no mandoc warning");
}

# minivmm.ini(5) refers to each page.
my $config = slurp("$top/core/config/minivmm.ini.5") =~ s/.*^\.Sh SEE ALSO$//msr;
like($config, qr/^\.Xr minivmm-\Q$_\E 4\b/m, "minivmm.ini.5 refers to $_") for plugins();

# Every page of ours that a page refers to exists.
for my $page (glob("$build/man/*.4"), glob("$top/core/*/*.[1-8]"), glob("$top/plugins/*/*.[1-8]")) {
    for my $name (slurp($page) =~ /^\.Xr (minivmm\S* \d)/mg) {
        my $file = $name =~ s/ /./r;
        ok(scalar(grep { -e } "$build/man/$file", glob("$top/{core,plugins}/*/$file")), "$page: $file exists")
          or diag($page);
    }
}

# The page of a third-party plugin has the same sections. A backslash, or a period at the beginning
# of a line, stays text.
my ($status, $out, $err) = run([ $minivmm, 'plugins', '--mdoc', "$build/tests/plugins/gauge.so" ]);
like("$status:$err:$out", qr/\A0::\.Sh OPTIONS\n(?s:.*)^\.Sh RESOURCES\n(?s:.*)^\.Sh STATE\n/m, '--mdoc writes the sections of any plugin');
fails([ $minivmm, 'plugins', '--mdoc' ], 110, qr/plugins: --mdoc without PLUGIN; use minivmm plugins --mdoc PLUGIN/, 'refused: --mdoc without a name');

done_testing();
