#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# minivmm/plugin.h and minivmm/tool.h by themselves: C and C++ with every warning; and code that
# must not compile.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Test::More;

my @flags = (qw(-Wall -Wextra -Wshadow -Werror -fsyntax-only), "-I$top/core/include");
my %compilers = (
    'C11' => [qw(cc -std=c11 -x c)],
    'GNU C17' => [qw(cc -std=gnu17 -x c)],
    'C++20' => [qw(c++ -std=c++20 -x c++)],
    'C++17' => [qw(c++ -std=c++17 -x c++)],
);
my $clang = (run([qw(clang++ --version)]))[0] == 0;
$compilers{"clang's C11"} = [qw(clang -std=c11 -x c)] if (run([qw(clang --version)]))[0] == 0;
$compilers{"clang's C++$_"} = [ 'clang++', "-std=c++$_", qw(-x c++) ] for grep { $clang } 17, 20;

sub compiles {
    my ($compiler, $text, @more) = @_;
    spew('x.txt', $text);
    push @more, '-Wpedantic' if $compiler =~ /C\+\+/;
    return run([ @{ $compilers{$compiler} }, @flags, @more, 'x.txt' ]);
}

# Uses each macro and type of the header once.
my $everything = <<'END';
#include <minivmm/plugin.h>

enum kind { FEW, MANY };
static const char *const kinds[] = { "few", "many", NULL };

struct thing {
	uint8_t u8, own8; uint16_t u16, port; uint32_t u32, kind; uint64_t u64, size, address, time; bool flag, own_flag;
	const char *text, *path; struct minivmm_irq irq;
	uint8_t bytes[4]; uint16_t counted[8]; uint32_t count; uint64_t *far;
};

static int read_it(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t *value)
{
	struct thing *t = (struct thing *)minivmm_state(dev);
	minivmm_irq_raise(dev, &t->irq);
	*value = t->u32 + minivmm_now(dev);
	return 0;
}
static int fire(struct minivmm_device *dev, uint32_t timer, uint64_t periods) { minivmm_post(dev, 0); return 0; }
static int ready(struct minivmm_device *dev, uint32_t watch, uint32_t events) { return minivmm_watch(dev, watch, -1, 0); }
static int run(struct minivmm_device *dev, uint32_t post) { return 0; }
static int readable(struct minivmm_device *dev, uint32_t stream)
{
	char byte;
	return minivmm_stream_read(dev, stream, &byte, 1) == 1 ? 0 : -1;
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION(struct thing, u8, "1", "help", .min = 1, .max = 9),
	MINIVMM_OPTION(struct thing, u16, "1", "help"),
	MINIVMM_OPTION(struct thing, u32, "1", "help"),
	MINIVMM_OPTION(struct thing, u64, "1", "help"),
	MINIVMM_OPTION(struct thing, flag, "no", "help"),
	MINIVMM_OPTION(struct thing, text, "", "help", .flags = MINIVMM_HOST),
	MINIVMM_OPTION(struct thing, irq, "none", "help", .flags = MINIVMM_EDGE | MINIVMM_ACTIVE_LOW),
	MINIVMM_OPTION_AS(SIZE, struct thing, size, "4K", "help"),
	MINIVMM_OPTION_AS(ADDRESS, struct thing, address, "0", "help"),
	MINIVMM_OPTION_AS(DURATION, struct thing, time, "1ms", "help"),
	MINIVMM_OPTION_AS(PORT, struct thing, port, "1", "help"),
	MINIVMM_OPTION_AS(ENUM, struct thing, kind, "few", "help", .values = kinds),
	MINIVMM_OPTION_AS(PATH, struct thing, path, "", "help"),
	MINIVMM_END
};
static const struct minivmm_register registers[] = { { 0, "A", "B" }, MINIVMM_END };
static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_MMIO, .at = "at", .length = 4, .widths = MINIVMM_W32, .read = read_it, .registers = registers },
	MINIVMM_END
};
static const struct minivmm_timer timers[] = { { .name = "tick", .fire = fire }, MINIVMM_END };
static const struct minivmm_stream streams[] = { { .name = "line", .input = "input", .readable = readable }, MINIVMM_END };
static const struct minivmm_watch watches[] = { { .name = "watch", .ready = ready }, MINIVMM_END };
static const struct minivmm_post posts[] = { { .name = "post", .run = run }, MINIVMM_END };
static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct thing, own8, .max = 9),
	MINIVMM_FIELD(struct thing, own_flag),
	MINIVMM_FIELD(struct thing, bytes, .initial = 1, .since = 2),
	MINIVMM_FIELD_COUNTED(struct thing, counted, count),
	MINIVMM_FIELD_POINTER(struct thing, far, size),
	MINIVMM_END
};
static const struct minivmm_plugin thing = {
	.name = "thing", .summary = "everything", .state_version = 2, .state_size = sizeof(struct thing),
	.options = options, .ranges = ranges, .timers = timers, .streams = streams, .watches = watches, .posts = posts,
	.fields = fields,
};
MINIVMM_REGISTER(thing);
END

