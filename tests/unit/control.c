/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket: words, requests and replies, on a real loop. */
#include "unit/control_bench.h"

#include <sys/epoll.h>

static void
words(void **state)
{
	static const struct {
		const char *line, *words; /* separated by |; or the error */
		bool wrong;
	} cases[] = {
		{ "a", "a|", false },
		{ "  a\tbc \r", "a|bc|", false },
		{ "a \"b c\" \"\" d", "a|b c||d|", false },
		{ "a \"\\\"\\\\\"", "a|\"\\|", false },
		{ "a\\b c\\", "a\\b|c\\|", false },
		{ "", "no command; help lists them", true },
		{ " \t", "no command; help lists them", true },
		{ "a \"b", "a quote is not closed", true },
		{ "a \"b\\", "in quotes, \\ must precede \" or \\", true },
		{ "a \"\\n\"", "in quotes, \\ must precede \" or \\", true },
		{ "\"a\"b", "a blank must follow a closing quote", true },
		{ "\"a\"\"b\"", "a blank must follow a closing quote", true },
		{ "a\"b\"",
		  "a quote inside a word: quote the whole word, and write this one as \\\"", true },
	};
	char line[2 * CONTROL_WORDS + 2], joined[256], *list[CONTROL_WORDS + 1];
	struct why why;
	int count;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int r;

		strcpy(line, cases[i].line);
		r = control_words(line, list, &count, &why);
		joined[0] = '\0';
		for (int j = 0; !r && j < count; j++)
			strcat(strcat(joined, list[j]), "|");
		assert_string_equal(r ? why.text : joined, cases[i].words);
		assert_int_equal(r != 0, cases[i].wrong);
		assert_null(list[count]);
	}
	memset(line, 0, sizeof(line));
	for (int i = 0; i < CONTROL_WORDS; i++)
		strcat(line, "a ");
	assert_int_equal(control_words(line, list, &count, NULL), 0);
	assert_int_equal(count, CONTROL_WORDS);
	for (int i = 0; i < CONTROL_WORDS; i++)
		strcpy(line + 2 * i, "a ");
	strcat(line, "a");
	assert_int_equal(control_words(line, list, &count, &why), -1);
	assert_string_equal(why.text, "more than 512 words");
}

static void
words_survive_quoting(void **state)
{
	static const char *const cases[] = { "a",  "",   "a b",   "\"",  "\\", "a\\b",
					     "\t", "\r", "\"a\"", "a\"", "é",  "\\\"" };
	char *text = NULL, *list[CONTROL_WORDS + 1];
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int count;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		fputs(i ? " " : "", out);
		control_put_word(out, cases[i]);
	}
	fclose(out);
	assert_int_equal(control_words(text, list, &count, NULL), 0);
	assert_int_equal(count, sizeof(cases) / sizeof(*cases));
	for (int i = 0; i < count; i++)
		assert_string_equal(list[i], cases[i]);
	free(text);
}

static void
replies_now(void **state)
{
	struct bench *bench = *state;
	int fd = client(bench);

	asks(bench, fd, "echo\n", OK);
	asks(bench, fd, " echo  a \"b c\"\r\n", "{\"ok\":true, \"a1\":\"a\", \"a2\":\"b c\"}\n");
	put(fd, "echo 1\necho 2\nec");
	put(fd, "ho 3\n");
	assert_string_equal(get(bench, fd), "{\"ok\":true, \"a1\":\"1\"}\n");
	assert_string_equal(get(bench, fd), "{\"ok\":true, \"a1\":\"2\"}\n");
	assert_string_equal(get(bench, fd), "{\"ok\":true, \"a1\":\"3\"}\n");
	close(fd);
	settle(bench);
	assert_int_equal(bench->control.count, 0);
}

static void
errors(void **state)
{
	struct bench *bench = *state;
	int fd = client(bench);

	asks(bench, fd, "\n", ERROR("no command; help lists them"));
	asks(bench, fd, "ecko\n", ERROR("unknown command ecko; did you mean echo?"));
	asks(bench, fd, "hepl\n", ERROR("unknown command hepl; did you mean help?"));
	asks(bench, fd, "\"x\\\"\x1b\xff\"\n",
	     ERROR("unknown command x\\\"\\u001b\\u00ff; help lists them"));
	asks(bench, fd, "keep 1 2\n", ERROR("keep takes fewer arguments; usage: keep"));
	asks(bench, fd, "help me\n", ERROR("help takes fewer arguments; usage: help"));
	asks(bench, fd, "take\n", ERROR("no descriptor"));
	put(fd, "help\n");
	assert_non_null(
	    strstr(get(bench, fd),
		   "{\"ok\":true,\"commands\":[{\"name\":\"help\",\"usage\":\"help\",\"help\":"
		   "\"lists the commands\"},{\"name\":\"echo\","));
	close(fd);
}

/* A client's next request waits for the reply to this one; another client's does not. */
static void
replies_later(void **state)
{
	struct bench *bench = *state;
	int fd = client(bench), other = client(bench);

	put(fd, "keep\necho 1\n");
	put(other, "keep\n");
	settle(bench);
	assert_int_equal(bench->kept_count, 2);
	assert_int_equal(bench->runs, 0);
	assert_int_equal(loop_once(&bench->loop, 0), 0);
	fputs(",\"x\":1", bench->kept[0]->reply);
	command_done(bench->kept[0]);
	assert_string_equal(get(bench, fd), "{\"ok\":true,\"x\":1}\n");
	assert_string_equal(get(bench, fd), "{\"ok\":true, \"a1\":\"1\"}\n");
	fputs(",\"half\":", bench->kept[1]->reply); /* is discarded */
	command_fail(bench->kept[1], "it is %d", 7);
	assert_string_equal(get(bench, other), ERROR("it is 7"));
	asks(bench, other, "echo\n", OK);
	close(fd);
	close(other);
}

