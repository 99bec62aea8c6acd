#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Each plugin has a manual page. It is clean, has what the plugin's tables have, each row with a
# help text, and its examples can be run.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Plugins;
use Test::More;

# The rows of a part of what minivmm plugins prints.
sub rows {
    my ($said, $part) = @_;
    my ($text) = $said =~ /^\Q$part\E\b.*\n((?:  .*\n)+)/m or return;
    return grep { /^  \S/ } split /^/, $text;
}

sub text {
    my ($page) = @_;
    my ($status, $out) = run([ 'sh', '-c', 'mandoc -Tascii -Owidth=200 "$1" | col -bx', 'sh', $page ]);
    is($status, 0, "$page can be read");
    return $out;
}

# like(), without the whole page when it fails.
sub shows {
    my ($text, $pattern, $name) = @_;
    return ok(scalar($text =~ $pattern), $name);
}

my $base = "[vm]\nmemory_at = 0x1000\nmemory = 16K\nirqchip = on\n\n[boot]\ncode = f4\n\n";

for my $plugin (plugins()) {
    my $page = "$build/man/minivmm-$plugin.4";
    my ($source) = grep { -e } map { "$top/plugins/$_.4.in" } $plugin, "$plugin/$plugin";
    ok($source && -s $page, "$plugin: has a page") or next;
    is(join(':', run([ qw(mandoc -Tlint -Wwarning), $page ])), '0::', "$plugin: it is clean");
    my $text = text($page);
    my $said = (run([ $minivmm, 'plugins', $plugin ]))[1];

    # What is written by hand.
    my $hand = slurp($source);
    my ($summary) = $said =~ /\A\Q$plugin\E: (.*)/;
    shows($hand, qr/^\.Dt MINIVMM-\U\Q$plugin\E 4$/m, "$plugin: its title");
    shows($hand, qr/^\.Nm minivmm-\Q$plugin\E\n\.Nd \Q$summary\E$/m, "$plugin: its name and summary are the plugin's");
    is(scalar(() = $hand =~ /^\.\\" tables$/mg), 1, "$plugin: there is one place for the tables");
    shows($text, qr/^$_$/m, "$plugin: has $_") for 'DESCRIPTION', 'OPTIONS', 'RESOURCES', 'STATE', 'EXAMPLES', 'SEE ALSO';

    # Every row of the tables, with its help.
    my %option = map { $_->{name} => 1 } options($plugin);
    shows($text, qr/^ +\Q$_\E = \S/m, "$plugin: option $_") for sort keys %option;
    for my $row (rows($said, 'ranges')) {
        my ($at) = $row =~ /(\S+)/;
        shows($text, qr/^ +(?:Ports|MMIO) at $at$/m, "$plugin: range $at");
    }
    shows($text, qr/^ +0x\w+ +(?:\w+ +)?$_\b/m, "$plugin: register $_") for map { /^    0x\S+ +(\w+)/ ? $1 : () } split /\n/, $said;
    shows($text, qr/^ +Stream \Q$_\E$/m, "$plugin: stream $_") for map { /(\S+)/ } rows($said, 'streams');
    shows($text, qr/\btimer \Q$_\E,/m, "$plugin: timer $_") for map { /(\S+)/ } rows($said, 'timers');
    for my $row (rows($said, 'state')) {
        my ($field) = $row =~ /(\S+)/;
        shows($text, qr/^ +\Q$field\E +\w+(?:\[\d*\])? +\S/m, "$plugin: field $field has a help text");
    }

    # Keys that the text names, alone or in --set, are the plugin's.
    my @named = map { (split ' ')[0] } $hand =~ /^\.(?:It )?Cm ([a-z_]+ No = .*)$/mg;
    push @named, grep { $_ ne 'plugin' } $hand =~ /--set device\.\w+\.(\w+)=/g;
    is(join(' ', grep { !$option{$_} } @named), '', "$plugin: no key is named that it does not have");
    if (@named = $hand =~ /^\.(?:It )?Cm \w+ No = Cm (\S+)/mg) {
        my $values = join '|', map { $_->{help} } options($plugin);
        is(join(' ', grep { !/^(?:yes|no|none)$/ && $values !~ /\b\Q$_\E\b/ } @named), '', "$plugin: nor a value");
    }

    # Examples that are sections of a config; in a machine, where they have none.
    my $examples = 0;
    while ($hand =~ /^\.Bd -literal.*\n((?:(?!\.Ed).*\n)*?)\.Ed$/mg) {
        my $example = $1 =~ s/\\e/\\/gr;
        next if $example !~ /^\[device /m;
        spew('x.ini', ($example =~ /^\[vm\]/m ? '' : $base) . $example);
        is(join(':', run([ $minivmm, '-c', 'x.ini', '--check' ])), '0::', "$plugin: example " . ++$examples);
    }
    cmp_ok($examples, '>', 0, "$plugin: there is an example");
}

# Pages that belong to no single plugin.
for my $page (glob "$top/plugins/*/*.[1-8]") {
    is(join(':', run([ qw(mandoc -Tlint -Wwarning), $page ])), '0::', "$page is clean");
}

# The page of the config refers to each.
my $config = slurp("$top/core/config/minivmm.ini.5") =~ s/.*^\.Sh SEE ALSO$//msr;
like($config, qr/^\.Xr minivmm-\Q$_\E 4\b/m, "minivmm.ini.5 refers to $_") for plugins();

# Every page that a page refers to as ours is there.
for my $page (glob("$build/man/*.4"), glob("$top/core/*/*.[1-8]"), glob("$top/plugins/*/*.[1-8]")) {
    for my $name (slurp($page) =~ /^\.Xr (minivmm\S* \d)/mg) {
        my $file = $name =~ s/ /./r;
        ok(scalar(grep { -e } "$build/man/$file", glob("$top/{core,plugins}/*/$file")), "$page: $file is there")
          or diag($page);
    }
}

# A plugin that others write gets the same sections; a text with a backslash or a period at its
# beginning stays a text.
my ($status, $out, $err) = run([ $minivmm, 'plugins', '--mdoc', "$build/tests/plugins/gauge.so" ]);
like("$status:$err:$out", qr/\A0::\.Sh OPTIONS\n(?s:.*)^\.Sh RESOURCES\n(?s:.*)^\.Sh STATE\n/m, 'the sections of any plugin');
fails([ $minivmm, 'plugins', '--mdoc' ], 110, qr/use minivmm plugins, or minivmm plugins \[--mdoc\] NAME/, '--mdoc without a name');

done_testing();