# And of minivmm/tool.h.
my $tool = <<'END';
#include <minivmm/tool.h>

static int use(struct minivmm_device *dev, const struct minivmm_event *event)
{
	static const char *const words[] = { "snapshot", "x.snap" };
	struct minivmm_breakpoint point = { .kind = MINIVMM_WATCH_ACCESS, .address = 0x1000, .length = 4 };
	struct minivmm_machine_state state;
	struct minivmm_general general;
	struct minivmm_system system;
	struct minivmm_msr msr = { .index = 0x10 };
	char byte = 0;

	if (event->kind != MINIVMM_STOPPED || event->reason != MINIVMM_STOP_PAUSE)
		return minivmm_machine_pause(dev);
	memset(&system, 0, sizeof(system));
	memset(&general, 0, sizeof(general));
	minivmm_machine_state(dev, &state);
	minivmm_registers_read(dev, 0, MINIVMM_GENERAL, &general, sizeof(general));
	minivmm_registers_write(dev, 0, MINIVMM_SYSTEM, &system, sizeof(system));
	minivmm_registers_read(dev, 0, MINIVMM_MSRS, &msr, sizeof(msr));
	minivmm_linear_read(dev, 0, state.memory[0].start, &byte, 1);
	minivmm_linear_write(dev, 0, general.rip, &byte, 1);
	minivmm_breakpoint_set(dev, &point);
	minivmm_breakpoint_clear(dev, &point);
	minivmm_machine_step(dev, event->vcpu);
	return minivmm_machine_command(dev, words, 2) ? 0 : minivmm_machine_resume(dev);
}
static const struct minivmm_tool tool = { .size = sizeof(tool), .event = use };
static const struct minivmm_plugin thing = {
	.name = "thing", .summary = "everything of a tool", .state_version = 1, .tool = &tool,
};
MINIVMM_REGISTER(thing, MINIVMM_TOOLS);
END

