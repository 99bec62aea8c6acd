#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# tests/lint/ranks, which make lint runs, detects each kind of violation in small trees made here,
# and finds nothing in a tree without violations. The modules of these trees are not those of core.
use v5.14;
use warnings;
use lib 'tests/lib';
use File::Basename 'dirname';
use File::Path qw(make_path remove_tree);
use Minivmm;
use Test::More;

# A tree without violations: low < left, right < middle < top.
my $widget_h = <<'C';
struct widget {
	int count, list[4];
	const char *name;
};
/* Filled by the caller. */
struct widget_order {
	int kind;
};
#define WIDGET_MAX 4
enum widget_kind { WIDGET_ROUND };
extern int widget_total;
int widget_open(struct widget *widget, const struct widget_order *order);
C
my $frame_h = <<'C';
#include "low/widget.h"
struct frame {
	struct widget widget, *parent;
	struct {
		int width;
	} size;
	struct {
		int x;
	};
};
extern int total;
struct frames {
	int count;
	struct frame *frames;
};
int frame_draw(struct frame *frame);
C
my %good = (
    'core/ranks' => "# lowest first\nlow\nleft right\nmiddle\ntop\n",
    'core/include/minivmm/plugin.h' => "struct minivmm_row {\n\tint count, list[4];\n};\n",
    'core/low/widget.h' => $widget_h,
    'core/low/widget.c' => <<'C',
#include "low/widget.h"
/* A comment may contain frame_draw and total as words. */
static const char text[] = "frame_draw()";
int
widget_open(struct widget *widget, const struct widget_order *order)
{
	for (int i = 0; i < widget->count; i++)
		widget->list[i] = order->kind;
	return 0;
}
C
    'core/left/left.h' => "int left_do(void);\n",
    'core/right/right.h' => "#include \"low/widget.h\"\nint right_do(struct widget *widget);\n",
    'core/middle/frame.h' => $frame_h,
    'core/middle/frame.c' => <<'C',
#include "middle/frame.h"
int
frame_draw(struct frame *frame)
{
	struct widget_order order, *o = &order;
	struct widget local;
	local.count = 1;
	frame->widget.count = 2;
	o->kind = WIDGET_ROUND;
	return frame->widget.list[frame->parent->count] + widget_open(&local, o);
}
C
    'core/top/top.c' => <<'C',
#include "middle/frame.h"
#include "minivmm/plugin.h"
static int
sum(struct frame *frame, struct minivmm_row *row)
{
	int result = frame->size.width, n = frame->x;
	for (int i = 0; i < row->count; i++)
		result += row->list[i];
	for (int i = 0; i < n; i++)
		result += frame_draw(frame);
	return frame->x == 2 ? result : 0;
}
C
    'plugins/one.c' => "#include \"minivmm/plugin.h\"\n#include \"common/share.h\"\n",
    'plugins/common/share.h' => '',
    'plugins/many/many.c' => "#include \"many.h\"\n#include \"../common/share.h\"\n",
    'plugins/many/many.h' => '',
    'plugins/common/folder/part.c' => "#include \"../share.h\"\n",
    'guests/guest.S' => "\tnop\t/* " . 'x' x 70 . " */\n",
    'tests/unit/widget.c' => "#include \"low/widget.h\"\n",
    'tests/e2e/widget.t' => "# A comment.\nprint '" . 'x' x 100 . "';\n",
);

# The checker's output for the tree with some files changed: FILE:LINE: ...
sub lint {
    my (%changed) = @_;
    my %tree = (%good, %changed);
    remove_tree('tree');
    for my $file (keys %tree) {
        make_path(dirname("tree/$file"));
        spew("tree/$file", $tree{$file});
    }
    my ($status, $out, $err) = run([ "$top/tests/lint/ranks", 'tree' ]);
    is($status, $out eq '' ? 0 : 1, 'the status is 1 if there is a violation');
    is($err, '', 'the checker reports no error');
    return $out;
}

# Tests that a tree with one file replaced has exactly one violation.
sub bad {
    my ($why, $file, $text, $line, $message) = @_;
    like(lint($file => $text), qr/\A\Q$file:$line: \E$message\n\z/, $why);
}

# A file of top/ with the statement in line 12.
sub top {
    my ($body) = @_;
    return <<"C";
#include "middle/frame.h"
struct own { struct frame frame; struct widget widget; };
static struct frames all;
static void
nothing(void)
{
}
static int
f(struct frame *frame, struct own *own)
{
	struct widget *widget = frame->parent;
$body
	return 0;
}
C
}

is(lint(), '', 'a tree without violations');

