#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Strings of a plugin reach a terminal, JSON, a manual page and the shell's completion only in
# escaped form, and break no line. On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Encode;
use JSON::PP;
use Minivmm;
use Test::More;

my $path = "$build/tests/plugins";
my %path = (MINIVMM_PLUGIN_PATH => $path);

# Tests that a text is UTF-8 without characters that control a terminal.
sub quiet {
    my ($text, $name) = @_;
    my $decoded = eval { decode('UTF-8', "$text", Encode::FB_CROAK) } // return fail("$name: not UTF-8");
    my @bad = map { sprintf 'U+%04X', ord } $decoded =~ /[^\P{Cc}\n]|[\x{200e}\x{200f}\x{2028}-\x{202e}\x{2066}-\x{206f}]/g;
    return is("@bad", '', "$name: no controls");
}

my ($status, $out, $err) = run([ $minivmm, 'plugins', 'loud' ], %path);
is("$status:$err", '0:', 'plugins loud');
quiet($out, 'plugins loud');
my ($gauge) = (run([ $minivmm, 'plugins', 'gauge' ], %path))[1];
is(scalar(grep { /\S/ && !/^(?:  |\w)|^\\n|\/loud\.so, / } split /\n/, $out), 0, 'each string is on its line') or diag($out);

($status, $out) = run([ $minivmm, 'plugins' ], %path);
quiet($out, 'plugins');
like($out, qr/^  loud  +\\n\.so x/m, 'the list has one line for it');

($status, $out) = run([ $minivmm, 'plugins', '--mdoc', 'loud' ], %path);
is($status, 0, 'plugins --mdoc');
quiet($out, 'plugins --mdoc');
unlike($out, qr/^\.so/m, 'no string becomes a request');

# In a config: messages, completion, the trace.
spew('x.ini', guest('e4 10 f4', "[device a]\nplugin = loud\nchoice = b\n"));
($status, undef, $err) = run([ $minivmm, '-c', 'x.ini' ], %path);
is($status, 110, 'a wrong value');
quiet($err, 'the message');
is($err =~ tr/\n//, 1, 'on one line');
for my $word ('device.a.', 'device.a.choice=', 'device.a.text=') {
    ($status, $out) = run([ $minivmm, 'completion', '--', '-c', 'x.ini', '--set', $word ], %path);
    quiet($out =~ s/\t//gr, "completion of $word");
    is(scalar(grep { !/^\Q$word\E/ } split /\n/, $out), 0, 'each line is a candidate');
}
($status, $out, $err) = run([ $minivmm, '-c', 'x.ini', '--set', 'device.a.choice=a', '--trace', 'trace' ], %path);
is($status, 0, 'it runs');
quiet($err, 'its message');
is($err =~ tr/\n//, 1, 'its message is one line');
my @lines = split /\n/, slurp('trace');
is(scalar @lines, 1, 'one line in the trace');
quiet($lines[0], 'the trace');
like(decode_json($lines[0])->{register}, qr/\A\n\.so x\r\t\e\[31m\x{9b}2J\x{202e}\xff"\\ \z/, 'JSON has the text');

done_testing;
