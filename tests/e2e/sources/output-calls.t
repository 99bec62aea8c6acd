#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# One policy for the names of files and sockets: only base/ calls what creates, replaces, removes or
# binds a name, or reads a symbolic link. On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

# Files outside of base/ that may, and why.
my %may = (
    'core/cli/new_plugin.c' => 'unlink',             # the file that it has just created with FILE_NEW
    'core/config/save.c' => 'realpath',              # of a directory and of plugins, inputs
    'core/plugin/plugin.c' => 'readlink',            # /proc/self/exe
    'plugins/common/disk/layers.c' => 'open|unlink|mkostemp',    # files without a name
    'plugins/common/disk/freeze.c' => 'realpath',     # inputs
    'plugins/common/disk/names.c' => 'linkat',        # gives them one
);
my $calls = qr/(?:un|sym)?link(?:at)?|rename(?:at2?)?|readlink(?:at)?|realpath|mkdir(?:at)?|mko?s?temps?|bind|creat|fopen/;
for my $file (map { s{^\Q$top\E/}{}r } glob("$top/core/*/*.c $top/plugins/*.c $top/plugins/*/*.c $top/plugins/common/*/*.c")) {
    next if $file =~ m{^core/base/};
    my $text = slurp("$top/$file") =~ s{/\*.*?\*/}{}gsr =~ s/"(?:\\.|[^"\\])*"/""/gr;
    my $may = $may{$file} // '(?!)';
    my @found = grep { !/^(?:$may)$/ } $text =~ /(?<![\w.>])($calls)\s*\(/g;
    push @found, grep { 'open' !~ /^(?:$may)$/ } $text =~ /(\bO_(?:CREAT|TMPFILE|TRUNC|EXCL)\b)/g
      if $file !~ m{^core/device/device_files\.c$};    # its O_EXCL goes to base/
    is("@found", '', "$file leaves names to base/");
}
done_testing;