subtest 'includes' => sub {
    my $includes = sub {
        my ($why, $file, $path, $message) = @_;
        bad($why, $file, "\n#include \"$path\"\n", 2, $message);
    };
    $includes->('of a higher rank', 'core/low/extra.h', 'top/top.h', qr{low/ includes .*top/.*});
    $includes->('of the same rank', 'core/left/extra.h', 'right/right.h', qr{left/ includes .*});
    $includes->('of no module', 'core/left/extra.h', 'left.h', qr{"left.h" is not .*});
    $includes->('of core, by a plugin', 'plugins/one.c', 'low/widget.h', qr{a plugin includes .*});
    $includes->('of another plugin', 'plugins/one.c', 'many/many.h', qr{a plugin includes .*});
    $includes->('from a folder of common', 'plugins/common/folder/part.c', '../many/many.h', qr{a plugin .*});
    $includes->('by a plugin of the tests', 'tests/plugins/x.c', 'low/widget.h', qr{a plugin .*});
    bad('a module without a rank', 'core/new/new.h', '', 1, qr{its directory is not in core/ranks});
    bad('a rank without a module', 'core/ranks', "low\nleft right gone\nmiddle\ntop\n", 2,
        qr{core/gone is not a directory});
};

subtest 'names of higher ranks' => sub {
    my $mentions = sub {
        my ($why, $text, $line, $name) = @_;
        bad($why, 'core/low/extra.c', $text, $line, qr{low/ mentions $name of middle/.*});
    };
    $mentions->('a call', "void\nf(void)\n{\n\tframe_draw(0);\n}\n", 4, 'frame_draw');
    $mentions->('a forward declaration', "struct frame;\n", 1, 'frame');
    $mentions->('a comment', "/*\n * Once frame_draw() has run.\n */\n", 2, 'frame_draw');
    for ('#define FRAME_MAX 1', 'enum e { A, FRAME_MAX };', 'extern int FRAME_MAX;') {
        my $use = "static int x = FRAME_MAX;\n";
        like(lint('core/middle/limits.h' => "$_\n", 'core/low/extra.c' => $use),
            qr{\Acore/low/extra.c:1: low/ mentions FRAME_MAX of middle/.*\n\z}, $_);
    }
    bad('of the same rank', 'core/left/extra.c', "static int x = right_do(0);\n", 1,
        qr{left/ mentions right_do .*});
    bad('extern', 'core/top/extra.c', "\nextern int widget_total;\n", 2, qr{extern in a .c file.*});
};

subtest 'expressions' => sub {
    my $body = sub {
        my ($why, $statement, $message) = @_;
        bad($why, 'core/top/top.c', top("\t$statement"), 12, $message);
    };
    my $deep = qr{\S+ reaches through middle/ into low/};
    $body->('two modules deep', 'return frame->widget.count;', $deep);
    $body->('two modules deep by way of arrays', 'frame[0].parent[frame->x].name;', $deep);
    $body->('two modules deep from its own struct', 'own->frame.parent->count;', $deep);
    $body->('a loop over an array',
        'for (int i = 0; i < widget->count; i++) f(widget->list[i]);',
        qr{a loop over list of struct widget, which belongs to low/});
    $body->('a loop over an array of structs, of a static variable',
        'for (int i = 0; i < all.count; i++) f(all.frames[i].x);',
        qr{a loop over frames of struct frames, which belongs to middle/});
    my $write = qr{widget->count is assigned to: struct widget belongs to low/};
    $body->("a write: $_", "widget->count $_;", $write) for '= 1', '|= 1', '<<= 1', '++';
    $body->('a write: --', '--widget->count;', $write);
    $body->("a write to a struct without a tag: $_", "frame->$_ = 1;",
        qr{frame->$_ is assigned to: struct frame\S* belongs to middle/}) for 'size.width', 'x';

    my $lint = sub { lint('core/top/top.c' => top("\t$_[0]"), 'core/low/widget.h' => $_[1]) };
    is($lint->('if (widget->count == 1) own->widget.list[0] = 1;', $widget_h), '',
        'no violation: a comparison, and a write to a part of its own struct');
    is($lint->('*(char *)widget->name = 1;', $widget_h), '', 'no violation: a write through a member');
    is($lint->('for (int i = 0; i < widget->count; i++) f(frame[i].x);', $widget_h), '',
        "no violation: a loop to a member over the file's own array");
    is($lint->('for (int i = 0; i < widget->count; i++) widget->list[i] = 1;',
            "/* Plain\n * data. */\n$widget_h"), '',
        'no violation: a struct with "plain data" in its comment');
};

subtest 'files and functions' => sub {
    bad('a base name twice', 'core/top/widget.c', '', 1, qr{the name widget is also in low/});
    bad('a prefix of two modules', 'core/top/extra.h', "\nint widget_close(void);\n", 2,
        qr{widget_close: the prefix widget belongs to low/});
};

subtest 'columns' => sub {
    bad('a comment', 'core/left/extra.c', "\n/* " . 'x' x 95 . " */\n", 2, qr{101 columns.*});
    bad('tabs', 'tests/unit/widget.c', "int x;\t\t" . 'x' x 85 . "\n", 1, qr{101 columns.*});
    bad('a guest', 'guests/guest.S', "\t\t\t" . 'x' x 77 . "\n", 1, qr{101 columns.*});
    bad('a comment of a test', 'tests/e2e/widget.t', '    # ' . 'x' x 95, 1, qr{101 columns.*});
    is(lint('core/left/extra.c' => "/* " . 'x' x 94 . " */\n"), '', '100 columns');
};

done_testing();
