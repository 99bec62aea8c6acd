#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The manual pages are complete: every option, command, stop condition, key, value, function,
# callback and member in the sources is documented, with the same types. The pages are valid, and
# their examples work.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my %page = (
    cli => 'cli/minivmm.1',
    config => 'config/minivmm.ini.5',
    plugin => 'plugin/minivmm-plugin.3',
    tool => 'plugin/minivmm-tool.3',
    snapshot => 'snapshot/minivmm-snapshot.7',
    fleet => 'vm/minivmm-fleet.7',
);
is(join(' ', sort values %page), join(' ', sort map { s{^\Q$top\E/core/}{}r } glob "$top/core/*/*.[1-8]"), 'all manual pages are tested');

sub without_comments { return $_[0] =~ s{/\*.*?\*/}{}gsr }

my %source = map { my $file = "$top/core/$_"; ($_ => without_comments(slurp($file))) }
  qw(cli/commands.c machine/stop.c config/schema.c stream/stream_kinds.c kvm/kvm_fields.c include/minivmm/plugin.h include/minivmm/tool.h);

my %text;
for my $page (sort keys %page) {
    my $file = "$top/core/$page{$page}";
    is(join(':', run([ qw(mandoc -Tlint -Wwarning), $file ])), '0::', "$page{$page} has no mandoc warning");
    my ($status, $out) = run([ 'sh', '-c', 'mandoc -Tascii -Owidth=200 "$1" | col -bx', 'sh', $file ]);
    is($status, 0, "$page{$page} can be formatted");
    unlike($out, qr/;\s*;/, "$page{$page} ends no line twice");
    $text{$page} = $out;
}

# The sections of a page by title. The titles of subsections are indented by two columns less.
sub part {
    my ($text, $title) = @_;
    my ($indent) = $text =~ /^( {0,3})\Q$title\E$/m;
    return fail("has a section $title") && '' if !defined $indent;
    $text =~ /^$indent\Q$title\E\n(.*?)(?=^ {0,@{[ length $indent ]}}\S|\z)/ms;
    return $1;
}

# like(), which does not print the whole page on failure.
sub shows {
    my ($text, $pattern, $name) = @_;
    return ok(scalar($text =~ $pattern), $name);
}

# The tag of a list, alone or with text after it.
sub has_item {
    my ($text, $item, $name) = @_;
    return shows($text, qr/^ {4,}(?:\S.*,\s)?\Q$item\E(?![\w-])/m, $name);
}