/* A waiting client causes no events, however much it has sent. */
static void
a_waiting_client_causes_no_events(void **state)
{
	struct bench *bench = *state;
	struct epoll_event event;
	int fd = client(bench);

	put(fd, "keep\nkeep\necho\n");
	settle(bench);
	assert_int_equal(epoll_wait(bench->loop.epoll, &event, 1, 0), 0);
	/* A client that closes only its own direction still receives the reply. */
	shutdown(fd, SHUT_WR);
	assert_int_equal(epoll_wait(bench->loop.epoll, &event, 1, 0), 0);
	assert_false(bench->kept[0]->gone);
	command_done(bench->kept[0]);
	settle(bench);
	command_done(bench->kept[1]);
	for (int i = 0; i < 3; i++)
		assert_string_equal(get(bench, fd), OK);
	hung_up(bench, fd);
}

static void
client_gone_before_the_reply(void **state)
{
	struct bench *bench = *state;
	int fd = client(bench);

	put(fd, "keep a\necho\n");
	settle(bench);
	close(fd);
	assert_false(bench->kept[0]->gone);
	settle(bench);
	assert_true(bench->kept[0]->gone);
	assert_int_equal(bench->control.count, 0);
	fputs(",\"x\":1", bench->kept[0]->reply);
	command_done(bench->kept[0]);
	assert_int_equal(bench->runs, 0);
	/* The client has sent a request and gone: the request is executed. */
	fd = client(bench);
	put(fd, "echo\n");
	close(fd);
	settle(bench);
	assert_int_equal(bench->runs, 1);
	fd = client(bench);
	put(fd, "echo"); /* may be half of another request */
	close(fd);
	settle(bench);
	assert_int_equal(bench->runs, 1);
	assert_int_equal(bench->control.count, 0);
	/* A client that still reads receives an error. */
	fd = client(bench);
	put(fd, "echo\necho");
	shutdown(fd, SHUT_WR);
	assert_string_equal(get(bench, fd), OK);
	assert_string_equal(get(bench, fd), ERROR("the request does not end with a newline"));
	hung_up(bench, fd);
	assert_int_equal(bench->runs, 2);
}

static void
slow_reader(void **state)
{
	struct bench *bench = *state;
	int fd = client(bench), other = client(bench);

	for (int i = 0; i < 3; i++)
		put(fd, "big\n");
	settle(bench);
	assert_int_equal(bench->runs, 1);
	asks(bench, other, "echo\n", OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(strlen(get(bench, fd)),
				 1048576 + strlen("{\"ok\":true,\"x\":\"\"}\n"));
	assert_int_equal(bench->runs, 4);
	/* Closes the connection in the middle of a reply. */
	put(fd, "big\nbig\n");
	settle(bench);
	close(fd);
	settle(bench);
	assert_int_equal(bench->runs, 5);
	assert_int_equal(bench->control.count, 1);
	close(other);
}

/* While a command waits for a pause, in a nested loop, the others wait, unless they can run at any
 * time; and so does the end of a request whose client goes. */
static void
nested(void **state)
{
	struct bench *bench = *state;
	int waits = client(bench), asking = client(bench), goes = client(bench);

	asks(bench, waits, "echo\n", OK);
	put(goes, "keep\n");
	settle(bench);
	put(waits, "close\n");
	put(asking, "echo x\n");
	close(goes);
	for (int i = 0; i < 100; i++)
		assert_int_equal(loop_once_nested(&bench->loop, 0), 0);
	assert_int_equal(bench->runs, 2);
	assert_false(bench->kept[0]->gone);
	assert_non_null(bench->control.path);
	assert_string_equal(get(bench, asking), "{\"ok\":true, \"a1\":\"x\"}\n");
	settle(bench);
	assert_true(bench->kept[0]->gone);
	assert_null(bench->control.path);
	command_done(bench->kept[0]);
	close(waits);
	close(asking);
}

/*
 * Closing with pending requests, and from a request: waiting clients receive an error, and finished
 * replies are sent.
 */
static void
closing(void **state)
{
	struct bench *bench = *state;
	int fd = client(bench), idle = client(bench), last = client(bench);

	put(fd, "keep\n");
	settle(bench);
	put(last, "close\n");
	settle(bench);
	assert_null(bench->control.path);
	assert_string_equal(get(bench, last), OK);
	hung_up(bench, last);
	assert_string_equal(get(bench, fd), ERROR("the machine ended before this was done"));
	hung_up(bench, fd);
	hung_up(bench, idle);
	assert_true(bench->kept[0]->gone);
	command_fail(bench->kept[0], "no client receives this");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(words_survive_quoting),
		TEST(replies_now),
		TEST(errors),
		TEST(replies_later),
		TEST(a_waiting_client_causes_no_events),
		TEST(client_gone_before_the_reply),
		TEST(slow_reader),
		TEST(nested),
		TEST(closing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
