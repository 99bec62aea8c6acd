#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Shell completion: the candidates for a command line, from the tables of the program and of the
# plugins, and the scripts for bash and zsh, each run in its shell.
# On an emulated KVM, too.
use v5.14;
use warnings;
use lib 'tests/lib';

use File::Basename 'dirname';
use Minivmm;
use Plugins;
use Test::More;

# The candidates for the last word: a hash of names and help texts, or the text of ":files".
sub offers {
    my ($status, $out) = run([ $minivmm, 'completion', '--', @_ ]);
    is($status, 0, "minivmm @_: status 0") if $status;
    return $out =~ /\A:files(?: (\w+))?\n\z/ ? 'files ' . ($1 // '*') : { map { split /\t/, $_, 2 } split /\n/, $out };
}

sub offered {
    my ($words, $expected) = @_;
    my $offers = offers(@$words);
    return is(ref $offers ? join(' ', sort keys %$offers) : $offers, $expected, "minivmm @$words|");
}

my $commands = 'batch core ctl diff doctor flatten inspect list new-plugin plugins verify';
my @run = qw(at branch check config help log paused registers restore restore-or-start save set status symbols timeout tool trace trust until version);
offered([''], join ' ', (map { "--$_" } @run), split ' ', $commands);
my $help = (run([ $minivmm, '--help' ]))[1];
for my $command (split ' ', $commands) {
    like($help, qr/^  minivmm $command /m, "$command is in --help");

    # Every option of the table is accepted by its command.
    for my $option (grep { /^-/ } sort keys %{ offers($command, '-') }) {
        # list --watch ends if a machine is missing.
        my $err = (run([ $minivmm, $command, $option, $command eq 'list' ? 'no.sock' : () ]))[2];
        unlike($err, qr/no such option|unknown/, "$command accepts $option");
    }
}
offered([qw(--l)], '--log');
offered([qw(ins)], 'inspect');
offered([ '-c', '' ], 'files ini');
offered([ '-r', '' ], 'files snap');
offered([ '--trace', '' ], 'files *');
offered([ '-r', 'x.snap', '--branch', '' ], 'files sock');
offered([ '-r', 'x.snap', '--branch', 'a', '' ], 'files sock');
offered([ 'inspect', '' ], 'files snap');
offered([ 'flatten', 'a.snap', '' ], 'files snap');
offered([ 'flatten', '-o', '' ], 'files *');
offered([ 'core', 'a.snap', '' ], 'files snap');
offered([ 'core', '-o', '' ], 'files *');
offered([ 'batch', '-r', 'x', '' ], 'files *');
offered([ 'diff', 'a', 'b', '' ], '');
offered([ '--log', '' ], 'debug error info warn');
offered(['--log=w'], '--log=warn');
offered([ '--until', '' ], 'access: hlt mio: output: panic pio: rip: shutdown step: time:' =~ s/mio/mmio/r);
offered([ 'plugins', '' ], join ' ', plugins());
offered([ '--tool', '' ],  join ' ', plugins());
offered([ 'completion', '' ], 'bash zsh');

# The machine of the command line: its devices, their options and values.
my @linux = ('-c', "$configs/linux.ini");
offered([ @linux, '--set', 'device.' ], join ' ', map { "device.$_." } qw(blk0 net0 power rng0 serial0));
offered([ @linux, '--set', 'device.blk0.' ], join ' ', sort map { "device.blk0.$_->{name}=" } options('virtio-blk'));
offered([ "--config=$configs/linux.ini", '--set=device.blk0.io=' ], join ' ', map { "--set=device.blk0.io=$_" } qw(auto io_uring sync threads));
offered([ @linux, '--set', 'device.blk0.readonly=' ], 'device.blk0.readonly=no device.blk0.readonly=yes');
offered([ @linux, '--set', 'device.blk0.path=' ], 'files *');
offered([ @linux, '--set', 'device.serial0.output=t' ], 'device.serial0.output=tcp-listen: device.serial0.output=tcp: device.serial0.output=text:');
offered([ @linux, '--set', 'device.serial0.output=file:a' ], 'files *');
offered([ @linux, '--set', 'device.nobody.' ], '');
offered([ @linux, '--until', 'output:' ], join ' ', map { "output:$_:" } qw(blk0 net0 power rng0 serial0));
my %keys = map { (split /=/)[0] => 1 } keys %{ offers('--set', '') };
for my $line (split /\n/, slurp("$top/core/config/schema.c")) {
    ok($keys{"$1.$2"}, "--set $1.$2") if $line =~ /^\t\{ "(?!module)(\w+)", "(\w+)", SCHEMA/;
}
offered([ '--set', 'vm.irqchip=' ], 'vm.irqchip=no vm.irqchip=yes');
offered([ '--set', 'boot.format=p' ], 'boot.format=pvh');
offered([ '--set', 'boot.image=' ], 'files *');

# The devices of a snapshot: only options that a restore accepts.
run([ $minivmm, '-c', "$configs/simple.ini" ]);
offered([ qw(-r simple.snap --set device.serial0.) ], 'device.serial0.input= device.serial0.output=');
offered([ qw(-r simple.snap --set snapshot.clock=) ], 'snapshot.clock=resume snapshot.clock=wall');
offered([ qw(-r simple.snap --set vm.) ], '');
offered([ qw(batch -r simple.snap --input), '' ], 'serial0');

# Commands of the control socket and their arguments.
my $ctl = offers(qw(ctl x.sock), '');
ok($ctl->{$_}, "ctl: $_") for qw(status pause resume snapshot until registers reset log quit help stats top);
offered([ 'ctl', '' ], 'files sock');
offered([ qw(ctl x.sock snapshot), '' ], 'files *');
offered([ qw(ctl x.sock snapshot a), '' ], 'diff full');
offered([ qw(ctl x.sock snapshot a diff), '' ], 'live paused');
offered([ qw(ctl x.sock until r) ], 'rip:');
offered([ qw(ctl x.sock log d) ], 'debug');
offered([ qw(ctl x.sock tool), '' ], 'add list remove');
offered([ qw(ctl x.sock tool add), '' ], join ' ', plugins());
offered([ qw(ctl x.sock stats), '' ], '--watch');

# Lines without candidates.
offered($_, '') for [ qw(-c nowhere.ini --set device.a.) ], [ qw(--set device.a.b=) ], [ 'x' x 5000 ],
  [ '--set', 'device.' . 'y' x 5000 . '=' ], [ qw(verify a b), '' ], [ qw(batch -j), '' ];
fails([ $minivmm, 'completion' ], 110, qr/completion: use minivmm completion bash, or zsh/, 'refused: completion without a shell');
fails([ $minivmm, qw(completion fish) ], 110, qr/use minivmm completion bash/, 'refused: completion for an unknown shell');

# Completion loads no plugin from the path of a config or a snapshot, and does not wait for a pipe.
mkdir 'evil';
spew('evil.c', "#include <stdlib.h>\n__attribute__((constructor)) static void\nevil(void)\n{\n\tif (system(\"touch ran\"))\n\t\tabort();\n}\n");
is((run([qw(cc -shared -fPIC -o evil/evil.so evil.c)]))[0], 0, 'a plugin that creates a file when it is loaded');
for my $plugin ("plugin = ./evil/evil.so\n", "plugin = evil\n\n[plugins]\npath = evil\n") {
    spew('evil.ini', "[vm]\nmemory_at = 0x1000\n[boot]\ncode = f4\n[device a]\n$plugin");
    offered([qw(-c evil.ini --set device.a.)], '');
    ok(!-e 'ran', 'completion does not load it');
}
spew('none.ini', "[device a]\n");
offered([qw(-c none.ini --set device.a.)], '');
run([ $minivmm, '-c', 'evil.ini', '--check' ]);
ok(-e 'ran', 'a run loads it');
run([qw(mkfifo pipe)]);
offered([ $_, 'pipe', '--set', 'device.' ], '') for qw(-c -r);

# Values of a plugin that are no simple words for a shell, and one that is too long to be offered.
mkdir 'words';
spew('words.c', <<'END');
#include <minivmm/plugin.h>
struct words { uint32_t choice; };
static const char *const values[] = { "a b", "$(c)", LONG, NULL };
static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(ENUM, struct words, choice, "a b", "", .values = values), MINIVMM_END
};
static const struct minivmm_plugin words = { .name = "words", .summary = "values",
	.state_version = 1, .state_size = sizeof(struct words), .options = options };
MINIVMM_REGISTER(words);
END
my $long = 'long' x 150;
my @cc = (qw(cc -shared -fPIC), "-I$top/core/include", "-DLONG=\"$long\"");
is((run([ @cc, qw(-o words/words.so words.c) ]))[0], 0, 'a plugin with such values');
spew('words.ini', "[device a]\nplugin = words\n");
{
    local $ENV{MINIVMM_PLUGIN_PATH} = 'words';
    offered([qw(-c words.ini --set device.a.choice=)], 'device.a.choice=$(c) device.a.choice=a b');
}

# The name of a plugin's file is no request for file names: zsh would run the part in backquotes.
mkdir 'requests';
spew("requests/$_.so", '') for 'a', ':files `ran`', '$(ran)';
{
    local $ENV{MINIVMM_PLUGIN_PATH} = 'requests';
    my $offers = offers('plugins', '');
    is(ref $offers && join(' ', grep { /:|ran|\Aa\z/ } sort keys %$offers), '$(ran) a', 'names of plugins that are no request');
}

# The scripts.
mkdir $_ for qw(bin folder);
symlink $minivmm, 'bin/minivmm';
symlink "$configs/$_.ini", "$_.ini" for qw(linux simple);
my %env = (PATH => './bin:' . $ENV{PATH});

SKIP: {
    skip 'bash is not installed', 1 if (run([ 'sh', '-c', 'command -v bash' ]))[0];
    spew('script', (run([ $minivmm, qw(completion bash) ]))[1]);
    is(join(':', run([qw(bash -n script)])), '0::', 'bash: the script is valid');

    # The candidates and the options of compopt for a line up to the cursor.
    my $try = 'compopt() { echo "$*"; }; . ./script; complete -p minivmm >/dev/null || echo not complete;'
      . 'COMP_LINE=$1 COMP_POINT=${#1}; COMP_WORDBREAKS=$2; _minivmm >options; cat options; printf "%s|" "${COMPREPLY[@]}"';
    for (
        [ 'minivmm insp' => 'inspect|' ],
        [ 'minivmm -c li' => "-o filenames\nlinux.ini|" ],
        [ 'minivmm -c fol' => "-o filenames\nfolder|" ],
        [ 'minivmm -c linux.ini --set device.bl' => "-o nospace\ndevice.blk0.|" ],
        [ 'minivmm -c linux.ini --set device.blk0.io=s' => 'sync|' ],
        [ 'minivmm --log=w' => 'warn|' ],
        [ 'minivmm -c simple.ini --until output:' => "-o nospace\nserial0:|" ],
        [ 'minivmm -c linux.ini --set device.serial0.output=file:sim' => "-o filenames\nsimple.ini|" =~ s/simple\.ini/simple.ini|simple.snap/r ],
        [ 'minivmm -c words.ini --set device.a.choice=' => 'a\ b|\$\(c\)|' ],
        [ 'minivmm --trace lin' => "-o filenames\nlinux.ini|" ],
      ) {
        my ($line, $expected) = @$_;
        my %path = (MINIVMM_PLUGIN_PATH => $line =~ /words/ ? 'words' : '');
        my ($status, $out, $err) = run([ 'bash', '-c', $try, 'bash', $line, ' =:' ], %env, %path);
        is("$out$err", $expected, "bash: $line");
    }
    my ($status, $out, $err) = run([ 'bash', '-c', $try, 'bash', 'minivmm --log=w', ' ' ], %env);
    is("$out$err", '--log=warn|', 'bash: completes where = does not separate words');
}

SKIP: {
    skip 'zsh is not installed', 1 if (run([ 'sh', '-c', 'command -v zsh' ]))[0];
    spew('folder/_minivmm', (run([ $minivmm, qw(completion zsh) ]))[1]);
    is(join(':', run([qw(zsh -n folder/_minivmm)])), '0::', 'zsh: the script is valid');

    # Runs zsh on a terminal: types a line and a tab, then a key that prints the completed line.
    spew('try', <<'END');
zmodload zsh/zpty
zpty z 'TERM=dumb PS1= zsh -f -i'
zpty -w z 'fpath=($PWD/folder $fpath); autoload -U compinit; compinit -D -u
    show() { print -r -- "<$BUFFER>"; BUFFER= }; zle -N show; bindkey "^X" show'
for line in $argv; do
    zpty -w -n z "$line"$'\t\x18'
    zpty -r -m z out $'*<minivmm*>*'
    print -r -- ${${out##*<}%%>*}
done
zpty -d z
END
    my @lines = ('insp', '-c lin', '-c linux.ini --set device.bl', '-c linux.ini --set device.blk0.io=s', '--log=w', '-c simple.ini --until outp');
    my ($status, $out, $err) = run([ 'zsh', '-f', 'try', map { "minivmm $_" } @lines ], %env, timeout => 60);
    is("$out$err", join('', map { "minivmm $_\n" } 'inspect ', '-c linux.ini ', '-c linux.ini --set device.blk0.',
            '-c linux.ini --set device.blk0.io=sync ', '--log=warn ', '-c simple.ini --until output:'), 'zsh completes the lines');

    # What the names of files contain is not run.
    spew('bin/ran', "#!/bin/sh\ntouch ran-in-zsh\n");
    chmod 0755, 'bin/ran';
    ($status, $out) = run([ 'zsh', '-f', 'try', 'minivmm plugins ' ], %env, MINIVMM_PLUGIN_PATH => 'requests', timeout => 60);
    is($out, "minivmm plugins \n", 'zsh shows the names of plugins');
    ok(!-e 'ran-in-zsh', 'and runs nothing that they contain');
}

done_testing;