for my $compiler (sort keys %compilers) {
    for my $header (qw(plugin tool)) {
        is(join(':', compiles($compiler, "#include <minivmm/$header.h>\n", '-Wpedantic')), '0::', "$compiler: $header.h alone compiles");
    }
    my @tool = compiles($compiler, $tool, '-Wno-unused-parameter');
    is("$tool[0]:$tool[1]", '0:', "$compiler: each function and type of a tool compiles") or diag($tool[2]);
    my ($status, $out, $err) = compiles($compiler, $everything, '-Wno-unused-parameter');
    is("$status:$out", '0:', "$compiler: each macro and type compiles") or diag($err);

    # A member of a wrong C type does not compile.
    for my $wrong ([ 'SIZE', 'u32' ], [ 'PORT', 'u8' ], [ 'ENUM', 'u64' ], [ 'PATH', 'u64' ]) {
        my ($type, $member) = @$wrong;
        my $text = $everything =~ s/OPTION_AS\($type, struct thing, \w+/OPTION_AS($type, struct thing, $member/r;
        ($status) = compiles($compiler, $text, '-Wno-unused-parameter');
        isnt($status, 0, "$compiler: refused: a member that is not a $type");
    }
    ($status) = compiles($compiler, $everything =~ s/OPTION\(struct thing, u8/OPTION(struct thing, nosuch/r, '-Wno-unused-parameter');
    isnt($status, 0, "$compiler: refused: a member that does not exist");
}

# Neither does an option or a field of an unsupported type; the compiler's message has the reason.
my %wrong = (
    'an option is uint8_t to uint64_t, bool, const char \* or struct minivmm_irq' => [
        [ 'OPTION(struct thing, u8' => map { "OPTION(struct thing, $_" } qw(bytes far number state) ],
    ],
    'a field is uint8_t to uint64_t, bool, or an array of one; MINIVMM_FIELD_POINTER is for pointers' => [
        [ 'FIELD(struct thing, own8' => map { "FIELD(struct thing, $_" } qw(far far8 irq text number state table) ],
    ],
    'MINIVMM_FIELD_COUNTED is for an array of uint8_t to uint64_t or bool' => [
        [ 'FIELD_COUNTED(struct thing, counted' => map { "FIELD_COUNTED(struct thing, $_" } qw(far u8 numbers) ],
    ],
    'MINIVMM_FIELD_POINTER is for a pointer to uint8_t to uint64_t or bool' => [
        [ 'FIELD_POINTER(struct thing, far' => map { "FIELD_POINTER(struct thing, $_" } qw(bytes u64 text state) ],
    ],
    'a counter is uint8_t to uint64_t' => [
        [ 'counted, count)' => 'counted, flag)', 'counted, bytes)' ],
        [ 'far, size)' => 'far, flag)', 'far, far)' ],
    ],
);
my $more = $everything =~ s/^struct thing \{\K/ uint8_t *far8; int number, numbers[4]; struct { int x; } state; uint8_t table[2][2];/mr;
for my $compiler (sort keys %compilers) {
    my ($status, $out, $err) = compiles($compiler, $more, '-Wno-unused-parameter');
    is("$status:$out", '0:', "$compiler: more members compile") or diag($err);
    for my $message (sort keys %wrong) {
        for my $case (@{ $wrong{$message} }) {
            my ($right, @wrong) = @$case;
            for my $wrong (@wrong) {
                my $text = $more;
                substr($text, index($text, $right), length $right) = $wrong;
                ($status, $out, $err) = compiles($compiler, $text, '-Wno-unused-parameter');
                ok($status && $err =~ /$message/, "$compiler: refused: $wrong") or diag("$status: $err");
            }
        }
    }
}

# A plugin built as C++.
spew('thing.cc', $everything);
my ($status, $out, $err) = run([ qw(c++ -std=c++20 -shared -fPIC -o thing.so), "-I$top/core/include", 'thing.cc' ]);
is("$status:$out$err", '0:', 'a plugin in C++ compiles');
($status, $out, $err) = run([ $minivmm, 'plugins', './thing.so' ]);
like("$status:$out", qr/\A0:thing: everything\n.*^  kind +enum +few +help \(few, many\)\n.*^  bytes +u8\[4\] .*since version 2/ms, 'the C++ plugin loads');

# A table without an end marker is detected when the plugin is loaded, unless the memory after it
# looks like an end marker.
my $told = 0;
for my $table (qw(options registers ranges timers streams watches posts fields)) {
    my $text = $everything =~ s/= "thing"/= "endless"/r;
    $text =~ s/(struct minivmm_\w+ $table\[\] = \{.*?),\s*MINIVMM_END/$1/s or die $table;
    for my $flags ('-O0', '-O2', '-O2 -fdata-sections') {
        spew('endless.c', $text);
        ($status, $out, $err) = run([ qw(cc -std=gnu11 -shared -fPIC -o endless.so), split(' ', $flags), "-I$top/core/include", 'endless.c' ]);
        is("$status:$out$err", '0:', "$table without an end marker compiles with $flags");
        my @loaded = run([ $minivmm, 'plugins', './endless.so' ]);
        my $name = $table eq 'registers' ? 'ranges' : $table;
        if ($loaded[0] == 110) {
            like($loaded[2], qr/\Aminivmm: plugin \.\/endless\.so \(.*\): its table of $name\b.* has no end; end it with MINIVMM_END\n\z/, 'the missing end marker is reported');
            $told++;
        } else {
            is("$loaded[0]:$loaded[1]", '0:' . ((run([ $minivmm, 'plugins', './thing.so' ]))[1] =~ s/thing(?=:|\.so)/endless/gr),
                'zeros follow the table');
        }
    }
}
cmp_ok($told, '>', 12, "most are detected: $told of 24");

done_testing;