# minivmm(1).
my ($table) = $source{'cli/commands.c'} =~ /cli_run_options\[\] = \{(.*?)\n\};/s;
my %option = map { $_ => 1 } $table =~ /\{ "([\w-]+)",/g;
cmp_ok(scalar(keys %option), '>', 10, 'options');
has_item($text{cli}, "--$_", "minivmm.1: --$_") for sort keys %option;
shows($text{cli}, qr/^ +-$_, --/m, "minivmm.1: -$_") for $table =~ /'(\w)'/g;
for my $mentioned ($text{cli} =~ /(?<![\w-])--([a-z][\w-]+)/g) {
    ok($mentioned eq 'paused' || $source{'cli/commands.c'} =~ /\{ "$mentioned",/, "minivmm.1: --$mentioned is an option") if !$option{$mentioned};
}
my ($commands) = $source{'cli/commands.c'} =~ /cli_commands\[\] = \{(.*?)\n\};/s;
for my $command ($commands =~ /\{ "([\w-]+)", cli_/g) {
    shows(part($text{cli}, 'SYNOPSIS'), qr/^ +minivmm $command\b/m, "minivmm.1: $command is in the synopsis");
    has_item(part($text{cli}, 'DESCRIPTION'), $command, "minivmm.1: $command is described");
}
my ($points) = $source{'machine/stop.c'} =~ /\} kinds\[\] = \{(.*?)\n\};/s;
my @points = $points =~ /\{ "(\w+)", "[^"]+", STOP_/g;
cmp_ok(scalar(@points), '>', 5, 'stop conditions');
has_item(part($text{cli}, 'Stop conditions'), $_, "minivmm.1: stop condition $_ is described") for @points;
my @statuses = grep { $_ ne 'GUEST_MAX' && $_ ne 'TIMEOUT' } slurp("$top/core/base/status.h") =~ /\bSTATUS_(\w+) = \d/g;
my %number = slurp("$top/core/base/status.h") =~ /\bSTATUS_(\w+) = (\d+)/g;
cmp_ok(scalar(@statuses), '>', 5, 'exit statuses');
shows(part($text{cli}, 'EXIT STATUS'), qr/^ +$number{$_} /m, "minivmm.1: exit status $number{$_} is described") for @statuses;
my ($status, $out, $err) = run([ $minivmm, '--help' ]);
cmp_ok(($out =~ tr/\n//), '<=', 40, '--help fits one screen');
my %letter = $table =~ /\{ "([\w-]+)", '(\w)',/g;
for my $option (grep { !/help|version/ } sort keys %option) {
    my $first = $letter{$option} // substr $option, 0, 1;
    shows($out, qr/(?<!\w)(?:--$option|-$first\b)/, "--help: $option");
}

# minivmm.ini(5).
sub title { return $_[0] =~ /^(?:device|module|tool)$/ ? "[$_[0] NAME]" : "[$_[0]]" }
my ($schema) = $source{'config/schema.c'} =~ /schema_key schema\[\] = \{(.*?)\n\};/s;
my @keys = $schema =~ /\{ "(\w+)", "(\w+)",/g;
cmp_ok(scalar(@keys), '>', 20, 'keys');
while (my ($section, $key) = splice @keys, 0, 2) {
    has_item(part($text{config}, title($section)), $key, "minivmm.ini.5: [$section] $key");
}
has_item(part($text{config}, "[$_ NAME]"), 'plugin', "minivmm.ini.5: [$_] plugin") for qw(device tool);
my ($sections) = $source{'config/schema.c'} =~ /schema_sections\[\] = \{(.*?)\};/s;
for my $section ($sections =~ /"(\w+)"/g) {
    ok(part($text{config}, title($section)), "minivmm.ini.5: [$section]");
}
for my $values ($source{'config/schema.c'} =~ /\b(?:modes|formats|thens)\[\] = \{(.*?)\}/g) {
    shows($text{config}, qr/\b$_\b/, "minivmm.ini.5: value $_") for $values =~ /"(\w+)"/g;
}
my ($kinds) = $source{'stream/stream_kinds.c'} =~ /stream_kinds\[\] = \{(.*?)\n\};/s;
has_item(part($text{config}, 'Streams'), $_, "minivmm.ini.5: stream $_") for $kinds =~ /\.name = "([\w-]+)"/g;
my $cpu = part($text{config}, '[cpu]');
my @defines = $source{'kvm/kvm_fields.c'} =~ /^#define (?:REGS|SEGMENT|SREGS)\((?:.*\\\n)+.*\n/gm;
is(scalar(@defines), 3, 'registers');
for my $define (@defines) {
    for my $register ($define =~ /X\(([\w.]+)\)/g) {
        next if $register =~ /^r(?:9|1[0-4])$/;    # "r8 to r15"
        my $name = $register =~ s/^seg\./cs./r;
        shows($cpu, qr/(?<![\w.])\Q$name\E(?!\w|\.\w)/, "minivmm.ini.5: register $name");
    }
    shows($cpu, qr/\b$_\b/, "minivmm.ini.5: segment $_") for $define =~ /SEGMENT\(X, (?!seg\))(\w+)\)/g;
}

# minivmm-plugin(3) and minivmm-tool(3). Blanks in prototypes are ignored.
my %least = (plugin => [ 50, 60 ], tool => [ 11, 18 ]);    # functions and constants
for my $page (qw(plugin tool)) {
    my $header = $source{"include/minivmm/$page.h"};
    my $plain = $text{$page} =~ s/\s+//gr;
    my $has_prototype = sub {
        my ($type, $name, $arguments) = @_;
        my $prototype = "$type $name($arguments);" =~ s/\s+//gr;
        ok(index($plain, $prototype) >= 0, "minivmm-$page.3: $name") || diag($prototype);
    };
    my @functions = $header =~ /static inline ([\w ]+?\**)\s*\n(minivmm_\w+)\(([^{]*?)\)\n\{/g;
    cmp_ok(@functions / 3, '>=', $least{$page}[0], 'functions');
    while (my ($type, $name, $arguments) = splice @functions, 0, 3) {
        $has_prototype->($type, $name, $arguments);
        shows($text{$page}, qr/^ +\Q$name\E\(dev\b/m, "minivmm-$page.3: $name is described");
    }
    my @enums = $header =~ /enum (?:minivmm_\w+) \{(.*?)\}/gs;
    my %constant = map { $_ => 1 } map { /(MINIVMM_\w+)/g } @enums;
    $constant{$_} = 1 for grep { !/^MINIVMM_NO_|_(?:PLUGIN_H|TOOL_H|EXPORT|\w+_OF|\w+_TYPE|IS_POINTER|ASSURED|DECAY|HAS_SERVICE|LINE|\w+_)$|_AS_|_AS$|_IRQ_/ || /OPTION_AS$/ }
      $header =~ /^#define (MINIVMM_\w+)/gm;
    delete @constant{ grep { /^MINIVMM_IRQ_/ } keys %constant };    # used between the header and the services
    cmp_ok(scalar(keys %constant), '>=', $least{$page}[1], 'constants');
    shows($text{$page}, qr/\b$_\b/, "minivmm-$page.3: $_") for sort keys %constant;
    while ($header =~ /^struct minivmm_(\w+) \{\n(.*?)^\};/gms) {
        my ($struct, $body) = ($1, $2);
        next if $struct =~ /^(?:services|registration|irq|machine)$/;
        shows($text{$page}, qr/\bminivmm_$struct\b/, "minivmm-$page.3: struct minivmm_$struct");
        $has_prototype->($1, $2, $3) while $body =~ s/(\w+) \(\*(\w+)\)\((.*?)\);//s;
        for my $members ($body =~ /([^;]+);/g) {
            for my $member (map { /(\w+)(?:\[\w+\])?\s*\z/ } split /,/, $members) {
                next if $struct eq 'device' && $member eq 'services';
                shows($text{$page}, qr/\b$member\b/, "minivmm-$page.3: $struct.$member");
            }
        }
    }
}

# Examples.
sub example {
    my ($text, $from, $to) = @_;
    my ($indent, $body) = $text =~ /^( *)($from.*?^ *$to)$/ms or return '';
    return $body =~ s/^$indent//gmr . "\n";
}
spew('metronome.c', example(part($text{plugin}, 'EXAMPLES'), '#include', 'MINIVMM_REGISTER\(metronome\);'));
is(join(':', run([ qw(cc -Wall -Wextra -Werror -shared -fPIC -o metronome.so metronome.c), "-I$top/core/include" ])),
    '0::', 'minivmm-plugin.3: the example compiles without a warning');

# Sets a period of 1 ms and waits for three beats.
spew('metronome.ini', <<'END');
[vm]
memory_at = 0x1000
[boot]
code = ba7000 66b801000000 66ef 66ed 6683f803 72f8 f4
[device m]
plugin = ./metronome.so
period = 60s
output = stdio
END
like(join(':', run([ $minivmm, '-c', 'metronome.ini' ])), qr/\A0:(?:tick\n)+:\z/, 'the example runs');

spew('hits.c', example(part($text{tool}, 'EXAMPLES'), '#include', 'MINIVMM_REGISTER\(hits, MINIVMM_TOOLS\);'));
is(join(':', run([ qw(cc -Wall -Wextra -Werror -shared -fPIC -o hits.so hits.c), "-I$top/core/include" ])), '0::', 'minivmm-tool.3: the example compiles without a warning');

# 1000: mov $3,%cx; 1003: add $1,%bx; 1006: dec %cx; 1007: jne 1003; 1009: hlt
spew('guest.ini', "[vm]\nmemory_at = 0x1000\n[boot]\ncode = b90300 83c301 49 75fa f4\n");
is(join(':', run([ $minivmm, qw(-c guest.ini --tool), './hits.so:address=0x1003,output=file:hits.txt' ])), '0::', 'the example runs');
is(slurp('hits.txt'), join('', map { "hit $_: rip 0x1003 rbx 0x@{[ $_ - 1 ]}\n" } 1 .. 3), 'and prints each hit');
# The others are parts of plugins that e2e/plugins/parked-threads.t and deferred-capture.t run.
for my $name (qw(worker helper)) {
    my ($part) = slurp("$top/tests/plugins/$name.c") =~ m{^/\* example: [^\n]* \*/\n(.*?)^/\* end of the example \*/$}ms;
    my ($shown) = slurp("$top/core/plugin/minivmm-plugin.3") =~ m{^\.Pa tests/plugins/$name\.c.*?\n\.Bd -literal\n(.*?)^\.Ed$}ms;
    is($shown =~ s/\\e/\\/gr, $part, "minivmm-plugin.3: the example is that of tests/plugins/$name.c");
}
mkdir $_ for 'x', 'my-plugins';
symlink "$top/$_", $_ for qw(configs guests);
spew('x/four.ini', example(part($text{config}, 'DESCRIPTION'), '# prints 4', 'output = stdio'));
is(join(':', run([ $minivmm, '-c', 'x/four.ini' ])), "0:4\n:", 'minivmm.ini.5: the first example prints 4');
spew('x/all.ini', example(part($text{config}, 'EXAMPLES'), '\[vm\]', 'input = text:\N*'));
is(join(':', run([ $minivmm, '-c', 'x/all.ini', '--check' ])), '0::', 'minivmm.ini.5: --check accepts the complete example');
($status, $out, $err) = run([ $minivmm, '-c', 'x/all.ini' ]);
like("$status:$out", qr/\A0:.*hi\r\n/s, 'runs');
like($err, qr/\Aminivmm: snapshot written to echo\.snap\n\z/, 'the complete example writes its snapshot');

done_testing();
