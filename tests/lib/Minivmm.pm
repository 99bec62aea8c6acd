# SPDX-License-Identifier: BSD-2-Clause
# What end-to-end tests share: where things are, a folder of one's own, running a command and judging how it ends.
package Minivmm;

use v5.14;
use warnings;

use Cwd 'abs_path';
use lib abs_path('tests/lib');    # since the folder changes below
use Exporter 'import';
use File::Temp 'tempdir';
use Test::More;

our @EXPORT = qw($minivmm $build $top $configs run fails slurp spew names);

# make check sets the first two; the tests are run from the top of the tree.
our $minivmm = abs_path($ENV{MINIVMM} // './minivmm');
our $build = abs_path($ENV{BUILD} // 'build');
our $top = abs_path('.');
our $configs = "$top/configs";

# Tests run in a folder that is gone afterwards.
my $folder = tempdir('minivmm-test-XXXXXX', TMPDIR => 1, CLEANUP => 1);
chdir $folder or die "$folder: $!";
END { chdir '/' }

sub slurp {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "$file: $!";
    local $/;
    return scalar <$in>;
}

sub spew {
    my ($file, $bytes) = @_;
    open my $out, '>:raw', $file or die "$file: $!";
    print $out $bytes;
    close $out or die "$file: $!";
}

# The names in a folder, sorted, in one string.
sub names {
    opendir my $here, shift // '.' or die "$!";
    return join ' ', sort grep { !/^\.\.?$/ } readdir $here;
}

# Runs a command, with more environment; returns its status, stdout and stderr. Killed by a signal: 1000 + its number.
sub run {
    my ($command, %environment) = @_;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        @ENV{ keys %environment } = values %environment;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$folder/.stdout";
        open STDERR, '>', "$folder/.stderr";
        exec { $command->[0] } @$command or exit 127;
    }
    waitpid $pid, 0;
    my $status = $? & 127 ? 1000 + ($? & 127) : $? >> 8;
    my @said = map { slurp("$folder/$_") } '.stdout', '.stderr';
    unlink "$folder/.stdout", "$folder/.stderr";
    return ($status, @said);
}

# A test: the command ends with this status, says one line that matches, and nothing on stdout.
sub fails {
    my ($command, $status, $message, $name, %environment) = @_;
    my ($got, $out, $err) = run($command, %environment);
    my $ok = $got == $status && $out eq '' && $err =~ $message && $err =~ /\Aminivmm: [^\n]+\n\z/;
    return ok($ok, $name) || diag("status $got, stdout '$out', stderr '$err'");
}

1;
